//go:build e2e || smoke

package hubtest_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sinbahub/sinbahub/internal/hubtest"
)

// clientLine is what a client prints of one step: the answer or the typed fault as its stack
// decoded it, or the HTTP status if the stack shows no more.
type clientLine struct {
	Step      string        `json:"step"`
	Operation string        `json:"operation"`
	Answer    *clientAnswer `json:"answer"`
	Fault     *clientFault  `json:"fault"`
	Status    int           `json:"status"`
}

// clientAnswer has the fields of every operation's answer.
type clientAnswer struct {
	clientReceipt

	Messaggio      string          `json:"Messaggio"`
	Disponibile    bool            `json:"Disponibile"`
	VersioneSchema string          `json:"VersioneSchema"`
	Conforme       bool            `json:"Conforme"`
	EsitoPrevisto  string          `json:"EsitoPrevisto"`
	Stato          string          `json:"Stato"`
	Avviso         []clientFinding `json:"Avviso"`
	Anomalia       []clientFinding `json:"Anomalia"`
	Totale         []clientTotal   `json:"Totale"`
	VoceEvento     []clientEvent   `json:"VoceEvento"`
	IDLotto        string          `json:"IdLotto"`
	EsitoEvento    []clientOutcome `json:"EsitoEvento"`
}

// clientOutcome is EsitoEventoType.
type clientOutcome struct {
	Posizione int           `json:"Posizione"`
	IDEvento  string        `json:"IdEvento"`
	Ricevuta  *clientAnswer `json:"Ricevuta"`
	Errore    *clientFault  `json:"Errore"`
}

// clientTotal is what is compared of TotaleGiornoType, clientEvent of VoceEventoType.
type (
	clientTotal struct {
		TipoEvento string `json:"TipoEvento"`
		Numero     int    `json:"Numero"`
		Impronta   string `json:"Impronta"`
	}
	clientEvent struct {
		IDEvento   string `json:"IdEvento"`
		IDRicevuta string `json:"IdRicevuta"`
		TipoEvento string `json:"TipoEvento"`
		Stato      string `json:"Stato"`
	}
)

// clientReceipt is what an answer has of RicevutaEventoType and, the two ids, of StatoEventoType.
type clientReceipt struct {
	IDRicevuta        string    `json:"IdRicevuta"`
	IDMessaggio       string    `json:"IdMessaggio"`
	IDEvento          string    `json:"IdEvento"`
	Esito             string    `json:"Esito"`
	DataOraRicezione  time.Time `json:"DataOraRicezione"`
	ImprontaMessaggio string    `json:"ImprontaMessaggio"`
	SaleImpronta      string    `json:"SaleImpronta"`
	IDRegistrazione   string    `json:"IdRegistrazione"`
}

// clientFault is ErroreSinbaType.
type clientFault struct {
	IDTransazione  string          `json:"IdTransazione"`
	DataOra        time.Time       `json:"DataOra"`
	AnomalieTotali int             `json:"AnomalieTotali"`
	Anomalia       []clientFinding `json:"Anomalia"`
}

// clientFinding is AnomaliaType.
type clientFinding struct {
	Codice        string `json:"Codice"`
	Rilevanza     string `json:"Rilevanza"`
	Posizione     string `json:"Posizione"`
	Riga          int    `json:"Riga"`
	Descrizione   string `json:"Descrizione"`
	DescrizioneEN string `json:"DescrizioneEN"`
	Regola        string `json:"Regola"`
	Riferimento   string `json:"Riferimento"`
}

// clientStep is what is expected of a step: a check of its answer, or the violations of its fault,
// each as "Codice Regola Posizione".
type clientStep struct {
	step, operation string
	answer          func(t *testing.T, a *clientAnswer)
	fault           []string
	// status may stand for the fault: with any but 200 and 500 several stacks show nothing else.
	status int
}

// schemaMistakes are those that every client makes of the schema, on purpose; facets only, for not
// every stack can write an element that its types do not have.
func schemaMistakes(root string) []string {
	return []string{
		"SINBA_203 cvc-pattern-valid /" + root + "/Testata/IdMessaggio",
		"SINBA_207 cvc-minInclusive-valid /" + root + "/Testata/ProgressivoCartella",
		"SINBA_205 cvc-maxLength-valid /" + root + "/Mittente/Ente/Denominazione",
		"SINBA_203 cvc-pattern-valid /" + root + "/Mittente/Ente/CodiceZona",
		"SINBA_203 cvc-pattern-valid /" + root + "/Soggetto/Anagrafica/Residenza/CAP",
		"SINBA_207 cvc-minInclusive-valid /" + root + "/Dettaglio/Fotografia/Intervento[2]/ImportoMensile",
	}
}

