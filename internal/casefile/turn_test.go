package casefile_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/sinbahub/sinbahub/internal/casefile"
	"github.com/sinbahub/sinbahub/internal/sinba"
)

func TestTurnIsTheNumberButNotBeforeWhatItRefersTo(t *testing.T) {
	t.Parallel()
	opening, other := event(sinba.AperturaCartella, 1), event(sinba.Segnalazione, 9)
	original := event(sinba.Segnalazione, 5)
	corrected := about(sinba.Rettifica, original, 7)
	history := []casefile.Event{opening, original, corrected, other}
	for name, c := range map[string]struct {
		event casefile.Event
		want  int32
	}{
		"new":                               {event(sinba.Segnalazione, 3), 3},
		"correction in its place":           {about(sinba.Rettifica, original, 6), 6},
		"correction after all":              {about(sinba.Rettifica, original, 12), 12},
		"correction before its original":    {about(sinba.Rettifica, original, 2), 5},
		"correction of a correction":        {about(sinba.Rettifica, corrected, 2), 5},
		"annulment after all":               {about(sinba.Annullamento, original, 12), 12},
		"annulment before its original":     {about(sinba.Annullamento, original, 2), 7},
		"annulment before a correction":     {about(sinba.Annullamento, original, 6), 7},
		"annulment of the opening":          {about(sinba.Annullamento, opening, 1), 1},
		"of something that nobody ever saw": {about(sinba.Annullamento, event(sinba.Segnalazione, 20), 4), 4},
	} {
		for i := range history {
			history[i].Position = int32(i + 1)
		}
		if got := casefile.Turn(history, &c.event); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// Sent by their turns, the events of any history arrive so that each correction finds what it
// corrects and each annulment everything it annuls, and new events come by their numbers.
func TestTurnsGiveEveryReferenceSomethingToReferTo(t *testing.T) {
	t.Parallel()
	referred := 0
	rapid.Check(t, func(t *rapid.T) {
		type sent struct {
			casefile.Event

			turn int32
		}
		var l life
		var queue []sent
		l.send(event(sinba.AperturaCartella, rapid.Int32Range(1, 4).Draw(t, "opening")))
		queue = append(queue, sent{l.history[0], l.history[0].Sequence})
		for range rapid.IntRange(10, 30).Draw(t, "events") {
			e := drawEvent(t, &l)
			turn := casefile.Turn(l.history, &e)
			if before := len(l.history); l.send(e) != nil && len(l.history) == before {
				continue
			}
			queue = append(queue, sent{l.history[len(l.history)-1], turn})
		}
		slices.SortFunc(queue, func(a, b sent) int {
			if a.turn != b.turn {
				return int(a.turn - b.turn)
			}
			return int(a.Position - b.Position)
		})
		told, last := map[string]bool{}, int32(0)
		for _, s := range queue {
			if s.Operation == sinba.Inserimento {
				if s.Sequence < last {
					t.Fatalf("number %d after %d", s.Sequence, last)
				}
				last = s.Sequence
			} else {
				referred++
			}
			told[s.ID.String()] = true
			original := casefile.Original(l.history, s.RefersTo).String()
			if s.Operation != sinba.Inserimento && !told[original] {
				t.Fatalf("%s before its original", s.Operation)
			}
			if s.Operation == sinba.Annullamento {
				delete(told, original)
				continue
			}
			if s.Operation == sinba.Rettifica && !told[original] {
				t.Fatal("correction of what was annulled")
			}
		}
	})
	if referred == 0 {
		t.Error("nothing referred to anything")
	}
}
