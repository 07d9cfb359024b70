package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/ticket"
)

// longestText is the most characters of what echo says (xsd/sinba-eventi-v1.xsd, Testo100Type).
const longestText = 100

// The outcomes of journal.MaintenanceChanged.
const (
	maintenanceOn  = "on"
	maintenanceOff = "off"
)

// Errors of the command line.
var (
	errText  = errors.New("the text has more than 100 characters, which is all that echo can say")
	errOver  = errors.New("until is not in the future: the maintenance would be over already")
	errUntil = errors.New("until must be a duration like 2h, or an instant like 2026-11-22T14:30 or 2026-11-22T13:30:00Z")
)

// MaintenanceOptions are what an operator says of a maintenance.
type MaintenanceOptions struct {
	// Text is what senders are told.
	Text string
	// Until is when it ends by itself: a duration, or an instant; empty: only by an operator.
	Until string
	// Who acts; an empty reason is the text, or that it is over.
	Who Who
}

// BeginMaintenance closes the doors of all instances to new events, with a text. In a maintenance it
// changes text and end.
func BeginMaintenance(ctx context.Context, cfg config.Config, o MaintenanceOptions, out io.Writer) error {
	if utf8.RuneCountInString(o.Text) > longestText {
		return errText
	}
	if err := CheckReason(o.Text); err != nil {
		return fmt.Errorf("--text, which is the reason in the journal: %w", err)
	}
	given := o.Who.Reason
	o.Who.Reason = cmp.Or(given, o.Text)
	signer, err := newSigner(cfg, o.Who)
	if err != nil {
		return err
	}
	until, err := parseUntil(o.Until, time.Now())
	if err != nil {
		return err
	}
	m := postgres.Maintenance{Environment: cfg.Env(), Text: o.Text, Until: until}
	what := o.Text
	if !until.IsZero() {
		what += " (until " + until.Format(time.RFC3339) + ")"
	}
	reason := what
	if given != "" {
		reason += ": " + given
	}
	return withStore(ctx, cfg, writing, func(store *postgres.Store) error {
		who, err := signer.sign(ctx, store, ticket.MaintenanceOn, what)
		if err != nil {
			return err
		}
		m.Actor = who.name
		if err := store.BeginMaintenance(ctx, m, who.mark(operatorEntry(cfg, time.Now(), maintenanceOn, reason))); err != nil {
			return fmt.Errorf("begin maintenance: %w", err)
		}
		_, _ = fmt.Fprintln(out, "Maintenance is on: within a second no instance takes new events.")
		return showMaintenance(ctx, store, cfg, out)
	})
}

// EndMaintenance opens the doors again. That there was no maintenance is told and no error.
func EndMaintenance(ctx context.Context, cfg config.Config, o MaintenanceOptions, out io.Writer) error {
	o.Who.Reason = cmp.Or(o.Who.Reason, "maintenance over")
	signer, err := newSigner(cfg, o.Who)
	if err != nil {
		return err
	}
	return withStore(ctx, cfg, writing, func(store *postgres.Store) error {
		who, err := signer.sign(ctx, store, ticket.MaintenanceOff, "the maintenance")
		if err != nil {
			return err
		}
		ended, err := store.EndMaintenance(ctx, cfg.Env(), who.mark(operatorEntry(cfg, time.Now(), maintenanceOff, o.Who.Reason)))
		if err != nil {
			return fmt.Errorf("end maintenance: %w", err)
		}
		if !ended {
			_, _ = fmt.Fprintln(out, "There was no maintenance.")
			return nil
		}
		_, _ = fmt.Fprintln(out, "Maintenance is off: within a second all instances take events again.")
		return nil
	})
}

// ShowMaintenance tells what is in force.
func ShowMaintenance(ctx context.Context, cfg config.Config, out io.Writer) error {
	return withStore(ctx, cfg, reading, func(store *postgres.Store) error {
		return showMaintenance(ctx, store, cfg, out)
	})
}

func showMaintenance(ctx context.Context, store *postgres.Store, cfg config.Config, out io.Writer) error {
	doors, err := store.Doors(ctx, cfg.Env())
	if err != nil {
		return err
	}
	m := doors.Maintenance
	if m == nil {
		_, _ = fmt.Fprintf(out, "%s: no maintenance.\n", cfg.Env())
	} else {
		end := "an operator ends it"
		if !m.Until.IsZero() {
			end = m.Until.Local().Format(time.RFC3339)
		}
		_, _ = fmt.Fprintf(out, "%s: in maintenance.\n  text   %s\n  since  %s\n  until  %s\n  by     %s\n",
			cfg.Env(), m.Text, m.BegunAt.Local().Format(time.RFC3339), end, m.Actor)
	}
	if doors.Backlog {
		_, _ = fmt.Fprintln(out, "The deliveries are late: no instance takes new events until their backlog is gone (admission.backlog).")
	}
	return nil
}

// operatorEntry is the journal's entry of an act on the hub itself.
func operatorEntry(cfg config.Config, at time.Time, outcome, reason string) journal.Entry {
	return journal.Entry{
		ID: uuid.Must(uuid.NewV7()), At: at.UTC().Truncate(time.Microsecond), Kind: journal.MaintenanceChanged,
		Environment: cfg.Env(), Outcome: outcome, Reason: reason,
	}
}

// parseUntil reads when a maintenance ends: from now on, or an instant, whose zone is this machine's if
// it has none. Empty is the zero time.
func parseUntil(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil {
		if d <= 0 {
			return time.Time{}, errOver
		}
		return now.Add(d).UTC().Truncate(time.Second), nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at.UTC(), nil
	}
	if at, err := time.ParseInLocation("2006-01-02T15:04", text, time.Local); err == nil {
		return at.UTC(), nil
	}
	return time.Time{}, errUntil
}
