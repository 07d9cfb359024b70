package app_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/app"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
)

func TestExportIsJournalledWithItsManifest(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	to := l.traffic(t, 10, hub.Delivered)
	b := l.open(t, l.export(t, app.AuditOptions{From: l.began.Format(time.RFC3339), To: to.Format(time.RFC3339Nano)}))
	var body []byte
	if err := l.admin.QueryRow(t.Context(), `SELECT e.body FROM hub.journal_entry e JOIN hub.journal_queue q ON q.entry_id = e.id
		WHERE e.kind = $1`, journal.EvidenceExported).Scan(&body); err != nil {
		t.Fatal(err)
	}
	e, err := journal.Parse(body)
	if err != nil {
		t.Fatal(err)
	}
	if e.Commitment != sha256.Sum256(b.members["MANIFEST"]) || e.Actor != app.AccountName() || e.Reason != "richiesta dell'auditor" {
		t.Errorf("entry %+v", e)
	}
	if want := []hub.Code{hub.Code("from:" + b.manifest["from"]), hub.Code("to:" + b.manifest["to"])}; !slices.Equal(want, e.Codes) {
		t.Errorf("codes %v, want %v", e.Codes, want)
	}
}

// Whoever can change the database must not choose by its columns what a range shows.
func TestExportTakesItsRangeFromSignedCheckpoints(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	from := l.traffic(t, 10, hub.Delivered).Add(time.Microsecond)
	l.traffic(t, 280, hub.Delivered)
	to := l.traffic(t, 20, hub.Delivered)
	for name, change := range map[string]string{
		"a size":           "UPDATE hub.journal_checkpoint SET size = size + 1000000000 WHERE size = 20",
		"a closing size":   "UPDATE hub.journal_checkpoint SET size = size + 1000000000 WHERE size = 620",
		"a time":           "UPDATE hub.journal_checkpoint SET at = '" + from.Format(time.RFC3339Nano) + "' WHERE size = 580",
		"another's text":   "UPDATE hub.journal_checkpoint SET note = (SELECT note FROM hub.journal_checkpoint WHERE size = 20) WHERE size = 620",
		"a text":           "UPDATE hub.journal_checkpoint SET note = replace(note, '620', '621') WHERE size = 620",
		"the text is gone": "UPDATE hub.journal_checkpoint SET note = '' WHERE size = 20",
	} {
		l.exec(t, "CREATE TABLE kept AS SELECT id, size, root, at, note FROM hub.journal_checkpoint")
		l.exec(t, change)
		if n := l.changed(t); n != 1 {
			t.Fatalf("%s: %d rows changed", name, n)
		}
		o := app.AuditOptions{
			From: from.Format(time.RFC3339Nano), To: to.Format(time.RFC3339Nano), Out: filepath.Join(t.TempDir(), "new.zip"),
			Who: app.Who{Reason: "prova"}, Progress: io.Discard,
		}
		if err := app.ExportEvidence(t.Context(), l.cfg, o, io.Discard); err == nil {
			t.Errorf("exported although %s was changed", name)
		}
		l.exec(t, "DELETE FROM hub.journal_checkpoint")
		l.exec(t, "INSERT INTO hub.journal_checkpoint (id, size, root, at, note) OVERRIDING SYSTEM VALUE SELECT id, size, root, at, note FROM kept")
		l.exec(t, "DROP TABLE kept")
	}
}

