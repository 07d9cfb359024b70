package soap_test

import (
	"bytes"
	"testing"

	"github.com/sinbahub/sinbahub/pkg/soap"
)

// FuzzReadHeader: a worker that was taken over may write any bytes as the canonical header. They
// give an error or blocks, of which there are no more than tags, and only a block of WS-Addressing
// wants its answer elsewhere.
func FuzzReadHeader(f *testing.F) {
	for _, header := range []string{
		`<s:Header xmlns:s="` + soap.Namespace11 + `"></s:Header>`,
		`<s:Header xmlns:s="` + soap.Namespace12 + `"><a xmlns="urn:a" s:mustUnderstand="1" s:role="urn:b"></a></s:Header>`,
		`<Header><w:ReplyTo xmlns:w="http://www.w3.org/2005/08/addressing"><w:Address>urn:x</w:Address></w:ReplyTo></Header>`,
		`<a></a><b><c></c></b>`, `<a`, `</a>`, "\x00", `<a:b:c d=e>`,
	} {
		f.Add([]byte(header), true)
		f.Add([]byte(header), false)
	}
	f.Fuzz(func(t *testing.T, header []byte, newer bool) {
		v := soap.V11
		if newer {
			v = soap.V12
		}
		blocks, err := soap.ReadHeader(header, v)
		if err != nil && blocks != nil {
			t.Error("blocks beside an error")
		}
		if len(blocks) > bytes.Count(header, []byte("<")) {
			t.Errorf("%d blocks of %d bytes", len(blocks), len(header))
		}
		for _, b := range blocks {
			if b.Elsewhere && b.Name != "ReplyTo" && b.Name != "FaultTo" {
				t.Errorf("block %d bytes long wants its answer elsewhere", len(b.Name))
			}
		}
	})
}
