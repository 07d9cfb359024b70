package pseudonym_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
)

// mac is HMAC-SHA-256 by the standard library.
func mac(key []byte, parts ...string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(strings.Join(parts, "")))
	return h.Sum(nil)
}

// long is a part with its length before it.
func long(s string) string {
	return string(binary.BigEndian.AppendUint32(nil, uint32(len(s)))) + s
}

// code20 is the text of a code.
func code20(mac []byte) string {
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(mac)[:20]
}

// TestFormulasMatchTheirDescription recomputes everything from the key files with the standard
// library alone: an auditor's program would do the same.
func TestFormulasMatchTheirDescription(t *testing.T) {
	t.Parallel()
	dir := keyDir(t, hub.Prod)
	keys := loadKeys(t, dir, hub.Prod)
	key := func(name string) []byte { return rawKey(t, filepath.Join(dir, name)) }
	link, local, content := key("link-1.json"), key("local-1.json"), key("content-1.json")
	nation := key("code-nation-1.json")
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.StringMatching(`[A-Z0-9]{16}`).Draw(t, "value")
		ente := rapid.String().Draw(t, "ente")
		name := rapid.StringMatching(`Id[A-Z][a-z]+`).Draw(t, "kind")
		subject := uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "subject"))
		caseID := uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "case"))
		id := hub.NewIdentifier(value)
		same := func(what string, got [32]byte, want []byte) {
			if string(got[:]) != string(want) {
				t.Errorf("%s differs", what)
			}
		}
		same("link index", sum(keys.LinkIndex(pseudonym.NewIdentity("CF", id))), mac(link, "CF\x1f", value))
		same("local link index", sum(keys.LinkIndex(pseudonym.NewLocalIdentity(ente, id))), mac(link, "NI\x1f", long(ente), long(value)))
		same("case index", keys.CaseIndex(ente, id), mac(local, long("IdCartella"), long(ente), long(value)))
		same("content MAC", keys.ContentMAC([]byte(value)), mac(content, value))
		if got, err := keys.Code(pseudonym.Nation, 1, subject); err != nil || got != code20(mac(nation, "v1|nation|", subject.String())) {
			t.Error("code differs", err)
		}
		want := code20(mac(nation, long("id"), long(name), long(string(caseID[:])), long(value)))
		if got, err := keys.Rekey(pseudonym.Nation, 1, name, caseID, value); err != nil || got != want {
			t.Error("re-keyed id differs", err)
		}
		codes, err := keys.Codes(pseudonym.Nation, 1, subject, caseID)
		if err != nil || codes.Rekey(name, value) != want || codes.Pseudonym() != code20(mac(nation, "v1|nation|", subject.String())) {
			t.Error("codes of one case differ", err)
		}
	})
}

func TestSaltAndCommitment(t *testing.T) {
	t.Parallel()
	keys, subject, receipt := newKeys(t, hub.Prod), pseudonym.NewSubject(), uuid.New()
	salt := keys.Salt(subject.Secret(), receipt)
	if salt != keys.Salt(subject.Secret(), receipt) {
		t.Error("the salt of a repeated receipt differs")
	}
	if salt == keys.Salt(subject.Secret(), uuid.New()) || salt == keys.Salt(pseudonym.NewSubject().Secret(), receipt) ||
		salt == newKeys(t, hub.Prod).Salt(subject.Secret(), receipt) {
		t.Error("the salt does not depend on secret, receipt and key")
	}
	content := []byte("Testata/IdEvento=x\n")
	commitment := pseudonym.Commitment(salt, content)
	if commitment != sha256.Sum256(append(salt[:], content...)) {
		t.Error("the commitment is not SHA-256(salt ‖ content)")
	}
	if keys.SaltOf(subject.Secret(), receipt, content, commitment) != salt {
		t.Error("the salt of a commitment is not found")
	}
}

// A receipt that was given before salts had a key is repeated with the salt that it had.
func TestEarlierSaltsAreFound(t *testing.T) {
	t.Parallel()
	keys, receipt, content := newKeys(t, hub.Prod), uuid.New(), []byte("Testata/IdEvento=x\n")
	subject := pseudonym.NewSubject()
	d := newDatabase(t)
	v := d.vault(t, keys)
	subject = mustReserve(t, v, anyone(keys), subject)
	var secret []byte
	if err := d.super.QueryRow(t.Context(), "SELECT secret FROM vault.subject WHERE id = $1", [16]byte(subject.ID)).Scan(&secret); err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write(receipt[:])
	earlier := [16]byte(mac.Sum(nil))
	if keys.SaltOf(subject.Secret(), receipt, content, pseudonym.Commitment(earlier, content)) != earlier {
		t.Error("the earlier salt is not found")
	}
	if keys.SaltOf(subject.Secret(), receipt, content, [32]byte{1}) != keys.Salt(subject.Secret(), receipt) {
		t.Error("a commitment of nothing has another salt than that of today")
	}
}

