package validator_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/sinbahub/sinbahub/internal/validator"
	"github.com/sinbahub/sinbahub/pkg/xmlschema"
)

// callingHome are good events that name an address in every way XML and its relatives know.
func callingHome(event, url string) map[string]string {
	inRoot := func(attributes string) string {
		return strings.Replace(event, "<InviaEventoRichiesta ", "<InviaEventoRichiesta "+attributes+" ", 1)
	}
	inside := func(element string) string { return strings.Replace(event, "<Testata>", element+"<Testata>", 1) }
	const instance = `xmlns:i="http://www.w3.org/2001/XMLSchema-instance" `
	return map[string]string{
		"schemaLocation":            inRoot(instance + `i:schemaLocation="urn:sinba:eventi:v1 ` + url + ` urn:other ` + url + `"`),
		"schemaLocation of another": inside(`<o:x xmlns:o="urn:other" ` + instance + `i:schemaLocation="urn:other ` + url + `"/>`),
		"noNamespaceSchemaLocation": inRoot(instance + `i:noNamespaceSchemaLocation="` + url + `"`),
		"schema":                    inside(`<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:import namespace="urn:o" schemaLocation="` + url + `"/></xs:schema>`),
		"XInclude":                  inside(`<x:include xmlns:x="http://www.w3.org/2001/XInclude" href="` + url + `"/>`),
		"XInclude as text":          inside(`<x:include xmlns:x="http://www.w3.org/2001/XInclude" parse="text" href="` + url + `"><x:fallback/></x:include>`),
		"style sheet":               `<?xml-stylesheet type="text/xsl" href="` + url + `"?>` + event,
		"model":                     `<?xml-model href="` + url + `"?>` + event,
		"base address":              inRoot(`xml:base="` + url + `"`),
		"link":                      inRoot(`xmlns:l="http://www.w3.org/1999/xlink" l:type="simple" l:actuate="onLoad" l:show="embed" l:href="` + url + `"`),
		"document type":             `<!DOCTYPE InviaEventoRichiesta SYSTEM "` + url + `">` + event,
		"public document type":      `<!DOCTYPE InviaEventoRichiesta PUBLIC "-//x//y" "` + url + `">` + event,
		"entity":                    `<!DOCTYPE a [<!ENTITY b SYSTEM "` + url + `">]>` + strings.Replace(event, "<Testata>", "&b;<Testata>", 1),
		"parameter entity":          `<!DOCTYPE a [<!ENTITY % b SYSTEM "` + url + `"> %b;]>` + event,
		"namespace":                 strings.Replace(event, "urn:sinba:eventi:v1", url, 1),
	}
}

