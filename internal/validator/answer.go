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
	judged := v.Status == xmlschema.Valid || v.Status == xmlschema.Invalid
	return !judged || v.SOAP != 0
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
	if v.Line == 0 && len(v.Findings) == 0 {
		return
	}
	lines, elements := 1+bytes.Count(doc, []byte("\n")), max(1, bytes.Count(doc, []byte("<")))
	v.Line = min(v.Line, lines)
	v.Total = min(v.Total, max(4*len(doc), len(v.Findings)))
	for i := range v.Findings {
		f := &v.Findings[i]
		f.Line = min(f.Line, lines)
		f.Value.Length = min(f.Value.Length, len(doc))
		for j := range f.Path {
			f.Path[j].Pos = min(f.Path[j].Pos, elements)
		}
	}
}
