package sinba_test

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sinbahub/sinbahub/internal/sinba"
)

// table gives the committed leaf table, line by line with its header.
func table(tb testing.TB) []string {
	tb.Helper()
	file, err := os.ReadFile("foglie.tsv")
	if err != nil {
		tb.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(file), "\n"), "\n")
}

// withTable takes another table, the way Load takes its own.
func withTable(tb testing.TB, lines []string) (*sinba.Catalogue, error) {
	tb.Helper()
	return load(tb).WithTable([]byte(strings.Join(lines, "\n") + "\n"))
}

func TestWithTableOfTheContractChangesNothing(t *testing.T) {
	t.Parallel()
	same, err := withTable(t, table(t))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(load(t).Table(), same.Table()); diff != "" {
		t.Error(diff)
	}
}

func TestWithTableLeavesTheCatalogueAsItWas(t *testing.T) {
	t.Parallel()
	lines := table(t)
	for i := range lines {
		if strings.HasPrefix(lines[i], "/Soggetto/Anagrafica/Sesso\t") {
			lines[i] = strings.ReplaceAll("/Soggetto/Anagrafica/Sesso | drop | drop |  | x", " | ", "\t")
		}
	}
	other, err := withTable(t, lines)
	if err != nil {
		t.Fatal(err)
	}
	ev := read(t, sample(t, "segnalazione"))
	if strings.Contains(string(other.Regional(ev, regionalCodes())), "<Sesso>") {
		t.Error("dropped by the other table, but there")
	}
	if !strings.Contains(string(load(t).Regional(ev, regionalCodes())), "<Sesso>") {
		t.Error("kept by the contract's table, but gone")
	}
}

func TestLoadNamesTheLeafWithoutARow(t *testing.T) {
	t.Parallel()
	lines := table(t)
	if len(lines) != 302 {
		t.Fatal("rows", len(lines)-1)
	}
	for i := 1; i < len(lines); i++ {
		path, _, _ := strings.Cut(lines[i], "\t")
		_, err := withTable(t, slices.Concat(lines[:i], lines[i+1:]))
		if err == nil || !strings.HasSuffix(err.Error(), ": "+path) {
			t.Errorf("without the row of %s: %v", path, err)
		}
	}
}

