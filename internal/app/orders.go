package app

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/ticket"
)

// OrderOptions say which orders to show.
type OrderOptions struct {
	// From and To are the range: instants, or Italian days, which are whole.
	From, To string
	// Text prints all that was signed instead of a table.
	Text bool
}

// Orders verifies what people signed in a range of time, each by the key that its person is registered with,
// retired or not, and against the journal's entry, and prints it. ErrRefused if one of them is not good.
func Orders(ctx context.Context, cfg config.Config, o OrderOptions, out io.Writer) error {
	from, to, err := readRange(o.From, o.To)
	if err != nil {
		return err
	}
	return withStore(ctx, cfg, reading, func(store *postgres.Store) error {
		people, err := store.People(ctx, cfg.Env())
		if err != nil {
			return fmt.Errorf("read the people: %w", err)
		}
		all, err := store.Actions(ctx, cfg.Env(), from, to)
		if err != nil {
			return fmt.Errorf("read what was signed: %w", err)
		}
		persons := make([]ticket.Person, len(people))
		for i, p := range people {
			persons[i] = p.Person
		}
		return printOrders(cfg.JournalOrigin(), cfg.Env(), persons, all, o.Text, out)
	})
}

// printOrders verifies and prints.
func printOrders(origin string, env hub.Environment, persons []ticket.Person, all []postgres.StoredAction, text bool, out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	if !text {
		_, _ = fmt.Fprintln(table, "SIGNED\tBY\tVERB\tON\tREASON\tENTRY\tIS")
	}
	bad := false
	for i := range all {
		signed, is := judgeOrder(origin, env, persons, &all[i])
		bad = bad || is != orderGood && is != orderAlone
		if text {
			_, _ = fmt.Fprintf(table, "%s(%s)\n\n", all[i].Text, is)
			continue
		}
		entry := "-"
		if all[i].Entry.ID != uuid.Nil {
			entry = all[i].Entry.ID.String()
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", signed.At.Format(time.RFC3339), signed.Person, signed.Verb, signed.On, signed.Reason, entry, is)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	if bad {
		return ErrRefused
	}
	return nil
}

// What an order may be, besides what is wrong with its signature.
const (
	orderGood  = "good"
	orderAlone = "good; its entry is beyond its period"
	orderOther = "NOT what the journal's entry says: text or entry was changed"
)

// judgeOrder says whether an order is good, and else why not.
func judgeOrder(origin string, env hub.Environment, persons []ticket.Person, a *postgres.StoredAction) (ticket.SignedAction, string) {
	signed, err := ticket.ParseAction([]byte(a.Text))
	if err == nil {
		err = signed.Verify(origin, env, persons)
	}
	switch e := a.Entry; {
	case err != nil:
		return signed, "NOT good: " + err.Error()
	case e.ID == uuid.Nil:
		return signed, orderAlone
	case e.Commitment != signed.Digest() || e.Actor != signed.Person || e.Outcome != string(signed.Verb) || e.Reason != signed.Reason:
		return signed, orderOther
	}
	return signed, orderGood
}
