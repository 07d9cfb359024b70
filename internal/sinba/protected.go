package sinba

import "strings"

// placementElement is what says of a placement in a structure.
const placementElement = "/InserimentoStruttura/"

// locates tells whether a leaf would let somebody beyond the region find a child in a protected placement, as
// its row of the table stands. A child that was taken away from danger (art. 403 c.c.) must not be found by who
// the danger is, and whether a placement is such a one is not told: so it holds for all. No structure leaves, nor
// its region; no municipality, address, postal code or zone but as the region of residence; no free code of a
// placement, and none of its days.
func (n *node) locates() bool {
	switch n.national {
	case ClassDrop, ClassRegion, ClassRekey, ClassPseudonym:
		return false
	case ClassKeep, ClassMonth, ClassYearBand, ClassGroup, ClassRoute:
	}
	for _, word := range []string{"Comune", "Catastale", "Indirizzo", "CAP", "Zona"} {
		if strings.Contains(n.name, word) {
			return true
		}
	}
	if strings.Contains(n.name, "Struttura") && n.name != "EsitoInserimentoStruttura" {
		return true
	}
	if !strings.Contains(n.path, placementElement) {
		return false
	}
	return n.typ.kind == kindText || (n.typ.kind == kindDate || n.typ.kind == kindInstant) && n.national != ClassMonth
}
