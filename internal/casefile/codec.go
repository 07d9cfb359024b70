package casefile

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/sinbahub/sinbahub/internal/sinba"
)

// ErrFormat says that stored bytes are not those of a state or of facts.
var ErrFormat = errors.New("not the stored form of a case")

// version is the first byte of both forms. Another layout gets another number, and the old one
// stays readable.
const version = 1

// Bytes is the state's canonical form: equal states have equal bytes.
func (s *State) Bytes() []byte {
	w := writer{append(make([]byte, 0, 64+40*len(s.Items)), version)}
	w.number(int64(s.Status))
	w.number(int64(s.OpenedOn))
	w.number(int64(s.TakenOn))
	w.number(int64(s.LastNumber))
	w.number(int64(s.Incongruent))
	w.number(int64(s.BornIn))
	w.number(int64(s.Citizenship))
	w.flags(s.Presumed, s.Unaccompanied, s.Mother, s.Father, s.Frozen)
	w.number(int64(len(s.Identities)))
	for _, id := range s.Identities {
		w.text(id)
	}
	w.number(int64(len(s.Items)))
	for i := range s.Items {
		item := &s.Items[i]
		w.item(item.Kind, item.ID, item.Start, item.End, item.Closed, item.Residential, item.Where)
	}
	return w.out
}

// ParseState reads what Bytes wrote.
func ParseState(stored []byte) (State, error) {
	r := newReader(stored)
	s := State{
		Status: Status(r.number()), OpenedOn: sinba.Date(r.number()), TakenOn: sinba.Date(r.number()), //nolint:gosec // reader.number keeps within 32 bits, and these are what was written
		LastNumber: r.number(), Incongruent: r.number(), BornIn: r.number(),
		Citizenship: sinba.Citizenship(r.number()), //nolint:gosec // as above
	}
	r.flags(&s.Presumed, &s.Unaccompanied, &s.Mother, &s.Father, &s.Frozen)
	for range r.number() {
		if r.bad {
			break
		}
		s.Identities = append(s.Identities, r.text())
	}
	for range r.number() {
		if r.bad {
			break
		}
		var item Item
		item.Kind, item.ID, item.Start, item.End, item.Closed, item.Residential, item.Where = r.item()
		s.Items = append(s.Items, item)
	}
	return s, r.end()
}

// FactsBytes is the form in which an accepted event's facts are stored: all that the fold needs, and
// nothing of what only the judgement of the event itself does.
func FactsBytes(f *sinba.Facts) []byte {
	w := writer{append(make([]byte, 0, 48+60*len(f.Items)), version)}
	w.text(f.Subject)
	w.text(f.Identity)
	w.number(int64(f.OpenedOn))
	w.number(int64(f.TakenOn))
	w.number(int64(f.BornIn))
	w.number(int64(f.Citizenship))
	minor, unaccompanied := len(f.Minors) > 0, false
	if minor {
		unaccompanied = f.Minors[len(f.Minors)-1].Unaccompanied
	}
	w.flags(f.Presumed, f.Entering, f.Adopted, minor, unaccompanied, f.Family.Told, f.Family.Mother, f.Family.Father)
	w.number(int64(len(f.Items)))
	for i := range f.Items {
		item := &f.Items[i]
		w.item(item.Kind, item.ID, item.Start, item.End, item.Closed, item.Residential, item.Where)
	}
	return w.out
}

// ParseFacts reads what FactsBytes wrote.
func ParseFacts(stored []byte) (sinba.Facts, error) {
	r := newReader(stored)
	f := sinba.Facts{
		Subject: r.text(), Identity: r.text(), OpenedOn: sinba.Date(r.number()), TakenOn: sinba.Date(r.number()), BornIn: r.number(),
		Citizenship: sinba.Citizenship(r.number()), //nolint:gosec // as it was written
	}
	var minor, unaccompanied bool
	r.flags(&f.Presumed, &f.Entering, &f.Adopted, &minor, &unaccompanied, &f.Family.Told, &f.Family.Mother, &f.Family.Father)
	if minor {
		f.Minors = []sinba.Minor{{Unaccompanied: unaccompanied}}
	}
	for range r.number() {
		if r.bad {
			break
		}
		var item sinba.Item
		item.Kind, item.ID, item.Start, item.End, item.Closed, item.Residential, item.Where = r.item()
		f.Items = append(f.Items, item)
	}
	return f, r.end()
}

// writer appends numbers as signed varints, texts with their length, and up to eight flags as one
// byte.
type writer struct{ out []byte }

func (w *writer) number(n int64) { w.out = binary.AppendVarint(w.out, n) }

func (w *writer) text(s string) {
	w.number(int64(len(s)))
	w.out = append(w.out, s...)
}

func (w *writer) flags(all ...bool) {
	b := byte(0)
	for i, f := range all {
		if f {
			b |= 1 << i
		}
	}
	w.out = append(w.out, b)
}

func (w *writer) item(kind ItemKind, id string, start, end sinba.Date, closed, residential bool, where string) {
	w.number(int64(kind))
	w.text(id)
	w.number(int64(start))
	w.number(int64(end))
	w.flags(closed, residential)
	w.text(where)
}

// reader takes what writer appended; after the first thing that does not fit, bad is set and all
// else is zero.
type reader struct {
	rest []byte
	bad  bool
}

func newReader(stored []byte) *reader {
	if len(stored) == 0 || stored[0] != version {
		return &reader{bad: true}
	}
	return &reader{rest: stored[1:]}
}

func (r *reader) number() int32 {
	n, size := binary.Varint(r.rest)
	if size <= 0 || n > math.MaxInt32 || n < math.MinInt32 {
		r.rest, r.bad = nil, true
		return 0
	}
	r.rest = r.rest[size:]
	return int32(n)
}

func (r *reader) text() string {
	n := int(r.number())
	if n < 0 || n > len(r.rest) {
		r.rest, r.bad = nil, true
		return ""
	}
	s := string(r.rest[:n])
	r.rest = r.rest[n:]
	return s
}

func (r *reader) flags(into ...*bool) {
	if len(r.rest) == 0 {
		r.bad = true
		return
	}
	for i, f := range into {
		*f = r.rest[0]&(1<<i) != 0
	}
	r.rest = r.rest[1:]
}

func (r *reader) item() (kind ItemKind, id string, start, end sinba.Date, closed, residential bool, where string) {
	kind = ItemKind(r.number()) //nolint:gosec // as it was written
	id, start, end = r.text(), sinba.Date(r.number()), sinba.Date(r.number())
	r.flags(&closed, &residential)
	return kind, id, start, end, closed, residential, r.text()
}

// end tells whether everything was read and fitted.
func (r *reader) end() error {
	if r.bad || len(r.rest) > 0 {
		return ErrFormat
	}
	return nil
}
