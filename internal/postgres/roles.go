package postgres

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// The login roles Migrate makes. Neither owns anything, and each sees its own schema only.
const (
	// RoleApp is the hub's: serve runs as it.
	RoleApp = "hub_app"
	// RoleVault is the vault's, for its own pool.
	RoleVault = "hub_vault"
	// RoleOpener is the opener's, for both schemas: it reads what is sealed and writes who looked.
	RoleOpener = "hub_opener"
	// RoleReader cannot log in: RoleApp takes it for a transaction that answers one participant.
	RoleReader = "hub_reader"
)

// RoleMigrate is for a server whose superuser is somebody else's: it is a member of the schemas' owners, and
// Migrate runs as it once deploy/postgres/roles.sql was run.
const RoleMigrate = "hub_migrate"

// prepare makes what migrations need: roles, schemas with their owners, the schema of versions.
func prepare(ctx context.Context, conn *pgx.Conn, cfg MigrateConfig, sets []MigrationSet) error {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return fmt.Errorf("begin: %w", masked(err))
	}
	defer func() { _ = tx.Rollback(ctx) }()
	// Roles belong to the whole cluster, the advisory lock to one database only.
	statements := []string{"LOCK TABLE pg_catalog.pg_authid IN SHARE ROW EXCLUSIVE MODE"}
	for _, login := range []struct{ role, password string }{
		{RoleApp, cfg.AppPassword},
		{RoleVault, cfg.VaultPassword},
		{RoleOpener, cfg.OpenerPassword},
	} {
		if login.password == "" {
			// Whoever migrates need not know the opener's: without one the role cannot log in, or goes
			// on as it did.
			statements = append(statements, createRole(login.role))
			continue
		}
		verifier, err := scramVerifier(login.password)
		if err != nil {
			return err
		}
		statements = append(statements, loginRole(login.role, " PASSWORD '"+verifier+"'")...)
	}
	for _, statement := range append(statements, schemas(sets)...) {
		if _, err := tx.Exec(ctx, statement, pgx.QueryExecModeSimpleProtocol); err != nil {
			return fmt.Errorf("prepare roles and schemas: %w", masked(err))
		}
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("prepare roles and schemas: %w", masked(err))
	}
	return nil
}

// schemas makes what Migrate needs besides the login roles.
func schemas(sets []MigrationSet) []string {
	statements := append(readerRole(), "CREATE SCHEMA IF NOT EXISTS version")
	for _, set := range sets {
		statements = append(statements, ownedSchema(set.Name)...)
	}
	return append(statements,
		// For hub.oldest_transaction alone: nobody can be that role. Where whoever migrates may not give it
		// (a rented server), the function sees the application's own transactions only.
		`DO $$ BEGIN GRANT pg_read_all_stats TO hub_owner; EXCEPTION WHEN insufficient_privilege THEN NULL; END $$`,
		"GRANT USAGE ON SCHEMA version TO "+RoleApp+", "+RoleVault+", "+RoleOpener,
		// Temporary tables would be the only tables the login roles can make.
		`DO $$ BEGIN EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database()); END $$`)
}

// RolesSQL is what a superuser runs, in each database of the hub, on a server where the hub is never given a
// superuser: the roles without their passwords, the schemas and their owners, and RoleMigrate, as which
// Migrate does the rest. It is deploy/postgres/roles.sql.
func RolesSQL(sets ...MigrationSet) string {
	statements := []string{"BEGIN"}
	for _, role := range []string{RoleApp, RoleVault, RoleOpener} {
		statements = append(statements, loginRole(role, "")...)
	}
	statements = append(statements, schemas(append([]MigrationSet{Migrations()}, sets...))...)
	statements = append(statements, createRole(RoleMigrate),
		"ALTER ROLE "+RoleMigrate+" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS")
	for _, set := range append([]MigrationSet{Migrations()}, sets...) {
		statements = append(statements, "GRANT "+set.Name+"_owner TO "+RoleMigrate)
	}
	return rolesHead + strings.Join(append(statements, "COMMIT"), ";\n") + ";\n"
}

const rolesHead = `-- For the DBA of a server on which the hub gets no superuser. Run it as one in the hub's database (and, where
-- the vault has a server of its own, in the vault's), before the first start and after each upgrade:
--
--   psql -d hub -f roles.sql
--
-- Then give the login roles their passwords (\password hub_app, hub_vault, hub_opener, hub_migrate) and run
-- the migrations as hub_migrate: sinbahub migrate --admin-url-file FILE, with its address in FILE.
-- Written by internal/postgres (RolesSQL), whose tests hold this file against it: do not edit.

`

