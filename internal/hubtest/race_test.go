//go:build e2e

package hubtest_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

const (
	racers = 20
	rounds = 3
)

// raceResult is how a racer ended.
type raceResult struct {
	content string
	answer  *hubtest.Answer
	turned  int // how often it was told to come back
}

// checkRaces lets racers send one event at the same moment, half of them with other content.
func checkRaces(t *testing.T, h *hubtest.Hub, db *pgx.Conn) {
	t.Helper()
	s := h.Sender(hubtest.ChildEnte)
	turned := 0
	for round := range rounds {
		id := uuid.New()
		child := hubtest.Child(1000 + round)
		results := make([]raceResult, racers)
		start := make(chan struct{})
		var wg sync.WaitGroup
		for i := range results {
			wg.Go(func() {
				r := &results[i]
				r.content = []string{"SPORTELLO", "AUTORITA_GIUDIZIARIA"}[i%2]
				<-start
				var err error
				if r.answer, r.turned, err = race(t.Context(), s, child, id, r.content); err != nil {
					t.Errorf("racer %d: %v", i, err)
				}
			})
		}
		close(start)
		wg.Wait()
		if t.Failed() {
			return
		}
		checkRace(t, db, id, results)
		for _, r := range results {
			turned += r.turned
		}
	}
	t.Logf("%d racers in %d rounds were told %d times to come back", racers, rounds, turned)
}

// race sends until the answer is final, and honours Retry-After.
func race(ctx context.Context, s hubtest.Sender, child hubtest.Child, id uuid.UUID, content string) (a *hubtest.Answer, turned int, err error) {
	for {
		document := strings.Replace(string(child.Event(id, 1)), "SPORTELLO", content, 1)
		a, err := s.Send(ctx, soap.V11, []byte(document))
		if err != nil || a.Status != http.StatusServiceUnavailable {
			return a, turned, err
		}
		if got := a.Header.Get("X-Sinba-Codice"); got != "SINBA_111" || a.Fault == nil {
			return a, turned, fmt.Errorf("503 with %q: %s", got, a.Body)
		}
		wait, err := strconv.Atoi(a.Header.Get("Retry-After"))
		if err != nil || wait < 1 {
			return a, turned, fmt.Errorf("503 with Retry-After %q", a.Header.Get("Retry-After"))
		}
		turned++
		again := time.NewTimer(time.Duration(wait) * time.Second)
		select {
		case <-ctx.Done():
			again.Stop()
			return a, turned, ctx.Err()
		case <-again.C:
		}
	}
}

// checkStorm repeats an accepted event from many connections at once: nobody is sent away, because
// nothing is being accepted.
func checkStorm(t *testing.T, h *hubtest.Hub) {
	t.Helper()
	s := h.Sender(hubtest.ChildEnte)
	id, child := uuid.New(), hubtest.Child(999)
	first := mustSend(t, s, soap.V12, child.Event(id, 1))
	if first.Receipt == nil {
		t.Fatalf("%s", first.Body)
	}
	var wg sync.WaitGroup
	for range racers {
		wg.Go(func() {
			for range 20 {
				a, err := s.Send(t.Context(), soap.V12, child.Event(id, 1))
				if err != nil || a.Receipt == nil || a.Receipt.Esito != "DUPLICATO" || a.Receipt.IDRicevuta != first.Receipt.IDRicevuta {
					t.Errorf("a repetition: %v %+v", err, a)
					return
				}
			}
		})
	}
	wg.Wait()
}

