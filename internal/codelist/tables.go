package codelist

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// The lists, by their file names.
const (
	Municipalities = "comuni.tsv"
	States         = "nazioni.tsv"
	Services       = "prestazioni.tsv"
	Nomenclature   = "nomenclatore.tsv"
	Structures     = "strutture.tsv"
)

// Names gives all lists in their order.
func Names() []string { return []string{Municipalities, States, Services, Nomenclature, Structures} }

// column is one column of a list: its name in the header and what a value must be. check gives
// what is asked for if a value is not that, in words that follow the column's name.
type column struct {
	name  string
	check func(value string) string
}

// columns are those of a list. Every list has "da" and "a", the first and the last day of a row's
// validity; empty means since ever and until now.
func columns(list string) []column {
	from, to := column{"da", checkDate}, column{"a", checkDate}
	name := column{"nome", checkName}
	switch list {
	case Municipalities:
		return []column{
			{"istat", checkISTAT},
			{"belfiore", optional(checkMunicipalBelfiore)},
			from, to,
			{"provincia", optional(checkProvince)},
			{"regione", optional(checkRegion)},
			name,
		}
	case States:
		return []column{
			{"iso", optional(checkNation)},
			{"belfiore", optional(checkStateBelfiore)},
			from, to,
			{"ue", checkYesNo},
			{"frequente", checkYesNo},
			name,
		}
	case Services:
		return []column{{"codice", checkService}, from, to, name}
	}
	return []column{{"codice", checkLocal}, from, to, name}
}

// header is the first line of a list's file.
func header(list string) string {
	all := columns(list)
	names := make([]string, len(all))
	for i := range all {
		names[i] = all[i].name
	}
	return strings.Join(names, "\t")
}

// keyOf gives what a row is about: two rows with the same key must not be valid at one time. A
// state may have a number, a belfiore code or both.
func keyOf(list string, fields []string) string {
	if list == States && fields[0] == "" {
		return fields[1]
	}
	return fields[0]
}

// optional lets a value be empty.
func optional(check func(string) string) func(string) string {
	return func(value string) string {
		if value == "" {
			return ""
		}
		return check(value)
	}
}

func checkISTAT(value string) string {
	if _, ok := number([]byte(value), 6); !ok {
		return "must be the six digits of an ISTAT code"
	}
	return ""
}

func checkMunicipalBelfiore(value string) string {
	if _, ok := packBelfiore([]byte(value)); !ok || value[0] > 'M' {
		return "must be a letter A–M and three digits"
	}
	return ""
}

func checkStateBelfiore(value string) string {
	if _, ok := packBelfiore([]byte(value)); !ok || value[0] != 'Z' {
		return "must be Z and three digits"
	}
	return ""
}

func checkProvince(value string) string {
	if len(value) != 2 || strings.ToUpper(value) != value || strings.ContainsAny(value, "0123456789") {
		return "must be two capital letters"
	}
	return ""
}

func checkRegion(value string) string {
	if n, ok := number([]byte(value), 2); !ok || n < firstRegion || n > lastRegion {
		return "must be a region of the SINBA list, 01–21"
	}
	return ""
}

func checkNation(value string) string {
	if _, ok := number([]byte(value), 3); !ok {
		return "must be the three digits of ISO 3166-1"
	}
	return ""
}

func checkYesNo(value string) string {
	if value != "si" && value != "no" {
		return "must be si or no"
	}
	return ""
}

// checkService asks for a CodicePrestazioneType, so that a list cannot break the national schema.
func checkService(value string) string {
	if len(value) >= 5 && len(value) <= 10 && strings.Trim(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.") == "" {
		return ""
	}
	return "must be 5 to 10 capital letters, digits and points"
}

// checkLocal asks for a CodiceLocaleType.
func checkLocal(value string) string {
	const allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:/-"
	if len(value) >= 1 && len(value) <= 36 && strings.Trim(value, allowed) == "" {
		return ""
	}
	return "must be 1 to 36 letters, digits and . _ : / -"
}

func checkDate(value string) string {
	if _, ok := parseDate(value); !ok {
		return "must be empty or a date like 2024-01-31"
	}
	return ""
}

// maxName bounds a name in characters.
const maxName = 100

func checkName(value string) string {
	if value == "" || value != strings.TrimSpace(value) || utf8.RuneCountInString(value) > maxName ||
		strings.ContainsFunc(value, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return "must be 1 to 100 printable characters without blanks around"
	}
	return ""
}
