package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/ticket"
)

// CodesOptions say which communications of codes to SISS a command is about, who acts, and why.
type CodesOptions struct {
	// Who acts (retry).
	Who Who
	// IDs are IdComunicazione of those to retry.
	IDs []string
	// States are those to list: pending, told, refused; empty for what SISS has not taken.
	States []string
	// JSON asks for one JSON line each.
	JSON bool
}

// The faults of these commands.
var (
	errCodesState = errors.New("the states are pending, told, refused")
	errCodesID    = errors.New("name the communications by the IdComunicazione that codes list shows")
)

// codesLine is one line of the list.
type codesLine struct {
	ID       uuid.UUID `json:"id_comunicazione"`
	Motive   string    `json:"motivo"`
	Epoch    int32     `json:"epoch,omitzero"`
	State    string    `json:"state"`
	Attempts int32     `json:"attempts"`
	Pairs    int64     `json:"pairs"`

	CreatedAt time.Time `json:"made"`
	SettledAt time.Time `json:"settled,omitzero"`
	Codes     string    `json:"codes,omitzero"`
	Behind    bool      `json:"behind_a_join,omitzero"`
}

// ListCodes lists communications of codes to SISS (comunicaCodici), oldest first: no code and no child.
func ListCodes(ctx context.Context, cfg config.Config, o CodesOptions, out io.Writer) error {
	states := o.States
	if len(states) == 0 {
		states = []string{"pending", "refused"}
	}
	for _, state := range states {
		if !slices.Contains([]string{"pending", "told", "refused"}, state) {
			return errCodesState
		}
	}
	var all []postgres.Communication
	err := withStore(ctx, cfg, reading, func(store *postgres.Store) (err error) {
		all, err = store.Communications(ctx, cfg.Env(), states, mostListed)
		return err
	})
	if err != nil {
		return err
	}
	lines, table := json.NewEncoder(out), tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	if !o.JSON {
		say(table, "ID COMUNICAZIONE\tMOTIVO\tSTATE\tATTEMPTS\tPAIRS\tMADE\tSETTLED\tCODES\n")
	}
	for i := range all {
		c := &all[i]
		if o.JSON {
			if err := lines.Encode(codesLine(*c)); err != nil {
				return fmt.Errorf("print: %w", err)
			}
			continue
		}
		codes := c.Codes
		if c.Behind {
			codes = "waits behind its UNIONE"
		}
		say(table, "%s\t%s\t%s\t%d\t%d\t%s\t%s\t%s\n", c.ID, c.Motive, c.State, c.Attempts, c.Pairs, when(c.CreatedAt), when(c.SettledAt), dash(codes))
	}
	return table.Flush()
}

// RetryCodes has serve tell SISS again what it refused, each communication in a transaction of its own with its
// journal entry. It returns ErrRefused if at least one was not refused by SISS, or is none.
func RetryCodes(ctx context.Context, cfg config.Config, o CodesOptions, out io.Writer) error {
	signer, err := newSigner(cfg, o.Who)
	if err != nil {
		return err
	}
	ids := make([]uuid.UUID, len(o.IDs))
	for i, text := range o.IDs {
		if ids[i], err = uuid.Parse(text); err != nil {
			return errCodesID
		}
	}
	if len(ids) == 0 {
		return errCodesID
	}
	return withStore(ctx, cfg, writing, func(store *postgres.Store) error {
		who, err := signer.sign(ctx, store, ticket.CodesRetry, namedIDs(ids))
		if err != nil {
			return err
		}
		for _, id := range ids {
			done, failed := store.RetryCodes(ctx, cfg.Env(), id, who.mark(journal.Entry{
				ID: uuid.Must(uuid.NewV7()), At: time.Now().UTC().Truncate(time.Microsecond), Kind: journal.CodesRetried,
				Environment: cfg.Env(), Delivery: id, Outcome: "retry", Reason: o.Who.Reason,
			}))
			if failed != nil {
				return failed
			}
			if err = tellRetried(out, id, done, o.JSON, err); err != nil && !errors.Is(err, ErrRefused) {
				return err
			}
		}
		return err
	})
}

// tellRetried prints what became of one; it gives the error so far, or ErrRefused if nothing was done.
func tellRetried(out io.Writer, id uuid.UUID, done, asJSON bool, so error) error {
	if !done {
		so = ErrRefused
	}
	if asJSON {
		line := struct {
			ID   uuid.UUID `json:"id_comunicazione"`
			Done bool      `json:"done"`
		}{id, done}
		if err := json.NewEncoder(out).Encode(line); err != nil {
			return fmt.Errorf("print: %w", err)
		}
		return so
	}
	if done {
		say(out, "%s  due again; serve tells it\n", id)
	} else {
		say(out, "%s  not done: SISS did not refuse it, or there is none such (codes list)\n", id)
	}
	return so
}
