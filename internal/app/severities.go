package app

import (
	"encoding/hex"
	"fmt"
	"slices"

	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/sinba"
)

// newSeverities is the configured severity table in the rules' words.
func newSeverities(cfg config.Config) (*sinba.Severities, error) {
	lenient := make([]sinba.Leniency, 0, len(cfg.Rules.WarningOnly))
	for _, w := range cfg.Rules.WarningOnly {
		lenient = append(lenient, sinba.Leniency{Rule: w.Rule, Participant: w.Participant, BlocksFrom: w.BlocksFrom()})
	}
	severities, err := sinba.NewSeverities(cfg.Rules.CutOff, lenient)
	if err != nil {
		return nil, fmt.Errorf("rules: %w", err)
	}
	return severities, nil
}

// tellSeverities writes what is in force into the log when it changed, under the digest that the
// journal has, and warns of a participant that the registry does not know: a slip of the pen would
// soften nothing.
func (s *server) tellSeverities(severities *sinba.Severities, roll *postgres.Registry) {
	digest, rules := severities.Digest(), s.config().Rules
	if s.told != nil && *s.told == digest {
		return
	}
	s.told = &digest
	s.log.Info("rules in force", zap.Int("rules_version", sinba.RulesVersion),
		zap.String("severities_digest", hex.EncodeToString(digest[:])), zap.String("cut_off", rules.CutOff))
	for _, w := range rules.WarningOnly {
		fields := []zap.Field{zap.String("rule", w.Rule), zap.String("participant", w.Participant), zap.String("blocks_from", w.BlocksFrom())}
		s.log.Info("rule only warns for now", fields...)
		known := slices.ContainsFunc(roll.Credentials, func(c postgres.Credential) bool { return c.Participant.Name == w.Participant })
		if w.Participant != "" && !known {
			s.log.Warn("rule softened for a participant that is not in the registry", fields...)
		}
	}
}