// changed is how many checkpoints are not as they were kept.
func (l *ledger) changed(t *testing.T) (n int) {
	t.Helper()
	if err := l.admin.QueryRow(t.Context(), `SELECT count(*) FROM hub.journal_checkpoint c
		WHERE (c.id, c.size, c.at, c.note) NOT IN (SELECT k.id, k.size, k.at, k.note FROM kept k)`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestExportRefuses(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	to := l.traffic(t, 10, hub.Delivered)
	l.exec(t, "INSERT INTO hub.ente (environment, code, zone, region) VALUES (1, 'ENTE-3', 'ZONA-1', '17')")
	folder := t.TempDir()
	there := filepath.Join(folder, "there.zip")
	if err := os.WriteFile(there, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := app.AuditOptions{
		From: l.began.Format(time.RFC3339), To: to.Format(time.RFC3339Nano), Out: filepath.Join(folder, "new.zip"),
		Who: app.Who{Reason: "richiesta dell'auditor"}, Progress: io.Discard,
	}
	for name, change := range map[string]func(*app.AuditOptions){
		"a file that is there": func(o *app.AuditOptions) { o.Out = there },
		"no reason":            func(o *app.AuditOptions) { o.Who.Reason = " " },
		"a reason that names":  func(o *app.AuditOptions) { o.Who.Reason = "chiesto per RSSMRA85T10A562S" },
		"an unknown ente":      func(o *app.AuditOptions) { o.Ente = "ENTE-9" },
		"a range turned round": func(o *app.AuditOptions) { o.From, o.To = o.To, o.From },
		"no range":             func(o *app.AuditOptions) { o.From = "yesterday" },
		"a range to come":      func(o *app.AuditOptions) { o.From, o.To = "2099-01-01", "2099-12-31" },
		"a folder that is not": func(o *app.AuditOptions) { o.Out = filepath.Join(folder, "none", "new.zip") },
		"an ente of which nothing came": func(o *app.AuditOptions) {
			o.Ente = "ENTE-3"
		},
	} {
		o := good
		change(&o)
		if err := app.ExportEvidence(t.Context(), l.cfg, o, io.Discard); err == nil {
			t.Errorf("%s: exported", name)
		}
	}
	names, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(there); len(names) != 1 || string(text) != "mine" {
		t.Errorf("the folder has %v, the file %q", names, text)
	}
	var n int
	if err := l.admin.QueryRow(t.Context(), "SELECT count(*) FROM hub.journal_queue").Scan(&n); err != nil || n > 0 {
		t.Errorf("%d exports journalled that were refused (%v)", n, err)
	}
	good.Out, good.Force = there, true
	if err := app.ExportEvidence(t.Context(), l.cfg, good, io.Discard); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(there)
	if err != nil || info.Mode() != 0o600 || info.Size() < 1000 {
		t.Errorf("--force wrote %v (%v)", info, err)
	}
}

func TestExportShowsHowFarItIs(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	to := l.traffic(t, 400, hub.Delivered)
	for _, ente := range []string{"", "ENTE-1"} {
		var shown, said bytes.Buffer
		if err := app.ExportEvidence(t.Context(), l.cfg, app.AuditOptions{
			From: l.began.Format(time.RFC3339), To: to.Format(time.RFC3339Nano), Ente: ente, Out: filepath.Join(t.TempDir(), "new.zip"),
			Who: app.Who{Reason: "prova"}, Interactive: true, Progress: &shown,
		}, &said); err != nil {
			t.Fatal(err)
		}
		steps := strings.Split(shown.String(), "\r")
		if len(steps) < 5 || len(steps) > 210 || !strings.HasSuffix(shown.String(), "] 100 %\n") {
			t.Errorf("%d steps of progress, the last %q", len(steps), steps[len(steps)-1])
		}
		before := 0
		for _, step := range steps[1:] {
			var percent int
			if _, err := fmt.Sscanf(step[strings.Index(step, "]")+1:], " %d %%", &percent); err != nil || percent > 100 || percent < before {
				t.Errorf("progress %q after %d %%", step, before)
			}
			before = percent
		}
		if !strings.Contains(said.String(), "MANIFEST ") {
			t.Errorf("told %q", said.String())
		}
	}
}

// stopper ends a context when it is written to.
type stopper struct{ stop context.CancelFunc }

func (s stopper) Write(p []byte) (int, error) {
	s.stop()
	return len(p), nil
}

func TestInterruptedExportLeavesNothing(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	to := l.traffic(t, 400, hub.Delivered)
	folder := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := app.ExportEvidence(ctx, l.cfg, app.AuditOptions{
		From: l.began.Format(time.RFC3339), To: to.Format(time.RFC3339Nano), Out: filepath.Join(folder, "new.zip"),
		Who: app.Who{Reason: "richiesta dell'auditor"}, Interactive: true, Progress: stopper{cancel},
	}, io.Discard)
	if err == nil {
		t.Error("an interrupted export ended well")
	}
	if names, err := os.ReadDir(folder); err != nil || len(names) > 0 {
		t.Errorf("left behind: %v (%v)", names, err)
	}
	var n int
	if err := l.admin.QueryRow(t.Context(), "SELECT count(*) FROM hub.journal_queue").Scan(&n); err != nil || n > 0 {
		t.Errorf("%d exports journalled that were not made (%v)", n, err)
	}
}
