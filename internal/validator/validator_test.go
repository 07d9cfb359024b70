package validator_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/validator"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

func TestValidateAcceptsSamplesInBothVersions(t *testing.T) {
	t.Parallel()
	p := newPool(t, nil)
	for name, event := range samples(t) {
		want := validator.Result{Root: "InviaEventoRichiesta", Version: "1.0", Payload: event}
		got, err := p.Validate(t.Context(), validator.SinbaEventi, validator.Bare, event)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s, bare: %v %s", name, err, diff)
		}
		for version, namespace := range map[soap.Version]string{soap.V11: soap11, soap.V12: soap12} {
			want.SOAP = version
			want.Header = []byte(`<s:Header xmlns:s="` + namespace + `"><h:Id xmlns:h="urn:h">1</h:Id></s:Header>`)
			got, err := p.Validate(t.Context(), validator.SinbaEventi, validator.Envelope, envelope(namespace, event))
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("%s, SOAP %v: %v %s", name, version, err, diff)
			}
		}
	}
}

// TestDeclaredVersionIsToldForInvalidDocumentsToo: it decides before the schema does.
func TestDeclaredVersionIsToldForInvalidDocumentsToo(t *testing.T) {
	t.Parallel()
	p := newPool(t, nil)
	event := string(samples(t)["intervento.xml"])
	for declared, want := range map[string]string{
		` versione="1.7"`: "1.7", ` versione="2.0"`: "2.0", ` versione="Mario"`: "?", ` versione=""`: "?",
		` versione="1.23456789"`: "?", "": "", ` x:versione="9.9" xmlns:x="urn:x"`: "",
	} {
		for _, broken := range []bool{false, true} {
			document := strings.Replace(event, ` versione="1.0"`, declared, 1)
			if broken {
				document = strings.Replace(document, "<TipoEvento>INTERVENTO", "<TipoEvento>ALTRO", 1)
			}
			got, err := p.Validate(t.Context(), validator.SinbaEventi, validator.Bare, []byte(document))
			if err != nil || got.Version != want {
				t.Errorf("%q, broken %v: version %q, %v, want %q", declared, broken, got.Version, err, want)
			}
		}
	}
}

