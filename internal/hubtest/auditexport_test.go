//go:build e2e

package hubtest_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// verifier builds sinbaverify and gives what runs it on a bundle: its exit code, and what it says.
func verifier(t *testing.T) func(bundle string, flags ...string) (int, string) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "sinbaverify")
	build := exec.CommandContext(t.Context(), "go", "build", "-mod=readonly", "-o", binary, "./cmd/sinbaverify")
	build.Dir = hubtest.Root()
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return func(bundle string, flags ...string) (int, string) {
		cmd := exec.CommandContext(t.Context(), binary, append(append([]string{"bundle"}, flags...), bundle)...)
		out, err := cmd.CombinedOutput()
		if ended, ok := errors.AsType[*exec.ExitError](err); ok {
			return ended.ExitCode(), string(out)
		}
		if err != nil {
			t.Fatal(err)
		}
		return 0, string(out)
	}
}

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
