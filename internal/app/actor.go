package app

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/ticket"
)

// The faults of who acts.
var (
	errAccount  = errors.New("the account of this process has no name for the journal: 1 to 64 letters, digits and signs of .@_-, without an identity")
	errHalfSign = errors.New("to sign takes a registered person and the file of their private key: --as NAME --key FILE (for person add --signing-key FILE), or operator.person and operator.key_file in the configuration")
	errUnsigned = errors.New("an operator is registered here, so that this must be signed: --as NAME --key FILE (for person add --signing-key FILE), or operator.person and operator.key_file in the configuration (`sinbahub person list` has the names)")
	errKeyMode  = errors.New("others than its owner may read or change this private key: chmod 600 it, and take another key if somebody may have")
)

// Who acts, and why.
type Who struct {
	// As is the registered person, Key the file of their private key (- is standard input); empty for those of
	// the configuration.
	As, Key string
	// Reason is why, for the journal.
	Reason string
	// Notes is told if nobody signed; nil for nobody.
	Notes io.Writer
}

// signer is who acts, before it is known what on.
type signer struct {
	who    Who
	env    hub.Environment
	origin string
	// key is nil where an account acts.
	key ed25519.PrivateKey
	// configured says that the person was not named on the command line.
	configured bool
}

// checkWhy tells what is wrong with a reason, which stands in the journal.
func checkWhy(reason string) error {
	if strings.TrimSpace(reason) == "" {
		return errNoReason
	}
	if err := CheckReason(reason); err != nil {
		return fmt.Errorf("--reason: %w", err)
	}
	return nil
}

// newSigner checks the reason, which stands in the journal, and reads the key. It needs no database.
func newSigner(cfg config.Config, w Who) (*signer, error) {
	if err := checkWhy(w.Reason); err != nil {
		return nil, err
	}
	configured := w.As == "" && w.Key == ""
	if configured {
		w.As, w.Key = cfg.Operator.Person, cfg.Operator.KeyFile
	}
	s := &signer{who: w, env: cfg.Env(), origin: cfg.JournalOrigin(), configured: configured}
	switch {
	case w.As == "" && w.Key == "":
		return s, nil
	case w.As == "" || w.Key == "":
		return nil, errHalfSign
	case !ticket.GoodName(w.As) || CheckReason(w.As) != nil:
		return nil, errPersonName
	}
	var err error
	s.key, err = readPersonKey(w.Key)
	return s, err
}

// acting is who acts from now on: a person whose order is in the journal, or an account.
type acting struct {
	// name is the person's, or account:name.
	name string
	// order is the entry of what the person signed; nil for an account.
	order uuid.UUID
}

// mark puts who acts into the entry of what is done.
func (a acting) mark(e journal.Entry) journal.Entry {
	e.Actor, e.Other = a.name, a.order
	return e
}

// sign has the person sign what is to be done, and journals that before any of it is: a key, a person or a
// role that does not count ends the command with nothing done. For as long as no operator is registered in
// the environment the account of this process may act.
func (s *signer) sign(ctx context.Context, store *postgres.Store, verb ticket.Verb, on string) (acting, error) {
	persons, err := store.Signers(ctx, s.env)
	if err != nil {
		return acting{}, fmt.Errorf("read who may act: %w", err)
	}
	operated := slices.ContainsFunc(persons, func(p ticket.Person) bool { return slices.Contains(p.Roles, ticket.Operator) })
	if s.key == nil && operated {
		return acting{}, errUnsigned
	}
	known := slices.ContainsFunc(persons, func(p ticket.Person) bool { return p.Name == s.who.As })
	// A configuration that names who is to be the first operator must not keep them from being registered.
	if s.key == nil || s.configured && !operated && !known {
		account, err := accountName()
		if err == nil && s.who.Notes != nil {
			say(s.who.Notes, "No operator is registered (sinbahub person add): the journal has %s, which nobody signed.\n", account)
		}
		return acting{name: account}, err
	}
	now := time.Now().UTC()
	action := ticket.Action{
		ID: uuid.New(), Hub: s.origin, Environment: s.env, Verb: verb, On: on, Person: s.who.As, Reason: s.who.Reason, At: now.Truncate(time.Second),
	}
	signed, err := action.Sign(s.key)
	if err == nil {
		err = signed.Verify(s.origin, s.env, persons)
	}
	if err != nil {
		return acting{}, fmt.Errorf("sign as %s: %w", s.who.As, err)
	}
	entry := orderEntry(signed, now)
	if err := store.TakeAction(ctx, signed, entry); err != nil {
		return acting{}, fmt.Errorf("sign as %s: %w", s.who.As, err)
	}
	return acting{s.who.As, entry.ID}, nil
}

// orderEntry is the journal's entry of what was signed.
func orderEntry(a ticket.SignedAction, at time.Time) journal.Entry {
	return journal.Entry{
		ID: uuid.Must(uuid.NewV7()), At: at.Truncate(time.Microsecond), Kind: journal.ActionSigned, Environment: a.Environment,
		Outcome: string(a.Verb), Actor: a.Person, Reason: a.Reason, Commitment: a.Digest(), Codes: []hub.Code{hub.Code("action:" + a.ID.String())},
	}
}

// readPersonKey reads a person's private key, which nobody else may have been able to.
func readPersonKey(path string) (ed25519.PrivateKey, error) {
	if path != "-" {
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("read key: %w", err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			return nil, fmt.Errorf("%s: %w", path, errKeyMode)
		}
	}
	text, err := readSmall(path)
	if err != nil {
		return nil, err
	}
	key, err := ticket.ParsePrivate(text)
	clear(text)
	return key, err
}

// accountName is the account that this process runs as, or that became root by sudo, as the journal has it:
// the machine says so, and nothing proves it.
func accountName() (string, error) {
	name := ""
	if os.Geteuid() == 0 {
		name = os.Getenv("SUDO_USER")
	}
	if name == "" {
		account, err := user.Current()
		if err != nil {
			return "", fmt.Errorf("name the account: %w", err)
		}
		name = account.Username
	}
	if !regexp.MustCompile(`^[A-Za-z0-9._@-]{1,64}$`).MatchString(name) || CheckReason(name) != nil {
		return "", errAccount
	}
	return "account:" + name, nil
}
