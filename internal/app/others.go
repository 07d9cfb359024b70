package app

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
)

// others is what only several enti together know of a child. It is looked for behind the answers, so
// that none of them can depend on it, and told to the privacy officer: by journal entries that no
// ente is given, and by counts.
type others struct {
	joined prometheus.Counter
	// frozen counts events that said what would lead from an adopted child to another name.
	frozen prometheus.Counter
	// found is by rule; failed counts children whose cases could not be compared.
	found  *prometheus.CounterVec
	failed prometheus.Counter
}

// newOthers registers the counts.
func newOthers(registerer prometheus.Registerer) *others {
	o := &others{
		joined: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "hub_subjects_joined_total",
			Help: "Joins of two subjects that an event said to be one child, once they are in the journal.",
		}),
	}
	o.frozen = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "hub_subjects_frozen_total",
		Help: "Events that gave an adopted child another name, or the name of an adopted one to another: not followed.",
	})
	o.found = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "hub_cross_ente_findings_total",
		Help: "What events of two enti say together of one child and neither alone, by rule, once it is in the journal.",
	}, []string{"rule"})
	o.failed = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "hub_cross_ente_failures_total",
		Help: "Children whose cases at several enti could not be compared; tried again after an hour.",
	})
	for _, rule := range othersRules() {
		o.found.WithLabelValues(rule)
	}
	registerer.MustRegister(o.joined, o.frozen, o.found, o.failed)
	return o
}

// othersRules are the labels of findings, by the code of the rule.
func othersRules() map[hub.Code]string {
	return map[hub.Code]string{hub.CodeRule14: "BR-14", hub.CodeRule22: "BR-22"}
}

// othersEvery is how often the hub looks for what only several enti together know.
const othersEvery = 10 * time.Second

// lookAcross looks for it until ctx ends. What it does not finish it finds again.
func (s *server) lookAcross(ctx context.Context) error {
	ticker := time.NewTicker(othersEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if err := s.journalJoins(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("joins not journalled yet", zap.Error(err))
		}
		if err := s.tellJoins(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("joins not told yet", zap.Error(err))
		}
		if err := s.journalFindings(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("cases of several enti not compared yet", zap.Error(err))
		}
	}
}

// journalJoins makes joins of what accepted events say, and an entry of every join.
func (s *server) journalJoins(ctx context.Context) error {
	frozen, err := s.stores.vault.JoinClaimed(ctx, func(ctx context.Context, messages []uuid.UUID) (map[uuid.UUID]bool, error) {
		found, err := s.stores.store.Origins(ctx, messages)
		accepted := make(map[uuid.UUID]bool, len(found))
		for id := range found {
			accepted[id] = true
		}
		return accepted, err
	}, s.joinable)
	s.others.frozen.Add(float64(frozen))
	if frozen > 0 {
		s.log.Warn("events gave children who were adopted another name: not followed", zap.Int("events", frozen))
	}
	if err != nil {
		return err
	}
	n, err := s.stores.vault.JournalJoins(ctx, s.writeJoins)
	s.others.joined.Add(float64(n))
	return err
}

// journalFindings compares the cases of children whom several enti know, until none waits.
func (s *server) journalFindings(ctx context.Context) error {
	across := postgres.Across{Facts: s.events.RegionalFacts, Now: time.Now}
	for more := true; more; {
		looked, err := s.stores.store.LookAcross(ctx, across)
		if err != nil {
			return err
		}
		for rule, n := range looked.Found {
			s.others.found.WithLabelValues(othersRules()[rule]).Add(float64(n))
		}
		if looked.Failed > 0 {
			s.others.failed.Add(float64(looked.Failed))
			s.log.Error("cases of several enti could not be compared", zap.Int("children", looked.Failed))
		}
		more = looked.More
	}
	return nil
}

// writeJoins writes the entries of joins. The subjects stand in the vault only, beside the entry's id.
func (s *server) writeJoins(ctx context.Context, joins []pseudonym.Join) error {
	messages := make([]uuid.UUID, 0, len(joins))
	for _, j := range joins {
		messages = append(messages, j.Message)
	}
	origins, err := s.stores.store.Origins(ctx, messages)
	if err != nil {
		return err
	}
	entries := make([]journal.Entry, len(joins))
	for i, j := range joins {
		o := origins[j.Message]
		entries[i] = journal.Entry{
			ID: j.Entry, At: j.At, Kind: journal.SubjectsJoined, Environment: s.cfg.Env(),
			Participant: o.Participant, Ente: o.Ente, Message: j.Message, Event: o.Event,
		}
	}
	return s.stores.store.Journal(ctx, entries...)
}

// joinable tells whether children may be joined, as far as any ente's cases say.
func (s *server) joinable(ctx context.Context, subjects []uuid.UUID) (pseudonym.Joinable, error) {
	f, err := s.stores.store.Frozen(ctx, subjects)
	switch {
	case err != nil, len(f.Frozen) == 0 && len(f.Unknown) > 0:
		return pseudonym.Unclear, err
	case len(f.Frozen) > 0:
		return pseudonym.Frozen, nil
	}
	return pseudonym.Free, nil
}

// tellJoins has SISS told which of its codes are of one child (comunicaCodici, UNIONE): each subject keeps its
// code, and no ente is answered anything else. Without a national endpoint nobody is told, and the joins wait.
func (s *server) tellJoins(ctx context.Context) error {
	if s.teller == nil {
		return nil
	}
	return s.stores.vault.TellJoins(ctx, func(ctx context.Context, pairs []pseudonym.Pair) ([]uuid.UUID, error) {
		joined := make([]postgres.JoinedPair, len(pairs))
		for i, p := range pairs {
			joined[i] = postgres.JoinedPair{Entry: p.Entry, One: p.One, Other: p.Other}
		}
		return s.stores.store.PlanJoins(ctx, s.cfg.Env(), joined)
	})
}
