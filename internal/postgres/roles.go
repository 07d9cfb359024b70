package postgres

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"

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
)

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
		statements = append(statements, loginRole(login.role, verifier)...)
	}
	statements = append(statements, "CREATE SCHEMA IF NOT EXISTS version")
	for _, set := range sets {
		statements = append(statements, ownedSchema(set.Name)...)
	}
	statements = append(statements,
		"GRANT USAGE ON SCHEMA version TO "+RoleApp+", "+RoleVault+", "+RoleOpener,
		// Temporary tables would be the only tables the login roles can make.
		`DO $$ BEGIN EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database()); END $$`)
	for _, statement := range statements {
		if _, err := tx.Exec(ctx, statement, pgx.QueryExecModeSimpleProtocol); err != nil {
			return fmt.Errorf("prepare roles and schemas: %w", masked(err))
		}
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("prepare roles and schemas: %w", masked(err))
	}
	return nil
}

// loginRole makes a role or takes from it what it must not have, and bounds what it can hold up:
// a hub that is frozen inside a transaction gives its locks back.
func loginRole(role, verifier string) []string {
	return []string{
		createRole(role),
		"ALTER ROLE " + role + " LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS" +
			" PASSWORD '" + verifier + "'",
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