func TestValidateListsViolations(t *testing.T) {
	t.Parallel()
	p := newPool(t, nil)
	event := string(samples(t)["intervento.xml"])
	for _, change := range [][2]string{
		{`versione="1.0"`, "Mario=\"x\"\nversione=\"?\""},
		{"<TipoEvento>INTERVENTO", "<TipoEvento>ALTRO"},
		{"<IdMessaggio>", "<IdMessaggio>\n"},
		{"<ProgressivoCartella>7", "<ProgressivoCartella>0"},
		{"<Fornitore>", "<Fornitore>" + strings.Repeat("x", 300)},
		{"<CAP>50100", "<CAP>5010"},
		{"</Residenza>", "<Rossi/></Residenza>"},
		{"<DataApertura>2024-04-08</DataApertura>", ""},
		{"<DataInizioPrestazione>", "<DataInizioPrestazione>il "},
		{"<Cognome>", "<Cognome>A<!-- -->"},
		{"<Dettaglio>", "<Dettaglio>x"},
		{"<Fase>CHIUSURA", "<Fase><b/>CHIUSURA"},
	} {
		if !strings.Contains(event, change[0]) {
			t.Fatalf("no %s", change[0])
		}
		event = strings.Replace(event, change[0], change[1], 1)
	}
	got, err := p.Validate(t.Context(), validator.SinbaEventi, validator.Envelope, envelope(soap12, []byte(event)))
	if err != nil {
		t.Fatal(err)
	}
	const r = "/InviaEventoRichiesta"
	want := []string{
		"SINBA_208 cvc-complex-type.3.2.1 " + r + "/@* 2: `InviaEventoRichiesta` has an attribute that the schema does not have: remove it.",
		"SINBA_203 cvc-pattern-valid " + r + "/@versione 2: `@versione` must be a version of the contract like 1.0; found: 1 character: signs.",
		"SINBA_209 cvc-datatype-valid.1 " + r + "/Testata/IdMessaggio 2: `IdMessaggio` has blanks or line breaks around its value: remove them.",
		"SINBA_204 cvc-enumeration-valid " + r + "/Testata/TipoEvento 3: `TipoEvento` must be one of APERTURA_CARTELLA, SEGNALAZIONE, PRESA_IN_CARICO, VALUTAZIONE, " +
			"NUCLEO_FAMILIARE, PROGETTO, INTERVENTO, AFFIDAMENTO, INSERIMENTO_STRUTTURA, PROVVEDIMENTO_GIUDIZIARIO, … (15); found: 5 characters: upper-case letters.",
		"SINBA_207 cvc-minInclusive-valid " + r + "/Testata/ProgressivoCartella 3: `ProgressivoCartella` must be a whole number from 1 to 2147483647; found: 1 character: digits.",
		"SINBA_205 cvc-maxLength-valid " + r + "/Mittente/Applicativo/Fornitore 3: `Fornitore` has 307 characters, at most 50 are allowed.",
		"SINBA_210 cvc-simple-type " + r + "/Soggetto/Anagrafica/Cognome 3: `Cognome` has a comment or an instruction within its value: remove it.",
		"SINBA_203 cvc-pattern-valid " + r + "/Soggetto/Anagrafica/Residenza/CAP 3: `CAP` must be a postal code of 5 digits; found: 4 characters: digits.",
		"SINBA_202 cvc-complex-type.2.4 " + r + "/Soggetto/Anagrafica/Residenza/*[5] 3: `Residenza` holds an element that the schema does not have: " +
			"it can hold only CodiceNazione, CodiceComune, CAP, Indirizzo.",
		"SINBA_201 cvc-complex-type.2.4 " + r + "/Cartella 3: `DataApertura` is missing: it stands after `IdCartella`.",
		"SINBA_210 cvc-complex-type.2.3 " + r + "/Dettaglio 3: `Dettaglio` holds text: it can hold only elements.",
		"SINBA_210 cvc-type.3.1.2 " + r + "/Dettaglio/Intervento/Fase 3: `Fase` holds an element: it can hold only a value.",
		"SINBA_206 cvc-datatype-valid.1.2.1 " + r + "/Dettaglio/Intervento/DataInizioPrestazione 3: `DataInizioPrestazione` must be a date like 2012-03-15; " +
			"found: 13 characters: lower-case letters, digits, signs, blanks.",
	}
	var told []string
	for _, v := range got.Violations {
		told = append(told, fmt.Sprintf("%s %s %s %d: %s", v.Code, v.Rule, v.Path, v.Line, hub.NewSpeaker().Say(v).EN))
	}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Error(diff)
	}
	if got.Total != len(want) || got.Payload != nil || got.Root != "InviaEventoRichiesta" || got.SOAP != soap.V12 || got.Header == nil {
		t.Errorf("%+v", got)
	}
}

func TestViolationsFitTheContract(t *testing.T) {
	t.Parallel()
	p := newPool(t, nil)
	var b strings.Builder
	b.WriteString(`<InviaLottoRichiesta xmlns="urn:sinba:eventi:v1"><IdLotto>d16300fe-52dd-52ec-ab09-761e4220184a</IdLotto>`)
	for range 300 {
		b.WriteString("<Evento/>\n")
	}
	b.WriteString("</InviaLottoRichiesta>")
	// Who only wants a verdict is told of the events too, one by one.
	for mode, want := range map[validator.Mode]struct {
		total int
		path  string
	}{validator.Judge: {101, "/InviaLottoRichiesta/Evento"}, validator.Bare: {1, "/InviaLottoRichiesta/Evento[101]"}} {
		got, err := p.Validate(t.Context(), validator.SinbaEventi, mode, []byte(b.String()))
		if err != nil || len(got.Violations) != min(100, want.total) || got.Total != want.total {
			t.Fatalf("%v, %d of %d", err, len(got.Violations), got.Total)
		}
		if got.Violations[0].Path != want.path || mode == validator.Judge && got.Violations[1].Path != want.path+"[2]" {
			t.Errorf("got %s, want %s", got.Violations[0].Path, want.path)
		}
	}
}

