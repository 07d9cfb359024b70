package app_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/app"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/verify"
)

// aged is a ledger that began so many months ago; the database's clock says so until today is called.
func aged(t *testing.T, months int) *ledger {
	t.Helper()
	l := newLedger(t)
	now := time.Now().UTC()
	l.began = time.Date(now.Year(), now.Month()-time.Month(months), 10, 12, 0, 0, 0, time.UTC)
	for at := l.began; at.Before(now); at = at.AddDate(0, 1, 0) {
		l.exec(t, "SELECT set_config('hub.clock_offset', $1, false)", offsetOf(at))
		l.exec(t, "SELECT hub.ensure_partitions(1)")
	}
	l.clock(t, offsetOf(l.began.Add(time.Minute)))
	return l
}

func offsetOf(at time.Time) string { return fmt.Sprintf("%d seconds", int64(time.Until(at).Seconds())) }

// clock sets the database's clock, and begins anew with connections that go by it.
func (l *ledger) clock(t *testing.T, offset string) {
	t.Helper()
	var name string
	if err := l.admin.QueryRow(t.Context(), "SELECT current_database()").Scan(&name); err != nil {
		t.Fatal(err)
	}
	l.exec(t, "ALTER DATABASE "+name+" SET hub.clock_offset = '"+offset+"'")
	l.exec(t, "SELECT set_config('hub.clock_offset', $1, false)", offset)
	store, err := postgres.Open(t.Context(), postgres.Config{DSN: l.cfg.Database.URL.Reveal()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	l.store = store
}

// retire has retention do its work and signs for what it says of it.
func (l *ledger) retire(t *testing.T) time.Time {
	t.Helper()
	if err := app.RunRetention(t.Context(), l.cfg, app.RetentionOptions{Who: app.Who{Reason: "prova"}}, io.Discard); err != nil {
		t.Fatal(err)
	}
	return l.write(t)
}

// inspect has a bundle verified.
func (l *ledger) inspect(bundle []byte, outside ...string) *verify.Report {
	o := verify.BundleOptions{Key: &verify.Document{Name: "key", Bytes: []byte(strings.Join(l.key.Public(), "\n") + "\n")}}
	for _, text := range outside {
		o.Checkpoints = append(o.Checkpoints, verify.Document{Name: "outside", Bytes: []byte(text)})
	}
	return verify.Bundle(bytes.NewReader(bundle), int64(len(bundle)), o)
}

func textOf(r *verify.Report) string {
	var text strings.Builder
	_ = r.Text(&text)
	return text.String()
}

// What retention took is told apart from what somebody deleted, also where the entries of retention lie
// long behind the range, and for one ente, too.
func TestBundleTellsRetentionFromDeletion(t *testing.T) {
	t.Parallel()
	l := aged(t, 4)
	l.cfg.Retention.Messages, l.cfg.Retention.Attempts, l.cfg.Retention.Refusals = 1, 1, 10
	from := l.write(t)
	for i := range 300 {
		l.settled(l.accepted(1, 1+int32(i%2)), hub.Delivered)
		if i%7 == 0 {
			l.entry(journal.Entry{Kind: journal.RequestRefused, Participant: 1, Ente: 1 + int32(i%2)})
		}
	}
	to := l.write(t)
	o := app.AuditOptions{From: from.Format(time.RFC3339Nano), To: to.Format(time.RFC3339Nano)}
	ente := o
	ente.Ente = "ENTE-1"
	if r := l.inspect(l.export(t, o)); r.Verdict != verify.Good || r.Bundle.Sealed != 600 || !r.Bundle.Closed {
		t.Fatal(textOf(r))
	}
	l.clock(t, "0 seconds")
	l.retire(t)
	whole := l.export(t, o)
	r := l.inspect(whole)
	if r.Verdict != verify.Good || r.Bundle.SealedRetired != 600 || r.Bundle.Retired != 43 || r.Bundle.Gone != 43 || len(r.Bundle.Retirements) < 3 ||
		!strings.Contains(textOf(r), "by "+app.AccountName()+": prova (policy: ") {
		t.Fatal(textOf(r))
	}
	if r := l.inspect(l.export(t, ente)); r.Verdict != verify.Good || r.Bundle.SealedRetired != 300 || r.Bundle.Retired == 0 {
		t.Fatal(textOf(r))
	}
	l.began = time.Now().UTC().Truncate(time.Second).Add(-time.Minute)
	l.traffic(t, 40, hub.Delivered)
	if !bytes.Equal(whole, l.export(t, o)) {
		t.Error("another bundle after more traffic, of which nothing was retired")
	}
	for name, change := range map[string]string{
		"an entry":    "DELETE FROM hub.journal_entry WHERE id = $1",
		"a leaf":      "DELETE FROM hub.journal_leaf WHERE entry_id = $1",
		"a retention": "UPDATE hub.journal_entry SET kind = 13 WHERE kind = 14 AND id <> $1",
	} {
		l.exec(t, "CREATE TABLE entries AS SELECT id, at, kind, message_id, body FROM hub.journal_entry")
		l.exec(t, "CREATE TABLE leaves AS SELECT leaf_index, entry_id, entry_at, participant_id, ente_id, seq FROM hub.journal_leaf")
		l.exec(t, change, l.entries[9].ID) // an acceptance of the first ente
		for _, o := range []app.AuditOptions{o, ente} {
			if r := l.inspect(l.export(t, o)); r.Verdict != verify.Incomplete || len(r.Bundle.Absent) == 0 && name != "a leaf" {
				t.Errorf("%s %s: %s", name, o.Ente, textOf(r))
			}
		}
		l.exec(t, "DELETE FROM hub.journal_entry")
		l.exec(t, "DELETE FROM hub.journal_leaf")
		l.exec(t, "INSERT INTO hub.journal_entry (id, at, kind, message_id, body) SELECT id, at, kind, message_id, body FROM entries")
		l.exec(t, "INSERT INTO hub.journal_leaf SELECT leaf_index, entry_id, entry_at, participant_id, ente_id, seq FROM leaves")
		l.exec(t, "DROP TABLE entries, leaves")
	}
}

// A bundle can be made again as it was before retention did more: the entries of retention of it end with
// an instant.
func TestBundleOfAnEarlierKnowledgeOfRetention(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	to := l.traffic(t, 100, hub.Delivered)
	o := app.AuditOptions{From: l.began.Format(time.RFC3339), To: to.Format(time.RFC3339Nano)}
	retire := func() time.Time {
		l.entry(journal.Entry{Kind: journal.RecordsRetired, Codes: []hub.Code{"cases:1", "events:2"}, Reason: "policy: prova"})
		return l.write(t)
	}
	before, first := l.export(t, o), retire()
	once := l.export(t, o)
	retire()
	twice := l.export(t, o)
	if bytes.Equal(before, once) || bytes.Equal(once, twice) {
		t.Error("the same bundle although retention did more")
	}
	for i, bundle := range [][]byte{before, once, twice} {
		if r := l.inspect(bundle); r.Verdict != verify.Good || len(r.Bundle.Retirements) != i {
			t.Errorf("%d retirements: %s", i, textOf(r))
		}
	}
	o.RetiredAt = first.Format(time.RFC3339Nano)
	if !bytes.Equal(once, l.export(t, o)) {
		t.Error("another bundle of what was known then")
	}
	o.RetiredAt = to.Format(time.RFC3339Nano)
	if !bytes.Equal(before, l.export(t, o)) {
		t.Error("another bundle of what was known before")
	}
}

// The checkpoint that somebody kept from before the range is proven if its size is named.
func TestBundleProvesTheCheckpointsItIsAskedFor(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	kept := l.note(t, l.traffic(t, 100, hub.Delivered))
	from := l.traffic(t, 300, hub.Delivered)
	to := l.traffic(t, 40, hub.Delivered)
	for _, ente := range []string{"", "ENTE-1"} {
		o := app.AuditOptions{From: from.Format(time.RFC3339Nano), To: to.Format(time.RFC3339Nano), Ente: ente}
		r := l.inspect(l.export(t, o), kept)
		if r.Verdict != verify.Good || r.Bundle.Proven != r.Bundle.Checkpoints {
			t.Error(textOf(r))
		}
		for _, size := range []int64{-1, 0, 999_999} {
			o.Prove, o.Out = []int64{200, size}, filepath.Join(t.TempDir(), "refused.zip")
			o.Who.Reason, o.Progress = "richiesta", io.Discard
			if err := app.ExportEvidence(t.Context(), l.cfg, o, io.Discard); err == nil || !strings.Contains(err.Error(), "no checkpoint of this size") {
				t.Errorf("a proof for %d leaves: %v", size, err)
			}
		}
		o.Out = ""
		o.Prove = []int64{200}
		if r := l.inspect(l.export(t, o), kept); r.Verdict != verify.Good || r.Bundle.Outside[0].Result != "agrees" {
			t.Error(textOf(r))
		}
	}
}

// A bundle says whether its range was closed when it was made.
func TestBundleSaysWhetherItsRangeIsClosed(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	at := l.traffic(t, 10, hub.Delivered)
	for word, to := range map[string]time.Time{"yes": at, "no": at.Add(time.Minute)} {
		bundle := l.export(t, app.AuditOptions{From: l.began.Format(time.RFC3339), To: to.Format(time.RFC3339Nano)})
		if b := l.open(t, bundle); b.manifest["closed"] != word || b.manifest["to"] != to.Format(time.RFC3339Nano) {
			t.Errorf("%s: %v", word, b.manifest)
		}
		if r := l.inspect(bundle); r.Verdict != verify.Good || r.Bundle.Closed != (word == "yes") {
			t.Errorf("%s: %s", word, textOf(r))
		}
	}
}

// After a restore nothing is exported as if nothing had happened: the operator says what it is, or the
// bundle does.
func TestExportAfterARestore(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	to := l.traffic(t, 20, hub.Delivered)
	lose(t, served(t, l.desk))
	// The hub had signed for more than the database has.
	lost := l.traffic(t, 20, hub.Delivered)
	note := l.note(t, lost)
	witness, err := journal.OpenWitness(l.cfg.JournalWitness())
	if err != nil {
		t.Fatal(err)
	}
	signed, err := l.key.Open(note)
	if err != nil {
		t.Fatal(err)
	}
	if err := witness.Append(signed); err != nil {
		t.Fatal(err)
	}
	l.exec(t, "DELETE FROM hub.journal_checkpoint WHERE at = $1", lost)
	o := app.AuditOptions{
		From: l.began.Format(time.RFC3339), To: to.Add(time.Minute).Format(time.RFC3339Nano), Out: filepath.Join(t.TempDir(), "b.zip"),
		Who: app.Who{Reason: "prova"}, Progress: io.Discard,
	}
	if err := app.ExportEvidence(t.Context(), l.cfg, o, io.Discard); !errors.Is(err, postgres.ErrBehind) ||
		!strings.Contains(err.Error(), "accept-database") || !strings.Contains(err.Error(), "--as-found") {
		t.Errorf("exported: %v", err)
	}
	o.AsFound = true
	var said bytes.Buffer
	if err := app.ExportEvidence(t.Context(), l.cfg, o, &said); err != nil || !strings.Contains(said.String(), "not in the journal") {
		t.Fatal(err, said.String())
	}
	bundle, err := os.ReadFile(o.Out)
	if err != nil {
		t.Fatal(err)
	}
	b := l.open(t, bundle)
	if b.manifest["lacking"] != "yes" || string(b.members["known"]) != note {
		t.Errorf("manifest %v, known %q", b.manifest, b.members["known"])
	}
	if r := l.inspect(bundle); r.Verdict != verify.Incomplete || !r.Bundle.Lacking || !strings.Contains(textOf(r), "it was restored or changed") {
		t.Error(textOf(r))
	}
	var n int
	if err := l.admin.QueryRow(t.Context(), "SELECT count(*) FROM hub.journal_entry WHERE kind = $1", journal.EvidenceExported).Scan(&n); err != nil || n > 0 {
		t.Errorf("%d exports in the database as found (%v)", n, err)
	}
	if err := app.AcceptDatabase(t.Context(), l.cfg, io.Discard, "prova"); err != nil {
		t.Fatal(err)
	}
	// Where nothing is lacking the flag changes nothing.
	o.Out += ".2"
	if err := app.ExportEvidence(t.Context(), l.cfg, o, io.Discard); err != nil {
		t.Fatal(err)
	}
	if err := l.admin.QueryRow(t.Context(), "SELECT count(*) FROM hub.journal_entry WHERE kind = $1", journal.EvidenceExported).Scan(&n); err != nil || n != 1 {
		t.Errorf("%d exports in the database that was accepted (%v)", n, err)
	}
}

// Of two exports to one name at once one gets it, and the file is its bundle, whole.
func TestTwoExportsToOneName(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	to := l.traffic(t, 100, hub.Delivered)
	out := filepath.Join(t.TempDir(), "b.zip")
	const racers = 4
	done := make(chan error, racers)
	for i := range racers {
		go func() {
			done <- app.ExportEvidence(t.Context(), l.cfg, app.AuditOptions{
				From: l.began.Format(time.RFC3339), To: to.Format(time.RFC3339Nano), Out: out, Ente: []string{"", "ENTE-1"}[i%2],
				Who: app.Who{Reason: "prova " + uuid.NewString()}, Progress: io.Discard,
			}, io.Discard)
		}()
	}
	good := 0
	for range racers {
		if err := <-done; err == nil {
			good++
		}
	}
	bundle, err := os.ReadFile(out)
	if err != nil || good != 1 {
		t.Fatalf("%d exports have the name: %v", good, err)
	}
	if r := l.inspect(bundle); r.Verdict != verify.Good {
		t.Error(textOf(r))
	}
	if names, err := os.ReadDir(filepath.Dir(out)); err != nil || len(names) != 1 {
		t.Errorf("left behind: %v (%v)", names, err)
	}
}
