package opener_test

import (
	"bytes"
	"context"
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

func (d dying) JournalOpening(ctx context.Context, e journal.Entry) error {
	if err := d.Store.JournalOpening(ctx, e); err != nil {
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
	o := newOpener(t, os.Getenv(victimDSN), options{
		keys: os.Getenv(victimKeys), store: func(s opener.Store) opener.Store { return dying{s} },
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
	got, err := w.open(message, 0)
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
	for _, name := range []string{"file", "link"} {
		if err := listen(name); err == nil {
			t.Errorf("%s: listening", name)
		}
	}
	if text, err := os.ReadFile(filepath.Join(dir, "file", "s")); err != nil || string(text) != "mine" {
		t.Errorf("%q %v", text, err)
	}
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
	good := `{"actor":"a","reason":"r","id":"` + message.String() + `"`
	for name, test := range map[string]struct{ method, path, body string }{
		"no body":          {"POST", "/v1/open", ""},
		"no JSON":          {"POST", "/v1/open", "<id/>"},
		"a list":           {"POST", "/v1/open", "[" + good + "}]"},
		"unknown field":    {"POST", "/v1/open", good + `,"approved_by":"x"}`},
		"two questions":    {"POST", "/v1/open", good + "}" + good + "}"},
		"negative attempt": {"POST", "/v1/open", good + `,"attempt":-1}`},
		"no id":            {"POST", "/v1/open", `{"actor":"a","reason":"r","id":"x"}`},
		"a deep one":       {"POST", "/v1/open", strings.Repeat("[", 1<<20)},
		"a huge one":       {"POST", "/v1/open", good + `,"ticket":"` + strings.Repeat("x", 4<<20) + `"}`},
		"no session":       {"POST", "/v1/sessions/x/open", `{"items":[]}`},
		"another's":        {"POST", "/v1/sessions/" + message.String() + "/open", `{"items":[{"message":"` + message.String() + `"}]}`},
		"another end":      {"DELETE", "/v1/sessions/" + message.String(), ""},
		"no such path":     {"POST", "/v1/reidentify", good + "}"},
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
