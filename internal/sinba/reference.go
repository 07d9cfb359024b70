package sinba

import (
	"slices"
	"strconv"

	"github.com/sinbahub/sinbahub/internal/codelist"
)

// Reference holds the closed lists against which free codes are kept. A code that is in none of
// them is stored as `altro` (contract, "A leaf kept whose type is …"); an empty list keeps nothing.
// What comes from the registry of participants changes while the hub runs: see
// Catalogue.WithReference.
type Reference struct {
	// Enti and Zones are the CodiceEnte and CodiceZona of the registry.
	Enti, Zones []string
	// Vendors, Products, ProductVersions and Certificates are what the registry knows of certified
	// software (Mittente/Applicativo).
	Vendors, Products, ProductVersions, Certificates []string
	// Services are the values of CodicePrestazione, Nomenclature those of VoceNomenclatore,
	// Structures those of CodiceStrutturaASSO. No public list of them exists: they are configured.
	// As long as they are not, a CodicePrestazione like A1.20 is kept, a form with room for no
	// identity, and every other value becomes `altro` (ADR 0004).
	Services, Nomenclature, Structures []string
	// Data are the dated lists of one version, which tell whether a code was in use at a time. Use
	// fills the closed lists from them.
	Data *codelist.Set
	// Nations are the known nations and citizenships: ISO 3166-1 numeric and the agreed 997–999.
	Nations []string
	// EU are the members of the European Union among Nations.
	EU []string
	// Common are the nations frequent enough to leave as they are; the national event has the others
	// as UE or EXTRA_UE.
	Common []string
}

// Use takes the dated lists of one version, and from them what is kept of Services, Nomenclature,
// Structures and Nations.
func (r *Reference) Use(data *codelist.Set) {
	r.Data = data
	r.Services = data.Codes(codelist.Services)
	r.Nomenclature = data.Codes(codelist.Nomenclature)
	r.Structures = data.Codes(codelist.Structures)
	r.Nations, r.EU, r.Common = data.Nations()
}

// DefaultReference has the public facts inside the binary: municipalities, nations, members of the
// European Union and the usual list of common citizenships. The registry's lists are empty.
func DefaultReference() Reference {
	var r Reference
	r.Use(codelist.Default())
	return r
}

// list names one of the closed lists of a Reference.
type list uint8

// The closed lists.
const (
	listNone list = iota
	listEnti
	listZones
	listVendors
	listProducts
	listProductVersions
	listCertificates
	listServices
	listNomenclature
	listStructures
	listNations
	lists
)

// listOf gives the closed list for a kept free code by its name and type.
func listOf(name, typ string) list {
	if typ == "CodiceNazioneType" {
		return listNations
	}
	switch name {
	case "CodiceEnte", "CodiceEnteControparte":
		return listEnti
	case "CodiceZona":
		return listZones
	case "Fornitore":
		return listVendors
	case "Prodotto":
		return listProducts
	case "Versione":
		return listProductVersions
	case "IdCertificazione":
		return listCertificates
	case "CodicePrestazione":
		return listServices
	case "VoceNomenclatore":
		return listNomenclature
	case "CodiceStrutturaASSO":
		return listStructures
	}
	return listNone
}

// reference is a Reference ready to be asked.
type reference struct {
	sets    [lists]map[string]string
	data    *codelist.Set
	nations [1000]nation
}

// nation tells how a numeric code is treated.
type nation struct{ eu, common bool }

// The groups of nations in the national event.
const (
	groupEU    = "UE"
	groupOther = "EXTRA_UE"
)

// compile checks the lists and makes sets of them.
func (r *Reference) compile() (*reference, error) {
	out := reference{data: r.Data}
	for l, values := range map[list][]string{
		listEnti: r.Enti, listZones: r.Zones, listVendors: r.Vendors, listProducts: r.Products,
		listProductVersions: r.ProductVersions, listCertificates: r.Certificates,
		listServices: r.Services, listNomenclature: r.Nomenclature, listStructures: r.Structures,
		listNations: r.Nations,
	} {
		set := make(map[string]string, len(values))
		for _, v := range values {
			if v == "" || l == listServices && !isService(v) {
				return nil, &catalogueError{"reference data with a code of the wrong form", v}
			}
			set[v] = v
		}
		out.sets[l] = set
	}
	for _, code := range slices.Concat(r.Nations, r.EU, r.Common) {
		if _, known := out.sets[listNations][code]; !known || len(code) != 3 {
			return nil, &catalogueError{"reference data with a nation that is not in its list", code}
		}
		n, err := strconv.ParseUint(code, 10, 16)
		if err != nil {
			return nil, &catalogueError{"reference data with a nation that is no number", code}
		}
		out.nations[n].eu = slices.Contains(r.EU, code)
		out.nations[n].common = slices.Contains(r.Common, code)
	}
	return &out, nil
}

// isService tells whether v is a CodicePrestazioneType, so that a configured list cannot break the
// national schema.
func isService(v string) bool {
	for _, b := range []byte(v) {
		if (b < 'A' || b > 'Z') && (b < '0' || b > '9') && b != '.' {
			return false
		}
	}
	return len(v) >= 5 && len(v) <= 10
}

// isPlainService tells whether v is one letter, then groups of one or two digits with points
// between them, at least two groups: A1.20, B2.30.1. Neither a name nor a piece of a codice fiscale
// has this form.
func isPlainService(v []byte) bool {
	if len(v) < 4 || v[0] < 'A' || v[0] > 'Z' {
		return false
	}
	groups, digits := 0, 0
	for i, b := range v[1:] {
		switch {
		case b >= '0' && b <= '9' && digits < 2:
			digits++
		case b == '.' && digits > 0 && i < len(v)-2:
			groups, digits = groups+1, 0
		default:
			return false
		}
	}
	return groups > 0 && digits > 0
}

// keep gives the value if it is in the list, else `altro`.
func (r *reference) keep(l list, value []byte) string {
	if v, ok := r.sets[l][string(value)]; ok {
		return v
	}
	if l == listServices && len(r.sets[l]) == 0 && isPlainService(value) {
		return string(value)
	}
	return Altro
}

// group gives what the national event says of a nation that keep left: the code if it is common,
// else whether it is a member of the European Union. `altro` stays unknown.
func (r *reference) group(code string) string {
	if code == Altro {
		return Altro
	}
	n, _ := digits([]byte(code), 3)
	switch at := r.nations[n]; {
	case at.common:
		return code
	case at.eu:
		return groupEU
	}
	return groupOther
}

// MemberOfEU tells whether a numeric nation code is that of a member of the European Union (BR-09).
func (c *Catalogue) MemberOfEU(code string) bool {
	n, ok := digits([]byte(code), 3)
	return ok && len(code) == 3 && c.ref.nations[n].eu
}

// RegionOfMunicipality gives the SINBA region (01–21, alphabetical) of an ISTAT municipality code
// by its province, also of provinces that have ceased; ok is false for what never was a province.
func RegionOfMunicipality(istat string) (region string, ok bool) {
	return codelist.RegionOfProvince([]byte(istat))
}

// regionOf gives the region that the regional event has for a municipality: that of the list where
// it knows the code on the day, else that of the code's province, so that a municipality newer than
// the list still has one.
func (r *reference) regionOf(istat []byte, on day) (region string, ok bool) {
	if r.data != nil {
		if region, _ := r.data.Municipality(istat, codelist.Date(on)); region != "" {
			return region, true
		}
	}
	return codelist.RegionOfProvince(istat)
}
