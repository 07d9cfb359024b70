package verify

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// Records of a bundle for one ente: so many in a member, but for the last, each of at most so many bytes.
const (
	enteRecords = 4096
	mostProof   = 63
	mostRecord  = 8 + 2 + maxLeaf + 1 + mostProof*tlog.HashSize
)

// sequencesName is the member with the last number of each participant's entries for the ente.
const sequencesName = "ente/sequences"

// mostSequences is the most bytes of that member.
const mostSequences = 1 << 24

// enteLeaves verifies the leaves of a bundle for one ente, each by its proof, from the last to the first.
func (in *inspection) enteLeaves() {
	in.claims.start(&tree{size: in.closing.size, root: in.closing.root, number: -1}, math.MaxInt64)
	count := 0
	for ; ; count++ {
		if _, ok := in.box.index[enteName("leaves", count)]; !ok {
			break
		}
	}
	for _, m := range in.box.members {
		if folder, rest, _ := strings.Cut(m.name, "/"); folder != "tile" && folder != "sealed" && folder != "ente" || m.name == sequencesName {
			continue
		} else if _, digits, _ := strings.Cut(rest, "/"); true {
			k, err := strconv.Atoi(digits)
			if err != nil || k < 0 || k >= count || m.name != enteName("leaves", k) && m.name != enteName("sealed", k) {
				in.add(Tampered, m.name, "a bundle for one ente has no place for it")
			}
		}
	}
	w := &enteWalk{inspection: in, ahead: in.manifest.end}
	for k := count - 1; k >= 0; k-- {
		w.step(k, k == count-1)
	}
	in.walked = true
	in.sequences()
}

func enteName(folder string, k int) string { return fmt.Sprintf("ente/%s/%06d", folder, k) }

// enteWalk goes through the records of a bundle for one ente.
type enteWalk struct {
	*inspection

	slots []slot
	bytes []byte
	proof []tlog.Hash
	seals seals
	// ahead is the leaf that the ones still to come stand before.
	ahead int64
}

// step verifies one member of records.
func (w *enteWalk) step(k int, last bool) {
	member := enteName("leaves", k)
	b, err := w.box.read(member, enteRecords*mostRecord, w.bytes)
	if err != nil {
		w.add(Tampered, member, "%v", err)
		return
	}
	w.bytes = b
	w.slots = w.slots[:0]
	if !w.split(member, b) || len(w.slots) == 0 || len(w.slots) != enteRecords && !last {
		w.add(Tampered, member, "it is not up to %d leaves with their proofs, and full unless it is the last", enteRecords)
		w.ledger.gone += enteRecords
		return
	}
	ahead := w.ahead
	for _, s := range slices.Backward(w.slots) {
		if s.index >= ahead || s.index < w.manifest.first {
			w.entry(Tampered, member, s.index, s.ids(), "it is outside of the range, or not behind the record ahead of it")
		}
		ahead = s.index
	}
	w.ahead = ahead
	w.seals.check(w.inspection, enteName("sealed", k), w.slots)
	w.post(member, w.slots)
}

// split takes records apart and holds each against the signed root.
func (w *enteWalk) split(member string, b []byte) bool {
	for len(b) > 0 {
		p, rest, ok := cutProved(b, w.proof)
		if !ok || len(w.slots) == enteRecords {
			return false
		}
		b, w.proof = rest, p.proof
		w.slots = append(w.slots, slot{index: p.index, data: p.data})
		w.authenticate(member, &w.slots[len(w.slots)-1])
	}
	return true
}

// proved is a leaf with the hashes that prove it.
type proved struct {
	index int64
	data  []byte
	proof []tlog.Hash
}

// cutProved takes one off the front: uint64 place in the tree, uint16 length and data, a byte with the
// number of hashes, and these, which it puts into proof if that is large enough.
func cutProved(b []byte, proof []tlog.Hash) (p proved, rest []byte, ok bool) {
	if len(b) < 10 {
		return p, nil, false
	}
	size := int(binary.BigEndian.Uint16(b[8:]))
	p.index, b = signed64(b), b[10:]
	if len(b) < size+1 {
		return p, nil, false
	}
	count := int(b[size]) * tlog.HashSize
	p.data, b = b[:size], b[size+1:]
	if len(b) < count {
		return p, nil, false
	}
	p.proof = decodeTile(b[:count], proof)
	return p, b[count:], true
}

func (w *enteWalk) authenticate(member string, s *slot) {
	if len(s.data) == 0 {
		return
	}
	if err := checkInclusion(w.proof, w.closing.size, w.closing.root, s.index, w.hash.leaf(s.data)); err != nil {
		w.entry(Tampered, member, s.index, claimed(s.data), "%v", err)
		return
	}
	if w.read(member, s); s.sound && s.leaf.ente != w.manifest.row {
		w.entry(Tampered, member, s.index, s.ids(), "the entry is of another ente")
		s.sound = false
	}
}

// sequences holds the numbers that were met against the last ones that the hub gave: none may be missing
// at the end either.
func (in *inspection) sequences() {
	b, err := in.box.read(sequencesName, mostSequences, nil)
	if err != nil {
		code := Tampered
		if errors.Is(err, errAbsent) {
			code = Incomplete
		}
		in.add(code, sequencesName, "%v", err)
		return
	}
	named := map[pair]int64{}
	for line := range strings.Lines(string(b)) {
		p, last, ok := parseSequence(line)
		if _, twice := named[p]; !ok || twice || p.ente != in.manifest.row {
			in.add(Tampered, sequencesName, "it is not one line for each participant of the ente, with its last number")
			return
		}
		named[p] = last
	}
	for _, p := range sortedPairs(in.ledger.pairs) {
		s := in.ledger.pairs[p]
		last, ok := named[p]
		switch {
		case !ok || s.highest > last:
			in.entry(Tampered, sequencesName, s.leaf, s.of.ids(), "participant %d has entries up to number %d here, and %d stands as its last one", p.participant, s.highest, last)
		case s.highest == last || in.manifest.end != in.manifest.size:
		case last-s.highest <= in.ledger.gone:
			in.ledger.missing += last - s.highest // if more are missing than gone, the ledger tells
		default:
			in.ledger.missing += last - s.highest
			in.add(Incomplete, sequencesName, "the last entries of participant %d are missing: number %d of %d is the last one here", p.participant, s.highest, last)
		}
	}
	for p, last := range named {
		if in.ledger.pairs[p] == nil && in.manifest.first == 0 && in.manifest.end == in.manifest.size && last > in.ledger.gone {
			in.ledger.missing += last
			in.add(Incomplete, sequencesName, "all entries of participant %d are missing, %d in number", p.participant, last)
		}
	}
}

func parseSequence(line string) (p pair, last int64, ok bool) {
	line, ended := strings.CutSuffix(line, "\n")
	words := strings.Split(line, " ")
	if len(words) != 3 || !ended {
		return p, 0, false
	}
	participant, err := strconv.ParseInt(words[0], 10, 32)
	ente, err2 := strconv.ParseInt(words[1], 10, 32)
	last, ok = decimal(words[2])
	return pair{int32(participant), int32(ente)}, last, ok && err == nil && err2 == nil && last > 0
}

// sortedPairs gives the pairs in an order of their own, so that a report is the same every time.
func sortedPairs(pairs map[pair]*sequence) []pair {
	return slices.SortedFunc(maps.Keys(pairs), func(a, b pair) int {
		if a.participant != b.participant {
			return cmp.Compare(a.participant, b.participant)
		}
		return cmp.Compare(a.ente, b.ente)
	})
}
