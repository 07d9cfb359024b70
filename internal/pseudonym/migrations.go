package pseudonym

import "embed"

// Migrations are the vault's own migrations, in goose's format, forward only, in the folder
// migrations. They run as the owner of the schema vault, after schema and role hub_vault exist.
//
//go:embed migrations/*.sql
var Migrations embed.FS
