package verify

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
)

// The kinds of entry that the verifier looks into. Others are authenticated and counted.
const (
	kindAccepted = 1
	kindAttempt  = 3
	kindActed    = 9
	kindRestored = 11
	kindRetired  = 14
)

// kindName is a kind in words.
func kindName(kind byte) string {
	names := [...]string{
		1: "event accepted", 2: "request refused", 3: "attempt settled", 4: "subjects joined", 5: "other's history",
		6: "reconciled", 7: "maintenance changed", 8: "configuration changed", 9: "operator acted",
		10: "message opened", 11: "journal restored", 12: "evidence exported", 13: "messages replayed",
		14: "records retired", 15: "person changed", 16: "subject reidentified", 17: "ticket refused", 18: "ticket revoked",
		20: "key rotated", 21: "codes told", 25: "subject erased", 26: "subject looked at", 27: "subjects separated",
		28: "action signed", 29: "codes retried",
	}
	if int(kind) < len(names) && names[kind] != "" {
		return names[kind]
	}
	return "unknown"
}

// uuid is an id as it stands in entries.
type uuid [16]byte

// String is the usual form, in small letters.
func (u uuid) String() string {
	var b [36]byte
	hex.Encode(b[:8], u[:4])
	hex.Encode(b[9:13], u[4:6])
	hex.Encode(b[14:18], u[6:8])
	hex.Encode(b[19:23], u[8:10])
	hex.Encode(b[24:], u[10:])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return string(b[:])
}

// parseUUID reads the usual form, in small or capital letters.
func parseUUID(s string) (u uuid, ok bool) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return u, false
	}
	_, err := hex.Decode(u[:], []byte(s[:8]+s[9:13]+s[14:18]+s[19:23]+s[24:]))
	return u, err == nil
}

// entry is what an entry's bytes say, as far as the verifier looks. Its slices point into them.
type entry struct {
	id                       uuid
	at                       int64
	kind                     byte
	participant, ente        int32
	message, event, delivery uuid
	outcome                  []byte
	codes                    []byte // a field that holds fields
	sealed, commitment       [32]byte
	actor, reason, reference []byte
	rules, mapping           int32
	started                  int64
}

// names are the ids of an entry.
type names struct{ id, message, event, delivery uuid }

func (e *entry) names() names { return names{e.id, e.message, e.event, e.delivery} }

// ids are what the entry is of.
func (e *entry) ids() IDs { return e.names().ids() }

// ids are the names as a report has them.
func (n names) ids() IDs {
	text := func(u uuid) string {
		if u == (uuid{}) {
			return ""
		}
		return u.String()
	}
	return IDs{Entry: text(n.id), Message: text(n.message), Event: text(n.event), Delivery: text(n.delivery)}
}

var (
	errEntry  = errors.New("its bytes are not the one canonical form of an entry")
	errLayout = errors.New("its layout is newer than this verifier")
)

// newestLayout is the highest version of the layout that parseEntry knows.
const newestLayout = 5

// yearOne is the time that the hub takes for "no time", in microseconds. It is written as 0 and never
// as itself.
const yearOne = -62135596800000000

// parseEntry reads the bytes of an entry. First stands the layout's version, then fields, each as a
// big-endian 32-bit length and so many bytes: id 16, time (microseconds since 1970) 8, kind 1,
// environment 1, participant 4, ente 4, message 16, event 16, delivery 16, attempt 4, outcome, codes (a
// field that holds fields), count 4, sealed 32, commitment 32; from version 2 severities 32; from 3 actor
// and reason; from 4 other 16; from 5 started 8, outbound 32, regional 32, state 32, schema, rules 4,
// mapping 4, reference, hub, region epoch 4, nation epoch 4, origin. The version is the lowest that has
// all fields that are not empty, so an entry has one form only; anything else is errEntry.
func parseEntry(b []byte, e *entry) error {
	if len(b) == 0 || b[0] == 0 {
		return errEntry
	}
	version := b[0]
	if version > newestLayout {
		return errLayout
	}
	r := fields{rest: b[1:]}
	copy(e.id[:], r.fixed(16))
	e.at = r.int64()
	e.kind = r.byte()
	r.byte()
	e.participant, e.ente = r.int32(), r.int32()
	copy(e.message[:], r.fixed(16))
	copy(e.event[:], r.fixed(16))
	copy(e.delivery[:], r.fixed(16))
	r.int32()
	e.outcome = r.next()
	e.codes = r.next()
	codes := fields{rest: e.codes}
	for len(codes.rest) > 0 && !codes.bad {
		codes.next()
	}
	r.int32()
	copy(e.sealed[:], r.fixed(32))
	copy(e.commitment[:], r.fixed(32))
	e.actor, e.reason, e.reference, e.rules, e.mapping, e.started = nil, nil, nil, 0, 0, 0
	lowest := byte(1)
	if version >= 2 && some(r.fixed(32)) {
		lowest = 2
	}
	if version >= 3 {
		e.actor = r.next()
		if e.reason = r.next(); len(e.actor)+len(e.reason) > 0 {
			lowest = 3
		}
	}
	if version >= 4 && some(r.fixed(16)) {
		lowest = 4
	}
	if version >= 5 && e.parseEvidence(&r) {
		lowest = 5
	}
	if lowest != version || r.bad || codes.bad || len(r.rest) > 0 {
		return errEntry
	}
	return nil
}