func TestValidateRefusesWhatIsNoMessage(t *testing.T) {
	t.Parallel()
	p := newPool(t, nil)
	event := string(samples(t)["intervento.xml"])
	for name, tt := range map[string]struct {
		doc  string
		kind hub.Kind
		code hub.Code
	}{
		"malformed":         {"<a>\n<b></a>", hub.Malformed, hub.CodeMalformed},
		"doctype":           {`<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>`, hub.Malformed, hub.CodeDoctype},
		"encoding":          {`<?xml version="1.0" encoding="UTF-7"?><a/>`, hub.Malformed, hub.CodeEncoding},
		"UTF-16 doctype":    {"\xFF\xFE<\x00!\x00D\x00O\x00C\x00T\x00Y\x00P\x00E\x00 \x00a\x00>\x00", hub.Malformed, hub.CodeEncoding},
		"no SOAP":           {event, hub.Malformed, hub.CodeNotSOAP},
		"other envelope":    {`<Envelope xmlns="urn:x"/>`, hub.VersionMismatch, hub.CodeEnvelopeVersion},
		"unknown operation": {string(envelope(soap11, []byte("<x/>"))), hub.UnknownOperation, hub.CodeUnknownOperation},
		"too much memory":   {string(envelope(soap11, []byte("<a>"+strings.Repeat("<b/>x", 830_000)+"</a>"))), hub.TooLarge, hub.CodeLimit},
		"too large":         {strings.Repeat(" ", validator.MaxDocument+1), hub.TooLarge, hub.CodeBodyTooLarge},
	} {
		_, err := p.Validate(t.Context(), validator.SinbaEventi, validator.Envelope, []byte(tt.doc))
		var e *hub.Error
		if !errors.As(err, &e) || e.Kind != tt.kind || e.Public[0].Code != tt.code || e.Public[0].Severity != hub.Grave {
			t.Errorf("%s: got %v", name, err)
		}
		if tt.code == hub.CodeMalformed && e.Public[0].Line != 2 {
			t.Errorf("%s: line %d", name, e.Public[0].Line)
		}
	}
	if n := p.restarts(t, "crash"); n != 0 {
		t.Errorf("%d workers died of it", n)
	}
}

// TestErrorsInLargeDocumentsEndNoWorker: libxml2 goes on in its buffer after it has told an error, which
// must still be there; whether it is shows only in a fresh worker and a buffer of its own pages.
func TestErrorsInLargeDocumentsEndNoWorker(t *testing.T) {
	t.Parallel()
	filler := strings.Repeat("<p>"+strings.Repeat("z", 900)+"</p>", 300)
	for _, trouble := range []string{"]]>", "&a;", "&#0;", "<q:p/>", "\x01", "<a b=1/>", "<!-- a -- b -->", "</x>"} {
		p := newPool(t, func(c *validator.Config) { c.Workers = 1 })
		for _, header := range []string{trouble + filler, filler + trouble, strings.Repeat(trouble, len(filler)/len(trouble))} {
			doc := `<s:Envelope xmlns:s="` + soap12 + `"><s:Header><h>` + header + `</h></s:Header><s:Body><a/></s:Body></s:Envelope>`
			if _, err := p.Validate(t.Context(), validator.SinbaEventi, validator.Envelope, []byte(doc)); codeOf(t, err) != hub.CodeMalformed {
				t.Errorf("%q in %d bytes: %v", trouble, len(doc), err)
			}
		}
		if n := p.restarts(t, "crash"); n != 0 {
			t.Errorf("%q: %d workers died of it", trouble, n)
		}
	}
}

