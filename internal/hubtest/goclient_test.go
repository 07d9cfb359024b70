//go:build e2e

package hubtest_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/pkg/client"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// goClient is a vendor's Go client of an ente of the demo.
func goClient(t *testing.T, h *hubtest.Hub, ente string, change ...func(*client.Config)) *client.Client {
	t.Helper()
	p := h.Participant(ente)
	cfg := client.Config{URL: h.Run.SoapURL, User: p.APIUser, Password: h.Password(p)}
	for _, c := range change {
		c(&cfg)
	}
	c, err := client.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// TestE2EGoClient is pkg/client against a real hub.
//
//nolint:tparallel,paralleltest // its parts share one hub, whose events are counted at the end
func TestE2EGoClient(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	db := h.Superuser()
	t.Run("every sample is accepted and proved", func(t *testing.T) { checkGoClientSamples(t, h) })
	t.Run("every operation", func(t *testing.T) { checkGoClientOperations(t, h) })
	t.Run("refusals", func(t *testing.T) { checkGoClientRefusals(t, h) })
	t.Run("lost answers", func(t *testing.T) { checkGoClientLostAnswers(t, h) })
	hubtest.AwaitDelivered(t, db, patience)
	transmissions := map[string]int{}
	for _, r := range h.Received() {
		transmissions[r.ID]++
	}
	if events := hubtest.Number(t, db, "SELECT count(*) FROM hub.event"); int(events) != len(transmissions) || len(transmissions) == 0 {
		t.Errorf("%d events, %d transmissions", events, len(transmissions))
	}
	for id, n := range transmissions {
		if n != 1 {
			t.Errorf("transmission %s arrived %d times", id, n)
		}
	}
	t.Run("a killed hub", func(t *testing.T) { checkGoClientKilledHub(t, h, db) })
}

// checkGoClientSamples sends each sample twice; the client proves each receipt by its own reckoning.
func checkGoClientSamples(t *testing.T, h *hubtest.Hub) {
	t.Helper()
	clients := map[string]*client.Client{}
	for _, file := range samples(t) {
		document, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		ente := enteOf(t, file)
		if clients[ente] == nil {
			clients[ente] = goClient(t, h, ente)
		}
		first, err := clients[ente].InviaEvento(t.Context(), document)
		if err != nil || !strings.HasPrefix(first.Esito, client.Accettato) || first.SaleImpronta == "" {
			t.Fatalf("%s: %+v %v", filepath.Base(file), first, err)
		}
		again, err := clients[ente].InviaEvento(t.Context(), document)
		if err != nil || again.Esito != client.Duplicato {
			t.Fatalf("%s: %+v %v", filepath.Base(file), again, err)
		}
		again.Esito = first.Esito
		if diff := cmp.Diff(first, again); diff != "" {
			t.Errorf("%s: not the first receipt: %s", filepath.Base(file), diff)
		}
		if err := first.Verify(bytes.Replace(document, []byte("DataOraEvento>20"), []byte("DataOraEvento>19"), 1)); !errors.Is(err, client.ErrReceipt) {
			t.Errorf("%s: the receipt proves another document: %v", filepath.Base(file), err)
		}
	}
}

// checkGoClientOperations calls what the hub answers, in both versions.
func checkGoClientOperations(t *testing.T, h *hubtest.Hub) {
	t.Helper()
	for i, v := range []soap.Version{soap.V11, soap.V12} {
		c := goClient(t, h, hubtest.ChildEnte, func(cfg *client.Config) { cfg.Version = v })
		if service, err := c.Echo(t.Context(), "però <1 & più>"); err != nil || !service.Disponibile || time.Since(service.DataOra) > time.Hour {
			t.Errorf("%s: echo: %+v %v", v, service, err)
		}
		if service, err := c.Echo(t.Context(), ""); err != nil || service.Messaggio != "" {
			t.Errorf("%s: echo of nothing: %+v %v", v, service, err)
		}
		id := uuid.New()
		document := hubtest.Child(100+i).Event(id, 1)
		report, err := c.VerificaEvento(t.Context(), bytes.ReplaceAll(document, []byte("InviaEventoRichiesta"), []byte("VerificaEventoRichiesta")))
		if err != nil || !report.Conforme || report.EsitoPrevisto != client.Accettato {
			t.Errorf("%s: verificaEvento: %+v %v", v, report, err)
		}
		receipt, err := c.InviaEvento(t.Context(), document)
		if err != nil {
			t.Fatalf("%s: %v", v, err)
		}
		byEvent, err := c.StatoEvento(t.Context(), client.StateQuery{IDEvento: strings.ToUpper(id.String())})
		if err != nil || byEvent.IDRicevuta != receipt.IDRicevuta {
			t.Errorf("%s: statoEvento: %+v %v", v, byEvent, err)
		}
		hubtest.Await(t, patience, "CONFERMATO", func() bool {
			state, err := c.StatoEvento(t.Context(), client.StateQuery{CodiceEnte: hubtest.ChildEnte, IDRicevuta: receipt.IDRicevuta})
			if err != nil {
				t.Fatal(err)
			}
			return state.Stato == "CONFERMATO" && state.ProtocolloNazionale != "" && state.IDEvento == id.String()
		})
	}
}

// checkGoClientRefusals reads faults of every kind; none is repeated, so that none takes long.
func checkGoClientRefusals(t *testing.T, h *hubtest.Hub) {
	t.Helper()
	c := goClient(t, h, hubtest.ChildEnte, func(cfg *client.Config) { cfg.FirstPause = time.Hour })
	codes := func(err error) string {
		fault, ok := errors.AsType[*client.FaultError](err)
		if !ok || client.Temporary(err) {
			t.Errorf("no refusal: %v", err)
			return ""
		}
		var list []string
		for _, v := range fault.Anomalie {
			if v.Posizione == "" || v.Descrizione == "" || v.DescrizioneEN == "" || !strings.HasSuffix(v.Riferimento, "#"+v.Codice) {
				t.Errorf("not whole: %+v", v)
			}
			list = append(list, v.Codice)
		}
		if fault.AnomalieTotali != len(list) || fault.IDTransazione == "" || fault.DataOra.IsZero() {
			t.Errorf("not whole: %+v", fault)
		}
		return strings.Join(list, " ")
	}
	bad, err := os.ReadFile(filepath.Join(hubtest.Root(), "testdata", "bad", "25-rules-several.xml"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.InviaEvento(t.Context(), bad)
	if got := strings.Fields(codes(err)); len(got) < 3 || slices.ContainsFunc(got, func(code string) bool { return !strings.HasPrefix(code, "SINBA_3") }) {
		t.Errorf("rules: %v", got)
	}
	report, err := c.VerificaEvento(t.Context(), bytes.ReplaceAll(bad, []byte("InviaEventoRichiesta"), []byte("VerificaEventoRichiesta")))
	if err != nil || report.Conforme || len(report.Anomalie) < 3 {
		t.Errorf("dry run: %+v %v", report, err)
	}
	id := uuid.New()
	if _, err = c.InviaEvento(t.Context(), hubtest.Child(110).Event(id, 1)); err != nil {
		t.Error(err)
	}
	_, conflict := c.InviaEvento(t.Context(), hubtest.Child(111).Event(id, 1))
	_, unknown := c.StatoEvento(t.Context(), client.StateQuery{IDEvento: uuid.NewString()})
	_, foreign := c.StatoEvento(t.Context(), client.StateQuery{CodiceEnte: "SDS-GR", IDEvento: uuid.NewString()})
	_, broken := c.InviaEvento(t.Context(), []byte("<a><b></a>"))
	_, other := c.InviaEvento(t.Context(), []byte("<a/>"))
	_, large := c.InviaEvento(t.Context(), []byte("<a>"+strings.Repeat("<!-- -->", 1<<18+1)+"</a>"))
	checkGoClientLot(t, c)
	_, lot := c.InviaLotto(t.Context(), []byte(`<InviaLottoRichiesta xmlns="urn:sinba:eventi:v1"/>`))
	_, summary := c.RiepilogoEventi(t.Context(), client.SummaryQuery{CodiceEnte: "SDS-GR", Dal: time.Now(), Al: time.Now()})
	_, stranger := goClient(t, h, hubtest.ChildEnte, func(cfg *client.Config) { cfg.Password = "wrong" }).Echo(t.Context(), "")
	for name, tt := range map[string]struct {
		err  error
		want string
	}{
		"conflict": {conflict, "SINBA_110"}, "unknown": {unknown, "SINBA_104"}, "foreign": {foreign, "SINBA_323"},
		"broken": {broken, "SINBA_001"}, "other": {other, "SINBA_010"}, "large": {large, "SINBA_006"},
		"lot": {lot, "SINBA_201"}, "summary": {summary, "SINBA_323"}, "stranger": {stranger, "SINBA_101"},
	} {
		if got := codes(tt.err); got != tt.want {
			t.Errorf("%s: %q, want %s", name, got, tt.want)
		}
	}
}

// checkGoClientLot sends a lot twice: each receipt proves its own event, and a refused event has its
// own reasons.
func checkGoClientLot(t *testing.T, c *client.Client) {
	t.Helper()
	bad := strings.Replace(string(hubtest.Child(121).Event(uuid.New(), 1)), "<TipoOperazione>I", "<TipoOperazione>Z", 1)
	lot := lotDocument(string(hubtest.Child(120).Event(uuid.New(), 1)), bad, string(hubtest.Child(122).Event(uuid.New(), 1)))
	for _, want := range []string{"ACCETTATO", "DUPLICATO"} {
		outcomes, err := c.InviaLotto(t.Context(), lot)
		if err != nil {
			t.Fatal(err)
		}
		for i, o := range outcomes.Esiti {
			if i == 1 {
				if o.Errore == nil || o.Errore.Anomalie[0].Codice != "SINBA_204" || o.Errore.Anomalie[0].Posizione != "/Evento/Testata/TipoOperazione" {
					t.Errorf("%s: position 2: %+v", want, o)
				}
			} else if o.Ricevuta == nil || o.Ricevuta.Esito != want || o.Ricevuta.SaleImpronta == "" {
				t.Errorf("%s: position %d: %+v", want, i+1, o)
			}
		}
	}
}

// checkGoClientLostAnswers loses the answer to an accepted event twice on its way: the client gets
// the first receipt, and the event was stored once.
func checkGoClientLostAnswers(t *testing.T, h *hubtest.Hub) {
	t.Helper()
	var arrived atomic.Int32
	line := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		onward, err := http.NewRequestWithContext(r.Context(), http.MethodPost, h.Run.SoapURL, bytes.NewReader(body))
		if err != nil {
			t.Error(err)
			return
		}
		onward.Header = r.Header.Clone()
		response, err := (&http.Transport{}).RoundTrip(onward)
		if err != nil {
			t.Error(err)
			return
		}
		defer response.Body.Close() //nolint:errcheck // read to its end
		answer, _ := io.ReadAll(response.Body)
		switch arrived.Add(1) {
		case 1: // nothing comes back
			panic(http.ErrAbortHandler)
		case 2: // half of it comes back
			w.Header().Set("Content-Length", response.Header.Get("Content-Length"))
			_, _ = w.Write(answer[:len(answer)/2])
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(response.StatusCode)
		_, _ = w.Write(answer)
	}))
	t.Cleanup(line.Close)
	c := goClient(t, h, hubtest.ChildEnte, func(cfg *client.Config) { cfg.URL, cfg.FirstPause = line.URL, 10*time.Millisecond })
	receipt, err := c.InviaEvento(t.Context(), hubtest.Child(130).Event(uuid.New(), 1))
	if err != nil || receipt.Esito != client.Duplicato || arrived.Load() != 3 {
		t.Errorf("got %+v %v after %d attempts", receipt, err, arrived.Load())
	}
}

// checkGoClientKilledHub kills the hub while clients send; each call ends with a receipt and
// each event is stored once. (That all are delivered once their leases ended, the tests of kills tell.)
func checkGoClientKilledHub(t *testing.T, h *hubtest.Hub, db *pgx.Conn) {
	t.Helper()
	before := hubtest.Number(t, db, "SELECT count(*) FROM hub.event")
	c := goClient(t, h, hubtest.ChildEnte, func(cfg *client.Config) {
		cfg.FirstPause, cfg.LongestPause, cfg.Attempts, cfg.Timeout = 50*time.Millisecond, 5*time.Second, 100, 5*time.Second
	})
	const senders, events = 8, 15
	errs := make(chan error, senders)
	var done, duplicates atomic.Int32
	for i := range senders {
		go func() {
			for j := range events {
				receipt, err := c.InviaEvento(t.Context(), hubtest.Child(200+i*events+j).Event(uuid.New(), 1))
				if err != nil {
					errs <- err
					return
				}
				done.Add(1)
				if receipt.Esito == client.Duplicato {
					duplicates.Add(1)
				}
			}
			errs <- nil
		}()
	}
	hubtest.Await(t, patience, "a few receipts", func() bool { return done.Load() > senders })
	h.Kill()
	hubtest.Await(t, patience, "the process is gone", func() bool { return !h.Alive() })
	h.Up()
	for range senders {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if done.Load() != senders*events {
		t.Errorf("%d receipts of %d", done.Load(), senders*events)
	}
	if stored := hubtest.Number(t, db, "SELECT count(*) FROM hub.event") - before; stored != senders*events {
		t.Errorf("%d events stored, want %d once each", stored, senders*events)
	}
	t.Logf("%d receipts over a kill, %d of them by repeating what the killed hub had stored", done.Load(), duplicates.Load())
}
