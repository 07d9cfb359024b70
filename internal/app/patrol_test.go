package app_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sinbahub/sinbahub/internal/app"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
)

// beat is a patrol over a journal of a test's own, whose clock the test moves.
type beat struct {
	store    *postgres.Store
	admin    *pgx.Conn
	vault    *pgxpool.Pool
	patrol   app.Patrol
	registry *prometheus.Registry
	said     *observer.ObservedLogs
	later    time.Duration
}

func newBeat(t *testing.T) *beat {
	t.Helper()
	db := hubtest.Database(t)
	b := &beat{registry: prometheus.NewRegistry()}
	var err error
	if b.store, err = postgres.Open(t.Context(), postgres.Config{DSN: db.App}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.store.Close)
	if b.vault, err = pgxpool.New(t.Context(), db.Vault); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.vault.Close)
	if b.admin, err = pgx.Connect(t.Context(), db.Superuser); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.admin.Close(t.Context()) })
	core, said := observer.New(zap.InfoLevel)
	b.said = said
	b.patrol = app.NewPatrol(b.store, func() time.Time { return time.Now().Add(b.later) }, zap.New(core), b.registry)
	return b
}

// write writes entries and gives the first so many their leaves.
func (b *beat) write(t *testing.T, entries, leaves int) (ids []uuid.UUID) {
	t.Helper()
	for range entries {
		e := journal.Entry{
			ID: uuid.Must(uuid.NewV7()), At: time.Now().UTC().Truncate(time.Microsecond), Kind: journal.OperatorActed,
			Environment: hub.Prod, Outcome: "x", Actor: "anna",
		}
		if err := b.store.Record(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, e.ID)
	}
	if leaves == 0 {
		return ids
	}
	if _, added, err := b.store.Sequence(t.Context(), leaves); err != nil || added != leaves {
		t.Fatal(added, err)
	}
	return ids
}

func (b *beat) sql(t *testing.T, sql string, args ...any) {
	t.Helper()
	if tag, err := b.admin.Exec(t.Context(), sql, args...); err != nil || tag.RowsAffected() == 0 {
		t.Fatal(tag, err)
	}
}

// steps lets some seconds go by after others in which nothing was looked at.
func (b *beat) steps(t *testing.T, n int, later time.Duration) {
	t.Helper()
	b.later += later
	for range n {
		if err := b.patrol.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// want checks what the metrics say is damaged, "part number" in the order of their names.
func (b *beat) want(t *testing.T, when, part string, number float64) {
	t.Helper()
	families, err := b.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() != "hub_journal_damages" {
				continue
			}
			want := 0.0
			if m.GetLabel()[0].GetValue() == part {
				want = number
			}
			if got := m.GetGauge().GetValue(); got != want {
				t.Errorf("%s: %s %v, want %v", when, m.GetLabel()[0].GetValue(), got, want)
			}
		}
	}
	if b.patrol.Damaged() != (number > 0) {
		t.Errorf("%s: damaged %v", when, b.patrol.Damaged())
	}
}

// named tells whether the log named something as damaged.
func (b *beat) named(what string) bool {
	for _, line := range b.said.FilterMessage("journal damaged").All() {
		if text, ok := line.ContextMap()["error"].(string); ok && strings.Contains(text, what) {
			return true
		}
	}
	return false
}

