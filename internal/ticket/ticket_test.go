package ticket_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/note"
	"pgregory.net/rapid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/ticket"
)

const origin = "sinbahub/PROD"

// someone is a person with a key of its own.
type someone struct {
	ticket.Person

	private ed25519.PrivateKey
}

func person(name string, roles ...ticket.Role) someone {
	seed := make([]byte, ed25519.SeedSize)
	copy(seed, name)
	private := ed25519.NewKeyFromSeed(seed)
	public, _ := private.Public().(ed25519.PublicKey)
	return someone{ticket.Person{Name: name, Roles: roles, Key: public}, private}
}

func anna() someone  { return person("anna", ticket.Operator, ticket.Auditor) }
func bruno() someone { return person("bruno", ticket.PrivacyOfficer) }
func carla() someone { return person("carla", ticket.Operator) }

// registered are all of them.
func registered() []ticket.Person {
	return []ticket.Person{anna().Person, bruno().Person, carla().Person}
}

// fresh is a good ticket that nobody has signed.
func fresh() ticket.Signed {
	now := time.Date(2026, 11, 22, 17, 0, 0, 0, time.UTC)
	return ticket.Signed{Ticket: ticket.Ticket{
		ID: uuid.MustParse("7d1f3b0a-0c1e-4a53-9d0e-5b1a2c3d4e5f"), Hub: origin, Environment: hub.Prod, Purpose: ticket.Open,
		Scope:     ticket.Scope{Kind: ticket.OneMessage, ID: uuid.MustParse("01a20396-6eab-756f-a672-611f3ef2c2d7")},
		Requester: "anna", Reason: "reclamo 12 del comune: perché è così", NotBefore: now, Expires: now.Add(24 * time.Hour),
	}}
}

func signed(tb testing.TB, t ticket.Signed, by ...someone) ticket.Signed {
	tb.Helper()
	for _, p := range by {
		var err error
		if t, err = t.Sign(p.Name, p.private); err != nil {
			tb.Fatal(err)
		}
	}
	return t
}

// The form is a C2SP signed note: any tool that knows these reads and verifies it.
func TestASignedTicketIsASignedNote(t *testing.T) {
	t.Parallel()
	file := signed(t, fresh(), anna(), bruno()).Bytes()
	var known []note.Verifier
	for _, p := range []someone{anna(), bruno()} {
		text, err := note.NewEd25519VerifierKey(p.Name, p.Key)
		if err != nil {
			t.Fatal(err)
		}
		v, err := note.NewVerifier(text)
		if err != nil {
			t.Fatal(err)
		}
		known = append(known, v)
	}
	n, err := note.Open(file, note.VerifierList(known...))
	if err != nil || len(n.Sigs) != 2 || len(n.UnverifiedSigs) != 0 || n.Text != fresh().Text() {
		t.Fatalf("%v: %+v", err, n)
	}
}

// What is written is what is read, whatever the ticket says.
func TestTicketsAreReadAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		s := draw(rt)
		if err := s.Check(); err != nil {
			rt.Fatalf("%v: %+v", err, s)
		}
		requester, approver := person("anna", ticket.Roles()...), person("bruno", ticket.Roles()...)
		for _, by := range [][]someone{nil, {requester}, {requester, approver}} {
			want := signed(t, s, by...)
			got, err := ticket.Parse(want.Bytes())
			if err != nil {
				rt.Fatalf("%v: %q", err, want.Bytes())
			}
			if diff := cmp.Diff(want, got); diff != "" {
				rt.Fatal(diff)
			}
			if err := got.Verify(s.Hub, s.Environment, []ticket.Person{requester.Person, approver.Person}); (err == nil) != (len(by) == 2) {
				rt.Fatalf("%d signatures: %v", len(by), err)
			}
		}
	})
}

