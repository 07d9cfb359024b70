//go:build e2e

package hubtest_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// TestE2EDuplicateContract is the contract's section "Duplicates" through the door.
//
//nolint:tparallel,paralleltest // its parts share one hub, whose deliveries are counted at the end
func TestE2EDuplicateContract(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	db := h.Superuser()
	t.Run("receipts prove the content", func(t *testing.T) { checkReceiptsOfSamples(t, h) })
	t.Run("honest retries", func(t *testing.T) { checkHonestRetries(t, h) })
	t.Run("storm", func(t *testing.T) { checkStorm(t, h) })
	t.Run("races", func(t *testing.T) { checkRaces(t, h, db) })
	t.Run("a new child's events at once", func(t *testing.T) { checkNewChild(t, h, db) })
	t.Run("after a restart", func(t *testing.T) { checkRestart(t, h, db) })
	hubtest.AwaitDelivered(t, db, patience)
	transmissions := map[string]int{}
	for _, r := range h.Received() {
		transmissions[r.ID]++
	}
	if events := hubtest.Number(t, db, "SELECT count(*) FROM hub.event"); int(events) != len(transmissions) {
		t.Errorf("%d events, %d transmissions", events, len(transmissions))
	}
	for id, n := range transmissions {
		if n != 1 {
			t.Errorf("transmission %s arrived %d times", id, n)
		}
	}
}

// checkReceiptsOfSamples recomputes ImprontaMessaggio of every sample as a vendor would.
func checkReceiptsOfSamples(t *testing.T, h *hubtest.Hub) {
	t.Helper()
	for _, file := range samples(t) {
		document, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		a := mustSend(t, h.Sender(enteOf(t, file)), soap.V12, document)
		if a.Receipt == nil {
			t.Fatalf("%s: %s", filepath.Base(file), a.Body)
		}
		if proof := proofOf(t, a.Receipt.Sale, document); proof != a.Receipt.Impronta {
			t.Errorf("%s: ImprontaMessaggio %s, the document gives %s", filepath.Base(file), a.Receipt.Impronta, proof)
		}
	}
}

// bigDocument is an event of every kind of value: days, instants, decimals, integers, ids, and
// containers that repeat. It belongs to nobody else.
func bigDocument(t *testing.T) *element {
	t.Helper()
	document, err := os.ReadFile(sampleOf(t, "SDS-GR", "CARICAMENTO_INIZIALE"))
	if err != nil {
		t.Fatal(err)
	}
	id := uuid.NewString()
	return parseDocument(t, document).with(func(path, text string) string {
		switch path {
		case "/Testata/IdEvento":
			return id
		case "/Cartella/IdCartella":
			return "GR-" + id[:8]
		case "/Dettaglio/Fotografia/Intervento[2]/ImportoMensile":
			return "1250.50"
		}
		return text
	})
}

// at changes one leaf; the test fails if there is none.
func (e *element) at(t *testing.T, path string, change func(string) string) *element {
	t.Helper()
	found := false
	changed := e.with(func(p, text string) string {
		if p == path {
			found = true
			return change(text)
		}
		return text
	})
	if !found {
		t.Fatalf("no leaf %s", path)
	}
	return changed
}

func to(text string) func(string) string { return func(string) string { return text } }

// checkHonestRetries sends one event in every way an honest product may repeat it, and in ways
// that only look alike.
func checkHonestRetries(t *testing.T, h *hubtest.Hub) {
	t.Helper()
	s := h.Sender("SDS-GR")
	first := bigDocument(t)
	plain := style{attributes: `versione="1.0"`}
	a := mustSend(t, s, soap.V11, first.render(plain))
	if a.Receipt == nil || a.Receipt.Esito != "ACCETTATO" {
		t.Fatalf("%s", a.Body)
	}
	want := receiptOf(t, a.Body)
	if proof := proofOf(t, a.Receipt.Sale, first.render(plain)); proof != a.Receipt.Impronta {
		t.Errorf("ImprontaMessaggio %s, want %s", a.Receipt.Impronta, proof)
	}
	for name, document := range honest(t, first) {
		for _, v := range []soap.Version{soap.V11, soap.V12} {
			again := mustSend(t, s, v, document)
			if again.Receipt == nil || again.Receipt.Esito != "DUPLICATO" {
				t.Errorf("%s: not taken for a repetition: %s", name, again.Body)
				continue
			}
			if diff := cmp.Diff(want, receiptOf(t, again.Body)); diff != "" {
				t.Errorf("%s: not the first receipt:\n%s", name, diff)
			}
			if sent := leafOf(t, document, "/Testata/IdMessaggio"); !strings.EqualFold(sent, again.Receipt.IDMessaggio) {
				t.Errorf("%s: IdMessaggio %s, sent was %s", name, again.Receipt.IDMessaggio, sent)
			}
		}
		report := mustSend(t, s, soap.V12, bytes.ReplaceAll(document, []byte("InviaEventoRichiesta"), []byte("VerificaEventoRichiesta")))
		if report.Report == nil || !report.Report.Conforme || report.Report.Expected != "DUPLICATO" {
			t.Errorf("%s: verificaEvento: %s", name, report.Body)
		}
	}
	for name, document := range other(t, first) {
		conflict := mustSend(t, s, soap.V12, document)
		if conflict.Fault == nil || !slices.Equal(hubtest.Codes(conflict.Fault.Findings), []string{"SINBA_110"}) {
			t.Errorf("%s: other content is not refused: %s", name, conflict.Body)
		}
		report := mustSend(t, s, soap.V12, bytes.ReplaceAll(document, []byte("InviaEventoRichiesta"), []byte("VerificaEventoRichiesta")))
		if report.Report == nil || report.Report.Conforme || !slices.Equal(hubtest.Codes(report.Report.Findings), []string{"SINBA_110"}) {
			t.Errorf("%s: verificaEvento: %s", name, report.Body)
		}
	}
}

