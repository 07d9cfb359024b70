package sinba_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sinbahub/sinbahub/internal/sinba"
)

// national makes both forms of a message.
func national(tb testing.TB, doc string) (regional, leaving string) {
	tb.Helper()
	c := load(tb)
	stored := c.Regional(read(tb, doc), regionalCodes())
	out, err := c.National(stored, nationalCodes())
	if err != nil {
		tb.Fatal(err)
	}
	return string(stored), string(out)
}

// TestNationalDoesWhatTheTableSays checks every leaf of every document against its row, starting
// from what the regional event has.
func TestNationalDoesWhatTheTableSays(t *testing.T) {
	t.Parallel()
	c, info := load(t), infoOf(t)
	codes := nationalCodes()
	everyDocument(t, func(doc string, _ []leafValue) {
		stored := c.Regional(read(t, doc), regionalCodes())
		from, err := sinba.Leaves(stored)
		if err != nil {
			t.Fatal(err)
		}
		at, _ := from.Value("/Testata/DataOraEvento")
		var want []leafValue
		for _, leaf := range from.Leaves {
			path := withoutPositions(leaf.Path)
			if path == "/Soggetto/Identificativo/Pseudonimo" {
				want = append(want, leafValue{"/Soggetto/Identificativo/IDBeneficiario", codes.Beneficiary})
				continue
			}
			row := info[path]
			above := leaf.Path[:strings.LastIndex(leaf.Path, "/")+1]
			position := ""
			if i := strings.LastIndex(leaf.Path, "["); i > len(above) {
				position = leaf.Path[i:]
			}
			out := func(i int, value string) { want = append(want, leafValue{above + row.Outputs[i] + position, value}) }
			switch row.National {
			case sinba.ClassDrop, sinba.ClassRoute, sinba.ClassPseudonym:
			case sinba.ClassKeep, sinba.ClassRegion:
				out(0, leaf.Value)
			case sinba.ClassRekey:
				kind := strings.ReplaceAll(path[strings.LastIndex(path, "/")+1:], "Riferito", "")
				out(0, codes.Rekey(kind, leaf.Value))
			case sinba.ClassMonth:
				out(0, leaf.Value[:7])
			case sinba.ClassGroup:
				out(0, groupOf(leaf.Value))
			case sinba.ClassYearBand:
				out(0, leaf.Value[:4])
				if band := bandOf(t, leaf.Value, at); band != "" {
					out(1, band)
				}
			default:
				t.Fatal(row)
			}
		}
		leaving, err := c.National(stored, codes)
		if err != nil {
			t.Fatal(err)
		}
		got, err := sinba.Leaves(leaving)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, genericLeaves(got)); diff != "" {
			t.Fatalf("(-want +got)\n%s", diff)
		}
		if got.Root != "EventoNazionale" || !strings.Contains(string(leaving), `<EventoNazionale xmlns="urn:sinba:siss:v1">`) {
			t.Error(got.Root)
		}
	})
}

// groupOf is what the tests expect of a nation.
func groupOf(code string) string {
	ref := sinba.DefaultReference()
	in := func(list []string) bool { return strings.Contains(" "+strings.Join(list, " ")+" ", " "+code+" ") }
	switch {
	case in(ref.Common):
		return code
	case in(ref.EU):
		return "UE"
	case in(ref.Nations):
		return "EXTRA_UE"
	}
	return "altro"
}

// bandOf is what the tests expect of an age, from two months.
func bandOf(t *testing.T, born, at string) string {
	t.Helper()
	var by, bm, ay, am int
	if _, err := fmt.Sscanf(born+" "+at[:7], "%d-%d %d-%d", &by, &bm, &ay, &am); err != nil {
		t.Fatal(err)
	}
	for band := 6; band >= 1; band-- {
		if years := float64((ay-by)*12+am-bm) / 12; years >= float64(band*3) {
			if band == 6 {
				return ""
			}
			return strconv.Itoa(band + 1)
		}
	}
	return "1"
}

// TestNationalHoldsNothingItMustNot: no dropped value, no regional id and no day is in the bytes.
func TestNationalHoldsNothingItMustNot(t *testing.T) {
	t.Parallel()
	c, info := load(t), infoOf(t)
	everyDocument(t, func(doc string, leaves []leafValue) {
		stored := c.Regional(read(t, doc), regionalCodes())
		leaving, err := c.National(stored, nationalCodes())
		if err != nil {
			t.Fatal(err)
		}
		from, err := sinba.Leaves(stored)
		if err != nil {
			t.Fatal(err)
		}
		for _, leaf := range append(leaves, genericLeaves(from)...) {
			row := info[withoutPositions(leaf.Path)]
			if row.Kind == "enumeration" || row.National == sinba.ClassKeep || row.National == sinba.ClassGroup || row.National == sinba.ClassRegion && len(leaf.Value) == 2 {
				continue
			}
			if len(leaf.Value) >= 4 && leaf.Value != sinba.Altro && strings.Contains(string(leaving), ">"+escape(leaf.Value)+"<") {
				t.Errorf("%s is in the national event: %s", leaf.Path, leaf.Value)
			}
			if len(leaf.Value) >= 8 && row.National != sinba.ClassKeep && strings.Contains(string(leaving), escape(leaf.Value)) {
				t.Errorf("%s is inside the national event: %s", leaf.Path, leaf.Value)
			}
		}
	})
}