func TestCodesFitTheNationalSchema(t *testing.T) {
	t.Parallel()
	keys := newKeys(t, hub.Prod)
	shape := regexp.MustCompile(`^[A-Z2-7]{20}$`)
	rapid.Check(t, func(t *rapid.T) {
		subject := uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "subject"))
		code, err := keys.Code(pseudonym.Nation, 1, subject)
		if err != nil || !shape.MatchString(code) {
			t.Error(code, err)
		}
		id, err := keys.Rekey(pseudonym.Nation, 1, rapid.String().Draw(t, "kind"), subject, rapid.String().Draw(t, "value"))
		if err != nil || !shape.MatchString(id) {
			t.Error(id, err)
		}
	})
}

// TestCodesDifferByDomainEnvironmentAndEpoch draws many subjects and local ids and finds no code
// twice over two environments, two domains and two epochs, nor a common beginning of 50 bits.
func TestCodesDifferByDomainEnvironmentAndEpoch(t *testing.T) {
	t.Parallel()
	var makers []func(subject uuid.UUID) string
	for _, env := range []hub.Environment{hub.Prod, hub.Test} {
		dir := keyDir(t, env)
		for _, d := range []pseudonym.Domain{pseudonym.Region, pseudonym.Nation} {
			if _, err := pseudonym.AddEpoch(dir, env, pseudonym.PurposeCode, d, made); err != nil {
				t.Fatal(err)
			}
		}
		keys := loadKeys(t, dir, env)
		for _, d := range []pseudonym.Domain{pseudonym.Region, pseudonym.Nation} {
			for epoch := int32(1); epoch <= 2; epoch++ {
				makers = append(makers, func(subject uuid.UUID) string {
					codes, err := keys.Codes(d, epoch, subject, subject)
					if err != nil {
						t.Fatal(err)
					}
					return codes.Pseudonym() + codes.Rekey("IdCartella", "1")
				})
			}
		}
	}
	subjects := 5_000
	if testing.Short() {
		subjects = 1_000
	}
	seen := make(map[string]bool, subjects*len(makers)*2)
	for range subjects {
		subject := uuid.New()
		for _, code := range makers {
			both := code(subject)
			for _, c := range []string{both[:10], both[20:30]} {
				if seen[c] {
					t.Fatal("two codes begin alike")
				}
				seen[c] = true
			}
		}
	}
}

func TestIndexesDifferByEnvironmentKindAndEnte(t *testing.T) {
	t.Parallel()
	prod, test := newKeys(t, hub.Prod), newKeys(t, hub.Test)
	id := hub.NewIdentifier("12345678901")
	seen := map[[32]byte]string{}
	add := func(name string, index [32]byte) {
		if other, ok := seen[index]; ok {
			t.Errorf("%s and %s are the same", name, other)
		}
		seen[index] = name
	}
	for env, keys := range map[string]*pseudonym.Keys{"prod": prod, "test": test} {
		for _, kind := range []string{"CF", "CFP", "STP", "ENI"} {
			add(env+kind, sum(keys.LinkIndex(pseudonym.NewIdentity(kind, id))))
		}
		add(env+"NI a", sum(keys.LinkIndex(pseudonym.NewLocalIdentity("a", id))))
		add(env+"NI b", sum(keys.LinkIndex(pseudonym.NewLocalIdentity("b", id))))
		add(env+"case a", keys.CaseIndex("a", id))
		add(env+"case b", keys.CaseIndex("b", id))
		add(env+"content", keys.ContentMAC([]byte("12345678901")))
	}
}

