package xmlschema_test

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sinbahub/sinbahub/pkg/xmlschema"
)

// names are those of a schema with an element r that has a child and an attribute.
func names(tb testing.TB) xmlschema.Names {
	tb.Helper()
	n, err := xmlschema.ReadNames("s", map[string][]byte{"s": schemaOf(
		`<xs:element name="r"><xs:complexType><xs:sequence><xs:element name="child" type="xs:int"/></xs:sequence><xs:attribute name="v"/></xs:complexType></xs:element>`)})
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

// frame puts an answer together: numbers of 4 bytes, bytes and strings as they are.
func frame(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		switch p := p.(type) {
		case int:
			b = binary.LittleEndian.AppendUint32(b, uint32(p))
		case uint16:
			b = binary.LittleEndian.AppendUint16(b, p)
		case byte:
			b = append(b, p)
		case xmlschema.Status:
			b = append(b, byte(p))
		case string:
			b = append(b, p...)
		}
	}
	return b
}

// Parts of answers: a root "r" and no header, and the step /r.
const (
	u0, u1, u2 = byte(0), byte(1), byte(2)
	first      = uint16(1)
	// plain describes no value and names no child.
	plain = "\x00\x00\x00\x00"
)

func TestDecodeReadsWhatACheckerWrites(t *testing.T) {
	t.Parallel()
	n := names(t)
	step := frame(first, first, u1, "r")
	for name, tt := range map[string]struct {
		answer []byte
		want   xmlschema.Verdict
	}{
		"valid": {
			frame(xmlschema.Valid, u2, u1, "r", u0, 4, "<h/>", "<r></r>"),
			xmlschema.Verdict{SOAP: 2, Root: "r", Header: []byte("<h/>"), Payload: []byte("<r></r>")},
		},
		"version declared": {
			frame(xmlschema.Valid, u0, u1, "r", byte(3), "1.7", 0, "<r></r>"),
			xmlschema.Verdict{Root: "r", Version: "1.7", Payload: []byte("<r></r>")},
		},
		"malformed": {frame(xmlschema.Malformed, u0, u0, u0, 0, 7), xmlschema.Verdict{Status: xmlschema.Malformed, Line: 7}},
		"too large": {frame(xmlschema.TooLarge, u0, u0, u0, 0), xmlschema.Verdict{Status: xmlschema.TooLarge}},
		"unknown names": {
			frame(xmlschema.Invalid, u0, u1, "r", u0, 0, 2, u2,
				1871, 5, u2, string(step), uint16(2), uint16(3), byte(5), "Rossi", plain,
				1866, 6, u2, string(step), uint16(0), uint16(0), byte(6), "@Rossi", plain),
			xmlschema.Verdict{Status: xmlschema.Invalid, Root: "r", Total: 2, Findings: []xmlschema.Finding{
				{Code: 1871, Line: 5, Path: []xmlschema.Step{{Name: "r", Pos: 1}, {Pos: 3}}},
				{Code: 1866, Line: 6, Path: []xmlschema.Step{{Name: "r", Pos: 1}, {}}},
			}},
		},
		"known names": {
			frame(xmlschema.Invalid, u0, u1, "r", u0, 0, 9, u2,
				1824, 5, u2, string(step), uint16(2), uint16(3), byte(5), "child", plain,
				1824, 6, u2, string(step), uint16(0), uint16(0), byte(2), "@v", byte(0x84), uint16(3), byte(5), "child"),
			xmlschema.Verdict{Status: xmlschema.Invalid, Root: "r", Total: 9, Findings: []xmlschema.Finding{
				{Code: 1824, Line: 5, Path: []xmlschema.Step{{Name: "r", Pos: 1}, {Name: "child", Pos: 2}}},
				{Code: 1824, Line: 6, Path: []xmlschema.Step{{Name: "r", Pos: 1}, {Name: "@v"}}, Child: "child", Value: xmlschema.Value{Told: true, Kind: xmlschema.Digits, Length: 3}},
			}},
		},
	} {
		v, err := xmlschema.Decode(tt.answer, xmlschema.Envelope, n)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(tt.want, v); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		for cut := range len(tt.answer) - 1 {
			// A payload may end anywhere; everything else must be there.
			if v, err := xmlschema.Decode(tt.answer[:cut], xmlschema.Envelope, n); err == nil && v.Payload == nil {
				t.Errorf("%s: accepted when cut at %d", name, cut)
			}
		}
	}
}

