package app

import (
	"strings"
	"testing"
)

// TestReportTellsOfAJoinOnlyIfThereWasOne reads the first line of a child's report.
func TestReportTellsOfAJoinOnlyIfThereWasOne(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{1: "1, joined to no other", 3: "3, joined"} {
		var out strings.Builder
		if err := (&subjectReport{Subjects: n}).print(&out); err != nil {
			t.Fatal(err)
		}
		line, _, _ := strings.Cut(out.String(), "\n")
		if strings.Join(strings.Fields(line), " ") != "identities "+want {
			t.Errorf("%d: %s", n, line)
		}
	}
}
