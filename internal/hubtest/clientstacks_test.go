//go:build e2e || smoke

package hubtest_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// stack is a SOAP library that vendors use, with a client made by it.
type stack struct {
	name string
	// typed stacks make their objects of a sample document, the others of plain objects.
	typed bool
	// coarse stacks hold an instant in whole seconds.
	coarse bool
	// single stacks make a client of one SOAP version, the others one that speaks both.
	single bool
	// build generates the client from the WSDL into a folder, once for both its programs.
	build func(t *testing.T, dir, wsdl, version string) programs
}

// programs are the commands of a client: one goes through the steps, the other sends histories.
type programs struct {
	steps, history []string
}

// zeepStack needs nothing built. It is Debian's Python, whatever other is on the path.
func zeepStack() stack {
	return stack{name: "zeep", build: func(*testing.T, string, string, string) programs {
		return programs{
			steps:   []string{"/usr/bin/python3", clientFile("zeep_client.py", "")},
			history: []string{"/usr/bin/python3", clientFile("zeep_history.py", "")},
		}
	}}
}

func nodeStack() stack {
	return stack{name: "node", build: func(*testing.T, string, string, string) programs {
		return programs{
			steps:   []string{"node", clientFile("node", "client.js")},
			history: []string{"node", clientFile("node", "history.js")},
		}
	}}
}

// clientFile is a file or pattern below the folder of the clients.
func clientFile(folder, name string) string {
	return filepath.Join(hubtest.Root(), "internal", "hubtest", "clients", folder, name)
}

// runStack lets a stack's client go through the steps in both SOAP versions and compares what it
// tells with what is expected of every stack. What is to follow, if anything, gets the same client.
func runStack(t *testing.T, h *hubtest.Hub, s stack, then func(t *testing.T, built programs, version string)) {
	t.Helper()
	t.Run(s.name, func(t *testing.T) {
		t.Parallel()
		var both programs
		if !s.single {
			both = s.timed(t, h.Run.WSDLURL, "")
		}
		for name, version := range map[string]soap.Version{"SOAP11": soap.V11, "SOAP12": soap.V12} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				p := h.Participant(hubtest.ChildEnte)
				between := openTap(t, h)
				made := both
				if s.single {
					made = s.timed(t, between.wsdl, name)
				}
				began := time.Now()
				args := append(slices.Clone(made.steps[1:]), between.wsdl, name, p.APIUser, p.APIPasswordFile)
				out := runTool(t, t.TempDir(), made.steps[0], args...)
				t.Logf("%s %s: went through the steps in %.1f s", s.name, name, time.Since(began).Seconds())
				checkSteps(t, out)
				between.check(t, version)
				if then != nil {
					then(t, made, name)
				}
			})
		}
	})
}

// timed builds the client and tells how long it took.
func (s stack) timed(t *testing.T, wsdl, version string) programs {
	t.Helper()
	began := time.Now()
	made := s.build(t, t.TempDir(), wsdl, version)
	t.Logf("%s %s: built in %.1f s", s.name, version, time.Since(began).Seconds())
	return made
}

// runTool runs a command in a folder and gives what it printed. A missing one is no reason to skip.
func runTool(t *testing.T, dir, name string, args ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Fatalf("%v: `make deps-clients deps-stacks` installs it", err)
	}
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s\n%s", name, err, stderr.String(), out)
	}
	return out
}

// tap stands between a client and the hub and notes what the client says.
type tap struct {
	wsdl string

	mu     sync.Mutex
	types  []string
	bodies [][]byte
}

// openTap puts a tap before a hub. Clients find it by the address in the WSDL, which the hub makes
// from the request's host.
func openTap(t *testing.T, h *hubtest.Hub) *tap {
	t.Helper()
	to, err := url.Parse(h.Run.SoapURL)
	if err != nil {
		t.Fatal(err)
	}
	tapped := &tap{}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host = to.Scheme, to.Host
		r.Out.Host = r.In.Host
	}}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				http.Error(rw, "unreadable", http.StatusBadGateway)
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			tapped.note(r.Header.Get("Content-Type"), body)
		}
		proxy.ServeHTTP(rw, r)
	}))
	t.Cleanup(server.Close)
	tapped.wsdl = server.URL + to.Path + "?wsdl"
	return tapped
}

func (p *tap) note(contentType string, body []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.types, p.bodies = append(p.types, contentType), append(p.bodies, body)
}

// check looks whether the client spoke its version and nothing else, and called every operation.
func (p *tap) check(t *testing.T, version soap.Version) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	called := map[string]bool{}
	for i, body := range p.bodies {
		if !bytes.Contains(body, []byte(version.Namespace())) {
			t.Errorf("request %d is not of SOAP %s: %s", i, version, p.types[i])
		}
		for _, operation := range operations() {
			if bytes.Contains(body, []byte(strings.ToUpper(operation[:1])+operation[1:]+"Richiesta")) {
				called[operation] = true
			}
		}
	}
	for _, operation := range operations() {
		if !called[operation] {
			t.Errorf("%s was never called", operation)
		}
	}
}

// operations are those of wsdl/SinbaEventi.wsdl.
func operations() []string {
	return []string{"inviaEvento", "inviaLotto", "verificaEvento", "statoEvento", "riepilogoEventi", "echo"}
}
