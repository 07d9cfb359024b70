package validator_test

import (
	"testing"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/pkg/xmlschema"
)

// TestEverySimpleTypeHasAForm holds the table of forms against the schema: a type that is no
// enumeration has one in both languages, and no form is of a type that is gone.
func TestEverySimpleTypeHasAForm(t *testing.T) {
	t.Parallel()
	files := eventFiles(t)
	names, err := xmlschema.ReadNames(files.Main, files.Files)
	if err != nil {
		t.Fatal(err)
	}
	forms := map[string]hub.Form{}
	for _, form := range hub.Forms() {
		forms[form.Type] = form
	}
	types := names.SimpleTypes()
	if len(types) < 60 {
		t.Fatalf("%d simple types", len(types))
	}
	for _, s := range types {
		form, ok := forms[s.Name]
		delete(forms, s.Name)
		if listed := len(s.Values) > 0; ok == listed || ok && (form.IT == "" || form.EN == "" || form.IT == form.EN) {
			t.Errorf("%s: listed %v, form %+v", s.Name, listed, form)
		}
	}
	if len(forms) > 0 {
		t.Errorf("forms of no type: %v", forms)
	}
}
