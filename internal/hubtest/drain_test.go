//go:build e2e

package hubtest_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// TestE2EStopFinishesWhatIsInFlightAndTellsThatItLeaves: from the order to stop on, readyz and echo say
// that the hub leaves, no connection is kept, and slow exchanges that had begun get their receipts
// although nothing new is taken any more.
func TestE2EStopFinishesWhatIsInFlightAndTellsThatItLeaves(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t, "SINBAHUB_LIMITS_DRAIN_DELAY=3s", "SINBAHUB_LIMITS_DRAIN=60s", "SINBAHUB_LIMITS_GRACE=60s")
	sender := h.Sender(hubtest.ChildEnte)
	if a := echoWith(t, sender, "prova"); elementOf(a.Body, "Disponibile") != "true" {
		t.Fatalf("echo: %s", a.Body)
	}
	var slow []*slowly
	for i := range 8 {
		slow = append(slow, beginSlowly(t, sender, hubtest.Child(200+i)))
	}
	h.Terminate()
	hubtest.Await(t, patience, "readyz says that it leaves", func() bool {
		status, body := admin(t, h, "/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(body, "stopping: not ready")
	})
	// The listener is open for another while; how long, the machine decides.
	for open := true; open; {
		open = leaves(t, sender)
	}
	if status, _ := admin(t, h, "/readyz"); status != http.StatusServiceUnavailable {
		t.Errorf("readyz: %d with the listener closed", status)
	}
	for _, s := range slow {
		s.finish(t)
	}
	hubtest.Await(t, patience, "serve ends", func() bool { return !h.Alive() })
	h.Up()
	for _, s := range slow {
		if a := mustSend(t, sender, soap.V12, s.child.Event(s.event, 1)); a.Receipt == nil || a.Receipt.Esito != hub.Duplicate.String() {
			t.Errorf("a receipt is forgotten: %+v", a.Receipt)
		}
	}
}

// TestE2EStopCarriesWhatItStillTakes: what is accepted while the hub already leaves reaches SISS before it
// ends, and not only after the next start.
func TestE2EStopCarriesWhatItStillTakes(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t, "SINBAHUB_LIMITS_DRAIN_DELAY=5s", "SINBAHUB_LIMITS_DRAIN=60s", "SINBAHUB_LIMITS_GRACE=60s")
	sender := h.Sender(hubtest.ChildEnte)
	h.Terminate()
	hubtest.Await(t, patience, "readyz says that it leaves", func() bool {
		status, body := admin(t, h, "/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(body, "stopping: not ready")
	})
	taken := 0
	for {
		a, err := sender.Send(t.Context(), soap.V12, hubtest.Child(220+taken).Event(uuid.New(), 1))
		if err != nil || a.Receipt == nil {
			break
		}
		taken++
	}
	hubtest.Await(t, patience, "serve ends", func() bool { return !h.Alive() })
	if taken == 0 {
		t.Fatal("nothing was taken while the hub left")
	}
	if got := len(h.Received()); got != taken {
		t.Errorf("SISS has %d of the %d events accepted while the hub left", got, taken)
	}
}

// TestE2EStopIsBoundedWhenTheDatabaseHangs: what waits for a database that answers nothing is abandoned,
// and gets no receipt.
func TestE2EStopIsBoundedWhenTheDatabaseHangs(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t, "SINBAHUB_LIMITS_DRAIN=2s")
	sender := h.Sender(hubtest.ChildEnte)
	if a := mustSend(t, sender, soap.V12, hubtest.Child(210).Event(uuid.New(), 1)); a.Receipt == nil {
		t.Fatalf("%s", a.Body)
	}
	thaw := h.FreezeDatabase()
	defer thaw()
	answer := make(chan *hubtest.Answer, 1)
	go func() {
		a, _ := sender.Send(context.WithoutCancel(t.Context()), soap.V12, hubtest.Child(211).Event(uuid.New(), 1))
		answer <- a
	}()
	h.Terminate()
	hubtest.Await(t, patience, "serve ends", func() bool { return !h.Alive() })
	if a := <-answer; a != nil && a.Receipt != nil {
		t.Errorf("a receipt of a database that hangs: %s", a.Body)
	}
	awaitLog(t, h, "stop overdue")
}

// leaves asks echo of a hub that leaves; false: nobody listens any more.
func leaves(t *testing.T, sender hubtest.Sender) (open bool) {
	t.Helper()
	a, err := sender.Send(t.Context(), soap.V12, []byte(`<EchoRichiesta xmlns="urn:sinba:eventi:v1"/>`))
	if err != nil {
		return false
	}
	if a.Header.Get("X-Sinba-Codice") != "SINBA_505" || a.Status == http.StatusOK && elementOf(a.Body, "Disponibile") != "false" {
		t.Errorf("echo of a hub that leaves: %d %v %s", a.Status, a.Header, a.Body)
	}
	return a.Status == http.StatusOK
}

// slowly is a request of which the hub has read the head and awaits the body.
type slowly struct {
	event uuid.UUID
	child hubtest.Child
	conn  net.Conn
	from  *bufio.Reader
	body  []byte
}

// beginSlowly sends the head of a request and waits until the hub asks for the body.
func beginSlowly(t *testing.T, sender hubtest.Sender, child hubtest.Child) *slowly {
	t.Helper()
	s := &slowly{event: uuid.New(), child: child}
	s.body = soap.AppendEnvelope(nil, soap.V12, child.Event(s.event, 1))
	address, err := url.Parse(sender.URL)
	if err != nil {
		t.Fatal(err)
	}
	if s.conn, err = new(net.Dialer).DialContext(t.Context(), "tcp", address.Host); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.conn.Close() })
	s.from = bufio.NewReader(s.conn)
	_, err = fmt.Fprintf(s.conn, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nAuthorization: Basic %s\r\nExpect: 100-continue\r\n\r\n",
		address.Path, address.Host, soap.V12.ContentType(), len(s.body), base64.StdEncoding.EncodeToString([]byte(sender.User+":"+sender.Password)))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"HTTP/1.1 100 Continue", ""} {
		if line, err := s.from.ReadString('\n'); err != nil || strings.TrimSpace(line) != want {
			t.Fatalf("%q %v, want %q", line, err, want)
		}
	}
	return s
}

// finish sends the body: it must get its receipt, and its connection must not be kept.
func (s *slowly) finish(t *testing.T) {
	t.Helper()
	if _, err := s.conn.Write(s.body); err != nil {
		t.Error(err)
		return
	}
	r, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodPost, "http://hub", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(s.from, r)
	if err != nil {
		t.Errorf("an exchange in flight has no answer: %v", err)
		return
	}
	defer answer.Body.Close() //nolint:errcheck // read to its end
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK || !strings.Contains(string(body), "IdRicevuta") || !answer.Close {
		t.Errorf("%d %s, kept %t, %v", answer.StatusCode, answer.Header.Get("X-Sinba-Codice"), !answer.Close, err)
	}
}
