package siss_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/siss"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

func TestTransmissionIsTakenOnceAndRepeatsItsProtocol(t *testing.T) {
	t.Parallel()
	e := start(t, siss.Config{})
	id, event := uuid.New(), national("SEGNALAZIONE", 1)
	first := e.mustPost(t, 200, transmit(id, event))
	conforms(t, first)
	if field(first, "Esito") != "ACCETTATO" || field(first, "ProtocolloNazionale") == "" || field(first, "IdTrasmissione") != id.String() {
		t.Fatalf("first answer: %s", first)
	}
	again := e.mustPost(t, 200, transmit(id, event))
	conforms(t, again)
	if field(again, "Esito") != "GIA_RICEVUTO" || field(again, "ProtocolloNazionale") != field(first, "ProtocolloNazionale") {
		t.Errorf("repeat: %s", again)
	}
	lines := e.lines(t)
	if len(lines) != 1 {
		t.Fatalf("%d lines, want 1", len(lines))
	}
	if _, err := time.Parse(time.RFC3339Nano, lines[0]["ricevuto_at"]); err != nil {
		t.Error(err)
	}
	if lines[0]["id_trasmissione"] != id.String() || lines[0]["esito"] != "ACCETTATO" || lines[0]["evento_xml"] != event || len(lines[0]) != 4 {
		t.Errorf("line: %v", lines[0])
	}
}

func TestSameEventInOtherSpellingIsTheSameEvent(t *testing.T) {
	t.Parallel()
	e := start(t, siss.Config{})
	id, event := uuid.New(), national("APERTURA_CARTELLA", 1)
	e.mustPost(t, 200, transmit(id, event))
	prefixed := strings.NewReplacer("</", "</n:", "<", "<n:").Replace(transmit(id, event))
	prefixed = strings.ReplaceAll(prefixed, "<n:/n:", "</n:")
	prefixed = strings.ReplaceAll(prefixed, "xmlns=", "xmlns:n=")
	prefixed = strings.Replace(prefixed, id.String(), strings.ToUpper(id.String()), 1)
	if got := e.mustPost(t, 200, prefixed); field(got, "Esito") != "GIA_RICEVUTO" {
		t.Errorf("prefixed repeat: %s", got)
	}
}

func TestOtherContentUnderTheSameIdIsRefusedAndTheFirstStands(t *testing.T) {
	t.Parallel()
	e := start(t, siss.Config{})
	id := uuid.New()
	e.mustPost(t, 200, transmit(id, national("SEGNALAZIONE", 1)))
	other := e.mustPost(t, 200, transmit(id, national("SEGNALAZIONE", 2)))
	conforms(t, other)
	if field(other, "Esito") != "RIFIUTATO" || field(other, "Codice") != "SISS_101" || strings.Contains(other, "ProtocolloNazionale") {
		t.Errorf("other content: %s", other)
	}
	if state := e.mustPost(t, 200, askState(id)); field(state, "Esito") != "ACCETTATO" {
		t.Errorf("state: %s", state)
	}
	// The clash stands in the file, so that a checker sees it.
	if lines := e.lines(t); len(lines) != 2 || lines[1]["esito"] != "RIFIUTATO" {
		t.Errorf("lines: %v", lines)
	}
}

func TestRacingRepeatsHaveOneEffect(t *testing.T) {
	t.Parallel()
	e := start(t, siss.Config{})
	const racers = 24
	id, event := uuid.New(), national("SEGNALAZIONE", 1)
	outcomes := make(chan string, racers)
	for range racers {
		go func() {
			_, body, err := e.post(t, transmit(id, event))
			if err != nil {
				body = err.Error()
			}
			outcomes <- field(body, "Esito")
		}()
	}
	count := map[string]int{}
	for range racers {
		count[<-outcomes]++
	}
	if count["ACCETTATO"] != 1 || count["GIA_RICEVUTO"] != racers-1 {
		t.Errorf("outcomes: %v", count)
	}
	if lines := e.lines(t); len(lines) != 1 {
		t.Errorf("%d lines, want 1", len(lines))
	}
}

