//go:build e2e

package hubtest_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// sendEvents sends events of as many children from one on and waits until they are delivered and signed
// for. It gives an instant that lies behind them and before the last checkpoint.
func sendEvents(t *testing.T, h *hubtest.Hub, from, children int) string {
	t.Helper()
	db, sender := h.Superuser(), h.Sender(hubtest.ChildEnte)
	for n := range children {
		if a := mustSend(t, sender, soap.V12, hubtest.Child(from+n).Event(uuid.New(), 1)); a.Receipt == nil {
			t.Fatalf("%s", a.Body)
		}
	}
	hubtest.Await(t, patience, "all leaves", func() bool {
		return hubtest.Number(t, db, "SELECT count(*) FROM hub.delivery WHERE state <> 'delivered'") == 0 &&
			hubtest.Number(t, db, "SELECT count(*) FROM hub.journal_queue") == 0
	})
	var now time.Time
	if err := db.QueryRow(t.Context(), "SELECT hub.hub_now()").Scan(&now); err != nil {
		t.Fatal(err)
	}
	hubtest.Await(t, patience, "a checkpoint", func() bool {
		var signed bool
		if err := db.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM hub.journal_checkpoint WHERE at >= $1)", now).Scan(&signed); err != nil {
			t.Fatal(err)
		}
		return signed
	})
	return now.UTC().Format(time.RFC3339Nano)
}

// TestE2EBundleIsGoodUntilTheDatabaseIsChanged: an auditor finds what a hub exported good, and the change
// of one byte by who may do everything with the database.
func TestE2EBundleIsGoodUntilTheDatabaseIsChanged(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t, "SINBAHUB_JOURNAL_EVERY=1s")
	verify, folder := verifier(t), t.TempDir()
	begin := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	to := sendEvents(t, h, 400, 20)
	key := filepath.Join(folder, "journal.pub")
	if err := os.WriteFile(key, []byte(get(t, h, "/journal/keys")), 0o600); err != nil {
		t.Fatal(err)
	}
	exports := 0
	export := func(to string, more ...string) string {
		exports++
		bundle := filepath.Join(folder, fmt.Sprintf("bundle-%d.zip", exports))
		out, err := hubVerb(t, h, append([]string{"audit", "export", "--from", begin, "--to", to, "--reason", "prova", "-o", bundle}, more...)...)
		if err != nil {
			t.Fatal(err, out)
		}
		return bundle
	}
	full, ente := export(to), export(to, "--ente", hubtest.ChildEnte)
	for _, bundle := range []string{full, ente} {
		if code, said := verify(bundle, "--key", key); code != 0 {
			t.Errorf("exit code %d for %s: %s", code, bundle, said)
		}
	}
	later := sendEvents(t, h, 430, 5)
	for first, second := range map[string]string{full: export(to), ente: export(to, "--ente", hubtest.ChildEnte)} {
		one, err := os.ReadFile(first)
		if err != nil {
			t.Fatal(err)
		}
		if two, err := os.ReadFile(second); err != nil || !bytes.Equal(one, two) {
			t.Errorf("the same range gave other bytes after more traffic (%v)", err)
		}
	}
	// What somebody kept of the first bundle holds for the later one.
	outside := filepath.Join(folder, "checkpoint")
	if err := os.WriteFile(outside, []byte(get(t, h, "/journal/checkpoint")), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, said := verify(export(later), "--key", key, "--checkpoint", outside); code != 0 {
		t.Errorf("exit code %d with a checkpoint from outside: %s", code, said)
	}
	for what, sql := range map[string]string{
		"an entry": `UPDATE hub.journal_entry e SET body = set_byte(body, 60, get_byte(body, 60) # 1)
			FROM (SELECT id FROM hub.journal_entry WHERE kind = 1 LIMIT 1) AS one WHERE e.id = one.id`,
		"a sealed message": `UPDATE hub.message m SET sealed = set_byte(sealed, 60, get_byte(sealed, 60) # 1)
			FROM (SELECT id FROM hub.message LIMIT 1) AS one WHERE m.id = one.id`,
		"a tile": `UPDATE hub.journal_tile SET hashes = set_byte(hashes, 60, get_byte(hashes, 60) # 1) WHERE level = 0 AND number = 0`,
	} {
		if _, err := h.Superuser().Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
		code, said := verify(export(later), "--key", key)
		if code != 2 {
			t.Errorf("exit code %d after %s was changed: %s", code, what, said)
		}
		// The same change again undoes it, where it is of the same row.
		if _, err := h.Superuser().Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
}

// TestE2EBundleNamesWhatWasDeletedAndTakesAVendorsAnswer: what a vendor stored, as it is, is a checkpoint for the
// auditor, and an entry or a message that somebody deleted is named, whoever's bundle it is.
func TestE2EBundleNamesWhatWasDeletedAndTakesAVendorsAnswer(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t, "SINBAHUB_JOURNAL_EVERY=1s")
	verify, folder := verifier(t), t.TempDir()
	begin := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	sender, db := h.Sender(hubtest.ChildEnte), h.Superuser()
	sent := mustSend(t, sender, soap.V12, hubtest.Child(470).Event(uuid.New(), 1))
	to := sendEvents(t, h, 471, 5)
	answers := map[string][]byte{"ricevuta.xml": sent.Body}
	hubtest.Await(t, patience, "a proof", func() bool {
		proof := stato(t, sender, hubtest.ChildEnte, sent.Receipt.IDRicevuta)
		if proof != nil {
			answers["stato.xml"] = proof.whole
		}
		return proof != nil
	})
	flags := []string{}
	for name, answer := range answers {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, answer, 0o600); err != nil {
			t.Fatal(err)
		}
		flags = append(flags, "--checkpoint", path)
	}
	export := func(more ...string) string {
		bundle := filepath.Join(folder, uuid.NewString()+".zip")
		out, err := hubVerb(t, h, append([]string{"audit", "export", "--from", begin, "--to", to, "--reason", "prova", "-o", bundle}, more...)...)
		if err != nil {
			t.Fatal(err, out)
		}
		return bundle
	}
	for _, of := range [][]string{nil, {"--ente", hubtest.ChildEnte}} {
		code, said := verify(export(of...), flags...)
		if code != 0 || strings.Count(said, sent.Receipt.IDRicevuta+" agrees") != 2 || !strings.Contains(said, "stato.xml: agrees") && !strings.Contains(said, "stato.xml: newer") {
			t.Errorf("exit code %d: %s", code, said)
		}
	}
	// In this order: without its entry nothing says what a message was.
	for _, deleted := range []struct{ what, sql string }{
		{"sealed message", `DELETE FROM hub.message WHERE id = $1`},
		{"entry", `DELETE FROM hub.journal_entry WHERE message_id = $1 AND kind = 1`},
	} {
		if _, err := db.Exec(t.Context(), `SET session_replication_role = replica`); err != nil {
			t.Fatal(err)
		}
		if tag, err := db.Exec(t.Context(), deleted.sql, sent.Receipt.IDRicevuta); err != nil || tag.RowsAffected() != 1 {
			t.Fatal(tag, err)
		}
		for _, of := range [][]string{nil, {"--ente", hubtest.ChildEnte}} {
			if code, said := verify(export(of...)); code != 3 || !strings.Contains(said, "Not there    "+deleted.what+" of leaf ") {
				t.Errorf("exit code %d after a %s was deleted: %s", code, deleted.what, said)
			}
		}
	}
}
