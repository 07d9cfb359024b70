//go:build e2e

package hubtest_test

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/klauspost/compress/s2"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// lotDocument puts events, each a document of its own, into an InviaLottoRichiesta.
func lotDocument(events ...string) []byte {
	var lot strings.Builder
	lot.WriteString(`<InviaLottoRichiesta xmlns="urn:sinba:eventi:v1"><IdLotto>` + uuid.NewString() + `</IdLotto>`)
	for _, event := range events {
		lot.WriteString(asEvento(event))
	}
	return []byte(lot.String() + "</InviaLottoRichiesta>")
}

// asEvento makes a document the event of a lot.
func asEvento(event string) string {
	return strings.ReplaceAll(string(soap.TrimDeclaration([]byte(event))), "InviaEventoRichiesta", "Evento")
}

// planned is an event to be sent, by what it says and not by whom it is about: the same plan is
// carried out twice, with other children and other ids.
type planned struct {
	child, id, sequence int
	change              string
}

// changes are what may be wrong with an event, or other than in the first attempt.
func changes() []string {
	return []string{"", "", "", "", "", "", "content", "schema", "two of the schema", "rule", "ente", "warning", "version", "blanks", "nothing"}
}

// plan draws a lot: few children, and now and then an id that was there before.
func plan(r *rand.Rand) []planned {
	all := make([]planned, 1+r.IntN(14))
	for i := range all {
		all[i] = planned{child: r.IntN(3), id: i, sequence: 1 + r.IntN(3), change: changes()[r.IntN(len(changes()))]}
		if i > 0 && r.IntN(4) == 0 {
			all[i] = all[r.IntN(i)]
			if r.IntN(3) == 0 {
				all[i].change = changes()[r.IntN(len(changes()))]
			}
		}
	}
	return all
}

// world is one of the two in which a plan is carried out.
type world struct {
	children int
	ids      map[int]uuid.UUID
}

// document writes a planned event.
func (w world) document(p planned) string {
	if w.ids[p.id] == uuid.Nil {
		w.ids[p.id] = uuid.New()
	}
	event := string(hubtest.Child(w.children+p.child).Event(w.ids[p.id], p.sequence))
	replace := func(pattern, with string) {
		changed := regexp.MustCompile(pattern).ReplaceAllString(event, with)
		if changed == event {
			panic("not in the document: " + pattern)
		}
		event = changed
	}
	switch p.change {
	case "content":
		replace("<ProgressivoCartella>[0-9]+", "<ProgressivoCartella>77")
	case "schema":
		replace("<TipoOperazione>I", "<TipoOperazione>Z")
	case "two of the schema":
		replace("<ProgressivoCartella>[0-9]+", "<ProgressivoCartella>0")
		replace("<Cartella>", "<Cartella><Altra/>")
	case "rule":
		replace("<IdAssistitoLocale>[^<]*", "<IdAssistitoLocale>RSSMRA85T10A562S")
	case "ente":
		replace("<CodiceEnte>SDS-PI", "<CodiceEnte>SDS-FI")
	case "warning":
		replace("</Identificativo>", "</Identificativo><Anagrafica><Cognome>Prova</Cognome><Nome>Uno</Nome><Sesso>M</Sesso><DataNascita>2012-03-14</DataNascita><CodiceCittadinanza>380</CodiceCittadinanza>"+
			"<Residenza><CodiceNazione>380</CodiceNazione></Residenza></Anagrafica>")
	case "version":
		replace(`versione="1.0"`, `versione="1.9"`)
	case "blanks":
		replace("<IdCartella>", "<IdCartella> ")
	case "nothing":
		event = `<InviaEventoRichiesta xmlns="urn:sinba:eventi:v1"/>`
	}
	return event
}

// outcome is what a sender was told of one event, without what differs from world to world.
func outcome(receipt *hubtest.Receipt, total int, findings []hubtest.Finding) string {
	var told []string
	if receipt != nil {
		told = append(told, receipt.Esito)
		for _, part := range []string{receipt.IDRicevuta, receipt.IDMessaggio, receipt.IDEvento, receipt.Received, receipt.Impronta, receipt.Sale, receipt.IDRegistrazione} {
			told = append(told, strconv.Itoa(len(part)))
		}
		findings = receipt.Avvisi
	} else {
		told = append(told, "refused", strconv.Itoa(total))
	}
	for _, f := range findings {
		told = append(told, fmt.Sprintf("%s %s %s %d", f.Codice, f.Rilevanza, strings.Replace(f.Posizione, "/InviaEventoRichiesta", "/Evento", 1), f.Riga))
	}
	return strings.Join(told, " | ")
}