// draw makes any good ticket.
func draw(rt *rapid.T) ticket.Signed {
	s := fresh()
	s.ID = uuid.UUID(rapid.SliceOfN(rapid.ByteRange(1, 255), 16, 16).Draw(rt, "id"))
	s.Environment = rapid.SampledFrom([]hub.Environment{hub.Prod, hub.Test}).Draw(rt, "environment")
	s.Purpose = rapid.SampledFrom(ticket.Purposes()).Draw(rt, "purpose")
	at := time.Unix(rapid.Int64Range(1_700_000_000, 4_000_000_000).Draw(rt, "at"), 0).UTC()
	switch s.Purpose {
	case ticket.Open:
	case ticket.Reidentify, ticket.Erase, ticket.Report, ticket.Unjoin:
		s.Scope = ticket.Scope{Kind: ticket.OnePseudonym, Domain: "region", Code: rapid.StringMatching(`[A-Z2-7]{20}`).Draw(rt, "code")}
	case ticket.Replay:
		s.Scope = ticket.Scope{Kind: ticket.Entries, From: at, To: at.Add(time.Duration(rapid.Int64Range(1, 1<<40).Draw(rt, "range")) * time.Microsecond)}
	case ticket.Rotate, ticket.Reseal:
		s.Scope = ticket.Scope{Kind: ticket.KeyEpoch, Key: "code-region", Epoch: rapid.Int32Range(1, 1<<30).Draw(rt, "epoch")}
	}
	s.Reason = rapid.StringMatching(`[a-zà-ù0-9]([a-zà-ù0-9 :,.—+/=]{0,80}[a-z])?`).Draw(rt, "reason")
	s.NotBefore, s.Expires = at, at.Add(time.Duration(rapid.IntRange(1, 3*24*3600).Draw(rt, "life"))*time.Second)
	return s
}

// No byte of a signed ticket can be another one, be left out or be doubled: either it is no ticket, or it
// is one that these two people did not sign.
func TestATicketAlteredByOneByteIsRefused(t *testing.T) {
	t.Parallel()
	file := signed(t, fresh(), anna(), bruno()).Bytes()
	verify := func(b []byte) error {
		s, err := ticket.Parse(b)
		if err == nil {
			err = s.Verify(origin, hub.Prod, registered())
		}
		return err
	}
	if err := verify(file); err != nil {
		t.Fatalf("as it was: %v", err)
	}
	accepted := 0
	try := func(what string, at int, b []byte) {
		if !bytes.Equal(b, file) && verify(b) == nil {
			accepted++
			t.Errorf("byte %d %s: accepted", at, what)
		}
	}
	for at := range file {
		for bit := range 8 {
			b := bytes.Clone(file)
			b[at] ^= 1 << bit
			try("changed", at, b)
		}
		for _, value := range []byte("\x00\n\r\t 09AaZz+/=:\x80\xff") {
			b := bytes.Clone(file)
			b[at] = value
			try("changed", at, b)
		}
		try("left out", at, slices.Delete(bytes.Clone(file), at, at+1))
		try("doubled", at, slices.Insert(bytes.Clone(file), at, file[at]))
		try("cut off", at, file[:at])
		for _, more := range []string{"\n", " ", "\r", "\x00", "\u200b", "\ufeff", "=", "— "} {
			try("with more before it", at, slices.Insert(bytes.Clone(file), at, []byte(more)...))
		}
	}
	try("at the end", len(file), append(bytes.Clone(file), '\n'))
}

