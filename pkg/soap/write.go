package soap

import (
	"bytes"
	"slices"
	"unicode/utf8"
)

// AppendEnvelope appends to dst a whole message with body as the Body's content, which must be
// well-formed XML.
func AppendEnvelope(dst []byte, v Version, body []byte) []byte {
	dst = slices.Grow(dst, len(envelopeStart)+len(v.Namespace())+len(envelopeBody)+len(body)+len(envelopeEnd))
	return AppendEnvelopeEnd(append(AppendEnvelopeStart(dst, v), body...))
}

// What stands around a Body's content.
const (
	envelopeStart = `<?xml version="1.0" encoding="UTF-8"?><soap:Envelope xmlns:soap="`
	envelopeBody  = `"><soap:Body>`
	envelopeEnd   = `</soap:Body></soap:Envelope>`
)

// AppendEnvelopeStart appends to dst what of a message stands before its Body's content, so that the
// content can be written where it is to stand.
func AppendEnvelopeStart(dst []byte, v Version) []byte {
	dst = append(dst, envelopeStart...)
	dst = append(dst, v.Namespace()...)
	return append(dst, envelopeBody...)
}

// AppendEnvelopeEnd appends to dst what of a message stands behind its Body's content.
func AppendEnvelopeEnd(dst []byte) []byte { return append(dst, envelopeEnd...) }

// FaultCode is who is to blame, in the words common to both versions.
type FaultCode uint8

// The fault codes: SOAP 1.1 section 4.4.1, SOAP 1.2 section 5.4.6.
const (
	Sender          FaultCode = iota + 1 // Client in 1.1
	Receiver                             // Server in 1.1
	MustUnderstand                       // same word in both
	VersionMismatch                      // same word in both
)

// Name is the local name of the code in the given version.
func (c FaultCode) Name(v Version) string {
	switch c {
	case Sender:
		if v == V12 {
			return "Sender"
		}
		return "Client"
	case MustUnderstand:
		return "MustUnderstand"
	case VersionMismatch:
		return "VersionMismatch"
	case Receiver:
	}
	if v == V12 {
		return "Receiver"
	}
	return "Server"
}

// Fault is a fault to write.
type Fault struct {
	Code FaultCode
	// ReasonIT is for people, in Italian. There is one language only, also in 1.2, which allows
	// more: gSOAP gives up on a fault with a second Text and its user never sees the detail.
	ReasonIT string
	// Detail is well-formed XML in the contract's namespace.
	Detail []byte
}

// AppendFault appends to dst a whole message with the fault.
func AppendFault(dst []byte, v Version, f Fault) []byte {
	var body []byte
	if v == V12 {
		body = append(body, `<soap:Fault><soap:Code><soap:Value>soap:`...)
		body = append(body, f.Code.Name(v)...)
		body = append(body, `</soap:Value></soap:Code><soap:Reason><soap:Text xml:lang="it">`...)
		body = AppendText(body, f.ReasonIT)
		body = append(body, `</soap:Text></soap:Reason><soap:Detail>`...)
		body = append(body, f.Detail...)
		body = append(body, `</soap:Detail></soap:Fault>`...)
		return AppendEnvelope(dst, v, body)
	}
	body = append(body, `<soap:Fault><faultcode>soap:`...)
	body = append(body, f.Code.Name(v)...)
	body = append(body, `</faultcode><faultstring xml:lang="it">`...)
	body = AppendText(body, f.ReasonIT)
	body = append(body, `</faultstring><detail>`...)
	body = append(body, f.Detail...)
	body = append(body, `</detail></soap:Fault>`...)
	return AppendEnvelope(dst, v, body)
}

// AppendText appends s escaped as XML character data. What XML 1.0 cannot hold becomes U+FFFD.
func AppendText(dst []byte, s string) []byte {
	start := 0 // of what is appended as it stands
	for i := 0; i < len(s); {
		r, n := rune(s[i]), 1
		if r >= utf8.RuneSelf {
			r, n = utf8.DecodeRuneInString(s[i:])
		}
		if instead := escaped(r, n); instead != "" {
			dst = append(append(dst, s[start:i]...), instead...)
			start = i + n
		}
		i += n
	}
	return append(dst, s[start:]...)
}

// escaped is what stands for a character of n bytes in character data, empty for itself.
func escaped(r rune, n int) string {
	switch {
	case r == '&':
		return "&amp;"
	case r == '<':
		return "&lt;"
	case r == '>':
		return "&gt;"
	case r == '\r':
		return "&#13;"
	case r == utf8.RuneError && n == 1, r < ' ' && r != '\t' && r != '\n', r == 0xFFFE, r == 0xFFFF:
		return string(utf8.RuneError)
	}
	return ""
}

// AppendElement appends <name>text</name>; name must be a valid XML name.
func AppendElement(dst []byte, name, text string) []byte {
	dst = append(dst, '<')
	dst = append(dst, name...)
	dst = append(dst, '>')
	dst = AppendText(dst, text)
	dst = append(dst, "</"...)
	dst = append(dst, name...)
	return append(dst, '>')
}

// TrimDeclaration takes an XML declaration and a byte order mark off a document, so that it
// can stand inside an envelope.
func TrimDeclaration(doc []byte) []byte {
	doc = bytes.TrimPrefix(doc, []byte("\xef\xbb\xbf"))
	doc = bytes.TrimLeft(doc, " \t\r\n")
	if bytes.HasPrefix(doc, []byte("<?xml ")) {
		if _, rest, found := bytes.Cut(doc, []byte("?>")); found {
			return bytes.TrimLeft(rest, " \t\r\n")
		}
	}
	return doc
}
