package validator_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/validator"
	"github.com/sinbahub/sinbahub/pkg/xmlschema"
)

// person is an identity in a form that may be a name in XML.
const person = "ZQXJVK85T10A562S"

// named are documents with the person in every place of XML that has a name or a text of its own.
func named(event string) map[string]string {
	in := func(at, with string) string {
		if !strings.Contains(event, at) {
			panic("not in the event: " + at)
		}
		return strings.Replace(event, at, with, 1)
	}
	const xsi = ` xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"`
	all := map[string]string{
		"value":                   in("<Cognome>", "<Cognome>"+strings.Repeat(person, 40)),
		"enumerated value":        in("<TipoEvento>", "<TipoEvento>"+person),
		"value of the version":    in(`versione="1.0"`, `versione="`+person+`"`),
		"element":                 in("<Testata>", "<"+person+"/><Testata>"),
		"element in a leaf":       in("<Cognome>", "<Cognome><"+person+">x</"+person+">"),
		"element around":          in("<Cognome>", "<"+person+"><Cognome></Cognome></"+person+"><Cognome>"),
		"root":                    strings.ReplaceAll(event, "InviaEventoRichiesta", person),
		"attribute":               in("<Cognome>", "<Cognome "+person+`="1">`),
		"attribute's value":       in("<Cognome>", `<Cognome x="`+person+`">`),
		"attribute of the root":   in(`versione="1.0"`, `versione="1.0" `+person+`="`+person+`"`),
		"xml:lang":                in("<Cognome>", `<Cognome xml:lang="`+person+`">`),
		"xml:id":                  in("<Cognome>", `<Cognome xml:id="`+person+`">`),
		"prefix":                  in("<Testata>", "<"+person+":a xmlns:"+person+`="urn:x"/><Testata>`),
		"prefix of an attribute":  in("<Cognome>", "<Cognome xmlns:"+person+`="urn:x" `+person+`:a="1">`),
		"prefix not declared":     in("<Testata>", "<"+person+":a/><Testata>"),
		"prefix for nothing":      in("<Cognome>", "<Cognome xmlns:"+person+`="urn:x">`),
		"namespace":               in("<Cognome>", `<Cognome xmlns="urn:`+person+`">`),
		"namespace of the root":   strings.Replace(event, "urn:sinba:eventi:v1", "urn:"+person, 1),
		"namespace unused":        in("<Cognome>", `<Cognome xmlns:p="urn:`+person+`">`),
		"namespace of attributes": in("<Cognome>", `<Cognome xmlns:p="urn:`+person+`" p:a="1">`),
		"comment":                 in("<Testata>", "<!-- "+person+" --><Testata>"),
		"comment in a leaf":       in("<Cognome>", "<Cognome>A<!-- "+person+" -->"),
		"comment broken":          in("<Testata>", "<!-- "+person+" -- --><Testata>"),
		"instruction":             in("<Testata>", "<?"+person+" "+person+"?><Testata>"),
		"instruction in a leaf":   in("<Cognome>", "<Cognome>A<?"+person+" "+person+"?>"),
		"instruction broken":      in("<Testata>", "<?"+person+":x ?><?xml "+person+"?><Testata>"),
		"CDATA":                   in("<TipoEvento>", "<TipoEvento><![CDATA["+person+"]]>"),
		"CDATA between":           in("<Testata>", "<![CDATA["+person+"]]><Testata>"),
		"CDATA broken":            in("<Testata>", "<![CDATA["+person+"<Testata>"),
		"text between":            in("<Testata>", person+"<Testata>"),
		"xsi:type":                in("<Cognome>", "<Cognome"+xsi+` xsi:type="`+person+`">`),
		"xsi:type with a prefix":  in("<Cognome>", "<Cognome"+xsi+` xmlns:p="urn:`+person+`" xsi:type="p:`+person+`">`),
		"xsi:type of nothing":     in("<Cognome>", "<Cognome"+xsi+` xsi:type="`+person+`:`+person+`">`),
		"xsi:nil":                 in("<Cognome>", "<Cognome"+xsi+` xsi:nil="`+person+`">`),
		"xsi:schemaLocation":      in("<Cognome>", "<Cognome"+xsi+` xsi:schemaLocation="urn:`+person+` `+person+`.xsd">`),
		"xsi:schemaLocation odd":  in("<Cognome>", "<Cognome"+xsi+` xsi:schemaLocation="`+person+`">`),
		"xsi:noNamespace":         in("<Cognome>", "<Cognome"+xsi+` xsi:noNamespaceSchemaLocation="`+person+`.xsd">`),
		"xsi:other":               in("<Cognome>", "<Cognome"+xsi+` xsi:`+person+`="1">`),
		"entity":                  in("<Cognome>", "<Cognome>&"+person+";"),
		"character reference":     in("<Cognome>", "<Cognome>&#x"+person+";"),
		"document type":           "<!DOCTYPE " + person + ` [<!ENTITY ` + person + ` "` + person + `">]>` + event,
		"encoding":                `<?xml version="1.0" encoding="` + person + `"?>` + event,
		"version of XML":          `<?xml version="` + person + `"?>` + event,
		"end tag":                 in("</Cognome>", "</"+person+">"),
		"two attributes":          in("<Cognome>", "<Cognome "+person+`="1" `+person+`="2">`),
		"attribute broken":        in("<Cognome>", "<Cognome "+person+"="+person+">"),
		"behind the root":         event + "<" + person + "/>" + person,
		"name not closed":         in("<Testata>", "<"+person),
	}
	return all
}

