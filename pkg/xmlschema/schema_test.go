package xmlschema_test

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sinbahub/sinbahub/pkg/xmlschema"
)

func TestCheckAcceptsEverySample(t *testing.T) {
	t.Parallel()
	s := eventSchema(t)
	for name, event := range samples(t) {
		// The samples stand in canonical form, so that the payload is the event itself.
		want := xmlschema.Verdict{Root: "InviaEventoRichiesta", Version: "1.0", Payload: event}
		if diff := cmp.Diff(want, check(t, s, event, xmlschema.Bare)); diff != "" {
			t.Errorf("%s, bare: %s", name, diff)
		}
		for version, namespace := range map[uint8]string{1: soap11, 2: soap12} {
			want.SOAP = version
			want.Header = []byte(`<s:Header xmlns:s="` + namespace + `"><h:Id xmlns:h="urn:h">1</h:Id></s:Header>`)
			if diff := cmp.Diff(want, check(t, s, envelope(namespace, event), xmlschema.Envelope)); diff != "" {
				t.Errorf("%s, SOAP %d: %s", name, version, diff)
			}
		}
	}
}

func TestCheckRefusesWhatIsNoMessage(t *testing.T) {
	t.Parallel()
	s := eventSchema(t)
	event := string(samples(t)["intervento.xml"])
	open, shut := `<e:Envelope xmlns:e="`+soap11+`">`, `</e:Envelope>`
	body := `<e:Body>` + event + `</e:Body>`
	utf16 := func(doc string) string {
		b := []byte{0xFF, 0xFE}
		for _, c := range []byte(doc) {
			b = append(b, c, 0)
		}
		return string(b)
	}
	ebcdic := "\x4C\x6F\xA7\x94\x93\x40\xA5\x85\x99\xA2\x89\x96\x95\x7E\x7D\xF1\x4B\xF0\x7D\x6F\x6E"
	for name, tt := range map[string]struct {
		doc  string
		want xmlschema.Status
	}{
		"empty":                       {"", xmlschema.Malformed},
		"blanks":                      {" \n", xmlschema.Malformed},
		"text":                        {"hello", xmlschema.Malformed},
		"cut off":                     {(open + body + shut)[:1000], xmlschema.Malformed},
		"two roots":                   {open + body + shut + "<a/>", xmlschema.Malformed},
		"text after the root":         {open + body + shut + "x", xmlschema.Malformed},
		"undeclared prefix":           {open + `<x:Header/>` + body + shut, xmlschema.Malformed},
		"two attributes of one name":  {open + `<e:Body a="1" a="2">` + event + `</e:Body>` + shut, xmlschema.Malformed},
		"one attribute, two prefixes": {open + `<e:Body xmlns:f="u:u" xmlns:g="u:u" f:a="1" g:a="2">` + event + `</e:Body>` + shut, xmlschema.Malformed},
		"undefined entity":            {open + `<e:Body>&lt;&x;</e:Body>` + shut, xmlschema.Malformed},
		"character not allowed":       {open + `<e:Body>&#1;</e:Body>` + shut, xmlschema.Malformed},
		"not UTF-8":                   {open + "<e:Body>\xE0</e:Body>" + shut, xmlschema.Malformed},
		"too deep":                    {strings.Repeat("<a>", 400) + strings.Repeat("</a>", 400), xmlschema.Malformed},

		"XML 1.1": {`<?xml version="1.1"?>` + open + body + shut, xmlschema.Malformed},

		"UTF-16":                     {utf16(open + body + shut), xmlschema.WrongEncoding},
		"UTF-16 with a doctype":      {utf16(`<!DOCTYPE a [<!ENTITY b "c">]>` + open + body + shut), xmlschema.WrongEncoding},
		"UTF-7 declared":             {`<?xml version="1.0" encoding="UTF-7"?>` + open + body + shut, xmlschema.WrongEncoding},
		"ISO-8859-1 declared":        {`<?xml version='1.0' encoding = 'ISO-8859-1' ?>` + open + body + shut, xmlschema.WrongEncoding},
		"encoding that has UTF-8":    {`<?xml version='1.0' encoding='UTF-80'?>` + open + body + shut, xmlschema.WrongEncoding},
		"EBCDIC":                     {ebcdic, xmlschema.WrongEncoding},
		"NUL at the end":             {open + body + shut + "\x00", xmlschema.WrongEncoding},
		"NUL inside":                 {open + "<e:Body>\x00" + event + "</e:Body>" + shut, xmlschema.WrongEncoding},
		"internal subset":            {`<!DOCTYPE a [<!ENTITY b "c">]>` + open + body + shut, xmlschema.Doctype},
		"external subset":            {`<!DOCTYPE a SYSTEM "http://127.0.0.1/a.dtd">` + open + body + shut, xmlschema.Doctype},
		"public identifier":          {`<!DOCTYPE a PUBLIC "p" "file:///etc/passwd">` + open + body + shut, xmlschema.Doctype},
		"empty document type":        {`<!DOCTYPE e:Envelope>` + open + body + shut, xmlschema.Doctype},
		"document type and nonsense": {`<!DOCTYPE a [ <!ENTITY % x SYSTEM "u"> %x; <<<`, xmlschema.Doctype},

		"no envelope":               {event, xmlschema.NotSOAP},
		"envelope in no namespace":  {`<Envelope><Body>` + event + `</Body></Envelope>`, xmlschema.UnknownEnvelope},
		"envelope of another":       {`<Envelope xmlns="urn:other"><Body>` + event + `</Body></Envelope>`, xmlschema.UnknownEnvelope},
		"no body":                   {open + `<e:Header/>` + shut, xmlschema.NotSOAP},
		"nothing":                   {open + shut, xmlschema.NotSOAP},
		"empty body":                {open + `<e:Body> <!-- nothing --> </e:Body>` + shut, xmlschema.NotSOAP},
		"two in the body":           {open + `<e:Body>` + event + event + `</e:Body>` + shut, xmlschema.NotSOAP},
		"three in the body":         {open + `<e:Body><a/><b/><c/></e:Body>` + shut, xmlschema.NotSOAP},
		"text in the body":          {open + `<e:Body>x` + event + `</e:Body>` + shut, xmlschema.NotSOAP},
		"CDATA in the body":         {open + `<e:Body><![CDATA[ x ]]>` + event + `</e:Body>` + shut, xmlschema.NotSOAP},
		"text in the envelope":      {open + `x` + body + shut, xmlschema.NotSOAP},
		"two bodies":                {open + body + body + shut, xmlschema.NotSOAP},
		"body before header":        {open + body + `<e:Header/>` + shut, xmlschema.NotSOAP},
		"something after the body":  {open + body + `<x/>` + shut, xmlschema.NotSOAP},
		"body of the other version": {open + `<e:Body xmlns:e="` + soap12 + `">` + event + `</e:Body>` + shut, xmlschema.NotSOAP},
		"body in the event's name":  {open + `<Body>` + event + `</Body>` + shut, xmlschema.NotSOAP},

		"unknown operation":            {open + `<e:Body><Altro xmlns="urn:sinba:eventi:v1"/></e:Body>` + shut, xmlschema.UnknownRoot},
		"operation in no namespace":    {open + `<e:Body><InviaEventoRichiesta/></e:Body>` + shut, xmlschema.UnknownRoot},
		"local element as operation":   {open + `<e:Body><Testata xmlns="urn:sinba:eventi:v1"/></e:Body>` + shut, xmlschema.UnknownRoot},
		"type named by the message":    {open + `<e:Body><x xmlns:t="urn:sinba:eventi:v1" xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:type="t:EchoType"/></e:Body>` + shut, xmlschema.UnknownRoot},
		"fault":                        {open + `<e:Body><e:Fault><faultcode>e:Client</faultcode><faultstring>x</faultstring></e:Fault></e:Body>` + shut, xmlschema.UnknownRoot},
		"lot of one event as envelope": {open + `<e:Body>` + open + body + shut + `</e:Body>` + shut, xmlschema.UnknownRoot},
	} {
		v := check(t, s, []byte(tt.doc), xmlschema.Envelope)
		if v.Status != tt.want || v.Payload != nil || v.Findings != nil || v.Root != "" {
			t.Errorf("%s: status %d, want %d (payload %d bytes)", name, v.Status, tt.want, len(v.Payload))
		}
	}
}

