package delivery_test

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sinbahub/sinbahub/internal/postgres"
)

var cluster = sync.OnceValues(func() (*postgres.Cluster, error) {
	dir, err := os.MkdirTemp("", "delivery-pg-")
	if err != nil {
		return nil, err
	}
	return postgres.StartCluster(context.Background(), postgres.ClusterConfig{Dir: dir})
})

var databases atomic.Int32

func database(t *testing.T) *postgres.Store {
	t.Helper()
	c, err := cluster()
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("test_%d", databases.Add(1))
	if err := c.MigrateDatabase(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	s, err := postgres.Open(t.Context(), postgres.Config{DSN: c.DatabaseDSNs(name).App, Connections: 4})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		s.Close()
	})
	return s
}

func TestMain(m *testing.M) {
	code := m.Run()
	if c, err := cluster(); err == nil {
		_ = c.Stop(context.Background())
	}
	os.Exit(code)
}
