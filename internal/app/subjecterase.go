package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/ticket"
)

// errUndelivered says what an erasure waits for.
var errUndelivered = errors.New("events of this child still wait for SISS (`sinbahub subject erase CODE --dry-run` lists the first ten): see to these first, or say --despite-undelivered, and they go out without a copy being kept")

// EraseOptions say which child is to be forgotten, and how.
type EraseOptions struct {
	// The child and the ticket: a dry run names a child by its code alone, for SISS or in the regional events,
	// for it shows nothing but counts.
	ChildOptions

	// DryRun only tells what would be erased.
	DryRun bool
	// Despite erases while events of the child still wait for SISS.
	Despite bool
}

// certificate is what is told of an erasure; the same stands in its entry of the journal.
type certificate struct {
	Done         bool      `json:"done"`
	Entry        uuid.UUID `json:"entry,omitzero"`
	At           time.Time `json:"at"`
	Actor        string    `json:"actor,omitempty"`
	Approved     string    `json:"approved_by,omitempty"`
	Reason       string    `json:"reason,omitempty"`
	Ticket       uuid.UUID `json:"ticket,omitzero"`
	Subjects     int       `json:"subjects"`
	Cases        int64     `json:"cases"`
	Events       int64     `json:"events_kept_pseudonymised"`
	Messages     int64     `json:"messages_unreadable"`
	Attempts     int64     `json:"sent_unreadable"`
	BackupsClean string    `json:"backups_clean"`
	// Undelivered are the first ten events that wait for SISS.
	Undelivered []uuid.UUID `json:"undelivered,omitempty"`
}

// EraseSubject forgets a child (GDPR art. 17): its cases lose what their enti know them by, its secret goes
// and with it everything that was sealed for it, the identities and the links to them. What is left is
// pseudonymous and leads to nobody; the journal goes on verifying, and SISS keeps what it has. The same
// identifier is another child afterwards. The opener takes the ticket before anything is destroyed, and the
// order names it. An erasure that is interrupted after its order is ended by the next serve; interrupted
// between the ticket and the order, nothing is erased and another ticket is needed.
func EraseSubject(ctx context.Context, cfg config.Config, o EraseOptions, out io.Writer) error {
	if o.DryRun {
		return withSubjects(ctx, cfg, reading, func(s *subjects) error {
			id, err := s.byCode(ctx, o.Code, everyDomain()...)
			if err != nil {
				return err
			}
			e := erasingOf(s, cfg)
			_, c, err := e.look(ctx, s, id)
			if err != nil {
				return err
			}
			return c.tell(out, o.JSON)
		})
	}
	leave, err := o.leave(cfg, ticket.Erase)
	if err != nil {
		return err
	}
	defer leave.client.Close()
	return withSubjects(ctx, cfg, writing, func(s *subjects) error {
		id, err := leave.child(ctx, s)
		if err != nil {
			return err
		}
		e := erasingOf(s, cfg)
		ids, c, err := e.look(ctx, s, id)
		if err != nil {
			return err
		}
		if len(c.Undelivered) > 0 && !o.Despite {
			return errUndelivered // before the ticket is used
		}
		if err := leave.take(ctx); err != nil {
			return err
		}
		if c.Entry, c.Cases, err = e.erase(ctx, ids, &leave.ticket, o.Despite); err != nil {
			return err
		}
		c.Done, c.Actor, c.Approved, c.Reason, c.Ticket = true, leave.ticket.Requester, leave.ticket.Approver(), leave.ticket.Reason, leave.ticket.ID
		return c.tell(out, o.JSON)
	})
}

// erasingOf forgets children for a command.
func erasingOf(s *subjects, cfg config.Config) *erasing {
	return &erasing{store: s.store, vault: s.vault, env: s.env, backups: cfg.Retention.VaultBackups, now: s.now}
}

// look tells what an erasure would take.
func (e *erasing) look(ctx context.Context, s *subjects, id uuid.UUID) (ids []uuid.UUID, c certificate, err error) {
	if ids, err = s.sameChild(ctx, id); err != nil {
		return nil, c, fmt.Errorf("ask vault: %w", err)
	}
	held, err := s.store.HoldingOf(ctx, ids)
	if err != nil {
		return nil, c, fmt.Errorf("count what is held: %w", err)
	}
	c = certificate{
		At: s.now().UTC().Truncate(time.Second), Subjects: len(ids), Cases: held.Cases,
		Events: held.Events, Messages: held.Messages, Attempts: held.Attempts, Undelivered: held.Undelivered,
	}
	c.BackupsClean = e.clean(c.At)
	return ids, c, nil
}

