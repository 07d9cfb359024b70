package app

import (
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

// Dated is what serve follows reference.dir with, for tests.
type Dated struct{ d *dated }

// NewDated reads the folder for the first time.
func NewDated(dir string, log *zap.Logger, registerer prometheus.Registerer) (Dated, error) {
	d, err := newDated(dir, log, registerer)
	return Dated{d}, err
}

// Follow looks at the folder again and gives the version then in force.
func (d Dated) Follow() string {
	d.d.follow()
	return d.d.set.Version()
}
