package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/ticket"
)

// errNotJoined says that there is nothing to take apart.
var errNotJoined = errors.New("this child was never joined to another")

// separated is what is told of it.
type separated struct {
	Entry  uuid.UUID `json:"entry"`
	From   int       `json:"separated_from"`
	Ticket uuid.UUID `json:"ticket"`
}

// UnjoinSubject takes the child that a ticket names apart from those that it was joined to: they are several
// children after all, for the hub and, by comunicaCodici, for SISS. Each has its own code, identities, events
// and cases still, since joining moved none; what comes later on a case goes to the child that the case has.
// The opener takes the ticket first. Interrupted behind that, it may be done again under another ticket.
func UnjoinSubject(ctx context.Context, cfg config.Config, o ChildOptions, out io.Writer) error {
	leave, err := o.leave(cfg, ticket.Unjoin)
	if err != nil {
		return err
	}
	defer leave.client.Close()
	return withSubjects(ctx, cfg, writing, func(s *subjects) error {
		id, err := leave.child(ctx, s)
		if err != nil {
			return err
		}
		if joined, err := s.vault.WasJoined(ctx, id); err != nil {
			return fmt.Errorf("ask vault: %w", err)
		} else if !joined {
			return errNotJoined // before the ticket is used
		}
		if err := leave.take(ctx); err != nil {
			return err
		}
		undone, err := s.vault.Unjoin(ctx, id)
		if err != nil {
			return fmt.Errorf("separate: %w", err)
		}
		if len(undone) == 0 {
			return errNotJoined
		}
		pairs := make([]postgres.JoinedPair, len(undone))
		for i, p := range undone {
			pairs[i] = postgres.JoinedPair{Entry: p.Entry, One: p.One, Other: p.Other}
		}
		entry := under(journal.Entry{
			ID: uuid.Must(uuid.NewV7()), At: s.now().UTC().Truncate(time.Microsecond), Kind: journal.SubjectsSeparated,
			Environment: s.env, Count: int32(len(pairs)), //nolint:gosec // a child's few identities
		}, &leave.ticket)
		if err := s.store.Separate(ctx, s.env, pairs, entry); err != nil {
			return fmt.Errorf("separated in the vault, and not journalled nor told yet: do it again under another ticket: %w", err)
		}
		done := separated{Entry: entry.ID, From: len(pairs), Ticket: leave.ticket.ID}
		if o.JSON {
			return json.NewEncoder(out).Encode(done)
		}
		say(out, "separated from %d (entry %s, ticket %s); SISS is told by serve\n", done.From, done.Entry, done.Ticket)
		return nil
	})
}
