package casefile_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/sinbahub/sinbahub/internal/casefile"
	"github.com/sinbahub/sinbahub/internal/sinba"
)

// drawEvent is any event that might be sent to a case: new ones in, before and beyond the row,
// corrections and annulments of anything, known or not.
func drawEvent(t *rapid.T, l *life) casefile.Event {
	e := event(rapid.SampledFrom(sinba.EventTypes()).Draw(t, "type"), rapid.Int32Range(1, l.state.LastNumber+3).Draw(t, "number"))
	e.ID = uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
	if rapid.Bool().Draw(t, "next") {
		e.Sequence = l.state.LastNumber + 1
	}
	f := &e.Facts
	f.Entering = rapid.Bool().Draw(t, "entering")
	f.TakenOn = sinba.Date(rapid.SampledFrom([]int32{0, 20240110, 20240210}).Draw(t, "taken"))
	f.BornIn = rapid.SampledFrom([]int32{0, 201203}).Draw(t, "born")
	// Names that do not follow from the case's own are refused: most events give none.
	f.Identity = rapid.SampledFrom([]string{"", "", "", "", "", "", "a", "b"}).Draw(t, "identity")
	f.Previous = rapid.SampledFrom([]string{"", "a"}).Draw(t, "previous")
	f.Adopted = rapid.IntRange(0, 30).Draw(t, "adopted") == 0
	f.Closing = e.Type == sinba.ChiusuraCartella
	f.Family = sinba.Family{Told: rapid.Bool().Draw(t, "family"), Mother: true}
	for range rapid.IntRange(0, 2).Draw(t, "items") {
		f.Items = append(f.Items, sinba.Item{
			Kind: rapid.SampledFrom([]sinba.ItemKind{sinba.ItemService, sinba.ItemCare, sinba.ItemPlacement, sinba.ItemOrder}).Draw(t, "kind"),
			ID:   rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "item"), Start: 20240201,
			End: sinba.Date(rapid.SampledFrom([]int32{0, 20240301}).Draw(t, "end")), Closed: rapid.Bool().Draw(t, "closed"),
			Residential: rapid.Bool().Draw(t, "residential"), Where: rapid.SampledFrom([]string{"x", "y"}).Draw(t, "where"),
		})
	}
	if op := rapid.SampledFrom([]sinba.Operation{"I", "I", "I", "R", "A"}).Draw(t, "operation"); op != sinba.Inserimento {
		e.Operation = op
		e.RefersTo = e.ID
		if rapid.IntRange(0, 9).Draw(t, "known") > 0 {
			// The opening is annulled alone, and ends the case: mostly something after it.
			of := l.history[0]
			if n := len(l.history) - 1; n > 0 && rapid.IntRange(0, 9).Draw(t, "later") > 0 {
				of = l.history[1+rapid.IntRange(0, n-1).Draw(t, "of")]
			} else if op == sinba.Annullamento && rapid.IntRange(0, 9).Draw(t, "end") > 0 {
				e.Operation = sinba.Rettifica
			}
			e.RefersTo, e.Type, f.Subject = of.ID, of.Type, of.Facts.Subject
		}
	}
	return e
}

// TestStateIsTheFoldOfTheLiveEvents over random histories: whatever was sent in whatever order, the
// state that was kept is the fold of what was accepted, from its stored form too; what was refused
// left it alone; and the fold does not depend on the order in which the history is given.
func TestStateIsTheFoldOfTheLiveEvents(t *testing.T) {
	t.Parallel()
	taken, refused, corrected, incongruent := 0, 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		var l life
		l.send(event(rapid.SampledFrom([]sinba.EventType{sinba.AperturaCartella, sinba.CaricamentoIniziale}).Draw(t, "first"), 1))
		charge := event(sinba.PresaInCarico, 2)
		if rapid.Bool().Draw(t, "in charge") {
			l.send(charge)
		}
		events := rapid.IntRange(10, 30).Draw(t, "events")
		for i := range events {
			before, n := l.state.Bytes(), len(l.history)
			e := drawEvent(t, &l)
			if i == events-1 && rapid.Bool().Draw(t, "not in charge") {
				// Whatever needs the child to be in charge is now skipped.
				e = about(sinba.Annullamento, charge, l.state.LastNumber+1)
			}
			l.send(e)
			if len(l.history) == n {
				refused++
				if !bytes.Equal(before, l.state.Bytes()) {
					t.Fatalf("a refused %s changed the case", e.Type)
				}
				continue
			}
			taken++
			if e.Operation != sinba.Inserimento {
				corrected++
			}
			stored := make([]casefile.Event, len(l.history))
			for i, h := range l.history {
				stored[i] = h
				var err error
				if stored[i].Facts, err = casefile.ParseFacts(casefile.FactsBytes(&h.Facts)); err != nil {
					t.Fatal(err)
				}
			}
			rand.Shuffle(len(stored), func(i, j int) { stored[i], stored[j] = stored[j], stored[i] })
			folded := casefile.Fold(stored)
			if !bytes.Equal(folded.Bytes(), l.state.Bytes()) {
				t.Fatalf("after %d events the state is\n%+v, its fold\n%+v", len(l.history), l.state, folded)
			}
			incongruent += int(l.state.Incongruent)
		}
	})
	t.Logf("%d events taken, %d of them corrections and annulments, %d refused, %d incongruent", taken, corrected, refused, incongruent)
	if taken == 0 || refused == 0 || corrected == 0 || incongruent == 0 {
		t.Error("the histories do not have all that they should")
	}
}

// FuzzParse reads any bytes as a stored state and facts: no panic, and what is read is written as it
// was.
func FuzzParse(f *testing.F) {
	state := casefile.State{Status: casefile.Open, Items: []casefile.Item{{Kind: sinba.ItemOrder, ID: "a"}}}
	facts := sinba.Facts{Subject: "s", Items: []sinba.Item{{Kind: sinba.ItemCare, ID: "b"}}}
	f.Add(state.Bytes())
	f.Add(casefile.FactsBytes(&facts))
	f.Fuzz(func(t *testing.T, stored []byte) {
		if s, err := casefile.ParseState(stored); err == nil {
			if again, err := casefile.ParseState(s.Bytes()); err != nil || !bytes.Equal(again.Bytes(), s.Bytes()) {
				t.Error("a state is not what it was")
			}
		}
		if facts, err := casefile.ParseFacts(stored); err == nil {
			if _, err := casefile.ParseFacts(casefile.FactsBytes(&facts)); err != nil {
				t.Error("facts cannot be read again")
			}
		}
	})
}
