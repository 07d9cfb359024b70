package postgres_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// run executes statements one after the other.
func run(t *testing.T, conn *pgx.Conn, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
}

// The server ends every statement that takes longer than a moment, which a held case makes all of
// them do: no receipt, nothing stored, and the same store accepts as soon as the case is free.
func TestAcceptWithAStatementTimeoutIsUnavailableAndRepeatable(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	first := acceptance(1)
	accept(t, open(t, db), first)
	store := openWith(t, postgres.Config{DSN: db.App + "&statement_timeout=100"})
	holder := superuser(t, db)
	run(t, holder, "BEGIN", "SELECT FROM hub.case_file FOR UPDATE")
	a := follow(first, 2)
	_, err := store.Accept(t.Context(), a)
	wantKind(t, err, hub.Unavailable)
	if server, ok := errors.AsType[*postgres.ServerError](err); !ok || server.State != "57014" {
		t.Errorf("it was not the server that ended the statement: %v", err)
	}
	run(t, holder, "ROLLBACK")
	wantStored(t, db, 1)
	accept(t, store, again(a))
	wantStored(t, db, 2)
}

// A process that stands still in the middle of an acceptance holds its case; the server ends its
// transaction, another process goes on, and it itself begins anew when it wakes.
func TestATransactionLeftOpenIsEndedByTheServer(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store := open(t, db)
	first := acceptance(1)
	accept(t, store, first)
	still := connect(t, db.App+"&idle_in_transaction_session_timeout=300")
	run(t, still, "BEGIN", "SELECT FROM hub.case_file FOR NO KEY UPDATE")
	accept(t, store, follow(first, 2))
	if err := still.Ping(t.Context()); err == nil {
		t.Error("the transaction was not ended, the test shows nothing")
	}
	// The store's own sessions have such a bound: the two that end a transaction left open or a
	// statement nobody waits for. Whatever else works as the role has them, too.
	want := map[string]string{"idle_in_transaction_session_timeout": "15000", "statement_timeout": "60000"}
	if diff := cmp.Diff(want, openSession(t, db.App)); diff != "" {
		t.Error(diff)
	}
	plain := connect(t, db.App)
	for _, name := range []string{"idle_in_transaction_session_timeout", "statement_timeout", "lock_timeout"} {
		var setting string
		if err := plain.QueryRow(t.Context(), "SHOW "+name).Scan(&setting); err != nil || setting == "0" {
			t.Errorf("%s of the role is %q, %v", name, setting, err)
		}
	}
}

// The role has no connection left: no receipt, and back by itself.
func TestAcceptWithoutAConnectionIsUnavailableAndRepeatable(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store := openWith(t, postgres.Config{DSN: db.App, Timeout: 2 * time.Second})
	admin := superuser(t, db)
	run(t, admin, fmt.Sprintf("ALTER DATABASE %s CONNECTION LIMIT 0", db.Name),
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
	a := acceptance(1)
	hubtest.Await(t, time.Minute, "the store has lost its connections", func() bool { return store.CanCommit(t.Context()) != nil })
	_, err := store.Accept(t.Context(), a)
	wantKind(t, err, hub.Unavailable)
	wantStored(t, db, 0)
	run(t, admin, fmt.Sprintf("ALTER DATABASE %s CONNECTION LIMIT -1", db.Name))
	accept(t, store, again(a))
	wantStored(t, db, 1)
}

// openSession gives what a session of the store's has of the settings that bound it.
func openSession(t *testing.T, dsn string) map[string]string {
	t.Helper()
	bounds, err := postgres.SessionBounds(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	return bounds
}
