//go:build bench

package hubtest_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/pkg/codicefiscale"
	"github.com/sinbahub/sinbahub/pkg/soap"
	"github.com/sinbahub/sinbahub/pkg/xmlschema"
	"github.com/sinbahub/sinbahub/xsd"
)

// The load of the issue: 1,000 cases, events of about 8 KB, 64 connections.
const (
	benchCases       = 1_000
	benchConnections = 64
)

// seconds reads a duration in seconds from the environment.
func seconds(name string, otherwise int) time.Duration {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return time.Duration(n) * time.Second
	}
	return time.Duration(otherwise) * time.Second
}

// TestBench prints the figures of the whole hub on this machine; it asserts only that every
// request was accepted. Run it by `make bench`.
func TestBench(t *testing.T) { //nolint:paralleltest // it measures the machine
	h := hubtest.Start(t, append([]string{"SINBAHUB_LOG_LEVEL=warn"}, strings.Fields(os.Getenv("BENCH_ENVIRON"))...)...)
	b := &bench{t: t, hub: h, template: benchTemplate(t)}
	for n := range b.codes {
		b.codes[n] = benchCode(n)
	}
	b.connect()
	b.printSettings()
	b.load(seconds("BENCH_WARMUP", 10), false)
	b.load(seconds("BENCH_SECONDS", 60), true)
	if os.Getenv("SINBAHUB_TEST_PROFILE") == "" {
		b.printRestart() // kill -9 would cost the profile
	}
	printValidateAlone(t, b.event(1, 1))
}

type bench struct {
	t        *testing.T
	hub      *hubtest.Hub
	template []string // texts and, at odd places, names of what differs
	codes    [benchCases]string
	db       *pgx.Conn
	sequence [benchCases]atomic.Int32
}

func (b *bench) connect() {
	conn, err := pgx.Connect(b.t.Context(), b.hub.Run.DatabaseURL)
	if err != nil {
		b.t.Fatal(err)
	}
	b.db = conn
	b.t.Cleanup(func() { _ = conn.Close(context.Background()) })
}

// benchTemplate is an initial load with eight interventi and marks where each event differs.
func benchTemplate(t *testing.T) []string {
	t.Helper()
	var interventi strings.Builder
	for i := range 8 {
		fmt.Fprintf(&interventi, `<Intervento><IdIntervento>INT-%d</IdIntervento><Fase>CHIUSURA</Fase><CodicePrestazione>A1.2%d</CodicePrestazione><VoceNomenclatore>F.3</VoceNomenclatore><IdProgetto>P1</IdProgetto><DataInizioPrestazione>2024-0%d-01</DataInizioPrestazione><DataFinePrestazione>2024-0%d-20</DataFinePrestazione><Erogatore>TERZO_SETTORE</Erogatore><OreServizioMensile>12</OreServizioMensile><ImportoMensile>1250.50</ImportoMensile><MotivoChiusura>CONCLUSO</MotivoChiusura></Intervento>`, i, i, i+1, i+1)
	}
	text, err := os.ReadFile(filepath.Join("testdata", "bench-event.xml"))
	if err != nil {
		t.Fatal(err)
	}
	document := bytes.ReplaceAll(soap.TrimDeclaration(text), []byte("@INTERVENTI@"), []byte(interventi.String()))
	return strings.Split(string(soap.AppendEnvelope(nil, soap.V11, document)), "@")
}

// benchCode is the codice fiscale of a case's invented child, with its right check character.
func benchCode(n int) string {
	first := fmt.Sprintf("BN%cBN%c12C15D%03d", 'A'+n%26, 'A'+n/26%26, n%1000)
	check, _ := codicefiscale.CheckCharacter(first)
	return first + string(check)
}

// event is one request of a case in its envelope.
func (b *bench) event(n int, sequence int32) []byte {
	values := map[string]string{
		"MESSAGGIO": uuid.NewString(), "EVENTO": uuid.NewString(), "PROGRESSIVO": strconv.Itoa(int(sequence)),
		"ORA": time.Now().UTC().Format("2006-01-02T15:04:05Z"), "CF": b.codes[n],
		"CARTELLA": fmt.Sprintf("2024/%05d", n), "ASSISTITO": fmt.Sprintf("A-%05d", n),
	}
	document := make([]byte, 0, 10_000)
	for i, piece := range b.template {
		if i%2 == 1 {
			piece = values[piece]
		}
		document = append(document, piece...)
	}
	return document
}

