package verify

import (
	"cmp"
	"maps"
	"slices"
	"sort"
	"time"
)

// AbsentFacts are leaves of which something is absent that no entry of retention accounts for.
type AbsentFacts struct {
	// What is absent: entry, sealed message (of an acceptance) or sealed outbound event (of an attempt).
	What string `json:"what"`
	// From and To are the first and the last leaf.
	From int64 `json:"from"`
	To   int64 `json:"to"`
	// IDs are those of the entry, of sealed bytes.
	IDs
}

// What can be absent, in words.
const (
	absentEntry    = "entry"
	absentMessage  = "sealed message"
	absentOutbound = "sealed outbound event"
)

// mostAbsent is how many runs of leaves are listed of each sort.
const mostAbsent = 1000

// absences are what the bundle has a place for and does not hold. All of it is held against the entries
// of retention once these are known.
type absences struct {
	// entries are runs of leaves, from the last to the first.
	entries [][2]int64
	sealed  map[sealedIn]*lack
}

// sealedIn is what sealed bytes are retired with: their class and month.
type sealedIn struct{ class, month string }

// lack counts sealed bytes that are absent, and has the leaves of the first ones met.
type lack struct {
	count  int64
	leaves []unsealed
}

// unsealed is an entry whose sealed bytes are absent.
type unsealed struct {
	leaf int64
	ids  IDs
}

// runs are the leaves of some.
func runs(of []unsealed) [][2]int64 {
	all := make([][2]int64, len(of))
	for i, u := range of {
		all[i] = [2]int64{u.leaf, u.leaf}
	}
	return all
}

// entry takes a leaf whose entry is absent; they come from the last to the first.
func (a *absences) entry(index int64) {
	if n := len(a.entries); n > 0 && a.entries[n-1][0] == index+1 {
		a.entries[n-1][0] = index
		return
	}
	a.entries = append(a.entries, [2]int64{index, index})
}

// seal takes an entry whose sealed bytes are absent.
func (a *absences) seal(index int64, e *entry) {
	key := sealedIn{classMessages, monthOf(e.at)}
	if e.kind == kindAttempt {
		if key = (sealedIn{classAttempts, monthOf(e.started)}); e.started == 0 {
			key.month = monthOf(e.at)
		}
	}
	if a.sealed == nil {
		a.sealed = map[sealedIn]*lack{}
	}
	l := a.sealed[key]
	if l == nil {
		l = &lack{}
		a.sealed[key] = l
	}
	if l.count++; len(l.leaves) < mostAbsent {
		l.leaves = append(l.leaves, unsealed{index, e.ids()})
	}
}

// monthOf is the month that a time in microseconds is kept with.
func monthOf(at int64) string { return time.UnixMicro(at).UTC().Format(monthOfPartitions) }

// judgeAbsent holds what is absent against the entries of retention.
func (in *inspection) judgeAbsent() {
	in.gatherRetired()
	in.judgeSealed()
	in.judgeEntries()
	for i := range in.retired[:min(len(in.retired), mostAbsent)] {
		in.facts.Retirements = append(in.facts.Retirements, in.retired[i].facts())
	}
	if n := len(in.retired) - mostAbsent; n > 0 {
		in.note("Entries of retention that are not listed: %d.", n)
	}
}

