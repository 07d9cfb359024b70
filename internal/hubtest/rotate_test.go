//go:build smoke

package hubtest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	replaying "github.com/sinbahub/sinbahub/internal/replay"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// rotating is a hub with two instances, each with a folder of keys of its own, under load while keys are
// rotated.
type rotating struct {
	t      *testing.T
	h      *hubtest.Hub
	db     *pgx.Conn
	second *hubtest.Instance
	// folders are the keys of both.
	folders [2]string
	doors   [2]hubtest.Sender
	people  *hubtest.People
	// known is how many children there are; of has the events of each.
	mu      sync.Mutex
	of      map[hubtest.Child][]uuid.UUID
	sent    atomic.Int64
	refused atomic.Int64
}

// startRotating starts both.
func startRotating(t *testing.T) *rotating {
	t.Helper()
	h := hubtest.Start(t)
	r := &rotating{t: t, h: h, of: map[hubtest.Child][]uuid.UUID{}, folders: [2]string{filepath.Join(h.Var, "keys"), filepath.Join(h.Var, "keys2")}}
	r.db, r.people = h.Superuser(), h.People(t)
	if err := os.Mkdir(r.folders[1], 0o700); err != nil {
		t.Fatal(err)
	}
	r.distribute()
	r.second = h.Serve("second", func(settings map[string]any) {
		hubtest.Settings(settings, "keys", map[string]any{"dir": r.folders[1]})
	})
	r.second.Start()
	r.second.AwaitReady()
	r.doors[0] = h.Sender(hubtest.ChildEnte)
	r.doors[1] = r.doors[0]
	r.doors[1].URL = r.second.SoapURL
	return r
}

// distribute copies what the first folder has and the second has not, as an operator does.
func (r *rotating) distribute() {
	r.t.Helper()
	for _, part := range []string{".", "journal"} {
		from, to := filepath.Join(r.folders[0], part), filepath.Join(r.folders[1], part)
		if err := os.MkdirAll(to, 0o700); err != nil {
			r.t.Fatal(err)
		}
		entries, err := os.ReadDir(from)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, e := range entries {
			if !e.IsDir() {
				r.copyKey(filepath.Join(from, e.Name()), filepath.Join(to, e.Name()))
			}
		}
	}
}

// copyKey copies a file unless it is there, whole or not at all.
func (r *rotating) copyKey(from, to string) {
	r.t.Helper()
	if _, err := os.Lstat(to); err == nil {
		return
	}
	text, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to+".tmp", text, 0o600)
	}
	if err == nil {
		err = os.Rename(to+".tmp", to)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// send sends one event of a child by one door: as many cases as there are openings.
func (r *rotating) send(door int, child hubtest.Child, cartella string, sequence int) {
	event := uuid.New()
	document := bytes.ReplaceAll(child.Event(event, sequence), []byte("2024/"), []byte(cartella+"/"))
	r.sent.Add(1)
	a, err := r.doors[door].Send(context.WithoutCancel(r.t.Context()), soap.V12, document)
	if err != nil || a.Receipt == nil {
		const shown = 3
		switch n := r.refused.Add(1); {
		case n > shown:
		case err == nil:
			r.t.Errorf("refused: %d %.400s", a.Status, a.Body)
		default:
			r.t.Errorf("refused: %v", err)
		}
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.of[child] = append(r.of[child], event)
}

// load sends until it is ended: further cases of known children, by the two doors in turn, and new
// children of whom both doors hear at the same time.
func (r *rotating) load(first hubtest.Child) (end func()) {
	stop := make(chan struct{})
	var senders sync.WaitGroup
	for w := range 2 {
		senders.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				child := first + hubtest.Child(w*50_000+n/2)
				var both sync.WaitGroup
				for door := range r.doors {
					both.Go(func() { r.send(door, child, "20"+string(rune('3'+door))+string(rune('0'+n%2)), 1) })
				}
				both.Wait()
			}
		})
	}
	end = sync.OnceFunc(func() {
		close(stop)
		senders.Wait()
	})
	r.t.Cleanup(end)
	return end
}

// again opens another case of every child that is known so far.
func (r *rotating) again(cartella string) {
	r.mu.Lock()
	var all []hubtest.Child
	for child := range r.of {
		all = append(all, child)
	}
	r.mu.Unlock()
	next := make(chan int)
	var senders sync.WaitGroup
	for range 4 {
		senders.Go(func() {
			for i := range next {
				r.send(i%2, all[i], cartella, 1)
			}
		})
	}
	for i := range all {
		next <- i
	}
	close(next)
	senders.Wait()
}

