package delivery_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/sinbahub/sinbahub/internal/delivery"
	"github.com/sinbahub/sinbahub/internal/validator"
	"github.com/sinbahub/sinbahub/pkg/soap"
	"github.com/sinbahub/sinbahub/xsd"
)

// asked is the transmission every canned answer is about.
var asked = uuid.MustParse("0198c3a4-1111-7abc-8def-0123456789ab")

const (
	xmlns  = `xmlns="urn:sinba:siss:v1"`
	xml12  = "application/soap+xml; charset=utf-8"
	listed = `<Violazione><Codice>SISS_300</Codice><Posizione>/x</Posizione><Descrizione>no</Descrizione></Violazione>`
)

// schemas are the contracts as a hub's pool has them.
func schemas() (map[validator.Schema]validator.SchemaFiles, error) {
	all := map[validator.Schema]validator.SchemaFiles{}
	for which, names := range map[validator.Schema][]string{
		validator.SissRicezione: {xsd.SissRicezione, xsd.EventoNazionale},
		delivery.SchemaFault:    {xsd.SoapFault, xsd.SissRicezione, xsd.EventoNazionale},
	} {
		files := validator.SchemaFiles{Main: names[0], Files: map[string][]byte{}}
		for _, name := range names {
			text, err := xsd.FS.ReadFile(name)
			if err != nil {
				return nil, err
			}
			files.Files[name] = text
		}
		all[which] = files
	}
	return all, nil
}

// jail is one pool for all tests of this process; it ends with it.
var jail = sync.OnceValues(func() (*validator.Pool, error) {
	return startPool(20 * time.Second)
})

// startPool starts a pool whose workers may take so long for a document.
func startPool(deadline time.Duration) (*validator.Pool, error) {
	all, err := schemas()
	if err != nil {
		return nil, err
	}
	pool, err := validator.New(validator.Config{Schemas: all, Deadline: deadline})
	if err != nil {
		return nil, err
	}
	return pool, pool.Start(context.Background())
}

func pool(tb testing.TB) *validator.Pool {
	tb.Helper()
	p, err := jail()
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// esito is the answer element of trasmettiEvento.
func esito(id, outcome, rest string) string {
	return `<TrasmettiEventoRisposta ` + xmlns + `><IdTrasmissione>` + id + `</IdTrasmissione><Esito>` + outcome + `</Esito>` + rest + `</TrasmettiEventoRisposta>`
}

const protocol = `<ProtocolloNazionale>SISS-1</ProtocolloNazionale>`

func message(element string) string {
	return string(soap.AppendEnvelope(nil, soap.V12, []byte(element)))
}

// response writes an HTTP answer as it stands on the wire.
func response(status int, contentType, body string, headers ...string) string {
	return fmt.Sprintf("HTTP/1.1 %d Whatever\r\nContent-Type: %s\r\nContent-Length: %d\r\n%s\r\n%s",
		status, contentType, len(body), strings.Join(append(headers, ""), "\r\n"), body)
}

func fault(code, detail string) string {
	return `<soap:Fault xmlns:soap="http://www.w3.org/2003/05/soap-envelope"><soap:Code><soap:Value>soap:` + code + `</soap:Value></soap:Code>` +
		`<soap:Reason><soap:Text xml:lang="it">no</soap:Text></soap:Reason>` + detail + `</soap:Fault>`
}

func detail(code string) string {
	return `<soap:Detail><ErroreSiss ` + xmlns + `><Codice>` + code + `</Codice><Descrizione>no</Descrizione></ErroreSiss></soap:Detail>`
}

// serve answers the one connection it takes with the given bytes and closes it.
func serve(t *testing.T, answer string) (url string) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		// The whole request must be read first, or closing resets what the client has not read.
		request := make([]byte, 0, 4096)
		for !bytes.Contains(request, []byte("</soap:Envelope>")) {
			part := make([]byte, 4096)
			n, err := conn.Read(part)
			if err != nil {
				return
			}
			request = append(request, part[:n]...)
		}
		_, _ = conn.Write([]byte(answer))
	}()
	return "http://" + l.Addr().String() + "/"
}