// judgeSealed holds absent sealed bytes, whose month their entry tells, against the months that went.
func (in *inspection) judgeSealed() {
	for _, key := range slices.SortedFunc(maps.Keys(in.absent.sealed), func(a, b sealedIn) int {
		return cmp.Or(cmp.Compare(a.month, b.month), cmp.Compare(a.class, b.class))
	}) {
		l := in.absent.sealed[key]
		slices.SortFunc(l.leaves, func(a, b unsealed) int { return cmp.Compare(a.leaf, b.leaf) })
		left := l.count
		var told int64
		for i := range in.retired {
			r := &in.retired[i]
			if r.class != key.class || r.early || r.month.Format(monthOfPartitions) != key.month {
				continue
			}
			covers := min(left, r.count-min(r.count, r.covers))
			told += r.count
			r.covers += covers
			left -= covers
		}
		in.facts.SealedRetired += l.count - left
		what := absentMessage
		if key.class == classAttempts {
			what = absentOutbound
		}
		if left == 0 {
			continue
		}
		for _, u := range l.leaves {
			in.lacks(what, [2]int64{u.leaf, u.leaf}, u.ids)
		}
		if told > 0 {
			first := l.leaves[0]
			in.entry(Incomplete, in.memberOf("sealed", first.leaf), first.leaf, first.ids, "entries of %s of which the %s is not here: %d (leaves %s); the entries of retention account for %d",
				key.month, what, l.count, leafRuns(runs(l.leaves)), told)
			continue
		}
		for _, u := range l.leaves {
			in.entry(Incomplete, in.memberOf("sealed", u.leaf), u.leaf, u.ids, "the %s is not here, and no entry of retention accounts for it", what)
		}
		if n := l.count - int64(len(l.leaves)); n > 0 {
			in.add(Incomplete, "", "more entries of %s of which the %s is not here: %d", key.month, what, n)
		}
	}
}

// lacks lists leaves of which something is absent that nothing accounts for.
func (in *inspection) lacks(what string, run [2]int64, ids IDs) {
	if len(in.facts.Absent) < 2*mostAbsent {
		in.facts.Absent = append(in.facts.Absent, AbsentFacts{What: what, From: run[0], To: run[1], IDs: ids})
	}
}

// judgeEntries holds absent entries against the months that went and the refusals that went one by one.
// Of an absent entry only its place is known, and the checkpoints around it say between which times it
// got there.
func (in *inspection) judgeEntries() {
	if len(in.absent.entries) == 0 {
		return
	}
	c := newCover(in.retired, in.claims.inside)
	for _, run := range slices.Backward(in.absent.entries) {
		lost := [2]int64{-1, -1}
		for at := run[0]; at <= run[1]; {
			r, until := c.at(at, run[1])
			n := until - at + 1
			switch {
			case r >= 0:
				in.retired[r].covers += n
				in.facts.Retired += n
			case lost[1] == at-1 && lost[0] >= 0:
				lost[1] = until
			default:
				in.lost(lost)
				lost = [2]int64{at, until}
			}
			at = until + 1
		}
		in.lost(lost)
	}
	if c.beyond > 0 {
		in.note("More entries are absent of months that went than the entries of retention here count, by %d: what counted them (refusals that went one by one) went with its own month.", c.beyond)
	}
}

// memberOf is the member of a folder that has a place for a leaf. That of one ente's bundle is not known
// any more.
func (in *inspection) memberOf(folder string, leaf int64) string {
	if in.manifest.ente != "" {
		return "ente/" + folder
	}
	number := leaf / tileWidth
	return folder + "/" + tilePath(number, tileSize(in.closing.size, 0, number))
}

// lost tells of absent entries that nothing accounts for.
func (in *inspection) lost(run [2]int64) {
	if run[0] < 0 {
		return
	}
	in.lacks(absentEntry, run, IDs{})
	folder := "tile/entries"
	if in.manifest.ente != "" {
		folder = "leaves"
	}
	member := in.memberOf(folder, run[0])
	if run[0] == run[1] {
		in.leaf(Incomplete, member, run[0], "the entry is not here, and no entry of retention accounts for it")
		return
	}
	in.leaf(Incomplete, member, run[0], "the entries of leaves %d to %d are not here, and no entry of retention accounts for them", run[0], run[1])
}

// cover finds the entry of retention that accounts for absent entries.
type cover struct {
	all []retirement
	// points are the checkpoints of the bundle by size.
	points []checkpoint
	// listed are the leaves that went one by one, with the entry that says so.
	listed []listing
	// months are the entries of months of the journal, by month; counted those of refusals that do not
	// say which ones went.
	months  []int
	counted []int
	// spent is how many absent entries each one accounts for, beyond how many more of months there are
	// than their entries count.
	spent  []int64
	beyond int64
}

