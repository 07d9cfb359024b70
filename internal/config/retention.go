package config

import "errors"

// Retention is how long records are kept beyond what is still to be delivered, which is always kept; 0
// keeps for ever. What must be unique for ever (IdEvento with its receipt), the journal's leaves, its tree
// and its checkpoints are never deleted. deploy/docs/operations.md, "Retention".
type Retention struct {
	// Hour of the Italian day at which one of the instances deletes what is over, 0 to 23 (default 4).
	Hour int `yaml:"hour"`
	// Messages is for how many months messages are kept as they were received, sealed. They go by calendar
	// months (UTC), each once all of it is so old; without them nothing can be replayed (default 24, at
	// least 1).
	Messages int `yaml:"messages_months"`
	// Attempts is the same for the attempts to deliver and what was sent in them, sealed (default 24, at
	// least 1).
	Attempts int `yaml:"attempts_months"`
	// Journal is the same for the bytes of journal entries, whose leaves stay (default 120, the ordinary
	// period of limitation of Italian law, art. 2946 c.c.; at least 12).
	Journal int `yaml:"journal_months"`
	// Refusals is for how many days the entries of refused requests are kept, with their codes (default
	// 30, at least 7).
	Refusals int `yaml:"refusals_days"`
	// Cases is for how many whole years after the Italian year of its last event a case is kept with its
	// events and its child's identity (default 5, at least 5).
	Cases int `yaml:"cases_years"`
	// Reconciliations is for how many months the outcomes of the comparisons with SISS are kept (default
	// 24, at least 14).
	Reconciliations int `yaml:"reconciliations_months"`
	// VaultBackups is for how many days backups of the vault are kept, wherever they are made: only then an
	// erased child can be found in none of them either. The hub says that day and deletes no backup (default
	// 35, at least 1).
	VaultBackups int `yaml:"vault_backups_days"`
}

func defaultRetention() Retention {
	return Retention{Hour: 4, Messages: 24, Attempts: 24, Journal: 120, Refusals: 30, Cases: 5, Reconciliations: 24, VaultBackups: 35}
}

// check has the same least values as the functions of migration 00019, which go by their own.
func (r Retention) check(say func(key string, err error)) {
	if r.Hour < 0 || r.Hour > 23 {
		say("retention.hour", errors.New("must be 0 to 23"))
	}
	if r.VaultBackups < 1 || r.VaultBackups > 3650 {
		say("retention.vault_backups_days", errors.New("must be 1 to 3,650"))
	}
	for _, n := range []struct {
		key                string
		value, least, most int
	}{
		{"messages_months", r.Messages, 1, 1200},
		{"attempts_months", r.Attempts, 1, 1200},
		{"journal_months", r.Journal, 12, 1200},
		{"refusals_days", r.Refusals, 7, 36500},
		{"cases_years", r.Cases, 5, 100},
		{"reconciliations_months", r.Reconciliations, 14, 1200},
	} {
		if n.value != 0 && (n.value < n.least || n.value > n.most) {
			say("retention."+n.key, errors.New("must be 0, for ever, or between the least value and a century"))
		}
	}
}
