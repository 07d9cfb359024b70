package postgres_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

func TestRegistryGivesBackWhatWasWritten(t *testing.T) {
	t.Parallel()
	store := open(t, hubtest.Database(t))
	var enti []hub.Ente
	for _, e := range []hub.Ente{{Code: "C-001", Zone: "Z-1", Region: "17"}, {Code: "C-002", Zone: "Z-2", Region: "17"}} {
		written, err := store.UpsertEnte(t.Context(), hub.Prod, e)
		if err != nil {
			t.Fatal(err)
		}
		enti = append(enti, written)
	}
	// The same code in the other environment is another ente.
	if _, err := store.UpsertEnte(t.Context(), hub.Test, hub.Ente{Code: "C-001", Zone: "Z-9", Region: "09"}); err != nil {
		t.Fatal(err)
	}
	product := postgres.Product{Vendor: "Aster", Name: "Minori", Version: "", Certificate: "CERT-1", ContractVersion: "1"}
	if err := store.UpsertProduct(t.Context(), hub.Prod, product); err != nil {
		t.Fatal(err)
	}
	spec := postgres.ParticipantSpec{
		Environment: hub.Prod, Name: "aster", User: "aster-1", PasswordSHA256: randomDigest(),
		Enti: []string{"C-001", "C-002"}, Products: []postgres.Product{product},
	}
	if _, err := store.UpsertParticipant(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	// Written again, its credential and enti are replaced.
	spec.User, spec.PasswordSHA256, spec.Enti = "aster-2", randomDigest(), []string{"C-002"}
	p, err := store.UpsertParticipant(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(hub.Participant{ID: p.ID, Name: "aster", Environment: hub.Prod, Enti: enti[1:]}, p); diff != "" {
		t.Error(diff)
	}
	got, err := store.LoadRegistry(t.Context(), hub.Prod)
	if err != nil {
		t.Fatal(err)
	}
	want := &postgres.Registry{
		Credentials: []postgres.Credential{{User: "aster-2", PasswordSHA256: spec.PasswordSHA256, Participant: p}},
		Enti:        enti,
		Products:    []postgres.Product{product},
		Named:       map[int32][]postgres.Product{p.ID: {product}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestUpsertParticipantRefusesWhatIsNotInTheRegistry(t *testing.T) {
	t.Parallel()
	store := open(t, hubtest.Database(t))
	addEnte(t, store)
	for name, spec := range map[string]postgres.ParticipantSpec{
		"unknown ente":              {Name: "a", Environment: hub.Prod, User: "u", Enti: []string{"ENTE-1", "NESSUNO"}},
		"ente of other environment": {Name: "a", Environment: hub.Test, User: "u", Enti: []string{"ENTE-1"}},
		"unknown product":           {Name: "a", Environment: hub.Prod, User: "u", Products: []postgres.Product{{Vendor: "v", Name: "n"}}},
	} {
		if _, err := store.UpsertParticipant(t.Context(), spec); err == nil {
			t.Errorf("%s: written", name)
		}
	}
	registry, err := store.LoadRegistry(t.Context(), hub.Prod)
	if err != nil || len(registry.Credentials) != 0 {
		t.Errorf("left %d credentials, %v", len(registry.Credentials), err)
	}
}
