package app

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// erasureStub is a store and a vault with one erasure.
type erasureStub struct {
	one     postgres.Erasure
	there   int
	fault   error
	ordered []journal.Entry
	did     []string
}

func (s *erasureStub) Erasures(context.Context, hub.Environment, bool) ([]postgres.Erasure, error) {
	return []postgres.Erasure{s.one}, nil
}

func (s *erasureStub) Forgotten(_ context.Context, _ []uuid.UUID, again bool) error {
	s.did = append(s.did, map[bool]string{false: "forgotten", true: "forgotten again"}[again])
	return nil
}

func (s *erasureStub) ErasureProven(context.Context, uuid.UUID) error {
	s.did = append(s.did, "proven")
	return nil
}

func (s *erasureStub) Erase(_ context.Context, _ hub.Environment, _ []uuid.UUID, _ uuid.UUID, despite bool, entryOf func(int64) journal.Entry) (int64, error) {
	if !despite {
		return 0, postgres.ErrUndelivered
	}
	s.ordered = append(s.ordered, entryOf(1))
	return 1, nil
}

// vaultStub is its vault.
type vaultStub struct{ *erasureStub }

func (v vaultStub) Erase(context.Context, []uuid.UUID) (int, error) { return v.there, v.fault }

// What becomes of an erasure that was begun, by how far it is and what came in between.
func TestErasuresThatWereBegunComeToTheirEnd(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	away := errors.New("away")
	for name, c := range map[string]struct {
		one   postgres.Erasure
		there int
		fault error
		want  string
		order int
	}{
		"interrupted before the vault": {one: postgres.Erasure{}, there: 1, want: "forgotten"},
		"the vault is away":            {one: postgres.Erasure{}, fault: away},
		"too young to be looked at":    {one: postgres.Erasure{Forgotten: at}, there: 1},
		"nothing came":                 {one: postgres.Erasure{Forgotten: at, Ripe: true}, want: "proven"},
		"the subject came back":        {one: postgres.Erasure{Forgotten: at, Ripe: true}, there: 1, want: "forgotten again"},
		"a case came":                  {one: postgres.Erasure{Forgotten: at, Ripe: true, Again: true}, want: "forgotten again", order: 1},
		"looked at, the vault is away": {one: postgres.Erasure{Forgotten: at, Ripe: true}, fault: away},
	} {
		c.one.Subject, c.one.Entry = uuid.New(), uuid.New()
		s := &erasureStub{one: c.one, there: c.there, fault: c.fault}
		e := erasing{store: s, vault: vaultStub{s}, env: hub.Prod, backups: 35, now: func() time.Time { return at }}
		err := e.settle(t.Context(), zap.NewNop())
		if !errors.Is(err, c.fault) || (c.fault == nil && err != nil) {
			t.Errorf("%s: %v", name, err)
		}
		var did string
		for _, d := range s.did {
			did += d
		}
		if did != c.want || len(s.ordered) != c.order {
			t.Errorf("%s: %q with %d orders, want %q with %d", name, did, len(s.ordered), c.want, c.order)
		}
		for _, entry := range s.ordered {
			if entry.Other != c.one.Entry || entry.Kind != journal.SubjectErased || string(entry.Codes[2]) != "backups_clean:2026-12-28" {
				t.Errorf("%s: %+v", name, entry)
			}
		}
	}
}
