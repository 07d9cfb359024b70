package app_test

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sinbahub/sinbahub/internal/app"
	"github.com/sinbahub/sinbahub/internal/codelist"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/sinba"
)

func TestBundleProvesEveryEntryOfItsRange(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	l.traffic(t, 300, hub.Delivered, hub.Refused)
	from := l.traffic(t, 400, hub.Delivered, hub.Dead, hub.Retrying, "", hub.Parked, hub.Uncertain)
	want := len(l.entries)
	to := l.traffic(t, 400, hub.Delivered, hub.Dead, hub.Retrying, "", hub.Parked, hub.Uncertain)
	l.traffic(t, 50, hub.Delivered)
	b := l.open(t, l.export(t, app.AuditOptions{From: from.Format(time.RFC3339Nano), To: to.Format(time.RFC3339Nano)}))
	all := b.leaves(t)
	first, _ := strconv.Atoi(b.manifest["first"])
	if first != want/256*256 || first+len(all) != int(b.tree.N) {
		t.Errorf("leaves %d to %d, want from the tile of %d to %d", first, first+len(all), want, b.tree.N)
	}
	for i, data := range all {
		if e := l.entries[first+i]; !bytes.HasPrefix(data, e.Bytes()) {
			t.Fatalf("leaf %d has another entry", first+i)
		}
	}
	if diff := cmp.Diff(l.wantOpen(first, int(b.tree.N)), string(b.members["open"])); diff != "" {
		t.Error("open events:", diff)
	}
	rules, _ := sinba.RulesText(2)
	mapping, _ := sinba.Mapping(1)
	for name, text := range map[string][]byte{"rules/2.txt": rules, "mapping/1/foglie.tsv": mapping} {
		if len(text) == 0 || !bytes.Equal(b.members[name], text) {
			t.Errorf("%s is not what judged", name)
		}
	}
	for _, name := range []string{"README.txt", "keys/journal.pub", "xsd/sinba-eventi-v1.xsd"} {
		if len(b.members[name]) == 0 {
			t.Errorf("no member %s", name)
		}
	}
	if _, ok := b.members["versions-missing"]; ok {
		t.Error("versions are said to be missing")
	}
}

// wantOpen is the list of open events by another way: the first of its message, no final one behind it.
func (l *ledger) wantOpen(first, end int) string {
	var text strings.Builder
	for i := end - 1; i >= first; i-- {
		e := l.entries[i]
		if e.Kind != journal.EventAccepted {
			continue
		}
		state := "pending"
		for _, later := range l.entries[i:end] {
			if later.Message == e.Message && later.Kind == journal.AttemptSettled {
				state = later.Outcome
			}
		}
		if state == "pending" || state == "retrying" || state == "uncertain" {
			fmt.Fprintf(&text, "%s %s %s\n", e.Message, e.Delivery, state)
		}
	}
	return text.String()
}

func TestBundleOfTheSameRangeHasTheSameBytes(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	l.traffic(t, 100, hub.Delivered)
	to := l.traffic(t, 300, hub.Delivered, "")
	for _, ente := range []string{"", "ENTE-1"} {
		o := app.AuditOptions{From: l.began.Format(time.RFC3339Nano), To: to.Format(time.RFC3339Nano), Ente: ente}
		before := l.export(t, o)
		l.traffic(t, 200, hub.Delivered, hub.Retrying)
		if !bytes.Equal(before, l.export(t, o)) {
			t.Errorf("ente %q: another bundle after more traffic", ente)
		}
	}
}

