package soap_test

import (
	"encoding/xml"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sinbahub/sinbahub/pkg/soap"
)

func TestParseMediaTakesWhatClientStacksSend(t *testing.T) {
	t.Parallel()
	cases := []struct {
		header string
		want   soap.Media
		ok     bool
	}{
		{"text/xml; charset=utf-8", soap.Media{Version: soap.V11}, true},
		{"text/xml", soap.Media{Version: soap.V11}, true},
		{`text/xml;charset="UTF-8";`, soap.Media{Version: soap.V11}, true},
		{`application/soap+xml; action="urn:x"; charset=utf-8`, soap.Media{Version: soap.V12, Action: "urn:x"}, true},
		{`application/soap+xml; charset=UTF-8; action=urn:x/y`, soap.Media{}, false}, // a slash must be quoted
		{`Application/SOAP+XML`, soap.Media{Version: soap.V12}, true},
		{"text/xml; charset=iso-8859-1", soap.Media{}, false},
		{"multipart/related; boundary=b", soap.Media{}, false},
		{"application/xop+xml", soap.Media{}, false},
		{"", soap.Media{}, false},
	}
	for _, c := range cases {
		t.Run(c.header, func(t *testing.T) {
			t.Parallel()
			got, ok := soap.ParseMedia(c.header)
			if ok != c.ok || got != c.want {
				t.Errorf("got %+v %v, want %+v %v", got, ok, c.want, c.ok)
			}
		})
	}
}

func TestActionPrefersTheHeader(t *testing.T) {
	t.Parallel()
	if got := soap.Action(` "urn:a" `, soap.Media{Action: "urn:b"}); got != "urn:a" {
		t.Errorf("got %q, want urn:a", got)
	}
	if got := soap.Action(`""`, soap.Media{Action: "urn:b"}); got != "urn:b" {
		t.Errorf("got %q, want urn:b", got)
	}
}

func TestReadHeaderFindsWhatMustBeUnderstood(t *testing.T) {
	t.Parallel()
	header := func(v soap.Version, actor string) string {
		return `<e:Header xmlns:e="` + v.Namespace() + `"><a:Block xmlns:a="urn:a" e:mustUnderstand=" 1 "` + actor +
			`><a:Inner e:mustUnderstand="1"></a:Inner></a:Block><b:Other xmlns:b="urn:b"></b:Other></e:Header>`
	}
	cases := []struct {
		name   string
		v      soap.Version
		header string
		forUs  bool
	}{
		{"no actor", soap.V11, header(soap.V11, ""), true},
		{"next", soap.V11, header(soap.V11, ` e:actor="http://schemas.xmlsoap.org/soap/actor/next"`), true},
		{"another actor", soap.V11, header(soap.V11, ` e:actor="urn:someone"`), false},
		{"ultimate receiver", soap.V12, header(soap.V12, ` e:role="http://www.w3.org/2003/05/soap-envelope/role/ultimateReceiver"`), true},
		{"none", soap.V12, header(soap.V12, ` e:role="http://www.w3.org/2003/05/soap-envelope/role/none"`), false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := soap.ReadHeader([]byte(c.header), c.v)
			want := []soap.Block{
				{Namespace: "urn:a", Name: "Block", MustUnderstand: true, ForUs: c.forUs},
				{Namespace: "urn:b", Name: "Other", ForUs: true},
			}
			if err != nil || !cmp.Equal(got, want) {
				t.Errorf("err %v, blocks differ: %s", err, cmp.Diff(want, got))
			}
		})
	}
	if blocks, err := soap.ReadHeader(nil, soap.V12); err != nil || blocks != nil {
		t.Errorf("no header: %v %v", blocks, err)
	}
	if _, err := soap.ReadHeader([]byte("<a>"), soap.V12); err == nil {
		t.Error("a broken header was read")
	}
}

