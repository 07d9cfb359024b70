//go:build e2e

package hubtest_test

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// othersPatience is far above the ten seconds between two looks.
const othersPatience = 2 * time.Minute

// entriesOf are the journal's entries of a kind.
func entriesOf(t *testing.T, db *pgx.Conn, kind journal.Kind) []journal.Entry {
	t.Helper()
	var all []journal.Entry
	for _, e := range hubtest.JournalEntries(t, db) {
		if e.Kind == kind {
			all = append(all, e)
		}
	}
	return all
}

// checkJoins waits until what the events said of joined children is in the journal, and wants an entry
// for each join: with the message that said so and without the subjects.
func checkJoins(t *testing.T, h *hubtest.Hub, want int) {
	t.Helper()
	db := h.Superuser()
	hubtest.Await(t, othersPatience, "every join is in the journal and counted", func() bool {
		return hubtest.Number(t, db, "SELECT (SELECT count(*) FROM vault.subject_claim) + (SELECT count(*) FROM vault.subject_join WHERE journaled_at IS NULL)") == 0 &&
			h.Samples()["hub_subjects_joined_total"] >= float64(want)
	})
	if n := hubtest.Number(t, db, "SELECT count(*) FROM vault.subject_join"); n != int64(want) {
		t.Errorf("%d joins, want %d", n, want)
	}
	entries := entriesOf(t, db, journal.SubjectsJoined)
	if len(entries) != want {
		t.Errorf("%d entries of %d joins", len(entries), want)
	}
	for _, e := range entries {
		pair := hubtest.Number(t, db, "SELECT count(*) FROM vault.subject_join WHERE entry_id = $1 AND message_id = $2", e.ID, e.Message)
		origin := hubtest.Number(t, db, "SELECT count(*) FROM hub.event WHERE id = $1 AND event_id = $2 AND ente_id = $3 AND participant_id = $4 AND type = 'VARIAZIONE_ANAGRAFICA'",
			e.Message, e.Event, e.Ente, e.Participant)
		if pair != 1 || origin != 1 {
			t.Errorf("entry %v leads to %d joins and %d events", e, pair, origin)
		}
	}
	if counted := h.Samples()["hub_subjects_joined_total"]; counted != float64(want) {
		t.Errorf("%v joins are counted, want %d", counted, want)
	}
	// SISS knows each pair of codes as one child's.
	hubtest.Await(t, othersPatience, "SISS is told of every join", func() bool {
		return hubtest.Number(t, db, "SELECT count(*) FROM hub.code_join j JOIN hub.code_message m ON m.id = j.message_id WHERE m.state = 'told' AND m.motive = 'UNIONE'") == int64(want)
	})
	if text, err := os.ReadFile(h.Run.SissReceivedFile + ".codici"); err != nil || strings.Count(string(text), `"precedente"`) != want {
		t.Errorf("%v: not %d pairs: %s", err, want, text)
	}
	checkNoSubjects(t, db)
}

// checkNoSubjects wants no subject's id in any journal entry.
func checkNoSubjects(t *testing.T, db *pgx.Conn) {
	t.Helper()
	rows, err := db.Query(t.Context(), "SELECT id FROM vault.subject")
	if err != nil {
		t.Fatal(err)
	}
	subjects, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil || len(subjects) == 0 {
		t.Fatalf("%d subjects: %v", len(subjects), err)
	}
	for _, e := range hubtest.JournalEntries(t, db) {
		body := e.Bytes()
		for _, s := range subjects {
			if bytes.Contains(body, s[:]) {
				t.Errorf("an entry of kind %d holds a subject's id", e.Kind)
			}
		}
	}
}

// tells is an event of a child at an ente with another detail than the templates'.
func tells(ente string, c hubtest.Child, sequence int, kind, detail string) string {
	document := rewrite(childAt(ente, c, max(sequence, 2), c.Code(), ""), map[string]string{
		"TipoEvento": kind, "ProgressivoCartella": strconv.Itoa(sequence),
	})
	document = regexp.MustCompile(`(?s)<Dettaglio>.*</Dettaglio>`).ReplaceAllString(document, "<Dettaglio>"+detail+"</Dettaglio>")
	if kind == "PRESA_IN_CARICO" && !strings.Contains(document, "<Anagrafica>") {
		document = strings.Replace(document, "</Identificativo>", "</Identificativo>"+bornIn2012, 1)
	}
	return document
}

