package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/ticket"
)

// errRetiring says that the turn is somebody else's.
var errRetiring = errors.New("another process runs retention just now: try again when it is done, or a quarter of an hour after it died")

// RetentionOptions say how retention is run by an operator.
type RetentionOptions struct {
	// DryRun only tells what a run would do.
	DryRun bool
	// JSON tells one line a step.
	JSON bool
	// Who acts; a dry run needs no reason, and nobody signs it.
	Who Who
}

// toldRetired is a line of --json.
type toldRetired struct {
	Class   postgres.RetentionClass `json:"class"`
	Month   string                  `json:"month,omitempty"`
	Records int64                   `json:"records"`
	Held    int64                   `json:"held"`
	Bytes   int64                   `json:"bytes"`
	Oldest  *time.Time              `json:"oldest"`
}

// RunRetention deletes what is beyond its period, now, beside a running serve or without, or with DryRun
// tells what that would be. What was done is told also if not everything could be.
func RunRetention(ctx context.Context, cfg config.Config, o RetentionOptions, out io.Writer) error {
	r := &retirer{env: cfg.Env(), policy: cfg.Retention, reason: o.Who.Reason, now: time.Now, log: zap.NewNop()}
	// A dry run is not journalled and needs no reason; one that is given is held against the same rules, so
	// that the command means the same without --dry-run.
	var signer *signer
	if !o.DryRun || o.Who.Reason != "" {
		var err error
		if signer, err = newSigner(cfg, o.Who); err != nil {
			return err
		}
	}
	return withStore(ctx, cfg, purpose(!o.DryRun), func(store *postgres.Store) error {
		r.store = store
		var steps []retired
		var failed error
		if o.DryRun {
			steps, failed = r.scopes(ctx)
		} else {
			var err error
			if r.who, err = signer.sign(ctx, store, ticket.RetentionRun, policyText(cfg.Retention)); err != nil {
				return err
			}
			if err := store.EnsurePartitions(ctx, partitionsAhead); err != nil {
				return fmt.Errorf("check database: %w", err)
			}
			r.tell = func(step retired) { steps = append(steps, step) }
			failed = r.underTurn(ctx, time.Time{})
		}
		if errors.Is(failed, postgres.ErrNoTurn) {
			return errRetiring
		}
		return errors.Join(failed, tellRetired(steps, o, policyText(cfg.Retention), out))
	})
}

// tellRetired prints steps.
func tellRetired(steps []retired, o RetentionOptions, policy string, out io.Writer) error {
	if o.JSON {
		lines := json.NewEncoder(out)
		for _, step := range steps {
			told := toldRetired{Class: step.class, Month: step.what, Records: step.Records, Held: step.Held, Bytes: step.Bytes}
			if !step.Oldest.IsZero() {
				told.Oldest = &step.Oldest
			}
			if err := lines.Encode(told); err != nil {
				return fmt.Errorf("print: %w", err)
			}
		}
		return nil
	}
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	_, _ = fmt.Fprintf(table, "CLASS\tMONTH\tRECORDS\tHELD\tBYTES\tOLDEST\n")
	var records int64
	for _, step := range steps {
		oldest := "-"
		if !step.Oldest.IsZero() {
			oldest = step.Oldest.Format(time.RFC3339)
		}
		month := step.what
		if month == "" {
			month = "-"
		}
		records += step.Records
		_, _ = fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%d\t%s\n", step.class, month, step.Records, step.Held, step.Bytes, oldest)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	did := "retired"
	if o.DryRun {
		did = "would be retired"
	}
	_, _ = fmt.Fprintf(out, "\n%d records %s (%s).\n", records, did, policy)
	return nil
}
