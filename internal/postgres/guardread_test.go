package postgres_test

import (
	"testing"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// A guard that only reads keeps no file of positions: a database can be accepted beside it, and it can
// serve connections.
func TestReadGuardIsInNobodysWay(t *testing.T) {
	t.Parallel()
	db, dir := hubtest.Database(t), t.TempDir()
	guard := openGuard(t, dir)
	accept(t, openWith(t, postgres.Config{DSN: db.App, Guard: guard}), acceptance(1))
	if err := guard.Close(); err != nil {
		t.Fatal(err)
	}
	reader, err := postgres.ReadGuard(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if reader.Known().System == 0 {
		t.Error("it knows nothing")
	}
	if _, err := postgres.Adopt(t.Context(), db.App, dir); err != nil {
		t.Errorf("beside it: %v", err)
	}
	store := openWith(t, postgres.Config{DSN: db.App, Guard: reader})
	if err := store.Remember(t.Context()); err != nil {
		t.Errorf("with it: %v", err)
	}
	if err := reader.Close(); err != nil {
		t.Error(err)
	}
}
