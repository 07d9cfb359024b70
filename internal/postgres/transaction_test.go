package postgres_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/journal"
)

// TestOldestTransactionIsNamed: whoever began it, with what it holds and how many wait for it.
func TestOldestTransactionIsNamed(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store := open(t, db)
	if found, err := store.OldestTransaction(t.Context()); err != nil || found.Age > time.Minute {
		t.Fatalf("%+v %v", found, err)
	}
	holder, watcher := superuser(t, db), superuser(t, db)
	tx, err := holder.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "SELECT size FROM hub.journal_head FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	key, done := journalKey(t), make(chan error, 1)
	go func() {
		_, err := always(t, store, key, journal.Checkpoint{})
		done <- err
	}()
	hubtest.Await(t, time.Minute, "the checkpoint waits", func() bool {
		return hubtest.Number(t, watcher, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") == 1
	})
	found, err := open(t, db).OldestTransaction(t.Context())
	if err != nil || found.Process != int32(holder.PgConn().PID()) || found.Role == "hub_app" || found.State != "idle in transaction" ||
		!strings.Contains(found.Holds, "hub.journal_head") || found.Waiting != 1 || found.Age <= 0 {
		t.Errorf("%+v %v", found, err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// The application's role sees the oldest transaction by the function, and nothing of what others do.
func TestAppRoleSeesNoStatementsOfOthers(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	conn := connect(t, db.App)
	other := superuser(t, db)
	if _, err := other.Exec(t.Context(), "SELECT 'secret'"); err != nil {
		t.Fatal(err)
	}
	if n := hubtest.Number(t, conn, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%secret%' AND pid <> pg_backend_pid()"); n != 0 {
		t.Error("it sees a superuser's statement")
	}
	_, err := connect(t, db.Vault).Exec(t.Context(), "SELECT hub.oldest_transaction()")
	if refused, ok := errors.AsType[*pgconn.PgError](err); !ok || refused.Code != "42501" {
		t.Errorf("the vault's role: %v", err)
	}
}
