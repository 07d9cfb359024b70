//go:build smoke

package hubtest_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/app"
	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/journal"
	replaying "github.com/sinbahub/sinbahub/internal/replay"
	"github.com/sinbahub/sinbahub/internal/verify"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// evidenceWorld is the database of a hub that ran and stopped, with all that an auditor and somebody who
// may do everything with the database have.
type evidenceWorld struct {
	db *pgx.Conn
	// cfg is the hub's configuration, away one on a machine that remembers nothing of the database.
	cfg, away config.Config
	key       *journal.Key
	folder    string
	began     time.Time
	// outside is the checkpoint that somebody outside kept.
	outside journal.Checkpoint
	// ente is the row of the ente that the events are of.
	ente int32
	// names are all tables.
	names []string
	// replay says in a word what a replay of all messages gives.
	replay func() string
	// intact is what the verifier said of the bundle before anybody changed anything.
	intact *verify.BundleFacts
}

// newEvidenceWorld has a hub take two events of each of eighty children, in two days' work, with a copy of the database between them
// ("yesterday"), stops it and keeps a copy of all tables ("today").
func newEvidenceWorld(t *testing.T) *evidenceWorld {
	t.Helper()
	w := &evidenceWorld{began: time.Now().Add(-time.Hour), folder: t.TempDir()}
	h := hubtest.Start(t, "SINBAHUB_JOURNAL_EVERY=1s")
	w.db = h.Superuser()
	// Neither triggers nor rules of the schema hold up whoever is the superuser.
	w.exec(t, "SET session_replication_role = replica")
	var err error
	if w.cfg, err = config.Load("", append(cleanEnvironment(), "SINBAHUB_VAR="+h.Var)); err != nil {
		t.Fatal(err)
	}
	if w.away, err = config.Load("", append(cleanEnvironment(), "SINBAHUB_VAR="+t.TempDir(),
		"SINBAHUB_DATABASE_URL="+h.Run.DatabaseURL, "SINBAHUB_DATABASE_VAULT_URL="+h.Run.DatabaseURL)); err != nil {
		t.Fatal(err)
	}
	w.away.Keys.Dir = w.cfg.Keys.Dir
	if w.key, err = journal.LoadKey(w.cfg.JournalKeys(), w.cfg.JournalOrigin()); err != nil {
		t.Fatal(err)
	}
	w.day(t, h, 1)
	if w.names, err = texts(t, w.db, `SELECT c.oid::regclass::text FROM pg_class c
		WHERE c.relnamespace IN ('hub'::regnamespace, 'vault'::regnamespace) AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1`); err != nil {
		t.Fatal(err)
	}
	w.keep(t, "yesterday")
	operator := app.AuditOptions{From: instantOf(w.began), To: instantOf(time.Now()), Out: filepath.Join(w.folder, "first.zip"), Who: app.Who{Reason: "prova"}, Progress: io.Discard}
	if err := app.ExportEvidence(t.Context(), w.cfg, operator, io.Discard); err != nil {
		t.Fatal(err)
	}
	w.day(t, h, 2)
	h.Terminate()
	hubtest.Await(t, patience, "serve ends", func() bool { return !h.Alive() })
	w.keep(t, "today")
	w.free(t)
	var text string
	if err := w.db.QueryRow(t.Context(), "SELECT note FROM hub.journal_checkpoint ORDER BY at DESC, id DESC LIMIT 1").Scan(&text); err != nil {
		t.Fatal(err)
	}
	if w.outside, err = w.key.Open(text); err != nil {
		t.Fatal(err)
	}
	if n := hubtest.Number(t, w.db, "SELECT size FROM hub.journal_head"); n != w.outside.Size || n < 300 {
		t.Fatalf("%d leaves, and %d of them signed", n, w.outside.Size)
	}
	w.replay = replayOf(t, h, w.began)
	w.ente = int32(hubtest.Number(t, w.db, "SELECT id FROM hub.ente WHERE code = $1", hubtest.ChildEnte))
	return w
}

// day has eight clients send the event of that number of eighty children, and waits until all are delivered and signed for.
func (w *evidenceWorld) day(t *testing.T, h *hubtest.Hub, number int) {
	t.Helper()
	const clients, children = 8, 80
	sender := h.Sender(hubtest.ChildEnte)
	var all sync.WaitGroup
	for client := range clients {
		all.Go(func() {
			for n := client; n < children; n += clients {
				a, err := sender.Send(t.Context(), soap.V12, hubtest.Child(500+n).Event(uuid.New(), number))
				if err != nil || a.Receipt == nil {
					t.Errorf("an event was not taken: %v", err)
				}
			}
		})
	}
	all.Wait()
	hubtest.AwaitDelivered(t, w.db, 2*patience)
	hubtest.Await(t, patience, "a checkpoint over all leaves", func() bool {
		return hubtest.Number(t, w.db, `SELECT (SELECT count(*) FROM hub.journal_queue q JOIN hub.journal_entry e ON e.id = q.entry_id WHERE e.kind NOT IN (4, 5))
			+ (SELECT size FROM hub.journal_head) - (SELECT size FROM hub.journal_checkpoint ORDER BY at DESC, id DESC LIMIT 1)`) == 0
	})
}

