//go:build bench

package hubtest_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
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
	benchChildren    = 1_000
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
	b := startBench(t, hubtest.Binaries(t))
	b.printSettings()
	b.load(seconds("BENCH_WARMUP", 10))
	b.load(seconds("BENCH_SECONDS", 60)).print()
	fmt.Printf("delivered in all %d\n", b.count("SELECT count(*) FROM hub.delivery WHERE state = 'delivered'"))
	b.printRestart()
	fmt.Printf("libxml2 parse+validate+c14n alone: %.0f us a document on one core\n", validateAlone(t, b.event(1, 1)))
}

// startBench starts a hub with the binaries of a folder.
func startBench(t *testing.T, binaries string) *bench {
	t.Helper()
	environ := append([]string{"SINBAHUB_LOG_LEVEL=warn"}, strings.Fields(os.Getenv("BENCH_ENVIRON"))...)
	b := &bench{t: t, hub: hubtest.StartFrom(t, binaries, environ...), template: benchTemplate(t)}
	for n := range b.codes {
		b.codes[n] = benchCode(n)
	}
	b.connect()
	return b
}

type bench struct {
	t        *testing.T
	hub      *hubtest.Hub
	template []string // texts and, at odd places, names of what differs
	codes    [benchChildren]string
	db       *pgx.Conn
	sequence [benchChildren]atomic.Int32
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

// event is one request in its envelope: the initial load of another case of a child. Nothing else in
// the contract is so large, and a case is loaded only once.
func (b *bench) event(n int, sequence int32) []byte {
	values := map[string]string{
		"MESSAGGIO": uuid.NewString(), "EVENTO": uuid.NewString(), "PROGRESSIVO": "1",
		"ORA": time.Now().UTC().Format("2006-01-02T15:04:05Z"), "CF": b.codes[n],
		"CARTELLA": fmt.Sprintf("2024/%05d/%d", n, sequence), "ASSISTITO": fmt.Sprintf("A-%05d", n),
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
	fmt.Printf("cores %d, connections %d, children %d, event %d bytes\n", runtime.NumCPU(), benchConnections, benchChildren, len(b.event(1, 1)))
}

// figures are what one load came to.
type figures struct {
	accepted  int64
	took      time.Duration
	latencies []time.Duration // sorted
	backlog   int64           // events not yet delivered or refused at the end
	before    map[string]usage
	after     map[string]usage
}

// rate is the accepted events a second.
func (f figures) rate() float64 { return float64(f.accepted) / f.took.Seconds() }

// cpu is the processor time of a group of processes in us an accepted event.
func (f figures) cpu(name string) float64 {
	return (f.after[name].cpu - f.before[name].cpu).Seconds() * 1e6 / float64(f.accepted)
}

// load sends for so long from all connections.
func (b *bench) load(d time.Duration) figures {
	f := figures{before: b.usage()}
	begin := time.Now()
	latencies := make([][]time.Duration, benchConnections)
	var wg sync.WaitGroup
	for c := range benchConnections {
		wg.Go(func() {
			conn := b.dial()
			defer conn.close()
			for n := c; time.Since(begin) < d; n += benchConnections {
				i := n % benchChildren
				request := b.event(i, b.sequence[i].Add(1))
				start := time.Now()
				status, body, err := conn.post(request)
				if err != nil || status != http.StatusOK {
					b.t.Errorf("status %d, error %v: %.400s", status, err, body)
					return
				}
				latencies[c] = append(latencies[c], time.Since(start))
			}
		})
	}
	wg.Wait()
	f.took = time.Since(begin)
	f.backlog = b.count("SELECT count(*) FROM hub.delivery WHERE state NOT IN ('delivered', 'refused')")
	f.after = b.usage()
	f.latencies = slices.Concat(latencies...)
	f.accepted = int64(len(f.latencies))
	if f.accepted == 0 {
		b.t.Fatal("nothing was accepted")
	}
	slices.Sort(f.latencies)
	return f
}

func (b *bench) count(query string) int64 {
	var n int64
	if err := b.db.QueryRow(b.t.Context(), query).Scan(&n); err != nil {
		b.t.Fatal(err)
	}
	return n
}

// benchProcesses are the groups whose processor time is told apart.
func benchProcesses() []string { return []string{"serve", "jail", "postgres", "siss-sim", "load"} }

func (f figures) print() {
	fmt.Printf("\naccepted %d in %.1f s: %.0f events/s\n", f.accepted, f.took.Seconds(), f.rate())
	latency := func(q float64) time.Duration { return quantile(f.latencies, q).Round(time.Microsecond) }
	fmt.Printf("latency p50 %v  p90 %v  p99 %v  max %v\n", latency(.5), latency(.9), latency(.99), latency(1))
	fmt.Printf("backlog at the end %d events = %.2f s of the accept rate\n", f.backlog, float64(f.backlog)/f.rate())
	for _, name := range benchProcesses() {
		fmt.Printf("cpu %-9s %6.0f us an accepted event, resident %4d MB (before %4d MB)\n", name, f.cpu(name), f.after[name].rss>>20, f.before[name].rss>>20)
	}
	fmt.Printf("cpu hub+jail+postgres %.0f us an accepted event\n", f.cpu("serve")+f.cpu("jail")+f.cpu("postgres"))
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

// validateAlone gives the processor time of libxml2's parse, validation and canonical form of one
// document in this process, in us: how fast the machine is at the moment.
func validateAlone(t *testing.T, envelope []byte) float64 {
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
	before := processUsage(os.Getpid()).cpu
	for range rounds {
		if v, err := schema.Check(envelope, xmlschema.Envelope); err != nil || v.Status != xmlschema.Valid {
			t.Fatalf("the bench's event is not valid: %v %v", v, err)
		}
	}
	return (processUsage(os.Getpid()).cpu - before).Seconds() * 1e6 / rounds
}