// tell writes the certificate.
func (c certificate) tell(out io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(c)
	}
	return c.print(out)
}

// print writes the certificate for people.
func (c certificate) print(out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		_, _ = fmt.Fprintf(table, "%s\t"+format+"\n", append([]any{name}, args...)...)
	}
	did := "erased"
	if !c.Done {
		did = "would be erased"
	}
	row(did, "identities: %d, cases: %d", c.Subjects, c.Cases)
	row("unreadable with it", "messages as received: %d, copies of what was sent: %d", c.Messages, c.Attempts)
	for _, id := range c.Undelivered {
		row("waits for SISS", "%s", id)
	}
	row("kept without a way to the child", "events: %d, and the journal", c.Events)
	if c.Done {
		row("ordered by", "%s, approved by %s: %s (ticket %s)", c.Actor, c.Approved, c.Reason, c.Ticket)
		row("at", "%s", c.At.Format(time.RFC3339))
		row("entry of the journal", "%s", c.Entry)
	}
	row("backups of the vault", "hold the child until %s: delete them by then", c.BackupsClean)
	return table.Flush()
}

// erasing forgets children, for an operator or to end what was begun.
type erasing struct {
	store interface {
		Erase(ctx context.Context, env hub.Environment, subjects []uuid.UUID, under uuid.UUID, despite bool, entryOf func(int64) journal.Entry) (int64, error)
		Forgotten(ctx context.Context, subjects []uuid.UUID, again bool) error
		ErasureProven(ctx context.Context, subject uuid.UUID) error
		Erasures(ctx context.Context, env hub.Environment, all bool) ([]postgres.Erasure, error)
	}
	vault interface {
		Erase(ctx context.Context, subjects []uuid.UUID) (int, error)
	}
	env     hub.Environment
	backups int
	now     func() time.Time
}

// clean is the day (UTC) from which no backup holds a child that the vault forgot at an instant: the day
// behind the last one on which a backup of before is kept.
func (e *erasing) clean(at time.Time) string {
	return at.UTC().AddDate(0, 0, e.backups+1).Format(time.DateOnly)
}

// entry orders an erasure.
func (e *erasing) entry(subjects int, cases int64) journal.Entry {
	at := e.now().UTC().Truncate(time.Microsecond)
	return journal.Entry{
		ID: uuid.Must(uuid.NewV7()), At: at, Kind: journal.SubjectErased, Environment: e.env,
		Codes: []hub.Code{hub.Code("subjects:" + strconv.Itoa(subjects)), hub.Code(counted("cases", cases)), hub.Code("backups_clean:" + e.clean(at))},
	}
}

// under is an entry that orders what a ticket allows.
func under(entry journal.Entry, t *ticket.Signed) journal.Entry {
	entry.Actor, entry.Reason, entry.Commitment = t.Requester, t.Reason, t.Digest()
	entry.Codes = append(entry.Codes, hub.Code("ticket:"+t.ID.String()), hub.Code("approved:"+t.Approver()))
	return entry
}

// vaultTime bounds how long the vault is asked to forget.
const vaultTime = 30 * time.Second

// erase orders it under a ticket that was taken, and has the vault forget.
func (e *erasing) erase(ctx context.Context, ids []uuid.UUID, t *ticket.Signed, despite bool) (entry uuid.UUID, cases int64, err error) {
	cases, err = e.store.Erase(ctx, e.env, ids, t.ID, despite, func(cases int64) journal.Entry {
		ordered := under(e.entry(len(ids), cases), t)
		entry = ordered.ID
		return ordered
	})
	if errors.Is(err, postgres.ErrUndelivered) {
		return uuid.Nil, 0, errUndelivered
	}
	if err != nil {
		return uuid.Nil, 0, fmt.Errorf("order erasure: %w", err)
	}
	if _, err = e.forget(ctx, ids); err == nil {
		err = e.store.Forgotten(ctx, ids, false)
	}
	if err != nil {
		return uuid.Nil, 0, fmt.Errorf("ordered (entry %s) and not done yet, serve goes on with it: %w", entry, err)
	}
	return entry, cases, nil
}

