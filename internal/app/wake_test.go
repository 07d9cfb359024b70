package app_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/app"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// What an operator makes due, by name or by a filter, is told to the hubs that wait.
func TestVerbsTellRunningHubs(t *testing.T) {
	t.Parallel()
	for verb, from := range map[app.Verb]hub.DeliveryState{
		app.VerbRetry: hub.Dead, app.VerbUnpark: hub.Parked, app.VerbRedeliver: hub.Refused, app.VerbRenew: hub.Refused,
	} {
		for _, filtered := range []bool{false, true} {
			t.Run(string(verb), func(t *testing.T) {
				t.Parallel()
				d := newDesk(t)
				id := d.delivery(t, hub.Prod, from)
				heard := hear(t, d)
				<-heard // what was told before it listened
				o := app.ActOptions{Verb: verb, IDs: []string{id.String()}}
				if filtered {
					o.IDs, o.Ente, o.Yes = nil, "ENTE-1", true
				}
				if out, _, err := d.act(t.Context(), o); err != nil {
					t.Fatal(err, out)
				}
				select {
				case <-heard:
				case <-time.After(30 * time.Second):
					t.Error("nobody was told")
				}
			})
		}
	}
}

// hear listens as a running hub does.
func hear(t *testing.T, d *desk) <-chan struct{} {
	t.Helper()
	store, err := postgres.Open(t.Context(), postgres.Config{DSN: d.cfg.Database.URL.Reveal(), Connections: 2})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	heard, ended := make(chan struct{}, 100), make(chan struct{})
	go func() {
		defer close(ended)
		_ = store.Hear(ctx, hub.Prod, uuid.New(), func() { heard <- struct{}{} })
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		store.Close()
	})
	return heard
}