func TestRestartKnowsWhatWasReceivedAndForgetsATornLine(t *testing.T) {
	t.Parallel()
	e := start(t, siss.Config{})
	taken, refused := uuid.New(), uuid.New()
	event := national("SEGNALAZIONE", 1)
	first := e.mustPost(t, 200, transmit(taken, event))
	if err := e.SetFaults(siss.Faults{Next: []siss.Fault{siss.Refuse}}); err != nil {
		t.Fatal(err)
	}
	e.mustPost(t, 200, transmit(refused, event))
	e.stop()
	// A process that was killed while it wrote: the line's transmission was never answered.
	torn := uuid.New()
	f, err := os.OpenFile(e.received, os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	_, err = fmt.Fprintf(f, `{"id_trasmissione":"%s","ricevuto_at":"2026-03-01T10:00:00Z","esito":"ACCETTATO","evento_xml":"%s`, torn, strings.Repeat("x", 10_000))
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}

	e = start(t, siss.Config{Received: e.received})
	if again := e.mustPost(t, 200, transmit(taken, event)); field(again, "Esito") != "GIA_RICEVUTO" ||
		field(again, "ProtocolloNazionale") != field(first, "ProtocolloNazionale") {
		t.Errorf("taken before: %s", again)
	}
	if again := e.mustPost(t, 200, transmit(refused, event)); field(again, "Esito") != "RIFIUTATO" {
		t.Errorf("refused before: %s", again)
	}
	if state := e.mustPost(t, 200, askState(torn)); field(state, "Esito") != "SCONOSCIUTO" {
		t.Errorf("torn: %s", state)
	}
	e.mustPost(t, 200, transmit(torn, event))
	if lines := e.lines(t); len(lines) != 3 || lines[2]["id_trasmissione"] != torn.String() {
		t.Errorf("lines: %v", lines)
	}
}

func TestOpenRefusesAFileThatIsNotItsOwn(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "received.jsonl")
	if err := os.WriteFile(path, []byte("something else\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := siss.Open(t.Context(), siss.Config{Received: path, Now: time.Now, Logger: zap.NewNop()}); err == nil {
		t.Error("opened a file with a foreign line")
	}
	if b, _ := os.ReadFile(path); string(b) != "something else\n" {
		t.Errorf("file was changed: %q", b)
	}
}

func TestCutAfterCommitIsKnownAndDropBeforeIsNot(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		faults siss.Faults
		state  string
		again  string
	}{
		{siss.Faults{Next: []siss.Fault{siss.Cut}}, "ACCETTATO", "GIA_RICEVUTO"},
		{siss.Faults{Next: []siss.Fault{siss.Cut}, CutAt: 40}, "ACCETTATO", "GIA_RICEVUTO"},
		{siss.Faults{Next: []siss.Fault{siss.Cut}, CutAt: 300}, "ACCETTATO", "GIA_RICEVUTO"},
		{siss.Faults{Next: []siss.Fault{siss.Drop}}, "SCONOSCIUTO", "ACCETTATO"},
	} {
		t.Run(fmt.Sprint(c.faults.Next[0], c.faults.CutAt), func(t *testing.T) {
			t.Parallel()
			e := start(t, siss.Config{Faults: c.faults})
			id, event := uuid.New(), national("SEGNALAZIONE", 1)
			if status, body, err := e.post(t, transmit(id, event)); err == nil {
				t.Fatalf("got a whole answer: %d %s", status, body)
			}
			state := e.mustPost(t, 200, askState(id))
			conforms(t, state)
			if field(state, "Esito") != c.state {
				t.Errorf("state: %s", state)
			}
			if again := e.mustPost(t, 200, transmit(id, event)); field(again, "Esito") != c.again {
				t.Errorf("again: %s", again)
			}
			if lines := e.lines(t); len(lines) != 1 {
				t.Errorf("%d lines, want 1", len(lines))
			}
		})
	}
}

