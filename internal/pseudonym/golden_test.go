package pseudonym_test

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
)

var update = flag.Bool("update", false, "write testdata anew")

// golden is everything that is needed to open a few envelopes, as an earlier version left it:
// made-up people and keys that were never used elsewhere.
type golden struct {
	Opener    json.RawMessage  `json:"opener"`
	Subject   uuid.UUID        `json:"subject"`
	Secret    []byte           `json:"secret"`
	Epoch     told             `json:"epoch"`
	Envelopes []goldenEnvelope `json:"envelopes"`
}

type goldenEnvelope struct {
	Kind      pseudonym.Kind `json:"kind"`
	Message   uuid.UUID      `json:"message"`
	Schema    string         `json:"schema"`
	Plaintext string         `json:"plaintext"`
	Bytes     []byte         `json:"bytes"`
}

const goldenFile = "testdata/envelope-v1.json"

// TestEnvelopesOfEarlierVersionsOpen keeps the promise that what was sealed once can be opened
// by every later version. A new form of envelope gets a file of its own beside this one.
func TestEnvelopesOfEarlierVersionsOpen(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	if *update {
		writeGolden(t, d)
	}
	text, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(text, &g); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "seal-1.json"), g.Opener, 0o600); err != nil {
		t.Fatal(err)
	}
	opener, err := pseudonym.LoadOpenerKeys(dir, hub.Test)
	if err != nil {
		t.Fatal(err)
	}
	key, err := opener.EpochKey(pseudonym.SealedEpochKey{ID: g.Epoch.ID, Opener: g.Epoch.Opener, Bytes: g.Epoch.Bytes})
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.super.Exec(t.Context(), `INSERT INTO vault.subject (id, environment, secret, created_at, reserved_at)
		VALUES ($1, 'TEST', $2, now(), now()) ON CONFLICT (id) DO NOTHING`, [16]byte(g.Subject), g.Secret)
	if err != nil {
		t.Fatal(err)
	}
	subject, err := d.vault(t, newKeys(t, hub.Test)).SubjectOf(t.Context(), g.Subject)
	secret := subject.Secret()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range g.Envelopes {
		label, plain, err := key.Open(g.Subject, secret, e.Bytes)
		if err != nil || string(plain) != e.Plaintext || label != (pseudonym.Label{Kind: e.Kind, Message: e.Message, Schema: e.Schema}) {
			t.Errorf("envelope of kind %d: %v", e.Kind, err)
		}
	}
	if len(g.Envelopes) < 4 {
		t.Errorf("%d envelopes", len(g.Envelopes))
	}
}

// writeGolden seals with this version.
func writeGolden(t *testing.T, d *database) {
	t.Helper()
	dir := keyDir(t, hub.Test)
	keys := loadKeys(t, dir, hub.Test)
	v := d.vault(t, keys)
	g := golden{}
	sealer := pseudonym.NewSealer(keys, func(_ context.Context, k pseudonym.SealedEpochKey) error {
		g.Epoch = told{k.ID, k.Opener, k.Bytes}
		return nil
	}, time.Now)
	subject := mustReserve(t, v, anyone(keys), pseudonym.NewSubject())
	g.Subject = subject.ID
	err := d.super.QueryRow(t.Context(), `SELECT secret FROM vault.subject WHERE id = $1`, [16]byte(subject.ID)).Scan(&g.Secret)
	if err != nil {
		t.Fatal(err)
	}
	if g.Opener, err = os.ReadFile(filepath.Join(dir, "opener", "seal-1.json")); err != nil {
		t.Fatal(err)
	}
	message := `<InviaEventoRichiesta xmlns="urn:sinba:eventi:v1"><Soggetto><Anagrafica><Cognome>Prova</Cognome></Anagrafica></Soggetto>` +
		strings.Repeat(`<Dettaglio><Annullamento><MotivoAnnullamento>INSERITO_PER_ERRORE</MotivoAnnullamento></Annullamento></Dettaglio>`, 3) + `</InviaEventoRichiesta>`
	for i, text := range []string{message, "CF\x1fAAAAAA00A00A000A", "", "no match: 0123456789 àèìòù " + uuid.NewString()} {
		e := goldenEnvelope{Kind: pseudonym.Kind(i + 1), Message: uuid.New(), Schema: "1.0", Plaintext: text}
		sealed, err := sealer.Seal(t.Context(), subject, pseudonym.Label{Kind: e.Kind, Message: e.Message, Schema: e.Schema}, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		e.Bytes = sealed.Bytes
		g.Envelopes = append(g.Envelopes, e)
	}
	text, err := json.MarshalIndent(g, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(goldenFile, append(text, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}
