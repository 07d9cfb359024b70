//go:build e2e

package hubtest_test

import (
	"bytes"
	"encoding/csv"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/codelist"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// TestE2EReplayUnderOtherReferenceData sends events about a municipality that only one set of lists has, some
// judged by each, and tries both sets on all of them: just what follows from the municipality
// comes or goes, for just the messages that name it, and nothing is stored.
func TestE2EReplayUnderOtherReferenceData(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	const town = "150001\tM900\t\t\tXX\t17\tNUOVO COMUNE\n"
	municipalities := codelist.Builtin()[codelist.Municipalities]
	with := lists(t, codelist.Files{codelist.Municipalities: append(bytes.Clone(municipalities), town...)})
	without := lists(t, codelist.Files{codelist.Municipalities: municipalities})
	sender := h.Sender("SDS-PI")
	child := int32(0)
	// warned tells whether an event that names the municipality was warned of it.
	warned := func(code string) bool {
		t.Helper()
		child++
		document := bytes.Replace(hubtest.Child(child).Event(uuid.New(), 1), []byte("</Identificativo>"),
			[]byte("</Identificativo><Anagrafica><Sesso>F</Sesso><DataNascita>2012-01-01</DataNascita><CodiceCittadinanza>380</CodiceCittadinanza><Residenza><CodiceNazione>380</CodiceNazione><CodiceComune>"+code+"</CodiceComune></Residenza></Anagrafica>"), 1)
		a, err := sender.Send(t.Context(), soap.V11, document)
		if err != nil || a.Receipt == nil {
			t.Fatalf("not accepted: %v", err)
		}
		return slices.Contains(hubtest.Codes(a.Receipt.Avvisi), "SINBA_360")
	}
	old, known, judged := 0, 0, 0
	// Of each enough to be told in a report.
	for range 6 {
		if old++; !warned("150001") {
			t.Fatal("the lists in the binary have the municipality")
		}
	}
	for range 5 {
		if known++; warned("050026") {
			t.Fatal("the lists in the binary do not have Pisa")
		}
	}
	if code, out := reference(t, h, "load", with); code != 0 {
		t.Fatal(string(out))
	}
	if err := syscall.Kill(h.Run.Pids.Serve, syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	waitForMetric(t, h, `hub_reference_info{version="`+versionOf(t, with)+`"} 1`)
	for judged < 7 {
		// The one that is under way may still have the lists before.
		if !warned("150001") {
			judged++
		} else if old++; old > 100 {
			t.Fatal("the lists that were loaded are not in force")
		}
	}
	db := h.Superuser()
	hubtest.AwaitDelivered(t, db, patience)

	rows := func() (n int64) {
		for _, table := range []string{"hub.event", "hub.message", "hub.delivery", "hub.attempt", "hub.case_file", "vault.subject"} {
			n += hubtest.Number(t, db, "SELECT count(*) FROM "+table)
		}
		return n + 1000*hubtest.Number(t, db, "SELECT count(DISTINCT reference_version) FROM hub.event")
	}
	before := rows()
	// Days, as audit export takes them, that hold today in whatever zone.
	day := func(days int) string { return time.Now().AddDate(0, 0, days).Format(time.DateOnly) }
	people := h.People(t)
	for _, test := range []struct {
		name, lists   string
		warning, leaf string
		otherwise     int
	}{
		{"the new lists, where the old ones judged", with, "removed", "added", old},
		{"the old lists, where the new ones judged", without, "added", "removed", judged},
	} {
		out, exit := runReplay(t, h, people, "what-if", "--from", day(-1), "--to", day(1), "--reference", test.lists)
		table, err := csv.NewReader(strings.NewReader(out)).ReadAll()
		if err != nil || exit != 2 {
			t.Fatalf("%s: exit %d, %v: %s", test.name, exit, err, out)
		}
		all, number := old+known+judged, strconv.Itoa(test.otherwise)
		wantSums := map[string]string{
			"messages": strconv.Itoa(all), "unchanged": strconv.Itoa(all - test.otherwise), "newly_fails": "0", "comes_out_different": number,
			"not_tried": "0", "refused": "0", "may_newly_pass": "0",
		}
		sums, lines := map[string]string{}, [][]string{}
		for _, line := range table[1:] {
			if line[2] == "total" {
				sums[line[3]] = line[8]
				continue
			}
			lines = append(lines, line[2:])
		}
		// The region of the nation's event follows from the municipality that is known.
		want := [][]string{
			{"comes_out_different", "national_event", "", "", "/Soggetto/Anagrafica/Residenza/CodiceRegioneResidenza", test.leaf, number},
			{"comes_out_different", "regional_event", "", "", "/Soggetto/Anagrafica/Residenza/CodiceComune", test.leaf, number},
			{"comes_out_different", "warnings", "SINBA_360", "", "/InviaEventoRichiesta/Soggetto/Anagrafica/Residenza/CodiceComune", test.warning, number},
		}
		if diff := cmp.Diff(wantSums, sums) + cmp.Diff(want, lines); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
		if strings.Contains(out, "150001") {
			t.Errorf("%s: the report has a value: %s", test.name, out)
		}
	}
	if after := rows(); after != before {
		t.Errorf("%d before, %d after", before, after)
	}
}