// clientSteps are the steps of every client, in their order.
func clientSteps() []clientStep {
	var first clientReceipt
	return []clientStep{
		{step: "echo", operation: "echo", answer: func(t *testing.T, a *clientAnswer) {
			t.Helper()
			if a.Messaggio != "Però, l'eco c'è: €" || !a.Disponibile || a.VersioneSchema != "1.0" {
				t.Errorf("echo: %+v", a)
			}
		}},
		{step: "verify", operation: "verificaEvento", answer: func(t *testing.T, a *clientAnswer) {
			t.Helper()
			if !a.Conforme || a.EsitoPrevisto != "ACCETTATO" || len(a.Anomalia) > 0 {
				t.Errorf("report: %+v", a)
			}
		}},
		{step: "send", operation: "inviaEvento", answer: func(t *testing.T, a *clientAnswer) {
			t.Helper()
			first = a.clientReceipt
			checkReceipt(t, a, "ACCETTATO", nil)
			if proof := proofOf(t, a.SaleImpronta, meantDocument(t, a)); proof != a.ImprontaMessaggio {
				t.Errorf("what arrived is not what the client was to build: ImprontaMessaggio %s, want %s", a.ImprontaMessaggio, proof)
			}
		}},
		{step: "retry", operation: "inviaEvento", answer: func(t *testing.T, a *clientAnswer) {
			t.Helper()
			checkReceipt(t, a, "DUPLICATO", nil)
			again := a.clientReceipt
			if again.IDMessaggio == first.IDMessaggio {
				t.Error("the retry got the first attempt's IdMessaggio")
			}
			again.IDMessaggio, again.Esito = first.IDMessaggio, first.Esito
			if diff := cmp.Diff(first, again); diff != "" {
				t.Errorf("not the first receipt: %s", diff)
			}
		}},
		{step: "state-by-receipt", operation: "statoEvento", answer: func(t *testing.T, a *clientAnswer) { t.Helper(); checkState(t, a, first) }},
		{step: "state-by-event", operation: "statoEvento", answer: func(t *testing.T, a *clientAnswer) { t.Helper(); checkState(t, a, first) }},
		{step: "other-content", operation: "inviaEvento", fault: []string{"SINBA_110  /InviaEventoRichiesta/Testata/IdEvento"}},
		{step: "warned", operation: "inviaEvento", answer: func(t *testing.T, a *clientAnswer) {
			t.Helper()
			checkReceipt(t, a, "ACCETTATO_CON_AVVISI", []string{"SINBA_303 BR-03 /InviaEventoRichiesta/Soggetto/Anagrafica/DataNascita"})
		}},
		{step: "verify-schema", operation: "verificaEvento", answer: func(t *testing.T, a *clientAnswer) {
			t.Helper()
			if a.Conforme || a.EsitoPrevisto != "RIFIUTATO" {
				t.Errorf("report: %+v", a)
			}
			checkFindings(t, a.Anomalia, "GRAVE", schemaMistakes("VerificaEventoRichiesta"))
		}},
		{step: "schema", operation: "inviaEvento", fault: schemaMistakes("InviaEventoRichiesta")},
		{step: "rules", operation: "inviaEvento", fault: []string{
			"SINBA_320 BR-20 /InviaEventoRichiesta/Soggetto/IdAssistitoLocale",
			"SINBA_303 BR-03 /InviaEventoRichiesta/Soggetto/Identificativo/CodiceFiscale",
			"SINBA_306 BR-06 /InviaEventoRichiesta/Cartella/DataApertura",
			"SINBA_301 BR-01 /InviaEventoRichiesta/Dettaglio/Fotografia",
		}},
		{step: "lot", operation: "inviaLotto", answer: func(t *testing.T, a *clientAnswer) {
			t.Helper()
			if a.IDLotto == "" || len(a.EsitoEvento) != 2 || a.EsitoEvento[0].Ricevuta == nil || a.EsitoEvento[1].Errore == nil ||
				a.EsitoEvento[0].Posizione != 1 || a.EsitoEvento[1].Posizione != 2 || a.EsitoEvento[1].IDEvento == "" {
				for _, o := range a.EsitoEvento {
					t.Errorf("an outcome of a lot: %+v, its error %+v", o, o.Errore)
				}
				return
			}
			checkReceipt(t, a.EsitoEvento[0].Ricevuta, "ACCETTATO", nil)
			checkFindings(t, a.EsitoEvento[1].Errore.Anomalia, "GRAVE", []string{"SINBA_303 BR-03 /Evento/Soggetto/Identificativo/CodiceFiscale"})
		}},
		{step: "summary", operation: "riepilogoEventi", answer: func(t *testing.T, a *clientAnswer) { t.Helper(); checkSummary(t, a, first) }},
		{step: "wrong-password", operation: "echo", fault: []string{"SINBA_101  /"}, status: 401},
	}
}

