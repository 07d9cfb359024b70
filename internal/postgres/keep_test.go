package postgres_test

import (
	"context"
	"syscall"
	"testing"
	"time"

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