// The details of a child who is taken in charge, lives in a structure of a region from a day on, moves
// out, and is adopted.
const (
	bornIn2012 = `<Anagrafica><Cognome>PV</Cognome><Nome>PR</Nome><Sesso>M</Sesso><DataNascita>2012-03-15</DataNascita>` +
		`<CodiceCittadinanza>380</CodiceCittadinanza><Residenza><CodiceNazione>380</CodiceNazione><CodiceComune>050026</CodiceComune></Residenza></Anagrafica>`
	aboutTheChild = `<DatiMinore><MinoreStranieroNoAcc>2</MinoreStranieroNoAcc><CondizioneMinore>1</CondizioneMinore><LuogoVita>1</LuogoVita>` +
		`<ScuolaFrequentata>1</ScuolaFrequentata><CondizioneLavoro>1</CondizioneLavoro><Disabilita>2</Disabilita></DatiMinore>`
	takenInCharge = `<PresaInCarico><DataPresaInCarico>2024-01-10</DataPresaInCarico><TipoPresaInCarico>SOCIALE</TipoPresaInCarico>` + aboutTheChild + `</PresaInCarico>`
	placedIn      = `<InserimentoStruttura><IdInserimento>N1</IdInserimento><Fase>%s</Fase><CodiceRegioneStruttura>%s</CodiceRegioneStruttura>` +
		`<DataIngresso>%s</DataIngresso>%s<CarattereInserimentoResidenziale>6</CarattereInserimentoResidenziale>` +
		`<FormaInserimentoResidenziale>1</FormaInserimentoResidenziale><TipoInserimentoResidenziale>2</TipoInserimentoResidenziale>%s</InserimentoStruttura>`
	adopted = `<ProvvedimentoGiudiziario><IdProvvedimento>P1</IdProvvedimento><Fase>APERTURA</Fase>` +
		`<DataProvvedimentoGiudiziario>2024-03-01</DataProvvedimentoGiudiziario><AutoritaProvvedimento>1</AutoritaProvvedimento>` +
		`<TipoProvvedimentoGiudiziario>2</TipoProvvedimentoGiudiziario></ProvvedimentoGiudiziario>`
)

// life is what one ente tells of a child, in order: from the opening to a placement and its end.
func life(ente string, c hubtest.Child, region, from string) []string {
	return []string{
		childAt(ente, c, 1, c.Code(), ""),
		tells(ente, c, 2, "PRESA_IN_CARICO", takenInCharge),
		tells(ente, c, 3, "INSERIMENTO_STRUTTURA", fmt.Sprintf(placedIn, "APERTURA", region, from, "", "")),
		childAt(ente, c, 4, c.Code(), ""),
		tells(ente, c, 5, "INSERIMENTO_STRUTTURA", fmt.Sprintf(placedIn, "CHIUSURA", region, from,
			"<DataDimissione>2024-02-20</DataDimissione>", "<EsitoInserimentoStruttura>1</EsitoInserimentoStruttura>")),
	}
}

