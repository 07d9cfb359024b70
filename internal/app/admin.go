package app

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sinbahub/sinbahub/internal/postgres"
)

// leastHeadroom is the free space on the embedded cluster's disk below which the hub is not
// ready: 256 MiB.
const leastHeadroom = 256 << 20

// errDisk says that the disk is nearly full.
var errDisk = errors.New("disk headroom below 256 MiB")

// adminHandler serves metrics and health. It is not for the public.
func (s *server) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", s.ready)
	return mux
}

// readyWithin is how long all checks of readiness take at most.
const readyWithin = 1500 * time.Millisecond

// ready tells from fresh checks whether an event could be accepted now; the body names what
// could not, nothing else. They run at once, so that one that hangs does not speak for the others.
func (s *server) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyWithin)
	defer cancel()
	checks := []struct {
		name string
		run  func(context.Context) error
	}{
		{"database", s.stores.store.CanCommit},
		{"vault", s.vaultPool.Ping},
		{"validator", func(context.Context) error { return s.pool.Alive() }},
		{"disk", s.checkDisk},
	}
	faults := make([]error, len(checks))
	var running sync.WaitGroup
	for i, check := range checks {
		running.Go(func() { faults[i] = check.run(ctx) })
	}
	running.Wait()
	status := http.StatusOK
	var text strings.Builder
	for i, check := range checks {
		word := "ok"
		if faults[i] != nil {
			status, word = http.StatusServiceUnavailable, "not ready"
		}
		text.WriteString(check.name + ": " + word + "\n")
	}
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text.String()))
}

func (s *server) checkDisk(context.Context) error {
	if s.stores.cluster == nil {
		return nil
	}
	room, err := postgres.DiskHeadroom(s.stores.cluster.DataDir())
	if err != nil {
		return err
	}
	if room.Free < leastHeadroom {
		return errDisk
	}
	return nil
}