// inEnvelope are SOAP messages with the person around the event.
func inEnvelope(namespace, event string) map[string]string {
	message := string(envelope(namespace, []byte(event)))
	in := func(at, with string) string { return strings.Replace(message, at, with, 1) }
	return map[string]string{
		"header block":        in("<h:Id ", "<h:"+person+` xmlns:h="urn:h" s:mustUnderstand="1"/><h:Id `),
		"header prefix":       in("<h:Id ", "<"+person+":a xmlns:"+person+`="urn:`+person+`"/><h:Id `),
		"header text":         in(">1<", ">"+person+"<"),
		"header's attribute":  in("<s:Header>", "<s:Header "+person+`="`+person+`">`),
		"actor":               in("<h:Id ", `<h:Id s:actor="`+person+`" s:role="`+person+`" `),
		"text in the body":    in("<s:Body>", "<s:Body>"+person),
		"body's attribute":    in("<s:Body>", "<s:Body "+person+`="`+person+`">`),
		"behind the body":     in("</s:Body>", "</s:Body><"+person+"/>"),
		"before the body":     in("<s:Header>", "<"+person+"/><s:Header>"),
		"second in the body":  in("</s:Body>", "<"+person+"/></s:Body>"),
		"only in the body":    string(envelope(namespace, []byte("<"+person+"/>"))),
		"envelope's prefix":   strings.NewReplacer("<s:", "<"+person+":", "</s:", "</"+person+":", "xmlns:s=", "xmlns:"+person+"=").Replace(message),
		"envelope's space":    strings.Replace(message, namespace, "urn:"+person, 1),
		"envelope's comment":  in("<s:Header>", "<!--"+person+"--><?"+person+"?><s:Header>"),
		"encoding style":      in("<s:Body>", `<s:Body s:encodingStyle="urn:`+person+`">`),
		"type in the message": in("<InviaEventoRichiesta ", `<InviaEventoRichiesta xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:type="`+person+`" `),
	}
}

// TestNoNameOrTextOfAPersonComesBack: nothing of a document reaches a result but its canonical
// form, nor an error, nor the log.
func TestNoNameOrTextOfAPersonComesBack(t *testing.T) {
	t.Parallel()
	sink := &memorySink{}
	log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), sink, zap.DebugLevel))
	p := newPool(t, func(c *validator.Config) { c.Logger = log })
	core := eventCore(t)
	judged, refused := 0, 0
	look := func(name, document string, mode validator.Mode) {
		judged++
		r, err := p.Validate(t.Context(), validator.SinbaEventi, mode, []byte(document))
		if err != nil || r.Payload == nil {
			refused++
		}
		r.Payload, r.Header = nil, nil
		v, coreErr := core.Check([]byte(document), xmlschema.Mode(mode))
		v.Payload, v.Header = nil, nil
		seen := fmt.Sprintf("%+v %#v %v %#v %+v %#v %v", r, r, err, err, v, v, coreErr)
		if e, ok := errors.AsType[*hub.Error](err); ok {
			seen += fmt.Sprintf("%+v %v", *e, errors.Unwrap(e))
		}
		text, jsonErr := json.Marshal([]any{r, v})
		if jsonErr != nil {
			t.Error(jsonErr)
		}
		if strings.Contains(strings.ToLower(seen+string(text)), strings.ToLower(person[:6])) {
			t.Errorf("%s comes back: %s", name, seen)
		}
	}
	for _, event := range samples(t) {
		for name, document := range named(string(event)) {
			look(name, document, validator.Bare)
			look(name+" in an envelope", string(envelope(soap12, []byte(document))), validator.Envelope)
		}
		for _, namespace := range []string{soap11, soap12} {
			for name, message := range inEnvelope(namespace, string(event)) {
				look(name, message, validator.Envelope)
				look(name+", bare", message, validator.Bare)
			}
		}
	}
	if strings.Contains(strings.ToLower(sink.String()), strings.ToLower(person[:6])) {
		t.Error("the log holds the person")
	}
	if refused < judged/2 {
		t.Errorf("only %d of %d refused", refused, judged)
	}
	t.Logf("%d documents, %d refused", judged, refused)
}
