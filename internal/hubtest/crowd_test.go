//go:build smoke

package hubtest_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

const (
	// again is when a connection that the hub ended is opened anew.
	again = 5 * time.Second
	// slowSources is from how many addresses the connections come.
	slowSources = 8
)

// slowKind is a kind of client that keeps a connection busy with nothing.
type slowKind struct {
	name  string
	count int
	// occupy uses one connection until the hub ends it, and gives what the hub said at last.
	occupy func(c *slowConn) string
	// ends are the answers that are right; "closed" without one.
	ends []string
	// longest is how long one connection may last; 0 for no bound.
	longest time.Duration
}

// slowKinds are the clients nobody wants.
func slowKinds(o crowdOrders) []slowKind {
	stranger := "POST " + o.Path + " HTTP/1.1\r\nHost: hub\r\nContent-Length: 100000\r\n\r\n"
	get := "GET " + o.Path + "?xsd=sinba-eventi-v1.xsd HTTP/1.1\r\nHost: hub\r\n\r\n"
	post := func(ente string) string {
		return "POST " + o.Path + " HTTP/1.1\r\nHost: hub\r\nContent-Type: text/xml\r\nAuthorization: Basic " + o.Credentials[ente] + "\r\n"
	}
	body := soap.AppendEnvelope(nil, soap.V11, []byte(`<EchoRichiesta xmlns="urn:sinba:eventi:v1"/>`))
	// after asks for something, so that the connection is the participant's, and goes on.
	after := func(ente string, on func(*slowConn) string) func(*slowConn) string {
		echo := fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", post(ente), len(body), body)
		return func(c *slowConn) string {
			if !c.send(echo) {
				return "closed"
			}
			if end := c.last(); end != "200 " {
				return end
			}
			return on(c)
		}
	}
	dripping := func(begin string) func(*slowConn) string { return func(c *slowConn) string { return c.drip(begin) } }
	flooding := func(c *slowConn) string { return c.flood(get) }
	const patient = 15 * time.Second // what ends after five, on a machine that is busy
	limited := []string{"closed", "429 SINBA_506"}
	return []slowKind{
		{"silent", 1_000, (*slowConn).wait, []string{"closed"}, patient},
		{"idle participant", 1_000, after("SDS-EM", (*slowConn).wait), limited, 0},
		{"slow head", 450, dripping("POST / HTTP/1.1\r\nHost: hub\r\nX: "), []string{"closed", "400 SINBA_016"}, patient},
		{"slow second head", 50, after("COM-LI", dripping("POST / HTTP/1.1\r\nHost: hub\r\nX: ")), []string{"closed"}, patient},
		{"slow body", 100, dripping(post("SDS-PI") + "Content-Length: 100000\r\n\r\n"), append(limited, "500 SINBA_015"), patient},
		{"slow chunks", 50, dripping(post("SDS-PI") + "Transfer-Encoding: chunked\r\n\r\n10000\r\n"), append(limited, "500 SINBA_015"), patient},
		{"slow body of a stranger", 50, dripping(stranger), []string{"closed", "401 SINBA_101", "503 SINBA_503"}, patient},
		{"slow reader", 50, flooding, []string{"closed"}, 0},
		{"slow reader, participant", 50, after("SDS-PO", flooding), []string{"closed"}, 0},
	}
}

// slowConn is one connection of such a client.
type slowConn struct {
	net.Conn

	ctx    context.Context //nolint:containedctx // of the crowd it belongs to
	reader *bufio.Reader
}

func (c *slowConn) send(text string) bool {
	_, err := io.WriteString(c, text)
	return err == nil
}

// last reads an answer: its status and code; "closed" if there is none.
func (c *slowConn) last() string {
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return "closed"
	}
	defer response.Body.Close() //nolint:errcheck // read to its end
	_, _ = io.Copy(io.Discard, response.Body)
	return strconv.Itoa(response.StatusCode) + " " + response.Header.Get("X-Sinba-Codice")
}

// wait does nothing until the hub ends the connection.
func (c *slowConn) wait() string { return c.last() }

// drip sends the begin at once, then a byte every second.
func (c *slowConn) drip(begin string) string {
	ended := make(chan string, 1)
	go func() { ended <- c.last() }()
	for ok := c.send(begin); ok && pause(c.ctx, time.Second); ok = c.send("x") {
		if len(ended) > 0 {
			break
		}
	}
	return <-ended
}

// flood asks again and again and takes no answer.
func (c *slowConn) flood(request string) string {
	for c.send(request) && pause(c.ctx, 10*time.Millisecond) {
		continue
	}
	return "closed"
}

// crowd is all of them.
type crowd struct {
	address string
	ctx     context.Context //nolint:containedctx // the end of all of them
	mu      sync.Mutex
	crowdReport
}

