//go:build smoke

package hubtest_test

import (
	"io"
	"net/http/httptrace"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// stopPatience is how long an operator waits for a stop.
const stopPatience = 20 * time.Second

// TestSmokeGracefulStop stops serve as an operator does while writers send: what has begun is
// answered, what is not answered was not taken, and nothing acknowledged is lost.
func TestSmokeGracefulStop(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	var all []sent
	answered, refused, unanswered := 0, 0, 0
	for round := range 3 {
		l := startLoad(t, h, false, hubtest.Child(writers*casesOfWriter*round))
		l.awaitAnswers(200)
		halves := startHalves(t, h, l.evidence, round)
		h.Terminate()
		for _, s := range halves {
			all = append(all, s.finish(t))
		}
		hubtest.Await(t, stopPatience, "serve ends", func() bool { return !h.Alive() })
		for _, s := range l.stop() {
			switch {
			case s.receipt != nil:
				answered++
			case len(s.refusals) > 0:
				refused++
				if s.refusals[0] != "SINBA_505" {
					t.Errorf("refused with %v while stopping", s.refusals)
				}
			default:
				unanswered++
			}
			all = append(all, s)
		}
		h.Up()
	}
	ledger := readLedger(t, h)
	for _, s := range all {
		if _, taken := ledger.byEvent[s.event]; taken && s.receipt == nil {
			t.Errorf("event %s was taken and not answered", s.event)
		}
	}
	lost, _ := ledger.check(all)
	t.Logf("3 stops under load: %d receipts, %d refused, %d connections refused or closed before a request was read, %d lost", answered, refused, unanswered, lost)
}

// half is a request that serve has begun to read and whose body is still to come.
type half struct {
	sent

	kept   *evidence
	body   []byte
	into   *io.PipeWriter
	answer chan *hubtest.Answer
}

// startHalves begins requests, so that serve holds them when it is asked to stop.
func startHalves(t *testing.T, h *hubtest.Hub, kept *evidence, round int) []*half {
	t.Helper()
	sender := h.Sender(hubtest.ChildEnte)
	var halves []*half
	for i := range 4 {
		s := &half{sent: sent{event: uuid.New(), child: hubtest.Child(160_000 + 100*round + i), sequence: 1}, answer: make(chan *hubtest.Answer, 1), kept: kept}
		if err := kept.intend(s.event); err != nil {
			t.Fatal(err)
		}
		s.body = soap.AppendEnvelope(nil, soap.V12, s.child.Event(s.event, 1))
		begun := make(chan struct{})
		// Serve asks for the body once it has begun with the request.
		trace := &httptrace.ClientTrace{Got100Continue: func() { close(begun) }}
		r, err := sender.Request(httptrace.WithClientTrace(t.Context(), trace), soap.V12, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Expect", "100-continue")
		reader, into := io.Pipe()
		r.Body, r.ContentLength, r.GetBody, s.into = reader, int64(len(s.body)), nil, into
		go func() {
			defer close(s.answer)
			defer reader.Close() //nolint:errcheck // it has nothing to say
			if a, err := sender.Do(r); err == nil {
				s.answer <- a
			}
		}()
		select {
		case <-begun:
		case <-s.answer:
			t.Fatal("refused before the body")
		}
		halves = append(halves, s)
	}
	return halves
}

// finish sends the body; a request that had begun must be answered with a receipt.
func (s *half) finish(t *testing.T) sent {
	t.Helper()
	go func() {
		_, err := s.into.Write(s.body)
		_ = s.into.CloseWithError(err)
	}()
	a := <-s.answer
	if a == nil || a.Receipt == nil {
		t.Errorf("a request in flight was not answered: %+v", a)
		return s.sent
	}
	s.receipt = a.Receipt
	if err := s.kept.told(t.Context(), s.event, a.Receipt); err != nil {
		t.Error(err)
	}
	return s.sent
}
