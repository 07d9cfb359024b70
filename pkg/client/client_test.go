package client_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/pkg/client"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

func TestDocumentIsSentByteForByteInBothVersions(t *testing.T) {
	t.Parallel()
	h := play(t, says(200, envelope(receiptOf(client.Accettato))))
	document := "\xef\xbb\xbf" + event + "<!-- \t fine -->\r\n"
	for _, v := range []soap.Version{0, soap.V11, soap.V12} {
		c, _ := h.connect(t, func(cfg *client.Config) { cfg.Version = v })
		if _, err := c.InviaEvento(t.Context(), []byte(document)); err != nil {
			t.Fatal(err)
		}
	}
	_, inside, _ := strings.Cut(document, "?>\n")
	for i, want := range []struct{ contentType, action, namespace string }{
		{`application/soap+xml; charset=utf-8; action="urn:sinba:eventi:v1/inviaEvento"`, "", soap.Namespace12},
		{`text/xml; charset=utf-8`, `"urn:sinba:eventi:v1/inviaEvento"`, soap.Namespace11},
		{`application/soap+xml; charset=utf-8; action="urn:sinba:eventi:v1/inviaEvento"`, "", soap.Namespace12},
	} {
		r := h.arrived()[i]
		if got := r.header.Get("Content-Type"); got != want.contentType {
			t.Errorf("content type %s", got)
		}
		if got := r.header.Get("SOAPAction"); got != want.action {
			t.Errorf("action %s", got)
		}
		if got := r.header.Get("Authorization"); got != "Basic YXN0ZXI6c2VncmV0by1DYW5hcmlub1Jvc3Np" {
			t.Errorf("credential %s", got)
		}
		if !strings.Contains(r.body, `"`+want.namespace+`"><soap:Body>`+inside+`</soap:Body>`) {
			t.Errorf("body %s", r.body)
		}
	}
}

