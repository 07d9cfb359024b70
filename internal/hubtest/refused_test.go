//go:build smoke

package hubtest_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

const (
	refusedChildren = 1_000
	// failedChildren are those whose acceptance fails after the vault knew them.
	failedChildren = 200
	// acceptedChildren are accepted before, and so many of the failed ones come back in time.
	acceptedChildren = 30
)

// TestSmokeRefusedEventsLeaveNoVaultRow refuses events of new children for every kind of reason,
// lets acceptances fail after the subject was reserved, and looks at the vault after the sweep.
func TestSmokeRefusedEventsLeaveNoVaultRow(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	db := h.Superuser()
	s := h.Sender(hubtest.ChildEnte)
	inParallel(acceptedChildren, func(i int) { mustAccept(t, s, hubtest.Child(i)) })
	inParallel(refusedChildren, func(i int) {
		document := refusedDocument(hubtest.Child(1_000+i), i)
		if a, err := s.Send(t.Context(), soap.V12, document); err != nil || a.Status != http.StatusInternalServerError || a.Fault == nil {
			t.Errorf("not refused: %v %+v", err, a)
		}
	})
	wantVault(t, db, "after refusals", acceptedChildren, 0)

	mend := hubtest.BreakAcceptance(t, db)
	inParallel(failedChildren, func(i int) {
		a, err := s.Send(t.Context(), soap.V12, hubtest.Child(10_000+i).Event(uuid.New(), 1))
		if err != nil || a.Fault == nil || !strings.HasPrefix(a.Header.Get("X-Sinba-Codice"), "SINBA_5") {
			t.Errorf("accepted, or refused as the sender's fault: %v %+v", err, a)
		}
	})
	// A child that is known is not in question, whatever becomes of its next event.
	if a, err := s.Send(t.Context(), soap.V12, hubtest.Child(0).Event(uuid.New(), 2)); err != nil || a.Fault == nil {
		t.Errorf("accepted: %v %+v", err, a)
	}
	wantVault(t, db, "after failed acceptances", acceptedChildren, failedChildren)
	mend()
	inParallel(acceptedChildren, func(i int) { mustAccept(t, s, hubtest.Child(10_000+i)) })
	if t.Failed() {
		return
	}
	wantVault(t, db, "after repetitions", 2*acceptedChildren, failedChildren-acceptedChildren)

	advanceClock(t, db, "hub_vault", "11 minutes")
	hubtest.Await(t, 2*time.Minute, "the sweep", func() bool {
		return hubtest.Number(t, db, "SELECT count(*) FROM vault.subject WHERE state = 'pending'") == 0
	})
	wantVault(t, db, "after the sweep", 2*acceptedChildren, 0)
	for what, query := range map[string]string{
		"links to nobody":               "SELECT count(*) FROM vault.subject_link l WHERE NOT EXISTS (SELECT FROM vault.subject s WHERE s.id = l.subject_id)",
		"events of nobody in the vault": "SELECT count(*) FROM hub.event e WHERE NOT EXISTS (SELECT FROM vault.subject s WHERE s.id = e.subject_id)",
		"cases without event":           "SELECT count(*) FROM hub.case_file c WHERE NOT EXISTS (SELECT FROM hub.event e WHERE e.case_id = c.id)",
	} {
		if n := hubtest.Number(t, db, query); n != 0 {
			t.Errorf("%d %s", n, what)
		}
	}
	// Who was swept may come again.
	mustAccept(t, s, hubtest.Child(10_000+failedChildren-1))
	wantVault(t, db, "after a new beginning", 2*acceptedChildren+1, 0)
}

// refusedDocument is an opening that must be refused, for one of five reasons.
func refusedDocument(child hubtest.Child, reason int) []byte {
	document := string(child.Event(uuid.New(), 1))
	from, to := "", ""
	switch reason % 5 {
	case 0:
		from, to = "<CanaleAccesso>SPORTELLO", "<CanaleAccesso>PORTA"
	case 1:
		code := child.Code()
		from, to = "<CodiceFiscale>"+code, "<CodiceFiscale>"+code[:15]+string('A'+(code[15]-'A'+1)%26)
	case 2:
		from, to = "<Prodotto>Gesocial", "<Prodotto>Ignoto"
	case 3:
		from, to = "<CodiceEnte>SDS-PI", "<CodiceEnte>SDS-FI"
	case 4:
		from, to = "<DataApertura>2024", "<DataApertura>2098"
	}
	return []byte(strings.Replace(document, from, to, 1))
}

// wantVault compares the vault's subjects and links with how many there must be, once the confirmations that
// follow the answers are done.
func wantVault(t *testing.T, db *pgx.Conn, when string, confirmed, pending int64) {
	t.Helper()
	hubtest.Await(t, time.Minute, when+": the confirmations", func() bool {
		return hubtest.Number(t, db, "SELECT count(*) FROM vault.subject WHERE state = 'confirmed'") >= confirmed
	})
	for query, want := range map[string]int64{
		"SELECT count(*) FROM vault.subject WHERE state = 'confirmed'": confirmed,
		"SELECT count(*) FROM vault.subject WHERE state = 'pending'":   pending,
		"SELECT count(*) FROM vault.subject_link":                      confirmed + pending,
	} {
		if got := hubtest.Number(t, db, query); got != want {
			t.Errorf("%s: %s gives %d, want %d", when, query, got, want)
		}
	}
}

func mustAccept(t *testing.T, s hubtest.Sender, child hubtest.Child) {
	t.Helper()
	if a, err := s.Send(t.Context(), soap.V12, child.Event(uuid.New(), 1)); err != nil || a.Receipt == nil {
		t.Errorf("not accepted: %v %+v", err, a)
	}
}

// inParallel does something for every number below n, as many at a time as there are writers.
func inParallel(n int, do func(int)) {
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := w; i < n; i += writers {
				do(i)
			}
		})
	}
	wg.Wait()
}
