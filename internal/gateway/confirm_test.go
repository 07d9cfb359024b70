package gateway_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
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
		w.gateway.Finish(t.Context())
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

// TestConfirmationIsTriedAgain: where the vault lost what it had answered, only the one who waits has the secret.
func TestConfirmationIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := newWhole(t, false)
	_, err := w.db.Exec(t.Context(), `
		CREATE SEQUENCE vault.tries;
		CREATE FUNCTION vault.fails() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
			$$ BEGIN PERFORM nextval('vault.tries'); RAISE EXCEPTION 'not now'; END $$;
		CREATE TRIGGER fails BEFORE UPDATE ON vault.subject FOR EACH ROW EXECUTE FUNCTION vault.fails();
		GRANT EXECUTE ON FUNCTION vault.fails TO hub_vault`, pgx.QueryExecModeSimpleProtocol)
	must(t, err)
	if a := w.send(sampleDocuments(t)[0]); a.Receipt == nil || a.Receipt.Esito != "ACCETTATO" {
		t.Fatalf("the event: %s", a.Body)
	}
	hubtest.Await(t, time.Minute, "a confirmation fails", func() bool {
		return hubtest.Number(t, w.db, `SELECT count(*) FROM vault.tries WHERE is_called`) == 1
	})
	_, err = w.db.Exec(t.Context(), `DROP TRIGGER fails ON vault.subject`)
	must(t, err)
	hubtest.Await(t, time.Minute, "the child is confirmed", func() bool {
		return hubtest.Number(t, w.db, `SELECT count(*) FROM vault.subject WHERE state = 'confirmed'`) == 1
	})
}

// TestOnlyAnAcceptanceReachesTheVault: who only asks, and who is refused, leaves nobody behind.
func TestOnlyAnAcceptanceReachesTheVault(t *testing.T) {
	t.Parallel()
	w := newWhole(t, false)
	samples := sampleDocuments(t)
	if a := w.send(strings.ReplaceAll(samples[0], "InviaEvento", "VerificaEvento")); a.Report == nil || !a.Report.Conforme {
		t.Fatalf("the question: %s", a.Body)
	}
	if a := w.send(samples[1]); a.Fault == nil {
		t.Fatalf("an event of no case: %s", a.Body)
	}
	if n := hubtest.Number(t, w.db, `SELECT count(*) FROM vault.subject`); n != 0 {
		t.Errorf("%d children are in the vault", n)
	}
}

// TestLotWithoutTheVaultIsToBeSentAgain: no event of a case that could not be opened is told that it is wrong, also not
// one that gives the child another identifier and is therefore asked alone.
func TestLotWithoutTheVaultIsToBeSentAgain(t *testing.T) {
	t.Parallel()
	w := newWhole(t, false)
	files, err := filepath.Glob(filepath.Join(hubtest.Root(), "testdata", "events", "04-trasferimento", "*.xml"))
	must(t, err)
	slices.Sort(files)
	var documents []string
	for _, file := range files[:4] {
		text, err := os.ReadFile(file)
		must(t, err)
		documents = append(documents, string(text))
	}
	if !strings.Contains(documents[3], "<IdentificativoPrecedente>") {
		t.Fatal("the last of them names no identifier before")
	}
	_, err = w.db.Exec(t.Context(), `ALTER TABLE vault.subject_link RENAME TO gone`)
	must(t, err)
	a := w.send(lot("", documents...))
	if a.Lot == nil || len(a.Lot.Esiti) != len(documents) {
		t.Fatalf("%s", a.Body)
	}
	for _, o := range a.Lot.Esiti {
		if o.Refusal == nil || len(o.Refusal.Findings) != 1 || !strings.HasPrefix(o.Refusal.Findings[0].Codice, "SINBA_5") {
			t.Errorf("event %d: %+v", o.Position, o.Refusal)
		}
	}
	_, err = w.db.Exec(t.Context(), `ALTER TABLE vault.gone RENAME TO subject_link`)
	must(t, err)
	if a = w.send(lot("", documents[:3]...)); a.Lot == nil {
		t.Fatalf("the lot again: %s", a.Body)
	}
	for _, o := range a.Lot.Esiti {
		if o.Receipt == nil {
			t.Errorf("event %d again: %+v", o.Position, o.Refusal)
		}
	}
}
