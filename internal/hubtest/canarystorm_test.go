//go:build e2e || smoke

package hubtest_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/siss"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// startLeaky starts a hub of such binaries, with its temporary files below its own folder, which is searched.
func startLeaky(t *testing.T) *canary {
	t.Helper()
	temp := t.TempDir()
	binaries := hubtest.LeakyBinaries(t)
	h := hubtest.StartFrom(t, binaries, "HUB_LEAK=ask", "TMPDIR="+temp, "SINBAHUB_OPENER_RATE=1000")
	c := &canary{t: t, hub: h, db: h.Superuser(), sender: h.Sender(hubtest.ChildEnte), marks: &marks{accents: true}, schema: readSchema(t), temp: temp, binaries: binaries}
	for _, p := range h.Run.Participants {
		c.marks.secrets = append(c.marks.secrets, h.Password(p))
	}
	return c
}

// swarm sends very many marked messages while everything around the hub fails.
type swarm struct {
	*canary
	random *rand.Rand
	// sent are messages by their kind, answered what came back, placed each leaf and placement there was.
	sent, answered map[string]int
	placed         map[string]bool
	// done are the faults that were injected.
	done map[string]int
	// hung takes the ends of requests that stall, which are hanging of them.
	hung    chan error
	hanging int
	bad     map[string]func(soap.Version) []byte
}

// TestE2ECanaryStorm is the short form of TestSmokeCanaryStorm: nothing is started anew in it.
func TestE2ECanaryStorm(t *testing.T) {
	t.Parallel()
	canaryStorm(t, 500, false)
}