func TestScriptedAnswers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fault  siss.Fault
		status int
		holds  string
		state  string
	}{
		{siss.None, 200, "<Esito>ACCETTATO</Esito>", "ACCETTATO"},
		{siss.Refuse, 200, "<Codice>SISS_300</Codice>", "RIFIUTATO"},
		{siss.Fail, 500, "<Codice>SISS_503</Codice>", "SCONOSCIUTO"},
		{siss.Unavailable, 503, "unavailable", "SCONOSCIUTO"},
		{siss.HTML, 200, "<html>", "SCONOSCIUTO"},
		{siss.Garbage, 200, "no XML", "ACCETTATO"},
		{siss.WrongID, 200, "<IdTrasmissione>00000000-0000-4000-8000-000000000000</IdTrasmissione>", "ACCETTATO"},
		{siss.Drip, 200, "<Esito>ACCETTATO</Esito>", "ACCETTATO"},
	} {
		t.Run(string(c.fault), func(t *testing.T) {
			t.Parallel()
			e := start(t, siss.Config{Faults: siss.Faults{Next: []siss.Fault{c.fault}, DripMS: 1, SlowMS: 1}})
			id := uuid.New()
			status, body, err := e.post(t, transmit(id, national("SEGNALAZIONE", 1)))
			if err != nil {
				t.Fatal(err)
			}
			if status != c.status || !strings.Contains(body, c.holds) {
				t.Errorf("answer %d: %s", status, body)
			}
			if strings.Contains(body, "soap:Envelope") {
				conforms(t, body)
			}
			if state := e.mustPost(t, 200, askState(id)); field(state, "Esito") != c.state {
				t.Errorf("state: %s", state)
			}
			if got := e.Stats()["fault/"+string(c.fault)]; c.fault != siss.None && got != 1 {
				t.Errorf("counters: %v", e.Stats())
			}
		})
	}
}

func TestRatiosStrikeAsOftenAsTold(t *testing.T) {
	t.Parallel()
	e := start(t, siss.Config{Faults: siss.Faults{RefuseRatio: 0.25, FailRatio: 0.25, UnavailableRatio: 0.5}})
	const calls = 200
	for i := range calls {
		if status, body, err := e.post(t, transmit(uuid.New(), national("SEGNALAZIONE", i+1))); err != nil || field(body, "Esito") == "ACCETTATO" {
			t.Fatalf("call %d was not struck: %d %s %v", i, status, body, err)
		}
	}
	stats := e.Stats()
	// 200 draws at p = 0.5: outside 60..140 once in 10^8 runs.
	if n := stats["fault/unavailable"]; n < 60 || n > 140 {
		t.Errorf("unavailable %d times of %d", n, calls)
	}
	if stats["fault/unavailable"]+stats["fault/fail"]+stats["fault/refuse"] != calls {
		t.Errorf("counters: %v", stats)
	}
}

func TestFaultsStrikeOnlyTheOperationsNamed(t *testing.T) {
	t.Parallel()
	e := start(t, siss.Config{Faults: siss.Faults{FailRatio: 1, Operations: []string{"statoTrasmissione"}}})
	id := uuid.New()
	e.mustPost(t, 200, transmit(id, national("SEGNALAZIONE", 1)))
	e.mustPost(t, 500, askState(id))
	e.mustPost(t, 200, `<EchoRichiesta xmlns="urn:sinba:siss:v1"/>`)
}

func TestRiepilogoCountsAndDigestsTheItalianDay(t *testing.T) {
	t.Parallel()
	var now atomic.Pointer[time.Time]
	at := func(text string) {
		v, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		now.Store(&v)
	}
	at("2026-03-01T22:59:59Z")
	e := start(t, siss.Config{Now: func() time.Time { return *now.Load() }})
	ask := func(day string) string {
		body := e.mustPost(t, 200, `<RiepilogoRichiesta xmlns="urn:sinba:siss:v1"><Giorno>`+day+`</Giorno></RiepilogoRichiesta>`)
		conforms(t, body)
		return body
	}
	b, a := uuid.MustParse("bbbbbbbb-0000-4000-8000-000000000000"), uuid.MustParse("aaaaaaaa-0000-4000-8000-000000000000")
	e.mustPost(t, 200, transmit(b, national("SEGNALAZIONE", 1)))
	e.mustPost(t, 200, transmit(a, national("SEGNALAZIONE", 2)))
	e.mustPost(t, 200, transmit(a, national("SEGNALAZIONE", 2)))
	e.mustPost(t, 200, transmit(uuid.New(), national("APERTURA_CARTELLA", 1)))
	if err := e.SetFaults(siss.Faults{Next: []siss.Fault{siss.Refuse}}); err != nil {
		t.Fatal(err)
	}
	e.mustPost(t, 200, transmit(uuid.New(), national("SEGNALAZIONE", 3)))
	at("2026-03-01T23:00:00Z") // midnight in Rome
	e.mustPost(t, 200, transmit(uuid.New(), national("SEGNALAZIONE", 4)))

	first := ask("2026-03-01")
	// printf 'aaaaaaaa-0000-4000-8000-000000000000\nbbbbbbbb-0000-4000-8000-000000000000\n' | sha256sum
	const want = `<Totale><Giorno>2026-03-01</Giorno><TipoEvento>SEGNALAZIONE</TipoEvento><Numero>2</Numero><Impronta>DIGEST</Impronta></Totale>`
	if !strings.Contains(first, strings.Replace(want, "DIGEST", digestOfTwo, 1)) {
		t.Errorf("first day: %s", first)
	}
	if strings.Count(first, "<Totale>") != 2 || !strings.Contains(first, "<TipoEvento>APERTURA_CARTELLA</TipoEvento><Numero>1</Numero>") {
		t.Errorf("first day: %s", first)
	}
	if second := ask("2026-03-02"); strings.Count(second, "<Numero>1</Numero>") != 1 {
		t.Errorf("second day: %s", second)
	}
	if none := ask("2026-03-03"); strings.Contains(none, "<Totale>") {
		t.Errorf("third day: %s", none)
	}
}