func TestNationalIsPure(t *testing.T) {
	t.Parallel()
	c := load(t)
	rapid.Check(t, func(rt *rapid.T) {
		doc, _ := random(t, rt).generate("InviaEventoRichiesta")
		ev, err := c.Read([]byte(doc))
		if err != nil {
			rt.Fatal(err)
		}
		stored := c.Regional(ev, regionalCodes())
		first, err := c.National(stored, nationalCodes())
		if err != nil {
			rt.Fatal(err)
		}
		// Another configuration of the closed lists changes nothing of what is stored already.
		other, err := c.WithReference(sinba.Reference{})
		if err != nil {
			rt.Fatal(err)
		}
		again, err := other.National(stored, nationalCodes())
		if err != nil {
			rt.Fatal(err)
		}
		if string(first) != string(again) {
			rt.Fatal("two national events of one regional event")
		}
		if _, err := standardLeaves(first); err != nil {
			rt.Fatal(err)
		}
	})
}

func TestNationalMonthsAreThoseOfItaly(t *testing.T) {
	t.Parallel()
	doc := sample(t, "segnalazione")
	for at, month := range map[string]string{
		"2024-06-30T21:59:59Z":      "2024-06",
		"2024-06-30T22:00:00Z":      "2024-07",
		"2024-12-31T22:59:59Z":      "2024-12",
		"2024-12-31T23:00:00Z":      "2025-01",
		"2024-07-01T08:59:00+09:00": "2024-07",
		"2024-07-01T06:59:00+09:00": "2024-06",
	} {
		_, leaving := national(t, set(t, doc, "DataOraEvento", at))
		if !strings.Contains(leaving, "<MeseEvento>"+month+"</MeseEvento>") {
			t.Error(at, month)
		}
	}
	_, leaving := national(t, set(t, doc, "DataSegnalazione", "2024-01-31-14:00"))
	if !strings.Contains(leaving, "<MeseSegnalazione>2024-01</MeseSegnalazione>") {
		t.Error("the zone of a day moved it")
	}
}

func TestNationalAgeBandsAreHalfOpen(t *testing.T) {
	t.Parallel()
	doc := set(t, sample(t, "segnalazione"), "DataOraEvento", "2024-05-20T10:00:00Z")
	for born, band := range map[string]string{
		"2024-05-20": "1", "2021-06-01": "1", "2021-05-31": "2", "2018-06-30": "2", "2018-05-01": "3",
		"2015-05-01": "4", "2012-05-01": "5", "2009-05-01": "6", "2006-06-01": "6", "2006-05-31": "", "1990-01-01": "",
		// A birth after the event counts as age zero.
		"2024-06-01": "1", "2025-01-01": "1",
	} {
		_, leaving := national(t, set(t, doc, "DataNascita", born))
		if !strings.Contains(leaving, "<AnnoNascita>"+born[:4]+"</AnnoNascita>") {
			t.Error("year of", born)
		}
		want := "<FasciaEta>" + band + "</FasciaEta>"
		if band == "" {
			if strings.Contains(leaving, "FasciaEta") {
				t.Error("band of", born)
			}
		} else if !strings.Contains(leaving, want) {
			t.Error("band of", born, band)
		}
	}
}

func TestNationalGroupsRareNations(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]string{
		"380": "380", "642": "642", "008": "008", "276": "UE", "705": "UE", "826": "EXTRA_UE", "004": "EXTRA_UE",
		"997": "EXTRA_UE", "998": "EXTRA_UE", "999": "EXTRA_UE", "123": "altro", "000": "altro",
	} {
		stored, leaving := national(t, set(t, sample(t, "segnalazione"), "CodiceCittadinanza", code))
		if !strings.Contains(leaving, "<CodiceCittadinanza>"+want+"</CodiceCittadinanza>") {
			t.Error(code, want)
		}
		kept := code
		if want == "altro" {
			kept = want
		}
		if !strings.Contains(stored, ">"+kept+"</CodiceCittadinanza>") {
			t.Error("regional", code)
		}
	}
}

func TestNationalRekeysAReferenceToTheEventItNames(t *testing.T) {
	t.Parallel()
	doc := sample(t, "annullamento")
	const id = "254b0c4e-010c-4759-882c-9cbc43435cc5"
	_, leaving := national(t, set(t, doc, "IdEvento", strings.ToUpper(id)))
	want := fakeCode("N" + "IdEvento" + id)
	if !strings.Contains(leaving, "<IdEvento>"+want+"</IdEvento>") || !strings.Contains(leaving, "<IdEventoRiferito>"+want+"</IdEventoRiferito>") {
		t.Error(leaving)
	}
}

func TestNationalRefusesWhatIsNoRegionalEvent(t *testing.T) {
	t.Parallel()
	c := load(t)
	stored, _ := national(t, sample(t, "segnalazione"))
	cases := map[string]string{
		"nothing":          "",
		"an event":         sample(t, "segnalazione"),
		"another mapping":  change(t, stored, `mappa="1"`, `mappa="2"`),
		"no mapping":       change(t, stored, ` mappa="1"`, ``),
		"cut":              stored[:len(stored)-5],
		"unknown leaf":     change(t, stored, "<IdEvento>", "<Nota></Nota><IdEvento>"),
		"a day of birth":   change(t, stored, "<DataNascita>2010-04</DataNascita>", "<DataNascita>2010-04-23</DataNascita>"),
		"month 13":         change(t, stored, "<DataNascita>2010-04</DataNascita>", "<DataNascita>2010-13</DataNascita>"),
		"value of no list": set(t, stored, "TipoEvento", "NASCITA"),
	}
	for name, doc := range cases {
		if _, err := c.National([]byte(doc), nationalCodes()); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if _, err := c.National([]byte(stored), sinba.NationalCodes{Rekey: nationalCodes().Rekey}); err == nil {
		t.Error("a national event without a code for the child")
	}
	if _, err := c.Route([]byte("<a></a>")); err == nil {
		t.Error("a route from nothing")
	}
	if ente, err := c.Route([]byte(stored)); ente != "SDS-PI" || err != nil {
		t.Error(ente, err)
	}
}
