package app

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/opener"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/ticket"
)

// The outcomes of journal.PersonChanged.
const (
	personAdded   = "added"
	personTrusted = "trusted"
	personRetired = "retired"
)

// The faults of the people's commands.
var (
	errPersonName    = errors.New("a person's name is 1 to 40 small letters, digits and signs of ._- and begins with a letter, without an identity")
	errPersonRole    = errors.New("the roles are operator, auditor and privacy-officer, each at most once and at least one")
	errFingerprint   = errors.New("the key registered under this name has another fingerprint than the one you were told: do not trust it, and find out who registered it")
	errTrusted       = errors.New("the opener's list has another line with this name or key: take it away first")
	errKeyFileLarge  = errors.New("the file is too large for a key or a ticket")
	errNotRegistered = errors.New("no person of this name may sign: they were never registered, or are retired")
)

// PersonOptions name a person and who registers, trusts or retires them.
type PersonOptions struct {
	// Name is the person's.
	Name string
	// Roles are the person's (person add).
	Roles []string
	// Key is the file of the public key (person add).
	Key string
	// Fingerprint is what the person told of the key, on another way (person trust).
	Fingerprint string
	// Who registers, trusts or retires them.
	Who Who
}

// AddPerson registers a person. That alone lets nobody sign: the opener's own user must trust the key.
func AddPerson(ctx context.Context, cfg config.Config, o PersonOptions, out io.Writer) error {
	signer, err := newSigner(cfg, o.Who)
	if err != nil {
		return err
	}
	if !ticket.GoodName(o.Name) || CheckReason(o.Name) != nil {
		return errPersonName
	}
	p := ticket.Person{Name: o.Name}
	for _, role := range ticket.Roles() {
		if slices.Contains(o.Roles, string(role)) {
			p.Roles = append(p.Roles, role)
		}
	}
	if len(p.Roles) == 0 || len(p.Roles) != len(o.Roles) {
		return errPersonRole
	}
	text, err := readSmall(o.Key)
	if err != nil {
		return err
	}
	if p.Key, err = ticket.ParsePublic(text); err != nil {
		return err
	}
	err = withStore(ctx, cfg, writing, func(store *postgres.Store) error {
		who, err := signer.sign(ctx, store, ticket.PersonAdd, fmt.Sprintf("%s %s %s", p.Name, rolesText(p.Roles), ticket.Fingerprint(p.Key)))
		if err != nil {
			return err
		}
		return store.AddPerson(ctx, cfg.Env(), p, who.mark(personEntry(cfg.Env(), p, personAdded, o.Who.Reason)))
	})
	if err != nil {
		return fmt.Errorf("add person: %w", err)
	}
	say(out, "%s is registered as %s with the key\n  %s\n", p.Name, rolesText(p.Roles), ticket.Fingerprint(p.Key))
	say(out, "Nothing opens for it yet. On the opener's machine, once %s has read this fingerprint to you:\n", p.Name)
	say(out, "  sinbahub person trust %s --fingerprint SHA256:… --reason …\n", p.Name)
	return nil
}

// personEntry is the journal's.
func personEntry(env hub.Environment, p ticket.Person, outcome, reason string) journal.Entry {
	e := journal.Entry{
		ID: uuid.Must(uuid.NewV7()), At: time.Now().UTC().Truncate(time.Microsecond), Kind: journal.PersonChanged,
		Environment: env, Outcome: outcome, Reason: reason, Codes: []hub.Code{hub.Code("person:" + p.Name)},
	}
	for _, r := range p.Roles {
		e.Codes = append(e.Codes, hub.Code("role:"+r))
	}
	if len(p.Key) == ed25519.PublicKeySize {
		e.Codes = append(e.Codes, hub.Code("key:"+ticket.Fingerprint(p.Key)))
	}
	return e
}

// RetirePerson ends a person's right to sign, at once and for ever.
func RetirePerson(ctx context.Context, cfg config.Config, o PersonOptions, out io.Writer) error {
	signer, err := newSigner(cfg, o.Who)
	if err != nil {
		return err
	}
	if !ticket.GoodName(o.Name) || CheckReason(o.Name) != nil {
		return errPersonName
	}
	err = withStore(ctx, cfg, writing, func(store *postgres.Store) error {
		who, err := signer.sign(ctx, store, ticket.PersonRetire, o.Name)
		if err != nil {
			return err
		}
		return store.RetirePerson(ctx, cfg.Env(), o.Name, who.mark(personEntry(cfg.Env(), ticket.Person{Name: o.Name}, personRetired, o.Who.Reason)))
	})
	if err != nil {
		return fmt.Errorf("retire person: %w", err)
	}
	say(out, "%s is retired: no ticket with that signature is good any more, used or not. Take the line out of the opener's list, too.\n", o.Name)
	return nil
}

