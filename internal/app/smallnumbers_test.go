package app_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sinbahub/sinbahub/internal/app"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// Of one ente's deliveries no small number is told, in no form; of all enti's, which are no ente's, each is.
func TestCountsOfAnEntesDeliveriesAreNotSmall(t *testing.T) {
	t.Parallel()
	counts := []postgres.Backlog{
		{State: hub.Dead, Count: 4, Oldest: time.Hour}, {State: hub.Parked}, {State: hub.Pending, Count: 5, Oldest: 2 * time.Hour},
	}
	for name, c := range map[string]struct {
		ente string
		json bool
		want string
	}{
		"of an ente":          {"SDS-EM", false, "STATE    DELIVERIES  OLDEST\ndead     -           -\nparked   0           0s\npending  5           2h0m0s\n"},
		"of an ente, as JSON": {"SDS-EM", true, `{"deliveries":null,"oldest_seconds":null,"state":"dead"}` + "\n" + `{"deliveries":0,"oldest_seconds":0,"state":"parked"}` + "\n" + `{"deliveries":5,"oldest_seconds":7200,"state":"pending"}` + "\n"},
		"of all":              {"", false, "STATE    DELIVERIES  OLDEST\ndead     4           1h0m0s\nparked   0           0s\npending  5           2h0m0s\n"},
	} {
		var out bytes.Buffer
		if err := app.ToldCounts(&out, counts, c.ente, 5, c.json); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, out.String()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// Of an ente's cases, too: neither a number below the threshold, nor what it could be computed from by who knows
// how many cases there are. Zeroes are told.
func TestCountsOfAnEntesCasesAreNotSmall(t *testing.T) {
	t.Parallel()
	several := func(n int, missing ...string) (all [][]string) {
		for range n {
			all = append(all, missing)
		}
		return all
	}
	for name, c := range map[string]struct {
		written, early, past int
		missing              [][]string
		want                 map[string]int64
	}{
		"none small": {20, 0, 9, several(7, "A"), map[string]int64{
			"standing:complete": 20, "standing:incomplete": 7, "standing:opened_later": 0, "standing:closed_before": 9, "A": 7,
		}},
		"one small": {20, 3, 9, several(7, "A"), map[string]int64{
			"standing:incomplete": 7, "standing:closed_before": 9, "A": 7,
		}},
		"few incomplete": {20, 0, 9, several(2, "A", "B"), map[string]int64{"standing:opened_later": 0, "standing:closed_before": 9}},
		"something that few miss, among others": {20, 0, 9, append(several(6, "A"), several(2, "A", "B")...), map[string]int64{
			"standing:complete": 20, "standing:incomplete": 8, "standing:opened_later": 0, "standing:closed_before": 9, "A": 8,
		}},
		"what is missing would tell": {0, 3, 0, several(9, "A", "B"), map[string]int64{
			"standing:complete": 0, "standing:closed_before": 0,
		}},
		"none": {0, 0, 0, nil, map[string]int64{
			"standing:complete": 0, "standing:incomplete": 0, "standing:opened_later": 0, "standing:closed_before": 0,
		}},
	} {
		if diff := cmp.Diff(c.want, app.ToldCases(c.written, c.early, c.past, c.missing, 5)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