// prepared tells whether a superuser made the roles of the sets, and this connection's may run their
// migrations.
func prepared(ctx context.Context, conn *pgx.Conn, sets []MigrationSet) error {
	for _, set := range sets {
		var member bool
		err := conn.QueryRow(ctx, `
SELECT EXISTS (
  SELECT FROM pg_roles r JOIN pg_namespace n ON n.nspowner = r.oid AND n.nspname = $1
  WHERE r.rolname = $1 || '_owner' AND pg_has_role(r.oid, 'MEMBER')
)`, set.Name).Scan(&member)
		if err != nil {
			return fmt.Errorf("look for the roles: %w", masked(err))
		}
		if !member {
			return errNotPrepared
		}
	}
	return nil
}

// errNotPrepared says what is to be done.
var errNotPrepared = errors.New("migrate: neither a superuser nor a server on which deploy/postgres/roles.sql was run")

// loginRole makes a role or takes from it what it must not have, and bounds what it can hold up:
// a hub that is frozen inside a transaction gives its locks back.
func loginRole(role, password string) []string {
	return []string{
		createRole(role),
		"ALTER ROLE " + role + " LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS" +
			password,
		"ALTER ROLE " + role + " SET statement_timeout = '15s'",
		"ALTER ROLE " + role + " SET lock_timeout = '10s'",
		"ALTER ROLE " + role + " SET idle_in_transaction_session_timeout = '15s'",
		// Every statement finds a few rows by an index and may be planned once for ever. Without
		// these, a plan made while the tables were still empty would read them whole until the next
		// ANALYZE, and statements over small batches would be planned each time.
		"ALTER ROLE " + role + " SET plan_cache_mode = force_generic_plan",
		"ALTER ROLE " + role + " SET enable_seqscan = off",
		// A claim walks its index in the order of time and stops early; the planner believes that
		// few rows pass its conditions, and would rather sort the whole backlog.
		"ALTER ROLE " + role + " SET enable_bitmapscan = off",
		"ALTER ROLE " + role + " SET enable_hashjoin = off",
		"ALTER ROLE " + role + " SET enable_mergejoin = off",
	}
}

// readerRole makes the role of what is read for one participant. Nobody has its rights by being a member:
// they are taken, and with them goes what RoleApp may do.
func readerRole() []string {
	return []string{
		createRole(RoleReader),
		"ALTER ROLE " + RoleReader + " NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS",
		"ALTER ROLE " + RoleApp + " NOINHERIT",
		"GRANT " + RoleReader + " TO " + RoleApp,
	}
}

// ownedSchema makes a schema and its owner, who may also keep its version.
func ownedSchema(name string) []string {
	owner := name + "_owner"
	return []string{
		createRole(owner),
		"ALTER ROLE " + owner + " NOLOGIN NOSUPERUSER",
		"CREATE SCHEMA IF NOT EXISTS " + name + " AUTHORIZATION " + owner,
		"GRANT USAGE, CREATE ON SCHEMA version TO " + owner,
		"ALTER DEFAULT PRIVILEGES FOR ROLE " + owner + " IN SCHEMA version GRANT SELECT ON TABLES TO " +
			RoleApp + ", " + RoleVault + ", " + RoleOpener,
	}
}

// createRole makes a role that does not exist yet.
func createRole(role string) string {
	return "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '" + role +
		"') THEN CREATE ROLE " + role + "; END IF; END $$"
}

// scramVerifier is what PostgreSQL keeps of a password (RFC 5803), so that the password itself
// is in no statement that a server could log.
func scramVerifier(password string) (string, error) {
	const rounds = 4096
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // never fails
	salted, err := pbkdf2.Key(sha256.New, password, salt, rounds, sha256.Size)
	if err != nil {
		return "", fmt.Errorf("derive the password's verifier: %w", err)
	}
	mac := func(text string) []byte {
		h := hmac.New(sha256.New, salted)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	stored := sha256.Sum256(mac("Client Key"))
	b64 := base64.StdEncoding.EncodeToString
	return "SCRAM-SHA-256$" + strconv.Itoa(rounds) + ":" + b64(salt) + "$" +
		b64(stored[:]) + ":" + b64(mac("Server Key")), nil
}
