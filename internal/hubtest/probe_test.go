//go:build smoke

package hubtest_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// probeChildren is the first child that no writer cares for.
const probeChildren = 160_000

// probe sends single events beside the load, to see what the hub says of itself.
type probe struct {
	h     *hubtest.Hub
	first hubtest.Child
	sent  []sent
	// evidence is the writers' file, opened with the first try: what is told here counts as much.
	evidence *evidence
}

// try sends once: a new event, or the one before again if it had no receipt.
func (p *probe) try(t *testing.T) *hubtest.Answer {
	t.Helper()
	if p.evidence == nil {
		p.evidence = openEvidence(t, receiptsFile(p.h))
	}
	if n := len(p.sent); n == 0 || p.sent[n-1].receipt != nil {
		p.sent = append(p.sent, sent{event: uuid.New(), child: p.first + hubtest.Child(n), sequence: 1})
		if err := p.evidence.intend(p.sent[n].event); err != nil {
			t.Fatal(err)
		}
	}
	s := &p.sent[len(p.sent)-1]
	s.attempts++
	a, err := p.h.Sender(hubtest.ChildEnte).Send(t.Context(), soap.V11, s.child.Event(s.event, s.sequence))
	if err != nil {
		return nil
	}
	if s.receipt = a.Receipt; a.Receipt != nil {
		if err := p.evidence.told(t.Context(), s.event, a.Receipt); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

// awaitRefused sends until the hub says that it cannot store, in the words of the contract. Before
// each try something is done that makes it so.
func (p *probe) awaitRefused(t *testing.T, before func()) {
	t.Helper()
	hubtest.Await(t, time.Minute, "the hub refuses to store", func() bool {
		before()
		a := p.try(t)
		if a == nil || a.Receipt != nil {
			return false
		}
		if a.Fault == nil || a.Status != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" ||
			!slices.Contains([]string{string(hub.CodeUnavailable), string(hub.CodeOverloaded)}, a.Header.Get("X-Sinba-Codice")) {
			t.Errorf("refused with %d %s, Retry-After %q", a.Status, a.Header.Get("X-Sinba-Codice"), a.Header.Get("Retry-After"))
		}
		return true
	})
}

// finish repeats until the last event has its receipt too.
func (p *probe) finish(t *testing.T) []sent {
	t.Helper()
	hubtest.Await(t, time.Minute, "the refused event gets its receipt", func() bool {
		if len(p.sent) > 0 && p.sent[len(p.sent)-1].receipt == nil {
			p.try(t)
		}
		return len(p.sent) == 0 || p.sent[len(p.sent)-1].receipt != nil
	})
	return p.sent
}
