package opener

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/ticket"
)

// Taken says that a ticket was taken for something that another process does now: the report of a child,
// its erasure, or the end of its joins.
type Taken struct {
	// Entry is the journal's, At its time.
	Entry uuid.UUID `json:"entry"`
	At    time.Time `json:"at"`
}

// Take takes a ticket for a report, an erasure or the end of joins and opens nothing: the signatures count that this process
// checked, whoever runs the command. The entry is durable before the answer, and the ticket is used up then,
// whatever becomes of what it allows.
func (o *Opener) Take(ctx context.Context, uid uint32, text string) (*Taken, error) {
	t, err := o.admit(ctx, uid, text, ticket.Report, ticket.Erase, ticket.Unjoin)
	if err != nil {
		return nil, err
	}
	e := o.entry(uid, t, journal.SubjectLooked, string(t.Purpose))
	if err := o.use(ctx, uid, t, e); err != nil {
		return nil, err
	}
	return &Taken{e.ID, e.At}, nil
}

func (o *Opener) serveTake(w http.ResponseWriter, r *http.Request) {
	asked, err := read[ticketOf](r)
	if err != nil {
		refuse(w, err)
		return
	}
	taken, err := o.Take(r.Context(), uidOf(r), asked.Ticket)
	if err != nil {
		refuse(w, err)
		return
	}
	write(w, taken)
}

// Take has the opener take a ticket for a report, an erasure or the end of joins. Only what it answered without an error may be
// done.
func (c *Client) Take(ctx context.Context, signed string) (*Taken, error) {
	return ask[Taken](ctx, c, pathTake, ticketOf{signed})
}
