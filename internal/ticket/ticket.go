// Package ticket says what two people allow, and what one person orders (Action): a text of one form, signed
// with Ed25519 keys of their own. It is written, signed and checked without a database or a network; whoever
// acts on a ticket (the opener) checks it again, against the people it knows itself, and takes it once.
//
// A signed ticket is a C2SP signed note, https://c2sp.org/signed-note: the text, an empty line, a line for
// each signature. So who has the text and an Ed25519 key can sign with any tool: a signature is over the
// text's bytes, up to and with the line feed before the empty line. The text's first line keeps it from
// being anything else that such a key may sign.
//
// Of each ticket there is exactly one sequence of bytes. Parse takes no other: no line more, less or in
// another order, no other spelling of a time, an id or a signature.
package ticket

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
)

// Purpose is what a ticket is for.
type Purpose string

// The purposes.
const (
	// Open is a look at one message, or at what was sent for it.
	Open Purpose = "open"
	// Reidentify asks for the identities behind one pseudonym.
	Reidentify Purpose = "reidentify"
	// Replay runs stored messages again.
	Replay Purpose = "replay"
	// Rotate indexes or codes anew under another key, Reseal seals anew.
	Rotate Purpose = "rotate"
	Reseal Purpose = "reseal"
	// Erase destroys a subject's secret, Report tells what is held of a subject.
	Erase  Purpose = "erase"
	Report Purpose = "report"
	// Unjoin takes a subject apart from those that it was joined to.
	Unjoin Purpose = "unjoin"
)

// ScopeKind says how a scope names what it allows.
type ScopeKind string

// The kinds of scope.
const (
	// OneMessage is one IdRicevuta or IdTrasmissione.
	OneMessage ScopeKind = "message"
	// OnePseudonym is one code of one domain.
	OnePseudonym ScopeKind = "pseudonym"
	// Entries are the journal's of a range of time: the events accepted in it.
	Entries ScopeKind = "entries"
	// KeyEpoch is an epoch of the keys of a purpose.
	KeyEpoch ScopeKind = "epoch"
)

// Scope is what a ticket allows to be seen or changed. Fields of other kinds are zero.
type Scope struct {
	Kind ScopeKind
	// ID is OneMessage's.
	ID uuid.UUID
	// Domain and Code are OnePseudonym's: region or nation, and 20 characters.
	Domain, Code string
	// From and To are Entries'; To does not belong to it. They are whole microseconds.
	From, To time.Time
	// Key and Epoch are KeyEpoch's: the name of a purpose of keys (link, seal, code-region), and its epoch.
	Key   string
	Epoch int32
}

// Ticket is what two people sign.
type Ticket struct {
	// ID is random: a ticket is used once in its hub and environment.
	ID uuid.UUID
	// Hub is the origin of the hub's journal, Environment its environment.
	Hub         string
	Environment hub.Environment
	Purpose     Purpose
	Scope       Scope
	// Requester is the person that signs first.
	Requester string
	// Reason is why. It stands in the journal.
	Reason string
	// NotBefore and Expires bound when it may be used, in whole seconds, by the clock of the database.
	NotBefore, Expires time.Time
}

// The faults of a ticket. None quotes it.
var (
	ErrFormat = errors.New("this is no ticket: it must have exactly the lines that `ticket new` writes and `ticket sign` and `ticket approve` add")
	ErrScope  = errors.New("the scope does not suit the purpose")
	ErrLife   = errors.New("a ticket must end after it begins: within 3 days for one message or pseudonym, within 14 days for a range or an epoch")
	ErrReason = errors.New("the reason must be one line of 1 to 500 characters")
)

// The longest lives of a ticket.
const (
	longestSingle = 3 * 24 * time.Hour
	longestRange  = 14 * 24 * time.Hour
)

const (
	// head is the first line: what is signed is a ticket of this form and nothing else.
	head = "sinbahub ticket v1"
	// mostTicket bounds what is read.
	mostTicket    = 4 << 10
	longestReason = 500
	layoutSecond  = "2006-01-02T15:04:05Z"
	layoutMicro   = "2006-01-02T15:04:05.000000Z"
)

const (
	small   = "abcdefghijklmnopqrstuvwxyz"
	capital = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digit   = "0123456789"
)

// spelled tells whether a text has 1 to most signs, the first of some and the others of more.
func spelled(text string, most int, first, rest string) bool {
	return text != "" && len(text) <= most && strings.Contains(first, text[:1]) && strings.Trim(text[1:], rest) == ""
}

// GoodName tells whether a text can be a person's name here.
func GoodName(name string) bool { return spelled(name, 40, small, small+digit+"._-") }

func goodHub(name string) bool {
	return spelled(name, 100, small+capital+digit, small+capital+digit+"._/-")
}

// goodCode tells whether a text has the form of a pseudonym.
func goodCode(code string) bool {
	const base32, length = capital + "234567", 20
	return len(code) == length && spelled(code, length, base32, base32)
}

func goodKey(name string) bool { return spelled(name, 20, small, small+"-") }

// scopesOf are the kinds of scope that suit a purpose.
func scopesOf(p Purpose) []ScopeKind {
	switch p {
	case Open:
		return []ScopeKind{OneMessage}
	case Reidentify, Erase, Report, Unjoin:
		return []ScopeKind{OnePseudonym}
	case Replay:
		return []ScopeKind{Entries}
	case Rotate, Reseal:
		return []ScopeKind{KeyEpoch, Entries}
	}
	return nil
}

// Purposes are all of them.
func Purposes() []Purpose {
	return []Purpose{Open, Reidentify, Replay, Rotate, Reseal, Erase, Report, Unjoin}
}

