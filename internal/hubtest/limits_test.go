//go:build e2e

package hubtest_test

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// TestE2EAParticipantOverItsLimitIsToldAndAlone: who is over its share of the door or its rate gets
// 429 and knows when to come back; the other participants notice nothing.
func TestE2EAParticipantOverItsLimitIsToldAndAlone(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t, "SINBAHUB_LIMITS_EXCHANGES=4", "SINBAHUB_LIMITS_RATE=1", "SINBAHUB_LIMITS_BURST=30",
		"SINBAHUB_LIMITS_CONNECTIONS_PER_PARTICIPANT=3")
	checkPipelined(t, h.Sender("SDS-GR"))
	checkExpectation(t, h.Sender("SDS-PO"))
	checkShare(t, h.Sender("SDS-EM"), h.Sender("COM-LI"))
	checkConnections(t, h)
	checkRate(t, h.Sender("SDS-FI"), h.Sender("SDS-PI"))
}

// echoOf is a question whose answer repeats its words.
func echoOf(words string) []byte {
	return []byte(`<EchoRichiesta xmlns="urn:sinba:eventi:v1"><Messaggio>` + words + `</Messaggio></EchoRichiesta>`)
}

// rawConn is a connection to the door, written byte by byte.
type rawConn struct {
	net.Conn

	t      *testing.T
	reader *bufio.Reader
	head   string // of a request of a participant, up to what tells the length
}

func dialRaw(t *testing.T, s hubtest.Sender) *rawConn {
	t.Helper()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	credential := base64.StdEncoding.EncodeToString([]byte(s.User + ":" + s.Password))
	return &rawConn{conn, t, bufio.NewReader(conn), "POST " + u.Path + " HTTP/1.1\r\nHost: " + u.Host +
		"\r\nContent-Type: text/xml\r\nAuthorization: Basic " + credential + "\r\n"}
}

func (c *rawConn) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatal(err)
	}
}

// want reads an answer and looks at its status and words; it gives the headers.
func (c *rawConn) want(status int, words string) http.Header {
	c.t.Helper()
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		c.t.Fatalf("no answer: %v", err)
	}
	defer response.Body.Close() //nolint:errcheck // read to its end
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != status || !strings.Contains(string(body), words) {
		c.t.Errorf("status %d, want %d with %q: %v %s", response.StatusCode, status, words, err, body)
	}
	return response.Header
}

// checkPipelined sends several requests before the first answer, with trailers, in both SOAP
// versions' way and with a flaw at last.
func checkPipelined(t *testing.T, s hubtest.Sender) {
	t.Helper()
	c := dialRaw(t, s)
	request := func(words string) string {
		body := soap.AppendEnvelope(nil, soap.V11, echoOf(words))
		return fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", c.head, len(body), body)
	}
	chunks := soap.AppendEnvelope(nil, soap.V11, echoOf("second"))
	length := fmt.Sprintf("Content-Length: %d\r\n", len(chunks))
	c.send(request("first") +
		fmt.Sprintf("%sTransfer-Encoding: chunked\r\nTrailer: Authorization\r\n\r\n%x\r\n%s\r\n0\r\nAuthorization: Basic eA==\r\nContent-Length: 7\r\n\r\n", c.head, len(chunks), chunks) +
		request("third") +
		c.head + length + length + "\r\n" + string(chunks) +
		request("never"))
	for _, words := range []string{"first", "second", "third"} {
		c.want(http.StatusOK, "<Messaggio>"+words+"</Messaggio>")
	}
	c.want(http.StatusBadRequest, "<Codice>SINBA_016</Codice>")
	if n, err := io.Copy(io.Discard, c.reader); n > 0 || err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("%d bytes behind the last answer, %v", n, err)
	}

	c = dialRaw(t, s)
	c.send(c.head + "Transfer-Encoding: chunked\r\n\r\n3\r\n<a>\n0\r\n\r\n")
	c.want(http.StatusBadRequest, "<Codice>SINBA_016</Codice>")
}

// checkExpectation: who asks before it sends its body is told to only with a good credential.
func checkExpectation(t *testing.T, s hubtest.Sender) {
	t.Helper()
	body := soap.AppendEnvelope(nil, soap.V11, echoOf("asked"))
	expect := fmt.Sprintf("Expect: 100-continue\r\nContent-Length: %d\r\n\r\n", len(body))
	c := dialRaw(t, s)
	c.send(c.head + expect)
	c.want(http.StatusContinue, "")
	c.send(string(body))
	c.want(http.StatusOK, "<Messaggio>asked</Messaggio>")

	s.Password = "wrong"
	c = dialRaw(t, s)
	c.send(c.head + expect)
	c.want(http.StatusUnauthorized, "<Codice>SINBA_101</Codice>")
}