func TestEveryOperationAsksAndReads(t *testing.T) {
	t.Parallel()
	const state = `<StatoEventoRisposta xmlns="urn:sinba:eventi:v1"><IdEvento>` + idEvent + `</IdEvento><IdRicevuta>01900000-0000-7000-8000-000000000001</IdRicevuta>` +
		`<Stato>CONFERMATO</Stato><DataOraStato>2024-04-12T08:50:04+02:00</DataOraStato><Tentativi>2</Tentativi><ProtocolloNazionale>P</ProtocolloNazionale>` +
		`<Prova><IndiceGiornale>9000000000</IndiceGiornale><Foglia>AAEC</Foglia><NodoInclusione>AA==</NodoInclusione><NodoInclusione>AQ==</NodoInclusione><Checkpoint>c</Checkpoint></Prova></StatoEventoRisposta>`
	const service = `<EchoRisposta xmlns="urn:sinba:eventi:v1"><Messaggio>a &lt; è</Messaggio><VersioneServizio>v</VersioneServizio><VersioneSchema>1.0</VersioneSchema>` +
		`<DataOra>2024-04-12T08:50:04Z</DataOra><Disponibile>true</Disponibile></EchoRisposta>`
	const report = `<VerificaEventoRisposta xmlns="urn:sinba:eventi:v1"><Conforme>false</Conforme><EsitoPrevisto>RIFIUTATO</EsitoPrevisto><VersioneSchema>1.0</VersioneSchema>` +
		`<Anomalia><Codice>SINBA_301</Codice></Anomalia><Anomalia><Codice>SINBA_303</Codice></Anomalia></VerificaEventoRisposta>`
	const summary = `<RiepilogoEventiRisposta xmlns="urn:sinba:eventi:v1"><Totale><Giorno>2024-04-12</Giorno><TipoEvento>SEGNALAZIONE</TipoEvento><Numero>1</Numero>` +
		`<Impronta>0000000000000000000000000000000000000000000000000000000000000000</Impronta></Totale>` +
		`<VoceEvento><IdEvento>` + idEvent + `</IdEvento><IdRicevuta>` + idEvent + `</IdRicevuta><TipoEvento>SEGNALAZIONE</TipoEvento><Stato>CONFERMATO</Stato><DataOraStato>2024-04-12T08:50:04Z</DataOraStato></VoceEvento>` +
		`<ProgressivoMancante>3</ProgressivoMancante><ProgressivoMancante>5</ProgressivoMancante><Cursore>c</Cursore></RiepilogoEventiRisposta>`
	cases := []struct {
		name, answer, asked string
		call                func(context.Context, *client.Client) (string, error)
		want                string
	}{
		{
			"statoEvento", state, `<StatoEventoRichiesta xmlns="urn:sinba:eventi:v1"><CodiceEnte>E&amp;</CodiceEnte><IdEvento>` + idEvent + `</IdEvento></StatoEventoRichiesta>`,
			func(ctx context.Context, c *client.Client) (string, error) {
				s, err := c.StatoEvento(ctx, client.StateQuery{CodiceEnte: "E&", IDEvento: idEvent})
				return fmt.Sprintln(s.Stato, s.DataOraStato.UTC(), s.Tentativi, s.ProtocolloNazionale, s.Prova), err
			}, "CONFERMATO 2024-04-12 06:50:04 +0000 UTC 2 P &{9000000000 AAEC [AA== AQ==] c}",
		},
		{
			"echo", service, `<EchoRichiesta xmlns="urn:sinba:eventi:v1"><Messaggio>a &lt; è</Messaggio></EchoRichiesta>`,
			func(ctx context.Context, c *client.Client) (string, error) {
				s, err := c.Echo(ctx, "a < è")
				return fmt.Sprintln(s.Disponibile, s.VersioneServizio, s.VersioneSchema, s.Messaggio), err
			}, "true v 1.0 a < è",
		},
		{
			"verificaEvento", report, `<VerificaEventoRichiesta/>`,
			func(ctx context.Context, c *client.Client) (string, error) {
				r, err := c.VerificaEvento(ctx, []byte("<VerificaEventoRichiesta/>"))
				return fmt.Sprintln(r.Conforme, r.EsitoPrevisto, len(r.Anomalie), r.Anomalie[1].Codice), err
			}, "false RIFIUTATO 2 SINBA_303",
		},
		{
			"riepilogoEventi", summary, `<RiepilogoEventiRichiesta xmlns="urn:sinba:eventi:v1"><CodiceEnte>E</CodiceEnte><Dal>2024-04-01</Dal><Al>2024-04-30</Al><IdCartella>C</IdCartella></RiepilogoEventiRichiesta>`,
			func(ctx context.Context, c *client.Client) (string, error) {
				day := func(d int) time.Time { return time.Date(2024, 4, d, 0, 0, 0, 0, time.UTC) }
				s, err := c.RiepilogoEventi(ctx, client.SummaryQuery{CodiceEnte: "E", Dal: day(1), Al: day(30), IDCartella: "C"})
				return fmt.Sprintln(s.Totali[0].Numero, s.Voci[0].Stato, s.ProgressiviMancanti, s.Cursore), err
			}, "1 CONFERMATO [3 5] c",
		},
	}
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := play(t, says(200, envelope(tt.answer)))
			c, _ := h.connect(t, once)
			got, err := tt.call(t.Context(), c)
			if err != nil || strings.TrimSpace(got) != tt.want {
				t.Errorf("got %q %v, want %q", got, err, tt.want)
			}
			if r := h.arrived()[0]; !strings.Contains(r.body, "<soap:Body>"+tt.asked+"</soap:Body>") || !strings.HasSuffix(r.header.Get("Content-Type"), "/"+tt.name+`"`) {
				t.Errorf("asked %s %s", r.header.Get("Content-Type"), r.body)
			}
		})
	}
}

