//go:build smoke

package hubtest_test

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// hostileSign stands in everything that hostile documents invent: names, prefixes, namespaces and
// values. Nothing that the hub says or writes may hold it.
const hostileSign = "xqzvkj"

// hostile is a request nobody should send, and what must come back.
type hostile struct {
	name string
	body []byte
	// version is the SOAP version of the request's headers, answered that of the answer; 0 means
	// the same.
	version, answered soap.Version
	// change alters the request's headers.
	change func(*http.Request)
	status int
	fault  soap.FaultCode
	// code of the first violation, none for a request that is taken.
	code string
	// total is how many violations there are; 0 means one.
	total int
	// stranger says that the hub cannot know whose request it is.
	stranger bool
}

// TestSmokeHostileDocumentsAreRefused sends what other parsers and other hubs fell to, and what was
// made to make this one fall. Each gets its fault, and nothing remains of any of them.
func TestSmokeHostileDocumentsAreRefused(t *testing.T) {
	t.Parallel()
	groups := hostileGroups(t)
	h := hubtest.Start(t)
	r := &hostileRun{
		t: t, hub: h, db: h.Superuser(), sender: h.Sender(hubtest.ChildEnte), texts: map[string]string{}, codes: map[string]int{},
		varying: regexp.MustCompile(`<IdTransazione>[^<]*</IdTransazione><DataOra>[^<]*</DataOra>|<Riga>\d+</Riga>|(uno fra|one of) [^<]*|; (trovato|found): [^<]*|(ha|has) \d+ (caratteri|characters)`),
		reason:  regexp.MustCompile(`<(Regola|Posizione)>[^<]*<|è vuoto|ne sono ammessi|ne servono`),
	}
	r.warmUp()
	before := r.look()
	for _, group := range groups {
		r.send(group.name, group.cases)
	}
	r.compare(before, r.look())
	r.findSigns()
}

// hostileGroup is what is sent together and has its figures printed.
type hostileGroup struct {
	name  string
	cases []hostile
}

// hostileGroups are all groups in their order. The floods come twice, to see whether memory grows.
func hostileGroups(t *testing.T) []hostileGroup {
	t.Helper()
	return []hostileGroup{
		{"conformance", hostileConformance(t)},
		{"attacks", hostileAttacks(t)},
		{"messages", hostileMessages(t)},
		{"forms", hostileForms(t)},
		{"events", hostileEvents(t)},
		{"limits", hostileLimits()},
		{"floods", hostileFloods()},
		{"floods again", hostileFloods()},
	}
}

// hostileRun is the state of the test: what was sent and how it was answered.
type hostileRun struct {
	t      *testing.T
	hub    *hubtest.Hub
	db     *pgx.Conn
	sender hubtest.Sender
	// varying is what differs between two refusals for the same reason: the id, the time, the line,
	// and what a value consists of. reason is where in the schema it was and which rule was broken.
	varying, reason *regexp.Regexp
	// texts are the faults without what varies, by code, version and reason.
	texts map[string]string
	codes map[string]int
	// taken is how many requests were answered with 200, foreign how many came from strangers.
	sent, taken, foreign int
}

// warmUp lets the hub grow to its size of every day.
func (r *hostileRun) warmUp() {
	r.t.Helper()
	body := soap.AppendEnvelope(nil, soap.V12, []byte(`<EchoRichiesta xmlns="urn:sinba:eventi:v1"/>`))
	for range 50 {
		request, err := r.sender.Request(r.t.Context(), soap.V12, body)
		if err != nil {
			r.t.Fatal(err)
		}
		if a, err := r.sender.Do(request); err != nil || a.Status != http.StatusOK {
			r.t.Fatalf("echo: %v %+v", err, a)
		}
	}
}

// send sends the cases one after the other and prints what they cost.
func (r *hostileRun) send(group string, cases []hostile) {
	r.t.Helper()
	stop := watchResident(r.hub, 20*time.Millisecond)
	times := make([]time.Duration, len(cases))
	size := 0
	for i := range cases {
		size += len(cases[i].body)
		times[i] = r.check(&cases[i])
	}
	most := stop()
	order := make([]int, len(cases))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(times[b], times[a]) })
	slowest := make([]string, 0, 4)
	for _, i := range order[:min(len(order), cap(slowest))] {
		slowest = append(slowest, fmt.Sprintf("%s %v", cases[i].name, times[i].Round(time.Millisecond)))
	}
	r.t.Logf("%s: %d requests, %d MiB; resident at most %d MiB, workers together %d MiB; median %v, slowest %s",
		group, len(cases), size>>20, most.Serve>>20, most.Workers>>20,
		times[order[len(order)/2]].Round(10*time.Microsecond), strings.Join(slowest, ", "))
}

