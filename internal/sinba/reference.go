package sinba

import (
	"slices"
	"strconv"
	"strings"
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
	// Nations are the known nations and citizenships: ISO 3166-1 numeric and the agreed 997–999.
	Nations []string
	// EU are the members of the European Union among Nations.
	EU []string
	// Common are the nations frequent enough to leave as they are; the national event has the others
	// as UE or EXTRA_UE.
	Common []string
}

// DefaultReference has the public facts: nations, members of the European Union and the usual list
// of common citizenships. The registry's lists are empty.
func DefaultReference() Reference {
	return Reference{
		Nations: strings.Fields(isoNations + " " + agreedNations),
		EU:      strings.Fields(euNations),
		Common:  strings.Fields(commonNations),
	}
}

// isoNations are the numeric codes of ISO 3166-1.
const isoNations = `
	004 008 010 012 016 020 024 028 031 032 036 040 044 048 050 051 052 056 060 064
	068 070 072 074 076 084 086 090 092 096 100 104 108 112 116 120 124 132 136 140
	144 148 152 156 158 162 166 170 174 175 178 180 184 188 191 192 196 203 204 208
	212 214 218 222 226 231 232 233 234 238 239 242 246 248 250 254 258 260 262 266
	268 270 275 276 288 292 296 300 304 308 312 316 320 324 328 332 334 336 340 344
	348 352 356 360 364 368 372 376 380 384 388 392 398 400 404 408 410 414 417 418
	422 426 428 430 434 438 440 442 446 450 454 458 462 466 470 474 478 480 484 492
	496 498 499 500 504 508 512 516 520 524 528 531 533 534 535 540 548 554 558 562
	566 570 574 578 580 581 583 584 585 586 591 598 600 604 608 612 616 620 624 626
	630 634 638 642 643 646 652 654 659 660 662 663 666 670 674 678 682 686 688 690
	694 702 703 704 705 706 710 716 724 728 729 732 740 744 748 752 756 760 762 764
	768 772 776 780 784 788 792 795 796 798 800 804 807 818 826 831 832 833 834 840
	850 854 858 860 862 876 882 887 894`

// agreedNations have no ISO number: 997 Kosovo, 998 not established, 999 stateless (domain, 2.4).
const agreedNations = "997 998 999"

// euNations are the 27 members of the European Union since 2020.
const euNations = `
	040 056 100 191 196 203 208 233 246 250 276 300 348 372 380 428 440 442 470 528
	616 620 642 703 705 724 752`

// commonNations are the citizenships that leave ungrouped unless the configuration says otherwise:
// Italy and the largest communities in Italy, so that a code alone singles out nobody.
const commonNations = `
	380 642 008 504 156 804 050 356 608 818 586 566 686 144 788 498 604 616 218 807
	076 268`

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
	var out reference
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

// provinceRegions has the SINBA region of every province, two digits each, from province 001 on.
//
// The facts are those of the ANPR archive of municipalities (Ministero dell'Interno, CC BY 4.0),
// joined with the map from ISTAT's regions to the SINBA list (domain, 2.4): ISTAT's region 04 is
// Bolzano (province 021) and Trento (022), which SINBA keeps apart. Provinces 104–107 ceased in
// 2016; 112–119 are those of Sardegna's reform, which ISTAT uses from 2026 on.
const provinceRegions = "" +
	"1313131313132009090909101010101010101010" + // 001–020
	"0318212121212121210707070606060606060606" + // 021–040
	"1111111117171717171717171719190808080808" + // 041–060
	"0505050505010101011214141414140202040404" + // 061–080
	"1616161616161616161515150712151310100617" + // 081–100
	"04041315151515101114151515151515151515" // 101–119

// RegionOfMunicipality gives the SINBA region (01–21, alphabetical) of an ISTAT municipality code
// by its province, also of provinces that have ceased; ok is false for what never was a province.
func RegionOfMunicipality(istat string) (region string, ok bool) {
	p, ok := digits([]byte(istat), 3)
	if !ok || len(istat) != 6 || p < 1 || p > len(provinceRegions)/2 {
		return "", false
	}
	return provinceRegions[2*(p-1) : 2*p], true
}
