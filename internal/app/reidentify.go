package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/opener"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/ticket"
)

// The faults of what shows what was opened.
var (
	errShow  = errors.New("this shows a child's data, once: say --print on a terminal, or -o FILE for a new file that only you can read")
	errMonth = errors.New("the month is one like 2026-11")
)

// ShowOptions say under which ticket something is opened, and where it goes.
type ShowOptions struct {
	// Ticket is the file of the signed ticket.
	Ticket string
	// Attempt is the number of an attempt to deliver; 0 for the last one kept.
	Attempt int32
	// Print shows it on the terminal, Out writes it to a new file: one of them.
	Print bool
	Out   string
}

// destination opens where the answer goes before the ticket is used; it is not used if there is none.
func (o ShowOptions) destination(out *os.File) (to io.Writer, done func(error) error, err error) {
	if (o.Out == "") != o.Print || o.Print && !IsTerminal(out) {
		return nil, nil, errShow
	}
	if o.Print {
		return terminal{out}, func(err error) error { return err }, nil
	}
	f, err := createOwn(o.Out)
	if err != nil {
		return nil, nil, err
	}
	return f, func(err error) error {
		err = errors.Join(err, f.Sync(), f.Close())
		if err != nil {
			_ = os.Remove(o.Out)
		}
		return err
	}, nil
}

// terminal shows text without the signs that a terminal obeys: what was sealed is a stranger's.
type terminal struct{ out io.Writer }

// Write writes all of it.
func (t terminal) Write(b []byte) (int, error) {
	clean := strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return '.'
	}, string(b))
	if _, err := io.WriteString(t.out, clean); err != nil {
		return 0, err
	}
	return len(b), nil
}

// openerFor reads a ticket for one purpose and finds the opener.
func openerFor(cfg config.Config, file string, p ticket.Purpose) (ticket.Signed, *opener.Client, error) {
	t, err := readTicket(file)
	if err != nil {
		return t, nil, err
	}
	if t.Purpose != p {
		return t, nil, opener.ErrPurpose
	}
	socket, err := OpenerSocket(cfg)
	if err != nil {
		return t, nil, err
	}
	return t, opener.NewClient(socket), nil
}

// OpenSealed asks the opener for the message that a ticket names, and shows it as it was sealed.
func OpenSealed(ctx context.Context, cfg config.Config, o ShowOptions, out *os.File) error {
	t, client, err := openerFor(cfg, o.Ticket, ticket.Open)
	if err != nil {
		return err
	}
	defer client.Close()
	to, done, err := o.destination(out)
	if err != nil {
		return err
	}
	answer, err := client.Open(ctx, opener.Question{Ticket: string(t.Bytes()), ID: t.Scope.ID, Attempt: o.Attempt})
	if err != nil {
		return done(fmt.Errorf("open: %w", err))
	}
	_, err = to.Write(answer.Plain)
	return done(err)
}

// Reidentify asks the opener who is behind the pseudonym that a ticket names, and shows it.
func Reidentify(ctx context.Context, cfg config.Config, o ShowOptions, out *os.File) error {
	t, client, err := openerFor(cfg, o.Ticket, ticket.Reidentify)
	if err != nil {
		return err
	}
	defer client.Close()
	to, done, err := o.destination(out)
	if err != nil {
		return err
	}
	found, err := client.Reidentify(ctx, string(t.Bytes()))
	if err != nil {
		return done(fmt.Errorf("reidentify: %w", err))
	}
	for _, i := range found.Identities {
		line := i.Kind() + " " + i.Value().Reveal()
		if i.Ente() != "" {
			line += " (known to " + i.Ente() + " only)"
		}
		if _, err := io.WriteString(to, line+"\n"); err != nil {
			return done(errors.New("write what was opened"))
		}
	}
	if found.Closed > 0 {
		_, err = fmt.Fprintf(to, "%d more that do not open\n", found.Closed)
	}
	return done(err)
}

// ReidentificationsOptions say of which month to tell, and how.
type ReidentificationsOptions struct {
	// Month is one like 2026-11; empty for the last whole one.
	Month string
	// JSON tells one line each.
	JSON bool
}

