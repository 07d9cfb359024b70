package sinba

import (
	"github.com/sinbahub/sinbahub/internal/codelist"
	"github.com/sinbahub/sinbahub/internal/hub"
)

// look says against which dated list a leaf is held.
type look uint8

// The lists by what their leaves mean.
const (
	lookNowhere look = iota
	lookBirthplace
	lookMunicipality
	lookNation
	lookService
	lookNomenclature
	lookStructure
	lookStructureRegion
	lookParentRegion
)

// lookOf tells which list a leaf is held against.
func lookOf(n *node) look {
	switch n.typ.name {
	case "CodiceNazioneType":
		return lookNation
	case "CodiceIstatComuneType":
		return lookMunicipality
	}
	switch n.name {
	case "LuogoNascita":
		return lookBirthplace
	case "CodicePrestazione":
		return lookService
	case "VoceNomenclatore":
		return lookNomenclature
	case "CodiceStrutturaASSO":
		return lookStructure
	case "CodiceRegioneStruttura":
		return lookStructureRegion
	case "CodiceRegioneResidenza":
		return lookParentRegion
	}
	return lookNowhere
}

// happened is the day of the event in Italy.
func (j *judgement) happened() day { return dayOf(j.occurredAt, j.cat.rome) }

// judgeMunicipalities warns of municipalities that were not in use: that of birth on the birth
// date, those of residence and domicile on the day of the event. It never refuses: a list is always
// a little older than the last merger, and archives err (domain, 2.4).
func judgeMunicipalities(j *judgement) {
	data := j.cat.ref.data
	if data == nil {
		return
	}
	for i := range j.elems {
		switch j.traits(i).look {
		case lookBirthplace:
			if raw := j.raw(i); !isForeign(raw) && !j.bornThere(data, raw) {
				j.at(hub.Lieve, i)
			}
		case lookMunicipality:
			if _, v := data.Municipality(j.raw(i), codelist.Date(j.happened())); v != codelist.Valid {
				j.at(hub.Lieve, i)
			}
		case lookNowhere, lookNation, lookService, lookNomenclature, lookStructure, lookStructureRegion, lookParentRegion:
		}
	}
}

// isForeign tells whether a birthplace is a state's code, as those of states begin with Z.
func isForeign(raw []byte) bool { return len(raw) > 0 && raw[0] == 'Z' }

// judgeStates warns of states that were not in use: that of birth on the birth date, those of
// citizenship and residence on the day of the event.
func judgeStates(j *judgement) {
	data := j.cat.ref.data
	if data == nil {
		return
	}
	for i := range j.elems {
		switch j.traits(i).look {
		case lookBirthplace:
			if raw := j.raw(i); isForeign(raw) && !j.bornThere(data, raw) {
				j.at(hub.Lieve, i)
			}
		case lookNation:
			if data.Nation(j.raw(i), codelist.Date(j.happened())) != codelist.Valid {
				j.at(hub.Lieve, i)
			}
		case lookNowhere, lookMunicipality, lookService, lookNomenclature, lookStructure, lookStructureRegion, lookParentRegion:
		}
	}
}

// bornThere tells whether a belfiore code was in use on the birth date: in its year if the date is
// presumed, ever if there is none.
func (j *judgement) bornThere(data *codelist.Set, belfiore []byte) bool {
	from := j.day(j.cat.at.birth)
	to := from
	if from != 0 && j.presumed() {
		from = day(from.year()*10_000 + 101) //nolint:gosec // a date of the contract
		to = from + 1130
	}
	return data.Birthplace(belfiore, codelist.Date(from), codelist.Date(to)) == codelist.Valid
}

// judgeServices warns of services and items of the nomenclature that are not in the region's lists
// on the day the service began. A list that is not loaded warns of nothing.
func judgeServices(j *judgement) {
	data := j.cat.ref.data
	if data == nil || !data.Has(codelist.Services) && !data.Has(codelist.Nomenclature) {
		return
	}
	for i := range j.elems {
		list := ""
		switch j.traits(i).look {
		case lookService:
			list = codelist.Services
		case lookNomenclature:
			list = codelist.Nomenclature
		case lookNowhere, lookBirthplace, lookMunicipality, lookNation, lookStructure, lookStructureRegion, lookParentRegion:
		}
		if list != "" && data.Has(list) && data.Listed(list, j.raw(i), codelist.Date(j.beside(i, "DataInizioPrestazione"))) != codelist.Valid {
			j.at(hub.Lieve, i)
		}
	}
}

// judgeStructure is BR-16, off until a registry of structures is loaded: a structure that it does
// not have is GRAVE, one that was not active on the day of entry, or of exit, LIEVE.
func judgeStructure(j *judgement) {
	data := j.cat.ref.data
	if data == nil || !data.Has(codelist.Structures) {
		return
	}
	for i := range j.elems {
		if j.traits(i).look != lookStructure {
			continue
		}
		entered, left := j.beside(i, "DataIngresso"), j.beside(i, "DataDimissione")
		v := data.Listed(codelist.Structures, j.raw(i), codelist.Date(entered))
		if v == codelist.Valid && left != 0 {
			v = data.Listed(codelist.Structures, j.raw(i), codelist.Date(left))
		}
		switch v {
		case codelist.Unknown:
			j.at(hub.Grave, i)
		case codelist.NotThen:
			j.at(hub.Lieve, i)
		case codelist.Valid:
		}
	}
}

// The regions that BR-19 is about, in the SINBA list.
const (
	regionToscana = "17"
	regionLiguria = "09" // ISTAT's number of Toscana
)

// judgeRegions is BR-19: a parent in Liguria while the child lives in a Tuscan municipality is most
// often ISTAT's number of Toscana; a structure in Toscana must be named by its code in the register
// instead of by its region. Both are LIEVE.
func judgeRegions(j *judgement) {
	tuscan := j.livesIn(regionToscana)
	for i := range j.elems {
		switch j.traits(i).look {
		case lookParentRegion:
			if tuscan && string(j.raw(i)) == regionLiguria {
				j.at(hub.Lieve, i)
			}
		case lookStructureRegion:
			if string(j.raw(i)) == regionToscana {
				j.at(hub.Lieve, i)
			}
		case lookNowhere, lookBirthplace, lookMunicipality, lookNation, lookService, lookNomenclature, lookStructure:
		}
	}
}

// livesIn tells whether the child's residence or domicile in this event is in a region.
func (j *judgement) livesIn(region string) bool {
	for i := range j.elems {
		if j.traits(i).look != lookMunicipality {
			continue
		}
		if r, ok := j.cat.ref.regionOf(j.raw(i), j.happened()); ok && r == region {
			return true
		}
	}
	return false
}

// beside gives the date of an element with the same parent as element i, zero if there is none.
func (j *judgement) beside(i int, name string) day {
	parent := j.elems[i].parent
	for k := int(parent) + 1; k < len(j.elems) && j.elems[k].parent >= parent; k++ {
		if j.elems[k].parent == parent && j.cat.nodes[j.elems[k].node].name == name {
			d, _ := parseDay(j.raw(k))
			return d
		}
	}
	return 0
}
