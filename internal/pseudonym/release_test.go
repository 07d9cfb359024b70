package pseudonym_test

import (
	"testing"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
)

// A child whose last case was deleted is forgotten ten minutes later with its secret and its links, unless
// an event of it came meanwhile; one of the other environment is left alone.
func TestReleasedSubjectsAreForgottenUnlessAnEventComes(t *testing.T) {
	t.Parallel()
	d, keys := newDatabase(t), newKeys(t, hub.Prod)
	now, after := d.vault(t, keys), d.vaultAhead(t, keys, later)
	subjects := map[string]pseudonym.Subject{}
	indexes := map[string]pseudonym.LinkIndex{}
	var ids []uuid.UUID
	for _, name := range []string{"released", "released and back", "kept", "other environment"} {
		indexes[name] = anyone(keys)
		subjects[name] = mustReserve(t, now, indexes[name], pseudonym.NewSubject())
		if err := now.Confirm(t.Context(), subjects[name]); err != nil {
			t.Fatal(err)
		}
		if name != "kept" {
			ids = append(ids, subjects[name].ID)
		}
	}
	if _, err := d.super.Exec(t.Context(), `UPDATE vault.subject SET environment = 'TEST' WHERE id = $1`,
		[16]byte(subjects["other environment"].ID)); err != nil {
		t.Fatal(err)
	}
	for range 2 { // an interrupted release is made again
		if err := now.Release(t.Context(), append(ids, uuid.New())); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := now.Sweep(t.Context(), events()); n != 0 || err != nil {
		t.Fatalf("swept %d before their time: %v", n, err)
	}
	if n, err := after.Sweep(t.Context(), events(subjects["released and back"].ID)); n != 1 || err != nil {
		t.Errorf("deleted %d: %v", n, err)
	}
	for name, there := range map[string]bool{"released": false, "released and back": true, "kept": true, "other environment": true} {
		s := mustResolve(t, now, indexes[name])
		if s.New() == there || s.Pending {
			t.Errorf("%s: %+v", name, s)
		}
	}
}
