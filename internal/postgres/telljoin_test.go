package postgres_test

import (
	"testing"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// A child is frozen by an adoption that any case of it told of, and it is not known while an event is still to
// be looked at.
func TestFrozenIsWhoWasAdopted(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store, admin := open(t, db), superuser(t, db)
	ente := addEnte(t, store)
	adopted, asked, free := acceptance(ente.ID), acceptance(ente.ID), acceptance(ente.ID)
	for _, a := range []struct {
		of  *postgres.Acceptance
		sql string
	}{
		{adopted, "INSERT INTO hub.adoption (case_id, seen) SELECT case_id, 0 FROM hub.event WHERE id = $1"},
		{asked, "INSERT INTO hub.others_check (message_id) VALUES ($1) ON CONFLICT DO NOTHING"},
		{free, "DELETE FROM hub.others_check WHERE message_id = $1"},
	} {
		accept(t, store, a.of)
		if _, err := admin.Exec(t.Context(), a.sql, a.of.ReceiptID); err != nil {
			t.Fatal(err)
		}
	}
	f, err := store.Frozen(t.Context(), []uuid.UUID{adopted.Subject, asked.Subject, free.Subject, uuid.New()})
	if err != nil || len(f.Frozen) != 1 || !f.Frozen[adopted.Subject] || len(f.Unknown) != 1 || !f.Unknown[asked.Subject] {
		t.Errorf("%+v: %v", f, err)
	}
}
