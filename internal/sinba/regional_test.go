package sinba_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sinbahub/sinbahub/internal/sinba"
)

// marked gives every leaf of a document its own value, none of them in a closed list.
func marked() func(path, typ string) string {
	n := 0
	return func(path, typ string) string {
		n++
		if path == "/Soggetto/Anagrafica/DataNascita" {
			return "2001-09-17" // a month that no other date has
		}
		switch typ {
		case "UuidType":
			return fmt.Sprintf("ABCDEF%02X-9f00-4a00-8a00-0000000000%02X", n, n)
		case "GiornoType":
			return fmt.Sprintf("20%02d-%02d-%02d", n%15+3, n%12+1, n%27+1)
		case "DataOraTzType":
			return fmt.Sprintf("2024-06-15T10:%02d:00+02:00", n%60)
		case "CodiceLocaleType":
			return fmt.Sprintf("MARCA.%03d/x", n)
		case "CodiceFiscaleType":
			return fmt.Sprintf("MARCAX%02dA%02dD612X", n%100, n%28+1)
		case "CodiceNumerico11Type":
			return fmt.Sprintf("77777777%03d", n)
		case "CodiceSTPType":
			return fmt.Sprintf("STP0909999999%03d", n)
		case "CodiceENIType":
			return fmt.Sprintf("ENI0909999999%03d", n)
		case "CodiceCatastaleType":
			return fmt.Sprintf("Z%03d", n)
		case "CodiceIstatComuneType":
			return fmt.Sprintf("048%03d", 800+n)
		case "CodiceNazioneType":
			return fmt.Sprintf("3%02d", n%100)
		case "CodicePrestazioneType":
			return fmt.Sprintf("MARCA.%03d", n)
		case "ImportoType":
			return fmt.Sprintf("%d.25", 1000+n)
		case "PositivoType":
			return "7"
		case "NumeroComponentiType":
			return "4"
		case "OreMensiliType":
			return "12"
		case "CapType":
			return fmt.Sprintf("59%03d", n)
		}
		return fmt.Sprintf("Marca %03d", n)
	}
}

// everyDocument goes through one document for each body and identity, every leaf marked.
func everyDocument(t *testing.T, each func(doc string, leaves []leafValue)) {
	t.Helper()
	for body := range bodies {
		for identity := range identities {
			each(maximal(t, body, identity, marked()).generate("InviaEventoRichiesta"))
		}
	}
	for _, doc := range samples(t) {
		leaves, err := standardLeaves(doc)
		if err != nil {
			t.Fatal(err)
		}
		each(string(doc), leaves)
	}
}

// infoOf gives the table by path.
func infoOf(tb testing.TB) map[string]sinba.LeafInfo {
	tb.Helper()
	all := map[string]sinba.LeafInfo{}
	for _, leaf := range load(tb).Table() {
		all[leaf.Path] = leaf
	}
	return all
}

// TestRegionalHoldsNoIdentity: no value of a leaf that the table drops, replaces or generalises is
// in the stored bytes, for every leaf of the schema.
func TestRegionalHoldsNoIdentity(t *testing.T) {
	t.Parallel()
	c, info := load(t), infoOf(t)
	seen := map[string]bool{}
	everyDocument(t, func(doc string, leaves []leafValue) {
		stored := string(c.Regional(read(t, doc), regionalCodes()))
		for _, leaf := range leaves {
			row := info[withoutPositions(leaf.Path)]
			seen[row.Path] = true
			if row.Regional == sinba.ClassKeep || keptElsewhere(leaf, leaves, info) {
				continue
			}
			if strings.Contains(stored, leaf.Value) || strings.Contains(stored, escape(leaf.Value)) {
				t.Errorf("%s (%s) is in the regional event: %s", row.Path, row.Regional, leaf.Value)
			}
		}
	})
	for path := range info {
		if !seen[path] && path != "/@versione" {
			t.Error("not tested:", path)
		}
	}
}

// keptElsewhere tells whether a value is too short to be looked for, or is also that of a leaf that
// is kept, as in the samples where several dates are one day.
func keptElsewhere(leaf leafValue, leaves []leafValue, info map[string]sinba.LeafInfo) bool {
	if len(leaf.Value) < 4 {
		return true
	}
	for _, other := range leaves {
		if info[withoutPositions(other.Path)].Regional == sinba.ClassKeep && strings.Contains(other.Value, leaf.Value) {
			return true
		}
	}
	return false
}

