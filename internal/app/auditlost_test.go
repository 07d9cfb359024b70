package app_test

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/app"
	"github.com/sinbahub/sinbahub/internal/hub"
)

// An entry without a leaf is in no bundle: whoever exports its range is told, by its id, and nobody else.
func TestExportTellsOfEntriesWithoutALeaf(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	to := l.traffic(t, 20, hub.Delivered)
	export := func(from, to time.Time) string {
		t.Helper()
		var said bytes.Buffer
		if err := app.ExportEvidence(t.Context(), l.cfg, app.AuditOptions{
			From: from.Format(time.RFC3339Nano), To: to.Format(time.RFC3339Nano), Out: filepath.Join(t.TempDir(), "b.zip"),
			Who: app.Who{Reason: "richiesta dell'auditor"},
		}, &said); err != nil {
			t.Fatal(err)
		}
		return said.String()
	}
	from := l.began.Add(-time.Minute)
	if said := export(from, to); strings.Contains(said, "WARNING") {
		t.Errorf("a whole journal: %s", said)
	}
	l.exec(t, "DELETE FROM hub.journal_leaf WHERE entry_id = $1", l.entries[7].ID)
	said := export(from, to)
	if !strings.Contains(said, l.entries[7].ID.String()) || !strings.Contains(said, "without a leaf: 1.") {
		t.Errorf("not told: %s", said)
	}
}
