package codelist_test

import (
	"bytes"
	"encoding/csv"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/codelist"
)

// corpus gives a file of the public test vectors, or skips.
func corpus(t *testing.T, name string) []byte {
	t.Helper()
	dir := os.Getenv("SINBAHUB_CORPORA")
	if dir == "" {
		t.Skip("SINBAHUB_CORPORA is not set: no public lists to compare with")
	}
	text, err := os.ReadFile(filepath.Join(dir, "10-municipalities", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// table reads a file with a header into maps by column.
func table(t *testing.T, text []byte, comma rune) []map[string]string {
	t.Helper()
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(text, []byte("\ufeff"))))
	r.Comma, r.LazyQuotes = comma, comma == '\t'
	records, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	rows := make([]map[string]string, 0, len(records))
	for _, record := range records[1:] {
		row := map[string]string{}
		for i, name := range records[0] {
			row[name] = record[i]
		}
		rows = append(rows, row)
	}
	return rows
}

// date reads YYYY-MM-DD moved by some days.
func date(t *testing.T, text string, days int) codelist.Date {
	t.Helper()
	at, err := time.Parse(time.DateOnly, text)
	if err != nil {
		t.Fatal(err)
	}
	at = at.AddDate(0, 0, days)
	return codelist.Date(at.Year()*10_000 + int(at.Month())*100 + at.Day())
}

// span is a validity in the archive.
type span struct {
	from, to codelist.Date
	region   string
}

// covered tells whether a day is in one of the spans, and its region.
func covered(spans []span, on codelist.Date) (string, bool) {
	for _, s := range spans {
		if s.from <= on && on <= s.to {
			return s.region, true
		}
	}
	return "", false
}

// regionInSINBA is the map of the domain document, 2.4, written out once more.
func regionInSINBA(region, province string) string {
	if region == "04" {
		return map[string]string{"021": "03", "022": "18"}[province]
	}
	return map[string]string{
		"01": "13", "02": "20", "03": "10", "05": "21", "06": "07", "07": "09", "08": "06", "09": "17", "10": "19", "11": "11",
		"12": "08", "13": "01", "14": "12", "15": "05", "16": "14", "17": "02", "18": "04", "19": "16", "20": "15",
	}[region]
}

// TestEveryRowOfTheArchiveResolvesInItsWindowAndNotOutside asks for the first and the last day of
// every row and for the days before and after, and holds the answer against all rows of the code.
func TestEveryRowOfTheArchiveResolvesInItsWindowAndNotOutside(t *testing.T) {
	t.Parallel()
	rows := table(t, corpus(t, "ANPR_archivio_comuni.csv"), ',')
	towns, places := map[string][]span{}, map[string][]span{}
	for _, r := range rows {
		s := span{date(t, r["DATAISTITUZIONE"], 0), date(t, r["DATACESSAZIONE"], 0), regionInSINBA(r["IDREGIONE"], r["IDPROVINCIAISTAT"])}
		towns[r["CODISTAT"]] = append(towns[r["CODISTAT"]], s)
		places[r["CODCATASTALE"]] = append(places[r["CODCATASTALE"]], s)
	}
	set, asked := codelist.Default(), 0
	for _, r := range rows {
		istat, belfiore := r["CODISTAT"], r["CODCATASTALE"]
		days := []codelist.Date{
			date(t, r["DATAISTITUZIONE"], -1), date(t, r["DATAISTITUZIONE"], 0),
			date(t, r["DATACESSAZIONE"], 0),
		}
		if r["DATACESSAZIONE"] != "9999-12-31" {
			days = append(days, date(t, r["DATACESSAZIONE"], 1))
		}
		for _, day := range days {
			asked++
			want, known := covered(towns[istat], day)
			region, v := set.Municipality([]byte(istat), day)
			if (v == codelist.Valid) != known || region != want || v == codelist.Unknown {
				t.Errorf("%s on %d: %q %v, want %q %v", istat, day, region, v, want, known)
			}
			if belfiore == "ND" {
				continue
			}
			_, known = covered(places[belfiore], day)
			if v := set.Birthplace([]byte(belfiore), day, day); (v == codelist.Valid) != known || v == codelist.Unknown {
				t.Errorf("%s on %d: %v, want %v", belfiore, day, v, known)
			}
		}
	}
	if asked < 60_000 {
		t.Error("asked only", asked)
	}
}

func TestBuiltinMunicipalitiesAreThoseOfTheArchive(t *testing.T) {
	t.Parallel()
	made, err := codelist.FromANPR(bytes.NewReader(corpus(t, "ANPR_archivio_comuni.csv")))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(made, codelist.Builtin()[codelist.Municipalities]) {
		t.Error("data/comuni.tsv is not what sinbahub reference anpr makes of the archive")
	}
}

func TestBuiltinStatesAgreeWithISTAT(t *testing.T) {
	t.Parallel()
	set := codelist.Default()
	const today = codelist.Date(20240601)
	for _, r := range table(t, corpus(t, "esteri.csv"), ';') {
		belfiore, number := r["Codice AT"], r["Codice UNSD_M49"]
		if strings.HasPrefix(belfiore, "Z") && set.Birthplace([]byte(belfiore), today, today) != codelist.Valid {
			t.Error("unknown state of birth", belfiore)
		}
		if _, err := strconv.Atoi(number); err == nil && set.Nation([]byte(number), today) != codelist.Valid {
			t.Error("unknown nation", number)
		}
	}
	for _, r := range table(t, corpus(t, "esteri-cessati.csv"), ';') {
		belfiore := []byte(r["Codice AT"])
		if set.Birthplace(belfiore, today, today) != codelist.NotThen || set.Birthplace(belfiore, 19850101, 19850101) != codelist.Valid {
			t.Error("ceased state", string(belfiore))
		}
	}
	for _, r := range table(t, corpus(t, "belfiore_marketto_1.2.1.tsv"), '\t') {
		if r["belfiore"][0] != 'Z' {
			continue
		}
		last := date(t, r["ceased"], 0)
		if set.Birthplace([]byte(r["belfiore"]), last-20_000, last-20_000) != codelist.Valid {
			t.Error("state of birth", r["belfiore"])
		}
		if last < today && set.Birthplace([]byte(r["belfiore"]), last, last) != codelist.NotThen {
			t.Error("ceased state of birth", r["belfiore"])
		}
	}
}

// TestTuscanMunicipalitiesKeepTheirRegion holds the list against the 273 of 2020 that came with the
// contract, and against the rule by province that stored events were made with.
func TestTuscanMunicipalitiesKeepTheirRegion(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("testdata", "comuni_toscana.csv"))
	if err != nil {
		t.Fatal(err)
	}
	rows := table(t, text, ',')
	if len(rows) != 273 {
		t.Fatal(len(rows))
	}
	for _, r := range rows {
		code := []byte(r["codice_istat"])
		region, v := codelist.Default().Municipality(code, 20200101)
		before, ok := codelist.RegionOfProvince(code)
		if v != codelist.Valid || region != "17" || !ok || before != "17" {
			t.Error(string(code), v, region, before)
		}
		if v := codelist.Default().Birthplace([]byte(r["codice_catastale"]), 20200101, 20200101); v != codelist.Valid {
			t.Error(r["codice_catastale"], v)
		}
	}
}

