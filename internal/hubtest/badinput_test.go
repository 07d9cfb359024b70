//go:build e2e || smoke

package hubtest_test

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// badCase is a request that must be refused, or, with status 200, must not.
type badCase struct {
	name string
	// body of the request in the given SOAP version.
	body func(v soap.Version) []byte
	// change alters the request's headers.
	change func(r *http.Request)
	// only is the SOAP version to try; 0 means both.
	only soap.Version
	// answered is the SOAP version of the answer; 0 means that of the request.
	answered soap.Version
	status   int
	// codes of all violations, sorted.
	codes []string
	// fault is who is to blame.
	fault soap.FaultCode
	// stranger says that the hub cannot know whose request it is, and only counts it.
	stranger bool
}

// TestE2EBadInputGetsATypedFaultAndLeavesNothing sends what the hub must refuse, in both SOAP
// versions, and looks at the answer, the store and the journal after each.
//
//nolint:tparallel,paralleltest // one after the other: what is new in the journal belongs to the case
func TestE2EBadInputGetsATypedFaultAndLeavesNothing(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	db := h.Superuser()
	sender := h.Sender(hubtest.ChildEnte)
	acceptKnown(t, sender)
	hubtest.AwaitDelivered(t, db, patience)
	strangers := 0
	for _, c := range slices.Concat(badFiles(t), badTransport(), badEnvelopes(), badHeaders(), badEvents(), badQuestions()) {
		for _, v := range []soap.Version{soap.V11, soap.V12} {
			if c.only != 0 && c.only != v {
				continue
			}
			t.Run(c.name+"/"+v.String(), func(t *testing.T) {
				if c.stranger && len(c.codes) > 0 {
					strangers++
				}
				c.check(t, db, sender, v)
			})
		}
	}
	h.Terminate()
	hubtest.Await(t, patience, "serve ends", func() bool { return !h.Alive() })
	if counted := strangersOf(t, db); counted != strangers {
		t.Errorf("the journal counts %d refusals of strangers, %d were sent", counted, strangers)
	}
}

// strangersOf sums up what the journal counts of senders who are unknown: nobody can fill it from
// outside.
func strangersOf(t *testing.T, db *pgx.Conn) int {
	t.Helper()
	n := 0
	for _, e := range hubtest.MessageEntries(t, db) {
		if e.Kind == journal.RequestRefused && e.Participant == 0 {
			n += int(e.Count)
			if !slices.Equal(e.Codes, []hub.Code{hub.CodeNoCredential}) || e.Outcome != "source:loopback" {
				t.Errorf("an entry of strangers: %+v", e)
			}
		}
	}
	return n
}

// rewrite changes the texts of elements by their name, in a document without prefixes.
func rewrite(document string, texts map[string]string) string {
	for name, text := range texts {
		element := regexp.MustCompile("<" + name + ">[^<]*</" + name + ">")
		document = element.ReplaceAllString(document, "<"+name+">"+text+"</"+name+">")
	}
	return document
}

