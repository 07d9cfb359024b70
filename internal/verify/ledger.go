package verify

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// ledger holds what entries say of each other: no number missing, every acceptance with its outcome. It
// takes the leaves from the last to the first, so that the first attempt it sees of an event is its last
// one, and nothing has to be kept of an event once its acceptance has gone by.
type ledger struct {
	rep *Report
	// end is where the range that was asked for ends; what lies behind came along with its tile.
	end   int64
	facts *BundleFacts
	pairs map[pair]*sequence
	// last has the last attempt of each event whose acceptance was not met yet, acted the delivery that an
	// operator's act named.
	last  map[uuid]attempt
	acted map[uuid]uuid
	// waiting were accepted and have no outcome so far.
	waiting map[uuid]acceptance
	lines   map[uuid]*openLine
	// restored are the operators' words that the journal was restored, from the last to the first.
	restored []restoration
	// retired are the entries of retention.
	retired []retirement
	// kept are the answers that were given, by their event, answers all of them in order.
	kept    map[uuid][]*keptAnswer
	answers []*keptAnswer
	// missing counts the numbers that no body has.
	missing int64
	// gone counts the leaves met so far whose entry could not be read, mostly because it is no more.
	gone int64
}

// pair is whose numbers run from 1.
type pair struct{ participant, ente int32 }

// sequence is where a pair's numbers stand.
type sequence struct {
	lowest, leaf int64 // the last number met, and where
	of           names // and of what
	highest      int64
	gone         int64 // how many bodies were gone when it was met
}

type attempt struct {
	delivery uuid
	leaf     int64
	final    bool
}

type acceptance struct {
	delivery uuid
	leaf     int64
	of       names
}

// openLine is a line of the member open.
type openLine struct {
	delivery uuid
	state    string
	used     bool
}

// restoration is what an operator signed after a restore.
type restoration struct {
	leaf int64
	size int64
	root tlog.Hash
	at   time.Time
}

// openName is the member with the events that have no outcome yet.
const openName = "open"

func newLedger(rep *Report, facts *BundleFacts, end int64) *ledger {
	return &ledger{
		rep: rep, facts: facts, end: end, pairs: map[pair]*sequence{}, last: map[uuid]attempt{},
		acted: map[uuid]uuid{}, waiting: map[uuid]acceptance{}, lines: map[uuid]*openLine{},
		kept: map[uuid][]*keptAnswer{},
	}
}

// finalOutcome tells whether an attempt with that outcome was the last one for now.
func finalOutcome(outcome []byte) bool {
	switch string(outcome) {
	case "delivered", "refused", "dead", "parked":
		return true
	}
	return false
}

// readOpen reads the lines "IdRicevuta IdTrasmissione state".
func (l *ledger) readOpen(text string) {
	n := 0
	for line := range strings.Lines(text) {
		n++
		line, ended := strings.CutSuffix(line, "\n")
		words := strings.Split(line, " ")
		if len(words) != 3 || !ended {
			l.rep.add(Tampered, openName, "line %d is not IdRicevuta IdTrasmissione state", n)
			continue
		}
		message, ok := parseUUID(words[0])
		delivery, also := parseUUID(words[1])
		switch state := words[2]; {
		case !ok || !also:
			l.rep.add(Tampered, openName, "line %d is not IdRicevuta IdTrasmissione state", n)
		case l.lines[message] != nil:
			l.rep.add(Tampered, openName, "line %d names message %s a second time", n, message)
		case state != "pending" && state != "sending" && state != "retrying" && state != "uncertain" && state != "parked":
			l.rep.add(Tampered, openName, "line %d gives message %s a state that is not open", n, message)
		default:
			l.lines[message] = &openLine{delivery: delivery, state: state}
		}
	}
	l.facts.Open = len(l.lines)
}

// take takes the next leaf towards the front.
func (l *ledger) take(member string, index int64, e *leaf) {
	l.number(member, index, e)
	switch e.kind {
	case kindAttempt:
		l.takeAttempt(index, e)
	case kindActed:
		if _, known := l.acted[e.message]; !known {
			l.acted[e.message] = e.delivery
		}
	case kindAccepted:
		l.takeAccepted(index, e)
	case kindRestored:
		l.takeRestored(index, e)
	case kindRetired:
		l.retired = append(l.retired, newRetirement(index, &e.entry))
	}
}

// number holds a leaf's number against the next one of its pair.
func (l *ledger) number(member string, index int64, e *leaf) {
	p := pair{e.participant, e.ente}
	s := l.pairs[p]
	if s == nil {
		s = &sequence{highest: e.seq}
		l.pairs[p] = s
	} else {
		missing := s.lowest - 1 - e.seq
		l.missing += max(missing, 0)
		switch {
		case missing < 0:
			l.rep.entry(Tampered, member, index, e.ids(), "its number %d of participant %d, ente %d is not below number %d at leaf %d", e.seq, p.participant, p.ente, s.lowest, s.leaf)
		case missing > l.gone-s.gone:
			l.rep.entry(Incomplete, member, index, e.ids(), "behind it entries of participant %d, ente %d are missing, %d in number, up to number %d at leaf %d", p.participant, p.ente, missing, s.lowest, s.leaf)
		}
	}
	s.lowest, s.leaf, s.of, s.gone = e.seq, index, e.names(), l.gone
}

