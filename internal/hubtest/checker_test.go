//go:build smoke

package hubtest_test

import (
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
)

// The kinds of finding. Each is a promise that was broken.
const (
	// findLost is a receipt whose event is not stored, or a stored event that nobody carries or that
	// the nation does not have.
	findLost = "lost"
	// findDoubled is an effect that happened twice: two receipts, deliveries or transmissions of one
	// event, or one transmission taken twice.
	findDoubled = "doubled"
	// findUnjournalled is an acceptance or an attempt without its entry, or an entry without them.
	findUnjournalled = "journal"
	// findStrange is something stored or sent that no writer sent.
	findStrange = "never sent"
	// findDisordered is an event at the nation before an earlier one of its case.
	findDisordered = "order"
	// findState is a delivery that ended otherwise than it had to.
	findState = "state"
	// findBroken is a table that contradicts itself.
	findBroken = "broken"
	// findClear is a child's code where none may be.
	findClear = "in clear"
)

// findings are what a checker found, by kind.
type findings map[string][]string

func (f findings) add(kind, format string, args ...any) {
	f[kind] = append(f[kind], fmt.Sprintf(format, args...))
}

// report fails the test for every finding; of a kind it shows the first ten.
func (f findings) report(t *testing.T) {
	t.Helper()
	for _, kind := range slices.Sorted(maps.Keys(f)) {
		for _, text := range f[kind][:min(10, len(f[kind]))] {
			t.Errorf("%s: %s", kind, text)
		}
		if n := len(f[kind]); n > 10 {
			t.Errorf("%s: %d more", kind, n-10)
		}
	}
}

// check finds what every writer was told exactly once in PostgreSQL, in the journal and at the
// simulator, and nothing else.
func (l *ledger) check(all []sent) (lost, doubled int) {
	l.t.Helper()
	receipts := map[uuid.UUID]bool{}
	for _, w := range l.told {
		if w.Receipt != uuid.Nil {
			receipts[w.Event] = true
		}
	}
	f := l.compare(nil)
	for _, s := range all {
		if s.receipt != nil && !receipts[s.event] {
			f.add(findLost, "the writers' file does not have event %s", s.event)
		}
	}
	f.report(l.t)
	return len(f[findLost]), len(f[findDoubled])
}

// compare joins the witnesses. states are the states in which deliveries must have ended where it is
// not delivered, by event.
func (l *ledger) compare(states map[uuid.UUID]hub.DeliveryState) findings {
	f := findings{}
	l.compareReceipts(f)
	effects := l.compareDeliveries(f, states)
	l.compareNation(f, effects)
	l.compareJournal(f)
	for what, n := range l.defects {
		if n != 0 {
			f.add(findBroken, "%d %s", n, what)
		}
	}
	for _, path := range l.clear {
		f.add(findClear, "a child's code in %s", path)
	}
	return f
}

// unfinished are the deliveries that have not ended, for compare to leave them so.
func (l *ledger) unfinished() map[uuid.UUID]hub.DeliveryState {
	events := make(map[uuid.UUID]uuid.UUID, len(l.rows))
	for _, r := range l.rows {
		events[r.Receipt] = r.Event
	}
	states := map[uuid.UUID]hub.DeliveryState{}
	for _, d := range l.deliveries {
		if state := hub.DeliveryState(d.State); state != hub.Delivered && state != hub.Refused {
			states[events[d.Message]] = state
		}
	}
	return states
}

// compareReceipts holds what the writers were told against the stored events.
func (l *ledger) compareReceipts(f findings) {
	intended := make(map[uuid.UUID]witness, len(l.told))
	for _, w := range l.told {
		first, known := intended[w.Event]
		if w.Receipt == uuid.Nil {
			if !known {
				intended[w.Event] = w
			}
			continue
		}
		if known && first.Receipt != uuid.Nil && (first.Receipt != w.Receipt || first.Registration != w.Registration) {
			f.add(findDoubled, "event %s was given receipts %s and %s", w.Event, first.Receipt, w.Receipt)
		}
		intended[w.Event] = w
		stored, ok := l.byEvent[w.Event]
		switch {
		case !ok:
			f.add(findLost, "event %s, receipt %s: not stored", w.Event, w.Receipt)
		case stored.Receipt != w.Receipt || stored.Registration != w.Registration:
			f.add(findDoubled, "event %s was given receipt %s and is stored with %s", w.Event, w.Receipt, stored.Receipt)
		case hex.EncodeToString(stored.Commitment) != strings.ToLower(w.Commitment):
			f.add(findBroken, "event %s: the receipt proves another content than is stored", w.Event)
		}
	}
	for _, r := range l.rows {
		if _, ok := intended[r.Event]; !ok {
			f.add(findStrange, "event %s is stored", r.Event)
		}
	}
	if len(l.byEvent) != len(l.rows) {
		f.add(findDoubled, "%d rows of %d events", len(l.rows), len(l.byEvent))
	}
}

// effect is what the nation must have got of one delivery.
type effect struct {
	row   row
	key   string
	state string
	// answered tells that SISS gave it an outcome.
	answered bool
}

