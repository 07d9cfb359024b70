// Package codelist holds the dated lists that codes of an event are held against: municipalities,
// states, and the region's own lists of services, nomenclature and structures.
//
// A list is one TSV file with a fixed header (files of the package's data folder; README.md there
// tells the columns). All files of one moment make a Set, which is never changed and has a version:
// the digest of its files, so that two processes with the same version answer alike. A Set is made
// whole or not at all, and every fault of every file is told at once.
//
// The package knows neither events nor the hub. It reads no clock and no folder but the fs.FS it
// is given.
package codelist

import (
	"slices"
	"sort"
)

// Date is a day of the calendar as yyyymmdd; 0 is no date.
type Date int32

// The ends of a validity without a date.
const (
	always  Date = 0
	forever Date = 99991231
)

// Validity is what a list says of a code at a time.
type Validity uint8

// What a list can say.
const (
	// Unknown codes are not in the list.
	Unknown Validity = iota
	// NotThen codes are in the list, with other dates.
	NotThen
	// Valid codes are in the list at that time.
	Valid
)

// period is one row: a code with its validity. Codes are packed into numbers, so that a look-up
// compares numbers and allocates nothing.
type period struct {
	code     uint32
	from, to Date
	// region in the SINBA list, 0 if not known.
	region uint8
}

// Set is all lists of one moment. It is never changed and serves any number of goroutines.
type Set struct {
	version string
	files   Files
	// municipalities by ISTAT code, places by belfiore code, nations by ISO number.
	municipalities, places, nations []period
	// own are the region's lists, by their texts.
	own map[string][]entry
	// nationsEU and nationsFrequent are the numbers with these marks.
	nationsAll, nationsEU, nationsFrequent []string
}

// entry is a row of one of the region's own lists.
type entry struct {
	code     string
	from, to Date
}

// Version names the set: the first 12 hexadecimal digits of the digest of all its files.
func (s *Set) Version() string { return s.version }

// Files gives what the set was made of.
func (s *Set) Files() Files { return s.files }

// Municipality tells whether an ISTAT code was in use on a day, and then in which region (SINBA
// list, 01–21; empty where the list has none).
func (s *Set) Municipality(istat []byte, on Date) (region string, v Validity) {
	code, ok := number(istat, 6)
	if !ok {
		return "", Unknown
	}
	at, v := find(s.municipalities, code, on, on)
	if v != Valid || at.region == 0 {
		return "", v
	}
	return regionName(at.region), v
}

// Birthplace tells whether a belfiore code, of a municipality or a state, was in use on at least
// one of the days from..to; with no days, whether it ever was.
func (s *Set) Birthplace(belfiore []byte, from, to Date) Validity {
	code, ok := packBelfiore(belfiore)
	if !ok {
		return Unknown
	}
	if from == 0 && to == 0 {
		from, to = always, forever
	}
	_, v := find(s.places, code, from, to)
	return v
}

// Nation tells whether an ISO 3166-1 number, or one of those agreed for what has none, was in use
// on a day.
func (s *Set) Nation(iso []byte, on Date) Validity {
	code, ok := number(iso, 3)
	if !ok {
		return Unknown
	}
	_, v := find(s.nations, code, on, on)
	return v
}

// Has tells whether one of the region's own lists is loaded.
func (s *Set) Has(list string) bool { return len(s.own[list]) > 0 }

// Listed tells whether a code of one of the region's own lists was valid on a day.
func (s *Set) Listed(list string, code []byte, on Date) Validity {
	rows := s.own[list]
	// Comparing with an operator, the conversion allocates nothing.
	i := sort.Search(len(rows), func(i int) bool { return rows[i].code >= string(code) })
	v := Unknown
	for ; i < len(rows) && rows[i].code == string(code); i++ {
		if rows[i].from <= on && on <= rows[i].to {
			return Valid
		}
		v = NotThen
	}
	return v
}

// Codes gives the codes of one of the region's own lists, whatever their dates, each once.
func (s *Set) Codes(list string) []string {
	codes := make([]string, 0, len(s.own[list]))
	for _, e := range s.own[list] {
		codes = append(codes, e.code)
	}
	return slices.Compact(codes)
}

// Nations gives all nation numbers, EU those of members of the European Union, Frequent those
// frequent enough to single out nobody.
func (s *Set) Nations() (all, eu, frequent []string) {
	return slices.Clone(s.nationsAll), slices.Clone(s.nationsEU), slices.Clone(s.nationsFrequent)
}

// find looks for a row of the code that was valid on one of the days from..to. rows are sorted by
// code and then by date.
func find(rows []period, code uint32, from, to Date) (period, Validity) {
	i := sort.Search(len(rows), func(i int) bool { return rows[i].code >= code })
	v := Unknown
	for ; i < len(rows) && rows[i].code == code; i++ {
		if rows[i].from <= to && from <= rows[i].to {
			return rows[i], Valid
		}
		v = NotThen
	}
	return period{}, v
}

// number reads a code of exactly so many digits.
func number(text []byte, width int) (n uint32, ok bool) {
	if len(text) != width {
		return 0, false
	}
	for _, b := range text {
		if b < '0' || b > '9' {
			return 0, false
		}
		n = n*10 + uint32(b-'0')
	}
	return n, true
}

// packBelfiore reads a letter and three digits.
func packBelfiore(text []byte) (n uint32, ok bool) {
	if len(text) != 4 || text[0] < 'A' || text[0] > 'Z' {
		return 0, false
	}
	n, ok = number(text[1:], 3)
	return uint32(text[0])*1000 + n, ok
}
