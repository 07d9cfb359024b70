package pseudonym_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
)

// An identity is read as it was written, and no other bytes are one.
func TestIdentitiesAreReadAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.StringMatching(`[A-Z0-9àé ]{1,40}`).Draw(rt, "value")
		want := pseudonym.NewIdentity(rapid.SampledFrom([]string{"CF", "CFP", "STP", "ENI"}).Draw(rt, "kind"), hub.NewIdentifier(text))
		if rapid.Bool().Draw(rt, "local") {
			want = pseudonym.NewLocalIdentity(rapid.StringMatching(`[A-Z0-9]{1,36}`).Draw(rt, "ente"), hub.NewIdentifier(text))
		}
		got, err := pseudonym.ParseIdentity(want.Bytes())
		if err != nil || got.Kind() != want.Kind() || got.Ente() != want.Ente() || !got.Value().Equal(want.Value()) {
			rt.Fatalf("another identity: %v", err)
		}
	})
	local := string(pseudonym.NewLocalIdentity("C01", hub.NewIdentifier("7")).Bytes())
	for name, text := range map[string]string{
		"nothing": "", "no kind": "\x1fX", "no separator": "CF", "cut off": local[:len(local)-1], "more": local + "x", "a huge length": "NI\x1f\xff\xff\xff\xff",
	} {
		if _, err := pseudonym.ParseIdentity([]byte(text)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// A code is found behind the first page, in its own domain and environment only.
func TestSubjectOfFindsACodeAmongMany(t *testing.T) {
	t.Parallel()
	const many = 25_000
	d, v, keys, codes := subjects(t, many)
	for _, at := range []int{0, many / 2, many - 1} {
		var id uuid.UUID
		if err := d.super.QueryRow(t.Context(), "SELECT id::text FROM vault.subject ORDER BY id OFFSET $1 LIMIT 1", at).Scan(&id); err != nil {
			t.Fatal(err)
		}
		code, err := keys.Code(pseudonym.Nation, 1, id)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok, err := v.SubjectOf(t.Context(), codes, pseudonym.Nation, code); err != nil || !ok || got != id {
			t.Errorf("at %d: %v %v", at, ok, err)
		}
		if _, ok, err := v.SubjectOf(t.Context(), codes, pseudonym.Region, code); err != nil || ok {
			t.Errorf("at %d in the other domain: %v %v", at, ok, err)
		}
	}
	if _, _, err := v.SubjectOf(t.Context(), codes, "audit", strings.Repeat("A", 20)); !errors.Is(err, pseudonym.ErrUnknownEpoch) {
		t.Errorf("a domain without keys: %v", err)
	}
}

// The keys of codes are all that is read of a folder, and a folder without them is told as such.
func TestCodeKeysAreReadAlone(t *testing.T) {
	t.Parallel()
	dir := keyDir(t, hub.Prod)
	if _, err := pseudonym.LoadCodeKeys(dir, hub.Prod); err != nil {
		t.Error(err)
	}
	if _, err := pseudonym.LoadCodeKeys(dir, hub.Test); err == nil {
		t.Error("the other environment's: taken")
	}
	for _, none := range []string{filepath.Join(dir, "opener"), filepath.Join(dir, "nowhere")} {
		if _, err := pseudonym.LoadCodeKeys(none, hub.Prod); !errors.Is(err, pseudonym.ErrNoKeys) {
			t.Errorf("%v", err)
		}
	}
}

// subjects is a vault with many.
func subjects(tb testing.TB, many int) (*database, *pseudonym.OpenerVault, *pseudonym.Keys, *pseudonym.CodeKeys) {
	tb.Helper()
	d, dir := newDatabase(tb), keyDir(tb, hub.Prod)
	_, err := d.super.Exec(tb.Context(), `INSERT INTO vault.subject (id, environment, secret, state, created_at, reserved_at, confirmed_at)
SELECT gen_random_uuid(), 'PROD', decode(repeat('00', 32), 'hex'), 'confirmed', c.at, c.at AS reserved, c.at AS confirmed FROM generate_series(1, $1), now() AS c (at)`, many)
	if err != nil {
		tb.Fatal(err)
	}
	codes, err := pseudonym.LoadCodeKeys(dir, hub.Prod)
	if err != nil {
		tb.Fatal(err)
	}
	return d, pseudonym.NewOpenerVault(open(tb, d.Opener, ""), hub.Prod), loadKeys(tb, dir, hub.Prod), codes
}

// BenchmarkSubjectOf looks through 100,000 subjects for a code that nobody has.
func BenchmarkSubjectOf(b *testing.B) {
	_, v, _, codes := subjects(b, 100_000)
	for b.Loop() {
		if _, ok, err := v.SubjectOf(b.Context(), codes, pseudonym.Nation, strings.Repeat("A", 20)); ok || err != nil {
			b.Fatal(err)
		}
	}
}
