package client_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sinbahub/sinbahub/pkg/client"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// exchange is a recorded request with its answer (testdata/exchanges/README.md).
type exchange struct {
	name      string
	operation string
	version   soap.Version
	document  []byte // what stands in the request's Body
	status    int
	headers   []string
	answer    string
}

// exchanges reads all of them and fills their placeholders.
func exchanges(t *testing.T) []exchange {
	t.Helper()
	root := filepath.Join("..", "..", "testdata", "exchanges")
	files, err := filepath.Glob(filepath.Join(root, "*", "*.txtar"))
	if err != nil || len(files) < 25 {
		t.Fatalf("%d exchanges: %v", len(files), err)
	}
	var all []exchange
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		parts := regexp.MustCompile(`(?m)^-- (\S+) --\n`).Split(string(text), -1)
		names := regexp.MustCompile(`(?m)^-- (\S+) --\n`).FindAllStringSubmatch(string(text), -1)
		for i, name := range names {
			step, isAnswer := strings.CutSuffix(name[1], "-answer")
			if !isAnswer {
				continue
			}
			e := exchange{name: filepath.Base(filepath.Dir(file)) + "/" + filepath.Base(file) + "/" + step, version: soap.V11}
			headers, body, _ := strings.Cut(parts[i], "\n\n") // the request stands before its answer
			if strings.Contains(headers, "soap+xml") {
				e.version = soap.V12
			}
			e.operation = regexp.MustCompile(`v1/(\w+)"`).FindStringSubmatch(headers)[1]
			_, body, _ = strings.Cut(body, "<soap:Body>\n")
			body, _, _ = strings.Cut(body, "</soap:Body>")
			e.document = []byte(body)
			e.fill(t, parts[i+1])
			all = append(all, e)
		}
	}
	return all
}

// fill reads the recorded answer.
func (e *exchange) fill(t *testing.T, recorded string) {
	t.Helper()
	head, body, _ := strings.Cut(recorded, "\n\n")
	lines := strings.Split(head, "\n")
	e.status, _ = strconv.Atoi(lines[0][:3])
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ": ")
		e.headers = append(e.headers, name, value)
	}
	// In a lot each receipt proves the event of its own position.
	events := regexp.MustCompile(`(?s)<Evento(/>|[ >].*?</Evento>)`).FindAll(e.document, -1)
	body = regexp.MustCompile(`(?s)<EsitoEvento>\s*<Posizione>\d+.*?</EsitoEvento>`).ReplaceAllStringFunc(body, func(outcome string) string {
		position, _ := strconv.Atoi(regexp.MustCompile(`<Posizione>(\d+)`).FindStringSubmatch(outcome)[1])
		return digest.ReplaceAllString(outcome, proofOf(events[position-1]))
	})
	body = strings.NewReplacer("{TIME}", "2024-04-12T08:50:04.162Z", "{HUB}", "https://hub.example", "{VERSION}", "v1", "{TODAY}", "2024-04-12").Replace(body)
	for pattern, value := range map[string]string{
		`\{SALT-\d+\}`: salt, digest.String(): proofOf(e.document), `\{PROTOCOL-\d+\}`: "SISS-ABCDEFGHIJKLMNOP",
		`\{UUID-(\d+)\}`: "01900000-0000-7000-8000-0000000000aa",
	} {
		body = regexp.MustCompile(pattern).ReplaceAllString(body, value)
	}
	e.answer = body
	if strings.Contains(e.answer, "{") {
		t.Fatalf("%s: a placeholder is left: %s", e.name, e.answer)
	}
}

// digest stands for an ImprontaMessaggio.
var digest = regexp.MustCompile(`\{DIGEST-\d+\}`)

// proofOf is the ImprontaMessaggio of a document under the tests' salt.
func proofOf(document []byte) string {
	bits, _ := hex.DecodeString(salt)
	sum := sha256.Sum256(append(bits, client.ContentOf(document)...))
	return hex.EncodeToString(sum[:])
}