// keep copies all tables.
func (w *evidenceWorld) keep(t *testing.T, schema string) {
	t.Helper()
	tx, err := w.db.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	statements := []string{"CREATE SCHEMA " + schema}
	for _, name := range w.names {
		statements = append(statements, fmt.Sprintf("CREATE TABLE %s AS TABLE %s", copyOf(schema, name), name))
	}
	for _, statement := range statements {
		if _, err := tx.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// copyOf is the name of a table's copy.
func copyOf(schema, table string) string { return schema + "." + strings.ReplaceAll(table, ".", "_") }

// free drops the constraints on values, as a superuser would who is held up by one. The keys stay: of two
// rows under one key it would be chance which one the export reads.
func (w *evidenceWorld) free(t *testing.T) {
	t.Helper()
	for {
		all, err := texts(t, w.db, `SELECT format('ALTER TABLE %s DROP CONSTRAINT IF EXISTS %I', c.conrelid::regclass, c.conname)
			FROM pg_constraint c WHERE c.contype IN ('c', 'f') AND c.coninhcount = 0 AND c.conparentid = 0
			AND c.connamespace IN ('hub'::regnamespace, 'vault'::regnamespace)`)
		if err != nil {
			t.Fatal(err)
		}
		if len(all) == 0 {
			return
		}
		for _, statement := range all {
			w.exec(t, statement)
		}
	}
}

// putBack gives tables the rows of today again, and those that an export writes to.
func (w *evidenceWorld) putBack(t *testing.T, tables ...string) {
	t.Helper()
	tables = append(slices.Clone(tables), "hub.journal_entry", "hub.journal_queue")
	slices.Sort(tables)
	for _, name := range slices.Compact(tables) {
		w.exec(t, "DELETE FROM "+name)
		w.exec(t, fmt.Sprintf("INSERT INTO %s OVERRIDING SYSTEM VALUE TABLE %s", name, copyOf("today", name)))
	}
}

func (w *evidenceWorld) exec(t *testing.T, statement string, args ...any) {
	t.Helper()
	if _, err := w.db.Exec(t.Context(), statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// The verdicts of a trial beside those of the verifier.
const (
	saysRefused = "export refused"
	saysGood    = "good"
	saysMissing = "incomplete, leaf named"
)

// judge exports everything and has the bundle verified with the checkpoint from outside. A key of nobody
// is the one that the bundle brings.
func (w *evidenceWorld) judge(t *testing.T, cfg config.Config, ente string, key *journal.Key) (string, *verify.Report) {
	t.Helper()
	out := filepath.Join(w.folder, "bundle.zip")
	if err := app.ExportEvidence(t.Context(), cfg, app.AuditOptions{
		From: instantOf(w.began), To: instantOf(w.outside.At), Ente: ente, Out: out, Force: true, Who: app.Who{Reason: "prova"}, Progress: io.Discard,
	}, io.Discard); err != nil {
		if t.Context().Err() != nil {
			t.Fatal(err)
		}
		return saysRefused + ": " + err.Error(), nil
	}
	bundle, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	options := verify.BundleOptions{Checkpoints: []verify.Document{{Name: "outside", Bytes: []byte(w.outside.Note)}}}
	if key != nil {
		options.Key = &verify.Document{Name: "key", Bytes: []byte(strings.Join(key.Public(), "\n") + "\n")}
	}
	report := verify.Bundle(bytes.NewReader(bundle), int64(len(bundle)), options)
	switch {
	case report.Verdict == verify.Good:
		return saysGood, report
	case report.Verdict == verify.Incomplete && report.Bundle != nil && len(report.Bundle.Absent) > 0:
		return saysMissing, report
	}
	return report.Verdict.String(), report
}

// What a replay says, behind the verdict on the bundle.
const (
	replayEqual = ", replay equal"
	replayTells = ", replay tells"
)

// replayOf gives what replays all messages.
func replayOf(t *testing.T, h *hubtest.Hub, began time.Time) func() string {
	t.Helper()
	parts := replayer(t, h)
	options := replaying.Options{Range: replaying.Range{From: began, To: everything(t, parts).To}}
	return func() string {
		report, err := replaying.Verify(t.Context(), parts, options)
		switch {
		case t.Context().Err() != nil:
			t.Fatal(err)
		case err != nil:
			return replayTells + " that it cannot"
		case report.Counts[replaying.Different] > 0:
			return replayTells + " a difference"
		case report.Ledger.Found > 0:
			return replayTells + " a row"
		case report.Counts[replaying.Equal] < report.Total():
			return replayTells + " what lacks"
		}
		return replayEqual
	}
}

// holds tells whether a verdict is what the table promises.
func (s standing) holds(verdict string) bool {
	switch s {
	case inLeaf, rederived:
		return verdict != saysGood
	case asMissing:
		return verdict != saysGood && verdict != verify.Incomplete.String()
	case byReplay:
		return !strings.HasSuffix(verdict, replayEqual)
	case noEvidence:
		return true
	}
	return false
}

// TestSmokeTampering lets somebody who may do everything with the database do it, first to each column
// that is evidence and in each way, and then at random, and holds what comes of an export against the table
// of deploy/docs/evidence.md.
func TestSmokeTampering(t *testing.T) {
	t.Parallel()
	trials := 40
	if text := os.Getenv("SINBAHUB_TEST_TAMPERINGS"); text != "" {
		var err error
		if trials, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("SINBAHUB_TEST_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	w := newEvidenceWorld(t)
	verdict, report := w.judge(t, w.cfg, "", w.key)
	if verdict != saysGood || report.Bundle.Sealed < 300 || report.Bundle.Settled < 160 {
		t.Fatalf("the bundle before all tampering: %s %+v", verdict, report)
	}
	w.intact = report.Bundle
	if verdict, report := w.judge(t, w.cfg, hubtest.ChildEnte, w.key); verdict != saysGood {
		t.Fatalf("the ente's bundle before all tampering: %s %+v", verdict, report.Findings)
	}
	w.putBack(t)
	if said := w.replay(); said != replayEqual {
		t.Fatal("the replay before all tampering" + said)
	}
	w.eraseSubject(t)
	b := newBattery(t, w, rand.New(rand.NewPCG(seed, seed)))
	b.directed()
	for range trials {
		b.random()
	}
	t.Logf("seed %d, %d trials, %d of them directed:\n%s", seed, b.total, b.total-trials, b.figures())
	for _, kind := range b.kinds() {
		if b.seen[kind] == 0 {
			t.Errorf("nothing was tried by %s", kind)
		}
	}
}

// eraseSubject destroys what makes a child known. The evidence stays what it was.
func (w *evidenceWorld) eraseSubject(t *testing.T) {
	t.Helper()
	var subject uuid.UUID
	if err := w.db.QueryRow(t.Context(), "SELECT subject_id FROM hub.event ORDER BY received_at LIMIT 1").Scan(&subject); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"vault.subject_link", "vault.subject"} {
		column := map[string]string{"vault.subject_link": "subject_id", "vault.subject": "id"}[table]
		if tag, err := w.db.Exec(t.Context(), fmt.Sprintf("DELETE FROM %s WHERE %s = $1", table, column), subject); err != nil || tag.RowsAffected() == 0 {
			t.Fatalf("destroy a subject's secret in %s: %d %v", table, tag.RowsAffected(), err)
		}
	}
	verdict, report := w.judge(t, w.cfg, "", w.key)
	if verdict != saysGood || report.Bundle.Entries != w.intact.Entries || report.Bundle.Sealed != w.intact.Sealed {
		t.Errorf("after the erasure of a subject: %s %+v", verdict, report)
	}
	if said := w.replay(); said != replayTells+" what lacks" {
		t.Error("after the erasure of a subject" + said)
	}
	w.putBack(t, "vault.subject_link", "vault.subject")
}

// figures are the counts by kind and verdict.
func (b *battery) figures() string {
	var text strings.Builder
	for _, kind := range slices.Sorted(maps.Keys(b.counts)) {
		fmt.Fprintf(&text, "%7d  %s\n", b.counts[kind], kind)
	}
	columns := 0
	for _, c := range b.columns {
		if b.touched[c.table+"."+c.name] {
			columns++
		}
	}
	fmt.Fprintf(&text, "%7d  of %d columns with values were changed or swapped", columns, len(b.columns))
	return text.String()
}

// texts collects one column.
func texts(t *testing.T, db *pgx.Conn, query string, args ...any) ([]string, error) {
	t.Helper()
	rows, err := db.Query(t.Context(), query, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// cleanEnvironment is the environment without what configures a hub.
func cleanEnvironment() []string {
	return slices.DeleteFunc(os.Environ(), func(line string) bool { return strings.HasPrefix(line, "SINBAHUB_") })
}

// errNothing says that there is nothing to tamper with in that way.
var errNothing = errors.New("nothing of that kind is there")
