//go:build e2e || smoke

package hubtest_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf16"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// knownEvent is an event of the child known() that was accepted before the bad ones.
var knownEvent = uuid.MustParse("5f0f3f38-2c7f-4a0e-9d42-0a8f2b1c6d01")

func known() hubtest.Child { return 1 }

// fresh is a good document: the opening of a case that the hub never saw.
func fresh() []byte {
	child, id := hubtest.Child(2), uuid.New()
	return bytes.ReplaceAll(child.Event(id, 1), []byte(child.Case()), []byte(child.Case()+"/"+id.String()[:8]))
}

// raw gives the same body in every SOAP version.
func raw(body string) func(soap.Version) []byte {
	return func(soap.Version) []byte { return []byte(body) }
}

// enveloped puts a body's content into an envelope.
func enveloped(content string) func(soap.Version) []byte {
	return func(v soap.Version) []byte { return soap.AppendEnvelope(nil, v, []byte(content)) }
}

// edited is a good event with one text replaced.
func edited(from, to string) func(soap.Version) []byte {
	document := string(fresh())
	if !strings.Contains(document, from) {
		panic("the template does not hold " + from)
	}
	return enveloped(strings.Replace(document, from, to, 1))
}

// good is an event that is accepted if nothing else is wrong.
func good(v soap.Version) []byte { return soap.AppendEnvelope(nil, v, fresh()) }

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

// refusal is a case of HTTP 500 whose fault blames the sender.
func refusal(name string, body func(soap.Version) []byte, codes ...string) badCase {
	return badCase{name: name, body: body, status: http.StatusInternalServerError, codes: codes, fault: soap.Sender}
}

// badTransport is what the hub refuses without looking into the message.
func badTransport() []badCase {
	big := raw(strings.Repeat(" ", 2<<20+1))
	status := func(status int, c badCase) badCase {
		c.status = status
		return c
	}
	stranger := func(name string, change func(*http.Request)) badCase {
		c := status(http.StatusUnauthorized, refusal(name, good, "SINBA_101"))
		c.change, c.stranger = change, true
		return c
	}
	with := func(c badCase, change func(*http.Request)) badCase {
		c.change = change
		return c
	}
	// The media type is all that tells the version of a body that is not read.
	in11 := func(c badCase) badCase {
		c.answered = soap.V11
		return c
	}
	in12 := func(c badCase) badCase {
		c.answered = soap.V12
		return c
	}
	cases := []badCase{
		stranger("no credential", func(r *http.Request) { r.Header.Del("Authorization") }),
		stranger("wrong password", func(r *http.Request) { r.SetBasicAuth("gesocial-pisa", "wrong") }),
		stranger("unknown user", func(r *http.Request) { r.SetBasicAuth("nobody", "wrong") }),
		stranger("another scheme", header("Authorization", "Bearer x")),
		with(in11(status(http.StatusUnsupportedMediaType, refusal("media type JSON", good, "SINBA_007"))), header("Content-Type", "application/json")),
		with(in11(status(http.StatusUnsupportedMediaType, refusal("no media type", good, "SINBA_007"))), func(r *http.Request) { r.Header.Del("Content-Type") }),
		with(in11(status(http.StatusUnsupportedMediaType, refusal("attachments", good, "SINBA_007"))),
			header("Content-Type", `multipart/related; type="text/xml"; boundary=b`)),
		with(in11(status(http.StatusUnsupportedMediaType, refusal("another charset, 1.1", good, "SINBA_007"))), header("Content-Type", "text/xml; charset=ISO-8859-1")),
		with(in12(status(http.StatusUnsupportedMediaType, refusal("another charset, 1.2", good, "SINBA_007"))),
			header("Content-Type", `application/soap+xml; charset="utf-16"`)),
		with(status(http.StatusUnsupportedMediaType, refusal("compressed", good, "SINBA_008")), header("Content-Encoding", "gzip")),
		status(http.StatusRequestEntityTooLarge, refusal("over 2 MiB", big, "SINBA_006")),
		with(status(http.StatusRequestEntityTooLarge, refusal("over 2 MiB, chunked", big, "SINBA_006")), chunked),
		with(status(http.StatusOK, refusal("chunked", good)), chunked),
		with(status(http.StatusMethodNotAllowed, refusal("GET", raw(""))), func(r *http.Request) { r.Method, r.Body = http.MethodGet, nil }),
		with(status(http.StatusMethodNotAllowed, refusal("PUT", good)), func(r *http.Request) { r.Method = http.MethodPut }),
	}
	// The other media type on the same envelope: the envelope decides, and this is no mistake.
	for _, other := range []soap.Version{soap.V11, soap.V12} {
		c := with(status(http.StatusOK, refusal("media type of "+other.String(), good)), header("Content-Type", other.ContentType()))
		cases = append(cases, c)
	}
	cases[len(cases)-3].stranger, cases[len(cases)-4].stranger = true, true // not SOAP
	return cases
}

