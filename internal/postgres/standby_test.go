package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// The standby is away. Whoever sends gets no receipt, however often and whatever becomes of the
// waiting COMMIT: given up, cancelled by a person, its backend ended, the server crashed. The row
// may well be seen on the primary, but a failover would not find it. Once the standby is back the
// repetition gets the receipt that was meant from the first.
func TestNothingIsAcknowledgedThatTheStandbyHasNot(t *testing.T) {
	t.Parallel()
	pair := hubtest.NewPair(t)
	app := pair.Primary.AppDSN()
	hurried := openWith(t, postgres.Config{DSN: app, Timeout: 2 * time.Second})
	ente := addEnte(t, hurried)
	accept(t, hurried, acceptance(ente.ID))
	admin := pair.Primary.Connect()
	pair.Standby.Kill()

	interrupt := map[string]func(*postgres.Acceptance){
		"given up": func(*postgres.Acceptance) {},
		"cancelled": func(*postgres.Acceptance) {
			whileCommitting(t, admin, "SELECT pg_cancel_backend($1)")
		},
		"ended": func(*postgres.Acceptance) {
			whileCommitting(t, admin, "SELECT pg_terminate_backend($1)")
		},
	}
	var all []*postgres.Acceptance
	for name, act := range interrupt {
		a := acceptance(ente.ID)
		all = append(all, a)
		told := make(chan error, 1)
		go func() {
			_, err := hurried.Accept(t.Context(), a)
			told <- err
		}()
		act(a)
		if err := <-told; err == nil {
			t.Errorf("%s: acknowledged without the standby", name)
		} else {
			wantKind(t, err, hub.Unavailable)
		}
		awaitVisible(t, admin, a.ReceiptID)
		if _, err := hurried.Accept(t.Context(), again(a)); err == nil {
			t.Errorf("%s: the repetition was acknowledged without the standby", name)
		}
		if found, err := hurried.Lookup(t.Context(), postgres.Query{Key: a.Key}); err == nil {
			t.Errorf("%s: found without the standby: %v", name, found.Key != nil)
		}
	}
	bounded, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	claimed, err := hurried.Claim(bounded, postgres.ClaimQuery{
		Environment: hub.Prod, Owner: uuid.New(), Limit: 10, Lease: time.Minute,
	})
	if err == nil || len(claimed) > 0 {
		t.Errorf("%d deliveries were claimed without the standby", len(claimed))
	}

	pair.Standby.Start()
	pair.AwaitStandby()
	for _, a := range all {
		result, err := hurried.Accept(t.Context(), again(a))
		if err != nil || result.Status != postgres.StatusDuplicate || result.Key.Receipt.ID != a.ReceiptID {
			t.Errorf("the repetition got %+v, %v", result, err)
		}
	}
	// The proof: a failover now has everything.
	pair.Primary.Kill()
	pair.Promote()
	after := openWith(t, postgres.Config{DSN: pair.Primary.AppDSN()})
	for _, a := range all {
		if found, err := after.Lookup(t.Context(), postgres.Query{Key: a.Key}); err != nil || found.Key == nil {
			t.Errorf("acknowledged and not on the standby: %v", err)
		}
	}
}

// whileCommitting does something to the store's backend that waits for the standby.
func whileCommitting(t *testing.T, admin *pgx.Conn, statement string) {
	t.Helper()
	var pid int
	hubtest.Await(t, time.Minute, "a COMMIT waits for the standby", func() bool {
		err := admin.QueryRow(t.Context(), "SELECT pid FROM pg_stat_activity WHERE usename = 'hub_app' AND wait_event = 'SyncRep'").Scan(&pid)
		return err == nil
	})
	if _, err := admin.Exec(t.Context(), statement, pid); err != nil {
		t.Fatal(err)
	}
}

// awaitVisible returns when the primary shows what it could not get confirmed.
func awaitVisible(t *testing.T, admin *pgx.Conn, receipt uuid.UUID) {
	t.Helper()
	hubtest.Await(t, time.Minute, "the event is visible on the primary", func() bool {
		var there bool
		err := admin.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM hub.event WHERE id = $1)", receipt).Scan(&there)
		return err == nil && there
	})
}
