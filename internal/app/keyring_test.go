package app_test

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/app"
	"github.com/sinbahub/sinbahub/internal/delivery"
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

// TestWhoStoodStillTellsOfItsOldCodeFirst: an instance stands still while codes are rotated and SISS is told of all,
// and then accepts an event under the old code. It leaves only once a communication says which code continues it,
// although the same instance delivers it before it knows of the rotation.
func TestWhoStoodStillTellsOfItsOldCodeFirst(t *testing.T) {
	t.Parallel()
	d := keyDesk(t)
	store, err := postgres.Open(t.Context(), postgres.Config{DSN: d.cfg.Database.URL.Reveal()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	if _, err := pseudonym.AddNamed(d.cfg.Keys.Dir, hub.Prod, "code-nation", time.Now()); err != nil {
		t.Fatal(err)
	}
	keys, err := pseudonym.LoadKeys(d.cfg.Keys.Dir, hub.Prod)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	ring := app.NewKeyring(d.cfg, keys, store, func() time.Time { return now })
	look := func() {
		t.Helper()
		if err := ring.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var subject uuid.UUID
	may := func() bool {
		t.Helper()
		may, err := ring.MaySend(t.Context(), subject, 1)
		if err != nil {
			t.Fatal(err)
		}
		return may
	}
	if may() {
		t.Error("an event leaves before anything is known")
	}
	look()
	d.exec(t, `INSERT INTO hub.key_epoch (environment, name, epoch, state, made_at, active_at, told_at)
		SELECT 1, 'code-nation', u.epoch, u.state, clock.now AS made, clock.now AS active, clock.now AS told
		FROM (VALUES (1, 'former'), (2, 'active')) AS u (epoch, state), (SELECT now() AS now) AS clock`)
	d.delivery(t, hub.Prod, hub.Pending)
	if err := d.admin.QueryRow(t.Context(), "SELECT subject_id FROM hub.case_file").Scan(&subject); err != nil {
		t.Fatal(err)
	}
	if !may() {
		t.Error("who was there just now is waited for by who tells codes, and waits itself")
	}
	now = now.Add(delivery.HolderTime)
	if may() {
		t.Error("an old code left from an instance that stood still")
	}
	look()
	if !may() {
		t.Error("the event does not leave")
	}
	var from, to int32
	if err := d.admin.QueryRow(t.Context(), "SELECT from_epoch, to_epoch FROM hub.code_change WHERE subject_id = $1", subject).Scan(&from, &to); err != nil || from != 1 || to != 2 {
		t.Errorf("codes of epochs %d and %d are told of: %v", from, to, err)
	}
}