// toldUse is a line of the list.
type toldUse struct {
	At       time.Time  `json:"at"`
	What     string     `json:"what"`
	Why      string     `json:"why,omitempty"`
	Scope    string     `json:"scope,omitempty"`
	Request  string     `json:"requested_by,omitempty"`
	Approval string     `json:"approved_by,omitempty"`
	Reason   string     `json:"reason,omitempty"`
	Ticket   string     `json:"ticket,omitempty"`
	Entry    uuid.UUID  `json:"entry"`
	Codes    []hub.Code `json:"codes,omitempty"`
}

// Reidentifications lists a month's re-identifications, the reports, erasures and finds of children, the
// tickets that were refused or revoked, and the people who were added, trusted or retired, as the journal has
// them: what the privacy officer looks through each month.
func Reidentifications(ctx context.Context, cfg config.Config, o ReidentificationsOptions, out io.Writer) error {
	now := time.Now().UTC()
	from := time.Date(now.Year(), now.Month()-1, 1, 0, 0, 0, 0, time.UTC)
	if o.Month != "" {
		var err error
		if from, err = time.Parse("2006-01", o.Month); err != nil {
			return errMonth
		}
	}
	return withStore(ctx, cfg, reading, func(store *postgres.Store) error {
		entries, err := store.PeopleEntries(ctx, cfg.Env(), from, from.AddDate(0, 1, 0))
		if err != nil {
			return fmt.Errorf("list re-identifications: %w", err)
		}
		return tellUses(entries, from, o.JSON, out)
	})
}

// useOf is what the list says of an entry.
func useOf(e *postgres.PeopleEntry) toldUse {
	u := toldUse{At: e.At, Entry: e.ID, Reason: e.Reason, Codes: e.Codes}
	switch e.Kind { //nolint:exhaustive // the others are not listed
	case journal.SubjectReidentified, journal.SubjectLooked:
		u.What, u.Request = usedFor(e.Kind, e.Outcome), e.Actor
		if e.Commitment == ([32]byte{}) {
			return u // a find, which is before any ticket
		}
		u.Scope = "not what the entry was for: the stored ticket was changed"
		if t, err := ticket.Parse([]byte(e.Ticket)); err == nil && t.Digest() == e.Commitment {
			u.Scope, u.Approval, u.Ticket = t.Scope.String(), t.Approver(), t.ID.String()
		}
	case journal.TicketRefused:
		u.What, u.Why = "refused", e.Outcome
	case journal.SubjectErased:
		u.What, u.Request = "erased", e.Actor
	case journal.SubjectsSeparated:
		u.What, u.Request = "separated", e.Actor
	case journal.TicketRevoked:
		u.What = "revoked"
	case journal.PersonChanged:
		u.What = "person " + e.Outcome
	}
	return u
}

func tellUses(entries []postgres.PeopleEntry, month time.Time, asJSON bool, out io.Writer) error {
	lines := json.NewEncoder(out)
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	if !asJSON {
		_, _ = fmt.Fprintf(table, "AT\tWHAT\tSCOPE\tREQUESTED\tAPPROVED\tREASON\n")
	}
	count := map[journal.Kind]int{}
	for i := range entries {
		u := useOf(&entries[i])
		count[entries[i].Kind]++
		if asJSON {
			if err := lines.Encode(u); err != nil {
				return fmt.Errorf("print: %w", err)
			}
			continue
		}
		what, scope := strings.TrimSpace(u.What+" "+u.Why), u.Scope
		if scope == "" {
			words := make([]string, len(u.Codes))
			for j, c := range u.Codes {
				words[j] = string(c)
			}
			scope = strings.Join(words, " ")
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", u.At.Format(time.RFC3339), what, dash(scope), dash(u.Request), dash(u.Approval), dash(u.Reason))
	}
	if asJSON {
		return nil
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	say(out, "\n%s: %d re-identifications, %d looks at children and leaves to erase, %d erasures, %d tickets refused, %d revoked\n", month.Format("2006-01"),
		count[journal.SubjectReidentified], count[journal.SubjectLooked], count[journal.SubjectErased], count[journal.TicketRefused], count[journal.TicketRevoked])
	return nil
}