// TestE2EOthersHistoryIsForThePrivacyOfficerOnly: one child is placed and adopted at one ente and
// placed at another one, too. Neither learns of the other: their answers are those to the same events
// about children whom only they know. The journal has an entry for each thing that the two say
// together, once.
func TestE2EOthersHistoryIsForThePrivacyOfficerOnly(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	senders := map[string]hubtest.Sender{hubtest.ChildEnte: h.Sender(hubtest.ChildEnte), neighbour: h.Sender(neighbour)}
	// send sends the same to one ente about a child whom both know, and about one whom it alone knows.
	send := func(ente string, shared, alone []string) {
		t.Helper()
		for i := range shared {
			var answers [2][2]string
			for n, document := range []string{shared[i], alone[i]} {
				dry := mustSend(t, senders[ente], soap.V12, dryRun(document))
				wet := mustSend(t, senders[ente], soap.V12, []byte(document))
				if wet.Receipt == nil {
					t.Fatalf("event %d of %s: %s", i, ente, wet.Body)
				}
				answers[n] = [2]string{masked(dry), masked(wet)}
			}
			if diff := cmp.Diff(answers[1], answers[0]); diff != "" {
				t.Errorf("event %d of %s: the answer tells that another ente knows the child (-alone +shared)\n%s", i, ente, diff)
			}
		}
	}
	both, here, elsewhere := hubtest.Child(21), hubtest.Child(22), hubtest.Child(23)
	later, laterHere, laterElsewhere := hubtest.Child(24), hubtest.Child(25), hubtest.Child(26)
	adoption := func(c hubtest.Child) string {
		return tells(hubtest.ChildEnte, c, 4, "PROVVEDIMENTO_GIUDIZIARIO", adopted)
	}
	// The child is placed and adopted elsewhere before it comes here.
	send(hubtest.ChildEnte, append(life(hubtest.ChildEnte, both, "06", "2024-01-15")[:3], adoption(both)),
		append(life(hubtest.ChildEnte, elsewhere, "06", "2024-01-15")[:3], adoption(elsewhere)))
	send(neighbour, life(neighbour, both, "07", "2024-02-01"), life(neighbour, here, "07", "2024-02-01"))
	// Another one is here when it is adopted elsewhere, in places that do not overlap.
	send(neighbour, life(neighbour, later, "07", "2024-02-01")[:3], life(neighbour, laterHere, "07", "2024-02-01")[:3])
	send(hubtest.ChildEnte, append(life(hubtest.ChildEnte, later, "07", "2024-01-15")[:3], adoption(later)),
		append(life(hubtest.ChildEnte, laterElsewhere, "07", "2024-01-15")[:3], adoption(laterElsewhere)))

	checkOthers(t, h, map[string]int{"14": 1, "22": 5})

	// Found or not, everything goes on as before.
	send(hubtest.ChildEnte, life(hubtest.ChildEnte, both, "06", "2024-01-15")[4:], life(hubtest.ChildEnte, elsewhere, "06", "2024-01-15")[4:])
	send(neighbour, life(neighbour, later, "07", "2024-02-01")[3:], life(neighbour, laterHere, "07", "2024-02-01")[3:])
	checkOthers(t, h, map[string]int{"14": 1, "22": 6})

	// A child of the neighbour's that is said to have the adopted one's code is joined to nobody, and the
	// neighbour is answered what it is for a code that nobody has.
	third, fourth := hubtest.Child(27), hubtest.Child(28)
	send(neighbour, []string{childAt(neighbour, third, 1, third.Code(), "")}, []string{childAt(neighbour, fourth, 1, fourth.Code(), "")})
	send(neighbour, []string{childAt(neighbour, third, 2, elsewhere.Code(), third.Code())}, []string{childAt(neighbour, fourth, 2, hubtest.Child(29).Code(), fourth.Code())})
	db := h.Superuser()
	hubtest.Await(t, othersPatience, "what the events said of the child was looked at", func() bool {
		return hubtest.Number(t, db, "SELECT count(*) FROM vault.subject_claim") == 0
	})
	if n := hubtest.Number(t, db, "SELECT (SELECT count(*) FROM vault.subject_join) + (SELECT count(*) FROM hub.code_join)"); n != 0 {
		t.Errorf("an adopted child was joined to another, %d rows", n)
	}

	// The neighbour gives its own case's child, adopted elsewhere, another name, and is answered as for one that was
	// not: but who comes under that name is somebody else, where the other one is the same child.
	send(neighbour, []string{childAt(neighbour, later, 6, hubtest.Child(40).Code(), later.Code())},
		[]string{childAt(neighbour, laterHere, 6, hubtest.Child(41).Code(), laterHere.Code())})
	subjects := func() int64 { return hubtest.Number(t, db, "SELECT count(DISTINCT subject_id) FROM hub.case_file") }
	before := subjects()
	send(hubtest.ChildEnte, []string{childAt(hubtest.ChildEnte, hubtest.Child(40), 1, hubtest.Child(40).Code(), "")},
		[]string{childAt(hubtest.ChildEnte, hubtest.Child(41), 1, hubtest.Child(41).Code(), "")})
	if more := subjects() - before; more != 1 {
		t.Errorf("%d new children, want the adopted one only", more)
	}
	hubtest.Await(t, othersPatience, "what was not followed is counted", func() bool { return h.Samples()["hub_subjects_frozen_total"] == 2 })
	checkStates(t, h)
}

// checkOthers waits until nothing waits to be compared, and wants as many findings of each rule:
// each in the journal, counted, between accepted events of two enti about one child, and without it.
func checkOthers(t *testing.T, h *hubtest.Hub, want map[string]int) {
	t.Helper()
	db := h.Superuser()
	hubtest.Await(t, othersPatience, "all that was found is in the journal and counted", func() bool {
		figures := h.Samples()
		return figures[`hub_cross_ente_findings_total{rule="BR-14"}`] == float64(want["14"]) &&
			figures[`hub_cross_ente_findings_total{rule="BR-22"}`] == float64(want["22"]) &&
			hubtest.Number(t, db, "SELECT count(*) FROM hub.others_check") == 0
	})
	got := map[string]int{}
	for _, e := range entriesOf(t, db, journal.OthersHistory) {
		if len(e.Codes) != 1 {
			t.Fatalf("entry of the rules %v", e.Codes)
		}
		got[strings.TrimPrefix(string(e.Codes[0]), "SINBA_3")]++
		if hubtest.Number(t, db, `SELECT count(*) FROM hub.event a JOIN hub.event b ON a.subject_id = b.subject_id AND a.ente_id <> b.ente_id
			WHERE a.id = $1 AND b.id = $2 AND a.event_id = $3 AND a.ente_id = $4 AND a.participant_id = $5`,
			e.Message, e.Other, e.Event, e.Ente, e.Participant) != 1 {
			t.Errorf("entry %v names no two events of one child", e)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("entries (-want +got)\n%s", diff)
	}
	if failed := h.Samples()["hub_cross_ente_failures_total"]; failed != 0 {
		t.Errorf("%v children could not be compared", failed)
	}
	checkNoSubjects(t, db)
}
