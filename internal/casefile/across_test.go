package casefile_test

import (
	"cmp"
	"slices"
	"strconv"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/sinbahub/sinbahub/internal/casefile"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/sinba"
)

// child is what several enti were told of one child: events are received one a second.
type child struct {
	files []casefile.File
	clock time.Time
	names map[uuid.UUID]string
}

func newChild(enti ...int32) *child {
	c := &child{clock: time.Date(2024, 5, 1, 8, 0, 0, 0, time.UTC), names: map[uuid.UUID]string{}}
	for _, ente := range enti {
		c.files = append(c.files, casefile.File{Ente: ente})
	}
	return c
}

// tell has a case accept an event, whatever rules there are, under a name.
func (c *child) tell(file int, name string, e casefile.Event) casefile.Event {
	f := &c.files[file]
	e.Position = int32(len(f.Events) + 1)
	c.clock = c.clock.Add(time.Second)
	filed := casefile.Filed{Event: e, Message: uuid.New(), At: c.clock}
	f.Events = append(f.Events, filed)
	c.names[filed.Message] = name
	return e
}

// take has a case taken in charge.
func (c *child) take(file int) {
	at := strconv.Itoa(file)
	c.tell(file, "opening"+at, event(sinba.AperturaCartella, 1))
	c.tell(file, "charge"+at, with(event(sinba.PresaInCarico, 2), func(f *sinba.Facts) { f.TakenOn = 20240110 }))
}

// found names what was found, in the order of the names.
func (c *child) found() []string {
	var all []string
	for _, f := range casefile.Across(c.files) {
		all = append(all, string(f.Rule[len(f.Rule)-2:])+" "+c.names[f.Later]+" "+c.names[f.Earlier])
	}
	slices.Sort(all)
	return all
}

func (c *child) want(t *testing.T, want ...string) {
	t.Helper()
	if diff := gocmp.Diff(want, c.found()); diff != "" {
		t.Errorf("found (-want +got)\n%s", diff)
	}
}

func TestPlacementsOfTwoEntiOverlap(t *testing.T) {
	t.Parallel()
	placement := func(start, end sinba.Date, where string) sinba.Item {
		return sinba.Item{Kind: sinba.ItemPlacement, ID: "p", Start: start, End: end, Closed: end != 0, Where: where}
	}
	care := func(residential bool) sinba.Item {
		return sinba.Item{Kind: sinba.ItemCare, ID: "p", Start: 20240201, Residential: residential}
	}
	overlap := []string{"14 second first"}
	for name, tt := range map[string]struct {
		first, second sinba.Item
		want          []string
	}{
		"two structures":            {placement(20240201, 0, "x"), placement(20240301, 0, "y"), overlap},
		"one structure":             {placement(20240201, 0, "x"), placement(20240301, 0, "x"), nil},
		"a structure without name":  {placement(20240201, 0, sinba.Altro), placement(20240301, 0, sinba.Altro), overlap},
		"out and in on one day":     {placement(20240201, 20240301, "x"), placement(20240301, 0, "y"), nil},
		"told later, but before":    {placement(20240301, 0, "x"), placement(20240201, 20240302, "y"), overlap},
		"placement and care":        {placement(20240201, 0, "x"), care(true), overlap},
		"placement and day care":    {placement(20240201, 0, "x"), care(false), nil},
		"care and care":             {care(true), care(true), nil},
		"care and placement before": {care(true), placement(20240101, 20240201, "x"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, enti := range [][]int32{{1, 2}, {2, 2}} {
				c := newChild(enti...)
				c.take(0)
				c.take(1)
				c.tell(0, "first", item(3, tt.first))
				c.tell(1, "second", item(3, tt.second))
				if enti[0] == enti[1] { // one ente knows both cases itself
					c.want(t)
					continue
				}
				c.want(t, tt.want...)
			}
		})
	}
}

// TestOverlapIsToldOnce: whatever becomes of the two placements, the events that began them name it; a
// placement that was told wrongly overlaps nothing.
func TestOverlapIsToldOnce(t *testing.T) {
	t.Parallel()
	c := newChild(1, 2)
	c.take(0)
	c.take(1)
	placement := sinba.Item{Kind: sinba.ItemPlacement, ID: "p", Start: 20240201, Where: "x"}
	first := c.tell(0, "first", item(3, placement))
	placement.Where = "y"
	c.tell(1, "second", item(3, placement))
	c.want(t, "14 second first")
	placement.Where, placement.End, placement.Closed = "x", 20240401, true
	c.tell(0, "end", item(4, placement))
	corrected := about(sinba.Rettifica, first, 5)
	corrected.Facts = item(5, placement).Facts
	c.tell(0, "correction", corrected)
	c.want(t, "14 second first")
	placement.End = 20240201
	c.tell(0, "never there", item(6, placement))
	c.want(t)
	c.tell(0, "annulment", about(sinba.Annullamento, first, 7))
	c.want(t)
}