func TestComunicaCodiciIsIdempotentAcrossARestart(t *testing.T) {
	t.Parallel()
	e := start(t, siss.Config{})
	id := uuid.New()
	tell := func(motivo string) string {
		body := e.mustPost(t, 200, `<ComunicaCodiciRichiesta xmlns="urn:sinba:siss:v1"><IdComunicazione>`+id.String()+`</IdComunicazione><Motivo>`+motivo+
			`</Motivo><Coppia><Precedente>AAAA</Precedente><Nuovo>BBBB</Nuovo></Coppia><Coppia><Precedente>CCCC</Precedente><Nuovo>BBBB</Nuovo></Coppia></ComunicaCodiciRichiesta>`)
		conforms(t, body)
		return field(body, "Esito")
	}
	got := []string{tell("UNIONE"), tell("UNIONE"), tell("ROTAZIONE")}
	e.stop()
	e = start(t, siss.Config{Received: e.received})
	got = append(got, tell("UNIONE"))
	if want := "ACCETTATO GIA_RICEVUTO RIFIUTATO GIA_RICEVUTO"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

// TestRotationsAreAppliedAndHeldTogether: a code continues another for ever, through several rotations and a
// restart, and none becomes two, or itself, or one with another.
func TestRotationsAreAppliedAndHeldTogether(t *testing.T) {
	t.Parallel()
	e := start(t, siss.Config{})
	tell := func(pairs ...string) string {
		return communicate(t, e, uuid.NewString(), "ROTAZIONE", pairs...)
	}
	for _, c := range []struct {
		want  string
		pairs []string
	}{
		{"ACCETTATO", []string{"A", "B", "C", "D"}},
		{"ACCETTATO", []string{"A", "B"}},
		{"RIFIUTATO", []string{"A", "X"}},
		{"RIFIUTATO", []string{"X", "B"}},
		{"RIFIUTATO", []string{"B", "A"}},
		{"RIFIUTATO", []string{"E", "E"}},
		{"RIFIUTATO", []string{"F", "G", "F", "H"}},
		{"ACCETTATO", []string{"B", "I"}},
		{"ACCETTATO", []string{"A", "B"}},
	} {
		if got := tell(c.pairs...); got != c.want {
			t.Errorf("%v: %s, want %s", c.pairs, got, c.want)
		}
	}
	e.stop()
	e = start(t, siss.Config{Received: e.received})
	for code, want := range map[string]string{"A": "I", "B": "I", "I": "I", "C": "D", "F": "F", "X": "X"} {
		if got := e.Current(code); got != want {
			t.Errorf("%s is %s now, want %s", code, got, want)
		}
	}
}

// TestOnlyWhatWasJoinedIsSeparated: a join is of two children and stands until it is separated, in whatever codes
// and order the two are told by then, and through a restart; a refused communication changes nothing.
func TestOnlyWhatWasJoinedIsSeparated(t *testing.T) {
	t.Parallel()
	e := start(t, siss.Config{})
	for i, c := range []struct {
		motivo, want string
		pairs        []string
	}{
		{"SEPARAZIONE", "RIFIUTATO", []string{"A", "B"}},
		{"UNIONE", "RIFIUTATO", []string{"A", "A"}},
		{"UNIONE", "ACCETTATO", []string{"A", "B"}}, // of no event yet
		{"UNIONE", "ACCETTATO", []string{"A", "B"}}, // said twice
		{"UNIONE", "RIFIUTATO", []string{"A", "C", "D", "D"}},
		{"SEPARAZIONE", "RIFIUTATO", []string{"A", "C"}},            // was refused with the other
		{"SEPARAZIONE", "RIFIUTATO", []string{"A", "B", "A", "B"}},  // twice at once
		{"ROTAZIONE", "ACCETTATO", []string{"B", "B2"}},             // the join stands
		{"UNIONE", "RIFIUTATO", []string{"B", "B2"}},                // one child for ever
		{"SEPARAZIONE", "RIFIUTATO", []string{"B2", "B"}},           // likewise
		{"UNIONE", "ACCETTATO", []string{"A", "C", "C", "B"}},       // several
		{"SEPARAZIONE", "ACCETTATO", []string{"B2", "A"}},           // in later codes, the other way round
		{"SEPARAZIONE", "RIFIUTATO", []string{"A", "B"}},            // is over
		{"SEPARAZIONE", "ACCETTATO", []string{"A", "C", "C", "B2"}}, // the others stood
		{"UNIONE", "ACCETTATO", []string{"A", "B"}},                 // again
		{"SEPARAZIONE", "ACCETTATO", []string{"B", "A"}},
	} {
		id := uuid.NewString()
		for _, want := range []string{c.want, map[string]string{"ACCETTATO": "GIA_RICEVUTO"}[c.want]} {
			if got := communicate(t, e, id, c.motivo, c.pairs...); want != "" && got != want {
				t.Errorf("%d, %s %v: %s, want %s", i, c.motivo, c.pairs, got, want)
			}
		}
		e.stop()
		e = start(t, siss.Config{Received: e.received})
	}
}

// communicate tells pairs of codes and gives the outcome.
func communicate(t *testing.T, e *endpoint, id, motivo string, pairs ...string) string {
	t.Helper()
	var text strings.Builder
	for pair := range slices.Chunk(pairs, 2) {
		text.WriteString("<Coppia><Precedente>" + pair[0] + "</Precedente><Nuovo>" + pair[1] + "</Nuovo></Coppia>")
	}
	body := e.mustPost(t, 200, `<ComunicaCodiciRichiesta xmlns="urn:sinba:siss:v1"><IdComunicazione>`+id+`</IdComunicazione><Motivo>`+motivo+`</Motivo>`+
		text.String()+`</ComunicaCodiciRichiesta>`)
	conforms(t, body)
	return field(body, "Esito")
}

func TestEchoRepeatsTheMessage(t *testing.T) {
	t.Parallel()
	e := start(t, siss.Config{})
	body := e.mustPost(t, 200, `<EchoRichiesta xmlns="urn:sinba:siss:v1"><Messaggio>a &amp; b &lt; c</Messaggio></EchoRichiesta>`)
	conforms(t, body)
	if field(body, "Messaggio") != "a &amp; b &lt; c" || field(body, "Disponibile") != "true" {
		t.Errorf("echo: %s", body)
	}
}

func TestRequestsOutsideTheContractGetAFaultAndLeaveNoTrace(t *testing.T) {
	t.Parallel()
	e := start(t, siss.Config{})
	valid := transmit(uuid.New(), national("SEGNALAZIONE", 1))
	envelope := string(soap.AppendEnvelope(nil, soap.V12, []byte(valid)))
	xml12 := soap.V12.ContentType()
	for name, c := range map[string]struct {
		contentType, message string
		status               int
		code                 string
	}{
		"not xml":         {xml12, "hello", 400, "SISS_001"},
		"no envelope":     {xml12, valid, 400, "SISS_001"},
		"soap 1.1":        {xml12, string(soap.AppendEnvelope(nil, soap.V11, []byte(valid))), 400, "SISS_001"},
		"doctype":         {xml12, "<!DOCTYPE x>" + strings.TrimPrefix(envelope, `<?xml version="1.0" encoding="UTF-8"?>`), 400, "SISS_001"},
		"unknown element": {xml12, string(soap.AppendEnvelope(nil, soap.V12, []byte(`<Altro xmlns="urn:x"/>`))), 400, "SISS_002"},
		"an answer":       {xml12, string(soap.AppendEnvelope(nil, soap.V12, []byte(`<EchoRisposta xmlns="urn:sinba:siss:v1"><VersioneServizio>1</VersioneServizio><DataOra>2026-03-01T10:00:00Z</DataOra><Disponibile>true</Disponibile></EchoRisposta>`))), 400, "SISS_002"},
		"invalid event":   {xml12, strings.Replace(envelope, "<TipoOperazione>I<", "<TipoOperazione>Z<", 1), 400, "SISS_200"},
		"codice fiscale":  {xml12, strings.Replace(envelope, "BBBBBBBBBBBBBBBBBBBB", "RSSMRA80A01H501U", 1), 400, "SISS_200"},
		"other action":    {xml12 + `; action="urn:sinba:siss:v1/echo"`, envelope, 400, "SISS_002"},
		"text/xml":        {"text/xml; charset=utf-8", envelope, 415, "SISS_003"},
		"too large":       {xml12, envelope + strings.Repeat(" ", 2<<20), 413, "SISS_004"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, body, err := e.postRaw(t, c.contentType, c.message)
			if err != nil {
				t.Fatal(err)
			}
			if status != c.status || field(body, "Codice") != c.code {
				t.Errorf("answer %d: %s", status, body)
			}
			if strings.Contains(body, "RSSMRA") {
				t.Error("the fault quotes the request")
			}
			conforms(t, body)
		})
	}
	t.Cleanup(func() {
		if lines := e.lines(t); len(lines) != 0 {
			t.Errorf("%d lines, want none", len(lines))
		}
	})
}

