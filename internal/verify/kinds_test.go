package verify_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"testing"

	"github.com/sinbahub/sinbahub/internal/verify"
)

// TestEveryKindOfEntryHasAName: the verifier shares no code with the hub, so that a new kind is easily forgotten
// here, and an auditor is told that nobody knows it.
func TestEveryKindOfEntryHasAName(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "../journal/journal.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		of, typed := spec.Type.(*ast.Ident)
		value, number := spec.Values[0].(*ast.BasicLit)
		if !typed || !number || of.Name != "Kind" {
			return true
		}
		kind, err := strconv.ParseUint(value.Value, 10, 8)
		if err != nil {
			t.Fatal(err)
		}
		if seen++; verify.KindName(byte(kind)) == "unknown" {
			t.Errorf("%s (%d) has no name", spec.Names[0].Name, kind)
		}
		return true
	})
	if seen < 20 {
		t.Errorf("only %d kinds found", seen)
	}
}