// acceptKnown sends what the bad documents are meant to come after.
func acceptKnown(t *testing.T, sender hubtest.Sender) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(hubtest.Root(), "testdata/events/04-trasferimento/04-trasferimento-05-*.xml"))
	if err != nil || len(files) != 1 {
		t.Fatalf("the event that 08-known-id-other-content repeats: %v %v", files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	opening := rewrite(string(text), map[string]string{"IdEvento": uuid.NewString(), "TipoEvento": "APERTURA_CARTELLA", "ProgressivoCartella": "1"})
	detail := regexp.MustCompile(`(?s)<Dettaglio>.*</Dettaglio>`)
	opening = detail.ReplaceAllString(opening, "<Dettaglio><AperturaCartella><CanaleAccesso>SPORTELLO</CanaleAccesso></AperturaCartella></Dettaglio>")
	for _, document := range [][]byte{[]byte(opening), text, known().Event(knownEvent, 1)} {
		a, err := sender.Send(t.Context(), soap.V12, document)
		if err != nil || a.Receipt == nil {
			t.Fatalf("%v %+v", err, a)
		}
	}
}

func (c badCase) check(t *testing.T, db *pgx.Conn, sender hubtest.Sender, v soap.Version) {
	t.Helper()
	r, err := sender.Request(t.Context(), v, c.body(v))
	if err != nil {
		t.Fatal(err)
	}
	if c.change != nil {
		c.change(r)
	}
	before, refusals := stored(t, db), refusalsOf(t, db)
	a, err := sender.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if a.Status != c.status {
		t.Fatalf("status %d, want %d: %s", a.Status, c.status, a.Body)
	}
	if c.status == http.StatusOK {
		if a.Receipt == nil || a.Version != v {
			t.Errorf("no receipt in SOAP %v: %s", v, a.Body)
		}
		return
	}
	if got := stored(t, db); !maps.Equal(got, before) {
		t.Errorf("rows before %v, after %v", before, got)
	}
	c.checkJournal(t, refusals, refusalsOf(t, db))
	if len(c.codes) == 0 {
		if got := a.Header.Get("X-Sinba-Codice"); r.Method == http.MethodGet && got != "SINBA_012" {
			t.Errorf("X-Sinba-Codice %q", got)
		}
		return // not SOAP: an answer to a browser
	}
	c.checkFault(t, a, v)
}

func (c badCase) checkFault(t *testing.T, a *hubtest.Answer, v soap.Version) {
	t.Helper()
	if c.answered != 0 {
		v = c.answered
	}
	if a.Fault == nil || a.Version != v || a.Header.Get("Content-Type") != v.ContentType() {
		t.Fatalf("no fault in SOAP %v: %s\n%s", v, a.Header, a.Body)
	}
	if want := c.fault.Name(v); a.Fault.Code != want {
		t.Errorf("fault code %s, want %s", a.Fault.Code, want)
	}
	codes := hubtest.Codes(a.Fault.Findings)
	if got := a.Header.Get("X-Sinba-Codice"); got != codes[0] {
		t.Errorf("X-Sinba-Codice %q, the first violation is %s", got, codes[0])
	}
	if diff := cmp.Diff(c.codes, slices.Sorted(slices.Values(codes))); diff != "" {
		t.Errorf("codes (-want +got):\n%s", diff)
	}
	if a.Fault.Total != len(codes) || a.Fault.Transaction == "" {
		t.Errorf("detail: %+v", a.Fault)
	}
	for _, value := range badValues() {
		if bytes.Contains(a.Body, []byte(value)) {
			t.Errorf("the answer repeats %q: %s", value, a.Body)
		}
	}
	if challenge := a.Header.Get("WWW-Authenticate"); (challenge != "") != (c.status == http.StatusUnauthorized) {
		t.Errorf("WWW-Authenticate %q with status %d", challenge, c.status)
	}
}

// checkJournal wants exactly one new entry, with the codes and nothing of the message.
func (c badCase) checkJournal(t *testing.T, before, after []journal.Entry) {
	t.Helper()
	added := after[len(before):]
	if c.stranger {
		if len(added) != 0 {
			t.Errorf("%d journal entries for an unknown participant", len(added))
		}
		return
	}
	if len(added) != 1 {
		t.Fatalf("%d journal entries, want 1", len(added))
	}
	var codes []string
	for _, code := range added[0].Codes {
		codes = append(codes, string(code))
	}
	if diff := cmp.Diff(slices.Compact(slices.Clone(c.codes)), slices.Sorted(slices.Values(codes))); diff != "" {
		t.Errorf("codes in the journal (-want +got):\n%s", diff)
	}
	if added[0].Participant == 0 || added[0].Environment != hub.Prod {
		t.Errorf("journal entry: %+v", added[0])
	}
}

// stored counts the rows of all tables that an accepted event would add to.
func stored(t *testing.T, db *pgx.Conn) map[string]int64 {
	t.Helper()
	counts := map[string]int64{}
	for _, table := range []string{
		"hub.event_key", "hub.event", "hub.message", "hub.case_file", "hub.delivery", "vault.subject", "vault.subject_link",
	} {
		counts[table] = hubtest.Number(t, db, "SELECT count(*) FROM "+table)
	}
	return counts
}

// refusalsOf reads the journal's refusals of known participants, oldest first.
func refusalsOf(t *testing.T, db *pgx.Conn) []journal.Entry {
	t.Helper()
	return slices.DeleteFunc(hubtest.MessageEntries(t, db), func(e journal.Entry) bool {
		return e.Kind != journal.RequestRefused || e.Participant == 0
	})
}

// badFiles are the documents of testdata/bad with the codes that its README tells.
func badFiles(t *testing.T) []badCase {
	t.Helper()
	dir := filepath.Join(hubtest.Root(), "testdata", "bad")
	expected := expectedCodes(t, filepath.Join(dir, "README.md"))
	files, err := filepath.Glob(filepath.Join(dir, "*.xml"))
	if err != nil || len(files) != len(expected) || len(files) == 0 {
		t.Fatalf("%d documents and %d rows in the README: %v", len(files), len(expected), err)
	}
	var cases []badCase
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".xml")
		text, err := os.ReadFile(file)
		if err != nil || expected[name] == nil {
			t.Fatalf("%s: no row in the README, or %v", name, err)
		}
		cases = append(cases, badCase{
			name: name, status: http.StatusInternalServerError, codes: expected[name], fault: soap.Sender,
			body: func(v soap.Version) []byte { return soap.AppendEnvelope(nil, v, soap.TrimDeclaration(text)) },
		})
	}
	return cases
}

// expectedCodes reads the table of the README: a file, what is wrong, the codes. "SINBA_203, 204
// twice" are three codes; what stands in parentheses is a remark.
func expectedCodes(t *testing.T, readme string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	times := map[string]int{"": 1, "twice": 2, "three times": 3, "four times": 4}
	code := regexp.MustCompile(`^(?:SINBA_)?(\d{3}) ?(.*)$`)
	expected := map[string][]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|.*\\| ([^|]+) \\|$").FindAllStringSubmatch(string(text), -1) {
		var codes []string
		for part := range strings.SplitSeq(regexp.MustCompile(` ?\([^)]*\)`).ReplaceAllString(row[2], ""), ", ") {
			m := code.FindStringSubmatch(strings.TrimSpace(part))
			if m == nil || times[m[2]] == 0 {
				t.Fatalf("%s: codes not understood: %q", row[1], part)
			}
			codes = append(codes, slices.Repeat([]string{"SINBA_" + m[1]}, times[m[2]])...)
		}
		slices.Sort(codes)
		expected[row[1]] = codes
	}
	return expected
}

// badValues stand in the bad documents and nowhere else: no answer may repeat them.
func badValues() []string {
	return []string{"BSSNSI13", "Bassi", "Ines", "RSSMRA85T10A562S", "00901-bad0", "A-00900", "Soprannome", known().Code()}
}

// chunked hides the length of a request's body.
func chunked(r *http.Request) {
	r.Body, r.ContentLength, r.GetBody = io.NopCloser(r.Body), -1, nil
}