// hostilePatience is above the validator's deadline for a large document and its repetition.
const hostilePatience = 30 * time.Second

// check sends one request, judges the answer and gives the time it took.
func (r *hostileRun) check(c *hostile) time.Duration {
	r.t.Helper()
	request, err := r.sender.Request(r.t.Context(), c.version, c.body)
	if err != nil {
		r.t.Fatal(err)
	}
	if c.change != nil {
		c.change(request)
	}
	r.sent++
	start := time.Now()
	a, err := r.sender.Do(request)
	took := time.Since(start)
	if err != nil {
		r.t.Errorf("%s: %v", c.name, err)
		return took
	}
	if took > hostilePatience {
		r.t.Errorf("%s: answered after %v", c.name, took)
	}
	if c.code == "" {
		r.taken++
	} else {
		r.codes[c.code]++
	}
	if c.stranger {
		r.foreign++
	}
	if fault := c.judge(a); fault != "" {
		r.t.Errorf("%s: %s\n%d %v\n%.600s", c.name, fault, a.Status, a.Header, a.Body)
	} else if c.code != "" && c.total == 0 {
		r.judgeText(c, a)
	}
	return took
}

// judge says what is wrong with an answer, nothing if it is right.
func (c *hostile) judge(a *hubtest.Answer) string {
	version := cmp.Or(c.answered, c.version)
	head := fmt.Sprint(a.Header)
	switch {
	case a.Status != c.status:
		return fmt.Sprintf("status %d, want %d", a.Status, c.status)
	case a.Version != version || a.Header.Get("Content-Type") != version.ContentType():
		return fmt.Sprintf("not in SOAP %v", version)
	case !wellFormed(a.Body):
		return "not well-formed"
	case strings.Contains(strings.ToLower(head+string(a.Body)), hostileSign):
		return "repeats what was sent"
	case c.code == "":
		if a.Fault != nil || a.Header.Get("X-Sinba-Codice") != "" {
			return "refused"
		}
		return ""
	case a.Fault == nil || len(a.Fault.Findings) == 0 || a.Fault.Transaction == "":
		return "no typed fault"
	case a.Fault.Code != c.fault.Name(version):
		return fmt.Sprintf("fault code %s, want %s", a.Fault.Code, c.fault.Name(version))
	case a.Fault.Findings[0].Codice != c.code || a.Header.Get("X-Sinba-Codice") != c.code:
		return fmt.Sprintf("code %s, want %s", a.Fault.Findings[0].Codice, c.code)
	case a.Fault.Total != max(c.total, 1) || len(a.Fault.Findings) != min(a.Fault.Total, 100):
		return fmt.Sprintf("%d violations of %d, want %d", len(a.Fault.Findings), a.Fault.Total, max(c.total, 1))
	}
	return ""
}

// wellFormed tells whether a body is one XML document from begin to end.
func wellFormed(body []byte) bool {
	d := xml.NewDecoder(bytes.NewReader(body))
	for {
		if _, err := d.Token(); err != nil {
			return err == io.EOF //nolint:errorlint // as Token documents it
		}
	}
}

// judgeText wants two documents refused for the same reason to get the same bytes: then nothing of
// either can be in them. The rules come from closed lists.
func (r *hostileRun) judgeText(c *hostile, a *hubtest.Answer) {
	r.t.Helper()
	key := fmt.Sprint(c.code, a.Version, r.reason.FindAllString(string(a.Body), -1))
	text := r.varying.ReplaceAllString(string(a.Body), "")
	if known, ok := r.texts[key]; !ok {
		r.texts[key] = text
	} else if known != text {
		r.t.Errorf("%s: another answer than others got for the same reason: %s", c.name, gocmp.Diff(known, text))
	}
}

// hostileView is what the hub shows of itself.
type hostileView struct {
	resident hubtest.Resident
	rows     map[string]int64
	samples  map[string]float64
	refusals int
}

