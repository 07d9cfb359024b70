package delivery

import (
	"cmp"
	"context"
	"crypto/sha256"
	"hash"
	"math/bits"
	"slices"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

const (
	// mostNear is how many deliveries around the midnights of a day are kept to find out which of
	// them SISS counts on it. With more, it is asked about each.
	mostNear = 1024
	// fewNear is up to how many of them every choice is tried.
	fewNear = 8
	// mostChoices bounds the digests that are made of one type.
	mostChoices = 256
)

// tally is what the hub knows to be delivered of one type on a day.
type tally struct {
	// certain ones were received on that day, whatever the clocks show.
	certain int32
	digest  hash.Hash
	// near are delivered so close to a midnight that only SISS knows the day, nearCount how many.
	near      []postgres.Sent
	nearCount int32
	// fixed has those of near of which the other days tell whether SISS counts them on this one.
	fixed map[uuid.UUID]bool
}

// count is the tally in the words of the store.
func (t *tally) count(c *postgres.TypeCount) {
	c.Ours, c.Near = t.certain, t.nearCount
	for _, here := range t.fixed {
		c.Near--
		if here {
			c.Ours++
		}
	}
}

// count makes the tallies of a day. The deliveries pass by in the order of their ids.
func (r *Reconciler) count(ctx context.Context, d postgres.Day) (map[string]*tally, error) {
	all := map[string]*tally{}
	err := r.store.EachSent(ctx, d, func(s postgres.Sent) error {
		if s.State != hub.Delivered {
			return nil
		}
		t := all[s.Type]
		if t == nil {
			t = &tally{digest: sha256.New()}
			all[s.Type] = t
		}
		switch {
		case r.inside(d, s):
			t.certain++
			addID(t.digest, s.ID)
		default:
			t.nearCount++
			if len(t.near) < mostNear {
				t.near = append(t.near, s)
			}
		}
		return nil
	})
	return all, err
}

// inside tells whether SISS received a delivery on that day even if its clock is off by the margin.
func (r *Reconciler) inside(d postgres.Day, s postgres.Sent) bool {
	return !s.First.Before(d.From.Add(2*r.cfg.Margin)) && s.Last.Before(d.To.Add(-2*r.cfg.Margin))
}

// addID writes a line of what riepilogo digests: SHA-256 over the ids in lower case, in order, each
// ended by a line feed (xsd/siss-ricezione-v1.xsd, TotaleTrasmissioniType).
func addID(h hash.Hash, id uuid.UUID) { _, _ = h.Write([]byte(id.String() + "\n")) }

// choice is a set of near deliveries that SISS may count on the day, by their places.
type choice []bool

// fix finds out of which near deliveries the other days tell the rest: SISS counts each on one of the
// days on which it may have received it.
func (r *Reconciler) fix(ctx context.Context, d postgres.Day, t *tally) error {
	elsewhere, err := r.store.Elsewhere(ctx, d, t.near)
	if err != nil {
		return err
	}
	t.fixed = map[uuid.UUID]bool{}
	for _, s := range t.near {
		days := r.date(s.Last.Add(r.cfg.Margin)).Sub(r.date(s.First.Add(-r.cfg.Margin))).Hours()/24 + 1
		if e := elsewhere[s.ID]; e.Counted || e.Days == int(days)-1 {
			t.fixed[s.ID] = !e.Counted
		}
	}
	return nil
}

// choices lists the sets of near deliveries, of the given size, that are worth a digest: all that are
// possible if there are few; else SISS takes them to have come in the order in which the hub ended
// them.
func (r *Reconciler) choices(d postgres.Day, t *tally, size int) []choice {
	base := make(choice, len(t.near))
	var early, late []int
	for i, s := range t.near {
		here, fixed := t.fixed[s.ID]
		switch {
		case here:
			base[i], size = true, size-1
		case fixed:
		case s.First.Before(d.From.Add(2 * r.cfg.Margin)):
			early = append(early, i)
		default:
			late = append(late, i)
		}
	}
	if size < 0 || size > len(early)+len(late) {
		return nil
	}
	if len(early)+len(late) <= fewNear {
		return everyChoice(base, append(early, late...), size)
	}
	byTime := func(a, b int) int { return cmp.Or(t.near[a].Last.Compare(t.near[b].Last), a-b) }
	slices.SortFunc(early, byTime)
	slices.SortFunc(late, byTime)
	var all []choice
	for k := max(0, size-len(late)); k <= min(size, len(early)) && len(all) < mostChoices; k++ {
		all = append(all, base.with(early[len(early)-k:]...).with(late[:size-k]...))
	}
	return all
}

// everyChoice adds every set of that size to what is chosen already.
func everyChoice(base choice, free []int, size int) (all []choice) {
	for set := range uint(1) << len(free) {
		if bits.OnesCount(set) != size {
			continue
		}
		c := base.with()
		for i, place := range free {
			c[place] = set>>i&1 == 1
		}
		all = append(all, c)
	}
	return all
}

// with is a copy that has these places, too.
func (c choice) with(places ...int) choice {
	c = slices.Clone(c)
	for _, i := range places {
		c[i] = true
	}
	return c
}

// compare tells of which types SISS has exactly what the hub delivered on that day, and which of
// those near midnight are among it.
func (r *Reconciler) compare(ctx context.Context, d postgres.Day, ours map[string]*tally, theirs map[string]Total) (map[string][]postgres.Near, error) {
	equal := map[string][]postgres.Near{}
	open := map[string]*guesses{}
	for tipo, t := range ours {
		total, told := theirs[tipo]
		if !told {
			total.Digest = sha256.Sum256(nil)
		}
		if len(t.near) == 0 && total.Count == t.certain && [sha256.Size]byte(t.digest.Sum(nil)) == total.Digest {
			equal[tipo] = nil
		}
		if len(t.near) == 0 || int(t.nearCount) > len(t.near) {
			continue
		}
		if err := r.fix(ctx, d, t); err != nil {
			return nil, err
		}
		if c := r.choices(d, t, int(total.Count)-int(t.certain)); len(c) > 0 {
			open[tipo] = newGuesses(t.near, c, total.Digest)
		}
	}
	if len(open) == 0 {
		return equal, nil
	}
	// The ids pass by once more, through all digests at once.
	if err := r.store.EachSent(ctx, d, func(s postgres.Sent) error {
		if t := open[s.Type]; t != nil && s.State == hub.Delivered {
			t.add(s.ID)
		}
		return nil
	}); err != nil {
		return nil, err
	}
	for tipo, t := range open {
		if near, ok := t.found(); ok {
			equal[tipo] = near
		}
	}
	return equal, nil
}

// guesses are the digests of a type, one for each choice.
type guesses struct {
	near    []postgres.Sent
	place   map[uuid.UUID]int
	choices []choice
	digests []hash.Hash
	want    [sha256.Size]byte
}

func newGuesses(near []postgres.Sent, choices []choice, want [sha256.Size]byte) *guesses {
	t := &guesses{near: near, place: make(map[uuid.UUID]int, len(near)), choices: choices, want: want}
	for i, s := range near {
		t.place[s.ID] = i
	}
	for range choices {
		t.digests = append(t.digests, sha256.New())
	}
	return t
}

// add takes the next id of the type: a near one goes into the digests of the choices that have it.
func (t *guesses) add(id uuid.UUID) {
	place, near := t.place[id]
	for i, c := range t.choices {
		if !near || c[place] {
			addID(t.digests[i], id)
		}
	}
}

// found tells which choice has SISS's digest.
func (t *guesses) found() ([]postgres.Near, bool) {
	i := slices.IndexFunc(t.digests, func(h hash.Hash) bool { return [sha256.Size]byte(h.Sum(nil)) == t.want })
	if i < 0 {
		return nil, false
	}
	near := make([]postgres.Near, len(t.near))
	for place, s := range t.near {
		near[place] = postgres.Near{Delivery: s.ID, Counted: t.choices[i][place]}
	}
	return near, true
}
