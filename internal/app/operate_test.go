package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/app"
	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
)

// desk is an operator's place: a database with deliveries and the configuration that names it.
type desk struct {
	cfg   config.Config
	admin *pgx.Conn
	// opened counts the cases.
	opened int
}

func newDesk(tb testing.TB) *desk {
	tb.Helper()
	return newDeskOn(tb, hubtest.Database(tb))
}

// newDeskOn is newDesk on a given database.
func newDeskOn(tb testing.TB, db hubtest.DB) *desk {
	tb.Helper()
	cfg, err := config.Load("", []string{"SINBAHUB_DATABASE_URL=" + db.App, "SINBAHUB_DATABASE_VAULT_URL=" + db.Vault, "SINBAHUB_ENVIRONMENT=PROD"})
	if err != nil {
		tb.Fatal(err)
	}
	conn, err := pgx.Connect(tb.Context(), db.Superuser)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close(context.WithoutCancel(tb.Context())) })
	d := &desk{cfg: cfg, admin: conn}
	d.exec(tb, "INSERT INTO hub.ente (environment, code, zone, region) VALUES (1, 'ENTE-1', 'ZONA-1', '17'), (2, 'ENTE-1', 'ZONA-1', '17')")
	return d
}

func (d *desk) exec(tb testing.TB, statement string, args ...any) {
	tb.Helper()
	if _, err := d.admin.Exec(tb.Context(), statement, args...); err != nil {
		tb.Fatal(err)
	}
}

// delivery makes an event of a case of its own whose delivery stands in a state, and gives its id.
func (d *desk) delivery(t *testing.T, env hub.Environment, state hub.DeliveryState) uuid.UUID {
	t.Helper()
	return d.event(t, env, state, uuid.New(), 1, "I", uuid.Nil)
}

// event makes an event at a place of a case.
func (d *desk) event(
	t *testing.T, env hub.Environment, state hub.DeliveryState, file uuid.UUID, place int, operation string, original uuid.UUID,
) uuid.UUID {
	t.Helper()
	d.opened++
	message, id := uuid.Must(uuid.NewV7()), uuid.New()
	at := time.Now().Add(time.Duration(d.opened)*time.Second - time.Hour)
	var ente int32
	if err := d.admin.QueryRow(t.Context(), "SELECT id FROM hub.ente WHERE environment = $1", env).Scan(&ente); err != nil {
		t.Fatal(err)
	}
	d.exec(t, `INSERT INTO hub.case_file (id, environment, ente_id, case_index, index_epoch, subject_id, sealed_ids, events, created_at,
		last_event_at, state, status, incongruent, facts_epoch)
		VALUES ($1, $2, $3, sha256($4), 1, $1, '', 1, $5, $5, '', 1, 0, 1) ON CONFLICT DO NOTHING`, file, env, ente, []byte(file.String()), at)
	d.exec(t, `INSERT INTO hub.event_key (environment, ente_id, event_id, receipt_id, received_at, registration_id, outcome, content_mac, commitment)
		VALUES ($1, $2, $3, $3, $4, $3, 1, sha256(''), sha256(''))`, env, ente, message, at)
	var refersTo *uuid.UUID
	if original != uuid.Nil {
		refersTo = &original
	}
	d.exec(t, `INSERT INTO hub.event (id, received_at, environment, participant_id, ente_id, event_id, case_id, subject_id, type, operation,
		refers_to, original_id, sequence, position, facts, schema_version, mapping_version, rules_version, region_epoch, body_format, body)
		VALUES ($1, $2, $3, 1, $4, $1, $5, $5, 'SEGNALAZIONE', $6, $7, $7, $8, $8, '', '1.0', 1, 1, 1, 1, '')`,
		message, at, env, ente, file, operation, refersTo, place)
	d.exec(t, `INSERT INTO hub.delivery (id, message_id, environment, case_id, sequence, position, received_at, nation_epoch, state, attempts,
		changed_at, due_at, lease, owner, settled_at)
		SELECT $1, $2, $3, $4, $5, $5, $6::timestamptz, 1, s.state, CASE WHEN s.state = 'pending' THEN 0 ELSE 1 END, $6,
			CASE WHEN s.state IN ('pending', 'sending', 'retrying', 'uncertain') THEN hub.hub_now() + interval '1 minute' END,
			CASE WHEN s.state = 'sending' THEN gen_random_uuid() END, CASE WHEN s.state = 'sending' THEN gen_random_uuid() END,
			CASE WHEN s.state IN ('delivered', 'refused', 'dead', 'parked') THEN $6::timestamptz END
		FROM (SELECT $7::text AS state) AS s`,
		id, message, env, file, place, at, state)
	return id
}