// honest are documents with the content of the first.
func honest(t *testing.T, first *element) map[string][]byte {
	t.Helper()
	plain := style{attributes: `versione="1.0"`}
	zoned := regexp.MustCompile(`^\d{4}-\d{2}-\d{2}$`)
	everything := first.with(func(path, text string) string {
		switch {
		case path == "/Testata/IdMessaggio":
			return uuid.NewString()
		case path == "/Testata/DataOraInvio":
			return time.Now().UTC().Format(time.RFC3339Nano)
		case path == "/Testata/IdEvento":
			return strings.ToUpper(text)
		case path == "/Mittente/Applicativo/Versione":
			return "9.9-beta"
		case zoned.MatchString(text):
			return text + "+02:00"
		case strings.HasSuffix(path, "/ImportoMensile"):
			return "01250.5"
		}
		return text
	})
	loud := style{prefix: "ns2", indent: true, remarks: true, entities: true}
	return map[string][]byte{
		"the same bytes":          first.render(plain),
		"another IdMessaggio":     first.at(t, "/Testata/IdMessaggio", to(uuid.NewString())).render(plain),
		"another DataOraInvio":    first.at(t, "/Testata/DataOraInvio", to("2023-04-19T07:00:00Z")).render(plain),
		"another prefix":          first.render(style{prefix: "sin", attributes: `versione="1.0"`}),
		"indentation":             first.render(style{indent: true, attributes: `versione="1.0"`}),
		"comments between":        first.render(style{remarks: true, attributes: `versione="1.0"`}),
		"references":              first.render(style{entities: true, attributes: `versione="1.0"`}),
		"no version":              first.render(style{}),
		"schema's place":          first.render(style{attributes: `xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="urn:sinba:eventi:v1 x.xsd"`}),
		"zone of a day":           first.at(t, "/Cartella/DataApertura", to("2019-09-10+14:00")).render(plain),
		"day in UTC":              first.at(t, "/Cartella/DataApertura", to("2019-09-10Z")).render(plain),
		"instant in another zone": first.at(t, "/Testata/DataOraEvento", to("2023-03-31T11:00:00.000-05:00")).render(plain),
		"amount without zero":     first.at(t, "/Dettaglio/Fotografia/Intervento[2]/ImportoMensile", to("1250.5")).render(plain),
		"amount with zeroes":      first.at(t, "/Dettaglio/Fotografia/Intervento[2]/ImportoMensile", to("001250.50")).render(plain),
		"hours with a sign":       first.at(t, "/Dettaglio/Fotografia/Intervento/OreServizioMensile", to("+012")).render(plain),
		"id in upper case":        first.at(t, "/Testata/IdEvento", strings.ToUpper).render(plain),
		"another version of it":   first.at(t, "/Mittente/Applicativo/Versione", to("4.0")).render(plain),
		"another product":         first.at(t, "/Mittente/Applicativo/Prodotto", to("Sili")).at(t, "/Mittente/Applicativo/Fornitore", to("Eurosoftware")).render(plain),
		"all of it":               everything.render(loud),
	}
}

// other are documents that look like the first and are not.
func other(t *testing.T, first *element) map[string][]byte {
	t.Helper()
	plain := style{attributes: `versione="1.0"`}
	photo := func(e *element) *element { return e.children[4].children[0] }
	swapped, shorter := first.clone(), first.clone()
	at := slices.IndexFunc(photo(swapped).children, func(c *element) bool { return c.name == "Intervento" })
	c := photo(swapped).children
	c[at], c[at+1] = c[at+1], c[at]
	photo(shorter).children = slices.Delete(photo(shorter).children, at+1, at+2)
	return map[string][]byte{
		"a cent more":                   first.at(t, "/Dettaglio/Fotografia/Intervento[2]/ImportoMensile", to("1250.51")).render(plain),
		"another day":                   first.at(t, "/Cartella/DataApertura", to("2019-09-11")).render(plain),
		"a second later":                first.at(t, "/Testata/DataOraEvento", to("2023-03-31T18:00:01+02:00")).render(plain),
		"another zone, another instant": first.at(t, "/Testata/DataOraEvento", to("2023-03-31T18:00:00+01:00")).render(plain),
		"another first name":            first.at(t, "/Soggetto/Anagrafica/Nome", to("Dilini")).render(plain),
		"letters of another case":       first.at(t, "/Mittente/IdOperatoreLocale", strings.ToLower).render(plain),
		"another case":                  first.at(t, "/Cartella/IdCartella", func(s string) string { return s + "x" }).render(plain),
		"a blank more":                  first.at(t, "/Mittente/Ente/Denominazione", func(s string) string { return " " + s }).render(plain),
		"another order":                 swapped.render(plain),
		"one leaf group less":           shorter.render(plain),
	}
}

// receiptOf is the answer's receipt but what belongs to the attempt.
func receiptOf(t *testing.T, answer []byte) string {
	t.Helper()
	receipt := regexp.MustCompile(`<InviaEventoRisposta.*</InviaEventoRisposta>`).Find(answer)
	if receipt == nil {
		t.Fatalf("no receipt: %s", answer)
	}
	return regexp.MustCompile(`<(Esito|IdMessaggio)>[^<]*</`).ReplaceAllString(string(receipt), "<$1></")
}

// leafOf reads a leaf of a document.
func leafOf(t *testing.T, document []byte, path string) (text string) {
	t.Helper()
	parseDocument(t, document).walk("", func(p string, leaf *element) {
		if p == path {
			text = leaf.text
		}
	})
	return text
}
