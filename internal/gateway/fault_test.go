package gateway_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/gateway"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/pkg/soap"
	"github.com/sinbahub/sinbahub/pkg/xmlschema"
	"github.com/sinbahub/sinbahub/xsd"
)

func TestEveryKindHasATreatment(t *testing.T) {
	t.Parallel()
	table := gateway.Treatments()
	labels := map[string]hub.Kind{}
	for _, kind := range hub.Kinds() {
		treatment, ok := table[kind]
		if !ok {
			t.Errorf("kind %d has no treatment", kind)
			continue
		}
		if treatment.Fault == 0 || treatment.Label == "" || http.StatusText(treatment.Status) == "" {
			t.Errorf("kind %d: %+v", kind, treatment)
		}
		if other, taken := labels[treatment.Label]; taken {
			t.Errorf("kinds %d and %d share the label %q", kind, other, treatment.Label)
		}
		labels[treatment.Label] = kind
	}
	// Contract: any refusal of a message is 500; these have a status of their own.
	want := map[hub.Kind]int{
		hub.BadRequest: 400, hub.RateLimited: 429,
		hub.Unauthenticated: 401, hub.TooLarge: 413, hub.UnsupportedMedia: 415, hub.Overloaded: 503, hub.Unavailable: 503,
	}
	for _, kind := range hub.Kinds() {
		status := want[kind]
		if status == 0 {
			status = 500
		}
		if table[kind].Status != status {
			t.Errorf("kind %d answers %d, want %d", kind, table[kind].Status, status)
		}
	}
}

// detailOf cuts the typed detail out of a fault message.
func detailOf(t *testing.T, message []byte) []byte {
	t.Helper()
	from, to := bytes.Index(message, []byte("<ErroreSinba")), bytes.Index(message, []byte("</ErroreSinba>"))
	if from < 0 || to < 0 {
		t.Fatalf("no detail in %s", message)
	}
	return message[from : to+len("</ErroreSinba>")]
}

func contractSchema(t *testing.T) *xmlschema.Schema {
	t.Helper()
	text, err := xsd.FS.ReadFile(xsd.SinbaEventi)
	if err != nil {
		t.Fatal(err)
	}
	schema, err := xmlschema.Compile(xsd.SinbaEventi, map[string][]byte{xsd.SinbaEventi: text})
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func TestFaultDetailOfEveryCodeConformsToTheContract(t *testing.T) {
	t.Parallel()
	schema := contractSchema(t)
	at := time.Date(2026, 6, 1, 10, 0, 0, 0, time.UTC)
	for _, code := range hub.Codes() {
		for _, v := range []soap.Version{soap.V11, soap.V12} {
			refusal := &hub.Error{Kind: hub.Invalid, Public: []hub.Violation{
				{Code: code.Code, Severity: hub.Grave, Rule: "BR-01", Path: "/InviaEventoRichiesta/Testata/*[3]", Line: 7},
				{Code: code.Code, Severity: hub.Lieve, Path: "/"},
			}}
			message := gateway.FaultMessage(v, "http://127.0.0.1:8080", uuid.New(), at, refusal)
			verdict, err := schema.Check(detailOf(t, message), xmlschema.Bare)
			if err != nil || verdict.Status != xmlschema.Valid {
				t.Errorf("%s in SOAP %s: %+v %v\n%s", code.Code, v, verdict, err, message)
			}
		}
	}
}

func TestFaultListsAHundredViolationsAndTellsHowManyThereWere(t *testing.T) {
	t.Parallel()
	refusal := &hub.Error{Kind: hub.Invalid, Total: 4321}
	for i := range gateway.MaxTold + 30 {
		refusal.Public = append(refusal.Public, hub.Violation{Code: hub.CodeSchemaPattern, Severity: hub.Grave, Path: fmt.Sprintf("/a[%d]", i+1)})
	}
	var got struct {
		Total    int      `xml:"AnomalieTotali"`
		Position []string `xml:"Anomalia>Posizione"`
	}
	message := gateway.FaultMessage(soap.V12, "", uuid.New(), time.Now(), refusal)
	if err := xml.Unmarshal(detailOf(t, message), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Position) != 100 || got.Total != 4321 || got.Position[99] != "/a[100]" {
		t.Errorf("%d listed of %d, the last at %s", len(got.Position), got.Total, got.Position[len(got.Position)-1])
	}
}

func TestAnyOtherErrorTellsNothingButOurOwnTrouble(t *testing.T) {
	t.Parallel()
	foreign := errors.New("pq: Key (cf)=(BNCLCU12C15D612V) exists")
	if cause := gateway.CauseOf(foreign); strings.Contains(cause, "BNCLCU") || !strings.Contains(cause, "errorString") {
		t.Errorf("the log would show %q", cause)
	}
	message := gateway.FaultMessage(soap.V11, "", uuid.New(), time.Now(), foreign)
	if bytes.Contains(message, []byte("BNCLCU")) || !bytes.Contains(message, []byte("SINBA_500")) {
		t.Errorf("%s", message)
	}
}

func TestBodyIsReadWholeOrRefused(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name   string
		body   io.Reader
		length int64
		want   hub.Code
	}{
		{"known length", strings.NewReader("abc"), 3, ""},
		{"unknown length", strings.NewReader("abc"), -1, ""},
		{"shorter than said", strings.NewReader("ab"), 3, hub.CodeMalformed},
		{"over the limit", http.MaxBytesReader(nil, io.NopCloser(strings.NewReader("abcd")), 3), -1, hub.CodeBodyTooLarge},
		{"broken line", io.MultiReader(strings.NewReader("a"), brokenReader{}), -1, hub.CodeMalformed},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			text, err := gateway.ReadBody(c.body, c.length, func(int64) *hub.Error { return nil })
			var refusal *hub.Error
			switch {
			case c.want == "" && (err != nil || string(text) != "abc"):
				t.Errorf("got %q %v", text, err)
			case c.want != "" && (!errors.As(err, &refusal) || refusal.Public[0].Code != c.want):
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) {
	return 0, errors.New("connection reset by BNCLCU12C15D612V")
}
