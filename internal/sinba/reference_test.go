package sinba_test

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sinbahub/sinbahub/internal/sinba"
)

func TestLoadRefusesReferenceDataOfTheWrongForm(t *testing.T) {
	t.Parallel()
	cases := map[string]func(*sinba.Reference){
		"empty code":         func(r *sinba.Reference) { r.Enti = append(r.Enti, "") },
		"service too long":   func(r *sinba.Reference) { r.Services = append(r.Services, "A1.20.30.40.50") },
		"service too short":  func(r *sinba.Reference) { r.Services = append(r.Services, "A1") },
		"service lower case": func(r *sinba.Reference) { r.Services = append(r.Services, "a1.20") },
		"nation of letters":  func(r *sinba.Reference) { r.Nations = append(r.Nations, "ITA") },
		"nation too long":    func(r *sinba.Reference) { r.Nations = append(r.Nations, "3800") },
		"EU without nation":  func(r *sinba.Reference) { r.EU = append(r.EU, "123") },
		"common without it":  func(r *sinba.Reference) { r.Common = append(r.Common, "123") },
	}
	for name, edit := range cases {
		ref := sinba.DefaultReference()
		edit(&ref)
		if _, err := sinba.Load(schemaFile(t), ref); err == nil {
			t.Errorf("%s: loaded", name)
		}
		if _, err := load(t).WithReference(ref); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestDefaultReferenceHasThePublicFacts(t *testing.T) {
	t.Parallel()
	ref := sinba.DefaultReference()
	if len(ref.Nations) != 249+3 || len(ref.EU) != 27 {
		t.Error(len(ref.Nations), len(ref.EU))
	}
	seen := map[string]bool{}
	for _, code := range ref.Nations {
		if len(code) != 3 || seen[code] {
			t.Error(code)
		}
		seen[code] = true
	}
	c := load(t)
	for code, want := range map[string]bool{"380": true, "642": true, "191": true, "826": false, "008": false, "997": false, "998": false, "999": false, "": false, "38": false, "3800": false, "abc": false} {
		if c.MemberOfEU(code) != want {
			t.Error(code)
		}
	}
}

// TestRegionOfMunicipalityAgreesWithTheArchive checks the compact table of provinces against every
// municipality of the ANPR archive, ceased ones too.
func TestRegionOfMunicipalityAgreesWithTheArchive(t *testing.T) {
	t.Parallel()
	corpora := os.Getenv("SINBAHUB_CORPORA")
	if corpora == "" {
		t.Skip("SINBAHUB_CORPORA is not set: no archive of municipalities to compare with")
	}
	file, err := os.ReadFile(filepath.Join(corpora, "10-municipalities", "ANPR_archivio_comuni.csv"))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(string(file), "\ufeff"))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	sinbaRegion := map[string]string{
		"01": "13", "02": "20", "03": "10", "05": "21", "06": "07", "07": "09", "08": "06", "09": "17", "10": "19", "11": "11",
		"12": "08", "13": "01", "14": "12", "15": "05", "16": "14", "17": "02", "18": "04", "19": "16", "20": "15",
	}
	active, ceased, moved := 0, 0, 0
	for _, row := range rows[1:] {
		code, region := row[column["CODISTAT"]], row[column["IDREGIONE"]]
		want := sinbaRegion[region]
		if region == "04" {
			want = map[string]string{"021": "03", "022": "18"}[code[:min(3, len(code))]]
		}
		if len(code) != 6 || code >= "700000" {
			continue // lost to other states before 1947
		}
		got, ok := sinba.RegionOfMunicipality(code)
		switch {
		case row[column["STATO"]] == "A":
			active++
			if got != want || !ok {
				t.Errorf("%s: %q, want %q", code, got, want)
			}
		case got == want:
			ceased++
		default:
			moved++ // told under the region its province belonged to at the time
		}
	}
	if active < 7_800 || ceased < 10_000 || moved > 40 {
		t.Error(active, ceased, moved)
	}
}

func TestRegionOfMunicipalityKnowsNoOther(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"", "048", "04801", "0480170", "abcdef", "000001", "120001", "-48017"} {
		if region, ok := sinba.RegionOfMunicipality(code); ok {
			t.Error(code, region)
		}
	}
}
