package codelist

// The SINBA regions are alphabetical, 01–21, with Bolzano (03) and Trento (18) apart. ISTAT's
// numbers go from north to south: 09 is Toscana there and Liguria here. Only regionOfISTAT may
// translate.
const firstRegion, lastRegion = 1, 21

// regionNames are the SINBA numbers as they are written.
const regionNames = "010203040506070809101112131415161718192021"

// regionName writes a SINBA region number.
func regionName(region uint8) string { return regionNames[2*(region-1) : 2*region] }

// regionOfISTAT gives the SINBA number of an ISTAT region; ISTAT's 04 is Bolzano or Trento by its
// province. Regions that are no longer Italy's, and those never known, have none.
func regionOfISTAT(region, province string) string {
	if region == "04" {
		switch province {
		case "021":
			return "03"
		case "022":
			return "18"
		}
		return ""
	}
	const table = "" + // ISTAT's 01–20
		"1320100021070906171911080112051402041615"
	n, ok := number([]byte(region), 2)
	if !ok || n < 1 || int(n) > len(table)/2 {
		return ""
	}
	return table[2*(n-1) : 2*n]
}

// provinceRegions has the SINBA region of every province, two digits each, from province 001 on.
//
// The facts are those of the ANPR archive of municipalities (Ministero dell'Interno, CC BY 4.0).
// Provinces 104–107 ceased in 2016; 112–119 are those of Sardegna's reform, which ISTAT uses from
// 2026 on.
const provinceRegions = "" +
	"1313131313132009090909101010101010101010" + // 001–020
	"0318212121212121210707070606060606060606" + // 021–040
	"1111111117171717171717171719190808080808" + // 041–060
	"0505050505010101011214141414140202040404" + // 061–080
	"1616161616161616161515150712151310100617" + // 081–100
	"04041315151515101114151515151515151515" // 101–119

// RegionOfProvince gives the SINBA region of the province that an ISTAT municipality code begins
// with, also of provinces that have ceased; ok is false for what never was a province.
func RegionOfProvince(istat []byte) (region string, ok bool) {
	if _, ok = number(istat, 6); !ok {
		return "", false
	}
	p, _ := number(istat[:3], 3)
	if p < 1 || int(p) > len(provinceRegions)/2 {
		return "", false
	}
	return provinceRegions[2*(p-1) : 2*p], true
}