// Check tells what is wrong with a ticket's fields.
func (t Ticket) Check() error {
	switch {
	case t.ID == uuid.Nil, !goodHub(t.Hub), t.Environment != hub.Prod && t.Environment != hub.Test, !GoodName(t.Requester):
		return ErrFormat
	case !goodReason(t.Reason):
		return ErrReason
	case !slices.Contains(scopesOf(t.Purpose), t.Scope.Kind) || !t.Scope.good():
		return ErrScope
	case !whole(t.NotBefore, time.Second), !whole(t.Expires, time.Second):
		return ErrFormat
	}
	longest := longestRange
	if t.Single() {
		longest = longestSingle
	}
	if life := t.Expires.Sub(t.NotBefore); life <= 0 || life > longest {
		return ErrLife
	}
	return nil
}

// Single tells whether the ticket is for one message or pseudonym, and not for a run over many.
func (t Ticket) Single() bool { return t.Scope.Kind == OneMessage || t.Scope.Kind == OnePseudonym }

// goodReason tells whether a text is one line without signs that hide others.
func goodReason(text string) bool { return goodLine(text, longestReason) }

func goodLine(text string, most int) bool {
	n := utf8.RuneCountInString(text)
	return utf8.ValidString(text) && n >= 1 && n <= most && strings.TrimSpace(text) == text &&
		!strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}

// whole tells whether a time is in UTC, of a year with four digits, and has nothing below a unit.
func whole(t time.Time, unit time.Duration) bool {
	return t.Equal(t.Truncate(unit)) && t.Location() == time.UTC && t.Year() >= 2000 && t.Year() <= 9999
}

// good tells whether the fields of a scope are as its kind wants them, and no others are set.
func (s Scope) good() bool {
	only := Scope{Kind: s.Kind}
	switch s.Kind {
	case OneMessage:
		only.ID = s.ID
		return s == only && s.ID != uuid.Nil
	case OnePseudonym:
		only.Domain, only.Code = s.Domain, s.Code
		return s == only && (s.Domain == "region" || s.Domain == "nation") && goodCode(s.Code)
	case Entries:
		only.From, only.To = s.From, s.To
		return s == only && whole(s.From, time.Microsecond) && whole(s.To, time.Microsecond) && s.To.After(s.From)
	case KeyEpoch:
		only.Key, only.Epoch = s.Key, s.Epoch
		return s == only && goodKey(s.Key) && s.Epoch > 0
	}
	return false
}

// String is the scope as its line has it.
func (s Scope) String() string {
	words := []string{string(s.Kind)}
	switch s.Kind {
	case OneMessage:
		words = append(words, s.ID.String())
	case OnePseudonym:
		words = append(words, s.Domain, s.Code)
	case Entries:
		words = append(words, s.From.Format(layoutMicro), s.To.Format(layoutMicro))
	case KeyEpoch:
		words = append(words, s.Key, strconv.Itoa(int(s.Epoch)))
	}
	return strings.Join(words, " ")
}

// parseScope reads what String wrote; what it makes of anything else does not give the same text again.
func parseScope(text string) (s Scope) {
	words := strings.Split(text, " ")
	s.Kind = ScopeKind(words[0])
	word := func(i int) string {
		if i < len(words) {
			return words[i]
		}
		return ""
	}
	switch s.Kind {
	case OneMessage:
		s.ID, _ = uuid.Parse(word(1))
	case OnePseudonym:
		s.Domain, s.Code = word(1), word(2)
	case Entries:
		s.From, _ = time.Parse(layoutMicro, word(1))
		s.To, _ = time.Parse(layoutMicro, word(2))
	case KeyEpoch:
		n, _ := strconv.ParseInt(word(2), 10, 32)
		s.Key, s.Epoch = word(1), int32(n)
	}
	return s
}

// labels are the names of the lines behind the first, in their order.
func labels() []string {
	return []string{"id", "hub", "environment", "purpose", "scope", "requester", "reason", "not-before", "expires"}
}

// Text is what is signed.
func (t Ticket) Text() string {
	values := []string{
		t.ID.String(), t.Hub, t.Environment.String(), string(t.Purpose), t.Scope.String(), t.Requester, t.Reason,
		t.NotBefore.Format(layoutSecond), t.Expires.Format(layoutSecond),
	}
	var b strings.Builder
	b.WriteString(head + "\n")
	for i, label := range labels() {
		b.WriteString(label + ": " + values[i] + "\n")
	}
	return b.String()
}

// parseText reads what Text wrote. What it takes leniently does not give the same text again, which Parse sees.
func parseText(text []byte) (t Ticket, err error) {
	lines := strings.Split(string(text), "\n")
	names := labels()
	if len(lines) != len(names)+2 || lines[0] != head {
		return Ticket{}, ErrFormat
	}
	values := make([]string, len(names))
	for i, name := range names {
		value, ok := strings.CutPrefix(lines[i+1], name+": ")
		if !ok {
			return Ticket{}, ErrFormat
		}
		values[i] = value
	}
	t = Ticket{Hub: values[1], Purpose: Purpose(values[3]), Scope: parseScope(values[4]), Requester: values[5], Reason: values[6]}
	t.ID, _ = uuid.Parse(values[0])
	for _, env := range []hub.Environment{hub.Prod, hub.Test} {
		if env.String() == values[2] {
			t.Environment = env
		}
	}
	t.NotBefore, _ = time.Parse(layoutSecond, values[7])
	t.Expires, _ = time.Parse(layoutSecond, values[8])
	return t, t.Check()
}
