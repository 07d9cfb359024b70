//go:build smoke

package hubtest_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/sinbahub/sinbahub/pkg/soap"
)

// asked are the same case in both SOAP versions.
func asked(name string, body func(soap.Version) []byte, code string) []hostile {
	cases := make([]hostile, 0, 2)
	for _, v := range []soap.Version{soap.V11, soap.V12} {
		cases = append(cases, hostile{
			name: name + " " + v.String(), body: body(v), version: v, status: http.StatusInternalServerError, fault: soap.Sender, code: code,
		})
	}
	return cases
}

// echoed is a good question, with a sign in its message.
func echoed(v soap.Version) []byte {
	return soap.AppendEnvelope(nil, v, []byte(`<EchoRichiesta xmlns="urn:sinba:eventi:v1"/>`))
}

// swapped is a good question with some texts replaced.
func swapped(pairs ...string) func(soap.Version) []byte {
	return func(v soap.Version) []byte { return []byte(strings.NewReplacer(pairs...).Replace(string(echoed(v)))) }
}

// with changes cases.
func with(cases []hostile, change func(*hostile)) []hostile {
	for i := range cases {
		change(&cases[i])
	}
	return cases
}

// accepted says that nothing is wrong after all.
func accepted(c *hostile) { c.status, c.code = http.StatusOK, "" }

// hostileForms are messages in every form but the right one.
func hostileForms(t *testing.T) []hostile {
	t.Helper()
	var cases []hostile
	for _, some := range [][]hostile{encodings(), packed(t), envelopes(), addressed()} {
		cases = append(cases, some...)
	}
	for i, c := range cases {
		if i%10 == 0 && c.code != "" {
			cases = append(cases, asStranger(c))
		}
	}
	return cases
}

// encodings are documents that are not UTF-8, or say so.
func encodings() []hostile {
	const declaration = `<?xml version="1.0" encoding="UTF-8"?>`
	wide := func(big, mark bool) func(soap.Version) []byte {
		return func(v soap.Version) []byte {
			text := strings.Replace(string(echoed(v)), "UTF-8", "UTF-16", 1)
			if mark {
				text = "\ufeff" + text
			}
			var out []byte
			for _, u := range utf16.Encode([]rune(text)) {
				if big {
					out = append(out, byte(u>>8), byte(u))
				} else {
					out = append(out, byte(u), byte(u>>8))
				}
			}
			return out
		}
	}
	inValue := func(text string) func(soap.Version) []byte {
		return swapped("v1\"/>", "v1\"><Messaggio>xqzvkj"+text+"</Messaggio></EchoRichiesta>")
	}
	var cases []hostile
	for name, body := range map[string]func(soap.Version) []byte{
		"UTF-16LE with a mark": wide(false, true), "UTF-16BE with a mark": wide(true, true),
		"UTF-16LE": wide(false, false), "UTF-16BE": wide(true, false),
		"UTF-32LE":                        func(v soap.Version) []byte { return utf32Of(echoed(v)) },
		"UTF-7":                           swapped("<", "+ADw-", ">", "+AD4-"),
		"UTF-7 with a mark":               func(v soap.Version) []byte { return append([]byte("+/v8-"), echoed(v)...) },
		"EBCDIC":                          func(v soap.Version) []byte { return cp037Of(swapped("UTF-8", "IBM037")(v)) },
		"EBCDIC, said to be UTF-8":        func(v soap.Version) []byte { return cp037Of(echoed(v)) },
		"declared UTF-7":                  swapped("UTF-8", "UTF-7"),
		"declared UTF-16":                 swapped("UTF-8", "UTF-16"),
		"declared ISO-8859-1":             swapped("UTF-8", "ISO-8859-1"),
		"declared IBM037":                 swapped("UTF-8", "IBM037"),
		"declared nothing known":          swapped("UTF-8", "xqzvkj"),
		"declared without quotes":         swapped(`"UTF-8"`, "UTF-8"),
		"null":                            inValue("\x00"),
		"null at the end":                 func(v soap.Version) []byte { return append(echoed(v), 0) },
		"overlong slash":                  inValue("\xc0\xaf"),
		"overlong bracket":                inValue("\xe0\x80\xbc"),
		"overlong null":                   inValue("\xc0\x80"),
		"four bytes overlong":             inValue("\xf0\x80\x80\xaf"),
		"a surrogate":                     inValue("\xed\xa0\x80"),
		"a pair of surrogates":            inValue("\xed\xa0\xbd\xed\xb8\x80"),
		"beyond Unicode":                  inValue("\xf4\x90\x80\x80"),
		"a lone continuation":             inValue("\x80"),
		"a cut character":                 inValue("\xe2\x82"),
		"Latin-1":                         inValue("perch\xe9"),
		"two marks":                       func(v soap.Version) []byte { return append([]byte("\ufeff\ufeff"), echoed(v)...) },
		"compressed without saying so":    func(v soap.Version) []byte { return gzipOf(echoed(v)) },
		"a bomb without saying so":        func(soap.Version) []byte { return gzipOf(make([]byte, 64<<20)) },
		"deflated bomb without saying so": func(soap.Version) []byte { return deflated(make([]byte, 64<<20)) },
	} {
		cases = append(cases, asked(name, body, "SINBA_002")...)
	}
	for name, body := range map[string]func(soap.Version) []byte{
		"a blank first":          func(v soap.Version) []byte { return append([]byte(" "), echoed(v)...) },
		"two declarations":       func(v soap.Version) []byte { return append([]byte(declaration), echoed(v)...) },
		"XML 1.1":                swapped(`version="1.0" e`, `version="1.1" e`),
		"XML 2.0":                swapped(`version="1.0" e`, `version="2.0" e`),
		"control character":      inValue("\x01"),
		"noncharacter":           inValue("\uffff"),
		"null by reference":      inValue("&#0;"),
		"surrogate by reference": inValue("&#xD83D;&#xDE00;"),
		"entity":                 inValue("&xqzvkj;"),
		"nothing":                func(soap.Version) []byte { return nil },
		"blanks":                 func(soap.Version) []byte { return []byte(" \r\n\t") },
		"a mark only":            func(soap.Version) []byte { return []byte("\ufeff") },
		"a form":                 func(soap.Version) []byte { return []byte("xqzvkj=1&b=2") },
		"cut in the middle":      func(v soap.Version) []byte { return echoed(v)[:150] },
		"two messages":           func(v soap.Version) []byte { return append(echoed(v), echoed(v)...) },
		"a second root":          func(v soap.Version) []byte { return append(echoed(v), "<xqzvkj/>"...) },
		"text behind the root":   func(v soap.Version) []byte { return append(echoed(v), "xqzvkj"...) },
	} {
		cases = append(cases, asked(name, body, "SINBA_001")...)
	}
	marked := func(v soap.Version) []byte { return append([]byte("\ufeff"), echoed(v)...) }
	cases = append(cases, with(asked("a mark of UTF-8", marked, ""), accepted)...)
	return append(cases, with(asked("no declaration", swapped(declaration, ""), ""), accepted)...)
}