// checkNewChild sends the openings of different cases of one child at the same moment, all of them
// the first the hub hears of it: every one is accepted, for one child. Then different events of one
// case at the same moment: all of them are taken, one after the other.
func checkNewChild(t *testing.T, h *hubtest.Hub, db *pgx.Conn) {
	t.Helper()
	openings, reports := make([]uuid.UUID, racers), make([]uuid.UUID, racers)
	child := hubtest.Child(998)
	atOnce(t, h, openings, func(i int) []byte {
		return bytes.ReplaceAll(child.Event(openings[i], 1), []byte(child.Case()), []byte(child.Case()+"/"+strconv.Itoa(i)))
	})
	atOnce(t, h, reports, func(i int) []byte {
		return bytes.ReplaceAll(child.Event(reports[i], i+2), []byte(child.Case()), []byte(child.Case()+"/0"))
	})
	for _, check := range []struct {
		ids  []uuid.UUID
		what string
		want int64
	}{
		{openings, "count(DISTINCT subject_id)", 1},
		{openings, "count(DISTINCT case_id)", racers},
		{reports, "count(DISTINCT subject_id)", 1},
		{reports, "count(DISTINCT case_id)", 1},
		{reports, "count(DISTINCT position)", racers},
		{reports, "max(position)", racers + 1},
	} {
		if got := hubtest.Number(t, db, "SELECT "+check.what+" FROM hub.event WHERE event_id = ANY ($1)", check.ids); got != check.want {
			t.Errorf("%s is %d, want %d", check.what, got, check.want)
		}
	}
}

// atOnce sends events at the same moment and fills in their ids.
func atOnce(t *testing.T, h *hubtest.Hub, ids []uuid.UUID, event func(i int) []byte) {
	t.Helper()
	s := h.Sender(hubtest.ChildEnte)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range ids {
		ids[i] = uuid.New()
		wg.Go(func() {
			<-start
			if a, err := s.Send(t.Context(), soap.V11, event(i)); err != nil || a.Receipt == nil || a.Receipt.Esito == "DUPLICATO" {
				t.Errorf("event %d: %v %s", i, err, a.Body)
			}
		})
	}
	close(start)
	wg.Wait()
}

// checkRestart repeats an event to another process than the one that accepted it.
func checkRestart(t *testing.T, h *hubtest.Hub, db *pgx.Conn) {
	t.Helper()
	s := h.Sender(hubtest.ChildEnte)
	id, child := uuid.New(), hubtest.Child(997)
	first := mustSend(t, s, soap.V11, child.Event(id, 1))
	// What a killed process was delivering waits for its lease to run out.
	hubtest.AwaitDelivered(t, db, patience)
	h.Kill()
	h.Up()
	again := mustSend(t, s, soap.V11, child.Event(id, 1))
	if again.Receipt == nil || again.Receipt.Esito != "DUPLICATO" || receiptOf(t, again.Body) != receiptOf(t, first.Body) {
		t.Errorf("not the first receipt:\n%s\n%s", first.Body, again.Body)
	}
}

// checkRace wants one acceptance; the same content got its receipt, other content SINBA_110.
func checkRace(t *testing.T, db *pgx.Conn, id uuid.UUID, results []raceResult) {
	t.Helper()
	winner := slices.IndexFunc(results, func(r raceResult) bool { return r.answer.Receipt != nil && r.answer.Receipt.Esito == "ACCETTATO" })
	if winner < 0 {
		t.Fatalf("nobody was accepted: %s", results[0].answer.Body)
	}
	first := results[winner]
	for i, r := range results {
		switch {
		case i == winner:
		case r.content == first.content:
			if r.answer.Receipt == nil || r.answer.Receipt.Esito != "DUPLICATO" || r.answer.Receipt.IDRicevuta != first.answer.Receipt.IDRicevuta {
				t.Errorf("racer %d with the accepted content: %s", i, r.answer.Body)
			}
		default:
			if r.answer.Fault == nil || !slices.Equal(hubtest.Codes(r.answer.Fault.Findings), []string{"SINBA_110"}) {
				t.Errorf("racer %d with other content: %s", i, r.answer.Body)
			}
		}
	}
	for table, column := range map[string]string{"hub.event_key": "receipt_id", "hub.event": "id", "hub.delivery": "message_id"} {
		rows := hubtest.Number(t, db, "SELECT count(*) FROM hub.event_key k JOIN "+table+" x ON x."+column+" = k.receipt_id WHERE k.event_id = $1", id)
		if rows != 1 {
			t.Errorf("%d rows in %s", rows, table)
		}
	}
}