// crowdReport is how their connections ended.
type crowdReport struct {
	// Ends counts kinds and ends, Longest has the longest that such a connection lasted.
	Ends    map[string]int           `json:"ends"`
	Longest map[string]time.Duration `json:"longest"`
	// Wrong are ends that should not be.
	Wrong map[string]int `json:"wrong"`
}

// crowdOrders are what the crowd must know of the hub.
type crowdOrders struct {
	Address string `json:"address"`
	Path    string `json:"path"`
	// Credentials of HTTP Basic by ente.
	Credentials map[string]string `json:"credentials"`
}

// startCrowd starts the crowd in a process of its own that takes only the time nobody else wants:
// in life these clients have machines of their own. disperse ends it.
func startCrowd(t *testing.T, h *hubtest.Hub) (disperse func() crowdReport) {
	t.Helper()
	u, err := url.Parse(h.Run.SoapURL)
	if err != nil {
		t.Fatal(err)
	}
	o := crowdOrders{Address: u.Host, Path: u.Path, Credentials: map[string]string{}}
	for _, p := range h.Run.Participants {
		o.Credentials[p.Ente] = base64.StdEncoding.EncodeToString([]byte(p.APIUser + ":" + h.Password(p)))
	}
	orders, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "nice", "-n", "19", os.Args[0], "-test.run", "^TestCrowdProcess$")
	cmd.Env = append(os.Environ(), "SINBAHUB_TEST_CROWD=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	reader, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.ExtraFiles = []*os.File{out}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = out.Close()
	if _, err := in.Write(append(orders, '\n')); err != nil {
		t.Fatal(err)
	}
	return func() (r crowdReport) {
		_ = in.Close()
		if err := json.NewDecoder(reader).Decode(&r); err != nil {
			t.Errorf("the crowd's report: %v", err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("the crowd: %v", err)
		}
		_ = reader.Close()
		return r
	}
}

// TestCrowdProcess is the crowd's process, and no test: its orders are a line of its input, whose
// end is its own, and its report goes to descriptor 3.
func TestCrowdProcess(t *testing.T) { //nolint:paralleltest // alone in its process
	if os.Getenv("SINBAHUB_TEST_CROWD") == "" {
		return
	}
	in := bufio.NewReader(os.Stdin)
	line, err := in.ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	var o crowdOrders
	if err := json.Unmarshal(line, &o); err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	c := &crowd{address: o.Address, ctx: ctx, crowdReport: crowdReport{map[string]int{}, map[string]time.Duration{}, map[string]int{}}}
	var wg sync.WaitGroup
	c.start(&wg, slowKinds(o))
	_, _ = io.Copy(io.Discard, in)
	end()
	wg.Wait()
	if err := json.NewEncoder(os.NewFile(3, "report")).Encode(c.crowdReport); err != nil {
		t.Fatal(err)
	}
}

func (c *crowd) start(wg *sync.WaitGroup, kinds []slowKind) {
	for _, kind := range kinds {
		for i := range kind.count {
			wg.Go(func() {
				// Spread, because the test's own work is done by the same cores.
				pause(c.ctx, again*time.Duration(i)/time.Duration(kind.count))
				for n := i; c.ctx.Err() == nil; n++ {
					c.one(kind, n)
					pause(c.ctx, again)
				}
			})
		}
	}
}

// one opens a connection and stays until the hub ends it.
func (c *crowd) one(kind slowKind, n int) {
	dialer := net.Dialer{Timeout: 10 * time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(1+n%slowSources))}, Control: portLater}
	conn, err := dialer.DialContext(c.ctx, "tcp", c.address)
	if err != nil {
		c.ended(kind, "not connected", 0)
		return
	}
	defer conn.Close() //nolint:errcheck // useless
	if strings.HasPrefix(kind.name, "slow reader") {
		_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	}
	cancelled := context.AfterFunc(c.ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer cancelled()
	start := time.Now()
	end := kind.occupy(&slowConn{conn, c.ctx, bufio.NewReader(conn)})
	if c.ctx.Err() == nil {
		c.ended(kind, end, time.Since(start))
	}
}

// portLater lets the system choose the port when it connects, which is much cheaper than before
// (IP_BIND_ADDRESS_NO_PORT).
func portLater(_, _ string, raw syscall.RawConn) error {
	return raw.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, 24, 1) })
}

func (c *crowd) ended(kind slowKind, end string, after time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if end != "not connected" && !slices.Contains(kind.ends, end) {
		c.Wrong[fmt.Sprintf("%s ended with %q", kind.name, end)]++
	}
	if kind.longest > 0 && after > kind.longest {
		c.Wrong[kind.name+" lasted longer than "+kind.longest.String()]++
	}
	end = kind.name + ": " + end
	c.Ends[end]++
	c.Longest[end] = max(c.Longest[end], after)
}