// keys runs a verb of keys.
func (r *rotating) keys(args ...string) (string, error) {
	cmd := exec.CommandContext(r.t.Context(), filepath.Join(hubtest.Binaries(r.t), "sinbahub"), append([]string{"--config", filepath.Join(r.h.Var, "demo.yaml"), "keys"}, args...)...)
	cmd.Env = r.h.Environ()
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// rotate rotates a key to its end.
func (r *rotating) rotate(name string) {
	r.t.Helper()
	args := []string{"rotate", name, "--reason", "scadenza annuale", "--wait", "60s"}
	if purpose := map[string]string{"link": "rotate", "seal": "reseal"}[name]; purpose != "" {
		args = append(args, "--ticket", r.people.Ticket("scadenza annuale", purpose, name, "2"))
	}
	if out, err := r.keys(args...); err != nil {
		r.t.Fatalf("rotate %s: %v: %.600s", name, err, out)
	}
}

// endOpener ends the opener.
func (r *rotating) endOpener(signal syscall.Signal) {
	r.t.Helper()
	pid := *r.h.Run.Pids.Opener
	if err := syscall.Kill(pid, signal); err != nil {
		r.t.Fatal(err)
	}
	hubtest.Await(r.t, patience, "the opener ends", func() bool { return syscall.Kill(pid, 0) != nil })
}

// restartOpener ends the opener and starts another, which reads its keys anew.
func (r *rotating) restartOpener() {
	r.t.Helper()
	r.endOpener(syscall.SIGTERM)
	r.h.Up()
}

// interrupt kills the opener in the midst of indexing: one link is held, so that it does not come to the end.
func (r *rotating) interrupt() {
	r.t.Helper()
	other := r.h.Superuser()
	held, err := other.Begin(r.t.Context())
	if err == nil {
		_, err = held.Exec(r.t.Context(), "SELECT FROM vault.subject_link ORDER BY created_at LIMIT 1 FOR NO KEY UPDATE")
	}
	if err != nil {
		r.t.Fatal(err)
	}
	ticket := r.people.Ticket("scadenza annuale", "rotate", "link", "2")
	ended := make(chan error, 1)
	go func() {
		_, err := r.keys("rotate", "link", "--reason", "scadenza annuale", "--wait", "60s", "--ticket", ticket)
		ended <- err
	}()
	hubtest.Await(r.t, patience, "links indexed anew", func() bool {
		return hubtest.Number(r.t, r.db, "SELECT count(*) FROM vault.subject_link WHERE key_epoch = 1 AND reindexed_epoch = 2") > 40
	})
	r.endOpener(syscall.SIGKILL)
	if err := <-ended; err == nil {
		r.t.Error("a rotation ended well whose opener was killed")
	}
	if n := hubtest.Number(r.t, r.db, "SELECT count(*) FROM vault.link_state WHERE environment = 'PROD' AND active_epoch = 1 AND next_epoch = 2"); n != 1 {
		r.t.Error("the new key decides before all links are indexed under it")
	}
	if err := held.Rollback(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	r.h.Up()
	r.checkSubjects("link half rotated")
}

// checkSubjects holds that each child is one subject, and no two are one.
func (r *rotating) checkSubjects(when string) {
	r.t.Helper()
	// What was answered before the look: the load goes on.
	r.mu.Lock()
	of := make(map[hubtest.Child][]uuid.UUID, len(r.of))
	for child, events := range r.of {
		of[child] = slices.Clone(events)
	}
	r.mu.Unlock()
	rows, err := r.db.Query(r.t.Context(), "SELECT event_id, subject_id FROM hub.event")
	if err != nil {
		r.t.Fatal(err)
	}
	subjects := map[uuid.UUID]uuid.UUID{}
	var event, subject uuid.UUID
	if _, err := pgx.ForEachRow(rows, []any{&event, &subject}, func() error { subjects[event] = subject; return nil }); err != nil {
		r.t.Fatal(err)
	}
	owner := map[uuid.UUID]hubtest.Child{}
	for child, events := range of {
		for _, e := range events {
			if subjects[e] != subjects[events[0]] {
				r.t.Fatalf("%s: child %d has two subjects", when, child)
			}
		}
		if other, taken := owner[subjects[events[0]]]; taken {
			r.t.Fatalf("%s: children %d and %d are one subject", when, child, other)
		}
		owner[subjects[events[0]]] = child
	}
	r.t.Logf("%s: %d children, %d events, each child one subject", when, len(of), r.sent.Load())
}

// checkNation holds that SISS knows each child under one code: every code it ever had continues into the
// same one, and no event with a code came before what says which earlier one it continues.
func (r *rotating) checkNation() {
	r.t.Helper()
	became, toldAt := map[string]string{}, map[string]string{}
	text, err := os.ReadFile(r.h.Run.SissReceivedFile + ".codici")
	if err != nil {
		r.t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		var c struct {
			At     string `json:"ricevuto_at"`
			Motivo string `json:"motivo"`
			Coppie []struct {
				Precedente string `json:"precedente"`
				Nuovo      string `json:"nuovo"`
			} `json:"coppie"`
		}
		if err := json.Unmarshal(line, &c); err != nil {
			r.t.Fatal(err)
		}
		for _, p := range c.Coppie {
			if c.Motivo != "ROTAZIONE" || became[p.Precedente] != "" {
				r.t.Errorf("%s: a code was told twice", c.Motivo)
			}
			became[p.Precedente], toldAt[p.Nuovo] = p.Nuovo, c.At
		}
	}
	codes := map[string]string{}
	if text, err = os.ReadFile(r.h.Run.SissReceivedFile); err != nil {
		r.t.Fatal(err)
	}
	early, under := 0, map[string]int{}
	for line := range bytes.Lines(text) {
		var e struct {
			ID    string `json:"id_trasmissione"`
			At    string `json:"ricevuto_at"`
			Event string `json:"evento_xml"`
		}
		if err := json.Unmarshal(line, &e); err != nil {
			r.t.Fatal(err)
		}
		code := elementOf([]byte(e.Event), "IDBeneficiario")
		if at := toldAt[code]; at != "" && e.At < at {
			early++
		}
		under[code]++
		for next := became[code]; next != ""; next = became[code] {
			code = next
		}
		codes[e.ID] = code
	}
	rows, err := r.db.Query(r.t.Context(), "SELECT d.id, e.subject_id FROM hub.delivery d JOIN hub.event e ON e.id = d.message_id")
	if err != nil {
		r.t.Fatal(err)
	}
	of, owner := map[uuid.UUID]string{}, map[string]uuid.UUID{}
	var delivery, subject uuid.UUID
	_, err = pgx.ForEachRow(rows, []any{&delivery, &subject}, func() error {
		code := codes[delivery.String()]
		if code == "" || of[subject] != "" && of[subject] != code || owner[code] != uuid.Nil && owner[code] != subject {
			r.t.Errorf("a child is not one code at SISS: %q", code)
		}
		of[subject], owner[code] = code, subject
		return nil
	})
	if err != nil || early > 0 || len(became) == 0 {
		r.t.Errorf("%v: %d events came before their code was told; %d codes told", err, early, len(became))
	}
	r.t.Logf("SISS: %d children under %d codes, %d told", len(of), len(under), len(became))
}

// TestSmokeRotation rotates every key while two instances take events by two doors, and holds all subjects
// against those before: no message is refused, each child stays one subject and, at SISS, one code.
func TestSmokeRotation(t *testing.T) {
	t.Parallel()
	r := startRotating(t)
	for child := range 40 {
		r.send(child%2, hubtest.Child(100_000+child), "2024", 1)
	}
	end := r.load(1)
	r.again("2010")
	// The second machine lacks the key: nothing comes into use.
	if out, err := r.keys("rotate", "code-nation", "--reason", "scadenza annuale", "--wait", "3s"); err == nil || !strings.Contains(out, "2 running, 1 hold it, 0 use it") {
		t.Fatalf("%v: %.600s", err, out)
	}
	if out, err := r.keys("destroy", "code-nation", "1", "--reason", "prova"); err == nil {
		t.Fatalf("a key in use was destroyed: %.300s", out)
	}
	r.distribute()
	r.rotate("code-nation")
	r.checkSubjects("codes of SISS rotated")
	for _, name := range []string{"code-region", "link", "seal", "journal"} {
		_, _ = r.keys("rotate", name, "--reason", "scadenza annuale", "--wait", "1ms")
		r.distribute()
		if name == "link" || name == "seal" {
			r.restartOpener()
		}
		if name == "link" {
			r.interrupt()
		}
		r.rotate(name)
		r.again(map[string]string{"code-region": "2011", "link": "2012", "seal": "2013", "journal": "2015"}[name])
		r.checkSubjects(name + " rotated")
	}
	for _, name := range []string{"link", "seal"} {
		if out, err := r.keys("destroy", name, "1", "--reason", "ruotata"); err != nil {
			t.Fatalf("destroy %s: %v: %.600s", name, err, out)
		}
		if _, err := os.Lstat(filepath.Join(r.folders[0], name+"-1.json")); !os.IsNotExist(err) {
			t.Errorf("%s: %v", name, err)
		}
		if err := os.Remove(filepath.Join(r.folders[1], name+"-1.json")); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	if out, err := r.keys("destroy", "code-nation", "1", "--reason", "ruotata"); err == nil || !strings.Contains(out, "rows depend") {
		t.Errorf("deliveries need it: %v: %.300s", err, out)
	}
	r.restartOpener()
	r.again("2014")
	end()
	r.checkSubjects("destroyed what nothing needs")
	hubtest.AwaitDelivered(t, r.db, 2*patience)
	r.checkNation()
	if n := r.refused.Load(); n != 0 {
		t.Errorf("%d of %d messages refused", n, r.sent.Load())
	}
	if n := hubtest.Number(t, r.db, "SELECT count(*) FROM vault.epoch_key WHERE opener_epoch = 1"); n != 0 {
		t.Errorf("%d epoch keys are sealed to the destroyed pair", n)
	}
	out, err := r.keys("status")
	t.Logf("%v\n%s", err, out)
	parts := replayer(t, r.h)
	report, err := replaying.Verify(t.Context(), parts, replaying.Options{Range: everything(t, parts)})
	if err != nil || report.Counts[replaying.Equal] != report.Total() {
		t.Errorf("replay across the rotations: %v, %+v", err, report.Counts)
	}
	r.noKeyLeft()
	r.checkJournal()
}

// checkJournal holds a bundle across the rotation against the key before and the key after, each alone, and
// that both are published, also once the old one's private half was destroyed.
func (r *rotating) checkJournal() {
	r.t.Helper()
	if out, err := r.keys("destroy", "journal", "1", "--reason", "ruotata"); err != nil {
		r.t.Fatalf("%v: %.300s", err, out)
	}
	if _, err := os.Lstat(filepath.Join(r.folders[0], "journal", "journal-1.key")); !os.IsNotExist(err) {
		r.t.Error("the old private half stands")
	}
	hubtest.Await(r.t, patience, "all leaves", func() bool { return hubtest.Number(r.t, r.db, "SELECT count(*) FROM hub.journal_queue") == 0 })
	to := hubtest.Number(r.t, r.db, "SELECT extract(epoch FROM hub.hub_now())::bigint")
	bundle := filepath.Join(r.t.TempDir(), "bundle")
	out, err := hubVerb(r.t, r.h, "audit", "export", "--from", time.Unix(to-3600, 0).UTC().Format(time.RFC3339),
		"--to", time.Unix(to, 0).UTC().Format(time.RFC3339), "--reason", "prova", "-o", bundle)
	if err != nil {
		r.t.Fatalf("%v: %.600s", err, out)
	}
	verify := verifier(r.t)
	for _, n := range []string{"1", "2"} {
		if code, said := verify(bundle, "--key", filepath.Join(r.folders[0], "journal", "journal-"+n+".pub")); code != 0 {
			r.t.Errorf("key %s alone: exit %d: %.900s", n, code, said)
		}
	}
	for _, door := range r.doors {
		url, _, _ := strings.Cut(door.URL, "/soap/")
		request, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, url+"/journal/keys", http.NoBody)
		if err != nil {
			r.t.Fatal(err)
		}
		response, err := (&http.Client{Timeout: patience}).Do(request)
		if err != nil {
			r.t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || strings.Count(string(text), "\n") != 3 || !strings.Contains(string(text), "# transition ") {
			r.t.Errorf("%v: published keys: %.600s", err, text)
		}
	}
}

// noKeyLeft looks for key files that others may read.
func (r *rotating) noKeyLeft() {
	r.t.Helper()
	for _, dir := range r.folders {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			info, err := d.Info()
			if err == nil && (info.Mode().Perm() != 0o600 || strings.HasPrefix(d.Name(), ".")) {
				r.t.Errorf("%s: mode %v", path, info.Mode())
			}
			return err
		})
		if err != nil {
			r.t.Error(err)
		}
	}
}
