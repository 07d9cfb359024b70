package opener_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/opener"
	"github.com/sinbahub/sinbahub/internal/ticket"
)

// The variables that make the test program a victim: an opener that is killed as soon as an entry is
// durable and before anything is opened.
const (
	victimDSN    = "OPENER_VICTIM_DSN"
	victimKeys   = "OPENER_VICTIM_KEYS"
	victimSocket = "OPENER_VICTIM_SOCKET"
)

// dying is a store that kills its process behind a commit.
type dying struct{ opener.Store }

func (d dying) UseTicket(ctx context.Context, t ticket.Signed, e journal.Entry) error {
	if err := d.Store.UseTicket(ctx, t, e); err != nil {
		return err
	}
	return syscall.Kill(os.Getpid(), syscall.SIGKILL)
}

// TestVictim is no test: it is the process that TestKilledBehindTheEntry kills.
func TestVictim(t *testing.T) {
	t.Parallel()
	if os.Getenv(victimDSN) == "" {
		return
	}
	if err := opener.Harden(); err != nil {
		t.Fatal(err)
	}
	listener, err := opener.Listen(t.Context(), os.Getenv(victimSocket), os.Getuid(), os.Getgid())
	if err != nil {
		t.Fatal(err)
	}
	everybody := func() ([]ticket.Person, error) {
		people := []ticket.Person{{Name: "anna", Roles: []ticket.Role{ticket.Operator, ticket.Auditor}}, {Name: "bruno", Roles: []ticket.Role{ticket.PrivacyOfficer}}}
		for i := range people {
			people[i].Key = key(people[i].Name).Public().(ed25519.PublicKey)
		}
		return people, nil
	}
	o := newOpener(t, os.Getenv(victimDSN), options{
		keys: os.Getenv(victimKeys), trusted: everybody, store: func(s opener.Store) opener.Store { return dying{s} },
	}, time.Now, zap.NewNop())
	if err := o.Serve(t.Context(), listener); err != nil {
		t.Error(err)
	}
}

// Killed between entry and answer, an opener leaves the entry and has told nothing; the next one takes its
// socket over.
func TestKilledBehindTheEntry(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	message := w.message(w.child(), "one")
	w.stop()
	victim := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestVictim$")
	victim.Env = append(os.Environ(), victimDSN+"="+w.dsn, victimKeys+"="+filepath.Join(w.keysDir, "opener"), victimSocket+"="+w.socket)
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- victim.Wait() }()
	await(t, func() bool { return w.client.Alive(t.Context()) == nil })
	used := opener.Question{Ticket: sign(t, draft(ticket.Open, one(message))), ID: message}
	got, err := w.client.Open(t.Context(), used)
	if !errors.Is(err, opener.ErrUnreachable) || got != nil {
		t.Errorf("answered %v %v", got, err)
	}
	if err := <-ended; err == nil {
		t.Fatal("it ended well")
	}
	if status, ok := victim.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Fatalf("ended by %v", victim.ProcessState)
	}
	if all := w.entries(); len(all) != 1 || all[0].Message != message {
		t.Errorf("%d entries", len(all))
	}
	listener, err := opener.Listen(t.Context(), w.socket, os.Getuid(), os.Getgid())
	if err != nil {
		t.Fatalf("after a kill: %v", err)
	}
	_ = listener.Close()
	// The ticket of a use that was interrupted is used up: whether anything was told is not known to anybody.
	w.run(options{})
	if got, err := w.client.Open(t.Context(), used); !errors.Is(err, ticket.ErrUsed) || got != nil {
		t.Errorf("the same ticket again: %v", err)
	}
	if got, err := w.open(message, 0); err != nil || string(got.Plain) != "one" {
		t.Errorf("another ticket: %v", err)
	}
}

// await polls for what must come soon.
func await(t *testing.T, done func() bool) {
	t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for !done() {
		select {
		case <-deadline.C:
			t.Fatal("it did not come")
		case <-ticker.C:
		}
	}
}

// The socket is for its user and group, in a folder of its own; nothing strange is used or taken away.
func TestListenTakesOnlyWhatIsItsOwn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	listen := func(name string) error {
		listener, err := opener.Listen(t.Context(), filepath.Join(dir, name, "s"), os.Getuid(), os.Getgid())
		if err == nil {
			t.Cleanup(func() { _ = listener.Close() })
		}
		return err
	}
	if err := listen("one"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{"one": os.ModeDir | 0o750, "one/s": os.ModeSocket | 0o660} {
		if info, err := os.Lstat(filepath.Join(dir, name)); err != nil || info.Mode() != want {
			t.Errorf("%s: %v %v, want %v", name, info.Mode(), err, want)
		}
	}
	if err := listen("one"); !errors.Is(err, opener.ErrRunning) {
		t.Errorf("a second opener: %v", err)
	}
	if err := errors.Join(
		os.Mkdir(filepath.Join(dir, "file"), 0o700), os.WriteFile(filepath.Join(dir, "file", "s"), []byte("mine"), 0o600),
		os.Mkdir(filepath.Join(dir, "aim"), 0o700), os.Symlink(filepath.Join(dir, "aim"), filepath.Join(dir, "link")),
	); err != nil {
		t.Fatal(err)
	}
	if err := listen("link"); err == nil {
		t.Error("listening behind a link")
	}
	if err := listen("file"); !errors.Is(err, opener.ErrNoSocket) || !strings.Contains(err.Error(), filepath.Join(dir, "file", "s")) {
		t.Errorf("in the place of a file: %v", err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "file", "s")); err != nil || string(text) != "mine" {
		t.Errorf("%q %v", text, err)
	}
}

