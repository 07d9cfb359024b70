package sinba

import (
	"slices"
	"strconv"
	"strings"
)

// Mapping gives the leaf table (foglie.tsv) of a version, false if this binary lacks it.
func Mapping(version int32) ([]byte, bool) {
	if version != MappingVersion {
		return nil, false
	}
	return slices.Clone(leafTable), true
}

// RulesText tells the rules of a version, one line each: what they look at, how badly they refuse, where
// they come from. It says the same of a version for ever; false if this binary lacks it.
func RulesText(version int32) ([]byte, bool) {
	if version < 1 || version > RulesVersion {
		return nil, false
	}
	var text strings.Builder
	text.WriteString("code\trule\tseverity\tsince\tjudged\tlooks\tsource\n")
	for _, r := range Rules() {
		if r.Since > int(version) {
			continue
		}
		row := []string{string(r.Code), r.Name(), r.Severity.String(), strconv.Itoa(r.Since), r.Judged.String(), r.Looks, r.Source}
		text.WriteString(strings.Join(row, "\t") + "\n")
	}
	return []byte(text.String()), true
}

// String names the place.
func (j Judged) String() string {
	switch j {
	case OnEvent:
		return "event"
	case OnCase:
		return "case"
	case AtAuthorisation:
		return "authorisation"
	}
	return ""
}