func (l *ledger) takeAttempt(index int64, e *leaf) {
	l.facts.Attempts++
	final := finalOutcome(e.outcome)
	if a, early := l.waiting[e.message]; early {
		// Its leaf lies before that of its acceptance: another instance wrote it with another clock.
		if final && l.lines[e.message] == nil && l.settles(e.message, a.delivery, e.delivery) {
			delete(l.waiting, e.message)
			l.facts.Settled++
		}
		return
	}
	if _, known := l.last[e.message]; !known {
		l.last[e.message] = attempt{delivery: e.delivery, leaf: index, final: final}
	}
}

// settles tells whether an attempt was for a delivery that the event had: its first one, or one that an
// operator began.
func (l *ledger) settles(message, first, delivery uuid) bool {
	return delivery == first || l.acted[message] == delivery
}

func (l *ledger) takeAccepted(index int64, e *leaf) {
	l.facts.Accepted++
	l.takeKept(index, e)
	last, tried := l.last[e.message]
	delete(l.last, e.message)
	line := l.lines[e.message]
	tried = tried && l.settles(e.message, e.delivery, last.delivery)
	if line != nil {
		line.used = true
		switch {
		case tried && last.final && last.leaf < l.end:
			l.rep.entry(Tampered, openName, index, e.ids(), "message %s stands as open, and leaf %d has its outcome", e.message, last.leaf)
		case line.delivery != e.delivery && line.delivery != l.acted[e.message] && (!tried || line.delivery != last.delivery):
			l.rep.entry(Tampered, openName, index, e.ids(), "message %s stands as open under a delivery that is not its own", e.message)
		case !tried && line.state != "pending" && line.state != "sending" && l.acted[e.message] == uuid{}:
			l.rep.entry(Tampered, openName, index, e.ids(), "message %s stands as %s, and nothing was tried", e.message, line.state)
		}
		delete(l.acted, e.message)
		return
	}
	if tried && last.final {
		l.facts.Settled++
		delete(l.acted, e.message)
		return
	}
	if index < l.end {
		l.waiting[e.message] = acceptance{delivery: e.delivery, leaf: index, of: e.names()}
	}
}

// takeRestored reads "restored after SIZE ROOT: " and the operator's own words.
func (l *ledger) takeRestored(index int64, e *leaf) {
	r := restoration{leaf: index, size: -1, at: time.UnixMicro(e.at)}
	words := strings.SplitN(string(e.reason), " ", 5)
	ok := len(words) >= 4 && words[0] == "restored" && words[1] == "after"
	if ok {
		root, err := tlog.ParseHash(strings.TrimSuffix(words[3], ":"))
		size, err2 := strconv.ParseInt(words[2], 10, 64)
		if ok = err == nil && err2 == nil; ok {
			r.root, r.size = root, size
		}
	}
	l.restored = append(l.restored, r)
	if !ok {
		l.rep.note("Leaf %d: an operator signed at %s that the journal was restored from a backup, and not after which checkpoint.", index, stamp(r.at))
		return
	}
	l.rep.note("Leaf %d: an operator signed at %s that the journal was restored from a backup, after the checkpoint of %d entries with root %s. What the journal had from leaf %d at the latest up to there is lost.", index, stamp(r.at), r.size, r.root, index)
	if len(l.facts.Restored) < mostNotes {
		l.facts.Restored = append(l.facts.Restored, RestoredFacts{Leaf: index, At: stamp(r.at), AfterSize: r.size, AfterRoot: r.root.String()})
	}
}

// excuses tells whether an operator's word explains that a checkpoint from before it is not of this tree:
// it is of a branch that was left below its size. The branches part at the entry at the latest, and not
// before the last checkpoint of the bundle, all sorted by time, that the restored database still had.
func (l *ledger) excuses(p checkpoint, inside []checkpoint) bool {
	for _, r := range l.restored {
		shared := r.leaf
		i, _ := slices.BinarySearchFunc(inside, r.at, func(c checkpoint, at time.Time) int { return c.at.Compare(at) })
		if i > 0 {
			shared = min(shared, inside[i-1].size)
		}
		if r.size >= 0 && p.size > shared && !p.at.After(r.at) && (r.size != p.size || r.root == p.root) {
			return true
		}
	}
	return false
}

// close tells what is left over. First is the number of the bundle's first leaf.
func (l *ledger) close(first int64) {
	for _, message := range slices.SortedFunc(maps.Keys(l.waiting), func(a, b uuid) int {
		return cmp.Compare(l.waiting[a].leaf, l.waiting[b].leaf)
	}) {
		l.rep.entry(Incomplete, openName, l.waiting[message].leaf, l.waiting[message].of.ids(), "message %s was accepted, and has neither an outcome nor a line here", message)
	}
	unknown := 0
	for _, message := range slices.SortedFunc(maps.Keys(l.lines), func(a, b uuid) int { return bytes.Compare(a[:], b[:]) }) {
		switch {
		case l.lines[message].used:
		case l.gone+l.missing > 0:
			unknown++
		default:
			l.rep.add(Tampered, openName, "message %s stands as open, and was not accepted in the bundle", message)
		}
	}
	if unknown > 0 {
		l.rep.add(Incomplete, openName, "events that stand as open without their acceptance in the bundle: %d", unknown)
	}
	if first == 0 {
		for p, s := range l.pairs {
			l.missing += s.lowest - 1
			if s.lowest-1 > l.gone-s.gone {
				l.rep.entry(Incomplete, "", s.leaf, s.of.ids(), "before it entries of participant %d, ente %d are missing, %d in number", p.participant, p.ente, s.lowest-1)
			}
		}
	}
	if l.missing > l.gone && l.rep.Verdict == Good {
		l.rep.add(Incomplete, "", "more numbers of entries are missing (%d) than entries are gone (%d)", l.missing, l.gone)
	}
}