func TestBundleKeepsThePlaceOfWhatHasGone(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	to := l.traffic(t, 128, hub.Delivered)
	l.exec(t, "DELETE FROM hub.journal_entry WHERE id = $1", l.entries[7].ID)
	l.exec(t, "DELETE FROM hub.message WHERE id = $1", l.entries[10].Message)
	l.exec(t, "UPDATE hub.attempt SET sealed = NULL, seal_epoch = NULL WHERE delivery_id = $1", l.entries[20].Delivery)
	l.exec(t, "DELETE FROM hub.journal_leaf WHERE leaf_index IN (30, 255)") // which retention never does
	b := l.open(t, l.export(t, app.AuditOptions{From: l.began.Format(time.RFC3339), To: to.Format(time.RFC3339Nano)}))
	entries := records(t, b.members["tile/entries/"+b.path(0)], 2)
	sealed := records(t, b.members["sealed/"+b.path(0)], 4)
	if len(entries) != 256 || len(sealed) != 256 {
		t.Fatalf("%d entries, %d sealed", len(entries), len(sealed))
	}
	for i, data := range entries {
		if gone := i == 7 || i == 30 || i == 255; gone != (len(data) == 0) {
			t.Errorf("leaf %d has %d bytes", i, len(data))
		}
	}
	for i, data := range sealed {
		if gone := slices.Contains([]int{7, 10, 21, 30, 255}, i); gone != (len(data) == 0) {
			t.Errorf("sealed bytes of leaf %d: %d", i, len(data))
		}
	}
}

func TestBundleNamesVersionsThatAreMissing(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	reference := codelist.Builtin().Version()
	for _, v := range []journal.Evidence{
		{Schema: "1.0", Rules: 1, Mapping: 1, Reference: reference},
		{Schema: "2.0", Rules: 99, Mapping: 10, Reference: "0123456789ab"},
		{Schema: "1.0", Rules: 2, Mapping: 9},
	} {
		l.accepted(1, 1).Evidence = v
	}
	to := l.write(t)
	b := l.open(t, l.export(t, app.AuditOptions{From: l.began.Format(time.RFC3339), To: to.Format(time.RFC3339Nano)}))
	const want = "mapping 10\nmapping 9\nreference 0123456789ab\nrules 99\nschema 2.0\n"
	if diff := cmp.Diff(want, string(b.members["versions-missing"])); diff != "" {
		t.Error(diff)
	}
	for _, name := range []string{"mapping/1/foglie.tsv", "rules/1.txt", "rules/2.txt", "reference/" + reference} {
		if len(b.members[name]) == 0 {
			t.Errorf("no member %s", name)
		}
	}
	if text := string(b.members["reference/"+reference]); strings.Count(text, "\n") != len(codelist.Builtin()) {
		t.Errorf("digests of the lists: %q", text)
	}
}

func TestBundleHasTheCheckpointsOfItsRange(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	var at []time.Time
	for range 5 {
		at = append(at, l.traffic(t, 3, hub.Delivered))
	}
	late := time.Now().UTC().Add(time.Hour).Truncate(time.Microsecond)
	for name, test := range map[string]struct {
		from, to    time.Time
		first, last int
	}{
		"both ends":          {at[1], at[3], 1, 3},
		"closed later":       {at[1].Add(time.Microsecond), at[2].Add(time.Microsecond), 2, 3},
		"one":                {at[1], at[1].Add(time.Microsecond), 1, 2},
		"not closed yet":     {at[3], late, 3, 4},
		"before all of them": {l.began.Add(-time.Hour), l.began, 0, 0},
	} {
		b := l.open(t, l.export(t, app.AuditOptions{From: test.from.Format(time.RFC3339Nano), To: test.to.Format(time.RFC3339Nano)}))
		var want strings.Builder
		for n := test.first; n <= test.last; n++ {
			text := l.note(t, at[n])
			fmt.Fprintf(&want, "%d\n%s", len(text), text)
		}
		if diff := cmp.Diff(want.String(), string(b.members["checkpoints"])); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if string(b.members["checkpoint"]) != l.note(t, at[test.last]) {
			t.Errorf("%s: closed by another checkpoint", name)
		}
		end := test.to
		if test.to.Equal(late) {
			end = late // which nothing closes
		}
		if got := b.manifest["to"]; got != end.Format(time.RFC3339Nano) {
			t.Errorf("%s: ends %s, want %s", name, got, end)
		}
	}
}

// note is the checkpoint that was signed at a time.
func (l *ledger) note(t *testing.T, at time.Time) (text string) {
	t.Helper()
	if err := l.admin.QueryRow(t.Context(), "SELECT note FROM hub.journal_checkpoint WHERE at = $1", at).Scan(&text); err != nil {
		t.Fatal(err)
	}
	return text
}