func TestDecodeBelievesNothing(t *testing.T) {
	t.Parallel()
	n := names(t)
	finding := string(frame(1824, 1, u1, first, first, u1, "r", plain))
	for name, answer := range map[string][]byte{
		"version that is text":   frame(xmlschema.Valid, u0, u1, "r", byte(5), "Rossi", 0, "<r></r>"),
		"version too long":       frame(xmlschema.Valid, u0, u1, "r", byte(9), "123456789", 0, "<r></r>"),
		"unknown status":         frame(byte(10), u0, u0, u0, 0),
		"unknown SOAP version":   frame(xmlschema.NotSOAP, byte(3), u0, u0, 0),
		"root not in the schema": frame(xmlschema.Valid, u0, byte(5), "Rossi", u0, 0, "<a></a>"),
		"local element as root":  frame(xmlschema.Valid, u0, byte(5), "child", u0, 0, "<child></child>"),
		"valid without root":     frame(xmlschema.Valid, u0, u0, u0, 0, "<r></r>"),
		"root of a refused one":  frame(xmlschema.Doctype, u0, u1, "r", u0, 0),
		"valid without payload":  frame(xmlschema.Valid, u0, u1, "r", u0, 0),
		"payload that is text":   frame(xmlschema.Valid, u0, u1, "r", u0, 0, "r"),
		"payload not UTF-8":      frame(xmlschema.Valid, u0, u1, "r", u0, 0, "<r>\xFF</r>"),
		"header not UTF-8":       frame(xmlschema.Valid, u1, u1, "r", u0, 1, "\xFF", "<r></r>"),
		"header beyond the end":  frame(xmlschema.Valid, u1, u1, "r", u0, 100, "<r></r>"),
		"header of 4 GB":         frame(xmlschema.Valid, u1, u1, "r", u0, -1, "<r></r>"),
		"bytes after the end":    frame(xmlschema.NotSOAP, u0, u0, u0, 0, "x"),
		"no findings":            frame(xmlschema.Invalid, u0, u1, "r", u0, 0, 0, u0),
		"fewer than it says":     frame(xmlschema.Invalid, u0, u1, "r", u0, 0, 2, u2, finding),
		"more than in total":     frame(xmlschema.Invalid, u0, u1, "r", u0, 0, 1, u2, finding, finding),
		"total out of bounds":    frame(xmlschema.Invalid, u0, u1, "r", u0, 0, -1, u1, finding),
		"line out of bounds":     frame(xmlschema.Invalid, u0, u1, "r", u0, 0, 1, u1, 1824, 1<<24+1, u1, first, first, u1, "r", plain),
		"code out of bounds":     frame(xmlschema.Invalid, u0, u1, "r", u0, 0, 1, u1, 200_001, 1, u1, first, first, u1, "r", plain),
		"path without a step":    frame(xmlschema.Invalid, u0, u1, "r", u0, 0, 1, u1, 1824, 1, u0),
		"position zero":          frame(xmlschema.Invalid, u0, u1, "r", u0, 0, 1, u1, 1824, 1, u1, uint16(0), uint16(0), u1, "r", plain),
		"positions that differ":  frame(xmlschema.Invalid, u0, u1, "r", u0, 0, 1, u1, 1824, 1, u1, uint16(2), uint16(1), u1, "r", plain),
		"attribute in between":   frame(xmlschema.Invalid, u0, u1, "r", u0, 0, 1, u1, 1824, 1, u2, uint16(0), uint16(0), u2, "@v", first, first, u1, "r", plain),
		"kind out of bounds":     frame(xmlschema.Invalid, u0, u1, "r", u0, 0, 1, u1, 1824, 1, u1, first, first, u1, "r", byte(0xC1), first, u0),
		"kind of no value":       frame(xmlschema.Invalid, u0, u1, "r", u0, 0, 1, u1, 1824, 1, u1, first, first, u1, "r", u1, first, u0),
		"length of nothing":      frame(xmlschema.Invalid, u0, u1, "r", u0, 0, 1, u1, 1824, 1, u1, first, first, u1, "r", byte(0x80), first, u0),
		"child not the schema's": frame(xmlschema.Invalid, u0, u1, "r", u0, 0, 1, u1, 1824, 1, u1, first, first, u1, "r", u0, uint16(0), byte(5), "Rossi"),
		"malformed beyond lines": frame(xmlschema.Malformed, u0, u0, u0, 0, -1),
	} {
		if v, err := xmlschema.Decode(answer, xmlschema.Envelope, n); !errors.Is(err, xmlschema.ErrAnswer) || !cmp.Equal(v, xmlschema.Verdict{}) {
			t.Errorf("%s: %v, %+v", name, err, v)
		}
	}
}

func TestDecodeJudgedTakesNoPayload(t *testing.T) {
	t.Parallel()
	n := names(t)
	v, err := xmlschema.Decode(frame(xmlschema.Valid, u0, u1, "r", u0, 0), xmlschema.Judge, n)
	if want := (xmlschema.Verdict{Status: xmlschema.Valid, Root: "r"}); err != nil || !cmp.Equal(v, want) {
		t.Errorf("%v, %+v", err, v)
	}
	if _, err := xmlschema.Decode(frame(xmlschema.Valid, u0, u1, "r", u0, 0, "<r></r>"), xmlschema.Judge, n); !errors.Is(err, xmlschema.ErrAnswer) {
		t.Errorf("a payload nobody asked for: %v", err)
	}
}

// FuzzDecode: whatever a worker says, the verdict stays within bounds and has no name but the
// schema's.
func FuzzDecode(f *testing.F) {
	n := names(f)
	f.Add(frame(xmlschema.Valid, u2, u1, "r", u0, 4, "<h/>", "<r></r>"))
	f.Add(frame(xmlschema.Invalid, u0, u1, "r", u0, 0, 1, u1, 1824, 1, u2, first, first, u1, "r", uint16(0), uint16(0), u2, "@v", byte(0x84), first, byte(5), "child"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		v, err := xmlschema.Decode(answer, xmlschema.Envelope, n)
		if err != nil {
			return
		}
		if v.Root != "" && v.Root != "r" || len(v.Findings) > xmlschema.MaxFindings || v.Total < len(v.Findings) || v.Line < 0 {
			t.Fatalf("%+v", v)
		}
		for _, finding := range v.Findings {
			for _, s := range finding.Path {
				if s.Name != "" && s.Name != "r" && s.Name != "child" && s.Name != "@v" || s.Pos < 0 || s.Pos > 65535 {
					t.Fatalf("%+v", s)
				}
			}
		}
	})
}
