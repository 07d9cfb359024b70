package delivery_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/delivery"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/siss"
)

// past is a database with deliveries of days that are over, and what a simulator received then.
type past struct {
	db    hubtest.DB
	super *pgx.Conn
	store *postgres.Store
	rome  *time.Location
	// lines are the simulator's file.
	lines bytes.Buffer
	// deliveries and attempts are rows to come.
	deliveries, attempts [][]any
}

// sent is a delivery of the past.
type sent struct {
	id uuid.UUID
	// tipo defaults to SEGNALAZIONE.
	tipo  string
	state hub.DeliveryState
	// tries are its attempts, in order; the last one's state is the delivery's if both are empty.
	tries []try
	// crashed attempts have left no row.
	crashed int
	// there is what SISS says, empty for nothing; at is when SISS received it, by default in the
	// middle of its last attempt.
	there string
	at    time.Time
}

type try struct {
	at    time.Time
	took  time.Duration
	state string
	// asked only: nothing was sent.
	asked bool
}

// newPast makes a database whose clock shows an Italian time.
func newPast(t *testing.T, now string) *past {
	t.Helper()
	p := &past{db: hubtest.Database(t), rome: rome(t)}
	var err error
	if p.super, err = pgx.Connect(t.Context(), p.db.Superuser); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.super.Close(context.WithoutCancel(t.Context())) })
	p.clock(t, now)
	p.exec(t, "SELECT hub.ensure_partitions(2)")
	return p
}

