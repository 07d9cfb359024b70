package postgres_test

import (
	"errors"
	"testing"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

func TestDatabaseRemembersItsKeys(t *testing.T) {
	t.Parallel()
	store, err := postgres.Open(t.Context(), postgres.Config{DSN: hubtest.Database(t).App})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	check := func(env hub.Environment, keys map[string][32]byte, want error) {
		t.Helper()
		if err := store.CheckKeys(t.Context(), env, keys); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	first := map[string][32]byte{"link-1": {1}, "code-nation-1": {2}}
	check(hub.Prod, first, nil)
	check(hub.Prod, first, nil)
	// A rotation adds a key; the others stay.
	check(hub.Prod, map[string][32]byte{"link-1": {1}, "code-nation-1": {2}, "code-nation-2": {3}}, nil)
	check(hub.Prod, map[string][32]byte{"link-1": {9}, "code-nation-1": {2}}, postgres.ErrOtherKeys)
	// The refusal changed nothing, and the other environment has keys of its own.
	check(hub.Prod, first, nil)
	check(hub.Test, map[string][32]byte{"link-1": {9}}, nil)
}
