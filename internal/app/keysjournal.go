package app

import (
	"context"
	"fmt"
	"time"

	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// useJournalKey makes the key sign that the database says; without a word the first one does.
func useJournalKey(ctx context.Context, key *journal.Key, store *postgres.Store, env hub.Environment) error {
	rows, err := store.KeyEpochs(ctx, env)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if r.Name == nameJournal && r.State == postgres.KeyActive {
			if err := key.Use(r.Epoch); err != nil {
				return fmt.Errorf("use journal key %d, which the database says is in use: %w", r.Epoch, err)
			}
		}
	}
	return nil
}

// journalKeysHere lists the journal's keys in this machine's folder.
func journalKeysHere(cfg config.Config) ([]int32, error) {
	key, err := journal.LoadKey(cfg.JournalKeys(), cfg.JournalOrigin())
	if err != nil {
		return nil, fmt.Errorf("load journal key: %w", err)
	}
	return key.Held(), nil
}

// makeJournalKey makes the next one, with the transition from the one that signs.
func (r *rotation) makeJournalKey(ctx context.Context) (int32, error) {
	key, err := journal.LoadKey(r.cfg.JournalKeys(), r.cfg.JournalOrigin())
	if err != nil {
		return 0, fmt.Errorf("load journal key: %w", err)
	}
	if err := useJournalKey(ctx, key, r.op.store, r.op.env); err != nil {
		return 0, err
	}
	return key.MakeNextKey(time.Now())
}

// finishJournalKey writes the transition to a key whose making did not end.
func (r *rotation) finishJournalKey(ctx context.Context, n int32) error {
	key, err := journal.LoadKey(r.cfg.JournalKeys(), r.cfg.JournalOrigin())
	if err != nil {
		return fmt.Errorf("load journal key: %w", err)
	}
	if err := useJournalKey(ctx, key, r.op.store, r.op.env); err != nil {
		return err
	}
	return key.Transit(n, time.Now())
}