// exchange lets the real client, with the real jail, read a canned answer.
func exchange(t *testing.T, url string) delivery.Answer {
	t.Helper()
	c, err := delivery.NewClient(url, "", pool(t))
	if err != nil {
		t.Fatal(err)
	}
	return c.Transmit(t.Context(), []byte(`<TrasmettiEventoRichiesta `+xmlns+`/>`))
}

func zipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestCannedAnswers(t *testing.T) {
	t.Parallel()
	id := asked.String()
	taken := message(esito(id, "ACCETTATO", protocol))
	type want struct {
		result delivery.Result
		codes  string
	}
	for name, c := range map[string]struct {
		answer string
		want   want
	}{
		"accepted":                          {response(200, xml12, taken), want{delivery.Delivered, ""}},
		"accepted, chunked":                 {"HTTP/1.1 200 OK\r\nContent-Type: " + xml12 + "\r\nTransfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(taken), taken), want{delivery.Delivered, ""}},
		"accepted, until the line ends":     {"HTTP/1.0 200 OK\r\nContent-Type: " + xml12 + "\r\n\r\n" + taken, want{delivery.Delivered, ""}},
		"accepted, id in capitals":          {response(200, xml12, message(esito(strings.ToUpper(id), "ACCETTATO", protocol))), want{delivery.Delivered, ""}},
		"accepted, other prefix":            {response(200, xml12, strings.NewReplacer("<T", "<s:T", "</T", "</s:T", "<I", "<s:I", "</I", "</s:I", "<E", "<s:E", "</E", "</s:E", "<P", "<s:P", "</P", "</s:P", "xmlns=", "xmlns:s=").Replace(taken)), want{delivery.Delivered, ""}},
		"already received":                  {response(200, xml12, message(esito(id, "GIA_RICEVUTO", protocol))), want{delivery.Delivered, ""}},
		"refused":                           {response(200, xml12, message(esito(id, "RIFIUTATO", listed))), want{delivery.Refused, "SISS_300"}},
		"refused without a reason":          {response(200, xml12, message(esito(id, "RIFIUTATO", ""))), want{delivery.Uncertain, "contradiction"}},
		"refused with a protocol":           {response(200, xml12, message(esito(id, "RIFIUTATO", protocol+listed))), want{delivery.Uncertain, "contradiction"}},
		"accepted without a protocol":       {response(200, xml12, message(esito(id, "ACCETTATO", ""))), want{delivery.Uncertain, "contradiction"}},
		"accepted with a violation":         {response(200, xml12, message(esito(id, "ACCETTATO", protocol+listed))), want{delivery.Uncertain, "contradiction"}},
		"another transmission":              {response(200, xml12, message(esito(uuid.NewString(), "ACCETTATO", protocol))), want{delivery.Uncertain, "other_id"}},
		"success with status 500":           {response(500, xml12, taken), want{delivery.Uncertain, "contradiction"}},
		"success with status 404":           {response(404, xml12, taken), want{delivery.Uncertain, "contradiction"}},
		"success with status 503":           {response(503, xml12, taken), want{delivery.Uncertain, "contradiction"}},
		"fault with status 200":             {response(200, xml12, message(fault("Receiver", detail("SISS_500")))), want{delivery.Uncertain, "contradiction"}},
		"server's fault":                    {response(500, xml12, message(fault("Receiver", detail("SISS_500")))), want{delivery.Retry, "SISS_500"}},
		"client's fault":                    {response(400, xml12, message(fault("Sender", detail("SISS_200")))), want{delivery.Retry, "SISS_200"}},
		"fault with status 503":             {response(503, xml12, message(fault("Receiver", detail("SISS_503")))), want{delivery.Retry, "SISS_503"}},
		"fault without detail":              {response(500, xml12, message(fault("Receiver", ""))), want{delivery.Uncertain, "http_500"}},
		"fault of somebody else":            {response(500, xml12, message(fault("Receiver", `<soap:Detail><e xmlns="urn:esb"/></soap:Detail>`))), want{delivery.Uncertain, "http_500"}},
		"a proxy's page":                    {response(200, "text/html", "<!DOCTYPE html><html><body>Gateway</body></html>"), want{delivery.Uncertain, "not_the_contract"}},
		"a proxy's page, called soap":       {response(200, xml12, "<html><body>Gateway</body></html>"), want{delivery.Uncertain, "not_the_contract"}},
		"bad gateway":                       {response(502, "text/html", "<html/>"), want{delivery.Uncertain, "http_502"}},
		"gateway timeout":                   {response(504, "text/plain", ""), want{delivery.Uncertain, "http_504"}},
		"service unavailable":               {response(503, "text/plain", "later", "Retry-After: 7"), want{delivery.Retry, "http_503"}},
		"too many requests":                 {response(429, "text/plain", ""), want{delivery.Retry, "http_429"}},
		"not found":                         {response(404, "text/plain", ""), want{delivery.Retry, "http_404"}},
		"unauthorised":                      {response(401, "text/plain", ""), want{delivery.Retry, "http_401"}},
		"redirection":                       {response(307, "text/plain", "", "Location: http://127.0.0.1:1/"), want{delivery.Retry, "http_307"}},
		"empty":                             {response(200, xml12, ""), want{delivery.Uncertain, "not_the_contract"}},
		"accepted for later":                {response(202, xml12, ""), want{delivery.Uncertain, "http_202"}},
		"no content":                        {"HTTP/1.1 204 No Content\r\n\r\n", want{delivery.Uncertain, "http_204"}},
		"garbage":                           {response(200, xml12, "\x01\x02 < & >"), want{delivery.Uncertain, "not_the_contract"}},
		"external entity":                   {response(200, xml12, `<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>`+strings.TrimPrefix(taken, `<?xml version="1.0" encoding="UTF-8"?>`)), want{delivery.Uncertain, "not_the_contract"}},
		"other encoding":                    {response(200, xml12, strings.Replace(taken, "UTF-8", "ISO-8859-1", 1)), want{delivery.Uncertain, "not_the_contract"}},
		"other charset":                     {response(200, "application/soap+xml; charset=iso-8859-1", taken), want{delivery.Uncertain, "not_the_contract"}},
		"soap 1.1":                          {response(200, xml12, string(soap.AppendEnvelope(nil, soap.V11, []byte(esito(id, "ACCETTATO", protocol))))), want{delivery.Uncertain, "not_the_contract"}},
		"text/xml":                          {response(200, "text/xml; charset=utf-8", taken), want{delivery.Uncertain, "not_the_contract"}},
		"no content type":                   {"HTTP/1.1 200 OK\r\nContent-Length: " + strconv.Itoa(len(taken)) + "\r\n\r\n" + taken, want{delivery.Uncertain, "not_the_contract"}},
		"answer to another question":        {response(200, xml12, message(`<StatoTrasmissioneRisposta `+xmlns+`><IdTrasmissione>`+id+`</IdTrasmissione><Esito>ACCETTATO</Esito>`+protocol+`</StatoTrasmissioneRisposta>`)), want{delivery.Uncertain, "contradiction"}},
		"our own request":                   {response(200, xml12, message(`<StatoTrasmissioneRichiesta `+xmlns+`><IdTrasmissione>`+id+`</IdTrasmissione></StatoTrasmissioneRichiesta>`)), want{delivery.Uncertain, "contradiction"}},
		"two answers":                       {response(200, xml12, message(esito(id, "ACCETTATO", protocol)+esito(id, "RIFIUTATO", listed))), want{delivery.Uncertain, "not_the_contract"}},
		"unknown outcome":                   {response(200, xml12, message(esito(id, "FORSE", protocol))), want{delivery.Uncertain, "not_the_contract"}},
		"foreign namespace":                 {response(200, xml12, strings.Replace(taken, "urn:sinba:siss:v1", "urn:sinba:siss:v2", 1)), want{delivery.Uncertain, "not_the_contract"}},
		"unknown header that must be heard": {response(200, xml12, strings.Replace(taken, "<soap:Body>", `<soap:Header><x xmlns="urn:x" xmlns:soap="http://www.w3.org/2003/05/soap-envelope" soap:mustUnderstand="true"/></soap:Header><soap:Body>`, 1)), want{delivery.Uncertain, "not_the_contract"}},
		"compressed although not asked for": {response(200, xml12, zipped(t, taken), "Content-Encoding: gzip"), want{delivery.Uncertain, "not_the_contract"}},
		"too long":                          {response(200, xml12, taken+strings.Repeat(" ", 1<<20)), want{delivery.Uncertain, "no_answer"}},
		"too many headers":                  {response(200, xml12, taken, "X: "+strings.Repeat("x", 64<<10)), want{delivery.Uncertain, "no_answer"}},
		"no http":                           {"SSH-2.0-OpenSSH\r\n", want{delivery.Uncertain, "no_answer"}},
		"nothing":                           {"", want{delivery.Uncertain, "no_answer"}},
		"cut before its end":                {strings.Replace(response(200, xml12, taken), taken, taken[:len(taken)-3], 1), want{delivery.Uncertain, "no_answer"}},
		"cut, length not told":              {"HTTP/1.0 200 OK\r\nContent-Type: " + xml12 + "\r\n\r\n" + taken[:len(taken)-3], want{delivery.Uncertain, "not_the_contract"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := exchange(t, serve(t, c.answer))
			verdict := delivery.Classify(asked, answer)
			if got := (want{verdict.Result, strings.Join(verdict.Codes, " ")}); got != c.want {
				t.Errorf("%+v, want %+v (answer %+v)", got, c.want, answer)
			}
			if delivered := verdict.Result == delivery.Delivered; delivered != (verdict.Protocol == "SISS-1") {
				t.Errorf("protocol %q with %s", verdict.Protocol, verdict.Result)
			}
			if name == "service unavailable" && answer.RetryAfter != 7*time.Second {
				t.Errorf("Retry-After %v", answer.RetryAfter)
			}
		})
	}
}

func TestNothingListeningIsNotSent(t *testing.T) {
	t.Parallel()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	verdict := delivery.Classify(asked, exchange(t, url))
	if verdict.Result != delivery.Retry || verdict.Codes[0] != "not_sent" {
		t.Errorf("%+v", verdict)
	}
}

// A line that is cut after any byte of the answer must never give an outcome.
func TestCutAfterEveryByteIsUncertain(t *testing.T) {
	t.Parallel()
	whole := response(200, xml12, message(esito(asked.String(), "ACCETTATO", protocol)))
	for k := range len(whole) {
		verdict := delivery.Classify(asked, exchange(t, serve(t, whole[:k])))
		if verdict.Result != delivery.Uncertain {
			t.Fatalf("cut after %d bytes: %+v", k, verdict)
		}
	}
}

func TestClassifyState(t *testing.T) {
	t.Parallel()
	told := func(outcome string, change func(*delivery.Answer)) delivery.Answer {
		a := delivery.Answer{Sent: true, Status: 200, Root: "StatoTrasmissioneRisposta", ID: asked, Esito: outcome}
		if change != nil {
			change(&a)
		}
		return a
	}
	withProtocol := func(a *delivery.Answer) { a.Protocol = "P" }
	for name, c := range map[string]struct {
		answer delivery.Answer
		want   delivery.Verdict
	}{
		"accepted":                  {told("ACCETTATO", withProtocol), delivery.Verdict{Result: delivery.Delivered, Protocol: "P", Answered: true}},
		"accepted without protocol": {told("ACCETTATO", nil), delivery.Verdict{Result: delivery.Uncertain, Codes: []string{"contradiction"}}},
		"refused":                   {told("RIFIUTATO", nil), delivery.Verdict{Result: delivery.Refused, Answered: true}},
		"refused with protocol":     {told("RIFIUTATO", withProtocol), delivery.Verdict{Result: delivery.Uncertain, Codes: []string{"contradiction"}}},
		"unknown":                   {told("SCONOSCIUTO", nil), delivery.Verdict{Result: delivery.Retry, Codes: []string{"unknown_to_siss"}, Answered: true}},
		"unknown with protocol":     {told("SCONOSCIUTO", withProtocol), delivery.Verdict{Result: delivery.Uncertain, Codes: []string{"contradiction"}}},
		"another id":                {told("SCONOSCIUTO", func(a *delivery.Answer) { a.ID = uuid.Nil }), delivery.Verdict{Result: delivery.Uncertain, Codes: []string{"other_id"}}},
		"status 500":                {told("SCONOSCIUTO", func(a *delivery.Answer) { a.Status = 500 }), delivery.Verdict{Result: delivery.Uncertain, Codes: []string{"contradiction"}}},
		"not sent":                  {delivery.Answer{}, delivery.Verdict{Result: delivery.Uncertain, Codes: []string{"not_sent"}}},
		"no answer":                 {delivery.Answer{Sent: true}, delivery.Verdict{Result: delivery.Uncertain, Codes: []string{"no_answer"}}},
		"not found":                 {delivery.Answer{Sent: true, Status: 404}, delivery.Verdict{Result: delivery.Uncertain, Codes: []string{"http_404"}}},
		"client's fault": {
			delivery.Answer{Sent: true, Status: 400, Root: "Fault", Codes: []string{"SISS_200"}},
			delivery.Verdict{Result: delivery.Uncertain, Codes: []string{"SISS_200"}, Answered: true},
		},
		"the other question's answer": {
			delivery.Answer{Sent: true, Status: 200, Root: "TrasmettiEventoRisposta", ID: asked, Esito: "ACCETTATO", Protocol: "P"},
			delivery.Verdict{Result: delivery.Uncertain, Codes: []string{"contradiction"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, delivery.ClassifyState(asked, c.answer)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Whatever comes back: an outcome is final only if everything about it agrees, and an event is
// sent again without asking only if it was certainly not taken.
func TestVerdictsAreNeverMoreCertainThanTheAnswer(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a := delivery.Answer{
			Sent:     rapid.Bool().Draw(t, "sent"),
			Status:   rapid.SampledFrom([]int{0, 100, 200, 201, 204, 302, 400, 404, 413, 429, 500, 502, 503, 504, 599, 999, 12345, -1}).Draw(t, "status"),
			Root:     rapid.SampledFrom([]string{"", "Fault", "TrasmettiEventoRisposta", "StatoTrasmissioneRisposta", "EchoRisposta"}).Draw(t, "root"),
			ID:       rapid.SampledFrom([]uuid.UUID{asked, uuid.Nil}).Draw(t, "id"),
			Esito:    rapid.SampledFrom([]string{"", "ACCETTATO", "GIA_RICEVUTO", "RIFIUTATO", "SCONOSCIUTO"}).Draw(t, "esito"),
			Protocol: rapid.SampledFrom([]string{"", "P"}).Draw(t, "protocol"),
			Codes:    rapid.SampledFrom([][]string{nil, {"SISS_300"}}).Draw(t, "codes"),
		}
		sound := a.Sent && a.Status == 200 && a.ID == asked
		sent, state := delivery.Classify(asked, a), delivery.ClassifyState(asked, a)
		for _, v := range []struct {
			root string
			delivery.Verdict
		}{{"TrasmettiEventoRisposta", sent}, {"StatoTrasmissioneRisposta", state}} {
			final := v.Result == delivery.Delivered || v.Result == delivery.Refused
			if final && (!sound || a.Root != v.root) {
				t.Fatalf("%s: %+v from %+v", v.root, v.Verdict, a)
			}
			if v.Result == delivery.Delivered && (v.Protocol == "" || len(a.Codes) > 0) || v.Result == delivery.Refused && a.Protocol != "" {
				t.Fatalf("%s: %+v from %+v", v.root, v.Verdict, a)
			}
			if (v.Result == delivery.Retry || v.Result == delivery.Uncertain) && len(v.Codes) == 0 && len(a.Codes) > 0 {
				t.Fatalf("no reason: %+v from %+v", v.Verdict, a)
			}
		}
		if state.Result == delivery.Retry && a.Esito != "SCONOSCIUTO" {
			t.Fatalf("sent again without knowing: %+v from %+v", state, a)
		}
		if sent.Result == delivery.Retry && a.Sent && a.Status < 300 {
			t.Fatalf("sent again without asking: %+v from %+v", sent, a)
		}
	})
}
