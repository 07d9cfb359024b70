package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/codelist"
)

// readReference gives the lists in force for a folder: those inside the binary, each replaced by
// the folder's own. A folder that does not exist replaces none. The folder may be a symbolic link
// that another process swaps: it is followed once, so that all files come from one folder.
func readReference(dir string) (codelist.Files, error) {
	place, err := filepath.EvalSymlinks(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return codelist.Builtin(), nil
	}
	if err != nil {
		return nil, fmt.Errorf("follow reference.dir: %w", err)
	}
	own, err := codelist.Read(os.DirFS(place))
	if err != nil {
		return nil, err
	}
	return codelist.Builtin().With(own), nil
}

// dated is the reference data in force and the folder they follow.
type dated struct {
	dir string
	log *zap.Logger
	// set is in force; it is replaced whole.
	set *codelist.Set
	// refused is what was told of the folder last, empty if its lists are in force.
	refused string

	info   *prometheus.GaugeVec
	faults prometheus.Gauge
}

// newDated reads the folder for the first time. Faults refuse the start: there is nothing older
// that could stay in force.
func newDated(dir string, log *zap.Logger, registerer prometheus.Registerer) (*dated, error) {
	d := &dated{
		dir: dir, log: log,
		info: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "hub_reference_info", Help: "Version of the reference data in force; equal versions judge alike.",
		}, []string{"version"}),
		faults: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "hub_reference_faults", Help: "Faults that keep the lists of reference.dir from coming into force.",
		}),
	}
	registerer.MustRegister(d.info, d.faults)
	files, err := readReference(dir)
	if err != nil {
		return nil, d.tell(err)
	}
	set, err := codelist.Parse(files)
	if err != nil {
		return nil, d.tell(err)
	}
	d.use(set)
	return d, nil
}

// follow puts the folder's lists in force if they changed and have no fault; else the old ones stay.
func (d *dated) follow() {
	files, err := readReference(d.dir)
	if err == nil && files.Version() == d.set.Version() {
		d.refused = ""
		d.faults.Set(0)
		return
	}
	var set *codelist.Set
	if err == nil {
		set, err = codelist.Parse(files)
	}
	if err != nil {
		_ = d.tell(err)
		return
	}
	d.use(set)
}

// use puts a set in force.
func (d *dated) use(set *codelist.Set) {
	previous := ""
	if d.set != nil {
		previous = d.set.Version()
	}
	d.set, d.refused = set, ""
	d.faults.Set(0)
	d.info.WithLabelValues(set.Version()).Set(1)
	if previous != "" {
		d.info.DeleteLabelValues(previous)
	}
	d.log.Info("reference data in force", zap.String("reference_version", set.Version()), zap.String("previous", previous))
}

// mostLogged bounds how many faults one line of the log tells; `sinbahub reference check` tells all.
const mostLogged = 20

// tell logs what is wrong with the folder, once as long as it is the same, and counts it.
func (d *dated) tell(err error) error {
	var faults codelist.FaultsError
	if !errors.As(err, &faults) {
		faults = codelist.FaultsError{{File: "the folder", Text: "cannot be read"}}
	}
	d.faults.Set(float64(len(faults)))
	lines := make([]string, 0, mostLogged)
	for _, fault := range faults[:min(len(faults), mostLogged)] {
		lines = append(lines, fault.String())
	}
	told := fmt.Sprint(len(faults), lines)
	if told != d.refused {
		d.refused = told
		inForce := ""
		if d.set != nil {
			inForce = d.set.Version()
		}
		d.log.Error("reference data refused", zap.String("reference_version", inForce),
			zap.Int("faults", len(faults)), zap.Strings("first", lines))
	}
	return fmt.Errorf("reference.dir: %w", err)
}

// reload follows the folder at once, with the registry.
func (s *server) reload(ctx context.Context) {
	if err := s.refresh(ctx); err != nil {
		s.log.Warn("registry not reloaded", zap.Error(err))
	}
}