// TestE2ELotIsItsEventsOneByOne: a lot gives the outcomes, receipts, stored events and journal entries
// that its events give when they are sent alone in that order.
func TestE2ELotIsItsEventsOneByOne(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	db := h.Superuser()
	s := h.Sender(hubtest.ChildEnte)
	r := rand.New(rand.NewPCG(2026, 11))
	seen, known := map[string]int{}, map[uuid.UUID]bool{}
	for round := range 60 {
		events := plan(r)
		alone := world{children: 3000 + 10*round, ids: map[int]uuid.UUID{}}
		together := world{children: 3005 + 10*round, ids: map[int]uuid.UUID{}}
		var want, got []string
		var receipts [2][]*hubtest.Receipt
		for _, p := range events {
			a, err := s.Send(t.Context(), soap.V12, []byte(alone.document(p)))
			if err != nil || a.Receipt == nil && a.Fault == nil {
				t.Fatalf("alone: %v %+v", err, a)
			}
			if a.Fault != nil {
				want = append(want, outcome(nil, a.Fault.Total, a.Fault.Findings))
			} else {
				want = append(want, outcome(a.Receipt, 0, nil))
			}
			receipts[0] = append(receipts[0], a.Receipt)
		}
		journalAlone := news(t, db, known)
		var documents []string
		for _, p := range events {
			documents = append(documents, together.document(p))
		}
		a, err := s.Send(t.Context(), soap.V12, lotDocument(documents...))
		if err != nil || a.Lot == nil || len(a.Lot.Esiti) != len(events) {
			t.Fatalf("lot: %v %s", err, a.Body)
		}
		for i, o := range a.Lot.Esiti {
			if o.Position != i+1 || (o.Receipt == nil) == (o.Refusal == nil) {
				t.Fatalf("position %d: %+v", i+1, o)
			}
			if id := together.ids[events[i].id].String(); o.IDEvento != id && events[i].change != "nothing" {
				t.Errorf("position %d: IdEvento %q, want %s", i+1, o.IDEvento, id)
			}
			if o.Refusal != nil {
				got = append(got, outcome(nil, o.Refusal.Total, o.Refusal.Findings))
			} else {
				got = append(got, outcome(o.Receipt, 0, nil))
			}
			receipts[1] = append(receipts[1], o.Receipt)
			seen[strings.Fields(got[i])[0]]++
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%+v\n%s", events, diff)
		}
		if diff := cmp.Diff(storedOf(t, db, receipts[0]), storedOf(t, db, receipts[1])); diff != "" {
			t.Fatalf("%+v: stored\n%s", events, diff)
		}
		if diff := cmp.Diff(journalled(journalAlone, "inviaEvento"), journalled(news(t, db, known), "inviaLotto")); diff != "" {
			t.Fatalf("%+v: journal\n%s", events, diff)
		}
	}
	for _, kind := range []string{"ACCETTATO", "ACCETTATO_CON_AVVISI", "DUPLICATO", "refused"} {
		if seen[kind] < 10 {
			t.Errorf("%s only %d times", kind, seen[kind])
		}
	}
	t.Log(seen)
}

// storedOf tells what the store has of events, with cases, subjects and codes by the order in which
// they come.
func storedOf(t *testing.T, db *pgx.Conn, receipts []*hubtest.Receipt) []string {
	t.Helper()
	names := map[string]string{}
	name := func(kind, id string) string {
		if names[id] == "" {
			names[id] = fmt.Sprintf("%s-%d", kind, len(names))
		}
		return names[id]
	}
	codes := regexp.MustCompile(`\b[A-Z2-7]{20}\b|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
	var all []string
	for _, receipt := range receipts {
		if receipt == nil {
			continue
		}
		var file, subject uuid.UUID
		var kind, operation string
		var sequence, position int32
		var body []byte
		err := db.QueryRow(t.Context(), `SELECT case_id, subject_id, type::text, operation::text, sequence, position, body FROM hub.event WHERE id = $1`,
			receipt.IDRicevuta).Scan(&file, &subject, &kind, &operation, &sequence, &position, &body)
		if err != nil {
			t.Fatal(err)
		}
		text, err := s2.Decode(nil, body)
		if err != nil {
			t.Fatal(err)
		}
		regional := codes.ReplaceAllStringFunc(string(text), func(code string) string { return name("code", code) })
		regional = regexp.MustCompile(`<DataOra(Evento|Invio)>[^<]*`).ReplaceAllString(regional, "")
		all = append(all, fmt.Sprint(name("receipt", receipt.IDRicevuta), name("case", file.String()), name("subject", subject.String()), kind, operation, sequence, position, regional))
	}
	return all
}

// news are the entries that are not known yet; they are then.
func news(t *testing.T, db *pgx.Conn, known map[uuid.UUID]bool) (entries []journal.Entry) {
	t.Helper()
	for _, e := range hubtest.MessageEntries(t, db) {
		if !known[e.ID] {
			known[e.ID] = true
			entries = append(entries, e)
		}
	}
	return entries
}

// journalled are the entries of acceptances and refusals by kind, outcome and codes: a lot's refusals
// are written together.
func journalled(entries []journal.Entry, operation string) []string {
	var all []string
	for _, e := range entries {
		if e.Kind != journal.AttemptSettled {
			all = append(all, fmt.Sprint(e.Kind, e.Participant, e.Ente, strings.Replace(e.Outcome, operation, "", 1), e.Codes, e.Event != uuid.Nil, e.Message != uuid.Nil))
		}
	}
	slices.Sort(all)
	return all
}
