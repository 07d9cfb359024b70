package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/ticket"
)

// The faults of the tickets' commands.
var (
	errScopeWords = errors.New("the scope is: open ID | reidentify region|nation CODE | replay FROM TO | rotate KEY EPOCH | reseal KEY EPOCH | erase region|nation CODE | report region|nation CODE | unjoin region|nation CODE; FROM and TO are days like 2026-03-01, both of the range, or instants like 2026-03-01T00:00:00Z")
	errOutExists  = errors.New("the file is there already: name another one")
)

// outcomeRevoked is that of journal.TicketRevoked.
const outcomeRevoked = "revoked"

// ticketLead is how long before its writing a ticket holds: the database's clock may be behind that of the
// person's machine.
const ticketLead = 10 * time.Minute

// NewTicketOptions say what a ticket is to allow.
type NewTicketOptions struct {
	// Purpose and Scope are as errScopeWords says.
	Purpose string
	Scope   []string
	// As is the person who will sign the request, Reason why.
	As, Reason string
	// Hub is the origin of the hub's journal, empty for the configuration's.
	Hub string
	// Life is how long it holds.
	Life time.Duration
	// Out is the file to write.
	Out string
}

// NewTicket writes a ticket that nobody has signed yet. It needs no database.
func NewTicket(cfg config.Config, o NewTicketOptions, out io.Writer) error {
	if err := CheckReason(o.Reason); err != nil {
		return err
	}
	scope, err := scopeOf(ticket.Purpose(o.Purpose), o.Scope)
	if err != nil {
		return err
	}
	now := time.Now().UTC().Truncate(time.Second)
	t := ticket.Ticket{
		ID: uuid.New(), Hub: o.Hub, Environment: cfg.Env(), Purpose: ticket.Purpose(o.Purpose), Scope: scope, Requester: o.As,
		Reason: o.Reason, NotBefore: now.Add(-ticketLead), Expires: now.Add(o.Life),
	}
	if t.Hub == "" {
		t.Hub = cfg.JournalOrigin()
	}
	if !ticket.GoodName(o.As) {
		return errPersonName
	}
	if err := t.Check(); err != nil {
		return fmt.Errorf("new ticket: %w", err)
	}
	f, err := createOwn(o.Out)
	if err != nil {
		return err
	}
	_, err = f.Write(ticket.Signed{Ticket: t}.Bytes())
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write ticket: %w", err)
	}
	say(out, "%s", t.Text())
	return nil
}

// scopeOf reads the words of a scope.
func scopeOf(p ticket.Purpose, words []string) (s ticket.Scope, err error) {
	const pair = 2
	switch {
	case p == ticket.Open && len(words) == 1:
		s.Kind = ticket.OneMessage
		s.ID, err = uuid.Parse(words[0])
	case len(words) != pair:
		err = errScopeWords
	case p == ticket.Reidentify, p == ticket.Erase, p == ticket.Report, p == ticket.Unjoin:
		s = ticket.Scope{Kind: ticket.OnePseudonym, Domain: words[0], Code: words[1]}
	case p == ticket.Replay:
		s.Kind = ticket.Entries
		s.From, s.To, err = readRange(words[0], words[1])
	case p == ticket.Rotate, p == ticket.Reseal:
		var n int64
		n, err = strconv.ParseInt(words[1], 10, 32)
		s = ticket.Scope{Kind: ticket.KeyEpoch, Key: words[0], Epoch: int32(n)}
	default:
		err = errScopeWords
	}
	if err != nil {
		return ticket.Scope{}, errScopeWords // never the parser's words
	}
	return s, nil
}

// createOwn makes a file that only its owner reads; one that is there is left alone.
func createOwn(path string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Clean(path), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil, errOutExists
	}
	if err != nil {
		return nil, fmt.Errorf("make file: %w", err)
	}
	return f, nil
}

// readTicket reads a ticket's file.
func readTicket(path string) (ticket.Signed, error) {
	text, err := readSmall(path)
	if err != nil {
		return ticket.Signed{}, err
	}
	return ticket.Parse(text)
}

