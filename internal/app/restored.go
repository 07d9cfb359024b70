package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
)

// acceptJournal lets the journal go on from what the databases have although it contradicts a checkpoint
// that was published, or what the vault remembers. An entry in it says so and names the checkpoint, so
// that a verifier who holds it is told what is missing and who answers for it.
func acceptJournal(ctx context.Context, cfg config.Config, vaultURL string, out io.Writer, reason string) error {
	if !journal.HasKey(cfg.JournalKeys()) {
		return nil // nothing was ever signed here
	}
	witness, err := journal.OpenWitness(cfg.JournalWitness())
	if err != nil {
		return err
	}
	key, err := journal.LoadKey(cfg.JournalKeys(), cfg.JournalOrigin())
	if err != nil {
		return fmt.Errorf("load journal key: %w", err)
	}
	known, err := lastSeen(witness, key)
	if err != nil {
		return err
	}
	actor, err := accountName()
	if err != nil {
		return err
	}
	vault, err := pgxpool.New(ctx, vaultURL)
	if err != nil {
		return errors.New("connect vault")
	}
	defer vault.Close()
	return withStore(ctx, cfg, writing, func(store *postgres.Store) error {
		contradiction, err := contradicts(ctx, store, vault, cfg, known)
		if err != nil {
			return err
		}
		if contradiction == nil {
			say(out, "journal   consistent with what is known of it\n")
			return nil
		}
		head, err := store.JournalHead(ctx)
		if err != nil {
			return fmt.Errorf("read the journal: %w", err)
		}
		if err := store.Record(ctx, journal.Entry{
			ID: uuid.Must(uuid.NewV7()), At: time.Now(), Kind: journal.JournalRestored, Environment: cfg.Env(),
			Outcome: "restored", Actor: actor, Reason: fmt.Sprintf("restored after %d %s: %s", known.Size, known.Root, reason),
		}); err != nil {
			return fmt.Errorf("journal the restore: %w", err)
		}
		if err := pseudonym.SetMark(ctx, vault, cfg.Env(), pseudonym.Mark{Size: head.Size, Root: head.Root}, true); err != nil {
			return fmt.Errorf("tell the vault: %w", err)
		}
		aside, err := witness.SetAside(time.Now())
		if err != nil {
			return err
		}
		say(out, "journal   goes on from the %d leaves that are there; the last known checkpoint had %d\n", head.Size, known.Size)
		say(out, "kept      %s\n", aside)
		return nil
	})
}

// lastSeen is the last checkpoint of the witness, the zero one if it has none.
func lastSeen(witness *journal.Witness, key *journal.Key) (journal.Checkpoint, error) {
	note, err := witness.Last()
	if err != nil || note == "" {
		return journal.Checkpoint{}, err
	}
	known, err := key.Open(note)
	if err != nil {
		return journal.Checkpoint{}, fmt.Errorf("read the witness: %w", err)
	}
	return known, nil
}

// contradicts gives what serve would refuse to start with and may be told to go on from; err is another
// trouble, as a tree that nothing can go on from.
func contradicts(ctx context.Context, store *postgres.Store, vault *pgxpool.Pool, cfg config.Config, known journal.Checkpoint) (contradiction, err error) {
	if err := checkEdge(ctx, store); err != nil {
		return nil, err
	}
	if err := store.CheckConsistent(ctx, known); errors.Is(err, journal.ErrTree) {
		return errForked, nil
	} else if err != nil {
		return nil, fmt.Errorf("check the journal: %w", err)
	}
	err = checkMark(ctx, store, vault, cfg.Env())
	if errors.Is(err, errJournalBehind) || errors.Is(err, errVaultBehind) || errors.Is(err, errDamaged) {
		return err, nil
	}
	return nil, err
}