// packed are bodies that are no single document of text.
func packed(t *testing.T) []hostile {
	t.Helper()
	unsupported := func(code string, set ...string) func(*hostile) {
		return func(c *hostile) {
			c.status, c.code = http.StatusUnsupportedMediaType, code
			c.change = func(r *http.Request) {
				for i := 0; i < len(set); i += 2 {
					r.Header.Set(set[i], set[i+1])
				}
			}
			if strings.HasPrefix(strings.Join(set, ""), "Content-Type") {
				c.answered = soap.V11 // no media type that tells the version
				if strings.Contains(set[1], "application/soap+xml") {
					c.answered = soap.V12
				}
			}
		}
	}
	parts := func(v soap.Version) []byte {
		return []byte("--b\r\nContent-Type: " + v.ContentType() + "\r\n\r\n" + string(echoed(v)) +
			"\r\n--b\r\nContent-ID: <xqzvkj>\r\n\r\nxqzvkj\r\n--b--\r\n")
	}
	bomb := func(soap.Version) []byte { return gzipOf(make([]byte, 64<<20)) }
	var cases []hostile
	for _, some := range []struct {
		name, code string
		body       func(soap.Version) []byte
		set        []string
	}{
		{"gzip", "SINBA_008", func(v soap.Version) []byte { return gzipOf(echoed(v)) }, []string{"Content-Encoding", "gzip"}},
		{"a bomb", "SINBA_008", bomb, []string{"Content-Encoding", "gzip"}},
		{"a deflated bomb", "SINBA_008", func(soap.Version) []byte { return deflated(make([]byte, 64<<20)) }, []string{"Content-Encoding", "deflate"}},
		{"twice gzip", "SINBA_008", bomb, []string{"Content-Encoding", "gzip, gzip"}},
		{"an encoding nobody knows", "SINBA_008", echoed, []string{"Content-Encoding", "xqzvkj"}},
		{"parts", "SINBA_007", parts, []string{"Content-Type", `multipart/related; type="text/xml"; boundary=b`}},
		{"MTOM", "SINBA_007", parts, []string{"Content-Type", `multipart/related; type="application/xop+xml"; start-info="application/soap+xml"; boundary=b`}},
		{"XOP", "SINBA_007", echoed, []string{"Content-Type", `application/xop+xml; type="text/xml"`}},
		{"a form", "SINBA_007", echoed, []string{"Content-Type", "application/x-www-form-urlencoded"}},
		{"JSON", "SINBA_007", echoed, []string{"Content-Type", "application/json"}},
		{"XML of any kind", "SINBA_007", echoed, []string{"Content-Type", "application/xml"}},
		{"no media type", "SINBA_007", echoed, []string{"Content-Type", ""}},
		{"no media type either", "SINBA_007", echoed, []string{"Content-Type", "xqzvkj"}},
		{"charset UTF-16", "SINBA_007", echoed, []string{"Content-Type", "text/xml; charset=utf-16"}},
		{"charset UTF-7", "SINBA_007", echoed, []string{"Content-Type", "application/soap+xml; charset=utf-7"}},
		{"charset EBCDIC", "SINBA_007", echoed, []string{"Content-Type", "text/xml; charset=cp037"}},
		{"two charsets", "SINBA_007", echoed, []string{"Content-Type", "text/xml; charset=utf-8; charset=utf-16"}},
	} {
		cases = append(cases, with(asked(some.name, some.body, some.code), unsupported(some.code, some.set...))...)
	}
	return cases
}

