package codelist_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sinbahub/sinbahub/internal/codelist"
)

// The headers of the lists.
const (
	own    = "codice\tda\ta\tnome\n"
	towns  = "istat\tbelfiore\tda\ta\tprovincia\tregione\tnome\n"
	states = "iso\tbelfiore\tda\ta\tue\tfrequente\tnome\n"
)

// faultsOf gives what is wrong with one list, as lines.
func faultsOf(tb testing.TB, list, text string) []string {
	tb.Helper()
	_, err := codelist.Parse(codelist.Files{list: []byte(text)})
	if err == nil {
		return nil
	}
	var faults codelist.FaultsError
	if !errors.As(err, &faults) {
		tb.Fatal(err)
	}
	lines := make([]string, 0, len(faults))
	for _, f := range faults {
		lines = append(lines, f.String())
	}
	return lines
}

func TestBadFilesHaveExactlyTheseFaults(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		list, text string
		want       []string
	}{
		"good":        {"prestazioni.tsv", own + "A1.20\t\t\tAssistenza\n", nil},
		"empty":       {"prestazioni.tsv", "", []string{"prestazioni.tsv: the file is empty"}},
		"header only": {"prestazioni.tsv", own, []string{"prestazioni.tsv: has a header and no row"}},
		"byte order mark": {"prestazioni.tsv", "\ufeff" + own + "A1.20\t\t\tAssistenza\n", []string{
			"prestazioni.tsv:1: begins with a byte order mark: save as UTF-8 without one",
		}},
		"CR LF is told once": {"prestazioni.tsv", strings.ReplaceAll(own+"A1.20\t\t\tAssistenza\nA1.30\t\t\tEducativa\n", "\n", "\r\n"), []string{
			"prestazioni.tsv:1: ends with CR LF, as other lines may: save with LF only",
		}},
		"mark, CR LF and a wrong row": {"prestazioni.tsv", "\ufeff" + own + "a1.20\t\t\tAssistenza\r\n", []string{
			"prestazioni.tsv:1: begins with a byte order mark: save as UTF-8 without one",
			"prestazioni.tsv:2: ends with CR LF, as other lines may: save with LF only",
			"prestazioni.tsv:2: codice must be 5 to 10 capital letters, digits and points",
		}},
		"doubled row": {"strutture.tsv", own + "ST1\t\t\tCasa\nST2\t\t\tCasa\nST1\t\t\tCasa\n", []string{
			"strutture.tsv:4: is the same as line 2",
		}},
		"overlapping validity": {"strutture.tsv", own + "ST1\t2020-01-01\t2022-12-31\tCasa\nST1\t2022-12-31\t\tCasa\n", []string{
			"strutture.tsv:3: is valid at the same time as line 2",
		}},
		"a long row over two short ones": {"strutture.tsv", own + "ST1\t2021-01-01\t2021-02-01\tA\nST1\t2023-01-01\t2023-02-01\tB\nST1\t2020-01-01\t\tC\n", []string{
			"strutture.tsv:4: is valid at the same time as line 2",
			"strutture.tsv:4: is valid at the same time as line 3",
		}},
		"validity that follows": {"strutture.tsv", own + "ST1\t2023-01-01\t\tCasa\nST1\t\t2022-12-31\tCasa\n", nil},
		"wrong header": {"strutture.tsv", "codice;da;a;nome\nST1;;;Casa\n", []string{
			"strutture.tsv:1: the header must be: codice <tab> da <tab> a <tab> nome",
		}},
		"header of another list": {"comuni.tsv", states, []string{
			"comuni.tsv:1: the header must be: istat <tab> belfiore <tab> da <tab> a <tab> provincia <tab> regione <tab> nome",
		}},
		"huge line": {"strutture.tsv", own + "ST1\t\t\t" + strings.Repeat("x", 2_000_000) + "\nST2\t\n", []string{
			"strutture.tsv:2: is longer than 1000 bytes",
			"strutture.tsv:3: has 2 columns instead of 4",
		}},
		"not UTF-8": {"strutture.tsv", own + "ST1\t\t\tCasa Citt\xe0\nST2\t\t\tCasa Città\n", []string{"strutture.tsv:2: is not UTF-8"}},
		"cut off": {"strutture.tsv", own + "ST1\t\t\tCasa\nST2\t\t\tCa", []string{
			"strutture.tsv:3: does not end with a line feed: the file may be cut off",
		}},
		"empty line":       {"strutture.tsv", own + "\nST1\t\t\tCasa\n", []string{"strutture.tsv:2: is empty"}},
		"too many columns": {"strutture.tsv", own + "ST1\t\t\tCasa\t\n", []string{"strutture.tsv:2: has 5 columns instead of 4"}},
		"every column wrong": {"comuni.tsv", towns + "48017\tZ100\t2020-02-30\t31.12.2020\tFirenze\t22\t Firenze\n", []string{
			"comuni.tsv:2: istat must be the six digits of an ISTAT code",
			"comuni.tsv:2: belfiore must be a letter A–M and three digits",
			"comuni.tsv:2: da must be empty or a date like 2024-01-31",
			"comuni.tsv:2: a must be empty or a date like 2024-01-31",
			"comuni.tsv:2: provincia must be two capital letters",
			"comuni.tsv:2: regione must be a region of the SINBA list, 01–21",
			"comuni.tsv:2: nome must be 1 to 100 printable characters without blanks around",
		}},
		"ISTAT's region": {"comuni.tsv", towns + "048017\tD612\t1861-03-17\t\tFI\t09\tFIRENZE\n", []string{
			"comuni.tsv:2: regione is not the one of this province in the SINBA list (Toscana is 17, Liguria 09)",
		}},
		"a region of long ago": {"comuni.tsv", towns + "057001\tA019\t1861-03-17\t1923-06-01\tPG\t19\tACCUMOLI\n", nil},
		"ends before it begins": {"comuni.tsv", towns + "048017\tD612\t2020-01-02\t2020-01-01\tFI\t17\tFIRENZE\n", []string{
			"comuni.tsv:2: a is before da",
		}},
		"states": {"nazioni.tsv", states + "38\tI001\t\t\tyes\t\tItalia\n\t\t\t\tno\tsi\tNessuna\n380\t\t\t\tsi\tno\tItalia\n380\tZ999\t\t\tsi\tno\tItalia\n", []string{
			"nazioni.tsv:2: iso must be the three digits of ISO 3166-1",
			"nazioni.tsv:2: belfiore must be Z and three digits",
			"nazioni.tsv:2: ue must be si or no",
			"nazioni.tsv:2: frequente must be si or no",
			"nazioni.tsv:3: has neither iso nor belfiore",
			"nazioni.tsv:5: is valid at the same time as line 4",
		}},
		"a local code": {"nomenclatore.tsv", own + "a/B_1.2:3-4\t\t\tVoce\nà\t\t\tVoce\n" + strings.Repeat("x", 37) + "\t\t\tVoce\n", []string{
			"nomenclatore.tsv:3: codice must be 1 to 36 letters, digits and . _ : / -",
			"nomenclatore.tsv:4: codice must be 1 to 36 letters, digits and . _ : / -",
		}},
	}
	for name, c := range cases {
		if diff := cmp.Diff(c.want, faultsOf(t, c.list, c.text)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
}

func TestFaultsOfEveryFileAreToldAtOnce(t *testing.T) {
	t.Parallel()
	_, err := codelist.Parse(codelist.Files{codelist.Structures: nil, codelist.Services: []byte(own), codelist.States: []byte("x\n")})
	if err == nil || err.Error() != "nazioni.tsv:1: the header must be: iso <tab> belfiore <tab> da <tab> a <tab> ue <tab> frequente <tab> nome (and 2 more faults)" {
		t.Error(err)
	}
}

func TestReadTakesListsAndNothingElse(t *testing.T) {
	t.Parallel()
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	cases := map[string]struct {
		folder fstest.MapFS
		want   []string
		err    string
	}{
		"two lists":     {fstest.MapFS{"comuni.tsv": file("x"), "strutture.tsv": file("y")}, []string{"comuni.tsv", "strutture.tsv"}, ""},
		"and their own": {fstest.MapFS{"comuni.tsv": file("x"), "README.md": file(""), "LICENSE": file(""), ".git/HEAD": file("")}, []string{"comuni.tsv"}, ""},
		"none":          {fstest.MapFS{}, nil, "the folder: holds no list; lists are comuni.tsv, nazioni.tsv, prestazioni.tsv, nomenclatore.tsv, strutture.tsv"},
		"misspelt": {
			fstest.MapFS{"comune.tsv": file("x"), "strutture.tsv": file("y"), "comuni.tsv~": file("x")},
			nil,
			"the folder: holds something that is no list; lists are comuni.tsv, nazioni.tsv, prestazioni.tsv, nomenclatore.tsv, strutture.tsv",
		},
		"a folder of that name": {fstest.MapFS{"comuni.tsv/x": file("x")}, nil, "a file of the reference data cannot be read"},
		"too large":             {fstest.MapFS{"comuni.tsv": file(strings.Repeat("x", 16<<20+1))}, nil, "comuni.tsv: is larger than 16 MiB"},
	}
	for name, c := range cases {
		files, err := codelist.Read(c.folder)
		var got []string
		for list := range files {
			got = append(got, list)
		}
		slices.Sort(got)
		if diff := cmp.Diff(c.want, got); diff != "" || err == nil != (c.err == "") || err != nil && err.Error() != c.err {
			t.Error(name, diff, err)
		}
	}
}

// genRows draws rows of one list of the region, also with overlaps and doubles.
func genRows(t *rapid.T) []string {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string {
		code := rapid.SampledFrom([]string{"ST1", "ST2", "ST3"}).Draw(t, "code")
		day := func(label string) string {
			n := rapid.IntRange(0, 12).Draw(t, label)
			if n == 0 {
				return ""
			}
			return fmt.Sprintf("20%02d-06-15", n)
		}
		return code + "\t" + day("from") + "\t" + day("to") + "\tCasa"
	}), 1, 8).Draw(t, "rows")
}