func (b *bench) printSettings() {
	for _, name := range []string{"server_version", "fsync", "full_page_writes", "synchronous_commit", "data_checksums", "shared_buffers", "max_wal_size"} {
		var value string
		if err := b.db.QueryRow(b.t.Context(), "SELECT current_setting($1)", name).Scan(&value); err != nil {
			b.t.Fatal(err)
		}
		fmt.Printf("postgres %-20s %s\n", name, value)
	}
	fmt.Printf("cores %d, connections %d, cases %d, event %d bytes\n", runtime.NumCPU(), benchConnections, benchCases, len(b.event(1, 1)))
}

// load sends for so long from all connections and, if told, prints what came of it.
func (b *bench) load(d time.Duration, show bool) {
	before := b.usage()
	begin := time.Now()
	var accepted atomic.Int64
	latencies := make([][]time.Duration, benchConnections)
	var wg sync.WaitGroup
	for c := range benchConnections {
		wg.Go(func() {
			conn := b.dial()
			defer conn.close()
			for n := c; time.Since(begin) < d; n += benchConnections {
				i := n % benchCases
				request := b.event(i, b.sequence[i].Add(1))
				start := time.Now()
				status, body, err := conn.post(request)
				if err != nil || status != http.StatusOK {
					b.t.Errorf("status %d, error %v: %.400s", status, err, body)
					return
				}
				latencies[c] = append(latencies[c], time.Since(start))
				accepted.Add(1)
			}
		})
	}
	wg.Wait()
	took := time.Since(begin)
	backlog := b.count("SELECT count(*) FROM hub.delivery WHERE state NOT IN ('delivered', 'refused')")
	after := b.usage()
	if show {
		b.print(accepted.Load(), took, latencies, backlog, before, after)
	}
}

func (b *bench) count(query string) int64 {
	var n int64
	if err := b.db.QueryRow(b.t.Context(), query).Scan(&n); err != nil {
		b.t.Fatal(err)
	}
	return n
}

func (b *bench) print(accepted int64, took time.Duration, latencies [][]time.Duration, backlog int64, before, after map[string]usage) {
	all := slices.Concat(latencies...)
	slices.Sort(all)
	rate := float64(accepted) / took.Seconds()
	fmt.Printf("\naccepted %d in %.1f s: %.0f events/s\n", accepted, took.Seconds(), rate)
	fmt.Printf("latency p50 %v  p90 %v  p99 %v  max %v\n", quantile(all, .5), quantile(all, .9), quantile(all, .99), all[len(all)-1].Round(time.Microsecond))
	fmt.Printf("backlog at the end %d events = %.2f s of the accept rate\n", backlog, float64(backlog)/rate)
	fmt.Printf("delivered in all %d\n", b.count("SELECT count(*) FROM hub.delivery WHERE state = 'delivered'"))
	total := 0.0
	for _, name := range []string{"serve", "jail", "postgres", "siss-sim", "load"} {
		cpu := (after[name].cpu - before[name].cpu).Seconds() * 1e6 / float64(accepted)
		if name != "load" && name != "siss-sim" {
			total += cpu
		}
		fmt.Printf("cpu %-9s %6.0f us an accepted event, resident %4d MB (before %4d MB)\n", name, cpu, after[name].rss>>20, before[name].rss>>20)
	}
	fmt.Printf("cpu hub+jail+postgres %.0f us an accepted event\n", total)
}

func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[int(float64(len(sorted)-1)*q)].Round(time.Microsecond)
}

// printRestart measures from the start of serve on an existing cluster to the first receipt.
func (b *bench) printRestart() {
	b.hub.Kill()
	start := time.Now()
	b.hub.Up("SINBAHUB_LOG_LEVEL=warn")
	conn := b.dial()
	defer conn.close()
	status, _, err := conn.post(b.event(0, b.sequence[0].Add(1)))
	if err != nil || status != http.StatusOK {
		b.t.Errorf("after restart: %d %v", status, err)
	}
	fmt.Printf("start to first receipt after kill -9: %v\n", time.Since(start).Round(time.Millisecond))
}

// printValidateAlone measures libxml2's parse and validate in this process, one core.
func printValidateAlone(t *testing.T, envelope []byte) {
	t.Helper()
	text, err := xsd.FS.ReadFile(xsd.SinbaEventi)
	if err != nil {
		t.Fatal(err)
	}
	schema, err := xmlschema.Compile(xsd.SinbaEventi, map[string][]byte{xsd.SinbaEventi: text})
	if err != nil {
		t.Fatal(err)
	}
	const rounds = 5_000
	start := time.Now()
	for range rounds {
		if v, err := schema.Check(envelope, xmlschema.Envelope); err != nil || v.Status != xmlschema.Valid {
			t.Fatalf("the bench's event is not valid: %v %v", v, err)
		}
	}
	fmt.Printf("libxml2 parse+validate+c14n alone: %.0f us a document on one core\n", time.Since(start).Seconds()*1e6/rounds)
}

