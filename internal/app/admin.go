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

// Why an instance is not ready.
var (
	errDisk    = errors.New("disk headroom below half of admission.disk")
	errMemory  = errors.New("memory above admission.memory")
	errLeaving = errors.New("stopping")
)

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

// ready tells from fresh checks whether this instance is of use to a balancer; the body names what
// fails, nothing else. A door that is closed for all instances (maintenance, disk, backlog) is no
// reason to take one of them out: they answer with the reason and Retry-After, and still answer what
// is asked and repeated, where a balancer without instances would answer nothing of the contract. The checks
// run at once, so that one that hangs does not speak for the others.
func (s *server) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyWithin)
	defer cancel()
	checks := []struct {
		name string
		run  func(context.Context) error
	}{
		{"stopping", func(context.Context) error { return errIf(s.leaving.Load(), errLeaving) }},
		{"database", s.stores.store.CanCommit},
		{"vault", s.vaultPool.Ping},
		{"validator", func(context.Context) error { return s.pool.Alive() }},
		{"disk", s.checkDisk},
		{"journal", s.notary.check},
		{"memory", func(context.Context) error { return errIf(s.watch.short.Load(), errMemory) }},
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
	door := "open"
	if c := s.gateway.Closed(); c.Reason != "" {
		door = "closed, " + string(c.Reason)
	}
	text.WriteString("door: " + door + "\n")
	if s.notary.unwitnessed.Load() {
		text.WriteString("journal: unwitnessed before this start\n")
	}
	if s.notary.patrol.damaged.Load() {
		// What comes is sealed as before, so that this is no reason to take an instance out.
		text.WriteString("journal: damaged, the log names where\n")
	}
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text.String()))
}

// errIf gives an error that holds now.
func errIf(holds bool, err error) error {
	if holds {
		return err
	}
	return nil
}

func (s *server) checkDisk(context.Context) error {
	cfg := s.config()
	dir := s.watch.disk(cfg)
	if dir == "" {
		return nil
	}
	room, err := postgres.DiskHeadroom(dir)
	if err != nil {
		return err
	}
	return errIf(room.Free < uint64(cfg.Admission.Disk/2), errDisk) //nolint:gosec // checked not to be negative
}
