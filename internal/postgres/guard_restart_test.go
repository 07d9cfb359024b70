package postgres_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// A process that accepts nothing before it ends remembers what the one before it acknowledged: the
// standby that lacks it is promoted after the second one.
func TestStoreRefusesALackingServerAfterAnIdleRestart(t *testing.T) {
	t.Parallel()
	pair := hubtest.NewPair(t)
	dir := t.TempDir()
	guard := openGuard(t, dir)
	store := openWith(t, postgres.Config{DSN: pair.DSNs().App, Guard: guard, Timeout: 2 * time.Second})
	ente := addEnte(t, store)
	accept(t, store, acceptance(ente.ID))
	pair.Standby.Kill()
	pair.Primary.Set("synchronous_standby_names", "")
	accept(t, store, acceptance(ente.ID))
	last := guard.Known().Receipt
	if err := guard.Close(); err != nil {
		t.Fatal(err)
	}

	idle := openGuard(t, dir)
	before := idle.Known().WAL
	openWith(t, postgres.Config{DSN: pair.DSNs().App, Guard: idle, Timeout: 2 * time.Second})
	// somebody writes something: a settlement, the journal's writer, a checkpoint
	now := openWith(t, postgres.Config{DSN: pair.DSNs().App, Timeout: 2 * time.Second})
	accept(t, now, acceptance(ente.ID))
	hubtest.Await(t, 30*time.Second, "the idle one remembers a place in the log", func() bool { return idle.Known().WAL > before })
	if err := idle.Close(); err != nil {
		t.Fatal(err)
	}
	if last == uuid.Nil {
		t.Fatal("nothing was acknowledged")
	}
	pair.Primary.Kill()
	pair.Standby.Start()
	pair.Promote()
	wantServerRefused(t, pair.Primary.AppDSN(), dir, postgres.ErrBehind)
}