// TestGoldenExchangesAreReadAsRecorded sends what stands in each recorded request and reads each
// recorded answer. Requests that no client of this package can make (a header of their own, another
// action) are sent as their document only.
func TestGoldenExchangesAreReadAsRecorded(t *testing.T) {
	t.Parallel()
	seen := map[string]int{}
	for _, e := range exchanges(t) {
		seen[e.operation]++
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			h := play(t, says(e.status, e.answer, e.headers...))
			c, at := h.connect(t, func(cfg *client.Config) { cfg.Version = e.version })
			got, err := e.call(t, t.Context(), c)
			if len(at.pauses) != 0 {
				t.Error("it was repeated")
			}
			if r := h.arrived(); len(r) != 1 || !strings.Contains(r[0].body, string(bytes.TrimSpace(e.sent(t)))) {
				t.Errorf("sent %v", r)
			}
			if e.status != 200 {
				e.checkFault(t, err)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			// Every leaf of the recorded answer is somewhere in what was read.
			for _, leaf := range regexp.MustCompile(`<(\w+)>([^<]+)</`).FindAllStringSubmatch(e.answer, -1) {
				value := leaf[2]
				if strings.HasPrefix(leaf[1], "DataOra") {
					value = "2024-04-12 08:50:04.162 +0000 UTC"
				}
				var text string
				if err := xml.Unmarshal([]byte("<a>"+value+"</a>"), &text); err != nil {
					t.Fatal(err)
				}
				if !strings.Contains(got, text) {
					t.Errorf("%s %s is not in %s", leaf[1], text, got)
				}
			}
		})
	}
	if len(seen) != 6 {
		t.Errorf("operations %v, want all six", seen)
	}
}

// sent is what the client must have sent for the exchange: the document, or the question it makes.
func (e *exchange) sent(t *testing.T) []byte {
	t.Helper()
	switch e.operation {
	case "inviaEvento", "verificaEvento", "inviaLotto":
		return e.document
	}
	return []byte(`<` + strings.ToUpper(e.operation[:1]) + e.operation[1:] + `Richiesta xmlns="urn:sinba:eventi:v1">`)
}

// call makes the exchange's call and prints all that was read.
func (e *exchange) call(t *testing.T, ctx context.Context, c *client.Client) (string, error) { //nolint:revive // t is first in tests
	t.Helper()
	part := func(name string) string {
		var text struct {
			Value string `xml:",chardata"`
		}
		found := regexp.MustCompile(`<(?:\w+:)?` + name + `>[^<]*</(?:\w+:)?` + name + `>`).Find(e.document)
		if found == nil {
			return ""
		}
		if err := xml.Unmarshal(regexp.MustCompile(`(</?)\w+:`).ReplaceAll(found, []byte("$1")), &text); err != nil {
			t.Fatal(err)
		}
		return text.Value
	}
	switch e.operation {
	case "inviaEvento":
		r, err := c.InviaEvento(ctx, e.document)
		return fmt.Sprintf("%+v", r), err
	case "verificaEvento":
		r, err := c.VerificaEvento(ctx, e.document)
		return fmt.Sprintf("%+v", r), err
	case "inviaLotto":
		r, err := c.InviaLotto(ctx, e.document)
		if err != nil {
			return "", err
		}
		text := []string{r.IDLotto}
		for _, o := range r.Esiti {
			text = append(text, fmt.Sprintf("%+v %+v %+v", o, o.Ricevuta, o.Errore))
		}
		return strings.Join(text, " "), nil
	case "statoEvento":
		r, err := c.StatoEvento(ctx, client.StateQuery{CodiceEnte: part("CodiceEnte"), IDEvento: part("IdEvento"), IDRicevuta: part("IdRicevuta")})
		return fmt.Sprintf("%+v", r), err
	case "echo":
		r, err := c.Echo(ctx, part("Messaggio"))
		return fmt.Sprintf("%+v", r), err
	case "riepilogoEventi":
		r, err := c.RiepilogoEventi(ctx, client.SummaryQuery{CodiceEnte: part("CodiceEnte")})
		return fmt.Sprintf("%+v", r), err
	}
	t.Fatalf("operation %s", e.operation)
	return "", nil
}

// checkFault compares codes, places and lines with the recorded text.
func (e *exchange) checkFault(t *testing.T, err error) {
	t.Helper()
	fault, ok := errors.AsType[*client.FaultError](err)
	if !ok {
		t.Fatalf("got %v", err)
	}
	all := func(name string) []string {
		var values []string
		for _, m := range regexp.MustCompile(`<`+name+`>([^<]+)<`).FindAllStringSubmatch(e.answer, -1) {
			values = append(values, m[1])
		}
		return values
	}
	var codes, places, lines []string
	for _, v := range fault.Anomalie {
		codes, places = append(codes, v.Codice), append(places, v.Posizione)
		if v.Riga > 0 {
			lines = append(lines, strconv.Itoa(v.Riga))
		}
		if v.Descrizione == "" || v.DescrizioneEN == "" || v.Rilevanza == "" || v.Riferimento == "" {
			t.Errorf("not whole: %+v", v)
		}
	}
	if fault.Status != e.status || !slices.Equal(codes, all("Codice")) || !slices.Equal(places, all("Posizione")) || !slices.Equal(lines, all("Riga")) {
		t.Errorf("got %+v", fault)
	}
	if !strings.Contains(err.Error(), codes[0]) {
		t.Errorf("error %v", err)
	}
}
