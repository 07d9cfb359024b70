package app_test

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/app"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
)

// TestAnEpochIsNotUsedBeforeTheDatabaseSaysSo: a key that is held, made or being told of is not in use; of the
// rows only the active one decides.
func TestAnEpochIsNotUsedBeforeTheDatabaseSaysSo(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "keys")
	err := pseudonym.InitKeys(dir, hub.Prod, time.Now())
	for _, name := range []string{"seal", "code-nation"} {
		if err == nil {
			_, err = pseudonym.AddNamed(dir, hub.Prod, name, time.Now())
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	keys, err := pseudonym.LoadKeys(dir, hub.Prod)
	if err != nil {
		t.Fatal(err)
	}
	for state, want := range map[postgres.KeyState]int32{
		"": 1, postgres.KeyMade: 1, postgres.KeyTelling: 1, postgres.KeyActive: 2, postgres.KeyFormer: 1, postgres.KeyDestroyed: 1,
	} {
		var rows []postgres.KeyEpoch
		if state != "" {
			for _, name := range []string{"seal", "code-nation"} {
				rows = append(rows, postgres.KeyEpoch{Name: name, Epoch: 2, State: state})
			}
		}
		use, told := app.EpochsInUse(keys, rows)
		if use["seal"] != want || use["code-nation"] != want || told != 1 {
			t.Errorf("%q: %v in use, told up to %d", state, use, told)
		}
	}
	use, told := app.EpochsInUse(keys, []postgres.KeyEpoch{{Name: "code-nation", Epoch: 2, State: postgres.KeyActive, ToldAt: time.Now()}})
	if use["code-nation"] != 2 || told != 2 {
		t.Errorf("%v in use, told up to %d", use, told)
	}
}

// TestWhatIsInUseIsSaidWhenTheOldIsOver: what began under an epoch is over before the database is told that
// this instance uses another one.
func TestWhatIsInUseIsSaidWhenTheOldIsOver(t *testing.T) {
	t.Parallel()
	second := time.Second
	told := app.Settle([]int32{1, 1, 2, 2, 2, 2, 3, 2, 2}, []time.Duration{0, second, 2 * second, 3 * second, 7 * second, 8 * second, 9 * second, 10 * second, 17 * second})
	if want := []int32{1, 1, 1, 1, 1, 2, 2, 2, 2}; !slices.Equal(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
}
