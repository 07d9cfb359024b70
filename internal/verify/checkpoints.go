package verify

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"io"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// OutsideFacts say how a checkpoint that was given compares with the bundle.
type OutsideFacts struct {
	// File is the name that it was given under.
	File string `json:"file"`
	// Size, Root and At are what it says.
	Size int64  `json:"size"`
	Root string `json:"root"`
	At   string `json:"at"`
	// Result is one of: agrees, contradicts, lost (an operator signed for a restore), newer and
	// unprovable (both: cannot be compared).
	Result string `json:"result"`
}

// claim is a checkpoint that the tree must hold.
type claim struct {
	checkpoint

	name    string
	outside bool
	times   int   // how often it stands there in a row
	result  error // of tree.holds
}

// claims are all checkpoints that the tree is held against.
type claims struct {
	*inspection

	inside  []checkpoint
	outside []*claim
	pending []*claim
	waiting map[int64][]*claim // by tile of leaves
	proofs  map[int64][]byte   // that the bundle brings, by size
}

// checkpointsName is the member with the checkpoints of the range.
const checkpointsName = "checkpoints"

// newClaims reads the checkpoints of the bundle and those given.
func newClaims(in *inspection, outside []Document) *claims {
	c := &claims{inspection: in, waiting: map[int64][]*claim{}, proofs: map[int64][]byte{}}
	c.readConsistency()
	c.readInside()
	for _, d := range outside {
		c.readOutside(d)
	}
	in.facts.Checkpoints = len(c.inside)
	m := &in.manifest
	// What came behind a checkpoint of the range belongs to it. The one that stands before the bundle's
	// first leaf may be older.
	i := slices.IndexFunc(c.inside, func(p checkpoint) bool { return !p.at.Before(m.from) })
	if i >= 0 && c.inside[i].size < m.first {
		in.add(Incomplete, checkpointsName, "the range begins before the bundle: from leaf %d at the latest, and the first one here is %d", c.inside[i].size, m.first)
	}
	return c
}

// readInside reads checkpoints, each behind its length in decimal digits and a line feed. They must not
// go back in time or size, and end with the closing one.
func (c *claims) readInside() {
	section, ok := c.box.open(checkpointsName)
	if !ok {
		c.add(Incomplete, checkpointsName, "%v", errAbsent)
		return
	}
	r := bufio.NewReaderSize(section, 1<<16)
	var last []byte
	for number := 1; ; number++ {
		b, err := nextNote(r)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			c.add(Tampered, checkpointsName, "number %d is not a note behind its length", number)
			return
		}
		last = b
		p, err := c.ring.openCheckpoint(b)
		if err == nil && p.origin != c.manifest.origin {
			err = errCheckpoint
		}
		if err != nil {
			c.add(Tampered, checkpointsName, "number %d: %v", number, err)
			continue
		}
		c.takeInside(p, number)
	}
	if closing, err := c.box.read(closingName, mostCheckpoint, nil); err == nil && !bytes.Equal(closing, last) {
		c.add(Tampered, checkpointsName, "the last one is not the closing checkpoint")
	}
}

func (c *claims) takeInside(p checkpoint, number int) {
	if n := len(c.inside); n > 0 {
		before := c.inside[n-1]
		switch {
		case p.at.Before(before.at):
			c.add(Tampered, checkpointsName, "number %d is of %s, before the one ahead of it, of %s", number, stamp(p.at), stamp(before.at))
		case p.size < before.size:
			c.add(Tampered, checkpointsName, "number %d has %d entries, and the one ahead of it %d", number, p.size, before.size)
		case p.size == before.size && p.root != before.root:
			c.add(Tampered, checkpointsName, "a fork: number %d and the one ahead of it are both of %d entries, with roots %s and %s", number, p.size, p.root, before.root)
		}
		if p.size == before.size && p.root == before.root {
			c.inside = append(c.inside, p)
			c.pending[len(c.pending)-1].times++
			return
		}
	}
	c.inside = append(c.inside, p)
	c.pending = append(c.pending, &claim{checkpoint: p, name: checkpointsName, times: 1, result: errNotHere})
}

// nextNote reads one note; io.EOF: there is none any more.
func nextNote(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if errors.Is(err, io.EOF) && len(line) == 0 {
		return nil, io.EOF
	}
	if err != nil {
		return nil, errNote
	}
	size, ok := decimal(string(line[:len(line)-1]))
	if !ok || size > mostCheckpoint {
		return nil, errNote
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, errNote
	}
	return b, nil
}

// readOutside reads what was given: a checkpoint by itself, or the one in a stored answer of the hub.
func (c *claims) readOutside(d Document) {
	if isDocument(d.Bytes) {
		c.readAnswersOutside(d)
		return
	}
	c.readPoint(d.Name, d.Bytes)
}

// readPoint reads a checkpoint that was given. Whoever gives it trusts it; with the same name and another
// key it speaks against the bundle.
func (c *claims) readPoint(name string, text []byte) {
	p, err := c.ring.openCheckpoint(tidyNote(text))
	switch {
	case err == nil && p.origin == c.manifest.origin:
	case errors.Is(err, errNoSigner) && p.origin == c.manifest.origin:
		c.add(Tampered, name, "the checkpoint given is of this journal and signed by another key than the bundle: if the key was rotated, give all of /journal/keys as --key")
		return
	case p.origin != "" && p.origin != c.manifest.origin:
		c.add(Unusable, name, "the checkpoint given is of another journal")
		return
	default:
		c.add(Unusable, name, "neither a signed checkpoint nor a stored answer of the hub: %v", err)
		return
	}
	k := &claim{checkpoint: p, name: name, outside: true, result: errNotHere}
	c.outside = append(c.outside, k)
	c.pending = append(c.pending, k)
}

