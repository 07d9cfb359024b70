package codelist_test

import (
	"testing"

	"github.com/sinbahub/sinbahub/internal/codelist"
)

// BenchmarkMunicipality asks for one municipality of thousands.
func BenchmarkMunicipality(b *testing.B) {
	set, code := codelist.Default(), []byte("048017")
	b.ReportAllocs()
	for b.Loop() {
		_, _ = set.Municipality(code, 20240101)
	}
}

// BenchmarkParse makes a set of the lists inside the binary, as a reload does.
func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := codelist.Parse(codelist.Builtin()); err != nil {
			b.Fatal(err)
		}
	}
}