func TestWSDLAndSchemasNeedNothingButTheirAddress(t *testing.T) {
	t.Parallel()
	e := start(t, siss.Config{})
	get := func(query string, want int) string {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, e.URL()+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := e.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		b, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != want {
			t.Fatalf("%s: %d %v", query, response.StatusCode, err)
		}
		return string(b)
	}
	wsdl := get("?wsdl", 200)
	if strings.Contains(wsdl, "@BASE@") || !strings.Contains(wsdl, `location="`+e.URL()+`"`) ||
		!strings.Contains(wsdl, `schemaLocation="`+e.URL()+`?xsd=siss-ricezione-v1.xsd"`) {
		t.Errorf("wsdl: %s", wsdl)
	}
	if schema := get("?xsd=siss-ricezione-v1.xsd", 200); !strings.Contains(schema, `schemaLocation="`+e.URL()+`?xsd=evento-nazionale-v1.xsd"`) {
		t.Errorf("schema includes by a relative address")
	}
	if event := get("?xsd=evento-nazionale-v1.xsd", 200); !strings.Contains(event, "EventoNazionale") {
		t.Errorf("event schema: %s", event)
	}
	get("?xsd=sinba-eventi-v1.xsd", 404)
	get("", 404)
}

func TestControlTakesOrdersAndRefusesWrongOnes(t *testing.T) {
	t.Parallel()
	e := start(t, siss.Config{})
	order := func(body string) int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, e.ControlURL(), strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		response, err := e.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		return response.StatusCode
	}
	for body, want := range map[string]int{
		`{"fail_ratio":1.5}`:                    400,
		`{"fail_ratio":-0.1}`:                   400,
		`{"fail_ratio":0.6,"cut_ratio":0.6}`:    400,
		`{"slow_ms":-1}`:                        400,
		`{"next":["explode"]}`:                  400,
		`{"fail_ration":1}`:                     400,
		`{`:                                     400,
		`{"slow_ms":1,"garbage_ratio":0}`:       200,
		`{"fail_ratio":0.9,"refuse_ratio":0.1}`: 200,
	} {
		if got := order(body); got != want {
			t.Errorf("%s: status %d, want %d", body, got, want)
		}
	}
	order(`{"next":["refuse","none"],"fail_ratio":1}`)
	refused := e.mustPost(t, 200, transmit(uuid.New(), national("SEGNALAZIONE", 1)))
	taken := e.mustPost(t, 200, transmit(uuid.New(), national("SEGNALAZIONE", 2)))
	if field(refused, "Esito") != "RIFIUTATO" || field(taken, "Esito") != "ACCETTATO" {
		t.Errorf("scripted: %s %s", refused, taken)
	}
	e.mustPost(t, 500, transmit(uuid.New(), national("SEGNALAZIONE", 3)))
}

func TestControlListensOnLoopbackOnly(t *testing.T) {
	t.Parallel()
	cfg := siss.Config{Received: filepath.Join(t.TempDir(), "r"), Control: "0.0.0.0:0", Now: time.Now, Logger: zap.NewNop()}
	if _, err := siss.Open(t.Context(), cfg); err == nil {
		t.Error("control listener on every address")
	}
}

const digestOfTwo = "1118ac28292ea8bbe001087502689516f1cfb6e5edab09d84aceb97e024cb602"