// TestListedIsWhatAnyRowSays compares with a look through all rows, for lists that parse; and a list
// is refused exactly if two rows of a code share a day or a row ends before it begins.
func TestListedIsWhatAnyRowSays(t *testing.T) {
	t.Parallel()
	day := func(text string, none int) int {
		if text == "" {
			return none
		}
		var y, m, d int
		_, _ = fmt.Sscanf(text, "%d-%d-%d", &y, &m, &d)
		return y*10_000 + m*100 + d
	}
	rapid.Check(t, func(t *rapid.T) {
		rows := genRows(t)
		type spell struct {
			code     string
			from, to int
		}
		var spells []spell
		good := true
		for _, row := range rows {
			f := strings.Split(row, "\t")
			s := spell{f[0], day(f[1], 0), day(f[2], 99991231)}
			good = good && s.from <= s.to
			for _, other := range spells {
				good = good && (other.code != s.code || s.to < other.from || other.to < s.from)
			}
			spells = append(spells, s)
		}
		set, err := codelist.Parse(codelist.Files{codelist.Structures: []byte(own + strings.Join(rows, "\n") + "\n")})
		if (err == nil) != good {
			t.Fatal(rows, err)
		}
		if err != nil {
			return
		}
		for _, code := range []string{"ST1", "ST2", "ST3", "ST4", ""} {
			for _, on := range []int{0, 19991231, 20010614, 20010615, 20050615, 20050616, 20120615, 20120616, 99991231} {
				want := codelist.Unknown
				for _, s := range spells {
					if s.code == code && s.from <= on && on <= s.to {
						want = codelist.Valid
					} else if s.code == code && want == codelist.Unknown {
						want = codelist.NotThen
					}
				}
				if got := set.Listed(codelist.Structures, []byte(code), codelist.Date(on)); got != want {
					t.Fatal(rows, code, on, got, want)
				}
			}
		}
	})
}

