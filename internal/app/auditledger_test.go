package app_test

import (
	"crypto/rand"
	"crypto/sha256"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/note"

	"github.com/sinbahub/sinbahub/internal/app"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// ledger is a desk whose journal has a tree.
type ledger struct {
	*desk

	store  *postgres.Store
	key    *journal.Key
	public note.Verifier
	// began is the time of the first entry; each one is a millisecond later.
	began   time.Time
	entries []*journal.Entry
	// written is how many of them the database has.
	written int
	// padding makes what is sealed longer.
	padding int
	// messages and attempts are the rows with what was sealed.
	messages, attempts [][]any
}

func newLedger(tb testing.TB) *ledger {
	tb.Helper()
	l := &ledger{desk: newDesk(tb), began: time.Now().UTC().Add(-time.Hour).Truncate(time.Second)}
	l.cfg.Keys.Dir = tb.TempDir()
	if _, err := journal.MakeKey(l.cfg.JournalKeys(), l.cfg.JournalOrigin()); err != nil {
		tb.Fatal(err)
	}
	var err error
	if l.key, err = journal.LoadKey(l.cfg.JournalKeys(), l.cfg.JournalOrigin()); err != nil {
		tb.Fatal(err)
	}
	if l.public, err = note.NewVerifier(l.key.Public()[0]); err != nil {
		tb.Fatal(err)
	}
	if l.store, err = postgres.Open(tb.Context(), postgres.Config{DSN: l.cfg.Database.URL.Reveal()}); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(l.store.Close)
	return l
}

// at is the time of the n-th entry.
func (l *ledger) at(n int) time.Time { return l.began.Add(time.Duration(n) * time.Millisecond) }

// entry appends one that is not in the database yet.
func (l *ledger) entry(e journal.Entry) *journal.Entry {
	e.ID, e.Environment = uuid.Must(uuid.NewV7()), hub.Prod
	e.At = l.at(len(l.entries))
	l.entries = append(l.entries, &e)
	return &e
}

// accepted appends an acceptance with its sealed message.
func (l *ledger) accepted(participant, ente int32) *journal.Entry {
	sealed := []byte("sealed message " + rand.Text() + strings.Repeat("m", l.padding))
	e := l.entry(journal.Entry{
		Kind: journal.EventAccepted, Participant: participant, Ente: ente, Message: uuid.Must(uuid.NewV7()), Event: uuid.New(),
		Delivery: uuid.New(), Sealed: sha256.Sum256(sealed), Commitment: sha256.Sum256([]byte(rand.Text())),
		Evidence: journal.Evidence{Schema: "1.0", Rules: 2, Mapping: 1, Hub: "test"},
	})
	l.messages = append(l.messages, []any{e.Message, e.At, int16(1), participant, ente, uuid.New(), e.Sealed[:], sealed})
	return e
}

// settled appends the end of an attempt with what it sent.
func (l *ledger) settled(of *journal.Entry, state hub.DeliveryState) {
	sealed := []byte("sealed outbound " + rand.Text() + strings.Repeat("o", l.padding))
	e := l.entry(journal.Entry{
		Kind: journal.AttemptSettled, Participant: of.Participant, Ente: of.Ente, Message: of.Message, Event: of.Event,
		Delivery: of.Delivery, Attempt: 1, Outcome: string(state), Sealed: sha256.Sum256(sealed),
	})
	e.StartedAt, e.Mapping = e.At.Add(-time.Second), 1
	l.attempts = append(l.attempts, []any{e.Delivery, e.Attempt, e.StartedAt, time.Second, string(state), e.Outbound[:], uuid.New(), uuid.New(), sealed})
}

// write brings what was appended into the database, gives it leaves and signs a checkpoint, whose time it
// gives.
func (l *ledger) write(tb testing.TB) time.Time {
	tb.Helper()
	var entries, queue [][]any
	for _, e := range l.entries[l.written:] {
		entries = append(entries, []any{e.ID, e.At, int16(e.Kind), e.Message, e.Bytes()})
		queue = append(queue, []any{e.ID, e.At})
	}
	l.written = len(l.entries)
	l.load(tb, "journal_entry", entries, "id", "at", "kind", "message_id", "body")
	l.load(tb, "journal_queue", queue, "entry_id", "entry_at")
	l.load(tb, "message", l.messages, "id", "received_at", "environment", "participant_id", "ente_id", "seal_epoch", "digest", "sealed")
	l.load(tb, "attempt", l.attempts, "delivery_id", "number", "started_at", "took", "state", "digest", "lease", "seal_epoch", "sealed")
	l.messages, l.attempts = nil, nil
	for added := 1; added > 0; {
		var err error
		if _, added, err = l.store.Sequence(tb.Context(), 4096); err != nil {
			tb.Fatal(err)
		}
	}
	c, err := l.store.Checkpoint(tb.Context(), postgres.Notary{Sign: l.key.Sign, Open: l.key.Open}, postgres.CheckpointDue{})
	if err != nil {
		tb.Fatal(err)
	}
	return c.At
}

func (l *ledger) load(tb testing.TB, table string, rows [][]any, columns ...string) {
	tb.Helper()
	if _, err := l.admin.CopyFrom(tb.Context(), pgx.Identifier{"hub", table}, columns, pgx.CopyFromRows(rows)); err != nil {
		tb.Fatal(err)
	}
}

// traffic appends events of two enti, each with an attempt that ends in the given states in turn, and
// writes them.
func (l *ledger) traffic(tb testing.TB, events int, states ...hub.DeliveryState) time.Time {
	tb.Helper()
	for i := range events {
		accepted := l.accepted(1, 1+int32(i%2))
		if state := states[i%len(states)]; state != "" {
			l.settled(accepted, state)
		}
	}
	return l.write(tb)
}

// export exports a range and gives the bundle's bytes.
func (l *ledger) export(t *testing.T, o app.AuditOptions) []byte {
	t.Helper()
	if o.Out == "" {
		o.Out = filepath.Join(t.TempDir(), "bundle.zip")
	}
	o.Who.Reason, o.Progress = "richiesta dell'auditor", io.Discard
	if err := app.ExportEvidence(t.Context(), l.cfg, o, io.Discard); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(o.Out)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