// TestPatrolFindsEntriesTakenOutOfTheQueue: at the start among the newest, of new ones after two minutes,
// of all others within a day; and it goes on saying so until somebody has mended it.
func TestPatrolFindsEntriesTakenOutOfTheQueue(t *testing.T) {
	t.Parallel()
	b := newBeat(t)
	old := b.write(t, 300, 300)
	const drop = "DELETE FROM hub.journal_queue WHERE entry_id = $1"
	before := b.write(t, 1, 0)
	b.sql(t, drop, before[0])
	if err := b.patrol.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.want(t, "at the start", "entry", 1)
	fresh := b.write(t, 3, 0)
	b.sql(t, drop, fresh[1])
	b.steps(t, 1, 3*time.Minute)
	b.want(t, "a new one", "entry", 2)
	b.steps(t, 6, 0)
	b.want(t, "at the end of the first round", "entry", 2)
	b.sql(t, "DELETE FROM hub.journal_leaf WHERE entry_id = $1", old[7])
	b.steps(t, 6, 23*time.Hour)
	b.want(t, "before the next round", "entry", 2)
	b.steps(t, 1, time.Hour)
	b.steps(t, 3, 0)
	for _, id := range []uuid.UUID{before[0], fresh[1], old[7]} {
		if !b.named(id.String()) {
			t.Errorf("entry %s is not named", id)
		}
	}
	b.sql(t, "INSERT INTO hub.journal_leaf SELECT 7, e.id, e.at, 0, 0, 8 FROM hub.journal_entry e WHERE e.id = $1", old[7])
	b.sql(t, `INSERT INTO hub.journal_queue (entry_id, entry_at)
		SELECT e.id, e.at FROM hub.journal_entry e WHERE e.id = ANY ($1)`, []uuid.UUID{before[0], fresh[1]})
	for range 50 {
		b.steps(t, 1, 0)
		if !b.patrol.Damaged() {
			break
		}
	}
	b.want(t, "mended", "", 0)
}

// TestPatrolFindsChangedTiles: each tile is looked at within a round, whether anything comes or not.
func TestPatrolFindsChangedTiles(t *testing.T) {
	t.Parallel()
	b := newBeat(t)
	b.write(t, 600, 600)
	if err := b.patrol.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.steps(t, 8, 0)
	b.want(t, "whole", "", 0)
	const flip = "UPDATE hub.journal_tile SET hashes = set_byte(hashes, 9, get_byte(hashes, 9) # 1) WHERE level = 0 AND number = 1"
	b.sql(t, flip)
	b.steps(t, 8, 25*time.Hour)
	b.want(t, "changed", "tile", 1)
	if !b.named("tile 1 of level 0") {
		t.Errorf("the tile is not named: %v", b.said.All())
	}
	b.sql(t, flip)
	b.steps(t, 1, 0)
	b.want(t, "mended", "", 0)
}

// A patrol that ended a round says when it began.
func TestPatrolSaysWhenItHasSeenAll(t *testing.T) {
	t.Parallel()
	b := newBeat(t)
	b.write(t, 3, 0)
	looked := func() float64 {
		t.Helper()
		families, err := b.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "hub_journal_looked_timestamp_seconds" {
				return f.GetMetric()[0].GetGauge().GetValue()
			}
		}
		return -1
	}
	b.steps(t, 1, 0)
	if at := looked(); at != 0 {
		t.Errorf("in the first round: %v", at)
	}
	b.steps(t, 1, 0)
	if at := looked(); at < float64(time.Now().Add(-time.Minute).Unix()) {
		t.Errorf("after the first round: %v", at)
	}
}

// TestStartNamesTheChangedTile: it is no database that was restored, and the message does not say so.
func TestStartNamesTheChangedTile(t *testing.T) {
	t.Parallel()
	for name, level := range map[string]string{"an old tile": "level = 0 AND number = 0", "the edge": "level = 0 AND number = 1"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBeat(t)
			b.write(t, 400, 200)
			head, err := b.store.JournalHead(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := pseudonym.SetMark(t.Context(), b.vault, hub.Prod, pseudonym.Mark{Size: head.Size, Root: head.Root}, false); err != nil {
				t.Fatal(err)
			}
			if _, _, err := b.store.Sequence(t.Context(), 200); err != nil {
				t.Fatal(err)
			}
			if err := app.CheckJournal(t.Context(), b.store, b.vault); err != nil {
				t.Fatal(err)
			}
			b.sql(t, "UPDATE hub.journal_tile SET hashes = set_byte(hashes, 9, get_byte(hashes, 9) # 1) WHERE "+level)
			err = app.CheckJournal(t.Context(), b.store, b.vault)
			damage, ok := errors.AsType[journal.DamageError](err)
			if !ok || damage.Part != journal.PartTile || strings.Contains(err.Error(), "vault") {
				t.Errorf("%v", err)
			}
		})
	}
}
