package postgres_test

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// A server that has no room for an event says so, and it holds until something could be stored; other
// faults of the server say nothing of its disk.
func TestFullDiskHoldsUntilSomethingIsStored(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	admin, err := pgx.Connect(t.Context(), db.Superuser)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Close(context.WithoutCancel(t.Context())) })
	var full postgres.Fullness
	store := openWith(t, postgres.Config{DSN: db.App, Fullness: &full})
	ente := addEnte(t, store)
	refuse := func(table, state string) {
		t.Helper()
		if _, err := admin.Exec(t.Context(), `CREATE OR REPLACE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS
			$$ BEGIN RAISE EXCEPTION USING ERRCODE = '`+state+`'; END $$;
			CREATE OR REPLACE TRIGGER refuse BEFORE INSERT OR UPDATE ON `+table+` FOR EACH STATEMENT EXECUTE FUNCTION public.refuse()`); err != nil {
			t.Fatal(err)
		}
	}
	accept(t, store, acceptance(ente.ID))
	refuse("hub.message", "53200")
	if _, err := store.Accept(t.Context(), acceptance(ente.ID)); err == nil || full.Full() {
		t.Errorf("out of memory: %v, full %v", err, full.Full())
	}
	refuse("hub.message", "53100")
	_, err = store.Accept(t.Context(), acceptance(ente.ID))
	wantKind(t, err, hub.Unavailable)
	if !full.Full() {
		t.Error("the server's word was not heard")
	}
	refuse("hub.probe", "53100")
	var server *postgres.ServerError
	if err := store.CanCommit(t.Context()); !errors.As(err, &server) || server.State != "53100" || !full.Full() {
		t.Errorf("the probe: %v, full %v", err, full.Full())
	}
	if _, err := admin.Exec(t.Context(), "DROP FUNCTION public.refuse() CASCADE"); err != nil {
		t.Fatal(err)
	}
	if err := store.CanCommit(t.Context()); err != nil || full.Full() {
		t.Errorf("the probe stored something: %v, full %v", err, full.Full())
	}
	accept(t, store, acceptance(ente.ID))
}
