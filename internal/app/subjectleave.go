package app

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/opener"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
	"github.com/sinbahub/sinbahub/internal/ticket"
)

// ChildOptions say about which child something is done, and under which ticket.
type ChildOptions struct {
	// Ticket is the file of the signed ticket, whose scope is the child's code.
	Ticket string
	// Code is empty, or the code that the ticket must be about.
	Code string
	// JSON tells it as one line.
	JSON bool
}

// leave is a ticket about one child and the opener that takes it. What it says of people is proven once it is
// taken, and not before.
type leave struct {
	ticket ticket.Signed
	client *opener.Client
}

// leave reads the ticket. Nothing is asked of the opener yet.
func (o ChildOptions) leave(cfg config.Config, p ticket.Purpose) (*leave, error) {
	if o.Ticket == "" {
		return nil, errChildTicket
	}
	t, client, err := openerFor(cfg, o.Ticket, p)
	if err != nil {
		return nil, err
	}
	if o.Code != "" && o.Code != t.Scope.Code {
		return nil, errOtherChild
	}
	return &leave{t, client}, nil
}

// child finds whom the ticket names, without using it.
func (l *leave) child(ctx context.Context, s *subjects) (uuid.UUID, error) {
	return s.byCode(ctx, l.ticket.Scope.Code, pseudonym.Domain(l.ticket.Scope.Domain))
}

// take has the opener verify the ticket and use it up: nothing may be shown or destroyed unless it says so.
func (l *leave) take(ctx context.Context) error {
	if _, err := l.client.Take(ctx, string(l.ticket.Bytes())); err != nil {
		return fmt.Errorf("use ticket: %w", err)
	}
	return nil
}