// badEnvelopes is what is no SOAP message the contract knows.
func badEnvelopes() []badCase {
	two := string(fresh())
	wide := make([]string, 200)
	for i := range wide {
		wide[i] = fmt.Sprintf(`a%d="1"`, i)
	}
	other := refusal("another envelope", func(soap.Version) []byte {
		return bytes.ReplaceAll(good(soap.V11), []byte(soap.Namespace11), []byte("urn:other:envelope"))
	}, "SINBA_014")
	other.fault = soap.VersionMismatch
	mismatched := refusal("schema violation in the other media type", edited("<TipoOperazione>I", "<TipoOperazione>X"), "SINBA_204")
	mismatched.change = func(r *http.Request) {
		swapped := map[string]soap.Version{soap.V11.ContentType(): soap.V12, soap.V12.ContentType(): soap.V11}
		r.Header.Set("Content-Type", swapped[r.Header.Get("Content-Type")].ContentType())
	}
	return []badCase{
		refusal("not XML", raw("ceci n'est pas XML"), "SINBA_001"),
		refusal("JSON", raw(`{"Envelope": {}}`), "SINBA_001"),
		refusal("nothing", raw(""), "SINBA_001"),
		refusal("blanks", raw(" \r\n "), "SINBA_001"),
		refusal("two roots", func(v soap.Version) []byte { return append(good(v), "<x/>"...) }, "SINBA_001"),
		refusal("undeclared prefix", enveloped("<p:EchoRichiesta/>"), "SINBA_001"),
		refusal("duplicate attribute", enveloped(`<EchoRichiesta xmlns="urn:sinba:eventi:v1" versione="1.0" versione="1.0"/>`), "SINBA_001"),
		refusal("a reference to a surrogate", edited("<TipoOperazione>I", "<TipoOperazione>&#xD800;"), "SINBA_001"),
		refusal("an undeclared entity", edited("<TipoOperazione>I", "<TipoOperazione>&lt;&nome;"), "SINBA_001"),
		refusal("UTF-16 with a mark", func(v soap.Version) []byte { return utf16Of(good(v)) }, "SINBA_002"),
		refusal("UTF-16 without a mark", func(v soap.Version) []byte { return utf16Of(good(v))[2:] }, "SINBA_002"),
		refusal("declares another encoding", func(v soap.Version) []byte {
			return bytes.Replace(good(v), []byte("UTF-8"), []byte("ISO-8859-1"), 1)
		}, "SINBA_002"),
		refusal("null character", edited("SPORTELLO", "SPORT\x00ELLO"), "SINBA_002"),
		refusal("DOCTYPE", func(v soap.Version) []byte { return withDoctype(good(v), `<!DOCTYPE x>`) }, "SINBA_003"),
		refusal("DOCTYPE with an entity", func(v soap.Version) []byte {
			body := withDoctype(good(v), `<!DOCTYPE x [<!ENTITY nome SYSTEM "file:///etc/passwd">]>`)
			return bytes.Replace(body, []byte("SPORTELLO"), []byte("&nome;"), 1)
		}, "SINBA_003"),
		refusal("no envelope", raw(string(fresh())), "SINBA_004"),
		refusal("empty Body", enveloped(""), "SINBA_004"),
		refusal("two children of Body", enveloped(two+two), "SINBA_004"),
		refusal("no Body", func(v soap.Version) []byte {
			return []byte(`<e:Envelope xmlns:e="` + v.Namespace() + `"><e:Header/></e:Envelope>`)
		}, "SINBA_004"),
		refusal("too deep", enveloped(strings.Repeat("<a>", 100)+strings.Repeat("</a>", 100)), "SINBA_005"),
		refusal("too many attributes", enveloped("<a "+strings.Join(wide, " ")+"/>"), "SINBA_005"),
		other, mismatched,
	}
}

