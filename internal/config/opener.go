package config

import (
	"errors"
	"path/filepath"
	"slices"
)

// Opener is the process that opens what was sealed (deploy/docs/operations.md). Its configuration file is
// its own: what serve reads must have neither DatabaseURL nor the folder Keys.
type Opener struct {
	// Socket is the Unix socket it listens on and its clients call (default VAR/opener/opener.sock, or a
	// folder under /tmp if that is too long for a socket).
	Socket string `yaml:"socket"`
	// Keys is the folder of the private halves of the sealing pairs, readable by their owner only
	// (default KEYS.DIR/opener).
	Keys string `yaml:"keys"`
	// KeyCommand prints the private halves instead, as their files have them, one after the other: an
	// absolute path and its arguments, run once at the start without a shell (default: Keys).
	KeyCommand []string `yaml:"key_command"`
	// Codes is the folder of the keys of codes, by which the subject of a pseudonym is found (default
	// KEYS.DIR if they are there; without them nobody is re-identified).
	Codes string `yaml:"codes"`
	// People is the opener's own list of whose signatures count (default KEYS/people).
	People string `yaml:"people"`
	// DatabaseURL is of the opener's role (default: the embedded cluster, which must be running).
	DatabaseURL Secret `yaml:"database_url"`
	// VaultURL is of the opener's role where the vault is another database (default: DatabaseURL).
	VaultURL Secret `yaml:"vault_url"`
	// User is the account or number it becomes when it is started as root (default: the account
	// sinbahub-opener, and 65533 if there is none).
	User string `yaml:"user"`
	// UIDs and GIDs are the users and groups that may ask (default: the user it was started by).
	UIDs []int `yaml:"uids"`
	GIDs []int `yaml:"gids"`
	// Rate is how many tickets a user may show in a minute, good or bad (default 30).
	Rate int `yaml:"rate"`
}

func defaultOpener() Opener { return Opener{Rate: 30} }

func (o Opener) check(say func(key string, err error)) {
	if o.Rate < 1 {
		say("opener.rate", errors.New("must be at least 1"))
	}
	if o.DatabaseURL.IsZero() && !o.VaultURL.IsZero() {
		say("opener", errors.New("vault_url needs database_url"))
	}
	if len(o.KeyCommand) > 0 && !filepath.IsAbs(o.KeyCommand[0]) {
		say("opener.key_command", errors.New("must begin with an absolute path"))
	}
	if slices.ContainsFunc(slices.Concat(o.UIDs, o.GIDs), func(id int) bool { return id < 0 }) {
		say("opener.uids, opener.gids", errNegative)
	}
}
