//go:build smoke

package hubtest_test

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

const (
	// stormRepeats and stormIDs are the short form; SINBAHUB_TEST_STORM_REPEATS and
	// SINBAHUB_TEST_STORM_IDS change them.
	stormRepeats = 1_000
	stormIDs     = 100
	// stormConnections send the one message, stormRacers race for each id.
	stormConnections = 50
	stormRacers      = 20
	// stormAtOnce is how many ids are raced for at once.
	stormAtOnce = 8
)

// storm is what the senders of a storm share.
type storm struct {
	t       *testing.T
	senders []hubtest.Sender
	book    *evidence
	// turned counts answers that asked to come back.
	turned atomic.Int64
}

// TestSmokeDuplicateStorm sends one message over and over from many connections to two instances, and
// lets twenty racers at a time send one id, half of them with other content: each id has one effect,
// and everybody is told the same.
func TestSmokeDuplicateStorm(t *testing.T) {
	t.Parallel()
	repeats, ids := scale(t, "STORM_REPEATS", stormRepeats), scale(t, "STORM_IDS", stormIDs)
	h := hubtest.Start(t)
	other := h.Serve("other", nil)
	other.Start()
	other.AwaitReady()
	s := &storm{t: t, book: openEvidence(t, receiptsFile(h))}
	for _, door := range []string{h.Run.SoapURL, other.SoapURL} {
		sender := h.Sender(hubtest.ChildEnte)
		sender.URL = door
		s.senders = append(s.senders, sender)
	}
	began := time.Now()
	same := s.repeat(repeats)
	repeated := time.Since(began)
	began = time.Now()
	winners, duplicates, refused := s.races(ids)
	raced := time.Since(began)
	if t.Failed() {
		return
	}
	f := readLedger(t, h).compare(nil)
	f.report(t)
	if n := hubtest.Number(t, h.Superuser(), "SELECT count(*) FROM hub.event"); n != int64(1+ids) {
		t.Errorf("%d events are stored of %d ids", n, 1+ids)
	}
	tab := newTable("duplicate storm over two instances")
	tab.row("one message, times sent over 50 connections", "10,000", "%d in %v", repeats, repeated.Round(time.Second))
	tab.row("the same receipt for all of them", "all", "%d", same)
	tab.row("ids with 20 racers of which half differ", "1,000", "%d in %v", ids, raced.Round(time.Second))
	tab.row("exactly one accepted of each id", "all", "%d", winners)
	tab.row("others with its content: its receipt", "", "%d", duplicates)
	tab.row("others with other content: SINBA_110", "", "%d", refused)
	tab.row("answers that asked to come back", "", "%d", s.turned.Load())
	tab.findingsRows(f, winners+duplicates+same, 0)
	tab.row("second effects of an id", "0", "%s", outOf(len(f[findDoubled]), 1+ids))
	tab.print(t)
}

// repeat sends one message again and again and counts equal receipts.
func (s *storm) repeat(times int) (same int) {
	s.t.Helper()
	id := uuid.New()
	if err := s.book.intend(id); err != nil {
		s.t.Fatal(err)
	}
	document := hubtest.Child(0).Event(id, 1)
	var left, equal atomic.Int64
	left.Store(int64(times))
	var first atomic.Pointer[string]
	var wg sync.WaitGroup
	for c := range stormConnections {
		wg.Go(func() {
			for left.Add(-1) >= 0 && !s.t.Failed() {
				a := s.send(s.senders[c%len(s.senders)], id, document)
				if a == nil || a.Receipt == nil {
					s.t.Errorf("a repetition was refused: %+v", a)
					return
				}
				if first.CompareAndSwap(nil, &a.Receipt.IDRicevuta); *first.Load() != a.Receipt.IDRicevuta {
					s.t.Errorf("receipts %s and %s for one message", *first.Load(), a.Receipt.IDRicevuta)
				}
				equal.Add(1)
			}
		})
	}
	wg.Wait()
	return int(equal.Load())
}

// send repeats until the answer is final; a receipt is kept first.
func (s *storm) send(sender hubtest.Sender, id uuid.UUID, document []byte) *hubtest.Answer {
	ctx, cancel := context.WithTimeout(s.t.Context(), giveUp)
	defer cancel()
	for {
		a, err := sender.Send(ctx, soap.V12, document)
		if err != nil {
			s.t.Errorf("unanswered: %v", err)
			return nil
		}
		if a.Receipt != nil {
			if err := s.book.told(ctx, id, a.Receipt); err != nil {
				s.t.Errorf("keep a receipt: %v", err)
			}
			return a
		}
		if a.Status != http.StatusServiceUnavailable && a.Status != http.StatusTooManyRequests {
			return a
		}
		s.turned.Add(1)
		wait, err := strconv.Atoi(a.Header.Get("Retry-After"))
		if err != nil || !pause(ctx, time.Duration(wait)*time.Second) {
			s.t.Errorf("told to come back after %q", a.Header.Get("Retry-After"))
			return a
		}
	}
}

// races lets racers send each id at once, half of them with other content.
func (s *storm) races(ids int) (winners, duplicates, refused int) {
	s.t.Helper()
	var mu sync.Mutex
	next := make(chan int)
	var wg sync.WaitGroup
	for range stormAtOnce {
		wg.Go(func() {
			for n := range next {
				w, d, r := s.race(n)
				mu.Lock()
				winners, duplicates, refused = winners+w, duplicates+d, refused+r
				mu.Unlock()
			}
		})
	}
	for n := range ids {
		if s.t.Failed() {
			break
		}
		next <- n
	}
	close(next)
	wg.Wait()
	return winners, duplicates, refused
}

// race is one id.
func (s *storm) race(n int) (winners, duplicates, refused int) {
	id, child := uuid.New(), hubtest.Child(1+n)
	if err := s.book.intend(id); err != nil {
		s.t.Error(err)
		return 0, 0, 0
	}
	contents := []string{"SPORTELLO", "AUTORITA_GIUDIZIARIA"}
	answers := make([]*hubtest.Answer, stormRacers)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() {
			document := strings.Replace(string(child.Event(id, 1)), contents[0], contents[i%2], 1)
			<-start
			answers[i] = s.send(s.senders[i/2%len(s.senders)], id, []byte(document))
		})
	}
	close(start)
	wg.Wait()
	// receipts are those of each content: one content has all of them, one is accepted and the others
	// are told of it.
	receipts := map[int]map[string]bool{0: {}, 1: {}}
	for i, a := range answers {
		switch {
		case a != nil && a.Receipt != nil:
			receipts[i%2][a.Receipt.IDRicevuta] = true
			if a.Receipt.Esito == "DUPLICATO" {
				duplicates++
			} else {
				winners++
			}
		case a != nil && a.Fault != nil && len(a.Fault.Findings) == 1 && a.Fault.Findings[0].Codice == "SINBA_110":
			refused++
		default:
			s.t.Errorf("a racer was told %+v", a)
		}
	}
	if winners != 1 || len(receipts[0])+len(receipts[1]) != 1 || refused != stormRacers/2 {
		s.t.Errorf("id %s: %d accepted, %d duplicates, %d refused, receipts %v", id, winners, duplicates, refused, receipts)
	}
	return winners, duplicates, refused
}
