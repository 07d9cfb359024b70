//go:build e2e

package hubtest_test

import (
	"encoding/base64"
	"encoding/xml"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// prova is ProvaType, read by the standard library.
type prova struct {
	Indice     int64    `xml:"IndiceGiornale"`
	Foglia     string   `xml:"Foglia"`
	Nodi       []string `xml:"NodoInclusione"`
	Checkpoint string   `xml:"Checkpoint"`
	// whole is the answer as a vendor stores it.
	whole []byte
}

// stato asks statoEvento for an event, and gives its proof, nil while there is none.
func stato(t *testing.T, sender hubtest.Sender, ente, receipt string) *prova {
	t.Helper()
	a, err := sender.Send(t.Context(), soap.V12, []byte(`<StatoEventoRichiesta xmlns="urn:sinba:eventi:v1"><CodiceEnte>`+ente+
		`</CodiceEnte><IdRicevuta>`+receipt+`</IdRicevuta></StatoEventoRichiesta>`))
	if err != nil || a.Status != http.StatusOK {
		t.Fatal(err, string(a.Body))
	}
	var answer struct {
		Prova *prova `xml:"Body>StatoEventoRisposta>Prova"`
	}
	if err := xml.Unmarshal(a.Body, &answer); err != nil {
		t.Fatal(err)
	}
	if answer.Prova != nil {
		answer.Prova.whole = a.Body
	}
	return answer.Prova
}

// get reads a page of the public listener.
func get(t *testing.T, h *hubtest.Hub, path string) string {
	t.Helper()
	base, _, _ := strings.Cut(h.Run.SoapURL, "/soap")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := new(http.Client).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatal(err, answer.Status)
	}
	return string(text)
}