// TestSmokeCanaryStorm: of thousands of messages with marked identities in every leaf, attribute, name, comment,
// CDATA section, header, query string, SOAPAction and user name, good, wrong and hostile, while panics,
// timeouts, faults of the database, deaths of workers and of serve, and faults of SISS strike, nothing shows
// anywhere. SINBAHUB_TEST_CANARIES says how many (`make campaign-canary`: 10,000).
func TestSmokeCanaryStorm(t *testing.T) {
	t.Parallel()
	n := 1000
	if text := os.Getenv("SINBAHUB_TEST_CANARIES"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	canaryStorm(t, n, true)
}

func canaryStorm(t *testing.T, n int, restarts bool) {
	t.Helper()
	s := &swarm{
		canary: startLeaky(t), random: rand.New(rand.NewPCG(7, uint64(n))),
		sent: map[string]int{}, answered: map[string]int{}, placed: map[string]bool{}, done: map[string]int{}, hung: make(chan error, n),
	}
	began := time.Now()
	faults := s.faults(restarts)
	for i := 0; len(s.answers) < n; i++ {
		for _, at := range slices.Sorted(maps.Keys(faults)) {
			if at*n <= len(s.answers)*100 {
				faults[at]()
				delete(faults, at)
			}
		}
		s.next(i)
	}
	if len(faults) > 0 {
		t.Errorf("%d faults never struck", len(faults))
	}
	sent := time.Now()
	s.mend()
	s.exports()
	if text, err := os.ReadFile(filepath.Join(s.hub.Var, "log", "serve.log")); err != nil || bytes.Count(text, []byte("exchange panicked")) < s.sent["panic"]/2 {
		t.Errorf("too few of %d messages made the hub panic: %v", s.sent["panic"], err)
	}
	done := time.Now()
	for _, l := range s.collect() {
		t.Errorf("%s: %s in %s", l.place, l.mark, l.around)
	}
	s.checkSealed()
	t.Logf("%d messages sent in %v, mended and exported in %v, searched in %v: %v; answers %v; %d pairs of leaf and placement; injected %v; searched %d columns and %d MB of files",
		len(s.answers), sent.Sub(began).Round(time.Second), done.Sub(sent).Round(time.Second), time.Since(done).Round(time.Second),
		s.sent, s.answered, len(s.placed), s.done, len(s.columns()), s.searched>>20)
	for _, kind := range []string{"valid", "invalid", "hostile", "transport", "panic"} {
		if s.sent[kind] == 0 {
			t.Errorf("no message was %s", kind)
		}
	}
	if s.answered["receipt"] < n/10 || s.answered["fault"] < n/10 {
		t.Errorf("too little of a kind: %v", s.answered)
	}
}

// next sends one message, or the history that one needs.
func (s *swarm) next(i int) {
	switch k := s.random.IntN(20); {
	case k < 6:
		s.valid()
	case k < 13:
		s.invalid()
	case k < 16:
		s.hostile()
	case k < 19:
		s.transport(i)
	default:
		s.try("panic", soap.V12, s.envelope(s.opening()), header("X-Leak", "panic-inside"))
	}
}

// try posts what may fail, and keeps what came back.
func (s *swarm) try(kind string, v soap.Version, body []byte, change func(*http.Request)) *hubtest.Answer {
	s.t.Helper()
	s.sent[kind]++
	r, err := s.sender.Request(s.t.Context(), v, body)
	if err != nil {
		s.t.Fatal(err)
	}
	if change != nil {
		change(r)
	}
	a, err := s.sender.Do(r)
	if err != nil {
		s.answered["none"]++
		a = &hubtest.Answer{} // the connection ended
	}
	switch {
	case err != nil:
	case a.Receipt != nil:
		s.answered["receipt"]++
	case a.Fault != nil:
		s.answered["fault"]++
	default:
		s.answered["other"]++
	}
	s.answers = append(s.answers, answered{kind, a})
	return a
}

// kinds gives a kind of body and one of identity.
func (s *swarm) kinds() (body, identity string) {
	names := func(typ string) string {
		choice := s.schema.complexTypes[typ].Choice
		return choice[s.random.IntN(len(choice))].Name
	}
	return names("DettaglioType"), names("IdentificativoPersonaType")
}

// opening is an event that nothing needs to have happened before.
func (s *swarm) opening() *element {
	_, identity := s.kinds()
	return s.full("AperturaCartella", identity)
}

// envelope puts a document into an envelope in one of the ways in which products write.
func (s *swarm) envelope(document *element) []byte {
	if s.random.IntN(2) == 0 {
		return soap.AppendEnvelope(nil, soap.V12, []byte(plainly(document)))
	}
	return soap.AppendEnvelope(nil, soap.V12, loud(document))
}

// valid sends an event with all that must have happened before it.
func (s *swarm) valid() {
	body, identity := s.kinds()
	document := s.full(body, identity, "/CodiceRegioneStruttura")
	for _, b := range before(body) {
		first := s.full(b, "CodiceFiscale")
		first.children[2], first.children[3] = document.children[2], document.children[3]
		s.try("valid", soap.V12, s.envelope(first), nil)
	}
	s.try("valid", soap.V12, s.envelope(document), nil)
}

// any is a mark of any kind.
func (s *swarm) any() string {
	switch s.random.IntN(6) {
	case 0:
		return s.marks.provisional()
	case 1:
		return s.marks.foreign("STP")
	case 2:
		return s.marks.foreign("ENI")
	case 3:
		return s.marks.name()
	case 4:
		return base64.StdEncoding.EncodeToString([]byte(s.marks.name()))
	}
	return s.marks.code()
}

// placements are where in a document a mark may stand: %[1]s is a leaf's name, %[2]s its text, %[3]s the mark.
func placements() map[string]string {
	return map[string]string{
		"leaf": `<%[1]s>%[3]s</%[1]s>`, "leaf beside its text": `<%[1]s>%[2]s %[3]s</%[1]s>`,
		"attribute": `<%[1]s nome="%[3]s">%[2]s</%[1]s>`, "attribute name": `<%[1]s zqxjvk="%[3]s">%[2]s</%[1]s>`,
		"element": `<%[1]s><a>%[3]s</a></%[1]s>`, "element name": `<Zqxjvk>%[3]s</Zqxjvk><%[1]s>%[2]s</%[1]s>`,
		"prefix": `<zqxjvk:%[1]s>%[2]s</zqxjvk:%[1]s>`, "namespace": `<%[1]s xmlns="urn:zqxjvk:%[3]s">%[2]s</%[1]s>`,
		"comment": `<!--%[3]s--><%[1]s>%[2]s</%[1]s>`, "comment in a leaf": `<%[1]s>%[2]s<!--%[3]s--></%[1]s>`,
		"CDATA": `<%[1]s><![CDATA[%[3]s]]></%[1]s>`, "CDATA between": `<![CDATA[%[3]s]]><%[1]s>%[2]s</%[1]s>`,
		"instruction": `<?zqxjvk %[3]s?><%[1]s>%[2]s</%[1]s>`, "text": `%[3]s<%[1]s>%[2]s</%[1]s>`,
		"entity": `<%[1]s>&Zqxjvk;</%[1]s>`, "references": `<%[1]s>&#x5a;&#81;&#x58;JVK %[3]s</%[1]s>`,
		"type":    `<%[1]s xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:type="%[3]s">%[2]s</%[1]s>`,
		"end tag": `<%[1]s>%[2]s</Zqxjvk>`,
	}
}

// invalid sends an event in which one leaf is not what it should be.
func (s *swarm) invalid() {
	body, identity := s.kinds()
	document := s.full(body, identity)
	var paths []string
	document.walk("", func(path string, _ *element) { paths = append(paths, path) })
	chosen := paths[s.random.IntN(len(paths))]
	all := placements()
	placement := slices.Sorted(maps.Keys(all))[s.random.IntN(len(all))]
	s.placed[chosen+" "+placement] = true
	var name, was string
	document = document.with(func(path, text string) string {
		if path != chosen {
			return text
		}
		was = text
		return "@@"
	})
	text := plainly(document)
	name = chosen[strings.LastIndex(chosen, "/")+1:]
	name, _, _ = strings.Cut(name, "[")
	place := "<" + name + ">@@</" + name + ">"
	if !strings.Contains(text, place) {
		s.t.Fatalf("%s is not in the document", place)
	}
	mark := s.any()
	if strings.Contains(placement, "name") || placement == "namespace" {
		mark = s.marks.code() // no blank may be there
	}
	text = strings.Replace(text, place, fmt.Sprintf(all[placement], name, was, mark), 1)
	if s.random.IntN(4) == 0 {
		text = strings.ReplaceAll(text, "InviaEvento", "VerificaEvento")
	}
	s.try("invalid", soap.V12, soap.AppendEnvelope(nil, soap.V12, []byte(text)), nil)
}

// hostile sends what is made to do harm.
func (s *swarm) hostile() {
	if s.bad == nil || s.random.IntN(50) == 0 {
		s.bad = s.badBodies(s.opening())
	}
	document := plainly(s.opening())
	whole := soap.AppendEnvelope(nil, soap.V12, []byte(document))
	mark := s.marks.code()
	var many strings.Builder
	for i := range 500 {
		fmt.Fprintf(&many, ` zqxjvk%d="%s"`, i, mark)
	}
	wide := bytes.ReplaceAll(whole, []byte(""), []byte{0})
	bodies := [][]byte{
		withDoctype(whole, `<!DOCTYPE Zqxjvk [<!ENTITY a "`+mark+`"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY % c SYSTEM "http://127.0.0.1:9/`+mark+`"> %c;]>`),
		bytes.Replace(whole, []byte("<Cartella>"), []byte("<Cartella"+many.String()+">"), 1),
		bytes.Replace(whole, []byte("<Cartella>"), []byte(strings.Repeat("<Zqxjvk>", 70)+mark), 1),
		append([]byte("\xfe\xff"), wide...),
		whole[:s.random.IntN(len(whole))],
		append(slices.Clone(whole), whole...),
		bytes.Replace(whole, []byte("<Cognome>"), []byte("<Cognome>\x00"), 1),
		bytes.Replace(whole, []byte("<Cognome>"), []byte("<Cognome>\xed\xa0\x80"), 1),
		[]byte(mark),
		[]byte(`<Zqxjvk xmlns:x="http://www.w3.org/2001/XInclude"><x:include href="file:///etc/` + mark + `"/></Zqxjvk>`),
		bytes.Replace(whole, []byte("<Cartella>"), []byte("<"+strings.Repeat("Zqxjvk", 60)+"/><Cartella>"), 1),
	}
	if k := s.random.IntN(len(bodies) + 5); k < len(bodies) {
		s.try("hostile", soap.V12, bodies[k], nil)
		return
	}
	names := slices.Sorted(maps.Keys(s.bad))
	s.try("hostile", soap.V11, s.bad[names[s.random.IntN(len(names))]](soap.V11), nil)
}

// transport sends a message, good or not, with marks around it.
func (s *swarm) transport(i int) {
	requests := s.badRequests()
	names := slices.Sorted(maps.Keys(requests))
	change := requests[names[s.random.IntN(len(names))]]
	if i%2 == 0 {
		change = func(r *http.Request) {
			r.URL.RawQuery = "cf=" + s.marks.code() + "&nome=" + url.QueryEscape(s.marks.name())
			for _, name := range []string{"User-Agent", "X-Forwarded-For", "X-Request-Id", "Referer", "Cookie", "Traceparent", "X-Zqxjvk", "Accept-Language", "From", "Via"} {
				r.Header.Set(name, "Zqxjvk "+s.marks.code())
			}
			if s.random.IntN(3) == 0 {
				r.Header.Set("SOAPAction", `"urn:`+s.marks.code()+`"`)
			}
		}
	}
	s.try("transport", soap.V11, soap.AppendEnvelope(nil, soap.V11, []byte(plainly(s.opening()))), change)
}

// faults are what strikes, by the percentage of messages after which it does; those after which something is
// started anew, or waited for long, only if asked for.
func (s *swarm) faults(restarts bool) map[int]func() {
	all := map[int]func(){
		5: func() {
			s.misbehave(siss.Faults{RefuseRatio: .1, FailRatio: .1, CutRatio: .1, GarbageRatio: .1, HTMLRatio: .1, WrongIDRatio: .1})
		},
		20: func() { s.breakTable("hub.event") },
		24: func() { s.breakTable("vault.subject_link") },
		28: func() { s.breakTable("hub.journal_entry") },
		35: s.freezeWorker,
		65: s.endConnections,
		70: func() { s.misbehave(siss.Faults{UnavailableRatio: .5, DropRatio: .1, HalfCloseRatio: .1}) },
		90: func() { s.misbehave(siss.Faults{}) },
	}
	if restarts {
		all[2], all[40], all[60] = s.stall, s.endDatabase, s.abortServe
	}
	for at := 1; at < 100; at += 8 {
		if all[at] == nil {
			all[at] = s.killWorker
		}
	}
	return all
}

func (s *swarm) misbehave(f siss.Faults) {
	s.done["SISS faults"]++
	s.hub.MisbehaveSiss(f)
}

// killWorker ends a worker of the validator as a fault of its memory would, while a message is on the way.
func (s *swarm) killWorker() {
	for _, pid := range s.hub.Workers() {
		s.done["worker killed"]++
		_ = syscall.Kill(pid, syscall.SIGSEGV)
		break
	}
	s.try("valid", soap.V12, s.envelope(s.opening()), nil)
}

// freezeWorker stops all workers for the next message, which outlasts its deadline.
func (s *swarm) freezeWorker() {
	for _, pid := range s.hub.Workers() {
		s.done["worker frozen"]++
		_ = syscall.Kill(pid, syscall.SIGSTOP)
	}
	s.try("valid", soap.V12, s.envelope(s.opening()), nil)
}

// breakTable has the database refuse the rows of a table, which it does with a word about the row.
func (s *swarm) breakTable(table string) {
	s.done["database refuses"]++
	for _, statement := range []string{"ADD CONSTRAINT broken CHECK (false) NOT VALID", "DROP CONSTRAINT broken"} {
		if _, err := s.db.Exec(s.t.Context(), "ALTER TABLE "+table+" "+statement); err != nil {
			s.t.Fatal(err)
		}
		for range 5 {
			s.try("valid", soap.V12, s.envelope(s.opening()), nil)
		}
	}
}

// endDatabase ends the server as a power cut would, in the middle of messages.
func (s *swarm) endDatabase() {
	s.done["database killed"]++
	s.hub.KillDatabase()
	for range 3 {
		s.try("valid", soap.V12, s.envelope(s.opening()), nil)
	}
	s.up()
}

// abortServe ends serve with a signal on which Go tells what all goroutines were doing.
func (s *swarm) abortServe() {
	s.done["serve aborted"]++
	if err := syscall.Kill(s.hub.Run.Pids.Serve, syscall.SIGABRT); err != nil {
		s.t.Fatal(err)
	}
	hubtest.Await(s.t, patience, "serve ends", func() bool { return !s.hub.Alive() })
	s.up()
}

// up starts what does not run, and finds it again.
func (s *swarm) up() {
	s.hub.Up("HUB_LEAK=ask", "TMPDIR="+s.temp, "SINBAHUB_OPENER_RATE=1000")
	s.db, s.sender = s.hub.Superuser(), s.hub.Sender(hubtest.ChildEnte)
}

// endConnections ends all connections of the hub to its database.
func (s *swarm) endConnections() {
	s.done["connections ended"]++
	if _, err := s.db.Exec(s.t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename IN ('hub_app', 'hub_vault')"); err != nil {
		s.t.Fatal(err)
	}
	s.try("valid", soap.V12, s.envelope(s.opening()), nil)
}

// stall sends half a message and then nothing, until the hub ends the connection.
func (s *swarm) stall() {
	s.done["request stalled"]++
	body := s.envelope(s.opening())
	u, err := url.Parse(s.sender.URL)
	if err != nil {
		s.t.Fatal(err)
	}
	head := fmt.Sprintf("POST %s?cf=%s HTTP/1.1\r\nHost: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nX-Zqxjvk: %s\r\nAuthorization: Basic %s\r\n\r\n",
		u.Path, s.marks.code(), u.Host, soap.V12.ContentType(), len(body), s.marks.code(),
		base64.StdEncoding.EncodeToString([]byte(s.sender.User+":"+s.sender.Password)))
	s.hanging++
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(s.t.Context()), 2*patience)
		defer cancel()
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", u.Host)
		if err == nil {
			defer conn.Close() //nolint:errcheck // the hub ended it
			_ = conn.SetDeadline(time.Now().Add(2 * patience))
			_, _ = conn.Write(append([]byte(head), body[:len(body)/2]...))
			_, err = io.Copy(io.Discard, conn)
		}
		s.hung <- err
	}()
}