func TestLoadRefusesATableThatDoesNotFit(t *testing.T) {
	t.Parallel()
	lines := table(t)
	row := func(text string) string { return strings.ReplaceAll(text, " | ", "\t") }
	edit := func(path, columns string) []string {
		out := slices.Clone(lines)
		for i := range out {
			if strings.HasPrefix(out[i], path+"\t") {
				out[i] = row(path + " | " + columns)
				return out
			}
		}
		t.Fatal("no row", path)
		return nil
	}
	cases := map[string]struct {
		lines []string
		says  string
	}{
		"row without a leaf":        {append(slices.Clone(lines), row("/Testata/Nota | drop | drop |  | x")), "/Testata/Nota"},
		"row twice":                 {append(slices.Clone(lines), lines[1]), "/Testata/IdMessaggio"},
		"no header":                 {lines[1:], "line 1"},
		"four columns":              {edit("/Testata/TipoEvento", "keep | keep | TipoEvento"), "/Testata/TipoEvento"},
		"unknown class":             {edit("/Testata/TipoEvento", "store | keep | TipoEvento | x"), "/Testata/TipoEvento"},
		"dropped and back":          {edit("/Soggetto/Anagrafica/Cognome", "drop | keep | Cognome | x"), "/Soggetto/Anagrafica/Cognome"},
		"pseudonym and back":        {edit("/Soggetto/Identificativo/CodiceFiscale", "pseudonym | keep | Codice | x"), "/Soggetto/Identificativo/CodiceFiscale"},
		"rekeyed and back":          {edit("/Cartella/IdCartella", "rekey | keep | IdCartella | x"), "/Cartella/IdCartella"},
		"month of a code":           {edit("/Testata/TipoEvento", "keep | month | TipoEvento | x"), "/Testata/TipoEvento"},
		"band of an instant":        {edit("/Testata/DataOraEvento", "month | year_band | A, B | x"), "/Testata/DataOraEvento"},
		"region of a nation":        {edit("/Soggetto/Anagrafica/Residenza/CodiceNazione", "region | region | R | x"), "/Soggetto/Anagrafica/Residenza/CodiceNazione"},
		"group of a code":           {edit("/Testata/TipoEvento", "keep | group | TipoEvento | x"), "/Testata/TipoEvento"},
		"no national name":          {edit("/Testata/TipoEvento", "keep | keep |  | x"), "/Testata/TipoEvento"},
		"one name for two":          {edit("/Soggetto/Anagrafica/DataNascita", "month | year_band | AnnoNascita | x"), "/Soggetto/Anagrafica/DataNascita"},
		"kept text without a list":  {edit("/Mittente/Ente/Denominazione", "keep | drop |  | x"), "/Mittente/Ente/Denominazione"},
		"kept name":                 {edit("/Soggetto/Anagrafica/Cognome", "keep | drop |  | x"), "/Soggetto/Anagrafica/Cognome"},
		"kept local id":             {edit("/Soggetto/IdAssistitoLocale", "keep | drop |  | x"), "/Soggetto/IdAssistitoLocale"},
		"kept municipality of home": {edit("/Soggetto/Anagrafica/Domicilio/CodiceComune", "keep | drop |  | x"), "/Soggetto/Anagrafica/Domicilio/CodiceComune"},
	}
	for name, c := range cases {
		_, err := withTable(t, c.lines)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLoadRefusesASchemaItDoesNotKnowWhole(t *testing.T) {
	t.Parallel()
	good := schemaFile(t)
	cases := map[string]struct{ old, with, says string }{
		"new leaf":       {`<xs:element name="Ambiente" type="codAmbiente" minOccurs="0"/>`, `<xs:element name="Ambiente" type="codAmbiente" minOccurs="0"/><xs:element name="Nota" type="Testo100Type"/>`, "/Testata/Nota"},
		"leaf gone":      {`<xs:element name="Ambiente" type="codAmbiente" minOccurs="0"/>`, ``, "/Testata/Ambiente"},
		"leaf renamed":   {`<xs:element name="IdCartella" type="CodiceLocaleType"/>`, `<xs:element name="IdFascicolo" type="CodiceLocaleType"/>`, "/Cartella/IdCartella"},
		"any":            {`<xs:element name="DataApertura" type="GiornoType"/>`, `<xs:element name="DataApertura" type="GiornoType"/><xs:any/>`, "RiferimentoCartellaType"},
		"attribute":      {`<xs:attribute name="versione" type="VersioneContrattoType" use="optional"><xs:annotation>`, `<xs:attribute name="nota" type="Testo20Type"/><xs:attribute name="versione" type="VersioneContrattoType" use="optional"><xs:annotation>`, "/@nota"},
		"unknown type":   {`<xs:element name="IdCartella" type="CodiceLocaleType"/>`, `<xs:element name="IdCartella" type="xs:string"/>`, "IdCartella"},
		"recursion":      {`<xs:element name="Identificativo" type="IdentificativoPersonaType"/>`, `<xs:element name="Identificativo" type="SoggettoType"/>`, "recursive"},
		"no message":     {`<xs:complexType name="MessaggioEventoType">`, `<xs:complexType name="MessaggioType">`, "MessaggioEventoType"},
		"odd occurrence": {`<xs:element name="ValutazioneMinore" type="codValutazioneMinore" maxOccurs="3"/>`, `<xs:element name="ValutazioneMinore" type="codValutazioneMinore" maxOccurs="tre"/>`, "ValutazioneMinore"},
		"no XML":         {`<xs:complexType name="MessaggioEventoType">`, `<`, "XML Schema"},
	}
	for name, c := range cases {
		if !bytes.Contains(good, []byte(c.old)) {
			t.Fatal(name, "not in the schema")
		}
		_, err := sinba.Load(bytes.Replace(good, []byte(c.old), []byte(c.with), 1), reference())
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := sinba.Load(nil, reference()); err == nil {
		t.Error("loaded without a schema")
	}
}

func TestTableListsEveryLeafWithItsType(t *testing.T) {
	t.Parallel()
	byPath := map[string]sinba.LeafInfo{}
	for _, leaf := range load(t).Table() {
		byPath[leaf.Path] = leaf
	}
	if len(byPath) != 301 {
		t.Fatal(len(byPath))
	}
	cases := []struct {
		path, typ, kind   string
		repeats, optional bool
		regional          sinba.Class
	}{
		{"/@versione", "VersioneContrattoType", "text", false, true, sinba.ClassDrop},
		{"/Testata/IdEvento", "UuidType", "uuid", false, false, sinba.ClassKeep},
		{"/Testata/DataOraEvento", "DataOraTzType", "instant", false, false, sinba.ClassKeep},
		{"/Soggetto/Identificativo/CodiceENI", "CodiceENIType", "text", false, true, sinba.ClassPseudonym},
		{"/Soggetto/Anagrafica/DataNascita", "GiornoType", "date", false, true, sinba.ClassMonth},
		{"/Cartella/IdCartella", "CodiceLocaleType", "text", false, false, sinba.ClassRekey},
		{"/Dettaglio/Fotografia/Intervento/ImportoMensile", "ImportoType", "decimal", true, true, sinba.ClassKeep},
		{"/Dettaglio/Valutazione/ISEE/NumeroComponentiISEE", "NumeroComponentiType", "int", false, true, sinba.ClassKeep},
		{"/Dettaglio/Valutazione/ValutazioneMinore", "codValutazioneMinore", "enumeration", true, true, sinba.ClassKeep},
	}
	for _, c := range cases {
		got := byPath[c.path]
		if got.Type != c.typ || got.Kind != c.kind || got.Repeats != c.repeats || got.Optional != c.optional || got.Regional != c.regional {
			t.Errorf("%+v", got)
		}
	}
}

func TestEventTypesAreThoseOfTheSchema(t *testing.T) {
	t.Parallel()
	want := newGenerator(t).enum("codTipoEvento")
	got := sinba.EventTypes()
	if len(got) != len(want) {
		t.Fatal(got, want)
	}
	for i := range got {
		if string(got[i]) != want[i] || !got[i].Known() {
			t.Error(got[i], want[i])
		}
	}
	if sinba.EventType("NASCITA").Known() || sinba.EventType("").Known() {
		t.Error("an unknown type is known")
	}
}
