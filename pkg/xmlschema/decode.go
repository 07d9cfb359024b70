package xmlschema

import (
	"encoding/binary"
	"errors"
	"strings"
	"unicode/utf8"
)

// ErrAnswer is returned by Decode for bytes that no honest checker writes. It says nothing
// about them: they may hold content.
var ErrAnswer = errors.New("answer breaks the protocol")

// Bounds of what an answer may say.
const (
	maxLine = 1 << 24
	maxCode = 200_000
	// maxVersion is XS_MAX_VERSION of core.h.
	maxVersion = 8
)

// AnswerRoom is how many bytes the answer for a document of n bytes may take: canonical XML
// can be longer than what it stands for, because namespaces are repeated.
func AnswerRoom(n int) int { return 4*n + 64<<10 }

// Decode reads an answer of the C core (core.h, xs_check) in that mode as if an adversary had
// written it: every number is bounded, every byte accounted for, and a name appears in the verdict
// only if names has it. Header and Payload share answer's memory.
func Decode(answer []byte, mode Mode, names Names) (Verdict, error) {
	r := reader{rest: answer}
	v := Verdict{Status: Status(r.u8()), SOAP: r.u8()}
	root := string(r.bytes(int(r.u8())))
	v.Version = string(r.bytes(int(r.u8())))
	header := r.bytes(r.u32(len(answer)))
	if r.bad || !isVersion(v.Version) || v.Status > LotJudged || v.SOAP > 2 || !utf8.Valid(header) {
		return Verdict{}, ErrAnswer
	}
	if len(header) > 0 {
		v.Header = header
	}
	if root != "" {
		if !names.Global(root) {
			return Verdict{}, ErrAnswer
		}
		v.Root = root
	}
	if (v.Root != "") != (v.Status == Valid || v.Status == Invalid || v.Status == LotJudged) && v.Status != TooLarge {
		return Verdict{}, ErrAnswer
	}
	// A lot is never told to be right without its items.
	isLot := names.Lot.Root != "" && v.Root == names.Lot.Root && mode != Judge
	if v.Status == LotJudged && !isLot || v.Status == Valid && isLot {
		return Verdict{}, ErrAnswer
	}
	switch v.Status {
	case Valid:
		if mode == Judge {
			break
		}
		v.Payload = r.canonical(len(r.rest))
	case LotJudged:
		r.items(&v, names)
		v.Payload = r.canonical(len(r.rest))
	case Invalid:
		v.Findings, v.Total = r.findings(names)
	case Malformed:
		v.Line = r.u32(maxLine)
	case Doctype, NotSOAP, UnknownRoot, TooLarge, UnknownEnvelope, WrongEncoding:
	}
	if r.bad || len(r.rest) != 0 {
		return Verdict{}, ErrAnswer
	}
	return v, nil
}

// isVersion tells whether an honest checker would give s as a declared version.
func isVersion(s string) bool {
	return len(s) <= maxVersion && strings.Trim(s, "0123456789.") == "" || s == "?"
}

// reader takes an answer apart. After the first fault bad is set and everything read is zero.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) bytes(n int) []byte {
	if r.bad || n < 0 || n > len(r.rest) {
		r.bad = true
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) u8() uint8 {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) u16() int {
	if b := r.bytes(2); b != nil {
		return int(binary.LittleEndian.Uint16(b))
	}
	return 0
}

// u32 reads a number that may be at most most.
func (r *reader) u32(most int) int {
	b := r.bytes(4)
	if b == nil {
		return 0
	}
	n := int64(binary.LittleEndian.Uint32(b))
	if n > int64(most) {
		r.bad = true
		return 0
	}
	return int(n)
}

// canonical reads n bytes of canonical XML.
func (r *reader) canonical(n int) []byte {
	b := r.bytes(n)
	r.bad = r.bad || len(b) == 0 || b[0] != '<' || !utf8.Valid(b)
	return b
}

// The marks before a lot's items.
const (
	itemEnd     = 0
	itemValid   = 1
	itemInvalid = 2
)

// idLength is how long an ID is (RFC 9562).
const idLength = 36

// items reads the items of a lot up to their end.
func (r *reader) items(v *Verdict, names Names) {
	for kind := r.u8(); kind != itemEnd && !r.bad; kind = r.u8() {
		i := Item{Version: string(r.bytes(int(r.u8())))}
		switch kind {
		case itemValid:
			i.Payload = r.canonical(r.u32(len(r.rest)))
		case itemInvalid:
			i.ID = string(r.bytes(int(r.u8())))
			i.Findings, i.Total = r.findings(names)
		default:
			r.bad = true
		}
		r.bad = r.bad || !isVersion(i.Version) || !isID(i.ID) || len(v.Items) == MaxItems
		v.Items = append(v.Items, i)
	}
	r.bad = r.bad || len(v.Items) == 0
}

// isID tells whether s is a UUID as text, or empty.
func isID(s string) bool {
	return s == "" || len(s) == idLength && strings.Trim(s, "0123456789abcdefABCDEF-") == ""
}

// findings reads violations and how many there were.
func (r *reader) findings(names Names) (all []Finding, total int) {
	// A document has fewer violations than four times its bytes; this only stops nonsense.
	total = r.u32(1 << 30)
	count := int(r.u8())
	if total == 0 || count == 0 || count > MaxFindings || count > total {
		r.bad = true
		return nil, 0
	}
	all = make([]Finding, 0, count)
	for range count {
		f := Finding{Code: r.u32(maxCode), Line: r.u32(maxLine)}
		depth := int(r.u8())
		if depth == 0 {
			r.bad = true
			return nil, 0
		}
		f.Path = make([]Step, 0, depth)
		for i := range depth {
			f.Path = append(f.Path, r.step(names, i == depth-1))
		}
		r.description(&f, names)
		if r.bad {
			return nil, 0
		}
		all = append(all, f)
	}
	return all, total
}

// described is XS_DESCRIBED of core.h.
const described = 1 << 7

// description reads what is told of a finding's value, and the child that is missing.
func (r *reader) description(f *Finding, names Names) {
	kind, length := r.u8(), r.u16()
	child := r.bytes(int(r.u8()))
	f.Child = names.element(child)
	f.Value = Value{Told: kind&described != 0, Kind: Kind(kind &^ described), Length: length}
	r.bad = r.bad || f.Value.Kind > allKinds || !f.Value.Told && f.Value != (Value{}) || (f.Value.Kind == 0) != (length == 0) || len(child) > 0 && f.Child == ""
}

// step reads one step. Only the last one may be an attribute, whose position is 0.
func (r *reader) step(names Names, last bool) Step {
	same, all := r.u16(), r.u16()
	name := r.bytes(int(r.u8()))
	if same == 0 && last && len(name) == 0 || len(name) > 0 && name[0] == '@' {
		r.bad = r.bad || same != 0 || !last
		return Step{Name: names.attribute(name)}
	}
	if same == 0 || all < same {
		r.bad = true
	}
	if known := names.element(name); known != "" {
		return Step{Name: known, Pos: same}
	}
	return Step{Pos: all}
}
