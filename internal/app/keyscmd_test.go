package app_test

import (
	"encoding/json"
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

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/app"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
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

// TestKeysRotateNationNeedsSISS wants no key that nobody can bring into use.
func TestKeysRotateNationNeedsSISS(t *testing.T) {
	t.Parallel()
	d := keyDesk(t)
	name := pseudonym.NameOfCodes(pseudonym.Nation)
	err := app.RotateKey(t.Context(), d.cfg, keyOptions(name, 0), io.Discard)
	if err == nil || !strings.Contains(err.Error(), "siss.url") || !strings.Contains(err.Error(), "--config") {
		t.Errorf("rotated without SISS: %v", err)
	}
	if made, err := filepath.Glob(filepath.Join(d.cfg.Keys.Dir, name+"-2*")); err != nil || len(made) > 0 {
		t.Errorf("made %v, %v", made, err)
	}
	if states := d.keyStates(t, name); len(states) > 0 {
		t.Errorf("the database has %v", states)
	}
}

// TestAnEpochOfCodesIsKeptForWhatSISSIsToBeTold: SISS's codes are made when a communication is sent, so that their
// key stays while a join waits, while one was refused, and while one stands that may have to be taken back in
// them, although nothing else is left of the children; told of later codes, SISS takes it back in these.
func TestAnEpochOfCodesIsKeptForWhatSISSIsToBeTold(t *testing.T) {
	t.Parallel()
	d := keyDesk(t)
	d.delivery(t, hub.Prod, hub.Delivered)
	d.delivery(t, hub.Prod, hub.Delivered)
	store, err := postgres.Open(t.Context(), postgres.Config{DSN: d.cfg.Database.URL.Reveal()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	pair := postgres.JoinedPair{Entry: uuid.New()}
	if err := d.admin.QueryRow(t.Context(), "SELECT min(subject_id::text)::uuid, max(subject_id::text)::uuid FROM hub.case_file").Scan(&pair.One, &pair.Other); err != nil {
		t.Fatal(err)
	}
	if planned, err := store.PlanJoins(t.Context(), hub.Prod, []postgres.JoinedPair{pair}); err != nil || len(planned) != 1 {
		t.Fatal(planned, err)
	}
	if _, err := pseudonym.AddNamed(d.cfg.Keys.Dir, hub.Prod, "code-nation", time.Now()); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		`INSERT INTO hub.key_epoch (environment, name, epoch, state, made_at, active_at)
		SELECT 1, 'code-nation', u.epoch, u.state, clock.now, clock.now
		FROM (VALUES (1, 'former'), (2, 'active')) AS u (epoch, state), (SELECT now() AS now) AS clock`,
		"DELETE FROM hub.delivery", "DELETE FROM hub.event", "DELETE FROM hub.case_file",
	} {
		d.exec(t, statement)
	}
	refused := func(what string) {
		t.Helper()
		err := app.DestroyKey(t.Context(), d.cfg, keyOptions("code-nation", 1), io.Discard)
		if !errors.Is(err, app.ErrKeyNeeded) || !strings.Contains(err.Error(), " pairs of codes told to SISS") {
			t.Errorf("%s: %v", what, err)
		}
	}
	refused("a join waits")
	d.exec(t, "UPDATE hub.code_message SET state = 'refused', settled_at = now()")
	refused("a join was refused")
	d.exec(t, "UPDATE hub.code_message SET state = 'told'")
	refused("a join stands")
	// One of the two is told of later.
	d.exec(t, "INSERT INTO hub.code_message (id, environment, to_epoch, state, due_at, created_at) SELECT $1, 1, 2, 'pending', now, now FROM now()", pair.Entry)
	d.exec(t, "INSERT INTO hub.code_change (subject_id, to_epoch, from_epoch, message_id) SELECT u, 2, 1, $1 FROM unnest($2::uuid[]) AS u",
		pair.Entry, []uuid.UUID{pair.One, pair.Other})
	d.exec(t, "UPDATE hub.code_join SET joined_epoch = 2")
	refused("later codes are to be told")
	d.exec(t, "UPDATE hub.code_message SET state = 'told', settled_at = now()")
	if err := app.DestroyKey(t.Context(), d.cfg, keyOptions("code-nation", 1), io.Discard); err != nil {
		t.Fatal(err)
	}
	entry := journal.Entry{ID: uuid.Must(uuid.NewV7()), At: time.Now(), Kind: journal.SubjectsSeparated, Environment: hub.Prod, Actor: "anna", Reason: "prova"}
	if err := store.Separate(t.Context(), hub.Prod, []postgres.JoinedPair{pair}, entry); err != nil {
		t.Fatal(err)
	}
	var one, other int32
	err = d.admin.QueryRow(t.Context(), "SELECT subject_epoch, joined_epoch FROM hub.code_join WHERE motive = 'SEPARAZIONE'").Scan(&one, &other)
	if err != nil || one != 2 || other != 2 {
		t.Errorf("separated by codes of epochs %d and %d: %v", one, other, err)
	}
}

// TestKeyStatusTellsWhatIsSo: of a key that never was, nothing but which there are; of the first epoch when its file
// was made, also after a rotation; and that who holds the key of the link uses it.
func TestKeyStatusTellsWhatIsSo(t *testing.T) {
	t.Parallel()
	d := keyDesk(t)
	made := time.Date(2025, 3, 4, 5, 6, 7, 0, time.UTC)
	d.cfg.Keys.Dir = filepath.Join(t.TempDir(), "keys")
	if err := pseudonym.InitKeys(d.cfg.Keys.Dir, hub.Prod, made); err != nil {
		t.Fatal(err)
	}
	var told strings.Builder
	if err := app.KeyStatus(t.Context(), d.cfg, app.KeyOptions{Name: "nonsense"}, &told); !errors.Is(err, app.ErrKeyName) || told.Len() > 0 {
		t.Errorf("%v: %s", err, told.String())
	}
	region := pseudonym.NameOfCodes(pseudonym.Region)
	if err := app.RotateKey(t.Context(), d.cfg, keyOptions(region, 0), io.Discard); err != nil {
		t.Fatal(err)
	}
	d.exec(t, `INSERT INTO hub.key_holder (environment, instance, name, epoch, in_use, seen_at)
		VALUES (1, gen_random_uuid(), 'link', 1, false, now() + interval '1 hour')`)
	for name, want := range map[string]func(app.KeyLine) bool{
		region:             func(l app.KeyLine) bool { return l.MadeAt.Equal(made) && l.ActiveAt.Equal(made) },
		pseudonym.NameLink: func(l app.KeyLine) bool { return l.Running == 1 && l.Holding == 1 && l.Using == 1 },
	} {
		told.Reset()
		if err := app.KeyStatus(t.Context(), d.cfg, app.KeyOptions{Name: name, JSON: true}, &told); err != nil {
			t.Fatal(err)
		}
		var line app.KeyLine // the first epoch's
		if err := json.NewDecoder(strings.NewReader(told.String())).Decode(&line); err != nil || line.Epoch != 1 || !want(line) {
			t.Errorf("%s: %v: %s", name, err, told.String())
		}
	}
}