// ListPeople prints all people, with the retired ones.
func ListPeople(ctx context.Context, cfg config.Config, out io.Writer) error {
	return withStore(ctx, cfg, reading, func(store *postgres.Store) error {
		all, err := store.People(ctx, cfg.Env())
		if err != nil {
			return fmt.Errorf("list people: %w", err)
		}
		table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
		_, _ = fmt.Fprintf(table, "NAME\tROLES\tKEY\tADDED\tRETIRED\n")
		for _, p := range all {
			retired := "-"
			if !p.RetiredAt.IsZero() {
				retired = p.RetiredAt.UTC().Format(time.RFC3339)
			}
			_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", p.Name, rolesText(p.Roles), ticket.Fingerprint(p.Key), p.AddedAt.UTC().Format(time.RFC3339), retired)
		}
		if err := table.Flush(); err != nil {
			return fmt.Errorf("print: %w", err)
		}
		return nil
	})
}

func rolesText(roles []ticket.Role) string {
	words := make([]string, len(roles))
	for i, r := range roles {
		words[i] = string(r)
	}
	return strings.Join(words, ",")
}

// TrustPerson adds a registered person to the opener's own list, if the fingerprint is the one that the
// person told. It runs as the opener's user, or as who starts the opener, with the opener's configuration. An
// account does it, also where an operator is registered: what it changes is that user's own file, and a
// person's private key has no business on the opener's machine.
func TrustPerson(ctx context.Context, cfg config.Config, o PersonOptions, out io.Writer) error {
	if err := checkWhy(o.Who.Reason); err != nil {
		return err
	}
	account, err := accountName()
	if err != nil {
		return err
	}
	_, gid, err := openerUser(cfg.Opener.User)
	if err != nil {
		return err
	}
	url, _, err := openerURLs(ctx, cfg, gid)
	if err != nil {
		return err
	}
	store, err := postgres.Open(ctx, postgres.Config{DSN: url, Connections: 1, Logger: zap.NewNop()})
	if err != nil {
		return fmt.Errorf("open store: %w", err)
	}
	defer store.Close()
	signers, err := store.Signers(ctx, cfg.Env())
	if err != nil {
		return fmt.Errorf("trust person: %w", err)
	}
	at := slices.IndexFunc(signers, func(p ticket.Person) bool { return p.Name == o.Name })
	if at < 0 {
		return errNotRegistered
	}
	p := signers[at]
	if ticket.Fingerprint(p.Key) != strings.TrimSpace(o.Fingerprint) {
		return errFingerprint
	}
	path := openerPeople(cfg)
	line, err := trustLine(path, p)
	if err != nil {
		return err
	}
	// In the journal first: a line that nobody noted must not be there.
	if err := store.JournalOpening(ctx, acting{name: account}.mark(personEntry(cfg.Env(), p, personTrusted, o.Who.Reason))); err != nil {
		return fmt.Errorf("trust person: %w", err)
	}
	if err := appendSynced(path, line); err != nil {
		return fmt.Errorf("write the opener's list: %w", err)
	}
	say(out, "The opener takes tickets that %s (%s) signs. Its list is %s.\n", p.Name, rolesText(p.Roles), path)
	return nil
}

// trustLine is what the list lacks of a person.
func trustLine(path string, p ticket.Person) (string, error) {
	text, err := os.ReadFile(filepath.Clean(path))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the opener's list: %w", err)
	}
	listed, err := opener.ParseTrust(text)
	if err != nil {
		return "", err
	}
	line := opener.TrustLine(p)
	for _, q := range listed {
		if opener.TrustLine(q) == line {
			return "", nil
		}
		if q.Name == p.Name || q.Key.Equal(p.Key) {
			return "", errTrusted
		}
	}
	if len(text) > 0 && text[len(text)-1] != '\n' {
		line = "\n" + line
	}
	return line, nil
}

// appendSynced appends in place: an opener that may not enter the folder any more holds this very file.
func appendSynced(path, text string) error {
	f, err := os.OpenFile(filepath.Clean(path), os.O_WRONLY|os.O_APPEND|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Sync(), f.Close())
}

// openerPeople is the opener's own list of people.
func openerPeople(cfg config.Config) string {
	if cfg.Opener.People != "" {
		return cfg.Opener.People
	}
	return filepath.Join(openerKeys(cfg), "people")
}

// mostSmall bounds the files of keys and tickets.
const mostSmall = 64 << 10

// readSmall reads the file of a key or a ticket; - is standard input.
func readSmall(path string) ([]byte, error) {
	f := os.Stdin
	if path != "-" {
		var err error
		if f, err = os.Open(filepath.Clean(path)); err != nil {
			return nil, fmt.Errorf("read file: %w", err)
		}
		defer func() { _ = f.Close() }()
	}
	text, err := io.ReadAll(io.LimitReader(f, mostSmall+1))
	if err != nil {
		return nil, fmt.Errorf("read file: %w", err)
	}
	if len(text) > mostSmall {
		return nil, errKeyFileLarge
	}
	return text, nil
}
