//go:build e2e

package hubtest_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/app"
	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/journal"
	replaying "github.com/sinbahub/sinbahub/internal/replay"
	"github.com/sinbahub/sinbahub/internal/sinba"
)

// statusOf finds what became of a message's acceptance.
func statusOf(r *replaying.Report, message uuid.UUID) replaying.Item {
	for _, i := range r.Items {
		if i.Message == message && i.Delivery == nil {
			return i
		}
	}
	return replaying.Item{Message: message, Status: replaying.Equal}
}

// TestE2EReplay sends the samples, alone and as lots, and replays all of them: as they were recorded,
// after somebody changed what is stored, and after a subject's secret was destroyed.
func TestE2EReplay(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	files := samples(t)
	half := len(files) / 2
	if lines, exit := send(t, h, files[:half]...); exit != 0 {
		t.Fatalf("exit %d: %+v", exit, refusedOf(lines))
	}
	if lines, exit := send(t, h, append([]string{"--lot"}, files[half:]...)...); exit != 0 {
		t.Fatalf("exit %d: %+v", exit, refusedOf(lines))
	}
	db := h.Superuser()
	hubtest.AwaitDelivered(t, db, patience)
	parts := replayer(t, h)
	options := replaying.Options{Range: everything(t, parts)}
	verify := func() replaying.Report {
		t.Helper()
		report, err := replaying.Verify(t.Context(), parts, options)
		if err != nil {
			t.Fatal(err)
		}
		return report
	}
	report := verify()
	if n := report.Counts[replaying.Equal]; n != report.Total() || n < int64(2*len(files)) || report.Attempts < int64(len(files)) || report.Before != 0 || report.Registry != 0 {
		t.Fatalf("%d of %d entries equal: %+v", n, report.Total(), report)
	}
	resumeReplay(t, parts, options, &report)
	replayElsewhere(t, parts, options, &report)
	tryWhatIf(t, h, options.Range)
	var messages []uuid.UUID
	rows, err := db.Query(t.Context(), "SELECT id FROM hub.event WHERE position > 1 ORDER BY received_at, id")
	if err == nil {
		messages, err = pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	}
	if err != nil || len(messages) < 20 {
		t.Fatalf("%d messages: %v", len(messages), err)
	}
	changes := []struct {
		statement string
		found     replaying.Finding
	}{
		{"UPDATE hub.event SET sequence = sequence + 1000 WHERE id = $1", replaying.FoundColumns},
		{"UPDATE hub.event SET region_epoch = 7 WHERE id = $1", replaying.FoundColumns},
		{"UPDATE hub.event SET facts = '\\x010000000000000000' WHERE id = $1", replaying.FoundFacts},
		{"UPDATE hub.event SET subject_id = (SELECT subject_id FROM hub.event o WHERE o.subject_id <> hub.event.subject_id LIMIT 1) WHERE id = $1", ""},
		{"UPDATE hub.event SET body = (SELECT body FROM hub.event o WHERE o.id <> $1 LIMIT 1) WHERE id = $1", replaying.FoundStored},
		{"UPDATE hub.message SET sealed = sealed || '\\x00' WHERE id = $1", replaying.FoundSealed},
		{"UPDATE hub.message SET digest = sha256('') WHERE id = $1", replaying.FoundSealed},
		{"UPDATE hub.event_key SET outcome = 3 - outcome, warnings = '[]' WHERE receipt_id = $1", replaying.FoundColumns},
		{"UPDATE hub.journal_entry SET body = set_byte(body, 30, 255 - get_byte(body, 30)) WHERE message_id = $1 AND kind = 1", replaying.FoundEntry},
		{"UPDATE hub.attempt SET digest = sha256('') WHERE delivery_id = (SELECT id FROM hub.delivery WHERE message_id = $1)", replaying.FoundNational},
	}
	for n, c := range changes {
		if tag, err := db.Exec(t.Context(), c.statement, messages[n]); err != nil || tag.RowsAffected() == 0 {
			t.Fatalf("%s: %v %v", c.statement, tag, err)
		}
	}
	report = verify()
	for n, c := range changes {
		i := statusOf(&report, messages[n])
		// With another subject's secret it does not even open.
		if c.found == "" && i.Status != replaying.Unopened || c.found != "" && !slices.Contains(i.Findings, c.found) {
			t.Errorf("%s: %+v", c.statement, i)
		}
	}
	erased, gone := messages[len(changes)], messages[len(changes)+1]
	var subject uuid.UUID
	if err := db.QueryRow(t.Context(), "SELECT subject_id FROM hub.event WHERE id = $1", erased).Scan(&subject); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{"DELETE FROM vault.subject_link WHERE subject_id = $1", "DELETE FROM vault.subject WHERE id = $1"} {
		if _, err := db.Exec(t.Context(), statement, subject); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := db.Exec(t.Context(), "DELETE FROM hub.message WHERE id = $1", gone); err != nil {
		t.Fatal(err)
	}
	report = verify()
	if i := statusOf(&report, erased); i.Status != replaying.Lost || i.Erasure != nil {
		t.Errorf("erased without an order: %+v", i)
	}
	if i := statusOf(&report, gone); i.Status != replaying.Gone {
		t.Errorf("gone: %+v", i)
	}
	withoutEvidence(t, db, verify)
	// What nobody touched is as it was.
	if n := report.Counts[replaying.Equal]; n < report.Total()/2 {
		t.Errorf("only %d of %d equal", n, report.Total())
	}
}

// resumeReplay interrupts a replay behind its first page and has it go on: the report is the same.
func resumeReplay(t *testing.T, parts *replaying.Parts, options replaying.Options, want *replaying.Report) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run")
	open := func() *replaying.Checkpoint {
		c, _, _, err := replaying.OpenCheckpoint(path, []byte("{}"))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	interrupted := options
	interrupted.Checkpoint = open()
	interrupted.Progress = func(done, _ int64) {
		if done > 0 {
			interrupt()
		}
	}
	if _, err := replaying.Verify(ctx, parts, interrupted); !errors.Is(err, context.Canceled) {
		t.Fatalf("not interrupted: %v", err)
	}
	if err := interrupted.Checkpoint.Close(); err != nil {
		t.Fatal(err)
	}
	again := options
	again.Checkpoint = open()
	defer again.Checkpoint.Close() //nolint:errcheck // nothing more is written
	first := int64(-1)
	again.Progress = func(done, _ int64) {
		if first < 0 {
			first = done
		}
	}
	got, err := replaying.Verify(t.Context(), parts, again)
	if err != nil || first <= 0 || first >= want.Total() {
		t.Fatalf("went on at %d of %d: %v", first, want.Total(), err)
	}
	if diff := cmp.Diff(*want, got); diff != "" {
		t.Error(diff)
	}
}

// tryWhatIf runs the verb with other files, inside the test, and reads its report.
func tryWhatIf(t *testing.T, h *hubtest.Hub, r replaying.Range) {
	t.Helper()
	if lines, exit := send(t, h, filepath.Join(hubtest.Root(), "testdata", "bad", "19-future-dates.xml")); exit == 0 {
		t.Fatalf("not refused: %+v", lines)
	}
	db := h.Superuser()
	hubtest.Await(t, patience, "the refusal is in the journal", func() bool {
		return hubtest.Number(t, db, "SELECT count(*) FROM hub.journal_entry WHERE kind = 2") > 0
	})
	cfg, err := config.Load("", []string{"SINBAHUB_VAR=" + h.Var})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	edited := func(file, old, now string) string {
		text, err := os.ReadFile(filepath.Join(hubtest.Root(), file))
		if err != nil || !strings.Contains(string(text), old) {
			t.Fatalf("%s has no %q: %v", file, old, err)
		}
		return write(filepath.Base(file), strings.Replace(string(text), old, now, 1))
	}
	counts := func() (n int64) {
		for _, table := range []string{"hub.event", "hub.message", "hub.delivery", "hub.attempt", "hub.case_file", "vault.subject"} {
			n += hubtest.Number(t, db, "SELECT count(*) FROM "+table)
		}
		return n
	}
	before := counts()
	for name, c := range map[string]struct {
		change func(*app.WhatIfOptions)
		exit   int
		want   string
	}{
		"the same mapping": {func(o *app.WhatIfOptions) { o.Mapping = edited("internal/sinba/foglie.tsv", "", "") }, 0, "total,unchanged"},
		"a leaf dropped": {func(o *app.WhatIfOptions) {
			o.Mapping = edited("internal/sinba/foglie.tsv", "/Mittente/Applicativo/Versione\tkeep", "/Mittente/Applicativo/Versione\tdrop")
		}, 2, "comes_out_different,regional_event,,,/Mittente/Applicativo/Versione,removed,"},
		"a schema with shorter codes": {func(o *app.WhatIfOptions) {
			o.XSD = edited("xsd/sinba-eventi-v1.xsd", `[A-Za-z0-9._:/\-]{1,36}`, `[A-Za-z0-9._:/\-]{1,3}`)
		}, 2, "newly_fails,schema,SINBA_203,"},
		"a softer rule": {func(o *app.WhatIfOptions) {
			o.Severities = write("rules.yaml", "warning_only: [{rule: BR-06, until: 2099-12-31}]")
		}, 2, "may_newly_pass,rules,SINBA_306,"},
	} {
		var out bytes.Buffer
		o := app.WhatIfOptions{ReplayOptions: app.ReplayOptions{
			From: instantOf(r.From), To: instantOf(r.To), Reason: "prova", Version: "test", Out: &out, Together: true,
			Opener: func(parts *replaying.Parts) (replaying.Opener, error) { return newInsider(t, h, parts) },
		}}
		c.change(&o)
		err := app.ReplayWhatIf(t.Context(), cfg, o)
		code := 0
		if exit, ok := errors.AsType[*app.ExitError](err); ok {
			code = exit.Code
		}
		if code != c.exit {
			t.Errorf("%s: exit code %d: %v", name, code, err)
		}
		var lines []string
		for line := range strings.Lines(out.String()) {
			if !strings.Contains(line, ",total,") {
				lines = append(lines, line)
			}
		}
		if !strings.Contains(out.String(), c.want) || strings.Contains(strings.Join(lines, ""), "not_tried,") {
			t.Errorf("%s: %.1500s", name, strings.Join(lines, ""))
		}
	}
	if after := counts(); after != before {
		t.Errorf("%d rows before, %d after", before, after)
	}
	if n := hubtest.Number(t, db, "SELECT count(*) FROM hub.journal_entry WHERE kind = 13"); n != 8 {
		t.Errorf("%d entries say that there was a replay", n)
	}
}

// replayElsewhere replays with what another hub has: without the recorded versions nothing can be said,
// and which hub has them is told; another registry than then is seen and does not count.
func replayElsewhere(t *testing.T, parts *replaying.Parts, options replaying.Options, whole *replaying.Report) {
	t.Helper()
	accepted := whole.Total() - whole.Attempts
	for of, change := range map[string]func(*replaying.Parts){
		"schema":    func(p *replaying.Parts) { p.Schemas = map[string]replaying.Schema{"9.9": p.Schemas["1.0"]} },
		"reference": func(p *replaying.Parts) { p.References = map[string]sinba.Reference{} },
	} {
		other := *parts
		change(&other)
		report, err := replaying.Verify(t.Context(), &other, options)
		if err != nil {
			t.Fatalf("%s: %v", of, err)
		}
		if len(report.Lacks) == 0 || report.Lacks[0].Of != of || report.Lacks[0].Hub == "" || report.Lacks[0].Entries < accepted ||
			report.Counts[replaying.Different] != 0 || report.Counts[replaying.Missing] < accepted {
			t.Errorf("%s: %v %+v", of, report.Counts, report.Lacks)
		}
	}
	other := *parts
	other.References = map[string]sinba.Reference{}
	for version, lists := range parts.References {
		lists.Products, lists.Enti = []string{"Altro"}, nil
		other.References[version] = lists
	}
	report, err := replaying.Verify(t.Context(), &other, options)
	if err != nil || report.Counts[replaying.Equal] != report.Total() || report.Registry != accepted {
		t.Errorf("another registry: %v %d of %d: %v", report.Counts, report.Registry, accepted, err)
	}
}

// withoutEvidence makes an entry one of an older hub: it is compared with the stored columns.
func withoutEvidence(t *testing.T, db *pgx.Conn, verify func() replaying.Report) {
	t.Helper()
	var id uuid.UUID
	var body []byte
	if err := db.QueryRow(t.Context(), `SELECT j.id, j.body FROM hub.journal_entry j JOIN hub.event e ON e.id = j.message_id
		WHERE j.kind = 1 AND e.position = 1 ORDER BY j.id DESC LIMIT 1`).Scan(&id, &body); err != nil {
		t.Fatal(err)
	}
	entry, err := journal.Parse(body)
	if err != nil {
		t.Fatal(err)
	}
	entry.Evidence = journal.Evidence{}
	if _, err := db.Exec(t.Context(), "UPDATE hub.journal_entry SET body = $2 WHERE id = $1", id, entry.Bytes()); err != nil {
		t.Fatal(err)
	}
	report := verify()
	if i := statusOf(&report, entry.Message); report.Before != 1 || i.Status != replaying.Equal {
		t.Errorf("%d before evidence: %+v", report.Before, i)
	}
}
