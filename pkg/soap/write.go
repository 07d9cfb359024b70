package soap

import (
	"bytes"
	"unicode/utf8"
)

// AppendEnvelope appends to dst a whole message with body as the Body's content, which must be
// well-formed XML.
func AppendEnvelope(dst []byte, v Version, body []byte) []byte {
	return AppendEnvelopeEnd(append(AppendEnvelopeStart(dst, v), body...))
}

// AppendEnvelopeStart appends to dst what of a message stands before its Body's content, so that the
// content can be written where it is to stand.
func AppendEnvelopeStart(dst []byte, v Version) []byte {
	dst = append(dst, `<?xml version="1.0" encoding="UTF-8"?><soap:Envelope xmlns:soap="`...)
	dst = append(dst, v.Namespace()...)
	return append(dst, `"><soap:Body>`...)
}

// AppendEnvelopeEnd appends to dst what of a message stands behind its Body's content.
func AppendEnvelopeEnd(dst []byte) []byte { return append(dst, `</soap:Body></soap:Envelope>`...) }

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
	for _, r := range s {
		switch {
		case r == '&':
			dst = append(dst, "&amp;"...)
		case r == '<':
			dst = append(dst, "&lt;"...)
		case r == '>':
			dst = append(dst, "&gt;"...)
		case r == '\r':
			dst = append(dst, "&#13;"...)
		case r == '\t' || r == '\n' || r >= 0x20 && r != 0xFFFE && r != 0xFFFF:
			dst = utf8.AppendRune(dst, r)
		default:
			dst = utf8.AppendRune(dst, utf8.RuneError)
		}
	}
	return dst
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