// forget has the vault forget; there is how many it still held.
func (e *erasing) forget(ctx context.Context, ids []uuid.UUID) (there int, err error) {
	asking, cancel := context.WithTimeout(ctx, vaultTime)
	defer cancel()
	return e.vault.Erase(asking, ids)
}

// settle ends the erasures that were begun: it has the vault forget whom it was not asked to yet, and ten
// minutes later looks whether an event that was under way just then brought something back, which is
// erased, too.
func (e *erasing) settle(ctx context.Context, log *zap.Logger) error {
	list, err := e.store.Erasures(ctx, e.env, false)
	if err != nil {
		return err
	}
	var failed error
	for _, one := range list {
		failed = errors.Join(failed, e.settleOne(ctx, one, log))
	}
	return failed
}

func (e *erasing) settleOne(ctx context.Context, one postgres.Erasure, log *zap.Logger) error {
	first := one.Forgotten.IsZero()
	if !first && !one.Ripe {
		return nil
	}
	if one.Again {
		_, err := e.store.Erase(ctx, e.env, []uuid.UUID{one.Subject}, uuid.Nil, true, func(cases int64) journal.Entry {
			again := e.entry(1, cases)
			again.Reason, again.Other = "an event came while it was erased", one.Entry
			return again
		})
		if err != nil {
			return err
		}
	}
	there, err := e.forget(ctx, []uuid.UUID{one.Subject})
	switch {
	case err != nil:
		return err
	case first:
		return e.store.Forgotten(ctx, []uuid.UUID{one.Subject}, false)
	case there > 0 || one.Again:
		log.Warn("an event came while its child was erased, which was done again", zap.Stringer("entry_id", one.Entry))
		return e.store.Forgotten(ctx, []uuid.UUID{one.Subject}, true)
	}
	return e.store.ErasureProven(ctx, one.Subject)
}

// ListErasures writes how far all erasures have come. It names no child: none can be found any more.
func ListErasures(ctx context.Context, cfg config.Config, asJSON bool, out io.Writer) error {
	return withStore(ctx, cfg, reading, func(store *postgres.Store) error {
		list, err := store.Erasures(ctx, cfg.Env(), true)
		if err != nil {
			return fmt.Errorf("list erasures: %w", err)
		}
		e := erasing{backups: cfg.Retention.VaultBackups}
		told := make([]erasureLine, 0, len(list))
		for _, one := range list {
			line := erasureLine{Entry: one.Entry, Ordered: one.Ordered, State: "ordered"}
			if !one.Forgotten.IsZero() {
				line.State, line.Forgotten, line.BackupsClean = "forgotten", &one.Forgotten, e.clean(one.Forgotten)
			}
			if !one.Proven.IsZero() {
				line.State = "proven"
			}
			told = append(told, line)
		}
		return printErasures(told, asJSON, out)
	})
}

// erasureLine is one line of the list.
type erasureLine struct {
	Entry        uuid.UUID  `json:"entry"`
	Ordered      time.Time  `json:"ordered"`
	State        string     `json:"state"`
	Forgotten    *time.Time `json:"forgotten,omitempty"`
	BackupsClean string     `json:"backups_clean,omitempty"`
}

func printErasures(lines []erasureLine, asJSON bool, out io.Writer) error {
	if asJSON {
		encoder := json.NewEncoder(out)
		for _, line := range lines {
			if err := encoder.Encode(line); err != nil {
				return fmt.Errorf("print: %w", err)
			}
		}
		return nil
	}
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	_, _ = fmt.Fprintf(table, "ORDERED\tSTATE\tFORGOTTEN\tBACKUPS CLEAN\tENTRY\n")
	for _, line := range lines {
		forgotten, clean := "-", "-"
		if line.Forgotten != nil {
			forgotten, clean = line.Forgotten.Format(time.RFC3339), line.BackupsClean
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", line.Ordered.Format(time.RFC3339), line.State, forgotten, clean, line.Entry)
	}
	return table.Flush()
}

// settleErasures ends what was begun.
func (s *server) settleErasures(ctx context.Context) {
	cfg := s.config()
	e := erasing{store: s.stores.store, vault: s.stores.vault, env: cfg.Env(), backups: cfg.Retention.VaultBackups, now: time.Now}
	if err := e.settle(ctx, s.log.Named("erasure")); err != nil && ctx.Err() == nil {
		s.log.Warn("an erasure did not come to its end yet", zap.Error(err))
	}
}