// TestCompareTellsExactlyWhatDiffers applies what is told to the old rows and must get the new ones,
// and finds nothing between equal sets.
func TestCompareTellsExactlyWhatDiffers(t *testing.T) {
	t.Parallel()
	draw := func(t *rapid.T, label string) map[string]string {
		return rapid.MapOfN(rapid.SampledFrom([]string{"ST1", "ST2", "ST3", "ST4", "ST5"}), rapid.SampledFrom([]string{"Casa", "Rifugio"}), 1, 5).Draw(t, label)
	}
	text := func(rows map[string]string) codelist.Files {
		var out bytes.Buffer
		out.WriteString(own)
		for code, name := range rows { // in any order: it makes no difference
			out.WriteString(code + "\t\t\t" + name + "\n")
		}
		return codelist.Files{codelist.Structures: out.Bytes()}
	}
	rapid.Check(t, func(t *rapid.T) {
		was, is := draw(t, "before"), draw(t, "after")
		changes := codelist.Compare(text(was), text(is))
		c := changes[slices.IndexFunc(changes, func(c codelist.Change) bool { return c.List == codelist.Structures })]
		rows := map[string]bool{}
		for code, name := range was {
			rows[code+" - - "+name] = true
		}
		for _, gone := range c.Removed {
			delete(rows, gone)
		}
		for _, pair := range c.Changed {
			delete(rows, pair[0])
			rows[pair[1]] = true
		}
		for _, row := range c.Added {
			rows[row] = true
		}
		want := map[string]bool{}
		for code, name := range is {
			want[code+" - - "+name] = true
		}
		if diff := cmp.Diff(want, rows); diff != "" || c.Same() != cmp.Equal(was, is) {
			t.Fatal(was, is, c, diff)
		}
	})
}

func TestFromANPRRefusesWhatIsNotTheArchive(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "a,b\n1,2\n", "\"CODISTAT", "CODISTAT,CODCATASTALE\n048017,D612\n"} {
		if _, err := codelist.FromANPR(strings.NewReader(text)); err == nil || strings.Contains(err.Error(), "048017") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// FuzzParse looks for lists that break the reader, and for faults that repeat what a file holds.
func FuzzParse(f *testing.F) {
	for _, list := range codelist.Names() {
		f.Add(list, []byte(own+"A1.20\t\t2024-01-01\tAssistenza\n"))
		f.Add(list, []byte(towns+"048017\tD612\t\t\tFI\t17\tFIRENZE\n"))
		f.Add(list, []byte(states+"380\t\t\t\tsi\tno\tItalia\n"))
		f.Add(list, []byte("\ufeff\r\n\xff"))
	}
	f.Fuzz(func(t *testing.T, list string, text []byte) {
		set, err := codelist.Parse(codelist.Files{list: text})
		if err != nil {
			var faults codelist.FaultsError
			if !errors.As(err, &faults) || len(faults) == 0 {
				t.Fatal(err)
			}
			return
		}
		for _, code := range set.Codes(list) {
			if set.Listed(list, []byte(code), 0) == codelist.Unknown {
				t.Error("a code of the list is unknown")
			}
		}
	})
}
