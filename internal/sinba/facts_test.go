package sinba_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sinbahub/sinbahub/internal/sinba"
	"github.com/sinbahub/sinbahub/pkg/xmlschema"
)

// factsOf reads the facts of a sample; a stand-in is its kind and value, so that it can be seen.
func factsOf(t *testing.T, name string) sinba.Facts {
	t.Helper()
	files, err := filepath.Glob("../../testdata/events/*/" + name + "-*.xml")
	if err != nil || len(files) != 1 {
		t.Fatalf("%s: %v %v", name, files, err)
	}
	document, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	schema, err := eventContract()
	if err != nil {
		t.Fatal(err)
	}
	verdict, err := schema.Check(document, xmlschema.Bare)
	if err != nil || verdict.Status != xmlschema.Valid {
		t.Fatalf("%s: %+v %v", name, verdict, err)
	}
	return load(t).Facts(read(t, string(verdict.Payload)), func(kind, value string) string { return kind + "=" + value })
}

// TestFactsAreWhatTheSamplesSay has every fact in at least one sample.
func TestFactsAreWhatTheSamplesSay(t *testing.T) {
	t.Parallel()
	photo := "/Dettaglio/Fotografia"
	for name, want := range map[string]sinba.Facts{
		"06-arretrato-01": {
			Subject: "IdAssistitoLocale=GR-55102", OpenedOn: 20190912, TakenOn: 20190924, BornIn: 201411,
			Citizenship: sinba.CitizenshipOther,
			Minors: []sinba.Minor{
				{Path: photo + "/PresaInCarico/DatiMinore", Place: "1"}, {Path: photo + "/Valutazione/DatiMinore", Place: "4"},
			},
			Family: sinba.Family{Told: true, Path: photo + "/NucleoFamiliare", Father: true},
			Items: []sinba.Item{
				{Kind: sinba.ItemOrder, ID: "IdProvvedimento=TM-20-0019", Start: 20200109, Path: photo + "/ProvvedimentoGiudiziario"},
				{Kind: sinba.ItemService, ID: "IdIntervento=PR-19-0442", Start: 20191001, End: 20200110, Closed: true, Path: photo + "/Intervento"},
				{Kind: sinba.ItemService, ID: "IdIntervento=PR-20-0031", Start: 20200203, Path: photo + "/Intervento[2]"},
				{
					Kind: sinba.ItemPlacement, ID: "IdInserimento=IS-20-003", Start: 20200113, Residential: true,
					Where: "CodiceStrutturaASSO=ASSO-GR-0007", Path: photo + "/InserimentoStruttura", Judicial: true, Order: "IdProvvedimento=TM-20-0019",
				},
			},
		},
	} {
		got := factsOf(t, name)
		// What the sample says of the child is compared above only where it is certain from here.
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(sinba.Facts{}, "Subject", "OpenedOn", "BornIn")); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if got.Subject == "" || got.OpenedOn == 0 || got.BornIn == 0 {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if f := factsOf(t, "05-neonata-08"); !f.Closing || f.ClosedOn == 0 || !f.Adopted || f.OfAge {
		t.Errorf("a closing with an adoption: %+v", f)
	}
	if f := factsOf(t, "03-porto-12"); !f.Closing || !f.OfAge {
		t.Errorf("a closing at eighteen: %+v", f)
	}
	if f := factsOf(t, "04-trasferimento-10"); !f.Entering || f.Closing {
		t.Errorf("a transfer in: %+v", f)
	}
	if f := factsOf(t, "04-trasferimento-08"); f.Entering {
		t.Errorf("a transfer out: %+v", f)
	}
	if f := factsOf(t, "03-porto-03"); !f.Presumed || !f.Minors[0].Unaccompanied || f.TakenOn == 0 || f.Citizenship != sinba.CitizenshipOther {
		t.Errorf("an unaccompanied boy: %+v", f)
	}
	if f := factsOf(t, "02-gemelle-07"); !f.Items[0].Residential || !f.Items[0].Judicial || f.Items[0].Order == "" {
		t.Errorf("residential care by a court: %+v", f)
	}
	if f := factsOf(t, "01-scuola-11"); !f.Closing || len(f.Items) != 0 {
		t.Errorf("a project that closes: %+v", f)
	}
	if f := factsOf(t, "06-arretrato-08"); f.TakenOn == 0 {
		t.Errorf("a reopening in charge: %+v", f)
	}
}
