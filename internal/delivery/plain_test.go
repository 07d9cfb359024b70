package delivery_test

import (
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sinbahub/sinbahub/internal/delivery"
)

// Receipts in the manners of SOAP stacks: as this project's simulator writes them, with a prefix for
// the contract, with other quotes, with declarations that nothing needs, and with line breaks.
var plainReceipts = []string{
	`<?xml version="1.0" encoding="UTF-8"?><soap:Envelope xmlns:soap="http://www.w3.org/2003/05/soap-envelope"><soap:Body>` +
		`<TrasmettiEventoRisposta xmlns="urn:sinba:siss:v1"><IdTrasmissione>0191d9c6-3f0a-7c4e-8a5b-1f2e3d4c5b6a</IdTrasmissione><Esito>ACCETTATO</Esito>` +
		`<ProtocolloNazionale>SISS/2026-0001</ProtocolloNazionale></TrasmettiEventoRisposta></soap:Body></soap:Envelope>`,
	`<soap:Envelope xmlns:soap="http://www.w3.org/2003/05/soap-envelope"><soap:Body>` +
		`<ns2:TrasmettiEventoRisposta xmlns:ns2="urn:sinba:siss:v1"><ns2:IdTrasmissione>0191D9C6-3F0A-7C4E-8A5B-1F2E3D4C5B6A</ns2:IdTrasmissione>` +
		`<ns2:Esito>GIA_RICEVUTO</ns2:Esito><ns2:ProtocolloNazionale>A.1</ns2:ProtocolloNazionale></ns2:TrasmettiEventoRisposta></soap:Body></soap:Envelope>`,
	`<?xml version='1.0' encoding='UTF-8'?><S:Envelope xmlns:S="http://www.w3.org/2003/05/soap-envelope"><S:Body>` +
		`<TrasmettiEventoRisposta xmlns="urn:sinba:siss:v1"><IdTrasmissione>0191d9c6-3f0a-7c4e-8a5b-1f2e3d4c5b6a</IdTrasmissione><Esito>ACCETTATO</Esito>` +
		`<ProtocolloNazionale>1</ProtocolloNazionale></TrasmettiEventoRisposta></S:Body></S:Envelope>`,
	`<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xsd="http://www.w3.org/2001/XMLSchema">` +
		`<TrasmettiEventoRisposta xmlns="urn:sinba:siss:v1"><IdTrasmissione>0191d9c6-3f0a-7c4e-8a5b-1f2e3d4c5b6a</IdTrasmissione><Esito>ACCETTATO</Esito>` +
		`<ProtocolloNazionale>1</ProtocolloNazionale></TrasmettiEventoRisposta></s:Body></s:Envelope>`,
	"<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<Envelope\n xmlns='http://www.w3.org/2003/05/soap-envelope' xmlns:n=\"urn:sinba:siss:v1\" >\n\t<Body >\r\n" +
		"<n:TrasmettiEventoRisposta>\n <n:IdTrasmissione>0191d9c6-3f0a-7c4e-8a5b-1f2e3d4c5b6a</n:IdTrasmissione>\n <n:Esito>ACCETTATO</n:Esito>\n" +
		" <n:ProtocolloNazionale>ABC-1</n:ProtocolloNazionale>\n</n:TrasmettiEventoRisposta>\n</Body>\n</Envelope>\n",
}

