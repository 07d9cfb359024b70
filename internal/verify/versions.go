package verify

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// missingName is the member with the versions that the exporting hub no longer had, one a line: what and
// which.
const missingName = "versions-missing"

// mostMissing is the most bytes of that member.
const mostMissing = 1 << 20

// versions are those that entries name, by the member that has them.
type versions struct {
	members map[string]string // what and which, by member
	last    struct {
		mapping, rules int32
		reference      string
	}
}

// take notes what an entry names. Entries name the same as their neighbours but for days of change.
func (v *versions) take(e *entry) {
	if e.mapping == v.last.mapping && e.rules == v.last.rules && string(e.reference) == v.last.reference {
		return
	}
	v.last.mapping, v.last.rules, v.last.reference = e.mapping, e.rules, string(e.reference)
	if v.members == nil {
		v.members = map[string]string{}
	}
	if len(v.members) >= mostNotes {
		return
	}
	if e.mapping != 0 {
		v.members[fmt.Sprintf("mapping/%d/foglie.tsv", e.mapping)] = fmt.Sprintf("mapping %d", e.mapping)
	}
	if e.rules != 0 {
		v.members[fmt.Sprintf("rules/%d.txt", e.rules)] = fmt.Sprintf("rules %d", e.rules)
	}
	if len(e.reference) > 0 {
		v.members["reference/"+string(e.reference)] = "reference " + string(e.reference)
	}
}

// tellVersions notes which versions that entries name are not in the bundle. It is no fault of the
// evidence: without them a replay needs a hub that still has them.
func (in *inspection) tellVersions() {
	missing, _ := in.box.read(missingName, mostMissing, nil)
	listed := map[string]bool{}
	for line := range strings.Lines(string(missing)) {
		listed[strings.TrimSuffix(line, "\n")] = true
	}
	for _, name := range slices.Sorted(maps.Keys(in.versions.members)) {
		if _, there := in.box.index[name]; there {
			continue
		}
		said := "and the bundle does not say so"
		if listed[in.versions.members[name]] {
			said = "as the bundle says"
		}
		in.note("Entries name %s, which is not in the bundle, %s.", in.versions.members[name], said)
	}
}
