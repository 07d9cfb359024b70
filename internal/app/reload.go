package app

import (
	"context"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/journal"
)

// The outcomes of journal.ConfigurationChanged.
const (
	configurationStarted  = "started"
	configurationReloaded = "reloaded"
)

// reloads tell what became of the orders to reload, and owe the journal what it could not take yet.
type reloads struct {
	successful, lastAt prometheus.Gauge
	failures           prometheus.Counter
	owed               []journal.Entry
}

func newReloads(registerer prometheus.Registerer) *reloads {
	r := &reloads{
		successful: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "hub_config_last_reload_successful", Help: "1 if the last order to reload the configuration was followed.",
		}),
		lastAt: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "hub_config_last_reload_timestamp_seconds", Help: "When the configuration in force was read.",
		}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "hub_config_reload_failures_total", Help: "Orders to reload that changed nothing: a fault in the configuration, or a key that needs a restart.",
		}),
	}
	registerer.MustRegister(r.successful, r.lastAt, r.failures)
	return r
}

// began notes the configuration that serve starts with.
func (s *server) began(ctx context.Context) {
	s.reloads.successful.Set(1)
	s.reloads.lastAt.Set(float64(time.Now().Unix()))
	s.noteConfiguration(ctx, s.config(), configurationStarted, nil)
}

// reconfigure follows the configuration file as it is now: whole, or not at all. What is refused is
// told with the keys that are at fault, and the old configuration stays in force.
func (s *server) reconfigure(ctx context.Context) {
	if s.opts.Reload == nil {
		return
	}
	after, err := s.opts.Reload()
	if err != nil {
		s.refuseConfiguration(zap.Strings("faults", strings.Split(err.Error(), "\n")))
		return
	}
	changed, later := config.Changed(s.config(), after)
	if len(later) > 0 {
		s.refuseConfiguration(zap.Strings("needs_restart", later))
		return
	}
	severities, err := newSeverities(after)
	if err != nil {
		s.refuseConfiguration(zap.Strings("faults", strings.Split(err.Error(), "\n")))
		return
	}
	// Nothing below can fail.
	s.inForce.Store(&after)
	level := levelOf(after.Log.Level)
	// A log that tells less from now on still tells that.
	s.level.SetLevel(min(level, s.level.Level()))
	defer s.level.SetLevel(level)
	s.gateway.Relimit(gatewayLimits(after))
	s.gateway.Soften(severities)
	if s.delivery != nil {
		s.delivery.SetRate(after.SISS.Rate)
		s.reconciler.SetRate(after.SISS.Rate)
	}
	s.reloads.successful.Set(1)
	s.reloads.lastAt.Set(float64(time.Now().Unix()))
	if len(changed) > 0 {
		s.noteConfiguration(ctx, after, configurationReloaded, changed)
	}
}

// refuseConfiguration tells why an order to reload changed nothing.
func (s *server) refuseConfiguration(why zap.Field) {
	s.reloads.successful.Set(0)
	s.reloads.failures.Inc()
	s.log.Error("configuration refused: the old one stays in force", why)
}

// noteConfiguration logs and journals what is in force from now on.
func (s *server) noteConfiguration(ctx context.Context, cfg config.Config, outcome string, changed []string) {
	digest := cfg.Digest()
	s.log.Info("configuration in force", zap.String("outcome", outcome), zap.Strings("changed", changed),
		zap.String("configuration_digest", hex.EncodeToString(digest[:])))
	entry := journal.Entry{
		ID: uuid.Must(uuid.NewV7()), At: time.Now().UTC().Truncate(time.Microsecond), Kind: journal.ConfigurationChanged,
		Environment: cfg.Env(), Outcome: outcome, Commitment: digest, Reason: strings.Join(changed, " "),
	}
	// The signal does not say who sent it: the account of the process is what is known.
	entry.Actor, _ = accountName()
	if severities, err := newSeverities(cfg); err == nil {
		entry.Severities = severities.Digest()
	}
	s.reloads.owed = append(s.reloads.owed, entry)
	s.payJournal(ctx)
}

// payJournal writes what the journal could not take before. A database that is away does not keep an
// operator from changing the level of the log, say.
func (s *server) payJournal(ctx context.Context) {
	if len(s.reloads.owed) == 0 {
		return
	}
	if err := s.stores.store.Journal(ctx, s.reloads.owed...); err != nil {
		if !errors.Is(err, context.Canceled) {
			s.log.Warn("configuration not journalled yet", zap.Error(err))
		}
		return
	}
	s.reloads.owed = nil
}