func TestCheckTakesWhatIsHarmless(t *testing.T) {
	t.Parallel()
	s := eventSchema(t)
	event := string(samples(t)["intervento.xml"])
	for name, doc := range map[string]string{
		"byte order mark":        "\xEF\xBB\xBF" + string(envelope(soap11, []byte(event))),
		"lower-case encoding":    `<?xml version="1.0" encoding='utf-8'?>` + event,
		"no declaration":         event,
		"comments around":        `<!-- a --><?b c?>` + event + `<!-- d -->`,
		"comments in containers": strings.ReplaceAll(event, "<Testata>", "<!-- a --><Testata><?b?> "),
		"CDATA in a value":       strings.Replace(event, "<Prodotto>", "<Prodotto><![CDATA[a & b]]>", 1),
		"schema location":        strings.Replace(event, "<InviaEventoRichiesta ", `<InviaEventoRichiesta xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:schemaLocation="urn:sinba:eventi:v1 http://127.0.0.1:9/x.xsd" `, 1),
		"prefix for everything":  prefixed(event),
	} {
		mode := xmlschema.Bare
		if strings.Contains(doc, "Envelope") {
			mode = xmlschema.Envelope
		}
		v := check(t, s, []byte(doc), mode)
		if v.Status != xmlschema.Valid || bytes.Contains(v.Payload, []byte("<!")) || bytes.Contains(v.Payload, []byte("<?")) {
			t.Errorf("%s: status %d, %v", name, v.Status, v.Findings)
		}
	}
}

