package gateway_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/gateway"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/sinba"
	"github.com/sinbahub/sinbahub/internal/validator"
	"github.com/sinbahub/sinbahub/pkg/soap"
	"github.com/sinbahub/sinbahub/xsd"
)

// update rewrites what testdata/faults expects.
var update = flag.Bool("update", false, "rewrite the expectations of testdata/faults")

// testdata is the project's.
const testdata = "../../testdata"

// fault is a case of testdata/faults.
type fault struct {
	file, name, base string
	edits, want      []string
}

// judge is the part of the door that needs neither store nor vault.
type judge struct {
	pool    *validator.Pool
	events  *sinba.Catalogue
	speaker *hub.Speaker
}

func newJudge(t *testing.T) *judge {
	t.Helper()
	schema, err := xsd.FS.ReadFile(xsd.SinbaEventi)
	if err != nil {
		t.Fatal(err)
	}
	j := &judge{speaker: hub.NewSpeaker()}
	if j.events, err = sinba.Load(schema, sinba.DefaultReference()); err != nil {
		t.Fatal(err)
	}
	j.pool, err = validator.New(validator.Config{Deadline: time.Minute, Schemas: map[validator.Schema]validator.SchemaFiles{
		validator.SinbaEventi: {Main: xsd.SinbaEventi, Files: map[string][]byte{xsd.SinbaEventi: schema}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := j.pool.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.pool.Close() })
	return j
}

// judge gives the refusal of a message, nil if it has none, and the warnings it would get.
func (j *judge) judge(t *testing.T, message []byte) *hub.Error {
	t.Helper()
	var refusal *hub.Error
	var limit *soap.LimitError
	if err := soap.Scan(message, soap.DefaultLimits()); errors.As(err, &limit) {
		code := map[soap.Reason]hub.Code{
			soap.NotUTF8: hub.CodeEncoding, soap.NullByte: hub.CodeEncoding, soap.Empty: hub.CodeMalformed,
			soap.Broken: hub.CodeMalformed, soap.Doctype: hub.CodeDoctype,
		}[limit.Reason]
		if code == "" {
			code = hub.CodeLimit
		}
		return hub.NewError(hub.Malformed, code, nil)
	}
	result, err := j.pool.Validate(t.Context(), validator.SinbaEventi, validator.Envelope, message)
	switch {
	case errors.As(err, &refusal):
		return refusal
	case err != nil:
		t.Fatal(err)
	case result.Version != "" && result.Version != "1.0":
		return hub.NewError(hub.Invalid, hub.CodeVersion, nil)
	case len(result.Violations) > 0:
		return &hub.Error{Kind: hub.Invalid, Public: result.Violations, Total: result.Total}
	}
	event, err := j.events.Read(result.Payload)
	if err != nil {
		t.Fatal(err)
	}
	if found := j.events.Judge(event, sinba.RuleContext{Now: noon()}); len(found) > 0 {
		return &hub.Error{Kind: hub.Invalid, Public: found, Total: len(found)}
	}
	return nil
}

// told is what a refusal tells, a line for each violation.
func (j *judge) told(refusal *hub.Error) []string {
	if refusal == nil {
		return []string{"=> accepted"}
	}
	var lines []string
	for _, v := range refusal.Public {
		lines = append(lines, fmt.Sprintf("=> %s %s %s | %s", v.Code, v.Severity, v.Path, j.speaker.Say(v).EN))
	}
	if refusal.Total > len(refusal.Public) {
		lines = append(lines, "=> total "+strconv.Itoa(refusal.Total))
	}
	return lines
}

// readFaults reads one file: its lines, and its cases.
func readFaults(t *testing.T, file string) (header []string, cases []*fault) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	base := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		last := len(cases) - 1
		switch {
		case strings.HasPrefix(line, "base "):
			base = strings.TrimPrefix(line, "base ")
			header = append(header, line)
		case strings.HasPrefix(line, "== "):
			cases = append(cases, &fault{file: filepath.Base(file), name: line[3:], base: base})
		case strings.HasPrefix(line, "=> "):
			cases[last].want = append(cases[last].want, line)
		case last < 0:
			header = append(header, line)
		case line != "":
			cases[last].edits = append(cases[last].edits, line)
		}
	}
	return header, cases
}