// badHeaders is what the headers of SOAP and HTTP ask and the hub does not do.
func badHeaders() []badCase {
	block := func(attributes string) func(soap.Version) []byte {
		return func(v soap.Version) []byte {
			head := `<s:Header xmlns:s="` + v.Namespace() + `"><x:Segreto xmlns:x="urn:other" ` + attributes + `>1</x:Segreto></s:Header><soap:Body>`
			return bytes.Replace(good(v), []byte("<soap:Body>"), []byte(head), 1)
		}
	}
	not := func(c badCase, only soap.Version) badCase {
		c.fault, c.only = soap.MustUnderstand, only
		return c
	}
	ok := func(name, attributes string, only soap.Version) badCase {
		return badCase{name: name, body: block(attributes), status: http.StatusOK, only: only}
	}
	action := func(name, value string) badCase {
		c := refusal(name, good, "SINBA_011")
		c.change, c.only = header("SOAPAction", value), soap.V11
		return c
	}
	parameter := refusal("action of another operation", good, "SINBA_011")
	parameter.change, parameter.only = header("Content-Type", `application/soap+xml; charset=utf-8; action="urn:sinba:eventi:v1/echo"`), soap.V12
	const role = soap.Namespace12 + "/role/"
	return []badCase{
		not(refusal("mustUnderstand 1", block(`s:mustUnderstand="1"`), "SINBA_009"), 0),
		not(refusal("mustUnderstand true", block(`s:mustUnderstand="true"`), "SINBA_009"), soap.V12),
		not(refusal("mustUnderstand for the next", block(`s:mustUnderstand="1" s:actor="http://schemas.xmlsoap.org/soap/actor/next"`), "SINBA_009"), soap.V11),
		not(refusal("mustUnderstand for the next role", block(`s:mustUnderstand="1" s:role="`+role+`next"`), "SINBA_009"), soap.V12),
		not(refusal("mustUnderstand for the receiver", block(`s:mustUnderstand="1" s:role="`+role+`ultimateReceiver"`), "SINBA_009"), soap.V12),
		ok("mustUnderstand for another actor", `s:mustUnderstand="1" s:actor="urn:other:node"`, soap.V11),
		ok("mustUnderstand for another role", `s:mustUnderstand="1" s:role="urn:other:node"`, soap.V12),
		ok("mustUnderstand for nobody", `s:mustUnderstand="1" s:role="`+role+`none"`, soap.V12),
		ok("need not be understood", `s:mustUnderstand="0"`, 0),
		ok("unknown header", "", 0),
		action("SOAPAction of another operation", `"urn:sinba:eventi:v1/verificaEvento"`),
		action("SOAPAction of nobody", "urn:other"),
		parameter,
	}
}

// badEvents is what is wrong with events beside testdata/bad.
func badEvents() []badCase {
	conflict := string(known().Event(knownEvent, 1))
	return []badCase{
		refusal("an ente of somebody else", edited("SDS-PI", "SDS-FI"), "SINBA_323"),
		refusal("an ente in lower case", edited("SDS-PI", "sds-pi"), "SINBA_323"),
		refusal("known id, other content", enveloped(strings.Replace(conflict, "SPORTELLO", "AUTORITA_GIUDIZIARIA", 1)), "SINBA_110"),
		refusal("known id in upper case, other content",
			enveloped(strings.NewReplacer("SPORTELLO", "AUTORITA_GIUDIZIARIA", knownEvent.String(), strings.ToUpper(knownEvent.String())).Replace(conflict)), "SINBA_110"),
		refusal("known id, refused for its sender first", enveloped(strings.ReplaceAll(conflict, "SDS-PI", "SDS-FI")), "SINBA_323"),
		refusal("version 1.7", edited(`versione="1.0"`, `versione="1.7"`), "SINBA_013"),
		refusal("version 1.7 with an element of its own", enveloped(strings.NewReplacer(`versione="1.0"`, `versione="1.7"`, "<Testata>", "<Nuovo/><Testata>").Replace(string(fresh()))), "SINBA_013"),
		refusal("version 2.0", edited(`versione="1.0"`, `versione="2.0"`), "SINBA_013"),
		refusal("version 1.7 of echo", enveloped(`<EchoRichiesta xmlns="urn:sinba:eventi:v1" versione="1.7"/>`), "SINBA_013"),
		refusal("version 1.7 of stato", enveloped(`<StatoEventoRichiesta xmlns="urn:sinba:eventi:v1" versione="1.7"><IdEvento>`+uuid.NewString()+`</IdEvento></StatoEventoRichiesta>`), "SINBA_013"),
		refusal("two from the registry", enveloped(strings.NewReplacer("SDS-PI", "SDS-FI", "Gesocial", "Altro").Replace(string(fresh()))), "SINBA_323", "SINBA_324"),
		refusal("unknown namespace", enveloped(`<InviaEventoRichiesta xmlns="urn:sinba:eventi:v9"/>`), "SINBA_010"),
		refusal("no namespace", enveloped(`<EchoRichiesta/>`), "SINBA_010"),
		refusal("an answer as a request", enveloped(`<EchoRisposta xmlns="urn:sinba:eventi:v1"/>`), "SINBA_010"),
		refusal("empty event", enveloped(`<InviaEventoRichiesta xmlns="urn:sinba:eventi:v1"/>`), "SINBA_201"),
	}
}