// TestCheckOpensNothing has documents that name an address in every way XML and its relatives
// know. Nobody may call there: the first one to do so is the test itself, at the end.
func TestCheckOpensNothing(t *testing.T) {
	t.Parallel()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	url := "http://" + listener.Addr().String() + "/x"
	s := eventSchema(t)
	event := string(samples(t)["intervento.xml"])
	inRoot := func(attributes string) string {
		return strings.Replace(event, "<InviaEventoRichiesta ", "<InviaEventoRichiesta "+attributes+" ", 1)
	}
	const instance = `xmlns:i="http://www.w3.org/2001/XMLSchema-instance" `
	for name, doc := range map[string]string{
		"external subset":     `<!DOCTYPE a SYSTEM "` + url + `">` + event,
		"external entity":     `<!DOCTYPE a [<!ENTITY b SYSTEM "` + url + `">]>` + event,
		"parameter entity":    `<!DOCTYPE a [<!ENTITY % b SYSTEM "` + url + `"> %b;]>` + event,
		"schema location":     inRoot(instance + `i:schemaLocation="urn:sinba:eventi:v1 ` + url + ` urn:x ` + url + `"`),
		"no-namespace schema": inRoot(instance + `i:noNamespaceSchemaLocation="` + url + `"`),
		"inclusion":           strings.Replace(event, "<Testata>", `<x:include xmlns:x="http://www.w3.org/2001/XInclude" href="`+url+`"/><Testata>`, 1),
		"style sheet":         `<?xml-stylesheet href="` + url + `" type="text/xsl"?>` + event,
		"schema in a message": `<?xml-model href="` + url + `"?><xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:include schemaLocation="` + url + `"/></xs:schema>`,
		"base address":        inRoot(`xml:base="` + url + `"`),
	} {
		if _, err := s.Check([]byte(doc), xmlschema.Bare); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	own, err := new(net.Dialer).DialContext(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = own.Close() }()
	first, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = first.Close() }()
	if first.RemoteAddr().String() != own.LocalAddr().String() {
		t.Error("a document made libxml2 connect")
	}
}

// FuzzCheck: what is accepted is accepted again in its canonical form, which does not change.
func FuzzCheck(f *testing.F) {
	s := eventSchema(f)
	for _, event := range samples(f) {
		f.Add(event)
		f.Add(envelope(soap12, event))
	}
	for _, seed := range seeds(f) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		for _, mode := range []xmlschema.Mode{xmlschema.Bare, xmlschema.Envelope} {
			v := check(t, s, doc, mode)
			if v.Status != xmlschema.Valid {
				continue
			}
			again := check(t, s, v.Payload, xmlschema.Bare)
			if again.Status != xmlschema.Valid || !bytes.Equal(again.Payload, v.Payload) {
				t.Fatalf("status %d the second time", again.Status)
			}
		}
	})
}

// seeds are the small documents of the public collections of attacks, messages and fuzzers, none
// without the collections.
func seeds(f *testing.F) [][]byte {
	f.Helper()
	root := os.Getenv("SINBAHUB_CORPORA")
	if root == "" {
		return nil
	}
	const small = 8 << 10
	var all [][]byte
	for _, dir := range []string{"04-xml-attacks", "06-soap-messages", "08-fuzz"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			if content := read(f, path); len(content) <= small {
				all = append(all, content)
			}
			return nil
		})
		if err != nil {
			f.Fatal(err)
		}
	}
	return all
}

// prefixed gives the event with a prefix on every element instead of a default namespace.
func prefixed(event string) string {
	event = strings.ReplaceAll(event, "</", "\x01")
	event = strings.ReplaceAll(event, "<", "<p:")
	event = strings.ReplaceAll(event, "\x01", "</p:")
	return strings.Replace(event, "xmlns=", "xmlns:p=", 1)
}