// envelopes are messages whose parts are not where they belong.
func envelopes() []hostile {
	var cases []hostile
	echo := `<EchoRichiesta xmlns="urn:sinba:eventi:v1"/>`
	part := func(name, content string) string { return "<soap:" + name + ">" + content + "</soap:" + name + ">" }
	for name, content := range map[string]string{
		"two bodies":              part("Body", echo) + part("Body", echo),
		"two headers":             part("Header", "") + part("Header", "") + part("Body", echo),
		"header behind the body":  part("Body", echo) + part("Header", ""),
		"header only":             part("Header", echo),
		"nothing":                 "",
		"empty body":              part("Body", ""),
		"text in the body":        part("Body", "xqzvkj"),
		"text beside the element": part("Body", echo+"xqzvkj"),
		"two elements":            part("Body", echo+echo),
		"three elements":          part("Body", echo+"<xqzvkj/>"+echo),
		"something behind":        part("Body", echo) + "<xqzvkj/>",
		"something before":        "<xqzvkj/>" + part("Body", echo),
		"no body":                 echo,
		"body of nobody":          "<Body>" + echo + "</Body>",
	} {
		cases = append(cases, asked(name, func(v soap.Version) []byte {
			return []byte(`<soap:Envelope xmlns:soap="` + v.Namespace() + `">` + content + `</soap:Envelope>`)
		}, "SINBA_004")...)
	}
	for name, body := range map[string]func(soap.Version) []byte{
		"a foreign root":            enveloped("<xqzvkj/>"),
		"a foreign namespace":       enveloped(`<EchoRichiesta xmlns="urn:xqzvkj"/>`),
		"an envelope in the body":   func(v soap.Version) []byte { return soap.AppendEnvelope(nil, v, soap.TrimDeclaration(echoed(v))) },
		"a fault as a request":      enveloped(`<soap:Fault><faultcode>xqzvkj</faultcode></soap:Fault>`),
		"an answer as a request":    enveloped(`<EchoRisposta xmlns="urn:sinba:eventi:v1"/>`),
		"an element of the schema":  enveloped(`<Testata xmlns="urn:sinba:eventi:v1"/>`),
		"an encoded remote call":    enveloped(`<ns1:inviaEvento xmlns:ns1="urn:sinba:eventi:v1" soap:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><arg0 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="xsd:string" xmlns:xsd="http://www.w3.org/2001/XMLSchema">xqzvkj</arg0></ns1:inviaEvento>`),
		"an inclusion as a request": enveloped(`<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="file:///etc/passwd"/>`),
	} {
		cases = append(cases, asked(name, body, "SINBA_010")...)
	}
	unknown := with(asked("an envelope of nobody", swapped(soap.Namespace11, "urn:xqzvkj", soap.Namespace12, "urn:xqzvkj"), "SINBA_014"),
		func(c *hostile) { c.fault = soap.VersionMismatch })
	cases = append(cases, unknown...)
	other := map[soap.Version]soap.Version{soap.V11: soap.V12, soap.V12: soap.V11}
	return append(cases, with(asked("the media type of the other version", echoed, ""), func(c *hostile) {
		accepted(c)
		c.answered = c.version
		c.change = header("Content-Type", other[c.version].ContentType())
	})...)
}