// TestRegionalDoesWhatTheTableSays checks every leaf of every document against its row.
func TestRegionalDoesWhatTheTableSays(t *testing.T) {
	t.Parallel()
	c, info := load(t), infoOf(t)
	codes := regionalCodes()
	everyDocument(t, func(doc string, leaves []leafValue) {
		var want []leafValue
		for _, leaf := range leaves {
			path := withoutPositions(leaf.Path)
			name := path[strings.LastIndex(path, "/")+1:]
			row := info[path]
			switch row.Regional {
			case sinba.ClassDrop:
			case sinba.ClassPseudonym:
				want = append(want, leafValue{"/Soggetto/Identificativo/Pseudonimo", codes.Pseudonym})
			case sinba.ClassRekey:
				want = append(want, leafValue{leaf.Path, codes.Rekey(name, leaf.Value)})
			case sinba.ClassMonth:
				want = append(want, leafValue{leaf.Path, leaf.Value[:7]})
			case sinba.ClassRegion:
				want = append(want, leafValue{leaf.Path, "17"})
			case sinba.ClassKeep:
				value := leaf.Value
				switch row.Kind {
				case "text":
					if !inReference(row, value) {
						value = sinba.Altro
					}
				case "uuid":
					value = strings.ToLower(value)
				case "instant", "decimal":
					value = contentOf(t, doc, leaf.Path)
				}
				want = append(want, leafValue{leaf.Path, value})
			case sinba.ClassYearBand, sinba.ClassGroup, sinba.ClassRoute:
				t.Fatal(row)
			}
		}
		got, err := sinba.Leaves(c.Regional(read(t, doc), codes))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, genericLeaves(got)); diff != "" {
			t.Fatalf("(-want +got)\n%s", diff)
		}
		if v, _ := got.Value("@mappa"); got.Root != "EventoRegionale" || v != "1" {
			t.Error(got.Root, v)
		}
	})
}

// inReference tells whether the tests' reference has a free code.
func inReference(row sinba.LeafInfo, value string) bool {
	ref := reference()
	if row.Type == "CodiceNazioneType" {
		return slices.Contains(ref.Nations, value)
	}
	switch value {
	case "SDS-PI", "SDS-LU", "Z15", "Alias2k", "Gesocial", "5.1", "A1.20":
		return true
	}
	return false
}

// contentOf gives the value that the content form has for a path; the instant of sending, which the
// content leaves out, is read as the other one.
func contentOf(t *testing.T, doc, path string) string {
	t.Helper()
	if path == "/Testata/DataOraInvio" {
		path = "/Testata/DataOraEvento"
		from := strings.Index(doc, "<DataOraInvio>") + len("<DataOraInvio>")
		doc = set(t, doc, "DataOraEvento", doc[from:strings.Index(doc, "</DataOraInvio>")])
	}
	for line := range strings.Lines(string(read(t, doc).Content())) {
		if value, ok := strings.CutPrefix(line, path+"="); ok {
			return strings.TrimSuffix(value, "\n")
		}
	}
	t.Fatal("no line", path)
	return ""
}

func TestRegionalIsWellFormedForAnyEvent(t *testing.T) {
	t.Parallel()
	c := load(t)
	rapid.Check(t, func(rt *rapid.T) {
		doc, _ := random(t, rt).generate("InviaEventoRichiesta")
		ev, err := c.Read([]byte(doc))
		if err != nil {
			rt.Fatal(err)
		}
		stored := c.Regional(ev, regionalCodes())
		if string(stored) != string(c.Regional(ev, regionalCodes())) {
			rt.Fatal("two regional events of one event")
		}
		standard, err := standardLeaves(stored)
		if err != nil {
			rt.Fatal(err)
		}
		generic, err := sinba.Leaves(stored)
		if err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(standard, genericLeaves(generic)); diff != "" {
			rt.Fatal(diff)
		}
		for _, leaf := range standard {
			if leaf.Value == "" {
				rt.Fatal("an empty element", leaf.Path)
			}
		}
	})
}

func TestRegionalKeepsOnlyCodesOfClosedLists(t *testing.T) {
	t.Parallel()
	doc := sample(t, "trasferimento")
	for _, name := range []string{"CodiceEnteControparte"} {
		if !strings.Contains(doc, "<"+name+">") {
			doc = change(t, doc, "</Verso>", "</Verso><"+name+">SDS-LU</"+name+">")
		}
	}
	regional := func(c *sinba.Catalogue, doc string) string {
		ev, err := c.Read([]byte(doc))
		if err != nil {
			t.Fatal(err)
		}
		return string(c.Regional(ev, regionalCodes()))
	}
	has := func(text, name, value string) {
		t.Helper()
		if !strings.Contains(text, "<"+name+">"+value+"</"+name+">") {
			t.Errorf("%s is not %s in %s", name, value, text)
		}
	}
	stored := regional(load(t), set(t, doc, "CodiceEnteControparte", "SDS-LU"))
	has(stored, "CodiceEnte", "SDS-PI")
	has(stored, "CodiceZona", "Z15")
	has(stored, "Fornitore", "Alias2k")
	has(stored, "Prodotto", "Gesocial")
	has(stored, "Versione", "5.1")
	has(stored, "CodiceEnteControparte", "SDS-LU")
	stored = regional(load(t), set(t, doc, "CodiceEnteControparte", "Mario.Rossi"))
	has(stored, "CodiceEnteControparte", "altro")

	empty, err := load(t).WithReference(sinba.DefaultReference())
	if err != nil {
		t.Fatal(err)
	}
	stored = regional(empty, doc)
	for _, name := range []string{"CodiceEnte", "CodiceZona", "Fornitore", "Prodotto", "Versione", "CodiceEnteControparte"} {
		has(stored, name, "altro")
	}
	service := sample(t, "intervento")
	has(regional(load(t), service), "CodicePrestazione", "A1.20")
	has(regional(load(t), set(t, service, "CodicePrestazione", "A1.21")), "CodicePrestazione", "altro")
	has(regional(empty, set(t, service, "CodicePrestazione", "ROSSI1")), "CodicePrestazione", "altro")

	ref := reference()
	ref.Vendors = []string{"A & B <srl>"}
	odd, err := load(t).WithReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	stored = regional(odd, set(t, doc, "Fornitore", "A &amp; B &lt;srl&gt;"))
	has(stored, "Fornitore", "A &amp; B &lt;srl&gt;")
	has(regional(load(t), service), "Fornitore", "Alias2k")
}

