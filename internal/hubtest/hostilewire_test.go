//go:build smoke

package hubtest_test

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// wire is what is written to a connection, byte by byte, and the status that comes back before the
// hub closes it.
type wire struct {
	name string
	// head are the header lines beside the credential, the media type and the host.
	head []string
	// body follows the head; endless is then repeated until the hub has enough.
	body, endless string
	// halves says that the sender closes its side behind the body; silent, that it waits.
	halves bool
	status []int
	code   string
}

// ambiguous is the code of every flaw of HTTP, whether the hub found it or net/http before it.
const ambiguous = "SINBA_016"

// badly is a request whose length cannot be told, or can be told in two ways: whoever stands
// between the sender and the hub may have read another one.
func badly(name, body string, head ...string) wire {
	return wire{name: name, head: head, body: body, status: []int{http.StatusBadRequest}, code: ambiguous}
}

// wires are the requests that no client library sends. content is a good question.
func wires(content string) []wire {
	length := fmt.Sprintf("Content-Length: %d", len(content))
	chunks := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(content), content)
	const in = "Transfer-Encoding: chunked"
	refused := []int{http.StatusBadRequest, http.StatusNotImplemented}
	chunk := fmt.Sprintf("%x\r\n%s\r\n", limitText, strings.Repeat(" ", limitText))
	return []wire{
		badly("two lengths that differ", content, length, "Content-Length: 1"),
		badly("two lengths that agree", content, length, length),
		badly("two lengths in one", content, length+", 1"),
		badly("length and chunks", chunks, length, in),
		badly("chunks and length", chunks, in, length),
		badly("chunks and no length", chunks, in, "Content-Length: 0"),
		badly("negative length", content, "Content-Length: -1"),
		badly("length with a sign", content, "Content-Length: +1"),
		badly("length in hexadecimal", content, "Content-Length: 0x1"),
		badly("length out of bounds", content, "Content-Length: 99999999999999999999"),
		{name: "chunks twice", head: []string{in, in}, body: chunks, status: refused, code: ambiguous},
		{name: "chunks twice in one", head: []string{"Transfer-Encoding: chunked, chunked"}, body: chunks, status: refused, code: ambiguous},
		{name: "another transfer encoding", head: []string{"Transfer-Encoding: gzip, chunked"}, body: chunks, status: refused, code: ambiguous},
		{name: "transfer encoding of nobody", head: []string{"Transfer-Encoding: xqzvkj"}, body: chunks, status: refused, code: ambiguous},
		badly("a blank before the colon", content, strings.Replace(length, ":", " :", 1)),
		badly("a folded header", content, length, "X-A: b", "\tc"),
		badly("two media types", content, length, "Content-Type: text/xml"),
		badly("two actions", content, length, `SOAPAction: ""`, `SOAPAction: "xqzvkj"`),
		{name: "a header of 20 KiB", head: []string{length, "X-Xqzvkj: " + strings.Repeat("x", 20<<10)}, body: content, status: []int{http.StatusRequestHeaderFieldsTooLarge}, code: ambiguous},
		{name: "5,000 headers", head: append(slices.Repeat([]string{"X-Xqzvkj: x"}, 5_000), length), body: content, status: []int{http.StatusRequestHeaderFieldsTooLarge}, code: ambiguous},
		{name: "an expectation of nobody", head: []string{length, "Expect: xqzvkj"}, body: content, status: []int{http.StatusExpectationFailed}, code: ambiguous},
		{name: "a length of 1 GiB", head: []string{"Content-Length: 1073741824"}, endless: chunk, status: []int{http.StatusRequestEntityTooLarge}, code: "SINBA_006"},
		{name: "chunks without end", head: []string{in}, endless: chunk, status: []int{http.StatusRequestEntityTooLarge}, code: "SINBA_006"},
		{name: "chunks of one byte without end", head: []string{in}, endless: strings.Repeat("1\r\n \r\n", 10_000), status: []int{http.StatusRequestEntityTooLarge, http.StatusInternalServerError, 0}},
		{name: "chunks with extensions without end", head: []string{in}, endless: "1;" + strings.Repeat("xqzvkj", 500) + "\r\n \r\n", status: []int{http.StatusInternalServerError, http.StatusBadRequest, 0}},
		{name: "a chunk of the wrong length", head: []string{in}, body: "zz\r\nxqzvkj", status: []int{http.StatusBadRequest}, code: ambiguous},
		{name: "a body that is cut", head: []string{length}, body: content[:len(content)/2], halves: true, status: []int{http.StatusInternalServerError}, code: "SINBA_001"},
		{name: "chunks that are cut", head: []string{in}, body: chunk, halves: true, status: []int{http.StatusInternalServerError}, code: "SINBA_001"},
		{name: "a body that stops", head: []string{length}, body: content[:len(content)/2], status: []int{http.StatusInternalServerError}, code: "SINBA_015"},
		{name: "chunks that stop", head: []string{in}, body: chunk, status: []int{http.StatusInternalServerError}, code: "SINBA_015"},
	}
}

