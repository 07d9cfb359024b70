package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// acceptJournal lets the journal go on from what the database has although it contradicts a checkpoint
// that was published. An entry in it says so and names that checkpoint, so that a verifier who holds it
// is told what is missing and who answers for it; the witness begins anew.
func acceptJournal(ctx context.Context, cfg config.Config, out io.Writer, reason string) error {
	witness, err := journal.OpenWitness(cfg.JournalWitness())
	if err != nil {
		return err
	}
	note, err := witness.Last()
	if err != nil || note == "" {
		return err
	}
	key, err := journal.LoadKey(cfg.JournalKeys(), cfg.JournalOrigin())
	if err != nil {
		return fmt.Errorf("load journal key: %w", err)
	}
	known, err := key.Open(note)
	if err != nil {
		return fmt.Errorf("read the witness: %w", err)
	}
	actor, err := ActorOf("")
	if err != nil {
		return err
	}
	return withStore(ctx, cfg, writing, func(store *postgres.Store) error {
		err := store.CheckConsistent(ctx, known)
		if err == nil {
			say(out, "journal   consistent with the last known checkpoint (%d leaves)\n", known.Size)
			return nil
		}
		if !errors.Is(err, journal.ErrTree) {
			return fmt.Errorf("check the journal: %w", err)
		}
		if err := store.Record(ctx, journal.Entry{
			ID: uuid.Must(uuid.NewV7()), At: time.Now(), Kind: journal.JournalRestored, Environment: cfg.Env(),
			Outcome: "restored", Actor: actor, Reason: fmt.Sprintf("restored after %d %s: %s", known.Size, known.Root, reason),
		}); err != nil {
			return fmt.Errorf("journal the restore: %w", err)
		}
		aside, err := witness.SetAside(time.Now())
		if err != nil {
			return err
		}
		say(out, "journal   goes on from what is there; the last known checkpoint had %d leaves\n", known.Size)
		say(out, "kept      %s\n", aside)
		return nil
	})
}