func TestLotHasOneOutcomeForEachEvent(t *testing.T) {
	t.Parallel()
	_, inside, _ := strings.Cut(event, "?>\n")
	one := strings.ReplaceAll(inside, "InviaEventoRichiesta", "Evento")
	lot := `<InviaLottoRichiesta xmlns="urn:sinba:eventi:v1"><IdLotto>` + idEvent + `</IdLotto>` + one + one + `</InviaLottoRichiesta>`
	receipt := strings.ReplaceAll(receiptOf(client.Accettato), "InviaEventoRisposta", "Ricevuta")
	const refusal = `<Errore><IdTransazione>` + idEvent + `</IdTransazione><DataOra>2024-04-12T08:50:04Z</DataOra><Anomalia><Codice>SINBA_110</Codice></Anomalia></Errore>`
	outcome := func(position int, what string) string {
		return fmt.Sprintf("<EsitoEvento><Posizione>%d</Posizione>%s</EsitoEvento>", position, what)
	}
	cases := []struct {
		name, outcomes string
		ok             bool
	}{
		{"as it should", outcome(1, receipt) + outcome(2, refusal), true},
		{"one missing", outcome(1, receipt), false},
		{"one too many", outcome(1, receipt) + outcome(2, refusal) + outcome(3, refusal), false},
		{"out of order", outcome(2, receipt) + outcome(1, refusal), false},
		{"neither", outcome(1, receipt) + outcome(2, ""), false},
		{"both", outcome(1, receipt) + outcome(2, receipt+refusal), false},
		{"a receipt of another event", outcome(1, strings.ReplaceAll(receipt, idEvent, "4c393986-0b93-4759-8d91-000000000000")) + outcome(2, refusal), false},
		{"none", "", false},
	}
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := play(t, says(200, envelope(`<InviaLottoRisposta xmlns="urn:sinba:eventi:v1"><IdLotto>`+idEvent+`</IdLotto>`+tt.outcomes+`</InviaLottoRisposta>`)))
			c, _ := h.connect(t, once)
			outcomes, err := c.InviaLotto(t.Context(), []byte(lot))
			if (err == nil) != tt.ok {
				t.Fatalf("%+v %v", outcomes, err)
			}
			if tt.ok && (outcomes.Esiti[0].Ricevuta.Esito != client.Accettato || outcomes.Esiti[1].Errore.Anomalie[0].Codice != "SINBA_110") {
				t.Errorf("%+v", outcomes)
			}
		})
	}
	h := play(t, says(200, envelope(`<InviaLottoRisposta xmlns="urn:sinba:eventi:v1"><IdLotto>`+idEvent+`</IdLotto>`+
		outcome(1, strings.Replace(receipt, salt, strings.Repeat("f", 32), 1))+outcome(2, refusal)+`</InviaLottoRisposta>`)))
	c, _ := h.connect(t, once)
	if outcomes, err := c.InviaLotto(t.Context(), []byte(lot)); !errors.Is(err, client.ErrReceipt) || outcomes == nil {
		t.Errorf("a receipt that proves nothing: %v %v", outcomes, err)
	}
}