// tidyNote undoes what mail and editors do to a note: carriage returns, and blanks around it.
func tidyNote(b []byte) []byte {
	text := strings.ReplaceAll(string(b), "\r\n", "\n")
	return []byte(strings.TrimSpace(text) + "\n")
}

// start proves what the upper levels alone can prove; the others wait for their tile of leaves, if it is
// in the bundle.
func (c *claims) start(t *tree, first int64) {
	for _, k := range c.pending {
		switch {
		case k.size == 0:
			if k.result = nil; k.root != tlog.Hash(sha256.Sum256(nil)) {
				k.result = errConsistency
			}
		case k.size > t.size, c.proven(t, k):
		default:
			if k.result = t.holds(k.size, k.root); errors.Is(k.result, errNotHere) && k.size/tileWidth >= first {
				c.waiting[k.size/tileWidth] = append(c.waiting[k.size/tileWidth], k)
			}
		}
	}
}

// at proves what waits for the tile of leaves at hand.
func (c *claims) at(t *tree, number int64) {
	for _, k := range c.waiting[number] {
		k.result = t.holds(k.size, k.root)
	}
	delete(c.waiting, number)
}

// judge tells what came of the claims. An operator's word that the journal was restored makes a lost
// branch of it what would be tampering, and only for checkpoints from before it.
func (c *claims) judge(l *ledger) {
	unprovable := 0
	for _, k := range c.pending {
		if k.outside {
			continue
		}
		switch {
		case k.result == nil:
			c.facts.Proven += k.times
		case errors.Is(k.result, errConsistency):
			c.add(Tampered, checkpointsName, "the tree does not hold the one of %s", k.checkpoint)
		default:
			unprovable += k.times
		}
	}
	if unprovable > 0 {
		c.note("Of %d checkpoints in the bundle only the signature was checked: with the tiles here they cannot be tied to its tree.", unprovable)
	}
	c.forks(l)
	for _, k := range c.outside {
		result := c.compare(k)
		if result == "contradicts" && l.excuses(k.checkpoint, c.inside) {
			result = "lost"
		}
		switch result {
		case "contradicts":
			c.add(Tampered, k.name, "the tree of the bundle contradicts the checkpoint given, of %s", k.checkpoint)
		case "lost":
			c.add(Incomplete, k.name, "the checkpoint given, of %s, is of a history that was lost: the entries between are lost, and an operator signed for it", k.checkpoint)
		case "newer":
			if !c.facts.Closed {
				// The export found no later one, and there was one.
				c.add(Incomplete, k.name, "the bundle ends with the last checkpoint that its export found, of %s, and the one given is newer, of %s: export again; if nothing more comes, the end of the journal was cut off", c.closing, k.checkpoint)
				break
			}
			c.note("%s: cannot be compared, it is newer than the bundle (%s).", k.name, k.checkpoint)
		case "unprovable":
			c.note("%s: cannot be compared, it ends before the bundle's first leaf and no proof of its size is here (%s). Have it exported again with --prove %d, or for a range that reaches there.", k.name, k.checkpoint, k.size)
		}
		c.facts.Outside = append(c.facts.Outside, OutsideFacts{File: k.name, Size: k.size, Root: k.root.String(), At: stamp(k.at), Result: result})
	}
}

// compare tells how a checkpoint given stands to the bundle.
func (c *claims) compare(k *claim) string {
	switch {
	case errors.Is(k.result, errConsistency), c.backwards(k.checkpoint):
		return "contradicts"
	case k.result == nil:
		return "agrees"
	case k.size > c.closing.size:
		return "newer"
	}
	return "unprovable"
}

// backwards tells whether the journal would have shrunk between a checkpoint and one of the bundle.
func (c *claims) backwards(p checkpoint) bool {
	i, _ := slices.BinarySearchFunc(c.inside, p, func(a, b checkpoint) int { return a.at.Compare(b.at) })
	if i < len(c.inside) && c.inside[i].size < p.size {
		return true
	}
	return i > 0 && c.inside[i-1].size > p.size
}

// forks tells of checkpoints of one size with different roots, whether or not the bundle reaches there.
// Of a branch that was lost with a restore there may be one.
func (c *claims) forks(l *ledger) {
	seen := map[int64]*claim{}
	for _, k := range c.outside {
		if l.excuses(k.checkpoint, c.inside) && c.compare(k) == "contradicts" {
			continue
		}
		if other := seen[k.size]; other != nil && other.root != k.root {
			c.add(Tampered, k.name, "a fork: it and %s are both of %d entries, with roots %s and %s", other.name, k.size, k.root, other.root)
		}
		seen[k.size] = k
		i, found := slices.BinarySearchFunc(c.inside, k.size, func(p checkpoint, size int64) int { return cmp.Compare(p.size, size) })
		if found && c.inside[i].root != k.root {
			c.add(Tampered, k.name, "a fork: it and one in the bundle are both of %d entries, with roots %s and %s", k.size, k.root, c.inside[i].root)
		}
	}
}
