package gateway_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	other "github.com/jacoelho/xsd"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/validator"
	"github.com/sinbahub/sinbahub/xsd"
)

// marked stands in mutated values and must not come back.
const marked = "MARCATO7x"

// mutation changes a leaf and tells where violations may then be.
type mutation struct {
	name  string
	apply func(leaf *element) (inside []string, err error)
}

// mutations are the ways in which a vendor's leaf goes wrong.
func mutations() []mutation {
	value := func(text string) func(*element) ([]string, error) {
		return func(leaf *element) ([]string, error) { return []string{leaf.path()}, leaf.change("set", text) }
	}
	return []mutation{
		{"drop", func(leaf *element) ([]string, error) {
			return []string{leaf.parent.path()}, leaf.change("drop", "")
		}},
		{"double", func(leaf *element) ([]string, error) {
			err := leaf.change("double", "")
			// Of a repeated leaf any may be the one too many.
			var all []string
			for _, k := range leaf.parent.kids {
				if k.name == leaf.name {
					all = append(all, k.path())
				}
			}
			return all, err
		}},
		{"swap", func(leaf *element) ([]string, error) {
			siblings, i := leaf.parent.kids, leaf.index()
			next := siblings[max(0, min(i+1, len(siblings)-1))]
			if next == leaf && i > 0 {
				next = siblings[i-1]
			}
			if next == leaf {
				return nil, nil
			}
			err := leaf.change("swap", "")
			return []string{leaf.path(), next.path()}, err
		}},
		{"empty", value("")},
		{"blank", value(" \n ")},
		{"blanks around", func(leaf *element) ([]string, error) {
			leaf.text = " " + leaf.text + "\n"
			return []string{leaf.path()}, nil
		}},
		{"lengthen", value(strings.Repeat(marked, 40))},
		{"retype", value(marked + " \u00e8")},
	}
}

// collapsed are the blanks around whole numbers, that XML Schema takes away and libxml2 refuses.
func collapsed(violations []hub.Violation) bool {
	return len(violations) == 1 && violations[0].Code == hub.CodeSchemaBlanks
}

// TestMutatedLeavesAreToldWhereTheyAre breaks every leaf of the sample events in every way. What is
// told stands inside the mutated part, holds no value, and there is something wherever an
// independent validator finds something.
func TestMutatedLeavesAreToldWhereTheyAre(t *testing.T) {
	t.Parallel()
	j := newJudge(t)
	schema, err := xsd.FS.ReadFile(xsd.SinbaEventi)
	if err != nil {
		t.Fatal(err)
	}
	opinion, err := other.Compile(t.Context(), other.Bytes(xsd.SinbaEventi, schema))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(testdata, "events", "*", "*.xml"))
	if err != nil || len(files) == 0 {
		t.Fatal("no samples")
	}
	positions := regexp.MustCompile(`\[\d+\]`)
	seen := map[string]int{}
	judged := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		good, err := parseDocument(text)
		if err != nil {
			t.Fatal(err)
		}
		for at, leaf := range good.leaves() {
			// Three samples of each leaf do; the others differ in nothing that is looked at here.
			if seen[positions.ReplaceAllString(leaf.path(), "")]++; seen[positions.ReplaceAllString(leaf.path(), "")] > 3 {
				continue
			}
			for _, m := range mutations() {
				mutated := good.clone(nil)
				inside, err := m.apply(mutated.leaves()[at])
				if err != nil {
					t.Fatal(err)
				}
				judged++
				document := []byte(mutated.String())
				theirs := opinion.ValidateWithOptions(t.Context(), bytes.NewReader(document), other.ValidateOptions{MaxErrors: 1})
				checkMutant(t, j, m.name+" "+leaf.path(), document, inside, theirs != nil)
			}
		}
	}
	if judged < 1000 {
		t.Errorf("only %d mutants", judged)
	}
	t.Logf("%d mutants", judged)
}

func checkMutant(t *testing.T, j *judge, name string, document []byte, inside []string, invalid bool) {
	t.Helper()
	result, err := j.pool.Validate(t.Context(), validator.SinbaEventi, validator.Bare, document)
	if err != nil {
		t.Fatal(err)
	}
	if invalid != (len(result.Violations) > 0) && !collapsed(result.Violations) {
		t.Errorf("%s: invalid is %v, told: %+v", name, invalid, result.Violations)
	}
	if len(result.Violations) > 1 || result.Total != len(result.Violations) {
		t.Errorf("%s: one cause, %d violations: %+v", name, result.Total, result.Violations)
	}
	for _, v := range result.Violations {
		said := j.speaker.Say(v)
		if !slices.Contains(inside, v.Path) || v.Reason == "" || said.EN == "" {
			t.Errorf("%s: told of %s, %q", name, v.Path, said.EN)
		}
	}
	if len(result.Violations) > 0 {
		noValueIn(t, j, name, &hub.Error{Kind: hub.Invalid, Public: result.Violations}, []string{marked})
	}
}