// mend has everything work again and waits until what was accepted went on its way.
func (s *swarm) mend() {
	s.t.Helper()
	// What waits behind an event that SISS had a fault for, and for that one's next attempt, need not be over.
	hubtest.Await(s.t, patience, "events are delivered", func() bool {
		return s.number("SELECT count(*) FROM hub.delivery WHERE state = 'delivered'") >= int64(s.answered["receipt"]/3)
	})
	for range s.hanging {
		select {
		case err := <-s.hung:
			if err != nil {
				s.t.Logf("a stalled request: %v", err)
			}
		case <-time.After(2 * patience):
			s.t.Error("a stalled request was never ended")
		}
	}
	if _, err := s.db.Exec(s.t.Context(), "CHECKPOINT"); err != nil {
		s.t.Fatal(err)
	}
}

// exports has every file made that leaves the hub for people, and keeps it for the search.
func (s *swarm) exports() {
	s.t.Helper()
	dir := filepath.Join(s.temp, "exports")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		s.t.Fatal(err)
	}
	from, to := time.Now().Add(-2*time.Hour).UTC().Format(time.RFC3339), time.Now().UTC().Format(time.RFC3339)
	ids := filepath.Join(dir, "ids")
	var text strings.Builder
	rows, err := s.db.Query(s.t.Context(), "SELECT id FROM hub.event ORDER BY id DESC LIMIT 40")
	if err != nil {
		s.t.Fatal(err)
	}
	for rows.Next() {
		var id uuid.UUID
		if err := rows.Scan(&id); err != nil {
			s.t.Fatal(err)
		}
		text.WriteString(id.String() + "\n")
	}
	if err := os.WriteFile(ids, []byte(text.String()), 0o600); err != nil {
		s.t.Fatal(err)
	}
	people := s.hub.People(s.t)
	for _, args := range [][]string{
		{"audit", "export", "--from", from, "--to", to, "--reason", "prova", "-o", filepath.Join(dir, "bundle.zip")},
		{"replay", "verify", "--ids", ids, "--ticket", people.ReplayTicket()},
		{
			"replay", "what-if", "--ids", ids, "--ticket", people.ReplayTicket(), "--html", filepath.Join(dir, "report.html"), "--csv", filepath.Join(dir, "report.csv"),
			"--mapping", filepath.Join(hubtest.Root(), "internal", "sinba", "foglie.tsv"),
		},
		{"delivery", "list", "--limit", "1000", "--json"},
		{"delivery", "list", "--count"},
		{"retention", "run", "--dry-run"},
	} {
		if out, exit := s.tell(args...); exit != 0 {
			s.t.Errorf("%q: exit %d: %.500s", args[:2], exit, out)
		}
	}
	for _, name := range []string{"bundle.zip", "report.html", "report.csv"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() < 100 {
			s.t.Errorf("%s was not written: %v", name, err)
		}
	}
}
