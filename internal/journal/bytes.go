package journal

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
)

// The first byte of every entry's bytes is the version of their layout. Another layout gets another
// number, and the old one stays readable.
const (
	// Version is the layout of entries without Severities.
	Version = 1
	// VersionSeverities has that field behind the others, and never as zeroes, so that an entry has
	// one form only.
	VersionSeverities = 2
	// VersionActor has Severities, zeroes or not, then Actor and Reason behind the others, and never
	// both of these empty.
	VersionActor = 3
	// VersionOther has all of these, empty or not, then Other behind the others, and never as zeroes.
	VersionOther = 4
	// VersionEvidence has all of these, empty or not, then the fields of Evidence, and never all of
	// them as zeroes.
	VersionEvidence = 5
)

// ErrFormat says that bytes are not exactly those of an entry.
var ErrFormat = errors.New("not the canonical bytes of a journal entry")

// Bytes gives the entry's canonical form: the lowest version that has its fields, then the fields of
// that version in the order of their declaration in Entry, each as a big-endian 32-bit length and that
// many bytes. Numbers are
// big-endian two's complement of their own width, At is microseconds since 1970 in 64 bits,
// Codes is one field that holds a length and bytes for each code. Two entries have the same
// bytes only if all their fields are equal.
func (e Entry) Bytes() []byte {
	var codes []byte
	for _, c := range e.Codes {
		codes = appendField(codes, []byte(c))
	}
	b := make([]byte, 1, 700+len(codes))
	b[0] = e.version()
	b = appendField(b, e.ID[:])
	b = appendField(b, numeric(e.At.UnixMicro()))
	b = appendField(b, []byte{byte(e.Kind)})
	b = appendField(b, []byte{byte(e.Environment)})
	b = appendField(b, numeric(e.Participant))
	b = appendField(b, numeric(e.Ente))
	b = appendField(b, e.Message[:])
	b = appendField(b, e.Event[:])
	b = appendField(b, e.Delivery[:])
	b = appendField(b, numeric(e.Attempt))
	b = appendField(b, []byte(e.Outcome))
	b = appendField(b, codes)
	b = appendField(b, numeric(e.Count))
	b = appendField(b, e.Sealed[:])
	b = appendField(b, e.Commitment[:])
	if b[0] >= VersionSeverities {
		b = appendField(b, e.Severities[:])
	}
	if b[0] >= VersionActor {
		b = appendField(b, []byte(e.Actor))
		b = appendField(b, []byte(e.Reason))
	}
	if b[0] >= VersionOther {
		b = appendField(b, e.Other[:])
	}
	if b[0] >= VersionEvidence {
		b = e.appendEvidence(b)
	}
	return b
}

func (v *Evidence) appendEvidence(b []byte) []byte {
	var started int64
	if !v.StartedAt.IsZero() {
		started = v.StartedAt.UnixMicro()
	}
	b = appendField(b, numeric(started))
	b = appendField(b, v.Outbound[:])
	b = appendField(b, v.Regional[:])
	b = appendField(b, v.State[:])
	b = appendField(b, []byte(v.Schema))
	b = appendField(b, numeric(v.Rules))
	b = appendField(b, numeric(v.Mapping))
	b = appendField(b, []byte(v.Reference))
	b = appendField(b, []byte(v.Hub))
	b = appendField(b, numeric(v.RegionEpoch))
	b = appendField(b, numeric(v.NationEpoch))
	return appendField(b, v.Origin)
}

func (v *Evidence) readEvidence(r *reader) {
	var started int64
	if number(r, &started); started != 0 {
		v.StartedAt = time.UnixMicro(started).UTC()
		// the zero time stands as 0 and in no other way
		r.bad = r.bad || v.StartedAt.IsZero()
	}
	r.into(v.Outbound[:])
	r.into(v.Regional[:])
	r.into(v.State[:])
	v.Schema = string(r.field())
	number(r, &v.Rules)
	number(r, &v.Mapping)
	v.Reference, v.Hub = string(r.field()), string(r.field())
	number(r, &v.RegionEpoch)
	number(r, &v.NationEpoch)
	if origin := r.field(); len(origin) > 0 {
		v.Origin = origin
	}
}