func rome(t *testing.T) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func (p *past) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	if _, err := p.super.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// clock sets the database's clock, for connections made from now on.
func (p *past) clock(t *testing.T, now string) {
	t.Helper()
	offset := fmt.Sprintf("%d seconds", int64(time.Until(p.at(t, now)).Seconds()))
	p.exec(t, "ALTER DATABASE "+p.db.Name+" SET hub.clock_offset = '"+offset+"'")
	p.exec(t, "SELECT set_config('hub.clock_offset', $1, false)", offset)
	store, err := postgres.Open(t.Context(), postgres.Config{DSN: p.db.App, Connections: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	p.store = store
}

// at reads an Italian time.
func (p *past) at(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.ParseInLocation("2006-01-02 15:04:05", text, p.rome)
	if err != nil {
		t.Fatal(err)
	}
	return at.UTC()
}

// put adds a delivery; save writes all of them.
func (p *past) put(t *testing.T, s sent) uuid.UUID {
	t.Helper()
	if s.id == uuid.Nil {
		s.id = uuid.New()
	}
	if s.tipo == "" {
		s.tipo = "SEGNALAZIONE"
	}
	if s.state == "" {
		s.state = hub.Delivered
	}
	message, first := uuid.Must(uuid.NewV7()), time.Time{}
	for i, one := range s.tries {
		if i == 0 {
			first = one.at.Add(-time.Second)
		}
		if one.state == "" {
			one.state = string(s.state)
		}
		var digest []byte
		if !one.asked {
			digest = make([]byte, 32)
		}
		p.attempts = append(p.attempts, []any{s.id, s.crashed + i + 1, one.at, one.took, one.state, digest, uuid.New()})
		if s.at.IsZero() && i == len(s.tries)-1 {
			s.at = one.at.Add(one.took / 2)
		}
	}
	if s.crashed > 0 {
		first = s.at.Add(-time.Second)
	}
	p.deliveries = append(p.deliveries, []any{s.id, message, first, string(s.state), s.crashed + len(s.tries), s.tipo})
	if s.there != "" {
		p.there(s.id, s.tipo, s.there, s.at)
	}
	return s.id
}

// there writes what SISS received.
func (p *past) there(id uuid.UUID, tipo, esito string, at time.Time) {
	fmt.Fprintf(&p.lines, `{"id_trasmissione":"%s","ricevuto_at":"%s","esito":"%s","evento_xml":"<EventoNazionale><TipoEvento>%s</TipoEvento></EventoNazionale>"}`+"\n",
		id, at.UTC().Format(time.RFC3339Nano), esito, tipo)
}

func (p *past) save(t *testing.T) {
	t.Helper()
	p.exec(t, `CREATE TEMPORARY TABLE IF NOT EXISTS new_delivery (id uuid, message_id uuid, received_at timestamptz, state text, attempts integer, type text)`)
	p.exec(t, "TRUNCATE new_delivery")
	copyRows(t, p.super, pgx.Identifier{"new_delivery"}, []string{"id", "message_id", "received_at", "state", "attempts", "type"}, p.deliveries)
	p.exec(t, `INSERT INTO hub.event (id, received_at, environment, participant_id, ente_id, event_id, case_id,
		subject_id, type, operation,
		sequence, position, schema_version, mapping_version, rules_version, region_epoch, body_format, body, facts)
		SELECT message_id, received_at, 1, 1, 1, gen_random_uuid(), id, gen_random_uuid(), type, 'I', 1, 1, '1', 1, 1, 1, 1, 'x', '' FROM new_delivery`)
	p.exec(t, `INSERT INTO hub.delivery (id, message_id, environment, case_id, sequence, position, received_at, nation_epoch, state, attempts, changed_at, due_at, settled_at)
		SELECT id, message_id, 1, id, 1, 1, received_at, 1, state, attempts, received_at,
		CASE WHEN state IN ('retrying', 'uncertain') THEN received_at END, CASE WHEN state NOT IN ('retrying', 'uncertain') THEN received_at END FROM new_delivery`)
	copyRows(t, p.super, pgx.Identifier{"hub", "attempt"}, []string{"delivery_id", "number", "started_at", "took", "state", "digest", "lease"}, p.attempts)
	p.deliveries, p.attempts = nil, nil
}

func copyRows(t *testing.T, conn *pgx.Conn, table pgx.Identifier, columns []string, rows [][]any) {
	t.Helper()
	if _, err := conn.CopyFrom(t.Context(), table, columns, pgx.CopyFromRows(rows)); err != nil {
		t.Fatal(err)
	}
}

// siss starts a simulator that received what was put so far.
func (p *past) siss(t *testing.T) *siss.Simulator {
	t.Helper()
	file := filepath.Join(t.TempDir(), "received.jsonl")
	if err := os.WriteFile(file, p.lines.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := siss.Open(t.Context(), siss.Config{Received: file, Now: time.Now, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("simulator: %v", err)
		}
	})
	return s
}

// reconciler compares without a pause between questions.
type reconciler struct {
	*delivery.Reconciler
	watch

	registry *prometheus.Registry
}

func (p *past) reconciler(t *testing.T, url string, change func(*delivery.ReconcileConfig)) *reconciler {
	t.Helper()
	cfg := delivery.ReconcileConfig{Environment: hub.Prod, URL: url, Hour: 3, Rate: 1_000_000_000, Poll: time.Millisecond}
	if change != nil {
		change(&cfg)
	}
	r := &reconciler{watch: newWatch(), registry: prometheus.NewRegistry()}
	var err error
	r.Reconciler, err = delivery.NewReconciler(cfg, delivery.Parts{
		Store: p.store, Validator: pool(t), Logger: zap.New(r.watch), Registerer: r.registry, Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// now compares a day at once.
func (r *reconciler) now(t *testing.T, day string) {
	t.Helper()
	if _, err := r.RunNow(t.Context(), date(t, day)); err != nil {
		t.Fatal(err)
	}
}

func date(t *testing.T, day string) time.Time {
	t.Helper()
	d, err := time.Parse(time.DateOnly, day)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// found is what stands in the database about a day: its types by state, differences by kind.
type found struct {
	Day   string
	Types map[string]string
	Kinds map[string][]uuid.UUID
}

func (p *past) found(t *testing.T, day string) found {
	t.Helper()
	f := found{Types: map[string]string{}, Kinds: map[string][]uuid.UUID{}}
	if err := p.super.QueryRow(t.Context(), "SELECT coalesce((SELECT state FROM hub.reconciliation_day WHERE day = $1), 'none')", day).Scan(&f.Day); err != nil {
		t.Fatal(err)
	}
	d := postgres.Day{Environment: hub.Prod, Date: date(t, day)}
	types, err := p.store.Reconciled(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range types {
		f.Types[one.Type] = fmt.Sprintf("%s %d+%d:%d", one.State, one.Ours, one.Near, one.Theirs)
		if one.NotOurs > 0 {
			f.Types[one.Type] += fmt.Sprintf(" not ours %d", one.NotOurs)
		}
	}
	if err := p.store.EachDifference(t.Context(), d, func(one postgres.Difference) error {
		f.Kinds[string(one.Kind)] = append(f.Kinds[string(one.Kind)], one.Delivery)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return f
}

// entries are the journal's of reconciliation, oldest first.
func (p *past) entries(t *testing.T) (all []journal.Entry) {
	t.Helper()
	for _, e := range hubtest.JournalEntries(t, p.super) {
		if e.Kind == journal.Reconciled {
			all = append(all, e)
		}
	}
	return all
}

// state is a delivery's.
func (p *past) state(t *testing.T, id uuid.UUID) (state string) {
	t.Helper()
	if err := p.super.QueryRow(t.Context(), "SELECT state FROM hub.delivery WHERE id = $1", id).Scan(&state); err != nil && !errors.Is(err, pgx.ErrNoRows) {
		t.Fatal(err)
	}
	return state
}