// badQuestions is what is wrong with the other operations.
func badQuestions() []badCase {
	const ns = ` xmlns="urn:sinba:eventi:v1"`
	ask := func(name, content string, codes ...string) badCase {
		return refusal(name, enveloped(content), codes...)
	}
	id := "<IdEvento>" + uuid.NewString() + "</IdEvento>"
	return []badCase{
		ask("state of an unknown event", `<StatoEventoRichiesta`+ns+`>`+id+`</StatoEventoRichiesta>`, "SINBA_104"),
		ask("state of somebody else's", `<StatoEventoRichiesta`+ns+`><CodiceEnte>SDS-FI</CodiceEnte>`+id+`</StatoEventoRichiesta>`, "SINBA_323"),
		ask("state of nothing", `<StatoEventoRichiesta`+ns+`/>`, "SINBA_201"),
		ask("echo too long", `<EchoRichiesta`+ns+`><Messaggio>`+strings.Repeat("x", 101)+`</Messaggio></EchoRichiesta>`, "SINBA_205"),
		ask("summary of somebody else's", `<RiepilogoEventiRichiesta`+ns+`><CodiceEnte>SDS-FI</CodiceEnte><Dal>2024-01-01</Dal><Al>2024-01-31</Al></RiepilogoEventiRichiesta>`, "SINBA_323"),
		ask("summary of more than a year", `<RiepilogoEventiRichiesta`+ns+`><CodiceEnte>SDS-PI</CodiceEnte><Dal>1900-01-01</Dal><Al>2099-12-31</Al></RiepilogoEventiRichiesta>`, "SINBA_106"),
		ask("summary backwards", `<RiepilogoEventiRichiesta`+ns+`><CodiceEnte>SDS-PI</CodiceEnte><Dal>2024-01-31</Dal><Al>2024-01-01</Al></RiepilogoEventiRichiesta>`, "SINBA_106"),
		ask("summary behind a forged cursor", `<RiepilogoEventiRichiesta`+ns+`><CodiceEnte>SDS-PI</CodiceEnte><Dal>2024-01-01</Dal><Al>2024-01-31</Al><Cursore>AAAA</Cursore></RiepilogoEventiRichiesta>`, "SINBA_107"),
		ask("summary of an unknown case", `<RiepilogoEventiRichiesta`+ns+`><CodiceEnte>SDS-PI</CodiceEnte><Dal>2024-01-01</Dal><Al>2024-01-31</Al><IdCartella>nessuna</IdCartella></RiepilogoEventiRichiesta>`, "SINBA_108"),
		ask("lot of nothing", `<InviaLottoRichiesta`+ns+`><IdLotto>`+uuid.NewString()+`</IdLotto></InviaLottoRichiesta>`, "SINBA_201"),
		ask("lot without its id", `<InviaLottoRichiesta`+ns+`><Evento>`+inner(string(fresh()))+`</Evento></InviaLottoRichiesta>`, "SINBA_201"),
		ask("lot of too many", `<InviaLottoRichiesta`+ns+`><IdLotto>`+uuid.NewString()+`</IdLotto>`+strings.Repeat("<Evento/>", 101)+`</InviaLottoRichiesta>`, "SINBA_202"),
		ask("lot of another version", `<InviaLottoRichiesta`+ns+` versione="1.1"><IdLotto>`+uuid.NewString()+`</IdLotto><Evento>`+inner(string(fresh()))+`</Evento></InviaLottoRichiesta>`, "SINBA_013"),
	}
}

// inner is the content of a document's root.
func inner(document string) string {
	return document[strings.Index(document, ">")+1 : strings.LastIndex(document, "</")]
}

// utf16Of encodes a document as little-endian UTF-16 with a byte order mark.
func utf16Of(document []byte) []byte {
	units := utf16.Encode([]rune("\ufeff" + string(bytes.Replace(document, []byte("UTF-8"), []byte("UTF-16"), 1))))
	out := make([]byte, 0, 2*len(units))
	for _, u := range units {
		out = append(out, byte(u), byte(u>>8))
	}
	return out
}

// withDoctype puts a document type declaration behind the XML declaration.
func withDoctype(document []byte, doctype string) []byte {
	return bytes.Replace(document, []byte("?>"), []byte("?>"+doctype), 1)
}