// parseEvidence reads the fields of version 5 and tells whether any is not empty.
func (e *entry) parseEvidence(r *fields) bool {
	if e.started = r.int64(); e.started == yearOne {
		r.bad = true
	}
	found := e.started != 0
	for range 3 { // outbound, regional, state
		found = some(r.fixed(32)) || found
	}
	schema := r.next()
	e.rules, e.mapping = r.int32(), r.int32()
	e.reference = r.next()
	hub := r.next()
	region, nation := r.int32(), r.int32()
	origin := r.next()
	return found || len(schema)+len(e.reference)+len(hub)+len(origin) > 0 || e.rules|e.mapping|region|nation != 0
}

// some tells whether any byte is set.
func some(b []byte) bool {
	for ; len(b) >= 8; b = b[8:] {
		if binary.LittleEndian.Uint64(b) != 0 {
			return true
		}
	}
	for _, c := range b {
		if c != 0 {
			return true
		}
	}
	return false
}

// fields takes length-prefixed fields off the front. After the first that does not fit, bad is set and
// every further one is empty or zero.
type fields struct {
	rest []byte
	bad  bool
}

func (r *fields) next() []byte {
	if len(r.rest) < 4 {
		r.rest, r.bad = nil, true
		return nil
	}
	size := int64(binary.BigEndian.Uint32(r.rest))
	if size > int64(len(r.rest)-4) {
		r.rest, r.bad = nil, true
		return nil
	}
	f := r.rest[4 : 4+size]
	r.rest = r.rest[4+size:]
	return f
}

// fixed is a field of exactly that many bytes, or none.
func (r *fields) fixed(size int) []byte {
	f := r.next()
	if len(f) != size {
		r.bad = true
		return nil
	}
	return f
}

func (r *fields) byte() byte {
	if f := r.fixed(1); f != nil {
		return f[0]
	}
	return 0
}

func (r *fields) int32() int32 {
	if f := r.fixed(4); f != nil {
		return signed32(f)
	}
	return 0
}

func (r *fields) int64() int64 {
	if f := r.fixed(8); f != nil {
		return signed64(f)
	}
	return 0
}

// signed32 is a big-endian number in two's complement.
func signed32(b []byte) int32 {
	return int32(binary.BigEndian.Uint32(b)) //nolint:gosec // two's complement is what the format says
}

// signed64 is a big-endian number in two's complement.
func signed64(b []byte) int64 {
	return int64(binary.BigEndian.Uint64(b)) //nolint:gosec // two's complement is what the format says
}

// suffixSize is how many bytes of a leaf follow its entry: participant, ente, number.
const suffixSize = 16

// maxLeaf is the most bytes of a leaf that an entry bundle can hold.
const maxLeaf = math.MaxUint16

// leaf is a leaf's data: an entry, and its number among those of its participant and ente.
type leaf struct {
	entry
	seq int64
}

var (
	errSuffix = errors.New("its participant or ente is not the one of its entry")
	errNumber = errors.New("its number among those of its participant and ente is below 1")
)

// parseLeaf reads a leaf's data.
func parseLeaf(b []byte, l *leaf) error {
	if len(b) <= suffixSize {
		return errEntry
	}
	cut := len(b) - suffixSize
	if err := parseEntry(b[:cut], &l.entry); err != nil {
		return err
	}
	suffix := b[cut:]
	if signed32(suffix) != l.participant || signed32(suffix[4:]) != l.ente {
		return errSuffix
	}
	if l.seq = signed64(suffix[8:]); l.seq < 1 {
		return errNumber
	}
	return nil
}
