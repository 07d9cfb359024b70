//go:build e2e

package hubtest_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// secondServer starts a database server of its own, with all schemas, and gives what starts it again.
func secondServer(t *testing.T) (start func() *postgres.Cluster) {
	t.Helper()
	dir, err := os.MkdirTemp("", "sinbahub-vault-") //nolint:usetesting // its user is not ours
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	var cluster *postgres.Cluster
	t.Cleanup(func() {
		stopServer(t, cluster)
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return func() *postgres.Cluster {
		if cluster, err = postgres.StartCluster(t.Context(), postgres.ClusterConfig{Dir: filepath.Join(dir, "postgres")}); err != nil {
			t.Fatal(err)
		}
		if err := cluster.Migrate(t.Context(), hubtest.Vault()); err != nil {
			t.Fatal(err)
		}
		return cluster
	}
}

func stopServer(t *testing.T, cluster *postgres.Cluster) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	if err := cluster.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// TestE2EVaultOnAServerOfItsOwn: with database.vault_url on another server than database.url, events are
// accepted and delivered, identities are there and nowhere else; without that server an event is refused
// with a fault that says to come again, and accepted when it is back.
func TestE2EVaultOnAServerOfItsOwn(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	start := secondServer(t)
	vault := start()
	serve := h.Serve("apart", func(settings map[string]any) {
		hubtest.Settings(settings, "database", map[string]any{"vault_url": vault.VaultDSN()})
	})
	serve.Start()
	serve.AwaitReady()
	sender := h.Sender(hubtest.ChildEnte)
	sender.URL = serve.SoapURL
	db := h.Superuser()
	apart, err := pgx.Connect(t.Context(), vault.SuperuserDSN())
	if err != nil {
		t.Fatal(err)
	}
	first := hubtest.Child(70).Event(uuid.New(), 1)
	if a := mustSend(t, sender, soap.V12, first); a.Receipt == nil {
		t.Fatalf("%s", a.Body)
	}
	hubtest.AwaitDelivered(t, db, patience)
	if here, there := hubtest.Number(t, db, "SELECT count(*) FROM vault.subject"), hubtest.Number(t, apart, "SELECT count(*) FROM vault.subject"); here != 0 || there != 1 {
		t.Errorf("%d subjects on the hub's server, %d on the vault's", here, there)
	}
	if n := hubtest.Number(t, apart, "SELECT count(*) FROM hub.event"); n != 0 {
		t.Errorf("%d events on the vault's server", n)
	}
	if err := apart.Close(t.Context()); err != nil {
		t.Error(err)
	}
	stopServer(t, vault)
	later := hubtest.Child(71).Event(uuid.New(), 1)
	a := mustSend(t, sender, soap.V12, later)
	if a.Receipt != nil || a.Fault == nil || a.Status != 503 {
		t.Errorf("without the vault: %d %.300s", a.Status, a.Body)
	}
	if n := hubtest.Number(t, db, "SELECT count(*) FROM hub.event"); n != 1 {
		t.Errorf("%d events stored without the vault", n)
	}
	start()
	hubtest.Await(t, patience, "the event is accepted", func() bool {
		return mustSend(t, sender, soap.V12, later).Receipt != nil
	})
	if a := mustSend(t, sender, soap.V12, first); a.Receipt == nil || a.Receipt.Esito != "DUPLICATO" {
		t.Errorf("the first again: %s", a.Body)
	}
	hubtest.AwaitDelivered(t, db, patience)
}
