package postgres_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

func openGuard(t *testing.T, dir string) *postgres.Guard {
	t.Helper()
	guard, err := postgres.OpenGuard(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = guard.Close() })
	return guard
}

// wantServerRefused wants no store over an address, for that reason.
func wantServerRefused(t *testing.T, dsn, dir string, want error) {
	t.Helper()
	guard := openGuard(t, dir)
	store, err := postgres.Open(t.Context(), postgres.Config{DSN: dsn, Guard: guard})
	if err == nil {
		store.Close()
	}
	if !errors.Is(err, want) {
		t.Errorf("opened with %v, want %v", err, want)
	}
	if err := guard.Close(); err != nil {
		t.Error(err)
	}
}

// The standby is promoted while the old primary lives on, alone, and the store's connections to it
// stand. The store moves over by itself; nothing it acknowledged is on the old one only, and from
// then on the old one is refused, by the running store and by the next.
func TestStoreLeavesAnOldPrimaryThatStillAnswers(t *testing.T) {
	t.Parallel()
	pair := hubtest.NewPair(t)
	dir := t.TempDir()
	both := pair.DSNs().App
	guard := openGuard(t, dir)
	store := openWith(t, postgres.Config{DSN: both, Guard: guard, Timeout: 2 * time.Second})
	ente := addEnte(t, store)
	accept(t, store, acceptance(ente.ID))

	wantServerRefused(t, pair.Standby.AppDSN(), t.TempDir(), postgres.ErrReadOnly)
	old := pair.Promote()
	t.Cleanup(old.Kill)
	var told []*postgres.Acceptance
	hubtest.Await(t, time.Minute, "the store follows the promotion", func() bool {
		a := acceptance(ente.ID)
		if _, err := store.Accept(t.Context(), a); err == nil {
			told = append(told, a)
		}
		return guard.Known().Timeline == 2 && len(told) > 0
	})
	now := openWith(t, postgres.Config{DSN: pair.Primary.AppDSN()})
	for _, a := range told {
		if found, err := now.Lookup(t.Context(), postgres.Query{Key: a.Key}); err != nil || found.Key == nil {
			t.Errorf("acknowledged on the old primary: %v", err)
		}
	}

	// Now it would take what comes, and nothing comes any more.
	old.Set("synchronous_standby_names", "")
	admin := old.Connect()
	before := hubtest.Number(t, admin, "SELECT count(*) FROM hub.event")
	for range 20 {
		accept(t, store, acceptance(ente.ID))
	}
	if after := hubtest.Number(t, admin, "SELECT count(*) FROM hub.event"); after != before {
		t.Errorf("%d events went to the old primary", after-before)
	}
	if err := guard.Close(); err != nil {
		t.Fatal(err)
	}
	wantServerRefused(t, old.AppDSN(), dir, postgres.ErrBehind)
}

// The standby was promoted although it lacked what was acknowledged (the primary no longer waited
// for it). Neither the running store nor the next one uses it, until somebody says so.
func TestStoreRefusesAServerThatLacksWhatItAcknowledged(t *testing.T) {
	t.Parallel()
	pair := hubtest.NewPair(t)
	dir := t.TempDir()
	both := pair.DSNs().App
	guard := openGuard(t, dir)
	store := openWith(t, postgres.Config{DSN: both, Guard: guard, Timeout: 2 * time.Second})
	ente := addEnte(t, store)
	accept(t, store, acceptance(ente.ID))
	pair.Standby.Kill()
	pair.Primary.Set("synchronous_standby_names", "")
	accept(t, store, acceptance(ente.ID))
	pair.Primary.Kill()
	pair.Standby.Start()
	pair.Promote()

	hubtest.Await(t, time.Minute, "the running store refuses the server", func() bool {
		return errors.Is(store.CanCommit(t.Context()), postgres.ErrBehind)
	})
	_, err := store.Accept(t.Context(), acceptance(ente.ID))
	wantKind(t, err, hub.Unavailable)
	dsn := pair.Primary.AppDSN()
	// Nothing but the guard stands in the way.
	accept(t, openWith(t, postgres.Config{DSN: dsn}), acceptance(ente.ID))
	if _, err := postgres.Adopt(t.Context(), dsn, dir); err == nil {
		t.Error("adopted while a process uses the position")
	}
	if err := guard.Close(); err != nil {
		t.Fatal(err)
	}
	wantServerRefused(t, dsn, dir, postgres.ErrBehind)
	adoption, err := postgres.Adopt(t.Context(), dsn, dir)
	if err != nil || len(adoption.Before) != 1 || adoption.Before[0].Timeline != 1 || adoption.After.Timeline != 2 {
		t.Fatalf("%+v, %v", adoption, err)
	}
	accept(t, openWith(t, postgres.Config{DSN: dsn, Guard: openGuard(t, dir)}), acceptance(ente.ID))
}

// A server that somebody set read-only is refused as a standby is, at the start and later.
func TestStoreRefusesAReadOnlyServer(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store := openWith(t, postgres.Config{DSN: db.App, Guard: openGuard(t, t.TempDir())})
	admin := superuser(t, db)
	for _, statement := range []string{
		"ALTER DATABASE " + db.Name + " SET default_transaction_read_only = on",
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
	} {
		if _, err := admin.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	hubtest.Await(t, time.Minute, "the store says that the server is read-only", func() bool {
		return errors.Is(store.CanCommit(t.Context()), postgres.ErrReadOnly)
	})
	_, err := store.Accept(t.Context(), acceptance(1))
	wantKind(t, err, hub.Unavailable)
	wantServerRefused(t, db.App, t.TempDir(), postgres.ErrReadOnly)
	if _, err := admin.Exec(t.Context(), "BEGIN; SET TRANSACTION READ WRITE; ALTER DATABASE "+db.Name+" RESET default_transaction_read_only; COMMIT"); err != nil {
		t.Fatal(err)
	}
	accept(t, store, acceptance(1))
}

// What a process knew is known to the next one, to one beside it, and after one of the two slots
// was torn; a file of which nothing can be read refuses the start.
func TestPositionOutlivesItsProcess(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	dir := t.TempDir()
	first := openGuard(t, dir)
	accept(t, openWith(t, postgres.Config{DSN: db.App, Guard: first}), acceptance(1))
	hubtest.Await(t, time.Minute, "the place in the log is known", func() bool {
		return first.Known().WAL > 0 && first.Known().Receipt != uuid.Nil
	})
	beside := openGuard(t, dir)
	if want := first.Known(); beside.Known().System != want.System || beside.Known().Timeline != want.Timeline {
		t.Error(cmp.Diff(want, beside.Known()))
	}
	accept(t, openWith(t, postgres.Config{DSN: db.App, Guard: beside}), acceptance(1))
	// Another database of the same cluster has none of the receipts.
	wantServerRefused(t, hubtest.Database(t).App, dir, postgres.ErrBehind)

	name := filepath.Join(dir, "0")
	for n, offset := range []int64{0, 4096} {
		file, err := os.OpenFile(name, os.O_RDWR, 0o600)
		if err == nil {
			_, err = file.WriteAt([]byte("torn"), offset+20)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		guard, err := postgres.OpenGuard(dir, nil)
		if n == 0 && (err != nil || guard.Known().Timeline == 0) {
			t.Errorf("one slot torn: %v", err)
		}
		if n == 1 && err == nil {
			t.Error("a file without a slot that can be read was taken")
		}
		if err == nil {
			_ = guard.Close()
		}
	}
}