func TestRequestOfAnotherOperationIsNotSent(t *testing.T) {
	t.Parallel()
	h := play(t, says(200, ""))
	c, _ := h.connect(t)
	dry := strings.ReplaceAll(event, "InviaEventoRichiesta", "p:VerificaEventoRichiesta")
	dry = strings.Replace(dry, "xmlns=", "xmlns:p=", 1)
	for name, call := range map[string]func() error{
		"a real event as a dry run": func() error { _, err := c.VerificaEvento(t.Context(), []byte(event)); return err },
		"a dry run as a real event": func() error { _, err := c.InviaEvento(t.Context(), []byte(dry)); return err },
		"an event as a lot":         func() error { _, err := c.InviaLotto(t.Context(), []byte(event)); return err },
	} {
		if err := call(); !errors.Is(err, client.ErrOperation) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, q := range []client.StateQuery{{}, {IDEvento: idEvent, IDRicevuta: idEvent}} {
		if _, err := c.StatoEvento(t.Context(), q); err == nil {
			t.Errorf("%+v was asked", q)
		}
	}
	if n := len(h.arrived()); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

func TestAddressesWhereACredentialMayGo(t *testing.T) {
	t.Parallel()
	cases := map[string]bool{
		"https://hub.example/soap/sociale/v1/SinbaEventi": true,
		"http://localhost:8080/x":                         true,
		"http://127.0.0.1/x":                              true,
		"http://127.8.9.10/x":                             true,
		"http://[::1]:80/x":                               true,
		"http://[::ffff:127.0.0.1]/x":                     true,
		"http://hub.example/x":                            false,
		"http://10.0.0.1/x":                               false,
		"http://localhost.example/x":                      false,
		"http://127.0.0.1.example/x":                      false,
		"https://" + canary + ":" + canary + "@hub/x":     false,
		"https://hub.example/x?wsdl":                      false,
		"https://hub.example/x#y":                         false,
		"ftp://hub.example/x":                             false,
		"//hub.example/x":                                 false,
		"hub.example":                                     false,
		"https:" + canary:                                 false,
		"https://h\x7f" + canary:                          false,
		"":                                                false,
	}
	for address, ok := range cases {
		_, err := client.New(client.Config{URL: address, User: "u", Password: "p"})
		if (err == nil) != ok {
			t.Errorf("%s: %v", address, err)
		}
		mustNotTell(t, err)
	}
	if _, err := client.New(client.Config{URL: "http://hub.example/x", AllowHTTP: true}); err != nil {
		t.Errorf("explicitly allowed: %v", err)
	}
	for _, cfg := range []client.Config{{URL: "https://h/", User: "a:b"}, {URL: "https://h/", Version: 9}} {
		if _, err := client.New(cfg); err == nil {
			t.Errorf("%v was taken", cfg)
		}
	}
}

func TestPasswordIsNotPrinted(t *testing.T) {
	t.Parallel()
	cfg := client.Config{URL: "https://hub.example/", User: "aster", Password: canary}
	c, err := client.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x"} {
		for _, value := range []any{cfg, &cfg, *c, c} {
			if text := fmt.Sprintf(verb, value); strings.Contains(text, canary) || strings.Contains(text, fmt.Sprintf("%x", canary)) {
				t.Errorf("%s of %T: %s", verb, value, text)
			}
		}
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 302, 303, 307, 308} {
		elsewhere := play(t, says(200, envelope(receiptOf(client.Accettato))))
		h := play(t, says(status, "", "Location", elsewhere.URL+"/"+canary))
		c, _ := h.connect(t)
		_, err := c.InviaEvento(t.Context(), []byte(event))
		unusable, ok := errors.AsType[*client.AnswerError](err)
		if !ok || unusable.Status != status || client.Temporary(err) {
			t.Errorf("%d: %v", status, err)
		}
		mustNotTell(t, err)
		if len(elsewhere.arrived()) != 0 || len(h.arrived()) != 1 {
			t.Errorf("%d: %d requests elsewhere, %d here", status, len(elsewhere.arrived()), len(h.arrived()))
		}
	}
}

func TestTLSProvesTheHub(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(says(200, envelope(receiptOf(client.Accettato)))))
	t.Cleanup(server.Close)
	stranger, err := client.New(client.Config{URL: server.URL, User: "u", Password: "p"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = stranger.InviaEvento(t.Context(), []byte(event)); err == nil || client.Temporary(err) {
		t.Errorf("an unknown authority: %v", err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	// What the vendor gives cannot lower the version.
	secure := &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS10}
	known, err := client.New(client.Config{URL: server.URL, User: "u", Password: "p", TLS: secure})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = known.InviaEvento(t.Context(), []byte(event)); err != nil {
		t.Error(err)
	}
	known.CloseIdleConnections()

	old := httptest.NewUnstartedServer(http.HandlerFunc(says(200, envelope(receiptOf(client.Accettato)))))
	old.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	old.StartTLS()
	t.Cleanup(old.Close)
	pool.AddCert(old.Certificate())
	c, err := client.New(client.Config{URL: old.URL, TLS: secure, Attempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = c.InviaEvento(t.Context(), []byte(event)); err == nil {
		t.Error("TLS 1.1 was spoken")
	}
}

func TestConnectionIsKeptForReceiptsAndFaults(t *testing.T) {
	t.Parallel()
	var opened atomic.Int32
	answers := []answer{says(200, envelope(receiptOf(client.Accettato))), says(500, faultOf("SINBA_301"))}
	n := 0
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		n++
		answers[n%2](w, r)
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	c, err := client.New(client.Config{URL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	for range 20 {
		_, _ = c.InviaEvento(t.Context(), []byte(event))
	}
	if got := opened.Load(); got != 1 || n != 20 {
		t.Errorf("%d connections for %d calls", got, n)
	}
}

// TestTooLargeIsToldBeforeTheBodyIsSent has a hub that answers 413 to the header and reads nothing.
func TestTooLargeIsToldBeforeTheBodyIsSent(t *testing.T) {
	t.Parallel()
	sent := make(chan int64, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil || r.ContentLength < 8<<20 {
			t.Errorf("announced %d bytes: %v", r.ContentLength, err)
			return
		}
		fault := faultOf("SINBA_006")
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 413 Request Entity Too Large\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(fault), fault)
		n, _ := io.Copy(io.Discard, buffered)
		sent <- n
	}))
	t.Cleanup(server.Close)
	c, err := client.New(client.Config{URL: server.URL, Attempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	document := strings.Replace(event, canary, strings.Repeat("x", 8<<20), 1)
	_, err = c.InviaEvento(t.Context(), []byte(document))
	fault, ok := errors.AsType[*client.FaultError](err)
	if !ok || fault.Status != http.StatusRequestEntityTooLarge || fault.Anomalie[0].Codice != "SINBA_006" {
		t.Errorf("got %v", err)
	}
	if n := <-sent; n != 0 {
		t.Errorf("%d bytes of the body were sent", n)
	}
}