// listing are leaves that an entry of retention names.
type listing struct {
	from, to int64
	by       int
}

func newCover(all []retirement, inside []checkpoint) *cover {
	c := &cover{all: all, points: slices.Clone(inside), spent: make([]int64, len(all))}
	slices.SortStableFunc(c.points, func(a, b checkpoint) int { return cmp.Compare(a.size, b.size) })
	for i := range all {
		switch r := &all[i]; {
		case r.early:
		case r.class == classJournal:
			c.months = append(c.months, i)
		case r.class == classRefusals && r.exact():
			for _, run := range r.listed {
				c.listed = append(c.listed, listing{run[0], run[1], i})
			}
		case r.class == classRefusals && len(r.listed) == 0:
			c.counted = append(c.counted, i)
		}
	}
	slices.SortFunc(c.listed, func(a, b listing) int { return cmp.Compare(a.from, b.from) })
	slices.SortStableFunc(c.months, func(a, b int) int { return all[a].month.Compare(all[b].month) })
	return c
}

// at gives the entry of retention that accounts for the absent entry at a leaf, -1 for none, and the last
// leaf, no later than end, for which the same holds.
func (c *cover) at(leaf, end int64) (by int, until int64) {
	lower, upper, until := c.window(leaf, end)
	i := sort.Search(len(c.listed), func(i int) bool { return c.listed[i].from > leaf })
	if i > 0 && c.listed[i-1].to >= leaf {
		if l := c.listed[i-1]; c.old(l.by, lower) {
			return l.by, c.spend(l.by, leaf, min(until, l.to))
		}
	}
	if i < len(c.listed) {
		until = min(until, c.listed[i].from-1)
	}
	if by, until, ok := c.month(leaf, lower, upper, until); ok {
		return by, until
	}
	for _, i := range c.counted {
		if left := c.all[i].count - c.spent[i]; left > 0 && c.all[i].leaf > leaf && c.old(i, lower) {
			return i, c.spend(i, leaf, min(until, leaf+left-1))
		}
	}
	return -1, until
}

// old tells whether an entry from then on could have had the least age of a refusal that goes.
func (c *cover) old(by int, lower time.Time) bool {
	return !lower.Add(leastRefusals - clocksDiffer).After(c.all[by].at)
}

func (c *cover) spend(by int, leaf, until int64) int64 {
	c.spent[by] += until - leaf + 1
	return until
}

// month finds the entry of a month that an entry of these times could have gone with: the first one that
// still counts more, else the first one.
func (c *cover) month(leaf int64, lower, upper time.Time, end int64) (by int, until int64, ok bool) {
	if !lower.IsZero() {
		lower = lower.Add(-leafAtTheLatest)
	}
	first := sort.Search(len(c.months), func(i int) bool { return c.all[c.months[i]].month.AddDate(0, 1, 0).After(lower) })
	spent := -1
	for _, i := range c.months[first:] {
		r := &c.all[i]
		if r.month.After(upper.Add(clocksDiffer)) {
			break
		}
		if r.leaf <= leaf {
			continue
		}
		if left := r.count - c.spent[i]; left > 0 {
			return i, c.spend(i, leaf, min(end, leaf+left-1)), true
		}
		if spent < 0 {
			spent = i
		}
	}
	if spent < 0 {
		return -1, end, false
	}
	c.beyond += end - leaf + 1
	return spent, end, true
}

// window gives the times between which a leaf was made by the checkpoints around it, the zero time if
// none lies before it, and the last leaf, no later than end, for which the same holds.
func (c *cover) window(leaf, end int64) (lower, upper time.Time, until int64) {
	i := sort.Search(len(c.points), func(i int) bool { return c.points[i].size > leaf })
	if i > 0 {
		lower = c.points[i-1].at
	}
	if i == len(c.points) {
		return lower, time.Unix(1<<40, 0), end
	}
	return lower, c.points[i].at, min(end, c.points[i].size-1)
}
