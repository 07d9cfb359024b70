package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
	"github.com/sinbahub/sinbahub/internal/ticket"
)

// look is one line of who looked at what the hub holds of a child.
type look struct {
	At    time.Time `json:"at"`
	What  string    `json:"what"`
	Actor string    `json:"actor"`
	// Approved is who approved the ticket.
	Approved string    `json:"approved_by,omitempty"`
	Reason   string    `json:"reason"`
	Entry    uuid.UUID `json:"entry"`
}

// subjectReport is what the hub holds of a child and who looked at it (GDPR art. 15). It names no content:
// that is the enti's to give, who know the child.
type subjectReport struct {
	Subjects    int         `json:"subjects"`
	Cases       int64       `json:"cases"`
	Events      int64       `json:"events"`
	Messages    int64       `json:"messages_sealed"`
	Attempts    int64       `json:"sent_sealed"`
	First       *time.Time  `json:"first,omitempty"`
	Last        *time.Time  `json:"last,omitempty"`
	Undelivered []uuid.UUID `json:"undelivered,omitempty"`
	Looks       []look      `json:"looks"`
}

// ReportSubject writes what the hub holds of the child that a ticket names, and who looked at it, to out. The
// opener takes the ticket, which is an entry of the journal, before anything is asked of the databases but
// whose code it is.
func ReportSubject(ctx context.Context, cfg config.Config, o ChildOptions, out io.Writer) error {
	leave, err := o.leave(cfg, ticket.Report)
	if err != nil {
		return err
	}
	defer leave.client.Close()
	return withSubjects(ctx, cfg, writing, func(s *subjects) error {
		id, err := leave.child(ctx, s)
		if err != nil {
			return err
		}
		if err := leave.take(ctx); err != nil {
			return err
		}
		report, err := s.report(ctx, id)
		if err != nil {
			return err
		}
		if o.JSON {
			return json.NewEncoder(out).Encode(report)
		}
		return report.print(out)
	})
}

// report collects what is held of a child.
func (s *subjects) report(ctx context.Context, id uuid.UUID) (*subjectReport, error) {
	ids, err := s.sameChild(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("ask vault: %w", err)
	}
	held, err := s.store.HoldingOf(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("count what is held: %w", err)
	}
	r := &subjectReport{
		Subjects: len(ids), Cases: held.Cases, Events: held.Events, Messages: held.Messages, Attempts: held.Attempts,
		Undelivered: held.Undelivered, Looks: []look{},
	}
	if !held.First.IsZero() {
		r.First, r.Last = &held.First, &held.Last
	}
	if r.Looks, err = s.looks(ctx, ids); err != nil {
		return nil, fmt.Errorf("read who looked: %w", err)
	}
	return r, nil
}

// looks are who looked at a child, in their order: at a message of it, or at the child itself under a ticket
// about one of its codes. Who looked is also who asked for this report, or for the erasure.
func (s *subjects) looks(ctx context.Context, ids []uuid.UUID) ([]look, error) {
	looks := []look{}
	add := func(e *journal.Entry, what string) {
		l := look{At: e.At, What: what, Actor: e.Actor, Reason: e.Reason, Entry: e.ID}
		for _, code := range e.Codes {
			if name, ok := strings.CutPrefix(string(code), "approved:"); ok {
				l.Approved = name
			}
		}
		looks = append(looks, l)
	}
	err := s.store.LooksAt(ctx, ids, func(e journal.Entry) { add(&e, "opened "+e.Outcome) })
	if err != nil {
		return nil, err
	}
	err = s.store.TicketsOnPseudonyms(ctx, s.env, func(e postgres.PeopleEntry) error {
		t, err := ticket.Parse([]byte(e.Ticket))
		if err != nil || t.Digest() != e.Commitment {
			return nil //nolint:nilerr // not what the entry was for: `sinbahub reidentifications` says so
		}
		for _, id := range ids {
			is, err := s.hasCode(id, t.Scope.Code, []pseudonym.Domain{pseudonym.Domain(t.Scope.Domain)})
			if err != nil {
				return err
			}
			if is {
				add(&e.Entry, usedFor(e.Kind, e.Outcome))
				break
			}
		}
		return nil
	})
	slices.SortFunc(looks, func(a, b look) int { return a.At.Compare(b.At) })
	return looks, err
}

// usedFor says what a ticket about a child was used for.
func usedFor(kind journal.Kind, outcome string) string {
	switch {
	case kind == journal.SubjectReidentified:
		return "reidentified"
	case outcome == string(ticket.Erase):
		return "leave to erase"
	case outcome == string(ticket.Unjoin):
		return "leave to separate"
	}
	return outcome
}

// print writes the report for people.
func (r *subjectReport) print(out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		_, _ = fmt.Fprintf(table, "%s\t"+format+"\n", append([]any{name}, args...)...)
	}
	if r.Subjects > 1 {
		row("identities", "%d, joined", r.Subjects)
	} else {
		row("identities", "1, joined to no other")
	}
	row("cases", "%d", r.Cases)
	row("events", "%d, pseudonymised", r.Events)
	row("messages as received", "%d, sealed", r.Messages)
	row("copies of what was sent", "%d, sealed", r.Attempts)
	if r.First != nil {
		row("from", "%s", r.First.Format(time.RFC3339))
		row("to", "%s", r.Last.Format(time.RFC3339))
	}
	row("who looked", "%d times", len(r.Looks))
	for _, l := range r.Looks {
		row("", "%s %s by %s, approved by %s: %s (entry %s)", l.At.Format(time.RFC3339), l.What, l.Actor, dash(l.Approved), l.Reason, l.Entry)
	}
	return table.Flush()
}
