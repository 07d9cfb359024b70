package gateway_test

import (
	"encoding/xml"
	"net/http"
	"strings"
	"testing"
)

// TestWhatNoHandlerSawIsRefusedByAFault sends what net/http refuses by itself, as the second request
// of a connection, and wants the hub's own answer: the table of deploy/docs/vendors.md.
func TestWhatNoHandlerSawIsRefusedByAFault(t *testing.T) {
	t.Parallel()
	l := limits()
	l.StrangerRate = 1000
	const secret = "RSSMRA85T10A562S"
	post := "POST " + path + "?" + secret + " HTTP/1.1\r\nHost: hub\r\nContent-Type: application/soap+xml\r\n"
	for name, c := range map[string]struct {
		request, status, rule string
	}{
		"no request line":          {secret + "\r\n\r\n", "400 Bad Request", "head"},
		"a blank before the colon": {post + "X : " + secret + "\r\n\r\n", "400 Bad Request", "head"},
		"a host that is none":      {"GET / HTTP/1.1\r\nHost: " + secret + "{}\r\n\r\n", "400 Bad Request", "head"},
		"a method that is none":    {"G{}T / HTTP/1.1\r\nHost: hub\r\n\r\n", "400 Bad Request", "head"},
		"TLS":                      {"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + secret + "\n\n", "400 Bad Request", "head"},
		"an expectation":           {post + "Expect: " + secret + "\r\n\r\n", "417 Expectation Failed", "expectation"},
		"a huge header":            {post + "X: " + strings.Repeat(secret, 2_000) + "\r\n\r\n", "431 Request Header Fields Too Large", "head-size"},
		"a huge request line":      {"GET /" + strings.Repeat(secret, 2_000) + " HTTP/1.1\r\nHost: hub\r\n\r\n", "431 Request Header Fields Too Large", "head-size"},
		"another coding":           {post + "Transfer-Encoding: gzip\r\n\r\n", "501 Not Implemented", "transfer-coding"},
		"another version":          {"GET / HTTP/3.0\r\nHost: hub\r\n\r\n", "505 HTTP Version Not Supported", "http-version"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, logs := newEntrance(t, l)
			client := e.dial()
			client.send("GET " + path + "?wsdl HTTP/1.1\r\nHost: hub\r\n\r\n")
			if r, _ := client.answer(); r.StatusCode != http.StatusOK {
				t.Fatalf("the first request gets %d", r.StatusCode)
			}
			client.send(c.request)
			line, err := client.reader.Peek(len("HTTP/1.1 " + c.status))
			if err != nil || string(line) != "HTTP/1.1 "+c.status {
				t.Fatalf("%q, want %s: %v", line, c.status, err)
			}
			r, body := client.answer()
			h := r.Header
			if h.Get("X-Sinba-Codice") != "SINBA_016" || h.Get("Content-Type") != "text/xml; charset=utf-8" ||
				h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Date") == "" || !r.Close {
				t.Errorf("head %v, closes %t", h, r.Close)
			}
			var fault struct {
				Codice      string `xml:"Body>Fault>detail>ErroreSinba>Anomalia>Codice"`
				Regola      string `xml:"Body>Fault>detail>ErroreSinba>Anomalia>Regola"`
				Riferimento string `xml:"Body>Fault>detail>ErroreSinba>Anomalia>Riferimento"`
				ID          string `xml:"Body>Fault>detail>ErroreSinba>IdTransazione"`
			}
			if err := xml.Unmarshal([]byte(body), &fault); err != nil || fault.Codice != "SINBA_016" ||
				fault.Regola != "http:"+c.rule || fault.Riferimento != "/docs/codici#SINBA_016" {
				t.Errorf("%+v %v", fault, err)
			}
			client.closed()
			lines := logs.FilterMessage("exchange").All()
			if len(lines) != 1 || fault.ID == "" || lines[0].ContextMap()["exchange_id"] != fault.ID {
				t.Errorf("%d lines of log for %s", len(lines), fault.ID)
			}
			for _, line := range lines {
				for field, value := range line.ContextMap() {
					if text, ok := value.(string); ok && strings.Contains(text, secret) {
						t.Errorf("the log repeats the request in %s", field)
					}
				}
			}
			if strings.Contains(body, secret) {
				t.Error("the answer repeats the request")
			}
		})
	}
}

// TestTooMuchThatNoHandlerSawIsNotLogged: beyond the strangers' rate it still gets its fault, and
// costs no line of the log.
func TestTooMuchThatNoHandlerSawIsNotLogged(t *testing.T) {
	t.Parallel()
	e, logs := newEntrance(t, limits()) // 5 a second, 10 at once
	for range 30 {
		c := e.dial()
		c.send("nothing\r\n\r\n")
		if r, _ := c.answer(); r.StatusCode != http.StatusBadRequest || r.Header.Get("X-Sinba-Codice") != "SINBA_016" {
			t.Errorf("%d %v", r.StatusCode, r.Header)
		}
	}
	if logs.Len() != 10 {
		t.Errorf("%d lines of log", logs.Len())
	}
}
