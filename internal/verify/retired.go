package verify

import (
	"cmp"
	"errors"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// RetirementFacts are an entry of retention: what it says went, and how much of what is absent here it
// accounts for.
type RetirementFacts struct {
	// Leaf and At are the entry's.
	Leaf int64  `json:"leaf"`
	At   string `json:"at"`
	// Actor is who had it done, empty for the hub itself; Reason has the policy and an operator's words.
	Actor  string `json:"actor,omitempty"`
	Reason string `json:"reason,omitempty"`
	// What are the entry's codes, as journal:120 and month:2026_01.
	What []string `json:"what"`
	// Covers counts what is absent in the bundle and this entry accounts for.
	Covers int64 `json:"covers"`
	// Early says that it retired what is younger than any hub lets go, or gives a time that lies behind the
	// checkpoint that signed it: it accounts for nothing.
	Early bool `json:"early,omitempty"`
}

// retirement is an entry of retention (kind 14).
type retirement struct {
	leaf          int64
	at            time.Time // as it says
	signed        time.Time // when a checkpoint held it
	actor, reason string
	codes         []string
	// class and count are of the first code, month of that with its name; zero without.
	class string
	count int64
	month time.Time
	// listed are the leaves whose entries went, if it says which.
	listed [][2]int64
	early  bool
	covers int64
}

// The classes of retention that a bundle can miss something of, as the hub's entries name them.
const (
	classMessages = "messages"
	classAttempts = "attempts"
	classJournal  = "journal"
	classRefusals = "refusals"
)

// mostSaid is how much of what an entry says a report shows, in bytes.
const mostSaid = 400

// newRetirement reads an entry of retention: codes are "class:number", for a class that goes by months
// "month:2026_01", and for entries that went one by one "leaf:7" or "leaf:7-9". Any other code is only
// shown.
func newRetirement(index int64, e *entry) retirement {
	r := retirement{leaf: index, at: time.UnixMicro(e.at).UTC(), actor: said(e.actor), reason: said(e.reason)}
	number := int64(0)
	for codes := (fields{rest: e.codes}); len(codes.rest) > 0 && !codes.bad; {
		code := string(codes.next())
		key, value, _ := strings.Cut(code, ":")
		switch key {
		case "month":
			r.month, _ = time.Parse("2006_01", value)
		case "leaf":
			r.list(value)
			continue // there may be hundreds
		default:
			if n, ok := decimal(value); ok && r.class == "" {
				r.class, r.count = key, n
			}
		}
		if number++; number <= 20 {
			r.codes = append(r.codes, said([]byte(code)))
		}
	}
	return r
}

// said is a text of an entry as reports show it.
func said(b []byte) string { return strings.ToValidUTF8(string(b[:min(len(b), mostSaid)]), "?") }

func (r *retirement) list(value string) {
	from, to, two := strings.Cut(value, "-")
	first, ok := decimal(from)
	last, also := first, true
	if two {
		last, also = decimal(to)
	}
	if ok && also && first <= last && last < r.leaf {
		r.listed = append(r.listed, [2]int64{first, last})
	}
}

// The least periods of any hub: its database lets nobody retire what is younger.
const (
	leastMonths       = 1
	leastJournal      = 12
	leastRefusals     = 7 * 24 * time.Hour
	clocksDiffer      = time.Hour
	leafAtTheLatest   = 25 * time.Hour // of entries that get theirs after their day
	monthOfPartitions = "2006_01"
)

// tooEarly tells whether a month went before its time. Whoever writes an entry can give it any time, but
// cannot have it signed before it is there.
func (r *retirement) tooEarly() bool {
	if r.at.After(r.signed.Add(clocksDiffer)) {
		return true
	}
	least := leastMonths
	switch r.class {
	case classJournal:
		least = leastJournal
	case classMessages, classAttempts:
	default:
		return false
	}
	return r.month.IsZero() || r.at.Add(clocksDiffer).Before(r.month.AddDate(0, 1+least, 0))
}

// exact tells whether it says which entries went one by one, and as many as it counts.
func (r *retirement) exact() bool {
	n := int64(0)
	for _, run := range r.listed {
		n += run[1] - run[0] + 1
	}
	return r.class == classRefusals && n > 0 && n == r.count
}

func (r *retirement) facts() RetirementFacts {
	return RetirementFacts{
		Leaf: r.leaf, At: stamp(r.at), Actor: r.actor, Reason: r.reason, What: append([]string{}, r.codes...), Covers: r.covers, Early: r.early,
	}
}

// The members with the entries of retention from the bundle's first leaf on, and, if some lie behind the
// closing checkpoint, with a later one and the proof that its tree holds the closing one's.
const (
	retiredEntries     = "retired/entries"
	retiredPoint       = "retired/checkpoint"
	retiredConsistency = "retired/consistency"
	mostRetired        = 1 << 28
)

// readRetired reads the entries of retention, each by its proof.
func (in *inspection) readRetired() {
	if in.manifest.version < 2 {
		return
	}
	size, root, ok := in.retiredTree()
	if !ok {
		return
	}
	b, err := in.box.read(retiredEntries, mostRetired, nil)
	if err != nil {
		in.add(Incomplete, retiredEntries, "%v", err)
		return
	}
	next := in.manifest.first
	for len(b) > 0 {
		p, rest, ok := cutProved(b, nil)
		if !ok || p.index < next {
			in.add(Tampered, retiredEntries, "it is not leaves with their proofs, in their order")
			return
		}
		b, next = rest, p.index+1
		if err := checkInclusion(p.proof, size, root, p.index, in.hash.leaf(p.data)); err != nil {
			in.leaf(Tampered, retiredEntries, p.index, "%v", err)
			continue
		}
		s := slot{index: p.index, data: p.data}
		if in.read(retiredEntries, &s); !s.sound {
			continue
		}
		if s.leaf.kind != kindRetired {
			in.entry(Tampered, retiredEntries, p.index, s.ids(), "it is not an entry of retention")
			continue
		}
		in.retired = append(in.retired, newRetirement(p.index, &s.leaf.entry))
	}
}

// retiredTree is the tree that holds the entries of retention: the closing one, or a later one that was
// shown to hold it.
func (in *inspection) retiredTree() (size int64, root tlog.Hash, ok bool) {
	if in.manifest.retired == in.closing.size {
		for _, name := range []string{retiredPoint, retiredConsistency} {
			if _, there := in.box.index[name]; there {
				in.add(Tampered, name, "the closing checkpoint holds the entries of retention, and there is another one")
			}
		}
		return in.closing.size, in.closing.root, true
	}
	b, err := in.box.read(retiredPoint, mostCheckpoint, nil)
	if err != nil {
		in.add(Incomplete, retiredPoint, "%v", err)
		return 0, root, false
	}
	c, err := in.ring.openCheckpoint(b)
	if err == nil && (c.origin != in.manifest.origin || c.size != in.manifest.retired || c.at.Before(in.closing.at)) {
		err = errCheckpoint
	}
	if err != nil {
		in.add(Tampered, retiredPoint, "%v", err)
		return 0, root, false
	}
	b, err = in.box.read(retiredConsistency, mostProof*tlog.HashSize, nil)
	if errors.Is(err, errAbsent) {
		in.add(Incomplete, retiredConsistency, "%v", err)
		return 0, root, false
	}
	if err != nil || len(b)%tlog.HashSize != 0 ||
		checkConsistency(decodeTile(b, nil), c.size, c.root, in.closing.size, in.closing.root) != nil {
		in.add(Tampered, retiredConsistency, "it does not prove that the later tree, of %d entries, holds the closing one", c.size)
		return 0, root, false
	}
	in.facts.RetiredAt, in.retiredAt = stamp(c.at), c.at
	return c.size, c.root, true
}

// gatherRetired brings the entries of retention together, each once, in the order of the tree.
func (in *inspection) gatherRetired() {
	all := slices.Concat(in.retired, in.ledger.retired)
	slices.SortStableFunc(all, func(a, b retirement) int { return cmp.Compare(a.leaf, b.leaf) })
	in.retired = slices.CompactFunc(all, func(a, b retirement) bool { return a.leaf == b.leaf })
	for i := range in.retired {
		r := &in.retired[i]
		r.signed = in.retiredAt
		if r.leaf < in.closing.size {
			r.signed = in.closing.at
		}
		if n := sort.Search(len(in.claims.inside), func(n int) bool { return in.claims.inside[n].size > r.leaf }); n < len(in.claims.inside) {
			r.signed = in.claims.inside[n].at
		}
		r.early = r.tooEarly()
	}
}

// consistencyName is the member with proofs that the closing tree holds earlier ones: for each a uint64
// size, a byte with the number of hashes, and these, ordered by size.
const consistencyName = "consistency"

// mostConsistency is the most bytes of that member.
const mostConsistency = 1 << 30

// readConsistency reads those proofs, by the size that they are for.
func (c *claims) readConsistency() {
	b, err := c.box.read(consistencyName, mostConsistency, nil)
	if errors.Is(err, errAbsent) {
		return
	}
	last := int64(0)
	for err == nil && len(b) > 0 {
		if len(b) < 9 {
			err = errInclusion
			break
		}
		size, count := signed64(b), int(b[8])*tlog.HashSize
		if b = b[9:]; size <= last || len(b) < count {
			err = errInclusion
			break
		}
		c.proofs[size] = b[:count]
		b, last = b[count:], size
	}
	if err != nil {
		c.add(Tampered, consistencyName, "it is not proofs behind the sizes that they are for, in their order")
	}
}

// proven holds a checkpoint against the proof that the bundle brings for its size, if it does.
func (c *claims) proven(t *tree, k *claim) bool {
	b, ok := c.proofs[k.size]
	if !ok {
		return false
	}
	k.result = checkConsistency(decodeTile(b, nil), t.size, t.root, k.size, k.root)
	return true
}

// leafRun is a run of leaves in words.
func leafRun(run [2]int64) string {
	if run[0] == run[1] {
		return strconv.FormatInt(run[0], 10)
	}
	return strconv.FormatInt(run[0], 10) + "-" + strconv.FormatInt(run[1], 10)
}

// leafRuns are up to ten of them in words.
func leafRuns(runs [][2]int64) string {
	var words []string
	for _, run := range runs[:min(len(runs), 10)] {
		words = append(words, leafRun(run))
	}
	if len(runs) > 10 {
		words = append(words, "…")
	}
	return strings.Join(words, ", ")
}

// knownName is the last checkpoint of the hub's own file, in a bundle from a database that lacks it.
const knownName = "known"

// judgeLacking tells of a database that had less than the hub had signed.
func (in *inspection) judgeLacking() {
	b, err := in.box.read(knownName, mostCheckpoint, nil)
	switch {
	case !in.manifest.lacking && errors.Is(err, errAbsent):
		return
	case !in.manifest.lacking:
		in.add(Tampered, knownName, "the manifest does not say that the database lacks anything")
		return
	case err != nil:
		in.add(Incomplete, knownName, "%v", err)
		return
	}
	c, err := in.ring.openCheckpoint(b)
	if err == nil && c.origin != in.manifest.origin {
		err = errCheckpoint
	}
	if err != nil {
		in.add(Tampered, knownName, "%v", err)
		return
	}
	in.add(Incomplete, knownName, "when the bundle was made, the hub's own file had a checkpoint of %s, and the database lacked what was known to be in it: it was restored or changed, and nobody had signed for that. The export is not in the journal", c)
}
