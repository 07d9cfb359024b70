//go:build e2e || smoke

package hubtest_test

import (
	"bytes"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// loud names people in whatever of a good message is no element of the contract: prefixes and
// namespaces, remarks, targets and texts of instructions, hints where a schema might be.
func loud(document *element) []byte {
	text := document.render(style{prefix: "zqxjvk", indent: true, remarks: true, attributes: `versione="1.0" xmlns:Zqxjvk="urn:zqxjvk" ` +
		`xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="urn:sinba:eventi:v1 http://127.0.0.1:9/Zqxjvk.xsd"`})
	return []byte(strings.NewReplacer("<!-- ", "<!-- Zqxjvk ", "<?product ", "<?zqxjvk Zqxjvk ").Replace(string(text)))
}

// headed puts a block that names people into the Header of a message.
func headed(v soap.Version, document []byte) []byte {
	block := `<soap:Header><zqxjvk:Zqxjvk xmlns:zqxjvk="urn:zqxjvk" zqxjvk="Zqxjvk"><!--Zqxjvk--><?zqxjvk Zqxjvk?><![CDATA[Zqxjvk]]></zqxjvk:Zqxjvk></soap:Header><soap:Body>`
	return bytes.Replace(soap.AppendEnvelope(nil, v, document), []byte("<soap:Body>"), []byte(block), 1)
}

// plainly writes nothing but the elements.
func plainly(document *element) string {
	return string(document.render(style{attributes: `versione="1.0"`}))
}

// sendAccepted sends an event of every body and every kind of identity, each leaf filled: first
// as a dry run, then for good, then again.
func (c *canary) sendAccepted() []*element {
	c.t.Helper()
	names := func(typ string) (all []string) {
		for _, e := range c.schema.complexTypes[typ].Choice {
			all = append(all, e.Name)
		}
		return all
	}
	bodies, identities := names("DettaglioType"), names("IdentificativoPersonaType")
	if len(bodies) != 16 || len(identities) != 5 {
		c.t.Fatalf("%d bodies, %d identities", len(bodies), len(identities))
	}
	var documents []*element
	for i, body := range bodies {
		documents = append(documents, c.full(body, identities[i%len(identities)], "/CodiceRegioneStruttura"))
	}
	documents = append(documents, c.full("InserimentoStruttura", "CodiceFiscale", "/CodiceStrutturaASSO"))
	for i, document := range documents {
		v := soap.Version(1 + i%2)
		name := document.children[4].children[0].name
		document = c.prepare(document, name)
		documents[i] = document
		text := loud(document)
		if a := c.send("verifica of "+name, v, bytes.ReplaceAll(text, []byte("InviaEvento"), []byte("VerificaEvento"))); a.Report == nil || !a.Report.Conforme {
			c.t.Errorf("%s: %s", name, a.Body)
		}
		if a := c.send(name, v, text); a.Receipt == nil || a.Receipt.Esito == "DUPLICATO" {
			c.t.Errorf("%s: %s", name, a.Body)
		}
		if a := c.post(name+" again", v, headed(v, text), nil); a.Receipt == nil || a.Receipt.Esito != "DUPLICATO" {
			c.t.Errorf("%s: %s", name, a.Body)
		}
	}
	return documents
}

// prepare sends what must have happened to a document's case before it, and gives the document as it
// then refers to it.
func (c *canary) prepare(document *element, body string) *element {
	c.t.Helper()
	last := ""
	for _, b := range before(body) {
		first := c.full(b, "CodiceFiscale")
		first.children[2], first.children[3] = document.children[2], document.children[3]
		last = first.children[0].children[1].text
		c.before++
		if a := c.send(b+" before "+body, soap.V12, loud(first)); a.Receipt == nil {
			c.t.Errorf("%s before %s: %s", b, body, a.Body)
		}
	}
	return document.with(func(path, text string) string {
		if path == "/Testata/IdEventoRiferito" {
			return last
		}
		return text
	})
}

// before are the bodies of the events that must have happened in a case before one of a body is accepted.
func before(body string) []string {
	opened, taken := []string{"AperturaCartella"}, []string{"AperturaCartella", "PresaInCarico"}
	if first, ok := map[string][]string{
		"AperturaCartella": {}, "Fotografia": {}, "PresaInCarico": opened, "ChiusuraCartella": opened,
		"RiaperturaCartella": {"AperturaCartella", "ChiusuraCartella"}, "Annullamento": append(taken, "Intervento"),
	}[body]; ok {
		return first
	}
	return taken
}

// sendQuestions asks all that can be asked, with marks in every field.
func (c *canary) sendQuestions(known *element) {
	c.t.Helper()
	const ns = ` xmlns="urn:sinba:eventi:v1"`
	id := "<IdEvento>" + known.children[0].children[1].text + "</IdEvento>"
	if a := c.send("stato", soap.V11, []byte(`<StatoEventoRichiesta`+ns+`><CodiceEnte>SDS-PI</CodiceEnte>`+id+`</StatoEventoRichiesta>`)); a.State == nil {
		c.t.Errorf("stato: %s", a.Body)
	}
	for name, content := range map[string]string{
		"stato of nobody":  `<StatoEventoRichiesta` + ns + `><IdEvento>` + c.marks.id() + `</IdEvento></StatoEventoRichiesta>`,
		"stato of another": `<StatoEventoRichiesta` + ns + `><CodiceEnte>` + c.marks.text("CodiceEnte") + `</CodiceEnte>` + id + `</StatoEventoRichiesta>`,
		"riepilogo": `<RiepilogoEventiRichiesta` + ns + `><CodiceEnte>SDS-PI</CodiceEnte><Dal>2024-01-01</Dal><Al>2024-01-31</Al><IdCartella>` +
			c.marks.text("IdCartella") + `</IdCartella><Cursore>Zqxjvk</Cursore></RiepilogoEventiRichiesta>`,
		"lotto": `<InviaLottoRichiesta` + ns + `><IdLotto>` + c.marks.text("IdLotto") + `</IdLotto><Evento>` + inner(plainly(c.full("Segnalazione", "CodiceSTP"))) + `</Evento></InviaLottoRichiesta>`,
	} {
		if a := c.send(name, soap.V12, []byte(content)); a.Fault == nil {
			c.t.Errorf("%s: %s", name, a.Body)
		}
	}
	echo := c.send("echo", soap.V12, []byte(`<EchoRichiesta`+ns+`><Messaggio>Zqxjvk D'Angelò</Messaggio></EchoRichiesta>`))
	if !bytes.Contains(echo.Body, []byte("<Messaggio>Zqxjvk D'Angelò</Messaggio>")) {
		c.t.Errorf("echo: %s", echo.Body)
	}
	c.answers = c.answers[:len(c.answers)-1] // it is meant to repeat
}

// sendRefused sends marks in every place of a message and of a request that the hub refuses.
func (c *canary) sendRefused(known *element) {
	c.t.Helper()
	bodies := c.badBodies(known)
	for _, name := range slices.Sorted(maps.Keys(bodies)) {
		for _, v := range []soap.Version{soap.V11, soap.V12} {
			if a := c.post(name, v, bodies[name](v), nil); a.Fault == nil {
				c.t.Errorf("%s: not refused: %s", name, a.Body)
			}
		}
	}
	c.sendRefusedLots(bodies)
	requests := c.badRequests()
	for _, name := range slices.Sorted(maps.Keys(requests)) {
		body := soap.AppendEnvelope(nil, soap.V11, []byte(plainly(c.full("Segnalazione", "CodiceFiscale"))))
		if a := c.post(name, soap.V11, body, requests[name]); a.Receipt != nil || a.Status < 400 {
			c.t.Errorf("%s: not refused: %d %s", name, a.Status, a.Body)
		}
	}
	// What is in headers and the query string makes no difference to a good request.
	a := c.post("headers", soap.V11, soap.AppendEnvelope(nil, soap.V11, []byte(`<EchoRichiesta xmlns="urn:sinba:eventi:v1"/>`)), func(r *http.Request) {
		r.URL.RawQuery = "nome=Zqxjvk&cf=" + c.marks.code()
		for _, name := range []string{"User-Agent", "X-Forwarded-For", "X-Request-Id", "Referer", "Cookie", "Traceparent", "X-Zqxjvk", "Accept-Language", "From"} {
			r.Header.Set(name, "Zqxjvk "+c.marks.code())
		}
	})
	if a.Status != http.StatusOK {
		c.t.Errorf("echo with headers: %d %s", a.Status, a.Body)
	}
}

// sendRefusedLots sends each refused event as the first of a lot: either the whole lot is refused,
// because it cannot be read, or each event is.
func (c *canary) sendRefusedLots(bodies map[string]func(soap.Version) []byte) {
	c.t.Helper()
	judged := 0
	for _, name := range slices.Sorted(maps.Keys(bodies)) {
		body := string(bodies[name](soap.V12))
		if strings.Count(body, "InviaEventoRichiesta") != 2 {
			continue
		}
		body = strings.ReplaceAll(body, "InviaEventoRichiesta", "Evento")
		frame := `<InviaLottoRichiesta xmlns="urn:sinba:eventi:v1"><IdLotto>` + uuid.NewString() + `</IdLotto>`
		body = strings.Replace(body, "<Evento", frame+"<Evento", 1)
		body = strings.Replace(body, "</Evento>", "</Evento><Evento>Zqxjvk</Evento></InviaLottoRichiesta>", 1)
		a := c.post(name+" in a lot", soap.V12, []byte(body), nil)
		switch {
		case a.Fault != nil:
		case a.Lot == nil || len(a.Lot.Esiti) != 2 || a.Lot.Esiti[0].Refusal == nil || a.Lot.Esiti[1].Refusal == nil:
			c.t.Errorf("%s in a lot: %s", name, a.Body)
		default:
			judged++
		}
	}
	if judged < 20 {
		c.t.Errorf("only %d lots were judged", judged)
	}
}

// badBodies are bodies that must be refused, with marks where a parser or validator might quote
// them.
func (c *canary) badBodies(known *element) map[string]func(soap.Version) []byte {
	good := plainly(c.full("PresaInCarico", "CodiceFiscale"))
	wrong := c.marks.code()
	wrong = wrong[:15] + string('A'+(wrong[15]-'A'+1)%26)
	edit := func(from, to string) func(soap.Version) []byte {
		if !strings.Contains(good, from) {
			panic("not in the document: " + from)
		}
		return enveloped(strings.Replace(good, from, to, 1))
	}
	leaf := func(name, text string) func(soap.Version) []byte {
		before, rest, found := strings.Cut(good, "<"+name+">")
		_, after, closed := strings.Cut(rest, "</"+name+">")
		if !found || !closed {
			panic("not in the document: " + name)
		}
		return enveloped(before + "<" + name + ">" + text + "</" + name + ">" + after)
	}
	many := strings.Repeat("<Zqxjvk/>", 300)
	head := func(block string) func(soap.Version) []byte {
		return func(v soap.Version) []byte {
			return bytes.Replace(soap.AppendEnvelope(nil, v, []byte(good)), []byte("<soap:Body>"), []byte("<soap:Header>"+block+"</soap:Header><soap:Body>"), 1)
		}
	}
	conflict := known.with(func(path, text string) string {
		if path == "/Cartella/DataApertura" {
			return "2023-05-22"
		}
		return text
	})
	return map[string]func(soap.Version) []byte{
		"enumeration":            leaf("Sesso", "Zqxjvk"),
		"day":                    leaf("DataApertura", c.marks.code()),
		"instant":                leaf("DataOraEvento", "Zqxjvk"),
		"number":                 leaf("ProgressivoCartella", "Zqxjvk"),
		"pattern":                leaf("CodiceFiscale", "ZQXJVK"),
		"too long":               leaf("Cognome", strings.Repeat("Zqxjvk ", 20)),
		"blanks":                 leaf("Sesso", " Zqxjvk\n"),
		"id":                     leaf("IdEvento", c.marks.code()),
		"element name":           edit("<Cartella>", "<Zqxjvk>1</Zqxjvk><Cartella>"),
		"element name, nested":   edit("<Cognome>", "<ZQXJVK13P17Z001X><Zqxjvk/></ZQXJVK13P17Z001X><Cognome>"),
		"element of a namespace": edit("<Cartella>", `<z:Zqxjvk xmlns:z="urn:zqxjvk"/><Cartella>`),
		"element in a leaf":      edit("<Cognome>", "<Cognome><Zqxjvk/>"),
		"many elements":          edit("<Cartella>", many+"<Cartella>"),
		"attribute":              edit("<Cognome>", `<Cognome zqxjvk="Zqxjvk">`),
		"attribute value":        edit(`versione="1.0"`, `versione="Zqxjvk"`),
		"attribute of the root":  edit(`versione="1.0"`, `versione="1.0" zqxjvk="1"`),
		"type":                   edit("<Cognome>", `<Cognome xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="Zqxjvk">`),
		"nil":                    edit("<Cognome>", `<Cognome xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:nil="true">`),
		"comment in a leaf":      leaf("Cognome", "<!--Zqxjvk-->Zqxjvk"),
		"instruction in a leaf":  leaf("CodiceFiscale", c.marks.code()[:6]+"<?zqxjvk zqxjvk?>"+c.marks.code()[6:]),
		"text between":           edit("<Cartella>", "Zqxjvk "+c.marks.code()+"<Cartella>"),
		"entity":                 leaf("Cognome", "&Zqxjvk;"),
		"prefix":                 edit("<Cartella>", "<zqxjvk:a/><Cartella>"),
		"prefix, declared":       edit("<Cartella>", `<zqxjvk:a xmlns:zqxjvk="urn:x"/><Cartella>`),
		"namespace of a leaf":    edit("<Cognome>", `<Cognome xmlns="urn:zqxjvk">`),
		"CDATA":                  leaf("Sesso", "<![CDATA[Zqxjvk]]>"),
		"CDATA between":          edit("<Cartella>", "<![CDATA[Zqxjvk]]><Cartella>"),
		"instruction, broken":    edit("<Cartella>", "<?zqxjvk Zqxjvk><Cartella>"),
		"instruction of XML":     edit("<Cartella>", "<?xml zqxjvk?><Cartella>"),
		"type of a namespace":    edit("<Cognome>", `<Cognome xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:zqxjvk="urn:zqxjvk" xsi:type="zqxjvk:Zqxjvk">`),
		"schema location":        edit("<Cognome>", `<Cognome xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="urn:zqxjvk Zqxjvk.xsd" xsi:zqxjvk="1">`),
		"two attributes":         edit("<Cognome>", `<Cognome zqxjvk="1" zqxjvk="2">`),
		"end tag":                edit("</Cognome>", "</Zqxjvk>"),
		"no end":                 edit("</Cartella>", ""),
		"control character":      leaf("Cognome", "Zqxjvk\x01"),
		"Latin-1":                leaf("Cognome", "Zqxjvk D'Angel\xf2"),
		"not XML":                raw("Zqxjvk " + c.marks.code()),
		"operation":              enveloped(`<Zqxjvk xmlns="urn:sinba:eventi:v1"/>`),
		"namespace":              enveloped(`<InviaEventoRichiesta xmlns="urn:zqxjvk"/>`),
		"text in the Body":       enveloped("Zqxjvk" + good),
		"envelope":               raw(`<s:Envelope xmlns:s="urn:zqxjvk"><s:Body/></s:Envelope>`),
		"root":                   raw(`<Zqxjvk/>`),
		"DOCTYPE": func(v soap.Version) []byte {
			return withDoctype(good2(v, good), `<!DOCTYPE Zqxjvk [<!ENTITY zqxjvk "Zqxjvk">]>`)
		},
		"encoding": func(v soap.Version) []byte {
			return bytes.Replace(good2(v, good), []byte("UTF-8"), []byte("zqxjvk"), 1)
		},
		"header":             head(`<z:Zqxjvk xmlns:z="urn:zqxjvk" soap:mustUnderstand="1">Zqxjvk</z:Zqxjvk>`),
		"header not XML":     head(`<z:Zqxjvk>`),
		"deep":               enveloped(strings.Repeat("<Zqxjvk>", 100) + strings.Repeat("</Zqxjvk>", 100)),
		"long name":          enveloped("<" + strings.Repeat("Zqxjvk", 100) + "/>"),
		"check character":    leaf("CodiceFiscale", wrong),
		"code as a local id": leaf("IdAssistitoLocale", c.marks.code()),
		"code as a case":     leaf("IdCartella", c.marks.code()),
		"operator's code":    leaf("IdOperatoreLocale", c.marks.code()),
		"future":             leaf("DataApertura", "2094-05-23"),
		"born later":         leaf("DataNascita", "2025-09-17"),
		"product":            leaf("Prodotto", "Zqxjvk"),
		"vendor":             leaf("Fornitore", "Zqxjvk "+c.marks.code()),
		"ente":               leaf("CodiceEnte", c.marks.text("CodiceEnte")),
		"body":               leaf("TipoEvento", "SEGNALAZIONE"),
		"both places":        enveloped(plainly(c.full("InserimentoStruttura", "CodiceENI"))),
		"other content":      enveloped(plainly(conflict)),
	}
}

func good2(v soap.Version, content string) []byte {
	return soap.AppendEnvelope(nil, v, []byte(content))
}

// badRequests change the headers of a request so that it is refused before or beside its body.
func (c *canary) badRequests() map[string]func(*http.Request) {
	return map[string]func(*http.Request){
		"user":             func(r *http.Request) { r.SetBasicAuth(c.marks.text("utente"), "Zqxjvk") },
		"password":         func(r *http.Request) { r.SetBasicAuth("gesocial-pisa", c.marks.code()) },
		"scheme":           header("Authorization", "Zqxjvk "+c.marks.code()),
		"media type":       header("Content-Type", "text/zqxjvk"),
		"no media type":    header("Content-Type", "Zqxjvk; ; zqxjvk=\""),
		"charset":          header("Content-Type", "text/xml; charset=zqxjvk"),
		"content encoding": header("Content-Encoding", "zqxjvk"),
		"SOAPAction":       header("SOAPAction", `"urn:zqxjvk/`+c.marks.code()+`"`),
		"action":           header("Content-Type", `application/soap+xml; action="urn:zqxjvk"`),
		"query string": func(r *http.Request) {
			r.URL.RawQuery = "zqxjvk=Zqxjvk&cf=" + c.marks.code()
			r.Header.Set("Content-Type", "text/plain")
		},
		"headers": func(r *http.Request) {
			for _, name := range []string{"User-Agent", "X-Forwarded-For", "X-Request-Id", "Referer", "Cookie", "Traceparent", "X-Zqxjvk", "Accept-Language", "From", "Host"} {
				r.Header.Set(name, "Zqxjvk "+c.marks.code())
			}
			r.Header.Set("Content-Type", "text/plain; zqxjvk=Zqxjvk")
		},
		"action of 1.2 on 1.1": header("Content-Type", `text/xml; charset=utf-8; action="urn:zqxjvk"`),
		"method":               func(r *http.Request) { r.Method = "ZQXJVK" },
		"path":                 func(r *http.Request) { r.URL.Path = "/soap/zqxjvk/" + c.marks.code() },
		"schema": func(r *http.Request) {
			r.Method, r.Body, r.ContentLength, r.URL.RawQuery = http.MethodGet, nil, 0, "xsd=Zqxjvk.xsd"
		},
		"too large": func(r *http.Request) {
			r.Body = http.NoBody
			replacement, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, r.URL.String(), strings.NewReader(strings.Repeat("<Zqxjvk>", 300_000)))
			if err != nil {
				c.t.Fatal(err)
			}
			r.Body, r.ContentLength, r.GetBody = replacement.Body, replacement.ContentLength, replacement.GetBody
		},
	}
}

// sendWhileBroken sends good events whose acceptance fails inside the database, so that its log
// has something to say.
func (c *canary) sendWhileBroken() {
	c.t.Helper()
	mend := hubtest.BreakAcceptance(c.t, c.db)
	if a := c.send("broken database", soap.V12, loud(c.full("AperturaCartella", "CodiceFiscale"))); a.Fault == nil {
		c.t.Errorf("accepted without a database: %s", a.Body)
	}
	mend()
}