// A socket is taken away only if nobody answers on it, whoever holds the lock.
func TestListenReplacesOnlyADeadSocket(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "opener-") //nolint:usetesting // a short path, for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "s", "opener.sock")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	other, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	other.SetUnlinkOnClose(false)
	before, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if l, err := opener.Listen(t.Context(), path, os.Getuid(), os.Getgid()); err == nil {
		_ = l.Close()
		t.Error("somebody else's socket was taken")
	} else if !strings.Contains(err.Error(), path) {
		t.Errorf("the path is not told: %v", err)
	}
	if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) {
		t.Errorf("the other's socket is another: %v", err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	// A process that another test is just starting has it, too, until it has its own program.
	var l net.Listener
	await(t, func() bool {
		l, err = opener.Listen(t.Context(), path, os.Getuid(), os.Getgid())
		return err == nil
	})
	_ = l.Close()
}

// A hardened process cannot be looked into, and leaves no core.
func TestHardenClosesTheProcess(t *testing.T) {
	t.Parallel()
	if err := opener.Harden(); err != nil {
		t.Fatal(err)
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_CORE, &limit); err != nil || limit.Cur != 0 || limit.Max != 0 {
		t.Errorf("core limit %+v %v", limit, err)
	}
	if dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err != nil || dumpable != 0 {
		t.Errorf("dumpable %d %v", dumpable, err)
	}
}

// Whatever is sent to it, an opener answers with a refusal and goes on.
func TestHostileRequestsAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	message := w.message(w.child(), "one")
	caller := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", w.socket)
	}}}
	signed, err := json.Marshal(sign(t, draft(ticket.Open, one(message))))
	if err != nil {
		t.Fatal(err)
	}
	good := `{"ticket":` + string(signed) + `,"id":"` + message.String() + `"`
	for name, test := range map[string]struct{ method, path, body string }{
		"no body":          {"POST", "/v1/open", ""},
		"no JSON":          {"POST", "/v1/open", "<id/>"},
		"a list":           {"POST", "/v1/open", "[" + good + "}]"},
		"unknown field":    {"POST", "/v1/open", good + `,"approved_by":"x"}`},
		"two questions":    {"POST", "/v1/open", good + "}" + good + "}"},
		"negative attempt": {"POST", "/v1/open", good + `,"attempt":-1}`},
		"no id":            {"POST", "/v1/open", `{"ticket":` + string(signed) + `,"id":"x"}`},
		"a deep one":       {"POST", "/v1/open", strings.Repeat("[", 1<<20)},
		"a huge one":       {"POST", "/v1/open", `{"ticket":"` + strings.Repeat("x", 4<<20) + `"}`},
		"no session":       {"POST", "/v1/sessions/x/open", `{"items":[]}`},
		"another's":        {"POST", "/v1/sessions/" + message.String() + "/open", `{"items":[{"message":"` + message.String() + `"}]}`},
		"another end":      {"DELETE", "/v1/sessions/" + message.String(), ""},
		"another verb's":   {"POST", "/v1/reidentify", `{"ticket":` + string(signed) + `}`},
		"another's run":    {"POST", "/v1/sessions", `{"ticket":` + string(signed) + `}`},
		"no ticket":        {"POST", "/v1/reidentify", `{}`},
		"a person's word":  {"POST", "/v1/open", `{"actor":"a","reason":"r","id":"` + message.String() + `"}`},
		"no such path":     {"POST", "/v1/rotate", good + "}"},
		"no such method":   {"GET", "/v1/open", ""},
	} {
		request, err := http.NewRequestWithContext(t.Context(), test.method, "http://opener"+test.path, strings.NewReader(test.body))
		if err != nil {
			t.Fatal(err)
		}
		response, err := caller.Do(request)
		if err != nil {
			continue // it may hang up on what is too large
		}
		body, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if response.StatusCode < 400 || bytes.Contains(body, []byte(message.String())) {
			t.Errorf("%s: %d %.100s", name, response.StatusCode, body)
		}
	}
	if n := len(w.entries()); n != 0 {
		t.Errorf("%d entries", n)
	}
	if got, err := w.open(message, 0); err != nil || string(got.Plain) != "one" {
		t.Errorf("afterwards: %v", err)
	}
}