func TestBirthplaceNeedsOneDayOfThoseGiven(t *testing.T) {
	t.Parallel()
	// Figline Valdarno, until 2013-12-31.
	for _, c := range []struct {
		from, to codelist.Date
		want     codelist.Validity
	}{
		{20131231, 20131231, codelist.Valid},
		{20140101, 20140101, codelist.NotThen},
		{20130101, 20131231, codelist.Valid},
		{20140101, 20141231, codelist.NotThen},
		{20131231, 20141231, codelist.Valid},
		{0, 0, codelist.Valid},
	} {
		if got := codelist.Default().Birthplace([]byte("D583"), c.from, c.to); got != c.want {
			t.Error(c, got)
		}
	}
}

func TestCodesOfAnotherFormAreUnknown(t *testing.T) {
	t.Parallel()
	set := codelist.Default()
	for _, code := range []string{"", "0", "D61", "D6122", "d612", "1612", "D6 2", "DDDD", "Z999", "048", "04801", "0480170", "04801a", "999999"} {
		if _, v := set.Municipality([]byte(code), 20240101); v != codelist.Unknown {
			t.Error(code, v)
		}
		if v := set.Birthplace([]byte(code), 0, 0); v != codelist.Unknown {
			t.Error(code, v)
		}
		if v := set.Nation([]byte(code), 20240101); v != codelist.Unknown && code != "048" {
			t.Error(code, v)
		}
	}
}

func TestRegionOfProvinceKnowsNoOther(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"", "048", "04801", "0480170", "abcdef", "000001", "120001", "-48017", "04801a"} {
		if region, ok := codelist.RegionOfProvince([]byte(code)); ok {
			t.Error(code, region)
		}
	}
}

//nolint:paralleltest // allocations are counted for the whole process
func TestLookUpsAllocateNothing(t *testing.T) {
	files := codelist.Builtin().With(codelist.Files{codelist.Structures: []byte("codice\tda\ta\tnome\nST1\t\t\tCasa\n")})
	set, err := codelist.Parse(files)
	if err != nil {
		t.Fatal(err)
	}
	town, place, nation, structure := []byte("048017"), []byte("D612"), []byte("380"), []byte("ST1")
	if n := testing.AllocsPerRun(100, func() {
		_, _ = set.Municipality(town, 20240101)
		_ = set.Birthplace(place, 20120315, 20120315)
		_ = set.Nation(nation, 20240101)
		_ = set.Listed(codelist.Structures, structure, 20240101)
	}); n != 0 {
		t.Error(n, "allocations")
	}
}

func TestVersionDependsOnEveryByteAndNoOrder(t *testing.T) {
	t.Parallel()
	files := codelist.Builtin()
	base := files.Version()
	if len(base) != 12 || codelist.Default().Version() != base {
		t.Fatal(base)
	}
	seen := map[string]bool{base: true}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		for _, at := range []int{0, len(files[name]) / 2, len(files[name]) - 1} {
			text := bytes.Clone(files[name])
			text[at] ^= 1
			v := files.With(codelist.Files{name: text}).Version()
			if seen[v] {
				t.Error(name, at)
			}
			seen[v] = true
		}
	}
	// The same bytes under another name, or parted elsewhere, are another version.
	a := codelist.Files{codelist.Services: []byte("ab"), codelist.Structures: []byte("c")}
	b := codelist.Files{codelist.Services: []byte("a"), codelist.Structures: []byte("bc")}
	c := codelist.Files{codelist.Nomenclature: []byte("ab"), codelist.Structures: []byte("c")}
	// Nor can the text of one file play another one.
	d := codelist.Files{codelist.Services: []byte("ab" + codelist.Structures + strings.Repeat("\x00", 9) + "c")}
	if a.Version() == b.Version() || a.Version() == c.Version() || a.Version() == d.Version() {
		t.Error("versions meet")
	}
}