// states counts the deliveries by state.
func (d *desk) states(t *testing.T) map[string]int {
	t.Helper()
	rows, err := d.admin.Query(t.Context(), "SELECT state, count(*) FROM hub.delivery GROUP BY state")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	var state string
	var n int
	if _, err := pgx.ForEachRow(rows, []any{&state, &n}, func() error {
		found[state] = n
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return found
}

// act runs a verb and gives what it printed.
func (d *desk) act(ctx context.Context, o app.ActOptions) (out, progress string, err error) {
	var results, told bytes.Buffer
	o.Out, o.Progress = &results, &told
	if o.In == nil {
		o.In = strings.NewReader("")
	}
	if o.Who.Reason == "" {
		o.Who.Reason = "prova"
	}
	if o.Batch == 0 {
		o.Batch = 100
	}
	err = app.OperateDeliveries(ctx, d.cfg, o)
	return results.String(), told.String(), err
}

func TestOperateTakesNoReasonThatNamesAPerson(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	id := d.delivery(t, hub.Prod, hub.Dead)
	for _, reason := range []string{" ", "per RSSMRA85T10A562S", "STP1234567890123", "una\nriga"} {
		if out, progress, err := d.act(t.Context(), app.ActOptions{Verb: app.VerbRetry, IDs: []string{id.String()}, Who: app.Who{Reason: reason}}); err == nil ||
			strings.Contains(err.Error()+out+progress, strings.TrimSpace(reason)) && strings.TrimSpace(reason) != "" {
			t.Errorf("%q: %q %v", reason, out, err)
		}
	}
	if got := d.states(t); got["dead"] != 1 {
		t.Error(got)
	}
}

func TestOperateRefusesWhatMeansNothing(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	id := d.delivery(t, hub.Prod, hub.Parked).String()
	for name, o := range map[string]app.ActOptions{
		"no target":             {Verb: app.VerbUnpark, Yes: true},
		"two targets":           {Verb: app.VerbUnpark, Yes: true, IDs: []string{id}, DeliveryFilter: app.DeliveryFilter{Ente: "ENTE-1"}},
		"no uuid":               {Verb: app.VerbUnpark, Yes: true, IDs: []string{id, "CART-2024-0007"}},
		"no state":              {Verb: app.VerbUnpark, Yes: true, DeliveryFilter: app.DeliveryFilter{States: []string{"PARKED"}}},
		"a state of other verb": {Verb: app.VerbUnpark, Yes: true, DeliveryFilter: app.DeliveryFilter{States: []string{"parked", "delivered"}}},
		"no batch":              {Verb: app.VerbUnpark, Yes: true, Batch: -1, DeliveryFilter: app.DeliveryFilter{Ente: "ENTE-1"}},
		"nobody to ask":         {Verb: app.VerbUnpark, DeliveryFilter: app.DeliveryFilter{Ente: "ENTE-1"}},
	} {
		if out, _, err := d.act(t.Context(), o); err == nil || errors.Is(err, app.ErrRefused) || out != "" || strings.Contains(err.Error(), "CART") {
			t.Errorf("%s: %q, %v", name, out, err)
		}
	}
	if got := d.states(t); got["parked"] != 1 {
		t.Error(got)
	}
}

func TestOperateTellsWhyItDidNothing(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for want, o := range map[string]app.ActOptions{
		"no delivery and no receipt":    {Verb: app.VerbRetry, IDs: []string{uuid.NewString()}},
		"other environment":             {Verb: app.VerbRetry, IDs: []string{d.delivery(t, hub.Test, hub.Dead).String()}},
		"unpark gives it its turn":      {Verb: app.VerbRetry, IDs: []string{d.delivery(t, hub.Prod, hub.Parked).String()}},
		"retry gives it a fresh budget": {Verb: app.VerbUnpark, IDs: []string{d.delivery(t, hub.Prod, hub.Dead).String()}},
		"an attempt is under way":       {Verb: app.VerbPark, IDs: []string{d.delivery(t, hub.Prod, hub.Sending).String()}, Wait: time.Millisecond},
		"under a new IdTrasmissione":    {Verb: app.VerbRetry, IDs: []string{d.delivery(t, hub.Prod, hub.Refused).String()}},
		"when its turn comes":           {Verb: app.VerbRedeliver, Yes: true, IDs: []string{d.delivery(t, hub.Prod, hub.Pending).String()}},
	} {
		out, _, err := d.act(t.Context(), o)
		if !errors.Is(err, app.ErrRefused) || !strings.Contains(out, want) {
			t.Errorf("want %q: %q, %v", want, out, err)
		}
	}
}

// One that is done and one that is not: the first stays done, and the exit tells of the second.
func TestOperateGoesOnAfterARefusal(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	bad, good := d.delivery(t, hub.Prod, hub.Pending), d.delivery(t, hub.Prod, hub.Dead)
	out, _, err := d.act(t.Context(), app.ActOptions{Verb: app.VerbRetry, JSON: true, IDs: []string{bad.String(), good.String(), good.String()}})
	if !errors.Is(err, app.ErrRefused) || strings.Count(out, "\n") != 2 || strings.Count(out, `"done":true`) != 1 {
		t.Errorf("%v: %s", err, out)
	}
	if got := d.states(t); got["uncertain"] != 1 {
		t.Error(got)
	}
}

func TestOperateAsksBeforeItSendsAgainWhatSissHas(t *testing.T) {
	t.Parallel()
	for answer, sent := range map[string]bool{"yes\n": true, "no\n": false, "\n": false, "": false, "y\n": false} {
		t.Run(fmt.Sprintf("%q", answer), func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			id := d.delivery(t, hub.Prod, hub.Delivered)
			_, progress, err := d.act(t.Context(), app.ActOptions{
				Verb: app.VerbRedeliver, IDs: []string{id.String()}, Interactive: true, In: strings.NewReader(answer),
			})
			if !strings.Contains(progress, "confirmed "+id.String()) {
				t.Errorf("asked %q", progress)
			}
			if (err == nil) != sent || (d.states(t)["retrying"] == 1) != sent {
				t.Errorf("%v, %v", d.states(t), err)
			}
		})
	}
}

// Ctrl-C at a question is a no.
func TestOperateInterruptedAtAQuestionDoesNothing(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	id := d.delivery(t, hub.Prod, hub.Delivered)
	in, typed := io.Pipe()
	defer typed.Close() //nolint:errcheck // ends the reader
	ctx, interrupt := context.WithCancel(t.Context())
	out := notify{make(chan struct{}, 100)}
	done := make(chan error, 1)
	go func() {
		done <- app.OperateDeliveries(ctx, d.cfg, app.ActOptions{
			Verb: app.VerbRedeliver, IDs: []string{id.String()}, Interactive: true, In: in, Out: io.Discard, Progress: out,
			Who: app.Who{Reason: "prova"}, Batch: 1,
		})
	}()
	<-out.written
	interrupt()
	if err := <-done; err == nil {
		t.Error("went on")
	}
	if got := d.states(t); got["delivered"] != 1 {
		t.Error(got)
	}
}

// notify tells of each write.
type notify struct{ written chan struct{} }

func (n notify) Write(b []byte) (int, error) {
	n.written <- struct{}{}
	return len(b), nil
}

func TestBulkActsOnWhatTheFilterFindsAndShowsHowFarItIs(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for range 7 {
		d.delivery(t, hub.Prod, hub.Dead)
		d.delivery(t, hub.Prod, hub.Parked)
	}
	d.delivery(t, hub.Test, hub.Dead)
	o := app.ActOptions{Verb: app.VerbRetry, Batch: 3, Pause: time.Millisecond, DeliveryFilter: app.DeliveryFilter{Ente: "ENTE-1"}}
	dry := o
	dry.DryRun = true
	if _, progress, err := d.act(t.Context(), dry); err != nil || !strings.Contains(progress, "7 deliveries meant: 7 dead") || d.states(t)["dead"] != 8 {
		t.Fatalf("%q, %v, %v", progress, d.states(t), err)
	}
	o.Interactive, o.In = true, strings.NewReader("yes\n")
	out, progress, err := d.act(t.Context(), o)
	if err != nil || out != "" {
		t.Errorf("%q, %v", out, err)
	}
	for _, want := range []string{"retry 7 deliveries (7 dead)? ", "] 3 of 7, ", "] 6 of 7, ", "] 7 of 7, 0 not done\n", "7 done, 0 not\n"} {
		if !strings.Contains(progress, want) {
			t.Errorf("no %q in %q", want, progress)
		}
	}
	if got := d.states(t); got["uncertain"] != 7 || got["parked"] != 7 || got["dead"] != 1 {
		t.Error(got)
	}
}

// Interrupted between two batches it says how far it came, and the same command goes on.
func TestBulkInterruptedIsSafeToRepeat(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for range 5 {
		d.delivery(t, hub.Prod, hub.Parked)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	out := notify{make(chan struct{}, 100)}
	done := make(chan error, 1)
	o := app.ActOptions{
		Verb: app.VerbUnpark, Yes: true, Batch: 2, Pause: time.Hour, JSON: true, DeliveryFilter: app.DeliveryFilter{States: []string{"parked"}},
		Out: out, Progress: io.Discard, Who: app.Who{Reason: "prova"},
	}
	go func() { done <- app.OperateDeliveries(ctx, d.cfg, o) }()
	<-out.written
	<-out.written
	interrupt()
	if err := <-done; err == nil || !strings.Contains(err.Error(), "2 done, 0 not, about 3 left") {
		t.Error(err)
	}
	if got := d.states(t); got["uncertain"] != 2 || got["parked"] != 3 {
		t.Fatal(got)
	}
	o.Pause = 0
	if _, _, err := d.act(t.Context(), o); err != nil {
		t.Error(err)
	}
	if got := d.states(t); got["uncertain"] != 5 {
		t.Error(got)
	}
}

// The annulment that went along with its event is not tried a second time, nor told as not done.
func TestBulkRedeliverTakesAnnulmentsAlongOnce(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	file := uuid.New()
	event := d.event(t, hub.Prod, hub.Delivered, file, 1, "I", uuid.Nil)
	var original uuid.UUID
	if err := d.admin.QueryRow(t.Context(), "SELECT message_id FROM hub.delivery WHERE id = $1", event).Scan(&original); err != nil {
		t.Fatal(err)
	}
	d.event(t, hub.Prod, hub.Delivered, file, 2, "A", original)
	o := app.ActOptions{Verb: app.VerbRedeliver, Yes: true, DeliveryFilter: app.DeliveryFilter{States: []string{"delivered"}}}
	alone := app.ActOptions{Verb: app.VerbRedeliver, Yes: true, IDs: []string{event.String()}}
	if out, _, err := d.act(t.Context(), alone); !errors.Is(err, app.ErrRefused) || !strings.Contains(out, "--with-corrections") {
		t.Errorf("%q, %v", out, err)
	}
	o.Corrections = true
	if out, progress, err := d.act(t.Context(), o); err != nil || out != "" || !strings.Contains(progress, "2 done, 0 not") {
		t.Errorf("%q %q, %v", out, progress, err)
	}
	if got := d.states(t); got["retrying"] != 2 {
		t.Error(got)
	}
	var entries int
	if err := d.admin.QueryRow(t.Context(), "SELECT count(*) FROM hub.journal_entry WHERE kind = 9").Scan(&entries); err != nil || entries != 2 {
		t.Errorf("%d entries, %v", entries, err)
	}
}

// An operator who waits gets the delivery when its attempt ends.
func TestOperateWaitsForTheEndOfAnAttempt(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	id := d.delivery(t, hub.Prod, hub.Sending)
	done := make(chan error, 1)
	go func() {
		_, _, err := d.act(t.Context(), app.ActOptions{Verb: app.VerbPark, IDs: []string{id.String()}, Wait: time.Minute})
		done <- err
	}()
	d.exec(t, `UPDATE hub.delivery SET state = 'retrying', lease = NULL, owner = NULL`)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := d.states(t); got["parked"] != 1 {
		t.Error(got)
	}
}

func TestListPrintsPagesAndCounts(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	file := uuid.New()
	first := d.event(t, hub.Prod, hub.Dead, file, 1, "I", uuid.Nil)
	second := d.event(t, hub.Prod, hub.Pending, file, 2, "I", uuid.Nil)
	d.delivery(t, hub.Prod, hub.Delivered)
	list := func(o app.ListOptions) (string, error) {
		var out bytes.Buffer
		err := app.ListDeliveries(t.Context(), d.cfg, o, &out)
		return out.String(), err
	}
	page, err := list(app.ListOptions{Limit: 1})
	if err != nil || !strings.Contains(page, first.String()) || strings.Contains(page, second.String()) || !strings.Contains(page, "--after "+first.String()) {
		t.Errorf("%s, %v", page, err)
	}
	page, err = list(app.ListOptions{Limit: 10, After: first.String()})
	if err != nil || !strings.Contains(page, second.String()) || !strings.Contains(page, first.String()+" dead") || !strings.Contains(page, "1 shown") {
		t.Errorf("%s, %v", page, err)
	}
	page, err = list(app.ListOptions{Limit: 10, JSON: true})
	if err != nil || strings.Count(page, "\n") != 2 {
		t.Errorf("%s, %v", page, err)
	}
	for line := range strings.Lines(page) {
		if !json.Valid([]byte(line)) || strings.Contains(line, file.String()) {
			t.Error(line)
		}
	}
	page, err = list(app.ListOptions{Limit: 10, Count: true})
	if err != nil || !strings.Contains(page, "pending  1") || !strings.Contains(page, "dead     1") || strings.Contains(page, "delivered") {
		t.Errorf("%s, %v", page, err)
	}
	for name, o := range map[string]app.ListOptions{
		"no limit": {}, "too long": {Limit: 100_000}, "no such delivery": {Limit: 1, After: uuid.NewString()}, "no uuid": {Limit: 1, After: "x"},
	} {
		if _, err := list(o); err == nil {
			t.Errorf("%s: listed", name)
		}
	}
	var out bytes.Buffer
	if err := app.ShowDelivery(t.Context(), d.cfg, first.String(), false, &out); err != nil || !strings.Contains(out.String(), "waits behind this") ||
		strings.Contains(out.String(), file.String()) {
		t.Errorf("%s, %v", out.String(), err)
	}
	if err := app.ShowDelivery(t.Context(), d.cfg, d.delivery(t, hub.Test, hub.Dead).String(), false, &out); err == nil {
		t.Error("showed one of the other environment")
	}
}