// addressed are messages with headers that ask for something.
func addressed() []hostile {
	head := func(block string) func(soap.Version) []byte {
		return swapped("<soap:Body>", "<soap:Header>"+block+"</soap:Header><soap:Body>")
	}
	notUnderstood := func(c *hostile) { c.fault = soap.MustUnderstand }
	const must = `<x:xqzvkj xmlns:x="urn:xqzvkj" soap:mustUnderstand="1"/>`
	cases := with(asked("a header that must be understood", head(must), "SINBA_009"), notUnderstood)
	many := head(strings.Repeat(must, 10_000))
	cases = append(cases, with(asked("ten thousand of them", many, "SINBA_009"), notUnderstood)...)
	cases = append(cases, with(asked("for another node", head(strings.NewReplacer("/>", ` soap:actor="urn:xqzvkj" soap:role="urn:xqzvkj"/>`).Replace(must)), ""), accepted)...)
	cases = append(cases, with(asked("need not be understood", head(strings.Replace(must, `="1"`, `="0"`, 1)), ""), accepted)...)
	for name, action := range map[string]string{
		"the action of another operation": `"urn:sinba:eventi:v1/inviaEvento"`, "an action of nobody": `"urn:xqzvkj"`,
	} {
		cases = append(cases, with(asked(name, echoed, "SINBA_011"), func(c *hostile) {
			c.change = header("SOAPAction", action)
			if c.version == soap.V12 {
				c.change = header("Content-Type", "application/soap+xml; charset=utf-8; action="+action)
			}
		})...)
	}
	for _, addressing := range []string{"http://www.w3.org/2005/08/addressing", "http://schemas.xmlsoap.org/ws/2004/08/addressing"} {
		reply := func(block, address string) func(soap.Version) []byte {
			return head(`<wsa:` + block + ` xmlns:wsa="` + addressing + `"><wsa:Address>` + address + `</wsa:Address></wsa:` + block + `>`)
		}
		for _, block := range []string{"ReplyTo", "FaultTo"} {
			cases = append(cases, asked(block+" of somebody in "+addressing, reply(block, "http://127.0.0.1:9/xqzvkj"), "SINBA_017")...)
		}
		anonymous := "http://www.w3.org/2005/08/addressing/anonymous"
		if !strings.Contains(addressing, "2005") {
			anonymous = addressing + "/role/anonymous"
		}
		cases = append(cases, with(asked("anonymous reply in "+addressing, reply("ReplyTo", anonymous), ""), accepted)...)
	}
	return cases
}

// gzipOf and deflated compress.
func gzipOf(data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	writeAll(w, data)
	return b.Bytes()
}

// deflated compresses without a head.
func deflated(data []byte) []byte {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestSpeed)
	if err != nil {
		panic(err)
	}
	writeAll(w, data)
	return b.Bytes()
}

// writeAll writes to memory, which does not fail.
func writeAll(w io.WriteCloser, data []byte) {
	if _, err := w.Write(data); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
}

// utf32Of encodes in little-endian UTF-32.
func utf32Of(doc []byte) []byte {
	out := make([]byte, 0, 4*len(doc))
	for _, r := range string(doc) {
		out = append(out, byte(r), byte(r>>8), byte(r>>16), 0)
	}
	return out
}

// cp037Of encodes ASCII in the EBCDIC of code page 037.
func cp037Of(doc []byte) []byte {
	const ascii = " .<(+|&!$*);-/,%_>?:#@'=\"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	const ebcdic = "\x40\x4b\x4c\x4d\x4e\x4f\x50\x5a\x5b\x5c\x5d\x5e\x60\x61\x6b\x6c\x6d\x6e\x6f\x7a\x7b\x7c\x7d\x7e\x7f" +
		"\x81\x82\x83\x84\x85\x86\x87\x88\x89\x91\x92\x93\x94\x95\x96\x97\x98\x99\xa2\xa3\xa4\xa5\xa6\xa7\xa8\xa9" +
		"\xc1\xc2\xc3\xc4\xc5\xc6\xc7\xc8\xc9\xd1\xd2\xd3\xd4\xd5\xd6\xd7\xd8\xd9\xe2\xe3\xe4\xe5\xe6\xe7\xe8\xe9" +
		"\xf0\xf1\xf2\xf3\xf4\xf5\xf6\xf7\xf8\xf9"
	out := make([]byte, len(doc))
	for i, c := range doc {
		if at := strings.IndexByte(ascii, c); at >= 0 {
			out[i] = ebcdic[at]
		} else {
			out[i] = 0x6f
		}
	}
	return out
}
