// Package hubtest starts what a test needs of the hub: a database, and with later files a hub, a
// SISS and participants. It is for tests only.
package hubtest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
)

// DB is a database of a test's own, migrated and otherwise empty.
type DB struct {
	// DSNs are its addresses for each role.
	postgres.DSNs
	// Name of the database.
	Name string
}

// testCluster is one cluster for all test processes of this machine and user. The first to come
// makes and starts it; it keeps running, so that the next run is quick.
//
//nolint:gochecknoglobals // once for the process, however many tests run in parallel
var testCluster = sync.OnceValues(func() (*postgres.Cluster, error) {
	ctx, cancel := context.WithTimeout(testContext(), 2*time.Minute)
	defer cancel()
	cluster, err := postgres.StartCluster(ctx, postgres.ClusterConfig{
		Dir:      filepath.Join(os.TempDir(), "sinbahub-test-"+strconv.Itoa(os.Getuid()), "postgres"),
		Settings: map[string]string{"max_connections": "500", "max_wal_size": "1GB"},
	})
	if err != nil {
		return nil, err
	}
	return cluster, dropOld(ctx, cluster)
})

// Database gives the test a database of its own, a copy of one that was migrated once with the
// hub's set and the vault's. It is dropped when the test ends.
func Database(tb testing.TB) DB {
	tb.Helper()
	sets := []postgres.MigrationSet{Vault()}
	cluster, err := testCluster()
	if err != nil {
		tb.Fatalf("start the test cluster: %v", err)
	}
	template, err := template(tb.Context(), cluster, sets)
	if err != nil {
		tb.Fatalf("make the template database: %v", err)
	}
	name := fmt.Sprintf("test_%d_%s", time.Now().Unix(), strings.ToLower(rand.Text()[:12]))
	for _, statement := range []string{
		"CREATE DATABASE " + name + " TEMPLATE " + template,
		// Privileges on a database are not copied with it; this is what Migrate does.
		"REVOKE TEMPORARY ON DATABASE " + name + " FROM PUBLIC",
	} {
		if err := execute(tb.Context(), cluster, statement); err != nil {
			tb.Fatalf("copy the template database: %v", err)
		}
	}
	tb.Cleanup(func() {
		ctx := context.WithoutCancel(tb.Context())
		if err := execute(ctx, cluster, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			tb.Errorf("drop the test's database: %v", err)
		}
	})
	return DB{DSNs: cluster.DatabaseDSNs(name), Name: name}
}

// Vault is the vault's set of migrations.
func Vault() postgres.MigrationSet {
	return postgres.MigrationSet{Name: "vault", FS: pseudonym.Migrations, Table: "vault.goose_version"}
}

// template is the name of the migrated database for these very migrations.
func template(ctx context.Context, cluster *postgres.Cluster, sets []postgres.MigrationSet) (string, error) {
	hash := sha256.New()
	for _, set := range append([]postgres.MigrationSet{postgres.Migrations()}, sets...) {
		hash.Write([]byte(set.Name + set.Table))
		err := fs.WalkDir(set.FS, ".", func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			text, err := fs.ReadFile(set.FS, path)
			hash.Write([]byte(path))
			hash.Write(text)
			return err
		})
		if err != nil {
			return "", err
		}
	}
	name := "template_" + hex.EncodeToString(hash.Sum(nil)[:8])
	return name, makeTemplate(ctx, cluster, name, sets)
}

// makeTemplate migrates a database once; all test processes take turns at it.
func makeTemplate(ctx context.Context, cluster *postgres.Cluster, name string, sets []postgres.MigrationSet) error {
	conn, err := pgx.Connect(ctx, cluster.DatabaseDSNs("postgres").Superuser)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var ready bool
	const isReady = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)"
	if err := conn.QueryRow(ctx, isReady, name).Scan(&ready); err != nil || ready {
		return err
	}
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock(hashtext('hubtest'))"); err != nil {
		return err
	}
	if err := conn.QueryRow(ctx, isReady, name).Scan(&ready); err != nil || ready {
		return err
	}
	unfinished := name + "_new"
	if _, err := conn.Exec(ctx, "DROP DATABASE IF EXISTS "+unfinished+" WITH (FORCE)"); err != nil {
		return err
	}
	if err := cluster.MigrateDatabase(ctx, unfinished, sets...); err != nil {
		return err
	}
	// Nobody can connect to it, because a database in use cannot be copied.
	for _, statement := range []string{
		"ALTER DATABASE " + unfinished + " ALLOW_CONNECTIONS false",
		"ALTER DATABASE " + unfinished + " RENAME TO " + name,
	} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// dropOld drops what killed test processes left behind more than an hour ago.
func dropOld(ctx context.Context, cluster *postgres.Cluster) error {
	conn, err := pgx.Connect(ctx, cluster.DatabaseDSNs("postgres").Superuser)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	rows, err := conn.Query(ctx, `
SELECT datname FROM pg_database
WHERE datname LIKE 'test\_%'
  AND split_part(datname, '_', 2)::bigint < extract(epoch FROM clock_timestamp()) - 3600`)
	if err != nil {
		return err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, err := conn.Exec(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
			return err
		}
	}
	return nil
}

// execute runs one statement outside any transaction.
func execute(ctx context.Context, cluster *postgres.Cluster, statement string) error {
	conn, err := pgx.Connect(ctx, cluster.DatabaseDSNs("postgres").Superuser)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	_, err = conn.Exec(ctx, statement)
	return err
}

// testContext begins the context of what outlives a single test.
func testContext() context.Context {
	return context.Background() //nolint:forbidigo // the cluster belongs to no test
}

// Sibling gives the addresses of another database of the test cluster.
func Sibling(tb testing.TB, name string) postgres.DSNs {
	tb.Helper()
	cluster, err := testCluster()
	if err != nil {
		tb.Fatalf("start the test cluster: %v", err)
	}
	return cluster.DatabaseDSNs(name)
}