func TestValidateUsesTheSchemaAskedFor(t *testing.T) {
	t.Parallel()
	small := func(name, included string) validator.SchemaFiles {
		head := `<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns="urn:t" targetNamespace="urn:t" elementFormDefault="qualified">`
		return validator.SchemaFiles{Main: "main.xsd", Files: map[string][]byte{
			"main.xsd": []byte(head + `<xs:include schemaLocation="part.xsd"/><xs:element name="` + name + `" type="T"/></xs:schema>`),
			"part.xsd": []byte(head + `<xs:simpleType name="T"><xs:restriction base="xs:int"/></xs:simpleType><xs:element name="` + included + `" type="T"/></xs:schema>`),
		}}
	}
	p := newPool(t, func(c *validator.Config) {
		c.Schemas[validator.SissRicezione] = small("a", "b")
		c.Schemas[7] = small("c", "d")
	})
	for _, tt := range []struct {
		schema validator.Schema
		root   string
		want   hub.Code
	}{
		{validator.SissRicezione, "a", ""},
		{validator.SissRicezione, "b", ""},
		{validator.SissRicezione, "c", hub.CodeUnknownOperation},
		{7, "c", ""},
		{7, "d", ""},
		{7, "a", hub.CodeUnknownOperation},
		{validator.SinbaEventi, "a", hub.CodeUnknownOperation},
		{3, "a", hub.CodeInternal},
	} {
		doc := `<` + tt.root + ` xmlns="urn:t">1</` + tt.root + `>`
		r, err := p.Validate(t.Context(), tt.schema, validator.Bare, []byte(doc))
		if codeOf(t, err) != tt.want || err == nil && (r.Root != tt.root || string(r.Payload) != doc) {
			t.Errorf("schema %d, %s: %v, %+v", tt.schema, tt.root, err, r)
		}
	}
	if _, err := p.Validate(t.Context(), validator.SinbaEventi, validator.Judge+1, nil); codeOf(t, err) != hub.CodeInternal {
		t.Errorf("unknown mode: %v", err)
	}
}