// TestE2EReceiptIsProvenToStandInTheJournal: soon after its receipt an event's state brings a proof that
// holds by the published key and the arithmetic of RFC 6962, for the entry that the receipt names.
func TestE2EReceiptIsProvenToStandInTheJournal(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t, "SINBAHUB_JOURNAL_EVERY=1s")
	sender := h.Sender(hubtest.ChildEnte)
	event := uuid.New()
	a := mustSend(t, sender, soap.V12, hubtest.Child(300).Event(event, 1))
	if a.Receipt == nil {
		t.Fatalf("%s", a.Body)
	}
	var p *prova
	hubtest.Await(t, patience, "the proof", func() bool {
		p = stato(t, sender, hubtest.ChildEnte, a.Receipt.IDRicevuta)
		return p != nil
	})
	verifier, err := note.NewVerifier(strings.TrimSpace(get(t, h, "/journal/keys")))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := note.Open([]byte(p.Checkpoint), note.VerifierList(verifier))
	if err != nil {
		t.Fatal(err)
	}
	tree, err := tlog.ParseTree([]byte("go.sum database tree\n" + strings.Join(strings.Split(signed.Text, "\n")[1:3], "\n") + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := base64.StdEncoding.DecodeString(p.Foglia)
	if err != nil {
		t.Fatal(err)
	}
	var hashes tlog.RecordProof
	for _, text := range p.Nodi {
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(raw) != tlog.HashSize {
			t.Fatal(err)
		}
		hashes = append(hashes, tlog.Hash(raw))
	}
	if err := tlog.CheckRecord(hashes, tree.N, tree.Hash, p.Indice, tlog.RecordHash(leaf)); err != nil {
		t.Error(err)
	}
	entry, err := journal.Parse(leaf[:len(leaf)-journal.LeafTrailer])
	if err != nil || entry.ID.String() != a.Receipt.IDRegistrazione || entry.Event != event {
		t.Errorf("%v %+v", err, entry)
	}
	// As the vendor proves it, later and without the hub.
	dir := t.TempDir()
	for name, text := range map[string]string{
		"key": get(t, h, "/journal/keys"), "ricevuta.xml": string(a.Body), "stato.xml": string(p.whole),
		"altra.xml": strings.Replace(string(a.Body), a.Receipt.Impronta, strings.Repeat("0", 64), 1),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for receipt, want := range map[string]int{"ricevuta.xml": 0, "altra.xml": 2} {
		cmd := exec.CommandContext(t.Context(), filepath.Join(hubtest.Binaries(t), "sinbaverify"), "receipt", "--key", "key", "--receipt", receipt, "stato.xml")
		cmd.Dir = dir
		if out, _ := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != want {
			t.Errorf("%s: exit %d, want %d: %s", receipt, cmd.ProcessState.ExitCode(), want, out)
		}
	}
	if published := get(t, h, "/journal/checkpoint"); !strings.HasPrefix(published, "sinbahub/PROD\n") {
		t.Errorf("%q", published)
	}
}

// TestE2EJournalThatWasRestoredRefusesTheStart: a database that has less than a published checkpoint, or
// something else, is not served until an operator says that it was restored, which stands in the journal.
func TestE2EJournalThatWasRestoredRefusesTheStart(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t, "SINBAHUB_JOURNAL_EVERY=1s")
	sender := h.Sender(hubtest.ChildEnte)
	a := mustSend(t, sender, soap.V12, hubtest.Child(301).Event(uuid.New(), 1))
	hubtest.Await(t, patience, "the proof", func() bool {
		return stato(t, sender, hubtest.ChildEnte, a.Receipt.IDRicevuta) != nil
	})
	h.Terminate()
	hubtest.Await(t, patience, "serve ends", func() bool { return !h.Alive() })
	db := h.Superuser()
	for _, sql := range []string{
		"DELETE FROM hub.journal_leaf", "DELETE FROM hub.journal_tile", "DELETE FROM hub.journal_pair", "DELETE FROM hub.journal_checkpoint",
		"DELETE FROM vault.journal_mark",
		"UPDATE hub.journal_head SET size = 0, root = sha256('')",
	} {
		if _, err := db.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := hubVerb(t, h, "demo", "up"); err == nil || !strings.Contains(serveLog(t, h), "contradicts a checkpoint") {
		t.Fatalf("a journal without its leaves was served: %v %s", err, out)
	}
	if out, err := hubVerb(t, h, "accept-database", "--reason", "ripristino di prova"); err != nil {
		t.Fatal(err, out)
	}
	h.Up()
	hubtest.Await(t, patience, "the entry of the restore", func() bool {
		return hubtest.Number(t, h.Superuser(), "SELECT count(*) FROM hub.journal_entry e JOIN hub.journal_leaf l ON l.entry_id = e.id WHERE e.kind = 11") == 1
	})
	kept, err := filepath.Glob(filepath.Join(h.Var, "journal", "PROD", "before-*", "checkpoints-*"))
	if err != nil || len(kept) != 1 {
		t.Errorf("what was known is not kept: %v %v", kept, err)
	}
}

// TestE2EVaultAndJournalOfDifferentTimesAreNoticed: the vault of an earlier backup beside today's journal,
// and the reverse, refuse the start until an operator says so.
func TestE2EVaultAndJournalOfDifferentTimesAreNoticed(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ sql, says string }{
		"vault restored":   {"UPDATE vault.journal_mark SET size = 0, root = sha256('')", "vault knows nothing"},
		"journal restored": {"UPDATE vault.journal_mark SET size = size + 1000", "vault knows a checkpoint"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := hubtest.Start(t, "SINBAHUB_JOURNAL_EVERY=1s")
			sender := h.Sender(hubtest.ChildEnte)
			mustSend(t, sender, soap.V12, hubtest.Child(302).Event(uuid.New(), 1))
			db := h.Superuser()
			hubtest.Await(t, patience, "checkpoints after the acceptance", func() bool {
				return hubtest.Number(t, db, `SELECT count(*) FROM hub.journal_checkpoint c WHERE c.size > (
					SELECT max(l.leaf_index) FROM hub.journal_leaf l JOIN hub.journal_entry e ON e.id = l.entry_id WHERE e.kind = 1)`) > 2
			})
			h.Terminate()
			hubtest.Await(t, patience, "serve ends", func() bool { return !h.Alive() })
			if _, err := db.Exec(t.Context(), test.sql); err != nil {
				t.Fatal(err)
			}
			if out, err := hubVerb(t, h, "demo", "up"); err == nil || !strings.Contains(serveLog(t, h), test.says) {
				t.Fatalf("served: %v %s", err, out)
			}
			if out, err := hubVerb(t, h, "accept-database", "--reason", "ripristino di prova"); err != nil || !strings.Contains(out, "goes on from") {
				t.Fatal(err, out)
			}
			h.Up()
		})
	}
}

// serveLog is what serve has logged.
func serveLog(t *testing.T, h *hubtest.Hub) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(h.Var, "log", "serve.log"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