func TestWhoGoesOnAfterAnAdoptionElsewhere(t *testing.T) {
	t.Parallel()
	adoption := item(3, sinba.Item{Kind: sinba.ItemOrder, ID: "o", Start: 20240201}, func(f *sinba.Facts) { f.Adopted = true })
	closing := with(event(sinba.ChiusuraCartella, 9), func(f *sinba.Facts) { f.Closing = true })
	c := newChild(1, 2, 3, 1)
	for _, file := range []int{0, 1, 3} {
		c.take(file)
	}
	c.tell(1, "before", event(sinba.Segnalazione, 3))
	c.want(t)
	told := c.tell(0, "adoption", adoption)
	c.want(t, "22 adoption before") // its case is open at that moment; the ente's own other case is its own affair
	c.tell(1, "closing", closing)
	c.want(t, "22 adoption before")
	report := c.tell(1, "after", event(sinba.Segnalazione, 10))
	c.tell(1, "correction", about(sinba.Rettifica, report, 11))
	c.take(2)
	c.tell(3, "own", event(sinba.Segnalazione, 3))
	c.want(t, "22 adoption before", "22 after adoption", "22 charge2 adoption", "22 opening2 adoption")
	c.tell(0, "annulment", about(sinba.Annullamento, told, 4))
	c.want(t)
}

func TestClosedCaseDoesNotGoOn(t *testing.T) {
	t.Parallel()
	c := newChild(1, 2)
	c.take(0)
	c.take(1)
	c.tell(1, "closing", with(event(sinba.ChiusuraCartella, 3), func(f *sinba.Facts) { f.Closing = true }))
	c.tell(0, "adoption", item(3, sinba.Item{Kind: sinba.ItemOrder, ID: "o", Start: 20240201}, func(f *sinba.Facts) { f.Adopted = true }))
	c.want(t)
}

func TestOverlapsOfTwoCasesAreBounded(t *testing.T) {
	t.Parallel()
	c := newChild(1, 2)
	for file, where := range []string{"x", "y"} {
		c.take(file)
		for n := range int32(40) {
			c.tell(file, "", item(3+n, sinba.Item{Kind: sinba.ItemPlacement, ID: strconv.Itoa(int(n)), Start: 20240201, Where: where}))
		}
	}
	if n := len(casefile.Across(c.files)); n != 100 {
		t.Errorf("%d overlaps are told, want 100", n)
	}
}

// TestLookingAgainFindsMore over random lives of a child at three enti: neither the order in which the
// cases are given nor when one looks changes what is found, and what was found stays found as long as
// nothing is corrected or annulled.
func TestLookingAgainFindsMore(t *testing.T) {
	t.Parallel()
	sawOverlap, sawAdoption := false, false
	rapid.Check(t, func(t *rapid.T) {
		enti := []int32{1, 2, 3}
		c := newChild(enti...)
		lives := make([]life, len(enti))
		first := make([]casefile.Event, len(enti))
		for i := range enti {
			first[i] = event(sinba.AperturaCartella, 1)
		}
		before := map[casefile.Finding]bool{}
		for range rapid.IntRange(0, 40).Draw(t, "events") {
			i := rapid.IntRange(0, len(enti)-1).Draw(t, "file")
			l := &lives[i]
			e := first[i]
			if len(l.history) > 0 {
				e = drawEvent(t, l)
			}
			taken := len(l.history)
			l.send(e)
			if len(l.history) == taken {
				continue
			}
			c.tell(i, "", e)
			again := slices.Clone(c.files)
			slices.Reverse(again)
			now, turned := byMessages(casefile.Across(c.files)), byMessages(casefile.Across(again))
			if diff := gocmp.Diff(now, turned); diff != "" {
				t.Fatal(diff)
			}
			after := map[casefile.Finding]bool{}
			for _, f := range now {
				after[f] = true
				sawOverlap, sawAdoption = sawOverlap || f.Rule == hub.CodeRule14, sawAdoption || f.Rule == hub.CodeRule22
			}
			if e.Operation == sinba.Inserimento && e.Sequence > lastBefore(l) && len(e.Facts.Items) == 0 {
				for f := range before {
					if !after[f] {
						t.Fatalf("%v is found no more", f)
					}
				}
			}
			before = after
		}
	})
	if !sawOverlap || !sawAdoption {
		t.Errorf("an overlap was found: %v, an adoption: %v", sawOverlap, sawAdoption)
	}
}

// lastBefore is the highest number before the last event of a life.
func lastBefore(l *life) int32 {
	last := int32(0)
	for _, e := range l.history[:len(l.history)-1] {
		last = max(last, e.Sequence)
	}
	return last
}

// byMessages puts findings into one order.
func byMessages(all []casefile.Finding) []casefile.Finding {
	slices.SortFunc(all, func(a, b casefile.Finding) int {
		return cmp.Or(cmp.Compare(a.Rule, b.Rule), slices.Compare(a.Later[:], b.Later[:]), slices.Compare(a.Earlier[:], b.Earlier[:]))
	})
	return all
}