// TestNoTwoInputsReadAlike moves the border between neighbouring parts.
func TestNoTwoInputsReadAlike(t *testing.T) {
	t.Parallel()
	keys := newKeys(t, hub.Prod)
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.StringN(2, 12, -1).Draw(t, "all")
		cut := func(name string) (string, string) {
			i := rapid.IntRange(0, len(all)).Draw(t, name)
			return all[:i], all[i:]
		}
		a1, a2 := cut("a")
		b1, b2 := cut("b")
		if a1 == b1 {
			return
		}
		caseID := uuid.New()
		a, _ := keys.Rekey(pseudonym.Region, 1, a1, caseID, a2)
		b, _ := keys.Rekey(pseudonym.Region, 1, b1, caseID, b2)
		if a == b {
			t.Error("kind and value of a re-keyed id run together")
		}
		if keys.CaseIndex(a1, hub.NewIdentifier(a2)) == keys.CaseIndex(b1, hub.NewIdentifier(b2)) {
			t.Error("ente and IdCartella run together")
		}
		la, lb := pseudonym.NewLocalIdentity(a1, hub.NewIdentifier(a2)), pseudonym.NewLocalIdentity(b1, hub.NewIdentifier(b2))
		if keys.LinkIndex(la) == keys.LinkIndex(lb) {
			t.Error("ente and local id run together")
		}
	})
	// A value may hold the bytes of a case's id or of a separator without reaching another code.
	caseID := uuid.New()
	for _, pair := range [][2][2]string{
		{{"IdCartella", "x"}, {"IdCartella\x1f", "x"}},
		{{"IdCartella", "\x1fx"}, {"IdCartella\x1f", "x"}},
		{{"IdCartella", string(caseID[:]) + "x"}, {"IdCartella" + string(caseID[:]), "x"}},
		{{"", "idIdCartella"}, {"id", "IdCartella"}},
	} {
		a, _ := keys.Rekey(pseudonym.Region, 1, pair[0][0], caseID, pair[0][1])
		b, _ := keys.Rekey(pseudonym.Region, 1, pair[1][0], caseID, pair[1][1])
		if a == b {
			t.Errorf("%q and %q give one id", pair[0], pair[1])
		}
	}
}

func TestRekeySeparatesCases(t *testing.T) {
	t.Parallel()
	keys := newKeys(t, hub.Prod)
	a, _ := keys.Rekey(pseudonym.Nation, 1, "IdProgetto", uuid.New(), "P-1")
	b, _ := keys.Rekey(pseudonym.Nation, 1, "IdProgetto", uuid.New(), "P-1")
	if a == b {
		t.Error("siblings can be joined through a local id")
	}
}

func TestIdentityIsCanonicalInASCIIOnly(t *testing.T) {
	t.Parallel()
	keys := newKeys(t, hub.Prod)
	index := func(s string) pseudonym.LinkIndex {
		return keys.LinkIndex(pseudonym.NewIdentity("CF", hub.NewIdentifier(s)))
	}
	base := index("BNCLCU12C15D612V")
	for _, same := range []string{"bnclcu12c15d612v", " BNCLCU12C15D612V\n", "BncLcu12c15D612V"} {
		if index(same) != base {
			t.Errorf("%q is another person", same)
		}
	}
	// Dotless i, long s, Kelvin sign and full-width letters become Latin capitals in Unicode.
	for _, pair := range [][2]string{
		{"\u0131", "I"}, {"\u017f", "S"}, {"\u212a", "K"}, {"\uff22", "B"}, {"\u0412", "B"}, {"\u00a0A", "A"},
	} {
		if index(pair[0]) == index(pair[1]) {
			t.Errorf("%q was folded into %q", pair[0], pair[1])
		}
	}
	local := func(s string) pseudonym.LinkIndex {
		return keys.LinkIndex(pseudonym.NewLocalIdentity("E", hub.NewIdentifier(s)))
	}
	if local("a1") == local("A1") {
		t.Error("local ids are the ente's: their spelling counts")
	}
}

// corpus opens a file of the test material that this project did not write.
func corpus(t *testing.T, name string) []byte {
	t.Helper()
	root := os.Getenv("SINBAHUB_CORPORA")
	if root == "" {
		t.Skip("SINBAHUB_CORPORA is not set: it names the folder with the corpora")
	}
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestOmocodesAreOtherPeople(t *testing.T) {
	t.Parallel()
	keys := newKeys(t, hub.Prod)
	rows := strings.Split(strings.TrimSpace(string(corpus(t, "09-codice-fiscale/cf_omocodia.tsv"))), "\n")
	seen := map[pseudonym.LinkIndex]string{}
	checked := 0
	for _, row := range rows[1:] {
		f := strings.Split(row, "\t")
		for _, cf := range []string{f[0], f[2]} {
			index := keys.LinkIndex(pseudonym.NewIdentity("CF", hub.NewIdentifier(cf)))
			if other, ok := seen[index]; ok && other != cf {
				t.Errorf("%s and %s have one index", cf, other)
			}
			seen[index] = cf
		}
		checked++
	}
	if checked != 264 {
		t.Errorf("%d omocodes checked, want 264", checked)
	}
}