func newReader(tb testing.TB) *delivery.Client {
	tb.Helper()
	c, err := delivery.NewClient("http://127.0.0.1:1", "", pool(tb))
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func TestPlainReceiptsAreRecognised(t *testing.T) {
	t.Parallel()
	c := newReader(t)
	for _, text := range plainReceipts {
		doc := []byte(text)
		got, ok := delivery.PlainReceipt(doc)
		if !ok {
			t.Errorf("not recognised: %s", doc)
		}
		if want := c.Read(t.Context(), doc); want.Root == "" || !reflect.DeepEqual(got, want) {
			t.Errorf("recognised as %+v, the jail reads %+v", got, want)
		}
	}
}

// TestNearlyPlainReceiptsGoToTheJail changes one thing each.
func TestNearlyPlainReceiptsGoToTheJail(t *testing.T) {
	t.Parallel()
	const id = "0191d9c6-3f0a-7c4e-8a5b-1f2e3d4c5b6a"
	for _, change := range [][2]string{
		{"<?xml", " <?xml"},
		{"<?xml", "\xef\xbb\xbf<?xml"},
		{"UTF-8", "UTF-16"},
		{`"1.0"`, `"1.1"`},
		{id, "0191d9c63f0a7c4e8a5b1f2e3d4c5b6a"},
		{id, "{" + id + "}"},
		{id, "urn:uuid:" + id},
		{id, id + " "},
		{id, id + "-"},
		{id, ""},
		{"ACCETTATO", "RIFIUTATO"},
		{"ACCETTATO", "accettato"},
		{"ACCETTATO", "ACCETTATO\n"},
		{"ACCETTATO", "A&#67;CETTATO"},
		{"ACCETTATO", ""},
		{"SISS/2026-0001", ""},
		{"SISS/2026-0001", "siss"},
		{"SISS/2026-0001", "0123456789012345678901234567890123456"},
		{"SISS/2026-0001", "A<!---->B"},
		{"<soap:Body>", "<soap:Header/><soap:Body>"},
		{"</soap:Body>", "</soap:Body><soap:Body/>"},
		{"<soap:Body>", `<soap:Body id="1">`},
		{"<soap:Body>", `<soap:Body xmlns:soap="http://www.w3.org/2003/05/soap-envelope">`},
		{"<soap:Body>", `<soap:Body xmlns:x="http://example.org/">`},
		{` xmlns:soap=`, strings.Repeat(` xmlns:n="urn:sinba:siss:v1"`, 2) + ` xmlns:soap=`},
		{` xmlns:soap=`, ` xmlns:xml="urn:sinba:siss:v1" xmlns:soap=`},
		{`xmlns="urn`, `xmlns="http://www.w3.org/2003/05/soap-envelope" n="urn`},
		{"2003/05/soap-envelope", "2001/XMLSchema"},
		{"<Esito>", `<Esito xmlns="urn:sinba:siss:v1">`},
		{"<Esito>", "<Esito >"},
		{"</Esito>", "</Esito >"},
		{"</Esito>", "</esito>"},
		{"</Esito>", "</Esito>x"},
		{"</Esito>", "</Esito><!---->"},
		{"</ProtocolloNazionale>", "</ProtocolloNazionale><Violazione/>"},
		{"</soap:Envelope>", ""},
		{"</soap:Envelope>", "</soap:Envelope>x"},
		{"</soap:Envelope>", "</soap:Envelope>\x00"},
		{"Risposta", "Richiesta"},
		{"<soap:Body>", strings.Repeat(" ", 70_000) + "<soap:Body>"}, // more text than soap.Scan lets through
		{" xmlns:soap=", strings.Repeat(" a", 500_000) + " xmlns:soap="},
		{"<Esito>ACCETTATO</Esito>", ""},
	} {
		doc := strings.ReplaceAll(plainReceipts[0], change[0], change[1])
		if doc == plainReceipts[0] {
			t.Errorf("%q changes nothing", change)
		}
		if got, ok := delivery.PlainReceipt([]byte(doc)); ok || !reflect.DeepEqual(got, delivery.Answer{}) {
			t.Errorf("%q: recognised as %+v", change, got)
		}
	}
}

// pieces are what stands in a receipt, and what could stand there instead.
func pieces(text string) *rapid.Generator[string] {
	marks := []string{
		"", " ", "\n", "<!---->", "<?x?>", "<![CDATA[]]>", "&#65;", "&amp;", "<", ">", "/", "\x00", "\xef\xbb\xbf", "é", ":", "x", "A", "a", "-", `"`, "'", "=",
		` xmlns=""`, ` xmlns="urn:sinba:siss:v1"`, ` xmlns:n="urn:sinba:siss:v1"`, ` xmlns:n='http://www.w3.org/2003/05/soap-envelope'`, ` xmlns:xml="urn:sinba:siss:v1"`,
		` xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"`, ` xsi:nil="true"`, ` id="a"`, "<n:Header/>", "<Esito>ACCETTATO</Esito>",
		"<n:Violazione/>", "</Body>", "RIFIUTATO", "{", "}", "urn:uuid:", "0191d9c63f0a7c4e8a5b1f2e3d4c5b6a",
	}
	return rapid.Custom(func(t *rapid.T) string {
		out := text
		for range rapid.IntRange(0, 2).Draw(t, "changes") {
			from := rapid.IntRange(0, len(out)).Draw(t, "from")
			to := min(len(out), from+rapid.SampledFrom([]int{0, 0, 0, 1, 2, 7}).Draw(t, "removed"))
			out = out[:from] + rapid.SampledFrom(marks).Draw(t, "mark") + out[to:]
		}
		return out
	})
}

// TestPlainReceiptIsWhatTheJailReads changes receipts at random: what is still recognised means to
// the jail exactly the same.
func TestPlainReceiptIsWhatTheJailReads(t *testing.T) {
	t.Parallel()
	c := newReader(t)
	rapid.Check(t, func(rt *rapid.T) {
		doc := []byte(pieces(rapid.SampledFrom(plainReceipts).Draw(rt, "receipt")).Draw(rt, "text"))
		got, ok := delivery.PlainReceipt(doc)
		if !ok {
			if !reflect.DeepEqual(got, delivery.Answer{}) {
				rt.Fatalf("not recognised, yet taken over: %+v", got)
			}
			return
		}
		if want := c.Read(t.Context(), doc); !reflect.DeepEqual(got, want) {
			rt.Fatalf("recognised as %+v, the jail reads %+v", got, want)
		}
	})
}

func FuzzPlainReceipt(f *testing.F) {
	for _, text := range plainReceipts {
		f.Add([]byte(text))
	}
	c := newReader(f)
	f.Fuzz(func(t *testing.T, doc []byte) {
		if got, ok := delivery.PlainReceipt(doc); ok {
			if want := c.Read(t.Context(), doc); !reflect.DeepEqual(got, want) {
				t.Errorf("recognised as %+v, the jail reads %+v", got, want)
			}
		}
	})
}