func TestCompileFollowsIncludesInMemoryOnly(t *testing.T) {
	t.Parallel()
	main := schemaOf(`<xs:include schemaLocation="part.xsd"/><xs:element name="a" type="T"/>`)
	part := schemaOf(`<xs:simpleType name="T"><xs:restriction base="xs:int"/></xs:simpleType><xs:element name="b" type="T"/>`)
	s := compile(t, "main.xsd", map[string][]byte{"main.xsd": main, "part.xsd": part})
	for _, root := range []string{"a", "b"} {
		doc := `<` + root + ` xmlns="urn:t">1</` + root + `>`
		if v := check(t, s, []byte(doc), xmlschema.Bare); v.Status != xmlschema.Valid || v.Root != root {
			t.Errorf("%s: status %d", root, v.Status)
		}
	}
	for name, files := range map[string]map[string][]byte{
		"include missing": {"main.xsd": main},
		"main missing":    {"part.xsd": part},
		"include on disk": {"main.xsd": schemaOf(`<xs:include schemaLocation="../../xsd/sinba-eventi-v1.xsd"/>`)},
		"import by address": {"main.xsd": schemaOf(
			`<xs:import namespace="urn:u" schemaLocation="http://127.0.0.1:9/u.xsd"/>`)},
	} {
		if _, err := xmlschema.Compile("main.xsd", files); !errors.Is(err, xmlschema.ErrFiles) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCompileTakesTheNationalContract(t *testing.T) {
	t.Parallel()
	s := compile(t, "siss-ricezione-v1.xsd", map[string][]byte{
		"siss-ricezione-v1.xsd":   read(t, "../../xsd/siss-ricezione-v1.xsd"),
		"evento-nazionale-v1.xsd": read(t, "../../xsd/evento-nazionale-v1.xsd"),
	})
	v := check(t, s, []byte(`<EventoNazionale xmlns="urn:sinba:siss:v1"/>`), xmlschema.Bare)
	if v.Status != xmlschema.Invalid || v.Root != "EventoNazionale" || len(v.Findings) != 1 || v.Findings[0].Code != xmlschema.CodeMissingChild {
		t.Errorf("%+v", v)
	}
}

func TestCompileSaysWhereASchemaIsWrong(t *testing.T) {
	t.Parallel()
	_, err := xmlschema.Compile("main.xsd", map[string][]byte{
		"main.xsd": schemaOf("\n\n<xs:element name='a' type='Missing'/>"),
	})
	var wrong *xmlschema.CompileError
	if !errors.As(err, &wrong) || wrong.Line != 3 || wrong.Code == 0 {
		t.Errorf("got %v", err)
	}
	_, err = xmlschema.Compile("main.xsd", map[string][]byte{"main.xsd": []byte("<xs:schema")})
	if !errors.Is(err, xmlschema.ErrFiles) {
		t.Errorf("got %v", err)
	}
}

func TestCheckFailsAfterClose(t *testing.T) {
	t.Parallel()
	s := small(t, `<xs:element name="a" type="xs:int"/>`)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				if _, err := s.Check([]byte(`<a xmlns="urn:t">1</a>`), xmlschema.Bare); err != nil && !errors.Is(err, xmlschema.ErrClosed) {
					t.Error(err)
				}
			}
		})
	}
	for range 2 {
		wg.Go(func() { _ = s.Close() })
	}
	wg.Wait()
	if _, err := s.Check(nil, xmlschema.Bare); !errors.Is(err, xmlschema.ErrClosed) {
		t.Errorf("got %v", err)
	}
	for _, c := range s.CheckAll([][]byte{nil, []byte("<a/>")}, xmlschema.Bare) {
		if !errors.Is(c.Err, xmlschema.ErrClosed) {
			t.Errorf("got %v", c.Err)
		}
	}
}