func TestRegionalLeavesOutAnUnknownProvince(t *testing.T) {
	t.Parallel()
	doc := sample(t, "segnalazione")
	stored := func(code string) string {
		return string(load(t).Regional(read(t, set(t, doc, "CodiceComune", code)), regionalCodes()))
	}
	for code, region := range map[string]string{"048017": "17", "021008": "03", "022205": "18", "058091": "08", "107001": "15"} {
		if !strings.Contains(stored(code), "<CodiceComune>"+region+"</CodiceComune>") {
			t.Error(code, region)
		}
	}
	for _, code := range []string{"000001", "120001", "999999"} {
		if strings.Contains(stored(code), "CodiceComune") || strings.Contains(stored(code), code) {
			t.Error(code)
		}
	}
}

// standsFor matches what spelledOut gives.
var standsFor = regexp.MustCompile(`>(Id[A-Za-z]+=[^<]*)<`)

// spelledOut gives stand-ins that say what they stand for, and counts how often it was asked.
func spelledOut(asked *int) sinba.RegionalCodes {
	return sinba.RegionalCodes{Pseudonym: "X", Rekey: func(kind, value string) string {
		*asked++
		return kind + "=" + value
	}}
}

// standIns are those of a document written with spelledOut, in its order.
func standIns(document []byte) []string {
	var all []string
	for _, m := range standsFor.FindAllSubmatch(document, -1) {
		all = append(all, string(m[1]))
	}
	return all
}

func TestRegionalRekeysAReferenceLikeWhatItNames(t *testing.T) {
	t.Parallel()
	var asked int
	stored := load(t).Regional(read(t, sample(t, "caricamento-iniziale")), spelledOut(&asked))
	want := []string{
		"IdCartella=2024/00001-bb3b", "IdSegnalazione=S.1", "IdValutazione=V-1", "IdProgetto=P1", "IdProvvedimento=T1",
		"IdIntervento=I1", "IdProgetto=P1", "IdIntervento=I2", "IdProgetto=P1", "IdAffidamento=F1", "IdProvvedimento=T1",
		"IdInserimento=N1", "IdProvvedimento=T1",
	}
	if diff := cmp.Diff(want, standIns(stored)); diff != "" {
		t.Error(diff)
	}
	if asked != 9 {
		t.Errorf("a stand-in was made %d times for 9 ids", asked)
	}
}

func TestRegionalRekeysMoreIdsThanItKeeps(t *testing.T) {
	t.Parallel()
	const interventi, projects = 60, 12
	doc := sample(t, "caricamento-iniziale")
	from, to := strings.Index(doc, "<Intervento>"), strings.LastIndex(doc, "</Intervento>")+len("</Intervento>")
	one := doc[from : strings.Index(doc, "</Intervento>")+len("</Intervento>")]
	var many strings.Builder
	var want []string
	for i := range interventi {
		id, project := fmt.Sprintf("I%d", i), fmt.Sprintf("Q%d", i*i%projects)
		text := strings.Replace(one, "<IdIntervento>I1<", "<IdIntervento>"+id+"<", 1)
		many.WriteString(strings.Replace(text, "<IdProgetto>P1<", "<IdProgetto>"+project+"<", 1))
		want = append(want, "IdIntervento="+id, "IdProgetto="+project)
	}
	var asked int
	got := standIns(load(t).Regional(read(t, doc[:from]+many.String()+doc[to:]), spelledOut(&asked)))
	at := slices.Index(got, want[0])
	if at < 0 || len(got) < at+len(want) {
		t.Fatal("the interventi are not there")
	}
	if diff := cmp.Diff(want, got[at:at+len(want)]); diff != "" {
		t.Error(diff)
	}
}