// checkSteps compares what a client printed with what is expected of every stack.
func checkSteps(t *testing.T, out []byte) {
	t.Helper()
	var lines []clientLine
	scanner := bufio.NewScanner(bytes.NewReader(out))
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		var line clientLine
		if err := json.Unmarshal(scanner.Bytes(), &line); err != nil {
			t.Fatalf("%v: %s", err, scanner.Bytes())
		}
		lines = append(lines, line)
	}
	steps := clientSteps()
	if len(lines) != len(steps) {
		t.Fatalf("%d steps, want %d:\n%s", len(lines), len(steps), out)
	}
	for i, want := range steps {
		line := lines[i]
		switch {
		case line.Step != want.step || line.Operation != want.operation:
			t.Errorf("step %d is %s %s, want %s %s", i, line.Step, line.Operation, want.step, want.operation)
		case want.answer != nil && line.Answer != nil:
			want.answer(t, line.Answer)
		case want.fault != nil && line.Fault != nil:
			f := line.Fault
			if f.IDTransazione == "" || f.DataOra.IsZero() || f.AnomalieTotali != len(want.fault) {
				t.Errorf("%s: fault not whole: %+v", want.step, f)
			}
			checkFindings(t, f.Anomalia, "GRAVE", want.fault)
		case want.status == 0 || line.Status != want.status:
			t.Errorf("%s: unexpected kind of answer: %+v", want.step, line)
		}
	}
}

// checkReceipt looks whether a receipt is whole.
func checkReceipt(t *testing.T, a *clientAnswer, outcome string, warnings []string) {
	t.Helper()
	if a.Esito != outcome || a.IDRicevuta == "" || a.IDEvento == "" || a.IDRegistrazione == "" || a.DataOraRicezione.IsZero() ||
		len(a.ImprontaMessaggio) != 64 || len(a.SaleImpronta) != 32 {
		t.Errorf("want a whole receipt with %s: %+v", outcome, a.clientReceipt)
	}
	checkFindings(t, a.Avviso, "LIEVE", warnings)
}

func checkState(t *testing.T, a *clientAnswer, receipt clientReceipt) {
	t.Helper()
	if a.IDRicevuta != receipt.IDRicevuta || a.IDEvento != receipt.IDEvento ||
		!slices.Contains([]string{"MEMORIZZATO", "IN_INOLTRO", "CONFERMATO"}, a.Stato) {
		t.Errorf("state %+v of receipt %+v", a, receipt)
	}
}

// checkSummary looks whether a summary has the event of a receipt, and as many events as it counts.
func checkSummary(t *testing.T, a *clientAnswer, receipt clientReceipt) {
	t.Helper()
	counted, listed := map[string]int{}, map[string]int{}
	for _, total := range a.Totale {
		counted[total.TipoEvento] += total.Numero
		if len(total.Impronta) != 64 {
			t.Errorf("digest %q", total.Impronta)
		}
	}
	found := false
	for _, e := range a.VoceEvento {
		listed[e.TipoEvento]++
		found = found || e.IDEvento == receipt.IDEvento && e.IDRicevuta == receipt.IDRicevuta &&
			slices.Contains([]string{"MEMORIZZATO", "IN_INOLTRO", "CONFERMATO"}, e.Stato)
	}
	if diff := cmp.Diff(counted, listed); diff != "" || !found {
		t.Errorf("the summary does not have the event (%v), or counts otherwise: %s", !found, diff)
	}
}

// checkFindings looks whether all violations were read, and each whole: those of the schema have a
// line.
func checkFindings(t *testing.T, got []clientFinding, severity string, want []string) {
	t.Helper()
	var told []string
	for _, f := range got {
		told = append(told, strings.Join([]string{f.Codice, f.Regola, f.Posizione}, " "))
		if f.Rilevanza != severity || f.Descrizione == "" || f.DescrizioneEN == "" || !strings.HasSuffix(f.Riferimento, "/docs/codici#"+f.Codice) {
			t.Errorf("violation not whole: %+v", f)
		}
		if strings.HasPrefix(f.Regola, "cvc-") != (f.Riga > 0) {
			t.Errorf("a violation of the schema has a line, no other has: %+v", f)
		}
	}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("violations: %s", diff)
	}
}

// meantDocument is the event that every client is to build, with the ids of a receipt.
func meantDocument(t *testing.T, a *clientAnswer) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(hubtest.Root(), "internal", "hubtest", "testdata", "fotografia.xml"))
	if err != nil {
		t.Fatal(err)
	}
	return []byte(strings.NewReplacer("@MESSAGGIO@", a.IDMessaggio, "@EVENTO@", a.IDEvento,
		"@CARTELLA@", "2024/"+a.IDEvento[:8], "@ORA@", a.DataOraRicezione.Format(time.RFC3339)).Replace(string(text)))
}
