package config

import "errors"

// Reconcile is the daily comparison with SISS (deploy/docs/reconciliation.md).
type Reconcile struct {
	// Hour of the Italian day at which the days before are compared, 0 to 23 (default 3).
	Hour int `yaml:"hour"`
	// Days is how far back a day is compared again that was not found equal (default 7).
	Days int `yaml:"days"`
	// Rate is the most questions per second, beside the deliveries (default 20); at most a tenth of
	// siss.rate, if that is set.
	Rate int `yaml:"rate"`
}

func defaultReconcile() Reconcile { return Reconcile{Hour: 3, Days: 7, Rate: 20} }

func (r Reconcile) check(say func(key string, err error)) {
	if r.Hour < 0 || r.Hour > 23 {
		say("reconcile.hour", errors.New("must be 0 to 23"))
	}
	if r.Days < 1 || r.Days > 366 {
		say("reconcile.days", errors.New("must be 1 to 366"))
	}
	if r.Rate < 1 {
		say("reconcile.rate", errors.New("must be at least 1"))
	}
}