// message makes the message of a case, and gives the values that must not come back.
func (f *fault) message(t *testing.T) (message []byte, values []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(testdata, f.base))
	if err != nil {
		t.Fatal(err)
	}
	root, err := parseDocument(text)
	if err != nil {
		t.Fatal(err)
	}
	version := soap.V12
	var whole []string
	for _, line := range f.edits {
		switch verb, _, _ := strings.Cut(line, " "); verb {
		case "soap":
			version = soap.V11
		case "text", "bytes":
			whole = append(whole, line)
		default:
			if err := root.edit(line); err != nil {
				t.Fatalf("%s, %s: %v", f.file, f.name, err)
			}
		}
	}
	for _, leaf := range root.leaves() {
		values = append(values, strings.TrimSpace(leaf.text))
	}
	message = soap.AppendEnvelope(nil, version, []byte(root.String()))
	for _, line := range whole {
		message = f.rewrite(t, line, message)
	}
	return message, values
}

// rewrite does the changes of a whole message.
func (f *fault) rewrite(t *testing.T, line string, message []byte) []byte {
	t.Helper()
	verb, rest, _ := strings.Cut(line, " ")
	first, err := strconv.QuotedPrefix(rest)
	if err != nil {
		t.Fatalf("%s, %s: %v", f.file, f.name, err)
	}
	from, _ := strconv.Unquote(first)
	if verb == "bytes" {
		return []byte(from)
	}
	to, err := strconv.Unquote(strings.TrimSpace(rest[len(first):]))
	if err != nil || !strings.Contains(string(message), from) {
		t.Fatalf("%s, %s: no %q, or %v", f.file, f.name, from, err)
	}
	return []byte(strings.ReplaceAll(string(message), from, to))
}

// TestFaultsAreToldOnceAndInWords judges testdata/faults. Its README tells the form.
func TestFaultsAreToldOnceAndInWords(t *testing.T) {
	t.Parallel()
	j := newJudge(t)
	files, err := filepath.Glob(filepath.Join(testdata, "faults", "*.faults"))
	if err != nil || len(files) == 0 {
		t.Fatal("no cases")
	}
	total := 0
	for _, file := range files {
		header, cases := readFaults(t, file)
		total += len(cases)
		for _, c := range cases {
			message, values := c.message(t)
			refusal := j.judge(t, message)
			got := j.told(refusal)
			if refusal != nil {
				noValueIn(t, j, c.file+", "+c.name, refusal, append(values, "MARK7", "MARK8"))
			}
			if *update {
				c.want = got
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s, %s (-want +got):\n%s", c.file, c.name, diff)
			}
		}
		if *update {
			rewriteFaults(t, file, header, cases)
		}
	}
	if total < 200 {
		t.Errorf("only %d cases", total)
	}
}

// noValueIn fails the test if the answer repeats one of the values, or a sentence does not fit the
// contract. What the hub says of its own accord, whatever the message, is no value.
func noValueIn(t *testing.T, j *judge, name string, refusal *hub.Error, values []string) {
	t.Helper()
	answer := string(gateway.FaultMessage(soap.V12, "https://hub", uuid.Max, noon(), refusal))
	for _, v := range refusal.Public {
		text := j.speaker.Say(v)
		for _, sentence := range []string{text.IT, text.EN} {
			if n := len([]rune(sentence)); n == 0 || n > 256 || strings.Contains(sentence, "{") {
				t.Errorf("%s: %d characters: %s", name, n, sentence)
			}
		}
		for _, own := range []string{v.Form, v.About, v.Path, v.Next} {
			values = slices.DeleteFunc(values, func(value string) bool { return strings.Contains(own, value) })
		}
	}
	for _, value := range values {
		if len(value) > 4 && strings.Contains(answer, value) {
			t.Errorf("%s: the answer holds %q", name, value)
		}
	}
}

func rewriteFaults(t *testing.T, file string, header []string, cases []*fault) {
	t.Helper()
	var b strings.Builder
	b.WriteString(strings.TrimRight(strings.Join(header, "\n"), "\n") + "\n")
	for _, c := range cases {
		b.WriteString("\n== " + c.name + "\n" + strings.Join(slices.Concat(c.edits, c.want), "\n") + "\n")
	}
	if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}