// judge has both the jail and the core in this process judge every document, bare and within
// envelopes of both versions.
func judge(t *testing.T, p *pool, core *xmlschema.Schema, documents map[string]string) {
	t.Helper()
	for name, document := range documents {
		forms := map[string]validator.Mode{
			document: validator.Bare, string(envelope(soap11, []byte(document))): validator.Envelope, string(envelope(soap12, []byte(document))): validator.Envelope,
		}
		for form, mode := range forms {
			if _, err := p.Validate(t.Context(), validator.SinbaEventi, mode, []byte(form)); codeOf(t, err) == "SINBA_501" {
				t.Errorf("%s ended the worker", name)
			}
			if _, err := core.Check([]byte(form), xmlschema.Mode(mode)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func eventCore(t *testing.T) *xmlschema.Schema {
	t.Helper()
	files := eventFiles(t)
	core, err := xmlschema.Compile(files.Main, files.Files)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = core.Close() })
	return core
}

// TestNoDocumentMakesTheHubConnect listens where the documents point to. Nobody may call there:
// the first one to do so is the test itself, at the end.
func TestNoDocumentMakesTheHubConnect(t *testing.T) {
	t.Parallel()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	p := newPool(t, func(c *validator.Config) { c.Workers = 1 })
	event := string(samples(t)["intervento.xml"])
	judge(t, p, eventCore(t), callingHome(event, "http://"+listener.Addr().String()+"/x"))
	own, err := new(net.Dialer).DialContext(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = own.Close() }()
	first, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = first.Close() }()
	if first.RemoteAddr().String() != own.LocalAddr().String() {
		t.Error("a document made the hub connect")
	}
	if os.Getuid() != 0 {
		return // only root can look into a worker
	}
	for _, pid := range p.pids(t) {
		// Two lines of headings, then the interfaces: lo alone, with nothing received or sent.
		lines := strings.Split(strings.TrimSpace(string(read(t, fmt.Sprintf("/proc/%d/net/dev", pid)))), "\n")
		if len(lines) != 3 || strings.Trim(strings.TrimPrefix(strings.TrimSpace(lines[2]), "lo:"), " 0") != "" {
			t.Errorf("the worker's network: %s", strings.Join(lines[2:], "\n"))
		}
	}
}

// attempts counts what this process's network namespace was asked to send: packets of any kind,
// connections begun, and what found no route.
func attempts(t *testing.T) string {
	t.Helper()
	sent := map[string][]string{
		"Ip:": {"OutRequests", "OutDiscards", "OutNoRoutes"}, "IpExt:": {"OutOctets"}, "Icmp:": {"OutMsgs"},
		"Tcp:": {"ActiveOpens", "OutSegs"}, "Udp:": {"OutDatagrams"},
	}
	var counted []string
	for _, file := range []string{"/proc/self/net/snmp", "/proc/self/net/netstat"} {
		lines := strings.Split(string(read(t, file)), "\n")
		for i := 0; i+1 < len(lines); i += 2 { // a line of names, a line of numbers
			names, numbers := strings.Fields(lines[i]), strings.Fields(lines[i+1])
			for j, name := range names {
				if slices.Contains(sent[names[0]], name) && numbers[j] != "0" {
					counted = append(counted, name+"="+numbers[j])
				}
			}
		}
	}
	for line := range strings.Lines(string(read(t, "/proc/self/net/snmp6"))) {
		if fields := strings.Fields(line); slices.Contains([]string{"Ip6OutRequests", "Ip6OutNoRoutes"}, fields[0]) && fields[1] != "0" {
			counted = append(counted, fields[0]+"="+fields[1])
		}
	}
	return strings.Join(counted, " ")
}

// TestPacketsAsProcess is no test but a process (process) in a network namespace without a route.
func TestPacketsAsProcess(t *testing.T) { //nolint:paralleltest // see above
	if os.Getenv(processVariable) == "" {
		return
	}
	p := newPool(t, func(c *validator.Config) { c.Workers = 1 })
	core := eventCore(t)
	documents := 0
	for _, url := range []string{"http://127.0.0.1:80/x", "http://192.0.2.1/x", "http://[2001:db8::1]/x", "ftp://198.51.100.7/x", "http://sinba.example/x"} {
		all := callingHome(os.Getenv("VALIDATOR_TEST_EVENT"), url)
		documents += 3 * len(all)
		judge(t, p, core, all)
	}
	before := attempts(t)
	for _, address := range []string{"192.0.2.1:80", "[2001:db8::1]:80"} {
		if _, err := new(net.Dialer).DialContext(t.Context(), "tcp", address); err == nil {
			t.Error("there is a route")
		}
	}
	fmt.Printf("documents %d, attempts [%s], a connection shows as [%s]\n", documents, before, attempts(t))
}

// TestNoPacketLeaves judges documents that call home where there is no route, and looks at what
// the kernel was asked to send: nothing, by the hub's own process or by its workers.
func TestNoPacketLeaves(t *testing.T) {
	t.Parallel()
	attr := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Getuid() != 0 {
		attr.Cloneflags |= syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	if err := (&exec.Cmd{Path: "/bin/true", SysProcAttr: attr}).Run(); err != nil {
		t.Skipf("this system makes no network namespace: %v", err)
	}
	out := process(t, "TestPacketsAsProcess", attr, `exec "$0" "$@"`, "VALIDATOR_TEST_EVENT="+string(samples(t)["intervento.xml"]))
	if !strings.Contains(out, "attempts [], ") || strings.Contains(out, "shows as []") {
		t.Errorf("got %s", out)
	}
	t.Log(strings.SplitN(out, "\n", 2)[0])
}
