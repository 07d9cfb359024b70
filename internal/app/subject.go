package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
	"github.com/sinbahub/sinbahub/internal/ticket"
	"github.com/sinbahub/sinbahub/pkg/codicefiscale"
)

// The faults of what is done about one child.
var (
	errNoCode       = errors.New("a child is named by its code: 20 letters A-Z and digits 2-7, as SISS or the regional events have it")
	errUnknownChild = errors.New("no case of this hub is of a child with this code")
	errKeyInput     = errors.New("standard input is for the identifier: give the key as a file")
	errNoIdentifier = errors.New("standard input must be one codice fiscale, provisional, STP or ENI code")
	errVaultURL     = errors.New("database.vault_url is no PostgreSQL URL")
	errReachVault   = errors.New("the vault cannot be reached")
	errOtherChild   = errors.New("the ticket is about another code than the one that was named")
	errChildTicket  = errors.New("this takes a ticket that two people signed: --ticket FILE (`sinbahub ticket new report|erase|unjoin region|nation CODE`)")
)

// subjects is a command's connection to both databases, with the keys that make codes.
type subjects struct {
	store *postgres.Store
	vault *pseudonym.Vault
	keys  *pseudonym.Keys
	env   hub.Environment
	now   func() time.Time
}

// withSubjects runs a command about one child.
func withSubjects(ctx context.Context, cfg config.Config, use purpose, do func(*subjects) error) error {
	keys, err := loadKeys(cfg)
	if err != nil {
		return err
	}
	store, vaultURL, closeStore, err := openBoth(ctx, cfg, use)
	if err != nil {
		return err
	}
	defer closeStore()
	if err := store.CheckKeys(ctx, cfg.Env(), keys.Fingerprints()); err != nil {
		return fmt.Errorf("check keys: %w", err)
	}
	parsed, err := pgxpool.ParseConfig(vaultURL)
	if err != nil {
		return errVaultURL
	}
	parsed.MaxConns = 1
	pool, err := pgxpool.NewWithConfig(ctx, parsed)
	if err != nil {
		return errReachVault
	}
	defer pool.Close()
	if err := pool.Ping(ctx); err != nil {
		return errReachVault
	}
	return do(&subjects{store: store, vault: pseudonym.NewVault(pool, keys), keys: keys, env: cfg.Env(), now: time.Now})
}

// everyDomain are the domains of which a child can be named by a code.
func everyDomain() []pseudonym.Domain { return []pseudonym.Domain{pseudonym.Nation, pseudonym.Region} }

// byCode finds whose code it is, of any epoch of the domains.
func (s *subjects) byCode(ctx context.Context, code string, domains ...pseudonym.Domain) (uuid.UUID, error) {
	if !regexp.MustCompile(`^[A-Z2-7]{20}$`).MatchString(code) {
		return uuid.Nil, errNoCode
	}
	var found uuid.UUID
	var failed error
	err := s.store.EachSubject(ctx, s.env, func(ids []uuid.UUID) bool {
		for _, id := range ids {
			is, err := s.hasCode(id, code, domains)
			if err != nil || is {
				found, failed = id, err
				return true
			}
		}
		return false
	})
	switch {
	case err != nil:
		return uuid.Nil, err
	case failed != nil:
		return uuid.Nil, failed
	case found == uuid.Nil:
		return uuid.Nil, errUnknownChild
	}
	return found, nil
}

// hasCode tells whether a code is one of a subject's in the domains.
func (s *subjects) hasCode(id uuid.UUID, code string, domains []pseudonym.Domain) (bool, error) {
	for _, domain := range domains {
		for _, epoch := range s.keys.Epochs(domain) {
			own, err := s.keys.Code(domain, epoch, id)
			if err != nil || own == code {
				return err == nil, err
			}
		}
	}
	return false, nil
}

// sameChild is a subject with all that are joined to it. One that the vault has forgotten stands alone.
func (s *subjects) sameChild(ctx context.Context, id uuid.UUID) ([]uuid.UUID, error) {
	ids, err := s.vault.SameChild(ctx, id)
	if err == nil && len(ids) == 0 {
		ids = []uuid.UUID{id}
	}
	return ids, err
}

// looked writes that somebody looks at what the hub holds of a child, before it is shown.
func (s *subjects) looked(ctx context.Context, who acting, reason, what string) error {
	entry := journal.Entry{
		ID: uuid.Must(uuid.NewV7()), At: s.now().UTC().Truncate(time.Microsecond), Kind: journal.SubjectLooked,
		Environment: s.env, Reason: reason, Outcome: what,
	}
	if err := s.store.Record(ctx, who.mark(entry)); err != nil {
		return fmt.Errorf("journal who looked: %w", err)
	}
	return nil
}

// FindSubject reads an official identifier from in, the only place that it is ever in, and writes the
// child's code for SISS to out: what the other commands name a child by. It is journalled before it is
// shown, also when there is no such child.
func FindSubject(ctx context.Context, cfg config.Config, w Who, in io.Reader, out io.Writer) error {
	signer, err := newSigner(cfg, w)
	if err != nil {
		return err
	}
	if signer.who.Key == "-" {
		return errKeyInput
	}
	identity, err := readIdentity(in)
	if err != nil {
		return err
	}
	return withSubjects(ctx, cfg, writing, func(s *subjects) error {
		who, err := signer.sign(ctx, s.store, ticket.SubjectFind, "one identifier")
		if err != nil {
			return err
		}
		if err := s.looked(ctx, who, w.Reason, "find"); err != nil {
			return err
		}
		id, err := s.vault.Known(ctx, s.keys.LinkIndex(identity))
		if errors.Is(err, pseudonym.ErrNoSubject) {
			return errUnknownChild
		}
		if err != nil {
			return fmt.Errorf("ask vault: %w", err)
		}
		code, err := s.keys.Code(pseudonym.Nation, s.keys.Epoch(pseudonym.Nation), id)
		if err != nil {
			return fmt.Errorf("make code: %w", err)
		}
		_, err = fmt.Fprintln(out, code)
		return err
	})
}

// readIdentity reads one identifier and what kind it is of. The error never quotes it.
func readIdentity(in io.Reader) (pseudonym.Identity, error) {
	const longest = 64
	text, err := io.ReadAll(io.LimitReader(in, longest+1))
	if err != nil || len(text) > longest {
		return pseudonym.Identity{}, errNoIdentifier
	}
	plain := hub.NewIdentifier(strings.ToUpper(strings.TrimSpace(string(text))))
	switch {
	case codicefiscale.CheckSTP(plain.Reveal()) == nil:
		return pseudonym.NewIdentity("STP", plain), nil
	case codicefiscale.CheckENI(plain.Reveal()) == nil:
		return pseudonym.NewIdentity("ENI", plain), nil
	case codicefiscale.CheckProvisional(plain.Reveal()) == nil:
		return pseudonym.NewIdentity("CFP", plain), nil
	}
	if _, err := codicefiscale.Parse(plain.Reveal()); err != nil {
		return pseudonym.Identity{}, errNoIdentifier
	}
	return pseudonym.NewIdentity("CF", plain), nil
}
