package delivery

import (
	"bytes"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/sinba"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// plainReceipt recognises the answer that nearly every transmission gets (taken, and here is its
// protocol) in the forms in which SOAP stacks write it, and takes over what it says. It is no parser:
// whatever is not of these forms, byte by byte, is left to the jail, which would read from what is
// recognised the very same Answer (ADR 27).
//
// The forms: an XML declaration of plainDeclarations or none; Envelope and Body of SOAP 1.2, no
// Header; a TrasmettiEventoRisposta of IdTrasmissione, Esito and ProtocolloNazionale; blanks between
// elements; of attributes only declarations of plainNamespaces, no prefix twice. So there is no
// entity, comment, CDATA section or instruction in it, and nothing that is not ASCII.
func plainReceipt(doc []byte, a *Answer) bool {
	if len(doc) > mostPlain {
		return false
	}
	p := plain{rest: doc}
	for _, declaration := range plainDeclarations() {
		if rest, ok := bytes.CutPrefix(p.rest, []byte(declaration)); ok {
			p.rest = rest
			break
		}
	}
	envelope := p.open("Envelope", soap.Namespace12)
	body := p.open("Body", soap.Namespace12)
	root := p.open(receipt, sinba.NamespaceNational)
	written := p.leaf("IdTrasmissione", 36, isHexOrDash)
	id, err := uuid.ParseBytes(written) // checks where the dashes are; it would take an id without any
	esito := string(p.leaf("Esito", len("GIA_RICEVUTO"), isEsito))
	protocol := string(p.leaf("ProtocolloNazionale", 36, isProtocol))
	p.close(root)
	p.close(body)
	p.close(envelope)
	p.blanks()
	if p.failed || len(p.rest) > 0 || err != nil || len(written) != 36 || esito != "ACCETTATO" && esito != "GIA_RICEVUTO" || protocol == "" {
		return false
	}
	a.Root, a.ID, a.Esito, a.Protocol = receipt, id, esito, protocol
	return true
}

// plainDeclarations are the XML declarations that stacks write.
func plainDeclarations() [4]string {
	return [...]string{
		`<?xml version="1.0" encoding="UTF-8"?>`, `<?xml version='1.0' encoding='UTF-8'?>`,
		`<?xml version="1.0" encoding="utf-8"?>`, `<?xml version='1.0' encoding='utf-8'?>`,
	}
}

// plainNamespaces are those that stacks declare, needed or not.
func plainNamespaces() [4]string {
	return [...]string{
		soap.Namespace12, sinba.NamespaceNational,
		"http://www.w3.org/2001/XMLSchema", "http://www.w3.org/2001/XMLSchema-instance",
	}
}

// The most that a plain document has of each; more goes to the jail.
const (
	mostPlain    = 4 << 10
	mostBindings = 8
	mostPrefix   = 16
)

// plain walks through a document that is as simple as XML can be. Once something is otherwise, failed
// stays set and nothing that it gives counts.
type plain struct {
	rest   []byte
	failed bool
	// bindings are the namespaces declared so far. They are all in scope, because only elements of
	// which there is one each, one within the other, declare any.
	bindings [mostBindings]binding
	bound    int
}

// binding is one xmlns attribute; of a default namespace the prefix is empty.
type binding struct{ prefix, namespace string }

// open passes blanks and the start tag of an element of that name, and gives the name as it is written.
func (p *plain) open(local, namespace string) (name []byte) {
	p.blanks()
	p.literal("<")
	name = p.word()
	for p.blanks() > 0 && len(p.rest) > 0 && p.rest[0] != '>' && !p.failed {
		p.bind()
	}
	p.literal(">")
	p.named(name, local, namespace)
	return name
}

// named wants a name as it is written to be that of an element.
func (p *plain) named(name []byte, local, namespace string) {
	prefix, rest, colon := bytes.Cut(name, []byte(":"))
	if !colon {
		prefix, rest = nil, name
	}
	if colon && len(prefix) == 0 || string(rest) != local || p.namespace(prefix) != namespace {
		p.failed = true
	}
}

// bind passes a declaration of a namespace.
func (p *plain) bind() {
	attribute := p.word()
	prefix, ok := bytes.CutPrefix(attribute, []byte("xmlns"))
	if colon := len(prefix) > 0; ok && colon {
		prefix, ok = bytes.CutPrefix(prefix, []byte(":"))
		ok = ok && isPrefix(prefix)
	}
	p.literal("=")
	quote := byte('"')
	if len(p.rest) > 0 && p.rest[0] == '\'' {
		quote = '\''
	}
	p.literal(string(quote))
	end := bytes.IndexByte(p.rest, quote)
	if !ok || end < 0 || p.bound == mostBindings {
		p.failed = true
		return
	}
	for _, known := range plainNamespaces() {
		if string(p.rest[:end]) == known && p.namespace(prefix) == "" {
			p.bindings[p.bound] = binding{string(prefix), known}
			p.bound++
			p.rest = p.rest[end+1:]
			return
		}
	}
	p.failed = true
}

// namespace is what a prefix is bound to, empty if to nothing.
func (p *plain) namespace(prefix []byte) string {
	for _, b := range p.bindings[:p.bound] {
		if b.prefix == string(prefix) {
			return b.namespace
		}
	}
	return ""
}

// leaf passes an element of the national namespace and gives its text: at most so many characters of
// the set, none of which XML could mean otherwise.
func (p *plain) leaf(local string, most int, in func(byte) bool) []byte {
	p.blanks()
	p.literal("<")
	name := p.word()
	p.literal(">")
	p.named(name, local, sinba.NamespaceNational)
	n := 0
	for n < len(p.rest) && n < most && in(p.rest[n]) {
		n++
	}
	text := p.rest[:n]
	p.rest = p.rest[n:]
	p.literal("</")
	p.literal(string(name))
	p.literal(">")
	return text
}

// close passes blanks and an end tag.
func (p *plain) close(name []byte) {
	p.blanks()
	p.literal("</")
	p.literal(string(name))
	p.literal(">")
}

// literal passes what must stand there.
func (p *plain) literal(text string) {
	if p.failed || len(p.rest) < len(text) || string(p.rest[:len(text)]) != text {
		p.failed = true
		return
	}
	p.rest = p.rest[len(text):]
}

// word passes letters, digits and colons, at most as many as a prefix and a name of the contract have.
func (p *plain) word() []byte {
	n := 0
	for n < len(p.rest) && n < mostPrefix+len(":TrasmettiEventoRisposta") && isWord(p.rest[n]) {
		n++
	}
	word := p.rest[:n]
	p.rest = p.rest[n:]
	return word
}

// blanks passes white space and tells how much there was.
func (p *plain) blanks() int {
	rest := bytes.TrimLeft(p.rest, " \t\r\n")
	n := len(p.rest) - len(rest)
	p.rest = rest
	return n
}

func isWord(c byte) bool { return isLetter(c) || isDigit(c) || c == ':' }

// isPrefix tells whether a word is a prefix that anybody may bind: xml and what begins so is not.
func isPrefix(word []byte) bool {
	return len(word) > 0 && len(word) <= mostPrefix && isLetter(word[0]) && bytes.IndexByte(word, ':') < 0 &&
		!bytes.HasPrefix(bytes.ToLower(word), []byte("xml"))
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isCapital(c byte) bool { return c >= 'A' && c <= 'Z' }

func isHexOrDash(c byte) bool {
	return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' || c == '-'
}

func isEsito(c byte) bool { return isCapital(c) || c == '_' }

// isProtocol is the set of ProtocolloNazionaleType.
func isProtocol(c byte) bool {
	return isCapital(c) || isDigit(c) || c == '.' || c == '/' || c == '-'
}