// checkShare holds a participant's half of the four exchanges by bodies that do not come.
func checkShare(t *testing.T, s, other hubtest.Sender) {
	t.Helper()
	body := soap.AppendEnvelope(nil, soap.V11, echoOf("late"))
	var held []*rawConn
	for range 2 {
		c := dialRaw(t, s)
		c.send(fmt.Sprintf("%sExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", c.head, len(body)))
		c.want(http.StatusContinue, "")
		held = append(held, c)
	}
	a := mustSend(t, s, soap.V12, echoOf("third"))
	checkLimited(t, a, 2)
	if a.Header.Get("X-RateLimit-Remaining") != "0" {
		t.Errorf("%v", a.Header)
	}
	if a := mustSend(t, other, soap.V12, echoOf("other")); a.Status != http.StatusOK {
		t.Errorf("another participant gets %d: %s", a.Status, a.Body)
	}
	for _, c := range held {
		c.send(string(body))
		c.want(http.StatusOK, "<Messaggio>late</Messaggio>")
	}
	if a := mustSend(t, s, soap.V12, echoOf("third")); a.Status != http.StatusOK {
		t.Errorf("afterwards: %d %s", a.Status, a.Body)
	}
}

// checkConnections opens more connections than a participant may have: the longest idle goes.
func checkConnections(t *testing.T, h *hubtest.Hub) {
	t.Helper()
	s := h.Sender("ZONA-VALDARNO")
	body := soap.AppendEnvelope(nil, soap.V11, echoOf("here"))
	// What was refused and displaced here: other checks have their connections too.
	told := func() [2]int {
		return [2]int{
			metricOf(t, h, `hub_connections_refused_total{reason="participant"}`), metricOf(t, h, `hub_connections_cut_total{reason="displaced"}`),
		}
	}
	before := told()
	var all []*rawConn
	for range 4 {
		c := dialRaw(t, s)
		c.send(fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", c.head, len(body), body))
		c.want(http.StatusOK, "here")
		all = append(all, c)
	}
	closed := 0
	for _, c := range all {
		_ = c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		if _, err := c.reader.ReadByte(); err != nil && !strings.Contains(err.Error(), "timeout") {
			closed++
		}
	}
	if after := told(); closed != 1 || after[0]-before[0] != 1 || after[1]-before[1] != 1 {
		t.Errorf("%d of 4 connections closed where 3 may be; refused and displaced %v, before %v", closed, after, before)
	}
}

// checkRate uses up a participant's burst.
func checkRate(t *testing.T, s, other hubtest.Sender) {
	t.Helper()
	var remaining []int
	for {
		a := mustSend(t, s, soap.V12, echoOf("again"))
		if a.Status == http.StatusTooManyRequests {
			checkLimited(t, a, 1)
			break
		}
		n, err := strconv.Atoi(a.Header.Get("X-RateLimit-Remaining"))
		if err != nil || a.Status != http.StatusOK || a.Header.Get("X-RateLimit-Limit") != "1" {
			t.Fatalf("%d %v", a.Status, a.Header)
		}
		if remaining = append(remaining, n); len(remaining) > 200 {
			t.Fatal("no limit")
		}
	}
	if len(remaining) < 30 || remaining[0] != 29 || slices.Min(remaining) != 0 {
		t.Errorf("remaining were told as %v", remaining)
	}
	if a := mustSend(t, other, soap.V12, echoOf("other")); a.Status != http.StatusOK {
		t.Errorf("another participant gets %d: %s", a.Status, a.Body)
	}
	hubtest.Await(t, patience, "the rate gives one back", func() bool {
		return mustSend(t, s, soap.V12, echoOf("again")).Status == http.StatusOK
	})
}

// checkLimited looks at a 429: the headers alone must be enough, and the fault says the same.
func checkLimited(t *testing.T, a *hubtest.Answer, limit int) {
	t.Helper()
	wait, err := strconv.Atoi(a.Header.Get("Retry-After"))
	if a.Status != http.StatusTooManyRequests || err != nil || wait < 1 || a.Header.Get("X-RateLimit-Limit") != strconv.Itoa(limit) ||
		a.Header.Get("X-RateLimit-Reset") != strconv.Itoa(wait) || a.Header.Get("X-Sinba-Codice") != "SINBA_506" {
		t.Errorf("status %d, headers %v", a.Status, a.Header)
	}
	if a.Fault == nil || a.Fault.Code != "Receiver" || !slices.Equal(hubtest.Codes(a.Fault.Findings), []string{"SINBA_506"}) {
		t.Errorf("no fault with the code: %s", a.Body)
	}
}