// noEvidence tells whether no field is set.
func (v *Evidence) noEvidence() bool {
	none := [32]byte{}
	return v.StartedAt.IsZero() && v.Outbound == none && v.Regional == none && v.State == none && v.Schema == "" &&
		v.Rules == 0 && v.Mapping == 0 && v.Reference == "" && v.Hub == "" && v.RegionEpoch == 0 && v.NationEpoch == 0 &&
		len(v.Origin) == 0
}

// version is the lowest that has the entry's fields, so that an entry has one form only.
func (e Entry) version() byte {
	switch {
	case !e.noEvidence():
		return VersionEvidence
	case e.Other != uuid.Nil:
		return VersionOther
	case e.Actor != "" || e.Reason != "":
		return VersionActor
	case e.Severities != [32]byte{}:
		return VersionSeverities
	}
	return Version
}

func appendField(b, field []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(field))) //nolint:gosec // codes and digests, far below 4 GiB
	return append(b, field...)
}

// numeric is a number in big-endian bytes of its own width.
func numeric[N int32 | int64](n N) []byte {
	b, _ := binary.Append(nil, binary.BigEndian, n) // a number of fixed width always fits
	return b
}

// Parse reads what Bytes wrote and nothing else: any other bytes are ErrFormat.
func Parse(b []byte) (Entry, error) {
	if len(b) == 0 || b[0] < Version || b[0] > VersionEvidence {
		return Entry{}, ErrFormat
	}
	r := reader{rest: b[1:]}
	var e Entry
	r.into(e.ID[:])
	var micros int64
	number(&r, &micros)
	e.At = time.UnixMicro(micros).UTC()
	e.Kind = Kind(r.fixed(1)[0])
	e.Environment = hub.Environment(r.fixed(1)[0])
	number(&r, &e.Participant)
	number(&r, &e.Ente)
	r.into(e.Message[:])
	r.into(e.Event[:])
	r.into(e.Delivery[:])
	number(&r, &e.Attempt)
	e.Outcome = string(r.field())
	codes := reader{rest: r.field()}
	for len(codes.rest) > 0 && !codes.bad {
		e.Codes = append(e.Codes, hub.Code(codes.field()))
	}
	number(&r, &e.Count)
	r.into(e.Sealed[:])
	r.into(e.Commitment[:])
	if b[0] >= VersionSeverities {
		r.into(e.Severities[:])
	}
	if b[0] >= VersionActor {
		e.Actor, e.Reason = string(r.field()), string(r.field())
	}
	if b[0] >= VersionOther {
		r.into(e.Other[:])
	}
	if b[0] >= VersionEvidence {
		e.readEvidence(&r)
	}
	if e.version() != b[0] || r.bad || codes.bad || len(r.rest) > 0 {
		return Entry{}, ErrFormat
	}
	return e, nil
}

// reader takes fields off the front; after the first that does not fit, bad is set and every
// further one is empty or zero.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) field() []byte {
	if len(r.rest) < 4 {
		r.rest, r.bad = nil, true
		return nil
	}
	size := binary.BigEndian.Uint32(r.rest)
	if int64(size) > int64(len(r.rest)-4) {
		r.rest, r.bad = nil, true
		return nil
	}
	f := r.rest[4 : 4+size]
	r.rest = r.rest[4+size:]
	return f
}

// fixed is a field of exactly that many bytes.
func (r *reader) fixed(size int) []byte {
	f := r.field()
	if len(f) != size {
		r.bad = true
		return make([]byte, size)
	}
	return f
}

func (r *reader) into(b []byte) { copy(b, r.fixed(len(b))) }

// number reads what numeric wrote.
func number[N int32 | int64](r *reader, n *N) {
	_, _ = binary.Decode(r.fixed(binary.Size(*n)), binary.BigEndian, n)
}