// Each thing that makes a ticket good for nothing is told as itself.
func TestATicketIsRefusedForWhatItLacks(t *testing.T) {
	t.Parallel()
	double := anna()
	double.Name = "anna2"
	twoKeys := append(registered(), double.Person)
	open := func(change func(*ticket.Signed)) ticket.Signed {
		s := fresh()
		change(&s)
		return s
	}
	reidentify := open(func(s *ticket.Signed) {
		s.Purpose, s.Scope = ticket.Reidentify, ticket.Scope{Kind: ticket.OnePseudonym, Domain: "nation", Code: strings.Repeat("A", 20)}
	})
	swapped := signed(t, fresh(), anna(), bruno())
	slices.Reverse(swapped.Signatures)
	relabelled := signed(t, fresh(), anna(), carla())
	relabelled.Signatures[1].Name = "bruno"
	twice := signed(t, fresh(), anna())
	twice.Signatures = append(twice.Signatures, twice.Signatures[0])
	moved := signed(t, open(func(s *ticket.Signed) { s.Reason = "altro" }), anna(), bruno())
	moved.Reason = fresh().Reason
	for name, test := range map[string]struct {
		ticket  ticket.Signed
		persons []ticket.Person
		want    error
	}{
		"nobody signed":               {fresh(), registered(), ticket.ErrUnsigned},
		"a request alone":             {signed(t, fresh(), anna()), registered(), ticket.ErrUnsigned},
		"one person twice":            {twice, registered(), ticket.ErrSamePerson},
		"one key under two names":     {signedAs(t, signed(t, fresh(), anna()), "anna2", anna()), twoKeys, ticket.ErrSamePerson},
		"an operator approves":        {signed(t, fresh(), anna(), carla()), registered(), ticket.ErrRole},
		"an auditor re-identifies":    {signed(t, open(func(s *ticket.Signed) { *s = reidentify; s.Requester = "bruno" }), bruno(), anna()), registered(), ticket.ErrRole},
		"a privacy officer's replay":  {signed(t, open(func(s *ticket.Signed) { s.Purpose, s.Requester, s.Scope = ticket.Replay, "bruno", lastDay() }), bruno(), anna()), registered(), ticket.ErrRole},
		"approved before requested":   {swapped, registered(), ticket.ErrRequester},
		"under another's name":        {relabelled, registered(), ticket.ErrApproval},
		"signatures of another text":  {moved, registered(), ticket.ErrSignature},
		"a stranger's approval":       {signed(t, fresh(), anna(), person("dario", ticket.PrivacyOfficer)), registered(), ticket.ErrPerson},
		"an impostor's approval":      {signedAs(t, signed(t, fresh(), anna()), "bruno", person("dario")), registered(), ticket.ErrApproval},
		"nobody is registered":        {signed(t, fresh(), anna(), bruno()), nil, ticket.ErrPerson},
		"another hub":                 {signed(t, open(func(s *ticket.Signed) { s.Hub = "sinbahub/other" }), anna(), bruno()), registered(), ticket.ErrHub},
		"the other environment":       {signed(t, open(func(s *ticket.Signed) { s.Environment = hub.Test }), anna(), bruno()), registered(), ticket.ErrHub},
		"a life too long":             {signed(t, open(func(s *ticket.Signed) { s.Expires = s.Expires.AddDate(0, 0, 3) }), anna(), bruno()), registered(), ticket.ErrLife},
		"over before it begins":       {signed(t, open(func(s *ticket.Signed) { s.Expires = s.NotBefore }), anna(), bruno()), registered(), ticket.ErrLife},
		"another purpose's scope":     {signed(t, open(func(s *ticket.Signed) { s.Scope = lastDay() }), anna(), bruno()), registered(), ticket.ErrScope},
		"a scope with something more": {signed(t, open(func(s *ticket.Signed) { s.Scope.Epoch = 1 }), anna(), bruno()), registered(), ticket.ErrScope},
		"good":                        {signed(t, fresh(), anna(), bruno()), registered(), nil},
		"a good re-identification":    {signed(t, reidentify, anna(), bruno()), registered(), nil},
	} {
		if err := test.ticket.Verify(origin, hub.Prod, test.persons); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}

func lastDay() ticket.Scope {
	to := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	return ticket.Scope{Kind: ticket.Entries, From: to.AddDate(0, 0, -1), To: to}
}

// signedAs adds a signature by a key under any name, as Sign would not.
func signedAs(tb testing.TB, s ticket.Signed, name string, by someone) ticket.Signed {
	tb.Helper()
	other := fresh()
	other.Ticket, other.Requester = s.Ticket, name
	g := signed(tb, other, someone{ticket.Person{Name: name}, by.private}).Signatures[0]
	copy(g.Bytes[:], ed25519.Sign(by.private, []byte(s.Text())))
	s.Signatures = append(slices.Clone(s.Signatures), g)
	return s
}

// Sign refuses to make what no opener would take.
func TestSignKeepsTheOrder(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		sign func() (ticket.Signed, error)
		want error
	}{
		"another requests": {func() (ticket.Signed, error) { return fresh().Sign("bruno", bruno().private) }, ticket.ErrRequester},
		"the same name":    {func() (ticket.Signed, error) { return signed(t, fresh(), anna()).Sign("anna", bruno().private) }, ticket.ErrSamePerson},
		"the same key":     {func() (ticket.Signed, error) { return signed(t, fresh(), anna()).Sign("bruno", anna().private) }, ticket.ErrSamePerson},
		"a third signature": {func() (ticket.Signed, error) {
			return signed(t, fresh(), anna(), bruno()).Sign("carla", carla().private)
		}, ticket.ErrSigned},
		"no name": {func() (ticket.Signed, error) { return signed(t, fresh(), anna()).Sign("Bruno!", bruno().private) }, ticket.ErrKey},
	} {
		if _, err := test.sign(); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}

// What does not have the one form is no ticket.
func TestWhatHasAnotherFormIsNoTicket(t *testing.T) {
	t.Parallel()
	good := string(fresh().Bytes())
	replace := func(from, to string) string {
		if !strings.Contains(good, from) {
			t.Fatalf("no %q", from)
		}
		return strings.Replace(good, from, to, 1)
	}
	for name, text := range map[string]string{
		"nothing":              "",
		"huge":                 good + strings.Repeat("x", 1<<20),
		"a long reason":        replace("reclamo", strings.Repeat("x", 501)),
		"another head":         replace("ticket v1", "ticket v2"),
		"a line twice":         replace("purpose: open\n", "purpose: open\npurpose: open\n"),
		"a line more":          replace("purpose: open\n", "purpose: open\nnote: x\n"),
		"another order":        replace("purpose: open\n", "") + "purpose: open\n",
		"no empty line":        strings.TrimSuffix(good, "\n"),
		"windows":              strings.ReplaceAll(good, "\n", "\r\n"),
		"a capital id":         replace("7d1f3b0a", "7D1F3B0A"),
		"an id in braces":      replace("id: 7d1f3b0a-0c1e-4a53-9d0e-5b1a2c3d4e5f", "id: {7d1f3b0a-0c1e-4a53-9d0e-5b1a2c3d4e5f}"),
		"the nil id":           replace("7d1f3b0a-0c1e-4a53-9d0e-5b1a2c3d4e5f", uuid.Nil.String()),
		"another zone":         replace("17:00:00Z", "18:00:00+01:00"),
		"a fraction":           replace("17:00:00Z", "17:00:00.5Z"),
		"no such day":          replace("2026-11-22", "2026-02-30"),
		"no such purpose":      replace("purpose: open", "purpose: curiosity"),
		"two blanks":           replace("scope: message ", "scope: message  "),
		"a word more":          replace("611f3ef2c2d7\n", "611f3ef2c2d7 x\n"),
		"a control character":  replace("reclamo", "recl\x07amo"),
		"bidi":                 replace("reclamo", "recl\u202eamo"),
		"no UTF-8":             replace("reclamo", "recl\xffamo"),
		"an empty reason":      replace("reclamo 12 del comune: perché è così", ""),
		"a blank at the end":   replace("così", "così "),
		"another environment":  replace("environment: PROD", "environment: prod"),
		"a signature of three": string(signed(t, fresh(), anna(), bruno()).Bytes()) + "\u2014 carla AAAA\n",
	} {
		if _, err := ticket.Parse([]byte(text)); err == nil {
			t.Errorf("%s: taken", name)
		} else if strings.Contains(err.Error(), "recl") || strings.Contains(err.Error(), "7d1f") {
			t.Errorf("%s: the error quotes: %v", name, err)
		}
	}
}

// FuzzParse looks for bytes that are taken and are not the one form.
func FuzzParse(f *testing.F) {
	f.Add(fresh().Bytes())
	f.Add(signed(f, fresh(), anna(), bruno()).Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ticket.Parse(b)
		if err == nil && !bytes.Equal(s.Bytes(), b) {
			t.Errorf("two forms of one ticket: %q", b)
		}
	})
}