// usage is what a group of processes used so far.
type usage struct {
	cpu time.Duration
	rss int64
}

// usage sums CPU and resident memory by program.
func (b *bench) usage() map[string]usage {
	pids := b.hub.Run.Pids
	// Workers are replaced while they run: what the reaped ones used stands with their parent.
	serve, reaped := processUsage(pids.Serve), reapedUsage(pids.Serve)
	serve.cpu -= reaped.cpu
	return map[string]usage{
		"serve":    serve,
		"jail":     sum(reaped, childrenUsage(pids.Serve)),
		"postgres": sum(processUsage(pids.Postgres), childrenUsage(pids.Postgres)),
		"siss-sim": processUsage(pids.SissSim),
		"load":     processUsage(os.Getpid()),
	}
}

func sum(a, b usage) usage { return usage{a.cpu + b.cpu, a.rss + b.rss} }

// processUsage reads /proc/PID/stat; CPU includes that of reaped children.
func processUsage(pid int) usage {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return usage{}
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+2:]))
	var ticks int64
	for _, i := range []int{11, 12, 13, 14} {
		n, _ := strconv.ParseInt(fields[i], 10, 64)
		ticks += n
	}
	pages, _ := strconv.ParseInt(fields[21], 10, 64)
	return usage{time.Duration(ticks) * 10 * time.Millisecond, pages * int64(os.Getpagesize())}
}

// reapedUsage is the CPU of the children that ended.
func reapedUsage(pid int) usage {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return usage{}
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+2:]))
	user, _ := strconv.ParseInt(fields[13], 10, 64)
	system, _ := strconv.ParseInt(fields[14], 10, 64)
	return usage{cpu: time.Duration(user+system) * 10 * time.Millisecond}
}

func childrenUsage(parent int) usage {
	var total usage
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+2:]))
		if fields[1] == strconv.Itoa(parent) {
			total = sum(total, processUsage(pid))
		}
	}
	return total
}

// benchConn is one keep-alive connection, cheaper than net/http's client so that the load takes
// little of the two cores.
type benchConn struct {
	conn    net.Conn
	reader  *bufio.Reader
	header  []byte
	request []byte
	answer  []byte
}

func (b *bench) dial() *benchConn {
	u, err := url.Parse(b.hub.Run.SoapURL)
	if err != nil {
		b.t.Fatal(err)
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		b.t.Fatal(err)
	}
	p := b.hub.Participant("SDS-PI")
	credential := base64.StdEncoding.EncodeToString([]byte(p.APIUser + ":" + b.hub.Password(p)))
	header := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Basic %s\r\nContent-Type: text/xml; charset=utf-8\r\nSOAPAction: \"urn:sinba:eventi:v1/inviaEvento\"\r\n", u.Path, u.Host, credential)
	return &benchConn{conn: conn, reader: bufio.NewReaderSize(conn, 16<<10), header: []byte(header)}
}

func (c *benchConn) close() { _ = c.conn.Close() }

// post sends a request and reads the answer, whose body is good until the next call.
func (c *benchConn) post(body []byte) (status int, answer []byte, err error) {
	c.request = append(c.request[:0], c.header...)
	c.request = append(c.request, "Content-Length: "...)
	c.request = strconv.AppendInt(c.request, int64(len(body)), 10)
	c.request = append(c.request, "\r\n\r\n"...)
	if _, err := c.conn.Write(append(c.request, body...)); err != nil {
		return 0, nil, err
	}
	length := 0
	for first := true; ; first = false {
		line, err := c.reader.ReadSlice('\n')
		if err != nil {
			return 0, nil, err
		}
		text := bytes.TrimSpace(line)
		if first && len(text) > 12 {
			status, err = strconv.Atoi(string(text[9:12]))
		}
		if value, found := bytes.CutPrefix(text, []byte("Content-Length: ")); found {
			length, err = strconv.Atoi(string(value))
		}
		if err != nil {
			return 0, nil, err
		}
		if len(text) == 0 {
			break
		}
	}
	c.answer = slices.Grow(c.answer[:0], length)[:length]
	_, err = io.ReadFull(c.reader, c.answer)
	return status, c.answer, err
}
