package validator_test

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/validator"
)

// TestLargeDocumentsKeepNobodyWaiting: while the worker of the large documents stands still with a
// queue before it, the usual ones are answered; then the large ones are too.
func TestLargeDocumentsKeepNobodyWaiting(t *testing.T) {
	t.Parallel()
	p := newPool(t, func(c *validator.Config) { c.Workers, c.Deadline = 1, time.Minute })
	usual := p.pids(t)
	others := slices.DeleteFunc(p.allPids(t), func(pid int) bool { return slices.Contains(usual, pid) })
	if len(others) != 1 {
		t.Fatalf("%v beside %v", others, usual)
	}
	if err := syscall.Kill(others[0], syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	event := samples(t)["intervento.xml"]
	large := strings.Replace(string(event), ">", strings.Repeat(" ", 64<<10)+">", 1)
	const queued = 40
	answers := make(chan error, queued)
	for range queued {
		go func() {
			_, err := p.validate(t, large)
			answers <- err
		}()
	}
	for range 200 {
		if _, err := p.Validate(t.Context(), validator.SinbaEventi, validator.Bare, event); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(answers); n > 0 {
		t.Errorf("%d large documents were answered by a worker that stands still", n)
	}
	if err := syscall.Kill(others[0], syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	for range queued {
		if err := <-answers; codeOf(t, err) == hub.CodeValidatorDied || codeOf(t, err) == hub.CodeUnavailable {
			t.Error(err)
		}
	}
}
