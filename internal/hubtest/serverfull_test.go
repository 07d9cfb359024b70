//go:build e2e

package hubtest_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// TestE2EServerSaysThatItsDiskIsFull: what a database answers closes the door, whichever role hears it
// first, although the disk that serve can see has room; and it opens when something can be stored again.
func TestE2EServerSaysThatItsDiskIsFull(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	sender := h.Sender(hubtest.ChildEnte)
	known := uuid.New()
	if a := mustSend(t, sender, soap.V12, hubtest.Child(21).Event(known, 1)); a.Receipt == nil {
		t.Fatalf("%s", a.Body)
	}
	db := h.Superuser()
	exec := func(statement string) {
		t.Helper()
		if _, err := db.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	for n, table := range []string{"vault.subject", "hub.message"} {
		fresh := hubtest.Child(22+n).Event(uuid.New(), 1)
		exec(`CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = '53100'; END $$`)
		for _, refusing := range []string{table, "hub.probe"} {
			exec("CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON " + refusing + " FOR EACH STATEMENT EXECUTE FUNCTION public.refuse()")
		}
		mustTurnAway(t, mustSend(t, sender, soap.V12, fresh), "SINBA_502")
		waitForMetric(t, h, `hub_admission_closed{reason="disk"} 1`)
		mustTurnAway(t, mustSend(t, sender, soap.V12, fresh), "SINBA_503")
		if a := mustSend(t, sender, soap.V12, hubtest.Child(21).Event(known, 1)); a.Receipt == nil {
			t.Errorf("a repetition: %s", a.Body)
		}
		if a := mustSend(t, sender, soap.V12, []byte(`<EchoRichiesta xmlns="urn:sinba:eventi:v1"/>`)); a.Header.Get("X-Sinba-Codice") != "SINBA_503" || elementOf(a.Body, "Disponibile") != "false" ||
			!strings.Contains(elementOf(a.Body, "Messaggio"), "the disk is nearly full") {
			t.Errorf("echo: %v %s", a.Header, a.Body)
		}
		if status, body := admin(t, h, "/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "door: closed, disk") {
			t.Errorf("readyz: %d %s", status, body)
		}
		exec("DROP FUNCTION public.refuse() CASCADE")
		waitForMetric(t, h, `hub_admission_closed{reason="disk"} 0`)
		if a := mustSend(t, sender, soap.V12, fresh); a.Receipt == nil {
			t.Errorf("with room again: %s", a.Body)
		}
	}
}
