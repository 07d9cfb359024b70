package validator

import (
	"bytes"

	"github.com/sinbahub/sinbahub/pkg/xmlschema"
)

// fits tells whether the verdict is one of those the mode can have, and whether its parts go
// together.
func fits(m Mode, v xmlschema.Verdict) bool {
	if v.Status == xmlschema.Valid && m != Judge && !begins(v.Payload, v.Root) || v.Header != nil && !begins(v.Header, "Header") {
		return false
	}
	if m != Envelope {
		return v.SOAP == 0 && v.Header == nil && v.Status != xmlschema.NotSOAP && v.Status != xmlschema.UnknownEnvelope
	}
	judged := v.Status == xmlschema.Valid || v.Status == xmlschema.Invalid || v.Status == xmlschema.LotJudged
	return !judged || v.SOAP != 0
}

// itemsFit tells whether the items of a lot can be in the document: each has its name there, and
// an id that is repeated to a sender stands there too.
func itemsFit(v xmlschema.Verdict, lot xmlschema.Lot, doc []byte) bool {
	if len(v.Items) == 0 {
		return true
	}
	if !begins(v.Payload, v.Root) || len(v.Items) > bytes.Count(doc, []byte(lot.Item)) {
		return false
	}
	for _, item := range v.Items {
		if item.Payload != nil && !begins(item.Payload, lot.Item) || item.ID != "" && !bytes.Contains(doc, []byte(item.ID)) {
			return false
		}
	}
	return true
}

// begins tells whether canonical XML begins with an element of that local name.
func begins(canonical []byte, local string) bool {
	rest, ok := bytes.CutPrefix(canonical, []byte("<"))
	end := bytes.IndexAny(rest, " >")
	if !ok || end < 0 {
		return false
	}
	name := rest[:end]
	return string(name[bytes.IndexByte(name, ':')+1:]) == local
}

// bound keeps every number below what the document could give rise to, so that a worker that was
// taken over cannot tell in them what it has seen of others. An honest worker's stay as they are.
func bound(v *xmlschema.Verdict, doc []byte) {
	if v.Line == 0 && len(v.Findings) == 0 && v.Refused() == 0 {
		return
	}
	b := bounds{lines: 1 + bytes.Count(doc, []byte("\n")), elements: max(1, bytes.Count(doc, []byte("<"))), bytes: len(doc)}
	v.Line = min(v.Line, b.lines)
	v.Total = b.apply(v.Findings, v.Total)
	for i := range v.Items {
		v.Items[i].Total = b.apply(v.Items[i].Findings, v.Items[i].Total)
	}
}

// bounds are what a document could give rise to.
type bounds struct{ lines, elements, bytes int }

// apply bounds the findings and gives their total, bounded.
func (b bounds) apply(findings []xmlschema.Finding, total int) int {
	for i := range findings {
		f := &findings[i]
		f.Line = min(f.Line, b.lines)
		f.Value.Length = min(f.Value.Length, b.bytes)
		for j := range f.Path {
			f.Path[j].Pos = min(f.Path[j].Pos, b.elements)
		}
	}
	return min(total, max(4*b.bytes, len(findings)))
}
