//go:build e2e

package hubtest_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/casefile"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// dryRun makes a VerificaEventoRichiesta of an InviaEventoRichiesta.
func dryRun(document string) []byte {
	return []byte(strings.NewReplacer("InviaEventoRichiesta", "VerificaEventoRichiesta").Replace(document))
}

// found are findings in a comparable form, whatever the request was called.
func found(findings []hubtest.Finding) []string {
	all := make([]string, len(findings))
	for i, f := range findings {
		all[i] = fmt.Sprintf("%s %s %s %d", f.Codice, f.Rilevanza, strings.Replace(f.Posizione, "/Verifica", "/Invia", 1), f.Riga)
	}
	return all
}

// TestE2EDryRunSaysWhatSendingSays over a random life of some cases: whatever verificaEvento says of
// an event, inviaEvento says the same a moment later. In the end the state of every case is the fold
// of its events, from what stands in the database.
func TestE2EDryRunSaysWhatSendingSays(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	sender := h.Sender("SDS-FI")
	var documents []string
	for _, file := range samples(t) {
		if strings.Contains(file, "01-scuola") {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			documents = append(documents, string(text))
		}
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	outcomes, codes := map[string]int{}, map[string]int{}
	var sent []string
	for step := range 240 {
		document := drawDocument(random, documents, sent, step)
		before := mustSend(t, sender, soap.V12, dryRun(document))
		after := mustSend(t, sender, soap.V12, []byte(document))
		if before.Report == nil {
			t.Fatalf("no report: %s", before.Body)
		}
		var outcome string
		var findings []hubtest.Finding
		if after.Receipt != nil {
			outcome, findings = after.Receipt.Esito, after.Receipt.Avvisi
			sent = append(sent, document)
		} else {
			outcome, findings = "RIFIUTATO", after.Fault.Findings
		}
		if diff := cmp.Diff(found(before.Report.Findings), found(findings)); diff != "" || before.Report.Expected != outcome {
			t.Fatalf("step %d: verificaEvento %s, inviaEvento %s (-verifica +invia)\n%s", step, before.Report.Expected, outcome, diff)
		}
		outcomes[outcome]++
		for _, f := range findings {
			codes[f.Codice]++
		}
	}
	t.Log(outcomes, codes)
	for _, outcome := range []string{"ACCETTATO", "ACCETTATO_CON_AVVISI", "DUPLICATO", "RIFIUTATO"} {
		if outcomes[outcome] == 0 {
			t.Errorf("no event was %s", outcome)
		}
	}
	checkStates(t, h)
}

// drawDocument is one of the samples in one of three cases, often the next one, else anything.
func drawDocument(random *rand.Rand, documents, sent []string, step int) string {
	if len(sent) > 0 && random.IntN(8) == 0 {
		again := sent[random.IntN(len(sent))]
		texts := map[string]string{"IdMessaggio": uuid.NewString()}
		if random.IntN(3) == 0 {
			texts["ProgressivoCartella"] = "77" // other content under the same id
		}
		return rewrite(again, texts)
	}
	file := random.IntN(3)
	document := documents[min(random.IntN(len(documents)), step/4)]
	texts := map[string]string{
		"IdMessaggio": uuid.NewString(), "IdEvento": uuid.NewString(), "IdCartella": "CASO-" + strconv.Itoa(file),
		"CodiceFiscale": hubtest.Child(file).Code(), "ProgressivoCartella": strconv.Itoa(1 + random.IntN(12+step/12)),
		"DataNascita": "2012-03-15", "Sesso": "M",
	}
	if random.IntN(2) == 0 {
		next := 1
		for _, s := range sent {
			if number, _ := strconv.Atoi(textOf(s, "ProgressivoCartella")); textOf(s, "IdCartella") == texts["IdCartella"] {
				next = max(next, number+1)
			}
		}
		texts["ProgressivoCartella"] = strconv.Itoa(next)
	}
	if random.IntN(12) == 0 {
		texts["CodiceFiscale"] = hubtest.Child(9).Code()
	}
	if random.IntN(12) == 0 {
		texts["DataApertura"] = "2023-01-02"
	}
	if len(sent) > 0 && strings.Contains(document, "IdEventoRiferito") {
		of := sent[random.IntN(len(sent))]
		texts["IdEventoRiferito"] = textOf(of, "IdEvento")
		if random.IntN(2) == 0 {
			texts["IdCartella"], texts["CodiceFiscale"] = textOf(of, "IdCartella"), textOf(of, "CodiceFiscale")
		}
	}
	// The invented children's codes name a place that is none.
	return rewrite(regexp.MustCompile("<LuogoNascita>.*</LuogoNascita>").ReplaceAllString(document, ""), texts)
}

// textOf is the text of the first element of a name.
func textOf(document, name string) string {
	_, rest, _ := strings.Cut(document, "<"+name+">")
	text, _, _ := strings.Cut(rest, "<")
	return text
}

// checkStates holds the stored state of every case against the fold of its stored events.
func checkStates(t *testing.T, h *hubtest.Hub) {
	t.Helper()
	db := h.Superuser()
	rows, err := db.Query(t.Context(), `
SELECT c.id, c.state, c.status, c.incongruent, e.event_id, e.operation, e.type, coalesce(e.refers_to, e.event_id),
  e.sequence, e.position, e.facts
FROM hub.case_file c JOIN hub.event e ON e.case_id = c.id ORDER BY c.id`)
	if err != nil {
		t.Fatal(err)
	}
	states, histories := map[uuid.UUID][]byte{}, map[uuid.UUID][]casefile.Event{}
	for rows.Next() {
		var id uuid.UUID
		var state, facts []byte
		var status, incongruent int32
		var e casefile.Event
		if err := rows.Scan(&id, &state, &status, &incongruent, &e.ID, &e.Operation, &e.Type, &e.RefersTo, &e.Sequence, &e.Position, &facts); err != nil {
			t.Fatal(err)
		}
		if e.Facts, err = casefile.ParseFacts(facts); err != nil {
			t.Fatal(err)
		}
		if read, err := casefile.ParseState(state); err != nil || int32(read.Status) != status || read.Incongruent != incongruent {
			t.Errorf("case %s: state %+v beside status %d and %d incongruent: %v", id, read, status, incongruent, err)
		}
		states[id], histories[id] = state, append(histories[id], e)
	}
	if err := rows.Err(); err != nil || len(states) == 0 {
		t.Fatalf("%d cases: %v", len(states), err)
	}
	for id, state := range states {
		if folded := casefile.Fold(histories[id]); !slices.Equal(folded.Bytes(), state) {
			read, _ := casefile.ParseState(state)
			t.Errorf("case %s of %d events: stored %+v, folded %+v", id, len(histories[id]), read, folded)
		}
	}
	t.Logf("%d cases", len(states))
}

// at SDS-PI's neighbour, which uses the same product.
const neighbour = "ZONA-VALDARNO"

// childAt is an event of a child at an ente: the case's opening, a report, or a change of its
// identifier.
func childAt(ente string, child hubtest.Child, sequence int, code, former string) string {
	document := string(child.Event(uuid.New(), sequence))
	zone := "Z15"
	if ente == neighbour {
		zone = "Z08"
	}
	document = rewrite(document, map[string]string{"CodiceEnte": ente, "CodiceZona": zone})
	own := "<CodiceFiscale>" + child.Code() + "</CodiceFiscale>"
	document = strings.Replace(document, own, "<CodiceFiscale>"+code+"</CodiceFiscale>", 1)
	if former != "" {
		document = rewrite(document, map[string]string{"TipoEvento": "VARIAZIONE_ANAGRAFICA"})
		detail := regexp.MustCompile(`(?s)<Dettaglio>.*</Dettaglio>`)
		document = detail.ReplaceAllString(document, "<Dettaglio><VariazioneAnagrafica><DataVariazione>2024-02-01</DataVariazione>"+
			"<Motivo>RETTIFICA_DATI</Motivo><IdentificativoPrecedente><CodiceFiscale>"+former+"</CodiceFiscale></IdentificativoPrecedente>"+
			"</VariazioneAnagrafica></Dettaglio>")
	}
	return document
}

// volatile is what differs between two answers to two events of the same kind.
var volatile = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{32,64}|\d{4}-\d\d-\d\dT[0-9:.]+Z`)

// masked is an answer without what differs by chance.
func masked(a *hubtest.Answer) string {
	header := http.Header{}
	for name, values := range a.Header {
		if name != "Date" {
			header[name] = values
		}
	}
	return fmt.Sprint(a.Status, header, volatile.ReplaceAllString(string(a.Body), "*"))
}

// TestE2EAnswersSayNothingOfOtherEnti sends the same events twice to one ente: once about children
// whom another ente knows, in every way that matters, and once about children whom nobody knows. All
// answers are equal.
func TestE2EAnswersSayNothingOfOtherEnti(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	elsewhere, here := h.Sender(hubtest.ChildEnte), h.Sender(neighbour)
	accepted := func(s hubtest.Sender, document string) {
		t.Helper()
		if a := mustSend(t, s, soap.V12, []byte(document)); a.Receipt == nil {
			t.Fatalf("%s", a.Body)
		}
	}
	// Children 1 to 3 are known elsewhere; 3 was renamed there from 4.
	for n := range 3 {
		c := hubtest.Child(n + 1)
		accepted(elsewhere, childAt(hubtest.ChildEnte, c, 1, c.Code(), ""))
	}
	four := hubtest.Child(4)
	accepted(elsewhere, childAt(hubtest.ChildEnte, four, 1, four.Code(), ""))
	accepted(elsewhere, childAt(hubtest.ChildEnte, four, 2, hubtest.Child(3).Code(), four.Code()))

	// One was given another code there.
	one := hubtest.Child(1)
	accepted(elsewhere, childAt(hubtest.ChildEnte, one, 2, hubtest.Child(5).Code(), one.Code()))

	known := func(n int) string { return hubtest.Child(n).Code() }
	unknown := func(n int) string { return hubtest.Child(100 + n).Code() }
	type step struct {
		name     string
		document func(child hubtest.Child, code func(int) string) string
		want     string
	}
	steps := []step{
		{"opening", func(c hubtest.Child, code func(int) string) string { return childAt(neighbour, c, 1, code(1), "") }, "ACCETTATO"},
		{"report", func(c hubtest.Child, code func(int) string) string { return childAt(neighbour, c, 2, code(1), "") }, "ACCETTATO"},
		{"another child", func(c hubtest.Child, code func(int) string) string { return childAt(neighbour, c, 3, code(2), "") }, "SINBA_325"},
		{"renamed from another", func(c hubtest.Child, code func(int) string) string { return childAt(neighbour, c, 3, code(2), code(3)) }, "SINBA_325"},
		{"as it is named elsewhere", func(c hubtest.Child, code func(int) string) string { return childAt(neighbour, c, 3, code(5), "") }, "SINBA_325"},
		{"renamed from its name elsewhere", func(c hubtest.Child, code func(int) string) string { return childAt(neighbour, c, 3, code(6), code(5)) }, "SINBA_325"},
		{"renamed", func(c hubtest.Child, code func(int) string) string { return childAt(neighbour, c, 3, code(2), code(1)) }, "ACCETTATO"},
		{"with the new code", func(c hubtest.Child, code func(int) string) string { return childAt(neighbour, c, 4, code(2), "") }, "ACCETTATO"},
		{"with the old code", func(c hubtest.Child, code func(int) string) string { return childAt(neighbour, c, 5, code(1), "") }, "ACCETTATO"},
		{"renamed again", func(c hubtest.Child, code func(int) string) string { return childAt(neighbour, c, 6, code(3), code(2)) }, "ACCETTATO"},
		{"with the newest code", func(c hubtest.Child, code func(int) string) string { return childAt(neighbour, c, 7, code(3), "") }, "ACCETTATO"},
		{"the opening again", func(c hubtest.Child, code func(int) string) string { return childAt(neighbour, c, 8, code(3), "x") }, "SINBA_203"},
	}
	for _, s := range steps {
		var answers [2][2]string
		for i, code := range []func(int) string{known, unknown} {
			child := hubtest.Child(1 + 100*i)
			document := s.document(child, code)
			dry := mustSend(t, here, soap.V12, dryRun(document))
			wet := mustSend(t, here, soap.V12, []byte(document))
			answers[i] = [2]string{masked(dry), masked(wet)}
			if !strings.Contains(string(wet.Body), ">"+s.want+"<") {
				t.Errorf("%s: not %s: %s", s.name, s.want, wet.Body)
			}
		}
		if diff := cmp.Diff(answers[1], answers[0]); diff != "" {
			t.Errorf("%s: the answer tells that another ente knows the child (-unknown +known)\n%s", s.name, diff)
		}
	}
	// What the other ente is answered has not changed either, and each child kept its pseudonym there.
	for n := range 3 {
		c := hubtest.Child(n + 1)
		accepted(elsewhere, childAt(hubtest.ChildEnte, c, 9, c.Code(), ""))
	}
	checkStates(t, h)
	// The privacy officer learns of each pair: 4 and 3 elsewhere, then the child known as 1, 2 and 3 here.
	checkJoins(t, h, 3)
	separate(t, h, known(4))
}

// separate undoes the join of a child that was joined to one other, under a ticket, and waits until SISS is told.
func separate(t *testing.T, h *hubtest.Hub, identifier string) {
	t.Helper()
	code, said, err := findChild(t, h, identifier)
	if err != nil {
		t.Fatal(said)
	}
	people := h.People(t)
	if out, err := people.Try("subject", "unjoin", code); err == nil || !strings.Contains(out, "two people") {
		t.Errorf("separated without a ticket: %s", out)
	}
	if out, err := people.Try("subject", "unjoin", "--ticket", people.Ticket("prova", "erase", "nation", code)); err == nil || !strings.Contains(out, "something else") {
		t.Errorf("separated under a ticket to erase: %s", out)
	}
	people.Verb("subject", "unjoin", "--ticket", people.Ticket("congiunzione errata", "unjoin", "nation", code))
	db := h.Superuser()
	if n := hubtest.Number(t, db, "SELECT count(*) FROM vault.subject_join WHERE undone_at IS NOT NULL"); n != 1 {
		t.Errorf("%d joins are undone", n)
	}
	entries := entriesOf(t, db, journal.SubjectsSeparated)
	if len(entries) != 1 || entries[0].Actor != hubtest.Anna || entries[0].Count != 1 {
		t.Errorf("%+v", entries)
	}
	hubtest.Await(t, othersPatience, "SISS is told of the separation", func() bool {
		return hubtest.Number(t, db, "SELECT count(*) FROM hub.code_message WHERE motive = 'SEPARAZIONE' AND state = 'told'") == 1
	})
	checkNoSubjects(t, db)
}
