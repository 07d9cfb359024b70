package config

// Operator is who runs the commands on this machine, so that nobody types it each time. --as and --key go
// before it.
type Operator struct {
	// Person is the name that `sinbahub person add` registered (default: none; the account acts for as long
	// as no operator is registered).
	Person string `yaml:"person"`
	// KeyFile is that person's Ed25519 private key, readable by its owner only.
	KeyFile string `yaml:"key_file"`
}
