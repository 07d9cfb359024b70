package pseudonym

import "embed"

// Migrations are the vault's own migrations, in goose's format, forward only. They run as the
// owner of the database after the role hub_vault was made, from the folder migrations.
//
//go:embed migrations/*.sql
var Migrations embed.FS
