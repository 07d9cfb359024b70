//go:build smoke

package hubtest_test

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// hostileEvents are events of a child that the hub must not get to know: some are wrong in one
// place, some in as many as fit.
func hostileEvents(t *testing.T) []hostile {
	t.Helper()
	opening := string(hubtest.Child(3).Event(uuid.New(), 1))
	edit := func(name, code string, pairs ...string) hostile {
		text := strings.NewReplacer(pairs...).Replace(opening)
		if text == opening {
			t.Fatalf("%s: the template does not hold %s", name, pairs[0])
		}
		return flood(name, text, code)
	}
	const xsi = ` xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"`
	cases := []hostile{
		edit("a huge leaf", "SINBA_205", "Società della", strings.Repeat("xqzvkj ", 9_000)),
		edit("a leaf of another type", "SINBA_299", "<CanaleAccesso>", "<CanaleAccesso"+xsi+` xsi:type="xqzvkj">`),
		edit("a leaf of a type of nobody", "SINBA_299", "<CanaleAccesso>", `<CanaleAccesso`+xsi+` xmlns:x="urn:xqzvkj" xsi:type="x:xqzvkj">`),
		edit("a root of another type", "SINBA_299", "<InviaEventoRichiesta", "<InviaEventoRichiesta"+xsi+` xsi:type="EchoType"`),
		edit("a nil leaf", "SINBA_299", "<CanaleAccesso>", "<CanaleAccesso"+xsi+` xsi:nil="true">`),
		edit("types to the bottom", "SINBA_210", "SPORTELLO", nested(50, xsi+` xsi:type="xqzvkj"`, "xqzvkj")),
		edit("an attachment", "SINBA_210", "SPORTELLO", `<xop:Include xmlns:xop="http://www.w3.org/2004/08/xop/include" href="cid:xqzvkj"/>`),
		edit("an inclusion", "SINBA_210", "SPORTELLO", `<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" parse="text" href="file:///etc/passwd"/>`),
		edit("a comment in a code", "SINBA_210", "<CodiceFiscale>", "<CodiceFiscale><!--xqzvkj-->"),
		edit("an instruction in a code", "SINBA_210", "<CodiceFiscale>", "<CodiceFiscale><?xqzvkj?>"),
		edit("a remote call's encoding", "SINBA_208", "<InviaEventoRichiesta", `<InviaEventoRichiesta soap:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"`),
		edit("a schema of its own", "SINBA_204", "<InviaEventoRichiesta", `<InviaEventoRichiesta`+xsi+` xsi:schemaLocation="urn:sinba:eventi:v1 http://127.0.0.1:9/xqzvkj.xsd"`, "SPORTELLO", "xqzvkj"),
	}
	for _, value := range []string{"A", "0", " ", "1.", "2020-", "0-", "a b"} {
		value = strings.Repeat(value, (limitText-10)/len(value))
		for leaf, code := range map[string]string{
			"CodiceFiscale": "SINBA_203", "IdMessaggio": "SINBA_203", "CodiceEnte": "SINBA_203", "Denominazione": "SINBA_205",
			"DataApertura": "SINBA_206", "DataOraEvento": "SINBA_206", "TipoEvento": "SINBA_204",
		} {
			text := regexp.MustCompile("<"+leaf+">[^<]*").ReplaceAllString(opening, "<"+leaf+">"+value)
			cases = append(cases, flood(leaf+" of "+value[:3], text, code))
		}
	}
	dry := strings.ReplaceAll(opening, "InviaEvento", "VerificaEvento")
	sections := flood("sections everywhere", regexp.MustCompile(">([^<>\n]+)<").ReplaceAllString(dry, "><![CDATA[$1]]><"), "")
	sections.status = http.StatusOK
	return append(append(cases, sections), manyViolations(t, room)...)
}

// manyViolations are events of about a size with as many faults as fit.
func manyViolations(t *testing.T, size int) []hostile {
	t.Helper()
	photo := backlog(t)
	const list = "<Intervento>"
	begin, end, _ := strings.Cut(photo, list)
	with := func(name, piece string, n int, code string, each int) hostile {
		n = min(n, (size-len(photo))/len(piece))
		c := flood(name, begin+strings.Repeat(piece, n)+list+end, code)
		c.total = n * each
		return c
	}
	attributes := "<Intervento" + repeated(limitAttributes, ` xqzvkj%d=""`) + "/>"
	cases := []hostile{
		with("101 violations", "<Intervento/>", 101, "SINBA_201", 1),
		with("most violations", "<Intervento/>", 150_000, "SINBA_201", 1),
		with("most wrong attributes", attributes, 10_000, "SINBA_208", limitAttributes+1),
		with("most wrong values", "<Intervento><IdIntervento>?</IdIntervento><Fase/></Intervento>", 50_000, "SINBA_201", 4),
	}
	dry := cases[1]
	dry.name, dry.status, dry.code, dry.total = "most violations, only asked", http.StatusOK, "", 0
	dry.body = []byte(strings.ReplaceAll(string(dry.body), "InviaEvento", "VerificaEvento"))
	return append(cases, dry)
}

// backlog is the event of testdata with a list that may be of any length, without line breaks.
func backlog(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(hubtest.Root(), "testdata/events/06-arretrato/06-arretrato-01-*.xml"))
	if err != nil || len(files) != 1 {
		t.Fatalf("the event with a list of any length: %v %v", files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(soap.TrimDeclaration(text)), "\n", "")
}
