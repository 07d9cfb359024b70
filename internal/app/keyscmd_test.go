package app_test

import (
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/app"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
)

// keyDesk is a desk with a folder of keys. No instance is running.
func keyDesk(t *testing.T) *desk {
	t.Helper()
	d := newDesk(t)
	d.cfg.Keys.Dir = filepath.Join(t.TempDir(), "keys")
	if err := pseudonym.InitKeys(d.cfg.Keys.Dir, hub.Prod, time.Now()); err != nil {
		t.Fatal(err)
	}
	return d
}

// keyOptions is who rotates a key or destroys an epoch, and why.
func keyOptions(name string, epoch int32) app.KeyOptions {
	return app.KeyOptions{Name: name, Epoch: epoch, Who: app.Who{Reason: "scadenza annuale"}, Wait: time.Minute}
}

// keyStates reads what the database says of a key's epochs.
func (d *desk) keyStates(t *testing.T, name string) map[int32]string {
	t.Helper()
	rows, err := d.admin.Query(t.Context(), "SELECT epoch, state FROM hub.key_epoch WHERE name = $1", name)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	states := map[int32]string{}
	for rows.Next() {
		var epoch int32
		var state string
		if err := rows.Scan(&epoch, &state); err != nil {
			t.Fatal(err)
		}
		states[epoch] = state
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return states
}

// TestKeysRotatedAtOnceAreOneRotation: of several commands at once each makes an epoch of its own or goes on
// with another's; none makes one that nobody knows of, and one epoch is in use.
func TestKeysRotatedAtOnceAreOneRotation(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{pseudonym.NameOfCodes(pseudonym.Region): "active", pseudonym.NameLink: "made"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := keyDesk(t)
			var commands sync.WaitGroup
			for range 4 {
				commands.Go(func() {
					err := app.RotateKey(t.Context(), d.cfg, keyOptions(name, 0), io.Discard)
					if err != nil && !errors.Is(err, postgres.ErrKeyState) && !errors.Is(err, app.ErrNoKeyTicket) {
						t.Error(err)
					}
				})
			}
			commands.Wait()
			keys, err := pseudonym.LoadKeys(d.cfg.Keys.Dir, hub.Prod)
			if err != nil {
				t.Fatal(err)
			}
			states, last := d.keyStates(t, name), int32(0)
			for epoch := range states {
				last = max(last, epoch)
			}
			if held := keys.Held()[name]; !slices.Equal(held, slices.Sorted(maps.Keys(states))) || last < 2 || states[last] != want {
				t.Errorf("epochs %v are held, known are %v", held, states)
			}
			if left, err := filepath.Glob(filepath.Join(d.cfg.Keys.Dir, ".new-*")); err != nil || len(left) > 0 {
				t.Errorf("%v: files that were not named are left: %d", err, len(left))
			}
		})
	}
}

// TestAKeyIsDestroyedOnlyOnceNothingNeedsIt: not without a reason, not while it is in use or rows
// depend on it; and then its file goes, also when the command is given again.
func TestAKeyIsDestroyedOnlyOnceNothingNeedsIt(t *testing.T) {
	t.Parallel()
	d := keyDesk(t)
	name := pseudonym.NameOfCodes(pseudonym.Region)
	file := filepath.Join(d.cfg.Keys.Dir, name+"-1.json")
	d.delivery(t, hub.Prod, hub.Delivered)
	destroy := func(o app.KeyOptions) error { return app.DestroyKey(t.Context(), d.cfg, o, io.Discard) }
	if err := destroy(keyOptions(name, 1)); !errors.Is(err, app.ErrKeyInUse) {
		t.Errorf("never rotated: %v", err)
	}
	if err := app.RotateKey(t.Context(), d.cfg, keyOptions(name, 0), io.Discard); err != nil {
		t.Fatal(err)
	}
	silent := keyOptions(name, 1)
	silent.Who.Reason = " "
	for what, c := range map[string]struct {
		o    app.KeyOptions
		want error
	}{
		"no reason": {silent, app.ErrNoReason}, "needed": {keyOptions(name, 1), app.ErrKeyNeeded},
		"in use": {keyOptions(name, 2), app.ErrKeyInUse}, "unknown": {keyOptions(name, 3), app.ErrNoKeyEpoch}, "not rotated": {keyOptions("local", 1), app.ErrKeyName},
	} {
		if err := destroy(c.o); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
	}
	if _, err := os.Lstat(file); err != nil {
		t.Fatal(err)
	}
	d.exec(t, "DELETE FROM hub.event")
	d.exec(t, "DELETE FROM hub.case_file")
	for range 2 {
		if err := destroy(keyOptions(name, 1)); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Lstat(file); !os.IsNotExist(err) {
			t.Errorf("the file stands: %v", err)
		}
	}
	if got, want := d.keyStates(t, name), map[int32]string{1: "destroyed", 2: "active"}; !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	var entries int
	if err := d.admin.QueryRow(t.Context(), "SELECT count(*) FROM hub.journal_entry WHERE kind = 20").Scan(&entries); err != nil || entries != 3 {
		t.Errorf("%v: %d entries, want made, active, destroyed", err, entries)
	}
}

// TestAPairIsClosedWhenItIsDestroyed: not while an epoch key is sealed to it; status counts those up to a
// bound. Afterwards none is recorded for it.
func TestAPairIsClosedWhenItIsDestroyed(t *testing.T) {
	t.Parallel()
	d := keyDesk(t)
	d.exec(t, `INSERT INTO vault.epoch_key (id, environment, opener_epoch, sealed_key, created_at)
		SELECT gen_random_uuid(), 'PROD', 1, '', now() FROM generate_series(1, 1002)`)
	if err := app.RotateKey(t.Context(), d.cfg, keyOptions(pseudonym.NameSeal, 0), io.Discard); !errors.Is(err, app.ErrNoKeyTicket) {
		t.Fatalf("sealed anew without a ticket: %v", err)
	}
	var told strings.Builder
	if err := app.KeyStatus(t.Context(), d.cfg, app.KeyOptions{Name: pseudonym.NameSeal}, &told); err != nil || !strings.Contains(told.String(), "more than 1000 epoch keys") {
		t.Errorf("%v: %s", err, told.String())
	}
	d.exec(t, "UPDATE vault.epoch_key SET opener_epoch = 2 WHERE id <> (SELECT min(id::text)::uuid FROM vault.epoch_key)")
	if err := app.DestroyKey(t.Context(), d.cfg, keyOptions(pseudonym.NameSeal, 1), io.Discard); !errors.Is(err, app.ErrKeyNeeded) {
		t.Fatalf("a pair was destroyed that an epoch key needs: %v", err)
	}
	d.exec(t, "UPDATE vault.epoch_key SET opener_epoch = 2")
	if err := app.DestroyKey(t.Context(), d.cfg, keyOptions(pseudonym.NameSeal, 1), io.Discard); err != nil {
		t.Fatal(err)
	}
	var oldest int
	if err := d.admin.QueryRow(t.Context(), "SELECT oldest_epoch FROM vault.seal_state WHERE environment = 'PROD'").Scan(&oldest); err != nil || oldest != 2 {
		t.Errorf("%v: epoch keys are recorded from pair %d on", err, oldest)
	}
}