// bodyPatience is how long a body may take, and what the answer may take besides.
const bodyPatience = 45 * time.Second

// TestSmokeHostileFramingIsClosed writes requests that are framed wrongly, or never end. Each
// connection gets its answer and is closed.
func TestSmokeHostileFramingIsClosed(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	db := h.Superuser()
	sender := h.Sender(hubtest.ChildEnte)
	rows := stored(t, db)
	// What is accepted of one of these would leave a trace.
	content := string(soap.AppendEnvelope(nil, soap.V11, hubtest.Child(4).Event(knownEvent, 1)))
	var wg sync.WaitGroup
	for _, c := range wires(content) {
		wg.Go(func() { c.check(t, sender) })
	}
	wg.Wait()
	if got := stored(t, db); !maps.Equal(got, rows) {
		t.Errorf("rows before %v, after %v", rows, got)
	}
	a, err := sender.Send(t.Context(), soap.V11, hubtest.Child(4).Event(knownEvent, 1))
	if err != nil || a.Receipt == nil {
		t.Errorf("a good request afterwards: %v %+v", err, a)
	}
}

// check writes the request, reads the answer, and wants the connection closed.
func (c wire) check(t *testing.T, sender hubtest.Sender) {
	t.Helper()
	address, err := url.Parse(sender.URL)
	if err != nil {
		t.Errorf("%s: %v", c.name, err)
		return
	}
	dialer := net.Dialer{Timeout: bodyPatience}
	conn, err := dialer.DialContext(t.Context(), "tcp", address.Host)
	if err != nil {
		t.Errorf("%s: %v", c.name, err)
		return
	}
	defer conn.Close() //nolint:errcheck // the hub closes first
	start := time.Now()
	_ = conn.SetDeadline(start.Add(bodyPatience))
	credential := http.Request{Header: http.Header{}}
	credential.SetBasicAuth(sender.User, sender.Password)
	lines := append([]string{
		"POST " + address.Path + " HTTP/1.1", "Host: " + address.Host, "Content-Type: text/xml; charset=utf-8",
		"Authorization: " + credential.Header.Get("Authorization"),
	}, c.head...)
	written := make(chan int)
	go func() { written <- c.write(conn, strings.Join(lines, "\r\n")+"\r\n\r\n") }()

	status, fault := c.read(bufio.NewReader(conn))
	took := time.Since(start)
	_ = conn.Close() // a writer that is still at it ends
	n := <-written
	t.Logf("%s: status %d, %d bytes went out, closed after %v", c.name, status, n, took.Round(time.Millisecond))
	if fault != "" || n > mostTaken {
		t.Errorf("%s: %s", c.name, cmp.Or(fault, "too much was taken"))
	}
}

// mostTaken is what may go out before a sender sees that the hub has enough: the body's limit as
// chunks of one byte each, and what the system keeps for both sides.
const mostTaken = 32 << 20

// read reads the answer up to the end of the connection and says what is wrong with it.
func (c wire) read(from *bufio.Reader) (status int, fault string) {
	response, err := http.ReadResponse(from, nil)
	if err == nil {
		status, fault = response.StatusCode, c.judge(response)
		_ = response.Body.Close()
	} else if !closed(err) {
		return 0, fmt.Sprintf("no answer: %v", err)
	}
	if !slices.Contains(c.status, status) {
		return status, fmt.Sprintf("status %d, want %d", status, c.status)
	}
	if n, err := io.Copy(io.Discard, from); fault == "" && (n != 0 || err != nil && !closed(err)) {
		fault = fmt.Sprintf("%d bytes behind the answer: %v", n, err)
	}
	return status, fault
}

// write writes the request and gives how many bytes went out before the hub had enough.
func (c wire) write(conn net.Conn, head string) int {
	n, err := io.WriteString(conn, head+c.body)
	if c.halves && err == nil {
		if half, ok := conn.(*net.TCPConn); ok {
			err = half.CloseWrite()
		}
	}
	for err == nil && c.endless != "" {
		var more int
		more, err = io.WriteString(conn, c.endless)
		n += more
	}
	return n
}

// judge says what is wrong with an answer.
func (c wire) judge(response *http.Response) string {
	body, err := io.ReadAll(response.Body)
	switch got := response.Header.Get("X-Sinba-Codice"); {
	case err != nil && !closed(err):
		return fmt.Sprintf("read the answer: %v", err)
	case !response.Close:
		return "the answer does not say that the connection closes"
	case c.code != "" && (got != c.code || !wellFormed(body)):
		return fmt.Sprintf("code %q, want %s: %s", got, c.code, body)
	case strings.Contains(strings.ToLower(string(body)+fmt.Sprint(response.Header)), hostileSign):
		return "repeats what was sent"
	}
	return ""
}

// closed tells whether an error means that the other side closed the connection.
func closed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
