package sinba_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/sinba"
)

// severities must be possible.
func severities(tb testing.TB, cutOff string, lenient ...sinba.Leniency) *sinba.Severities {
	tb.Helper()
	s, err := sinba.NewSeverities(cutOff, lenient)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func TestSoftenedRuleWarnsUntilItsDayInItaly(t *testing.T) {
	t.Parallel()
	// Breaks BR-08, and BR-06 with a day of the year 2030.
	doc := set(t, set(t, sample(t, "segnalazione"), "DataSegnalazioneAutorita", ""), "DataSegnalazione", "2035-01-01")
	s := severities(t, "",
		sinba.Leniency{Rule: "BR-08", BlocksFrom: "2027-04-01"},
		sinba.Leniency{Rule: "BR-08", Participant: "aster", BlocksFrom: "2026-07-01"},
		sinba.Leniency{Rule: "BR-06", Participant: "sili", BlocksFrom: "2029-01-01"},
	)
	verdictOf := func(participant string, now time.Time) string {
		var text strings.Builder
		for _, v := range load(t).Judge(read(t, doc), s.Context(now, participant)) {
			text.WriteString(v.Rule + " " + v.Severity.String() + " " + v.BlocksFrom + ";")
		}
		return text.String()
	}
	at := func(y int, m time.Month, d, h int) time.Time { return time.Date(y, m, d, h, 59, 59, 0, time.UTC) }
	const blocked = "BR-08 GRAVE ;"
	for _, c := range []struct {
		name, participant string
		now               time.Time
		want              string
	}{
		{"all, before", "gesocial-pisa", at(2027, 3, 31, 21), "BR-08 LIEVE 2027-04-01;BR-06 GRAVE ;"},
		{"all, midnight in summer", "gesocial-pisa", at(2027, 3, 31, 22), blocked + "BR-06 GRAVE ;"},
		{"its own goes first", "aster", at(2026, 6, 30, 21), "BR-08 LIEVE 2026-07-01;BR-06 GRAVE ;"},
		{"its own has ended", "aster", at(2026, 6, 30, 22), blocked + "BR-06 GRAVE ;"},
		{"another rule", "sili", at(2028, 12, 31, 22), blocked + "BR-06 LIEVE 2029-01-01;"},
		{"midnight in winter", "sili", at(2028, 12, 31, 23), blocked + "BR-06 GRAVE ;"},
	} {
		if got := verdictOf(c.participant, c.now); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestSoftenLeavesTheRestAlone(t *testing.T) {
	t.Parallel()
	ctx := severities(t, "", sinba.Leniency{Rule: "BR-17", BlocksFrom: "2027-01-01"}).Context(received, "aster")
	found := func() []hub.Violation {
		return []hub.Violation{
			{Code: "SINBA_317", Rule: "BR-17", Severity: hub.Grave},
			{Code: "SINBA_313", Rule: "BR-13", Severity: hub.Lieve},
			{Code: "SINBA_314", Rule: "BR-14", Severity: hub.Grave},
			{Code: "SINBA_401", Severity: hub.Grave},
		}
	}
	want := found()
	want[0].Severity, want[0].BlocksFrom = hub.Lieve, "2027-01-01"
	got := ctx.Soften(found())
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want, ctx.Soften(got)); diff != "" {
		t.Error("softened twice:", diff)
	}
	if diff := cmp.Diff(found(), sinba.RuleContext{Now: received}.Soften(found())); diff != "" {
		t.Error("nothing configured:", diff)
	}
	var none *sinba.Severities
	if diff := cmp.Diff(found(), none.Context(received, "aster").Soften(found())); diff != "" || none.Digest() != [32]byte{} {
		t.Error("nil:", diff)
	}
}

func TestSeveritiesThatCannotBeAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, cutOff, want string
		lenient            []sinba.Leniency
	}{
		{"identity", "", "BR-20: this rule protects", []sinba.Leniency{{Rule: "BR-20", BlocksFrom: "2027-01-01"}}},
		{"of one participant", "", "BR-25 aster: this rule protects", []sinba.Leniency{{Rule: "BR-25", Participant: "aster", BlocksFrom: "2027-01-01"}}},
		{"authorisation", "", "BR-23: this rule protects", []sinba.Leniency{{Rule: "BR-23", BlocksFrom: "2027-01-01"}}},
		{"certification", "", "BR-24: this rule protects", []sinba.Leniency{{Rule: "BR-24", BlocksFrom: "2027-01-01"}}},
		{"adoption", "", "BR-22: this rule protects", []sinba.Leniency{{Rule: "BR-22", BlocksFrom: "2027-01-01"}}},
		{"body", "", "BR-01: this rule protects", []sinba.Leniency{{Rule: "BR-01", BlocksFrom: "2027-01-01"}}},
		{"reference", "", "BR-02: this rule protects", []sinba.Leniency{{Rule: "BR-02", BlocksFrom: "2027-01-01"}}},
		{"a code", "", "SINBA_103: must name a rule", []sinba.Leniency{{Rule: "SINBA_103", BlocksFrom: "2027-01-01"}}},
		{"no number", "", ": must name a rule", []sinba.Leniency{{BlocksFrom: "2027-01-01"}}},
		{"above the last", "", "BR-27: must name a rule", []sinba.Leniency{{Rule: "BR-27", BlocksFrom: "2027-01-01"}}},
		{"three digits", "", "BR-012: must name a rule", []sinba.Leniency{{Rule: "BR-012", BlocksFrom: "2027-01-01"}}},
		{"no day", "", "BR-12: must have a day", []sinba.Leniency{{Rule: "BR-12"}}},
		{"no such day", "", "BR-12: must have a day", []sinba.Leniency{{Rule: "BR-12", BlocksFrom: "2027-02-29"}}},
		{"twice", "", "BR-12 aster: stands twice", []sinba.Leniency{{Rule: "BR-12", Participant: "aster", BlocksFrom: "2027-01-01"}, {Rule: "BR-12", Participant: "aster", BlocksFrom: "2028-01-01"}}},
		{"cut-off", "2012", "cut_off: must be a day", nil},
		{"all at once", "2012", "BR-27", []sinba.Leniency{{Rule: "BR-20", BlocksFrom: "2027-01-01"}, {Rule: "BR-27", BlocksFrom: "2027-01-01"}}},
	} {
		if _, err := sinba.NewSeverities(c.cutOff, c.lenient); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	for n := 3; n <= 19; n++ {
		rule := "BR-" + string([]byte{'0' + byte(n/10), '0' + byte(n%10)})
		severities(t, "", sinba.Leniency{Rule: rule, BlocksFrom: "2027-01-01"})
	}
}

func TestDigestNamesTheSeverities(t *testing.T) {
	t.Parallel()
	one := sinba.Leniency{Rule: "BR-12", BlocksFrom: "2027-01-01"}
	two := sinba.Leniency{Rule: "BR-08", Participant: "aster", BlocksFrom: "2027-01-01"}
	if severities(t, "").Digest() != [32]byte{} || severities(t, "2012-01-01").Digest() != [32]byte{} {
		t.Error("the released table has a digest")
	}
	if severities(t, "", one, two).Digest() != severities(t, "", two, one).Digest() {
		t.Error("the order of the file counts")
	}
	seen := map[[32]byte]bool{{}: true}
	for _, s := range []*sinba.Severities{
		severities(t, "2012-01-02"), severities(t, "", one), severities(t, "", two), severities(t, "", one, two),
		severities(t, "", sinba.Leniency{Rule: "BR-12", BlocksFrom: "2027-01-02"}), severities(t, "2013-01-01", one),
		severities(t, "", sinba.Leniency{Rule: "BR-12", Participant: "aster", BlocksFrom: "2027-01-01"}),
	} {
		if seen[s.Digest()] {
			t.Error("two configurations of one digest")
		}
		seen[s.Digest()] = true
	}
}