// TestCheckAllIsCheckOfEach: what a document is checked with changes nothing, and each verdict is its own.
func TestCheckAllIsCheckOfEach(t *testing.T) {
	t.Parallel()
	s := eventSchema(t)
	docs := [][]byte{nil, {}, []byte("no xml"), []byte(`<!DOCTYPE a><a/>`), {0xFF, 0xFE, '<', 0}, []byte(`<Envelope xmlns="urn:u"/>`)}
	all := samples(t)
	for _, name := range sortedKeys(all) {
		event := all[name]
		docs = append(docs, event, bytes.Replace(event, []byte("<CodiceZona>"), []byte("<CodiceZona>?"), 1), event[:len(event)/2],
			bytes.Replace(event, []byte("</Testata>"), []byte(strings.Repeat("<X/>", 5000)+"</Testata>"), 1))
	}
	r := rand.New(rand.NewPCG(7, 2026))
	for range 5 {
		r.Shuffle(len(docs), func(i, j int) { docs[i], docs[j] = docs[j], docs[i] })
		checked := s.CheckAll(docs, xmlschema.Bare)
		if len(checked) != len(docs) {
			t.Fatalf("%d results for %d documents", len(checked), len(docs))
		}
		statuses := map[xmlschema.Status]bool{}
		for i, doc := range docs {
			want, err := s.Check(doc, xmlschema.Bare)
			if err != nil || checked[i].Err != nil {
				t.Fatal(err, checked[i].Err)
			}
			if diff := cmp.Diff(want, checked[i].Verdict); diff != "" {
				t.Errorf("document %.40q: %s", doc, diff)
			}
			statuses[want.Status] = true
		}
		if len(statuses) < 4 {
			t.Fatalf("only %d kinds of verdict", len(statuses))
		}
	}
	if got := s.CheckAll(nil, xmlschema.Bare); len(got) != 0 {
		t.Errorf("%d results for no document", len(got))
	}
}

func TestCheckInParallelGivesTheSameVerdicts(t *testing.T) {
	t.Parallel()
	s := eventSchema(t)
	all := samples(t)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for name, event := range all {
				broken := bytes.Replace(event, []byte("<CodiceZona>"), []byte("<CodiceZona>?"), 1)
				if v, err := s.Check(event, xmlschema.Bare); err != nil || !bytes.Equal(v.Payload, event) {
					t.Errorf("%s: %v, status %d", name, err, v.Status)
				}
				if v, err := s.Check(broken, xmlschema.Bare); err != nil || v.Total != 1 {
					t.Errorf("%s: %v, %d findings", name, err, v.Total)
				}
			}
		})
	}
	wg.Wait()
}

func TestCanonicalFormEscapesNamespaceNames(t *testing.T) {
	t.Parallel()
	s := eventSchema(t)
	doc := `<e:Envelope xmlns:e="` + soap11 + `"><e:Header><n:a xmlns:n="urn:a&amp;b"/></e:Header><e:Body>` +
		string(samples(t)["intervento.xml"]) + `</e:Body></e:Envelope>`
	v := check(t, s, []byte(doc), xmlschema.Envelope)
	want := `<e:Header xmlns:e="` + soap11 + `"><n:a xmlns:n="urn:a&amp;b"></n:a></e:Header>`
	if v.Status != xmlschema.Valid || string(v.Header) != want {
		t.Errorf("status %d, %s", v.Status, v.Header)
	}
}

func TestAnswerWithoutRoomIsTooLarge(t *testing.T) {
	t.Parallel()
	s := small(t, `<xs:element name="a"><xs:complexType><xs:sequence><xs:any minOccurs="0" maxOccurs="unbounded" processContents="skip"/></xs:sequence></xs:complexType></xs:element>`)
	// Every child repeats the namespace in canonical form, which no sender needs to do.
	doc := `<a xmlns="urn:t" xmlns:p="urn:` + strings.Repeat("x", 1000) + `">` + strings.Repeat("<p:b/>", 1000) + `</a>`
	if v := check(t, s, []byte(doc), xmlschema.Bare); v.Status != xmlschema.TooLarge || v.Payload != nil {
		t.Errorf("status %d, %d bytes", v.Status, len(v.Payload))
	}
}

func TestManyNamesDoNotStayInTheParser(t *testing.T) {
	t.Parallel()
	s := small(t, `<xs:element name="a"><xs:complexType><xs:sequence><xs:any minOccurs="0" maxOccurs="unbounded" processContents="skip"/></xs:sequence></xs:complexType></xs:element>`)
	var b strings.Builder
	for i := range 30_000 {
		b.WriteString("<n")
		b.WriteString(strings.Repeat(string(rune('a'+i%26)), 1+i/26%26))
		b.WriteByte(byte('a' + i/676%26))
		b.WriteByte(byte('a' + i/17576))
		b.WriteString("/>")
	}
	doc := []byte(`<a xmlns="urn:t">` + b.String() + `</a>`)
	for range 3 {
		if v := check(t, s, doc, xmlschema.Bare); v.Status != xmlschema.Valid {
			t.Fatalf("status %d", v.Status)
		}
		if v := check(t, s, []byte(`<a xmlns="urn:t"/>`), xmlschema.Bare); v.Status != xmlschema.Valid {
			t.Fatalf("status %d", v.Status)
		}
	}
}
