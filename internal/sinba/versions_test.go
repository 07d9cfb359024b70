package sinba_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sinbahub/sinbahub/internal/sinba"
	"github.com/sinbahub/sinbahub/pkg/xmlschema"
	"github.com/sinbahub/sinbahub/xsd"
)

// newLeaf is what version 1.1 would add: requests may only gain optional elements.
const newLeaf = "<CanaleTelematico>1</CanaleTelematico>"

// nextVersion is the contract with one more optional leaf, and its table.
func nextVersion(t *testing.T) (schema, table []byte) {
	t.Helper()
	const after = `<xs:element name="CanaleAccesso" type="codCanaleAccesso"/>`
	text := change(t, string(schemaFile(t)), after, after+`<xs:element name="CanaleTelematico" type="codSiNo" minOccurs="0"/>`)
	rows, err := os.ReadFile("foglie.tsv")
	if err != nil {
		t.Fatal(err)
	}
	return []byte(text), append(rows, "/Dettaglio/AperturaCartella/CanaleTelematico\tkeep\tdrop\t\tcode\n"...)
}

// TestNextVersionStandsBesideThisOne: what a document of version 1 comes to is the same under both,
// byte for byte; the new leaf is refused by one and read, judged, stored and compared by the other.
func TestNextVersionStandsBesideThisOne(t *testing.T) {
	t.Parallel()
	schema, table := nextVersion(t)
	now := load(t)
	next, err := sinba.LoadVersion(schema, table, reference())
	if err != nil {
		t.Fatal(err)
	}
	rekey := func(kind, value string) string { return fakeCode(kind + value) }
	for name, document := range samples(t) {
		was, err := now.Read(document)
		if err != nil {
			t.Fatal(err)
		}
		is, err := next.Read(document)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !bytes.Equal(was.Content(), is.Content()) || !bytes.Equal(now.Regional(was, regionalCodes()), next.Regional(is, regionalCodes())) {
			t.Errorf("%s: another content or regional event", name)
		}
		ctx := sinba.RuleContext{Now: received}
		if diff := cmp.Diff(now.Judge(was, ctx), next.Judge(is, ctx)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if diff := cmp.Diff(now.Facts(was, rekey), next.Facts(is, rekey)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}

	opening := sample(t, "apertura-cartella")
	newer := change(t, opening, "</CanaleAccesso>", "</CanaleAccesso>"+newLeaf)
	if _, err := now.Read([]byte(newer)); err == nil {
		t.Error("version 1 reads what it does not know")
	}
	event, err := next.Read([]byte(newer))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(next.Regional(event, regionalCodes())), newLeaf) || !strings.Contains(string(event.Content()), "/Dettaglio/AperturaCartella/CanaleTelematico=1\n") {
		t.Error("version 1.1 loses its leaf")
	}
	for name, tt := range map[string]struct {
		schema   []byte
		document string
		want     xmlschema.Status
	}{
		"1.0 by 1":   {schemaFile(t), opening, xmlschema.Valid},
		"1.0 by 1.1": {schema, opening, xmlschema.Valid},
		"1.1 by 1":   {schemaFile(t), newer, xmlschema.Invalid},
		"1.1 by 1.1": {schema, newer, xmlschema.Valid},
	} {
		compiled, err := xmlschema.Compile(xsd.SinbaEventi, map[string][]byte{xsd.SinbaEventi: tt.schema})
		if err != nil {
			t.Fatal(err)
		}
		verdict, err := compiled.Check([]byte(tt.document), xmlschema.Bare)
		if err != nil || verdict.Status != tt.want {
			t.Errorf("%s: %v %v", name, verdict.Status, err)
		}
	}
}

// TestVersionWithALeafThatNobodyDecidedOnIsRefused: a leaf may not slip through.
func TestVersionWithALeafThatNobodyDecidedOnIsRefused(t *testing.T) {
	t.Parallel()
	schema, table := nextVersion(t)
	if _, err := sinba.Load(schema, reference()); err == nil {
		t.Error("version 1.1 was loaded with the table of version 1")
	}
	if _, err := sinba.LoadVersion(schemaFile(t), table, reference()); err == nil {
		t.Error("version 1 was loaded with the table of version 1.1")
	}
}