// compareDeliveries wants one delivery of each event, ended as it must, and gives what each must have
// done at the nation.
func (l *ledger) compareDeliveries(f findings, states map[uuid.UUID]hub.DeliveryState) map[uuid.UUID]effect {
	byReceipt := make(map[uuid.UUID]row, len(l.rows))
	for _, r := range l.rows {
		byReceipt[r.Receipt] = r
	}
	settled := map[uuid.UUID]string{}
	for _, a := range l.attempts {
		if hub.DeliveryState(a.State) == hub.Delivered || hub.DeliveryState(a.State) == hub.Refused {
			settled[a.Delivery] = a.State
		}
	}
	carriedOf := map[uuid.UUID]int{}
	effects := make(map[uuid.UUID]effect, len(l.deliveries))
	for _, d := range l.deliveries {
		r, ok := byReceipt[d.Message]
		if !ok {
			f.add(findStrange, "delivery %s is of no stored event", d.ID)
			continue
		}
		if carriedOf[d.Message]++; carriedOf[d.Message] > 1 {
			f.add(findDoubled, "event %s has %d deliveries", r.Event, carriedOf[d.Message])
		}
		want, ok := states[r.Event]
		if !ok {
			want = hub.Delivered
		}
		if d.State != string(want) {
			f.add(findState, "event %s, transmission %s: %s, want %s", r.Event, d.ID, d.State, want)
		}
		final := want == hub.Delivered || want == hub.Refused
		if final && settled[d.ID] != string(want) {
			f.add(findState, "transmission %s is %s and no attempt says so", d.ID, d.State)
		}
		codes, err := l.keys.Codes(pseudonym.Nation, d.NationEpoch, r.Subject, r.Case)
		if err != nil {
			f.add(findBroken, "transmission %s: %v", d.ID, err)
			continue
		}
		effects[d.ID] = effect{row: r, key: codes.Rekey("IdEvento", r.Event.String()), state: string(want), answered: final}
	}
	for _, r := range l.rows {
		if carriedOf[r.Receipt] == 0 {
			f.add(findLost, "event %s, receipt %s: nobody carries it", r.Event, r.Receipt)
		}
	}
	return effects
}

// compareNation counts effects by transmission id and by re-keyed event id, and wants the events of a
// case in their order.
func (l *ledger) compareNation(f findings, effects map[uuid.UUID]effect) {
	byID, byKey := map[uuid.UUID]int{}, map[string]uuid.UUID{}
	last := map[uuid.UUID]int{}
	for _, a := range l.received {
		e, ok := effects[a.id]
		if !ok {
			f.add(findStrange, "transmission %s of key %s is nobody's", a.id, a.key)
		}
		if byID[a.id]++; byID[a.id] > 1 {
			f.add(findDoubled, "transmission %s was taken %d times", a.id, byID[a.id])
			continue
		}
		if other, taken := byKey[a.key]; taken {
			f.add(findDoubled, "key %s was taken with transmissions %s and %s", a.key, other, a.id)
		}
		byKey[a.key] = a.id
		if !ok {
			continue
		}
		if a.key != e.key {
			f.add(findBroken, "transmission %s brought key %s, want %s", a.id, a.key, e.key)
		}
		// Of what has not ended nobody can say yet.
		if took := a.esito == "ACCETTATO"; e.answered && took != (e.state == string(hub.Delivered)) {
			f.add(findState, "transmission %s: %s at the nation, must be %s", a.id, a.esito, e.state)
		}
		if e.row.Sequence != last[e.row.Case]+1 {
			f.add(findDisordered, "case %s: event %d arrived after %d", e.row.Case, e.row.Sequence, last[e.row.Case])
		}
		last[e.row.Case] = e.row.Sequence
	}
	for id, e := range effects {
		if e.answered && byID[id] == 0 {
			f.add(findLost, "event %s, transmission %s: the nation does not have it", e.row.Event, id)
		}
	}
}

// compareJournal wants one entry for each acceptance and each attempt, and none for anything else.
func (l *ledger) compareJournal(f findings) {
	type attemptKey struct {
		delivery uuid.UUID
		number   int32
	}
	accepted, ended := map[uuid.UUID]journal.Entry{}, map[attemptKey]journal.Entry{}
	for _, e := range l.journal {
		if e.Kind == journal.EventAccepted {
			if _, twice := accepted[e.Message]; twice {
				f.add(findDoubled, "receipt %s has two entries", e.Message)
			}
			accepted[e.Message] = e
		}
		if e.Kind == journal.AttemptSettled {
			key := attemptKey{e.Delivery, e.Attempt}
			if _, twice := ended[key]; twice {
				f.add(findDoubled, "attempt %d of %s has two entries", e.Attempt, e.Delivery)
			}
			ended[key] = e
		}
	}
	for _, r := range l.rows {
		e, ok := accepted[r.Receipt]
		if !ok || e.ID != r.Registration || e.Event != r.Event || hex.EncodeToString(e.Commitment[:]) != hex.EncodeToString(r.Commitment) {
			f.add(findUnjournalled, "event %s, receipt %s: no such entry %s", r.Event, r.Receipt, r.Registration)
		}
		delete(accepted, r.Receipt)
	}
	for _, a := range l.attempts {
		key := attemptKey{a.Delivery, a.Number}
		if e, ok := ended[key]; !ok || e.Outcome != a.State {
			f.add(findUnjournalled, "attempt %d of %s: no entry says %s", a.Number, a.Delivery, a.State)
		}
		delete(ended, key)
	}
	for message := range accepted {
		f.add(findUnjournalled, "an entry tells of receipt %s, which is not stored", message)
	}
	for key := range ended {
		f.add(findUnjournalled, "an entry tells of attempt %d of %s, which is not stored", key.number, key.delivery)
	}
}
