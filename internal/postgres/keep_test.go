package postgres_test

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// A server that is gone altogether is started again, and the store goes on.
func TestKeepStartsAServerAgainThatHasEnded(t *testing.T) {
	t.Parallel()
	cfg := postgres.ClusterConfig{Dir: folder(t), Settings: map[string]string{"shared_buffers": "16MB"}, WALSegmentMB: 1}
	cluster := start(t, cfg)
	if err := cluster.Migrate(t.Context(), hubtest.Vault()); err != nil {
		t.Fatal(err)
	}
	store := openWith(t, postgres.Config{DSN: cluster.AppDSN()})
	accept(t, store, acceptance(1))
	ctx, stop := context.WithCancel(t.Context())
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		cluster.Keep(ctx, cfg)
	}()
	for range 2 {
		before := cluster.PID()
		if err := syscall.Kill(before, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		hubtest.Await(t, time.Minute, "another server accepts", func() bool {
			_, err := store.Accept(t.Context(), acceptance(1))
			return err == nil && cluster.PID() != before
		})
	}
	stop()
	<-kept
}

// TestClusterStartsBesideSessionsOfAKilledServer: what was killed together with the session that held a
// lock leaves others waiting for it for ever, and with them the memory that the next server asks for.
func TestClusterStartsBesideSessionsOfAKilledServer(t *testing.T) {
	t.Parallel()
	cfg := postgres.ClusterConfig{Dir: folder(t)}
	first := start(t, cfg)
	conn, err := pgx.Connect(t.Context(), first.SuperuserDSN())
	if err != nil {
		t.Fatal(err)
	}
	var session int
	if err := conn.QueryRow(t.Context(), "SELECT pg_backend_pid()").Scan(&session); err != nil {
		t.Fatal(err)
	}
	// One that stands still does not notice the end of its server, as one that waits for a lock.
	if err := syscall.Kill(session, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(session, syscall.SIGKILL) })
	if err := syscall.Kill(first.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	second := start(t, cfg)
	if second.Attached() || second.PID() == first.PID() {
		t.Error("attached to a killed server")
	}
}