func (r *hostileRun) look() hostileView {
	r.t.Helper()
	return hostileView{
		resident: r.hub.Resident(), rows: stored(r.t, r.db), samples: r.hub.Samples(), refusals: len(refusalsOf(r.t, r.db)),
	}
}

// compare wants nothing stored, everything counted and journalled, and no process or memory left.
func (r *hostileRun) compare(before, after hostileView) {
	r.t.Helper()
	t := r.t
	t.Logf("resident before %d MiB and %d of %d workers, after %d MiB and %d of %d workers",
		before.resident.Serve>>20, before.resident.Workers>>20, before.resident.Jailed,
		after.resident.Serve>>20, after.resident.Workers>>20, after.resident.Jailed)
	if grown := after.resident.Serve - before.resident.Serve; grown > 256<<20 {
		t.Errorf("serve holds %d MiB more than before", grown>>20)
	}
	if before.resident.Jailed != after.resident.Jailed {
		t.Errorf("%d workers before, %d after", before.resident.Jailed, after.resident.Jailed)
	}
	if !maps.Equal(before.rows, after.rows) {
		t.Errorf("rows before %v, after %v", before.rows, after.rows)
	}
	if got, want := after.refusals-before.refusals, r.sent-r.taken-r.foreign; got != want {
		t.Errorf("%d refusals are in the journal, want %d", got, want)
	}
	grown := func(prefix string) (n int) {
		for name, value := range after.samples {
			if strings.HasPrefix(name, prefix) {
				n += int(value - before.samples[name])
			}
		}
		return n
	}
	if got := grown("hub_exchanges_total{"); got != r.sent {
		t.Errorf("%d exchanges were counted, %d were sent", got, r.sent)
	}
	if got := grown(`hub_exchanges_total{operation="other",outcome_class="unauthenticated",participant="other"}`); got != r.foreign {
		t.Errorf("%d exchanges of strangers were counted, %d were sent", got, r.foreign)
	}
	for code, n := range r.codes {
		// One violation for each document, but for those of the schema, of which each may have more.
		if got := grown(fmt.Sprintf(`hub_violations_total{code=%q,`, code)); got < n || got > n && code < "SINBA_2" {
			t.Errorf("%s was counted %d times, %d documents have it", code, got, n)
		}
	}
	for _, reason := range []string{"crash", "deadline", "protocol"} {
		if n := grown(fmt.Sprintf(`hub_validator_restarts_total{reason=%q}`, reason)); n != 0 {
			t.Errorf("%d workers were replaced for the reason %s", n, reason)
		}
	}
	for _, code := range slices.Sorted(maps.Keys(r.codes)) {
		t.Logf("%s: %d documents", code, r.codes[code])
	}
}

// findSigns looks for what was sent in the hub's logs and in the journal.
func (r *hostileRun) findSigns() {
	r.t.Helper()
	files, err := filepath.Glob(filepath.Join(r.hub.Var, "log", "*"))
	if err != nil || len(files) == 0 {
		r.t.Fatalf("no logs: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			r.t.Fatal(err)
		}
		if bytes.Contains(bytes.ToLower(text), []byte(hostileSign)) {
			r.t.Errorf("%s holds what was sent", file)
		}
	}
	n := hubtest.Number(r.t, r.db, "SELECT count(*) FROM hub.journal_entry WHERE position(lower(encode($1, 'escape')) IN lower(encode(body, 'escape'))) > 0", []byte(hostileSign))
	if n != 0 {
		r.t.Errorf("%d journal entries hold what was sent", n)
	}
}

// watchResident looks at the hub's memory until stop, which gives the most it saw.
func watchResident(h *hubtest.Hub, every time.Duration) (stop func() hubtest.Resident) {
	done, result := make(chan struct{}), make(chan hubtest.Resident)
	go func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		var most hubtest.Resident
		for {
			now := h.Resident()
			most.Serve, most.Workers, most.Jailed = max(most.Serve, now.Serve), max(most.Workers, now.Workers), max(most.Jailed, now.Jailed)
			select {
			case <-done:
				result <- most
				return
			case <-ticker.C:
			}
		}
	}()
	return func() hubtest.Resident {
		close(done)
		return <-result
	}
}