func TestReadHeaderFindsWhoWantsTheAnswerElsewhere(t *testing.T) {
	t.Parallel()
	const w3c, submission = "http://www.w3.org/2005/08/addressing", "http://schemas.xmlsoap.org/ws/2004/08/addressing"
	block := func(name, namespace, content string) string {
		return `<a:` + name + ` xmlns:a="` + namespace + `">` + content + `</a:` + name + `>`
	}
	address := func(text string) string { return "<a:Address>" + text + "</a:Address>" }
	cases := []struct {
		name, block string
		elsewhere   bool
	}{
		{"reply", block("ReplyTo", w3c, address("http://127.0.0.1/")), true},
		{"fault", block("FaultTo", w3c, address("http://127.0.0.1/")), true},
		{"reply of the submission", block("ReplyTo", submission, address("urn:x")), true},
		{"reply to nobody", block("ReplyTo", w3c, address(w3c+"/none")), true},
		{"reply without address", block("ReplyTo", w3c, ""), true},
		{"an address of another namespace", block("ReplyTo", w3c, `<Address>`+w3c+`/anonymous</Address>`), true},
		{"an address deeper down", block("ReplyTo", w3c, "<a:b>"+address(w3c+"/anonymous")+"</a:b>"), true},
		{"anonymous", block("ReplyTo", w3c, address(" "+w3c+"/anonymous\n")+"<a:ReferenceParameters><a:Address>x</a:Address></a:ReferenceParameters>"), false},
		{"anonymous of the submission", block("FaultTo", submission, address(submission+"/role/anonymous")), false},
		{"where the message goes", block("To", w3c, "http://127.0.0.1/"), false},
		{"who sent it", block("From", w3c, address("http://127.0.0.1/")), false},
		{"of nobody", block("ReplyTo", "urn:a", address("http://127.0.0.1/")), false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			header := `<e:Header xmlns:e="` + soap.Namespace12 + `">` + c.block + `<b:Other xmlns:b="urn:b"></b:Other></e:Header>`
			got, err := soap.ReadHeader([]byte(header), soap.V12)
			if err != nil || len(got) != 2 || got[0].Elsewhere != c.elsewhere || got[1].Elsewhere {
				t.Errorf("%v %+v, want %v", err, got, c.elsewhere)
			}
		})
	}
}

func TestAppendTextIsReadBackUnchanged(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		want := strings.Map(func(r rune) rune {
			if r == '\t' || r == '\n' || r == '\r' || r >= 0x20 && r != 0xFFFE && r != 0xFFFF {
				return r
			}
			return '\uFFFD'
		}, text)
		var got string
		if err := xml.Unmarshal(soap.AppendElement(nil, "a", text), &got); err != nil || got != want {
			t.Fatalf("got %q %v, want %q", got, err, want)
		}
	})
}

func TestFaultSpeaksBothVersions(t *testing.T) {
	t.Parallel()
	fault := soap.Fault{Code: soap.Sender, ReasonIT: "perché <no>", Detail: []byte(`<D xmlns="urn:d">x</D>`)}
	var v11 struct {
		Code   string `xml:"Body>Fault>faultcode"`
		Reason string `xml:"Body>Fault>faultstring"`
		Detail string `xml:"Body>Fault>detail>D"`
	}
	if err := xml.Unmarshal(soap.AppendFault(nil, soap.V11, fault), &v11); err != nil {
		t.Fatal(err)
	}
	if v11.Code != "soap:Client" || v11.Reason != "perché <no>" || v11.Detail != "x" {
		t.Errorf("1.1: %+v", v11)
	}
	var v12 struct {
		Code   string   `xml:"Body>Fault>Code>Value"`
		Reason []string `xml:"Body>Fault>Reason>Text"`
		Detail string   `xml:"Body>Fault>Detail>D"`
	}
	if err := xml.Unmarshal(soap.AppendFault(nil, soap.V12, fault), &v12); err != nil {
		t.Fatal(err)
	}
	if v12.Code != "soap:Sender" || !cmp.Equal(v12.Reason, []string{"perché <no>"}) || v12.Detail != "x" {
		t.Errorf("1.2: %+v", v12)
	}
}

func TestTrimDeclaration(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"\xef\xbb\xbf<?xml version=\"1.0\"?>\n<a/>": "<a/>",
		"  <a/>":            "<a/>",
		"<?xml broken <a/>": "<?xml broken <a/>",
	} {
		if got := string(soap.TrimDeclaration([]byte(in))); got != want {
			t.Errorf("%q gave %q, want %q", in, got, want)
		}
	}
}
