package gateway_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hubtest"
)

// TestFinishWaitsForWhatFollowsTheAnswers: a sender does not wait until the child is confirmed, a stop does.
func TestFinishWaitsForWhatFollowsTheAnswers(t *testing.T) {
	t.Parallel()
	w := newWhole(t, false)
	const key = 4711
	_, err := w.db.Exec(t.Context(), `
		CREATE FUNCTION vault.held() RETURNS trigger LANGUAGE plpgsql AS
			$$ BEGIN PERFORM pg_advisory_xact_lock(4711); RETURN NEW; END $$;
		CREATE TRIGGER held BEFORE UPDATE ON vault.subject FOR EACH ROW EXECUTE FUNCTION vault.held();
		GRANT EXECUTE ON FUNCTION vault.held TO hub_vault;
		SELECT pg_advisory_lock(4711)`, pgx.QueryExecModeSimpleProtocol)
	must(t, err)
	if a := w.send(sampleDocuments(t)[0]); a.Receipt == nil || a.Receipt.Esito != "ACCETTATO" {
		t.Fatalf("the event: %s", a.Body)
	}
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		w.gateway.Finish()
	}()
	hubtest.Await(t, time.Minute, "the confirmation waits", func() bool {
		return hubtest.Number(t, w.db, `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = $1 AND NOT granted`, key) == 1
	})
	select {
	case <-finished:
		t.Error("nobody waited for the confirmation")
	default:
	}
	_, err = w.db.Exec(t.Context(), `SELECT pg_advisory_unlock($1)`, key)
	must(t, err)
	<-finished
	if n := hubtest.Number(t, w.db, `SELECT count(*) FROM vault.subject WHERE state = 'confirmed'`); n != 1 {
		t.Errorf("%d children are confirmed", n)
	}
}