func TestNewRefusesWrongConfigurations(t *testing.T) {
	t.Parallel()
	good := eventFiles(t)
	other := good
	other.Namespace = "urn:other"
	missing := validator.SchemaFiles{Main: "x", Files: good.Files}
	for name, schemas := range map[string]map[validator.Schema]validator.SchemaFiles{
		"none":            nil,
		"number zero":     {0: good},
		"number too high": {8: good},
		"other namespace": {1: other},
		"main missing":    {1: missing},
		"long name":       {1: {Main: strings.Repeat("x", 256), Files: map[string][]byte{strings.Repeat("x", 256): nil}}},
	} {
		if _, err := validator.New(validator.Config{Schemas: schemas}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestStartFailsIfTheSchemaDoesNotCompile(t *testing.T) {
	t.Parallel()
	files := eventFiles(t)
	files.Files = map[string][]byte{files.Main: bytes.Replace(files.Files[files.Main], []byte(`type="TestataType"`), []byte(`type="Missing"`), 1)}
	p, err := validator.New(validator.Config{Schemas: map[validator.Schema]validator.SchemaFiles{1: files}})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Alive(); err == nil {
		t.Error("alive before Start")
	}
	if err := p.Start(t.Context()); err == nil {
		t.Error("started")
	}
	if err := p.Alive(); err == nil {
		t.Error("alive")
	}
}

func TestStartFailsWithoutExecutable(t *testing.T) {
	t.Parallel()
	p, err := validator.New(validator.Config{Executable: "/does/not/exist", Schemas: map[validator.Schema]validator.SchemaFiles{1: eventFiles(t)}})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(t.Context()); err == nil {
		t.Error("started")
	}
}

func TestClosedPoolIsUnavailable(t *testing.T) {
	t.Parallel()
	p := newPool(t, nil)
	if err := p.Alive(); err != nil {
		t.Error(err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if _, err := p.validate(t, "<a/>"); codeOf(t, err) != hub.CodeStopping {
		t.Errorf("got %v", err)
	}
	if p.Alive() == nil {
		t.Error("alive")
	}
	if p.Start(t.Context()) == nil {
		t.Error("started again")
	}
}

func TestCancelledCallIsUnavailable(t *testing.T) {
	t.Parallel()
	p := newPool(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 { // the worker may still be faster
		if _, err := p.Validate(ctx, validator.SinbaEventi, validator.Bare, []byte("<a/>")); codeOf(t, err) != hub.CodeUnavailable && codeOf(t, err) != hub.CodeUnknownOperation {
			t.Errorf("got %v", err)
		}
	}
	if _, err := p.validate(t, "<a/>"); codeOf(t, err) != hub.CodeUnknownOperation {
		t.Errorf("got %v", err)
	}
}

// TestLotIsJudgedEventByEvent by a jailed worker, by the short way and by the long one.
func TestLotIsJudgedEventByEvent(t *testing.T) {
	t.Parallel()
	p := newPool(t, func(c *validator.Config) { c.Workers = 1 })
	event := strings.ReplaceAll(string(samples(t)["intervento.xml"]), "InviaEventoRichiesta", "Evento")
	if strings.HasPrefix(event, "<?") {
		event = event[strings.Index(event, "?>")+2:]
	}
	lot := func(events ...string) []byte {
		return envelope(soap12, []byte(`<InviaLottoRichiesta xmlns="urn:sinba:eventi:v1" versione="1.0"><IdLotto>49d9caa9-ef14-501b-938c-5db537c60e47</IdLotto>`+
			strings.Join(events, "")+`</InviaLottoRichiesta>`))
	}
	good, err := p.Validate(t.Context(), validator.SinbaEventi, validator.Envelope, lot(event, event))
	if err != nil || len(good.Items) != 2 || !good.Conforms() || good.Version != "1.0" || good.Root != "InviaLottoRichiesta" ||
		!strings.HasPrefix(string(good.Items[1].Payload), `<Evento xmlns="urn:sinba:eventi:v1"`) {
		t.Fatalf("good: %v %+v", err, good)
	}
	bad := strings.Replace(event, "<TipoOperazione>I", "<TipoOperazione>Z", 1)
	mixed, err := p.Validate(t.Context(), validator.SinbaEventi, validator.Envelope, lot(event, bad, "<Evento/>"))
	if err != nil || len(mixed.Items) != 3 || mixed.Conforms() || string(mixed.Items[0].Payload) != string(good.Items[0].Payload) {
		t.Fatalf("mixed: %v %+v", err, mixed)
	}
	if v := mixed.Items[1].Violations; len(v) != 1 || v[0].Code != hub.CodeSchemaEnumeration || v[0].Path != "/Evento/Testata/TipoOperazione" || mixed.Items[1].ID == "" {
		t.Errorf("mixed: %+v", mixed.Items[1])
	}
	frame, err := p.Validate(t.Context(), validator.SinbaEventi, validator.Envelope, lot())
	if err != nil || len(frame.Items) != 0 || frame.Conforms() {
		t.Errorf("no event: %v %+v", err, frame)
	}
}

// TestEventsOfALotAreToldAsIfAlone: each mistake once, with the same words, at a path that begins with
// the item.
func TestEventsOfALotAreToldAsIfAlone(t *testing.T) {
	t.Parallel()
	p := newPool(t, func(c *validator.Config) { c.Workers = 1 })
	event := string(samples(t)["intervento.xml"])
	if strings.HasPrefix(event, "<?") {
		event = event[strings.Index(event, "?>")+2:]
	}
	event = strings.TrimSpace(event)
	asItem := strings.NewReplacer("InviaEventoRichiesta", "Evento")
	var items []string
	var want [][]hub.Violation
	for _, change := range [][]string{
		{"<TipoOperazione>I", "<TipoOperazione> I"},
		{"<TipoOperazione>I", "<TipoOperazione>Z", "</Testata>", "<Rossi/></Testata>"},
		{"<Soggetto>", "<Cartella/><Soggetto>"},
		{"</InviaEventoRichiesta>", "<Rossi/></InviaEventoRichiesta>"},
		{"<InviaEventoRichiesta", `<InviaEventoRichiesta a=""`},
	} {
		bad := strings.NewReplacer(change...).Replace(event)
		alone, err := p.Validate(t.Context(), validator.SinbaEventi, validator.Bare, []byte(bad))
		if err != nil || len(alone.Violations) == 0 || bad == event {
			t.Fatalf("%q: %v %+v", change, err, alone)
		}
		for i := range alone.Violations {
			v := &alone.Violations[i]
			v.Path, v.About = asItem.Replace(v.Path), asItem.Replace(v.About)
			if v.Reason == "" {
				t.Errorf("%q: %+v", change, v)
			}
		}
		items, want = append(items, asItem.Replace(bad)), append(want, alone.Violations)
	}
	lot := `<InviaLottoRichiesta xmlns="urn:sinba:eventi:v1"><IdLotto>49d9caa9-ef14-501b-938c-5db537c60e47</IdLotto>` + strings.Join(items, "\n") + `</InviaLottoRichiesta>`
	r, err := p.Validate(t.Context(), validator.SinbaEventi, validator.Bare, []byte(lot))
	if err != nil || len(r.Items) != len(want) {
		t.Fatalf("%v, %d items", err, len(r.Items))
	}
	for i, item := range r.Items {
		if diff := cmp.Diff(want[i], item.Violations); diff != "" {
			t.Errorf("item %d: %s", i, diff)
		}
	}
}
