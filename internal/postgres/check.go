package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

const serverSettingsSQL = `
SELECT name, setting FROM pg_settings
WHERE name = ANY ($1)`

const serverRoleSQL = `
SELECT current_setting('is_superuser') = 'on' OR r.rolsuper OR r.rolcreaterole OR r.rolbypassrls,
  coalesce(current_setting('hub.clock_offset', true), ''),
  current_setting('server_version_num')::integer
FROM pg_roles r WHERE r.rolname = current_user`

// oldestServer is the first version with everything the statements need.
const oldestServer = 150000

// CheckServer refuses a server or a role the hub must not run on: a superuser, durability
// switched off, statements or values in the server's log, a clock set off by a test, an old
// version. The error names every finding. A setting this role may not see counts as wrong.
func (s *Store) CheckServer(ctx context.Context) error { return CheckServer(ctx, s.pool) }

// CheckServer is Store.CheckServer for any role: the vault's server and role must be as sound.
func CheckServer(ctx context.Context, db Queryer) error {
	var findings []error
	var mighty bool
	var offset string
	var version int
	if err := db.QueryRow(ctx, serverRoleSQL).Scan(&mighty, &offset, &version); err != nil {
		return fmt.Errorf("check the server: %w", masked(err))
	}
	if mighty {
		findings = append(findings, errors.New("the role is a superuser or may make roles"))
	}
	if offset != "" {
		findings = append(findings, errors.New("hub.clock_offset is set"))
	}
	if version < oldestServer {
		findings = append(findings, errors.New("the server is older than PostgreSQL 15"))
	}
	wrong, err := wrongSettings(ctx, db)
	if err != nil {
		return fmt.Errorf("check the server: %w", masked(err))
	}
	findings = append(findings, wrong...)
	if len(findings) > 0 {
		return fmt.Errorf("database server refused: %w", errors.Join(findings...))
	}
	return nil
}

// neededSettings are the values the hub accepts for each setting.
func neededSettings() map[string][]string {
	return map[string][]string{
		"fsync":            {"on"},
		"full_page_writes": {"on"},
		// stronger than on is welcome, remote_write and local are not
		"synchronous_commit":                {"on", "remote_apply"},
		"log_statement":                     {"none"},
		"log_parameter_max_length":          {"0"},
		"log_parameter_max_length_on_error": {"0"},
		"log_error_verbosity":               {"terse"},
	}
}

func wrongSettings(ctx context.Context, db Queryer) ([]error, error) {
	needed := neededSettings()
	names := make([]string, 0, len(needed))
	for name := range needed {
		names = append(names, name)
	}
	slices.Sort(names)
	rows, err := db.Query(ctx, serverSettingsSQL, names)
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	var name, value string
	if _, err := pgx.ForEachRow(rows, []any{&name, &value}, func() error {
		found[name] = value
		return nil
	}); err != nil {
		return nil, err
	}
	var wrong []error
	for _, name := range names {
		if !slices.Contains(needed[name], found[name]) {
			wrong = append(wrong, fmt.Errorf("%s is %q, not %s", name, found[name], strings.Join(needed[name], " or ")))
		}
	}
	return wrong, nil
}

// CheckVersion refuses a database whose schema hub is not exactly of this binary's version.
func (s *Store) CheckVersion(ctx context.Context) error {
	return CheckVersion(ctx, s.pool, Migrations())
}

// Queryer is a connection or pool of pgx that may read a set's version table.
type Queryer interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// versionSQL is followed by the set's table, which is a constant of the program.
const versionSQL = `
SELECT coalesce(max(version_id), 0) FROM `

// CheckVersion refuses a database whose schema is not exactly of this binary's version.
func CheckVersion(ctx context.Context, db Queryer, set MigrationSet) error {
	want, err := set.newest()
	if err != nil {
		return err
	}
	var have int64
	table := pgx.Identifier(strings.Split(set.table(), ".")).Sanitize()
	if err := db.QueryRow(ctx, versionSQL+table).Scan(&have); err != nil {
		return fmt.Errorf("read the version of schema %s (is it migrated?): %w", set.Name, masked(err))
	}
	if have != want {
		return fmt.Errorf("schema %s has version %d, this binary needs %d: run sinbahub migrate with it",
			set.Name, have, want)
	}
	return nil
}