// SignTicketOptions say who signs what.
type SignTicketOptions struct {
	// File is the ticket's, which is replaced by the signed one.
	File string
	// Key is the file of the private key, - for standard input.
	Key string
	// As is the person who approves; empty for a request, which is the requester's.
	As string
}

// SignTicket adds a signature: the requester's, or with As that of who approves. It runs on the person's
// own machine and needs no database; whether the person may sign this is seen at the use.
func SignTicket(o SignTicketOptions, out io.Writer) error {
	t, err := readTicket(o.File)
	if err != nil {
		return err
	}
	if err := CheckReason(t.Reason); err != nil {
		return err
	}
	name := o.As
	switch {
	case name == "" && len(t.Signatures) > 0:
		return fmt.Errorf("sign: %w", ticket.ErrSigned)
	case name == "":
		name = t.Requester
	case len(t.Signatures) == 0:
		return fmt.Errorf("approve: %w", ticket.ErrUnsigned)
	}
	key, err := readPersonKey(o.Key)
	if err != nil {
		return err
	}
	signed, err := t.Sign(name, key)
	clear(key)
	if err != nil {
		return err
	}
	if err := replaceFile(o.File, signed.Bytes()); err != nil {
		return fmt.Errorf("write ticket: %w", err)
	}
	say(out, "%s\nsigned as %s\n", t.Text(), name)
	return nil
}

// ShowTicket prints a ticket and who is said to have signed it, without looking anything up.
func ShowTicket(file string, out io.Writer) error {
	t, err := readTicket(file)
	if err != nil {
		return err
	}
	say(out, "%s\n", t.Text())
	if len(t.Signatures) == 0 {
		say(out, "nobody has signed\n")
	}
	for i, s := range t.Signatures {
		say(out, "%s by %s (not verified here)\n", [...]string{"requested", "approved"}[i], s.Name)
	}
	return nil
}

// CheckTicket tells whether a ticket would be good now, as far as the database knows: the opener's own list
// of people may be stricter.
func CheckTicket(ctx context.Context, cfg config.Config, file string, out io.Writer) error {
	t, err := readTicket(file)
	if err != nil {
		return err
	}
	return withStore(ctx, cfg, reading, func(store *postgres.Store) error {
		signers, err := store.Signers(ctx, cfg.Env())
		if err == nil {
			err = t.Verify(cfg.JournalOrigin(), cfg.Env(), signers)
		}
		if err == nil {
			err = store.TicketState(ctx, t)
		}
		if err != nil {
			return fmt.Errorf("check ticket: %w", err)
		}
		say(out, "good: %s %s, requested by %s, approved by %s, until %s\n", t.Purpose, t.Scope, t.Requester, t.Approver(), t.Expires.Format(time.RFC3339))
		return nil
	})
}

// RevokeTicket takes a ticket back: before its use, or the rest of a run.
func RevokeTicket(ctx context.Context, cfg config.Config, file string, w Who, out io.Writer) error {
	signer, err := newSigner(cfg, w)
	if err != nil {
		return err
	}
	t, err := readTicket(file)
	if err != nil {
		return err
	}
	if t.Environment != cfg.Env() || t.Hub != cfg.JournalOrigin() {
		return ticket.ErrHub
	}
	if err := CheckReason(t.Reason); err != nil {
		return err
	}
	err = withStore(ctx, cfg, writing, func(store *postgres.Store) error {
		who, err := signer.sign(ctx, store, ticket.TicketRevoke, "ticket "+t.ID.String())
		if err != nil {
			return err
		}
		return store.RevokeTicket(ctx, t, who.mark(journal.Entry{
			ID: uuid.Must(uuid.NewV7()), At: time.Now().UTC().Truncate(time.Microsecond), Kind: journal.TicketRevoked,
			Environment: cfg.Env(), Outcome: outcomeRevoked, Reason: w.Reason, Commitment: t.Digest(),
			Codes: []hub.Code{hub.Code("ticket:" + t.ID.String()), hub.Code("purpose:" + string(t.Purpose))},
		}))
	})
	if err != nil {
		return fmt.Errorf("revoke ticket: %w", err)
	}
	say(out, "revoked: %s\n", t.ID)
	return nil
}
