package app_test

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/app"
	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// served makes a desk where serve ran: it remembers how far the database was. It gives the folder.
func served(t *testing.T, d *desk) (dir string) {
	t.Helper()
	d.cfg.Var = t.TempDir()
	dir = filepath.Join(d.cfg.Var, "position", "PROD")
	guard, err := postgres.OpenGuard(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	store, err := postgres.Open(t.Context(), postgres.Config{DSN: d.cfg.Database.URL.Reveal(), Guard: guard})
	if err != nil {
		t.Fatal(err)
	}
	store.Close()
	if err := guard.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// known is what stands in a folder of positions.
func known(t *testing.T, dir string) postgres.Position {
	t.Helper()
	guard, err := postgres.OpenGuard(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer guard.Close() //nolint:errcheck // nothing was written
	return guard.Known()
}

// lose makes the database one that lacks the last of what was known: the position is moved behind the
// end of its log.
func lose(t *testing.T, dir string) {
	t.Helper()
	name := filepath.Join(dir, "0")
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	const stride, body, wal = 4096, 44, 20
	for at := 0; at+body+4 <= len(text); at += stride {
		slot := text[at : at+body+4]
		if binary.BigEndian.Uint64(slot) == 0 {
			continue
		}
		binary.BigEndian.PutUint64(slot[wal:], binary.BigEndian.Uint64(slot[wal:])+1<<40)
		binary.BigEndian.PutUint32(slot[body:], crc32.ChecksumIEEE(slot[:body]))
	}
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Nothing that changes the database is done in one that lacks what serve acknowledged, and the fault
// says what to do. Who only looks may look.
func TestVerbsRefuseADatabaseThatLacksWhatWasAcknowledged(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	id := d.delivery(t, hub.Prod, hub.Dead)
	lose(t, served(t, d))
	_, _, acted := d.act(t.Context(), app.ActOptions{Verb: app.VerbRetry, IDs: []string{id.String()}})
	reconciling := d.cfg
	reconciling.SISS.URL = "http://127.0.0.1:1/"
	for name, err := range map[string]error{
		"retry":           acted,
		"maintenance on":  app.BeginMaintenance(t.Context(), d.cfg, app.MaintenanceOptions{Text: "prova"}, io.Discard),
		"maintenance off": app.EndMaintenance(t.Context(), d.cfg, app.MaintenanceOptions{}, io.Discard),
		"reconcile":       app.Reconcile(t.Context(), reconciling, app.ReconcileOptions{}, io.Discard, io.Discard),
	} {
		if !errors.Is(err, postgres.ErrBehind) || !strings.Contains(err.Error(), "sinbahub accept-database") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := d.states(t); got["dead"] != 1 {
		t.Errorf("states %v: a refused verb did something", got)
	}
	if err := app.ListDeliveries(t.Context(), d.cfg, app.ListOptions{Limit: 10}, io.Discard); err != nil {
		t.Errorf("list: %v", err)
	}
	if err := app.AcceptDatabase(t.Context(), d.cfg, io.Discard, "prova"); err != nil {
		t.Fatal(err)
	}
	if out, _, err := d.act(t.Context(), app.ActOptions{Verb: app.VerbRetry, IDs: []string{id.String()}}); err != nil {
		t.Errorf("after accept-database: %v %s", err, out)
	}
}

// A server that lacks what an operator did is as old as one that lacks a receipt.
func TestVerbsRememberHowFarTheDatabaseIs(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	id := d.delivery(t, hub.Prod, hub.Dead)
	dir := served(t, d)
	before := known(t, dir)
	if _, _, err := d.act(t.Context(), app.ActOptions{Verb: app.VerbRetry, IDs: []string{id.String()}}); err != nil {
		t.Fatal(err)
	}
	var end uint64
	if err := d.admin.QueryRow(t.Context(), "SELECT (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::bigint").Scan(&end); err != nil {
		t.Fatal(err)
	}
	after := known(t, dir)
	if after.WAL <= before.WAL || after.WAL > end || after.System != before.System {
		t.Errorf("known %+v, before %+v, the log ends at %X", after, before, end)
	}
	if err := app.ListDeliveries(t.Context(), d.cfg, app.ListOptions{Limit: 10}, io.Discard); err != nil {
		t.Fatal(err)
	}
	if read := known(t, dir); read != after {
		t.Errorf("who only looked moved the position from %+v to %+v", after, read)
	}
}

// On a machine where no serve ran nothing is known, and nothing is left behind that nobody would read.
func TestVerbsOnAnotherMachineKeepNoPosition(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.cfg.Var = t.TempDir()
	id := d.delivery(t, hub.Prod, hub.Dead)
	if _, _, err := d.act(t.Context(), app.ActOptions{Verb: app.VerbRetry, IDs: []string{id.String()}}); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(d.cfg.Var); err != nil || len(left) != 0 {
		t.Errorf("left %v %v", left, err)
	}
}

// Whoever attaches to a running embedded database finds the tables of the serve that runs there, and
// leaves them to it; a command that only looks leaves them however it came to the database.
func TestCommandsDoNotMigrateWhatOthersRun(t *testing.T) {
	t.Parallel()
	cfg, err := config.Load("", []string{"SINBAHUB_VAR=" + t.TempDir(), "SINBAHUB_ENVIRONMENT=PROD"})
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := postgres.StartCluster(t.Context(), postgres.ClusterConfig{Dir: filepath.Join(cfg.Var, "postgres")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cluster.Stop(context.WithoutCancel(t.Context())) })
	unmigrated := func(what string) {
		t.Helper()
		admin, err := pgx.Connect(t.Context(), cluster.SuperuserDSN())
		if err != nil {
			t.Fatal(err)
		}
		defer admin.Close(t.Context()) //nolint:errcheck // it only read
		if n := hubtest.Number(t, admin, "SELECT count(*) FROM pg_namespace WHERE nspname = 'hub'"); n != 0 {
			t.Errorf("%s migrated the database", what)
		}
	}
	list := func() error { return app.ListDeliveries(t.Context(), cfg, app.ListOptions{Limit: 10}, io.Discard) }
	if err := list(); err == nil {
		t.Error("list found tables")
	}
	unmigrated("list, attached")
	if err := app.BeginMaintenance(t.Context(), cfg, app.MaintenanceOptions{Text: "prova"}, io.Discard); err == nil {
		t.Error("maintenance found tables")
	}
	unmigrated("maintenance, attached")
	if err := cluster.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := list(); err == nil {
		t.Error("list found tables")
	}
	if cluster, err = postgres.StartCluster(t.Context(), postgres.ClusterConfig{Dir: filepath.Join(cfg.Var, "postgres")}); err != nil {
		t.Fatal(err)
	}
	unmigrated("list, alone")
	if err := cluster.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := app.BeginMaintenance(t.Context(), cfg, app.MaintenanceOptions{Text: "prova"}, io.Discard); err != nil {
		t.Errorf("maintenance alone on a database that nobody prepared: %v", err)
	}
	if err := list(); err != nil {
		t.Error(err)
	}
}
