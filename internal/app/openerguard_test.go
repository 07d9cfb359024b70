package app_test

import (
	"errors"
	"os"
	"testing"

	"github.com/sinbahub/sinbahub/internal/app"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// An opener writes who looked into no database that lacks what serve acknowledged. It changes nothing of
// what is known, and is in nobody's way.
func TestOpenerRefusesADatabaseThatLacksWhatWasAcknowledged(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	d := newDeskOn(t, db)
	d.delivery(t, hub.Prod, hub.Delivered)
	if err := app.ConnectOpener(t.Context(), d.cfg, db.Opener); err != nil {
		t.Fatalf("where no serve ran: %v", err)
	}
	dir := served(t, d)
	before := known(t, dir)
	if err := app.ConnectOpener(t.Context(), d.cfg, db.Opener); err != nil {
		t.Fatalf("the database that serve knows: %v", err)
	}
	if after := known(t, dir); after != before {
		t.Errorf("it moved the position from %+v to %+v", before, after)
	}
	lose(t, dir)
	if err := app.ConnectOpener(t.Context(), d.cfg, db.Opener); !errors.Is(err, postgres.ErrBehind) {
		t.Errorf("a database that lacks something: %v", err)
	}
	if os.Getuid() != 0 {
		if err := os.Chmod(dir, 0); err != nil {
			t.Fatal(err)
		}
		if err := app.ConnectOpener(t.Context(), d.cfg, db.Opener); err != nil {
			t.Errorf("as another user: %v", err)
		}
	}
}
