package pseudonym_test

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
)

// anyone is the index of somebody new.
func anyone(keys *pseudonym.Keys) pseudonym.LinkIndex {
	return keys.LinkIndex(pseudonym.NewIdentity("CF", hub.NewIdentifier(uuid.NewString())))
}

// sum is an index under the first key.
func sum(index pseudonym.LinkIndex) [32]byte {
	s, _ := index.Sum(1)
	return s
}

// bytesOf is the same as the database has it.
func bytesOf(index pseudonym.LinkIndex) []byte {
	s := sum(index)
	return s[:]
}

// mustResolve looks somebody up.
func mustResolve(tb testing.TB, v *pseudonym.Vault, index pseudonym.LinkIndex) pseudonym.Subject {
	tb.Helper()
	s, err := v.Resolve(tb.Context(), index)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// mustReserve reserves a subject for somebody.
func mustReserve(tb testing.TB, v *pseudonym.Vault, index pseudonym.LinkIndex, s pseudonym.Subject) pseudonym.Subject {
	tb.Helper()
	got, err := v.Reserve(tb.Context(), index, s, []byte("sealed for "+s.ID.String()))
	if err != nil {
		tb.Fatal(err)
	}
	return got
}

// same tells whether two answers are one subject with one secret.
func same(a, b pseudonym.Subject) bool { return a.ID == b.ID && a.Secret().Equal(b.Secret()) }

func TestReserveThenConfirm(t *testing.T) {
	t.Parallel()
	d, keys := newDatabase(t), newKeys(t, hub.Prod)
	v, index := d.vault(t, keys), anyone(keys)
	fresh := mustResolve(t, v, index)
	reserved := mustReserve(t, v, index, fresh)
	if !same(fresh, reserved) || reserved.New() || !reserved.Pending {
		t.Error("the reserved subject is not the new one, pending")
	}
	found := mustResolve(t, v, index)
	if !same(fresh, found) || found.New() || !found.Pending {
		t.Error("a pending subject is not reported")
	}
	for range 2 {
		if err := v.Confirm(t.Context(), reserved); err != nil {
			t.Fatal(err)
		}
	}
	found = mustResolve(t, v, index)
	if !same(fresh, found) || found.New() || found.Pending {
		t.Error("a confirmed subject is not found as such")
	}
	if late := mustReserve(t, v, index, pseudonym.NewSubject()); !same(fresh, late) || late.Pending {
		t.Error("a late reservation did not get the confirmed subject")
	}
	kept, err := v.SubjectOf(t.Context(), fresh.ID)
	secret := kept.Secret()
	if err != nil || !secret.Equal(fresh.Secret()) {
		t.Error("the secret differs", err)
	}
	if _, err := v.SubjectOf(t.Context(), uuid.New()); !errors.Is(err, pseudonym.ErrNoSubject) {
		t.Error(err)
	}
	if n := d.count(t, `SELECT count(*) FROM vault.subject WHERE state = 'confirmed' AND environment = 'PROD'`); n != 1 {
		t.Errorf("%d confirmed subjects", n)
	}
}

func TestConfirmOfAStrangerIsNoSubject(t *testing.T) {
	t.Parallel()
	d, keys := newDatabase(t), newKeys(t, hub.Prod)
	v := d.vault(t, keys)
	if err := v.Confirm(t.Context(), pseudonym.Subject{ID: uuid.New()}); !errors.Is(err, pseudonym.ErrNoSubject) {
		t.Error(err)
	}
}

// TestTwentyRacersReserveOneSubject races over two processes for each of many new identities.
func TestTwentyRacersReserveOneSubject(t *testing.T) {
	t.Parallel()
	d, keys := newDatabase(t), newKeys(t, hub.Prod)
	processes := []*pseudonym.Vault{d.vault(t, keys), d.vault(t, keys)}
	const identities, racers = 25, 20
	for range identities {
		index := anyone(keys)
		var wg sync.WaitGroup
		start := make(chan struct{})
		winners := make(chan pseudonym.Subject, racers)
		for r := range racers {
			v := processes[r%len(processes)]
			wg.Go(func() {
				<-start
				s, err := v.Resolve(t.Context(), index)
				if err == nil && (s.New() || s.Pending) {
					s, err = v.Reserve(t.Context(), index, s, []byte("sealed"))
				}
				if err == nil {
					err = v.Confirm(t.Context(), s)
				}
				if err != nil {
					t.Error(err)
				}
				winners <- s
			})
		}
		close(start)
		wg.Wait()
		first := <-winners
		for range racers - 1 {
			if s := <-winners; !same(first, s) {
				t.Fatal("two racers got two subjects for one identity")
			}
		}
	}
	if n := d.count(t, "SELECT count(*) FROM vault.subject"); n != identities {
		t.Errorf("%d subjects for %d identities", n, identities)
	}
}

// TestReservationsCrosswiseDoNotDeadlock has subjects with two links each, and processes that
// reserve them by one link, by the other and by both: batches without a common link meet at
// the same subjects, each in its own order of links.
func TestReservationsCrosswiseDoNotDeadlock(t *testing.T) {
	t.Parallel()
	d, keys := newDatabase(t), newKeys(t, hub.Prod)
	processes := []*pseudonym.Vault{d.vault(t, keys), d.vault(t, keys), d.vault(t, keys)}
	var first, second []pseudonym.LinkIndex
	for range 32 {
		first = append(first, anyone(keys))
		mustReserve(t, processes[0], first[len(first)-1], pseudonym.NewSubject())
	}
	for _, index := range slices.Backward(first) {
		second = append(second, anyone(keys))
		d.addLink(t, index, second[len(second)-1])
	}
	by := [][]pseudonym.LinkIndex{first, second, slices.Concat(first, second)}
	var wg sync.WaitGroup
	for p, v := range processes {
		for r := range 32 {
			wg.Go(func() {
				for i := range 60 {
					if _, err := v.Reserve(t.Context(), by[p][(i+r)%len(by[p])], pseudonym.NewSubject(), []byte("s")); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	wg.Wait()
	if n := d.count(t, deadlocks); n != 0 {
		t.Errorf("%d deadlocks", n)
	}
}

// deadlocks counts those of this database.
const deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"

// addLink lets alias stand for the subject of index, too.
func (d *database) addLink(t *testing.T, index, alias pseudonym.LinkIndex) {
	t.Helper()
	_, err := d.super.Exec(t.Context(), `INSERT INTO vault.subject_link (link_index, key_epoch, subject_id, sealed_identity, created_at) SELECT $1, 1, subject_id, sealed_identity, created_at
		FROM vault.subject_link WHERE link_index = $2`, bytesOf(alias), bytesOf(index))
	if err != nil {
		t.Fatal(err)
	}
}

func TestReserveRefusesNothing(t *testing.T) {
	t.Parallel()
	d, keys := newDatabase(t), newKeys(t, hub.Prod)
	v := d.vault(t, keys)
	if _, err := v.Reserve(t.Context(), anyone(keys), pseudonym.Subject{ID: uuid.New()}, []byte("x")); err == nil {
		t.Error("a subject without a secret was reserved")
	}
	if _, err := v.Reserve(t.Context(), anyone(keys), pseudonym.NewSubject(), nil); err == nil {
		t.Error("a subject without a way back was reserved")
	}
}

// TestEnvelopeByHand opens what the sealer sealed with a second implementation: epoch key and
// secret from the database, private key from its file, the rest by the description.
func TestEnvelopeByHand(t *testing.T) {
	t.Parallel()
	d, dir := newDatabase(t), keyDir(t, hub.Prod)
	keys := loadKeys(t, dir, hub.Prod)
	v := d.vault(t, keys)
	sealer := pseudonym.NewSealer(keys, v.RecordEpoch, time.Now)
	index := anyone(keys)
	subject := mustReserve(t, v, index, pseudonym.NewSubject())
	for _, text := range []string{"", "short", strings.Repeat("<Cognome>Bianchi</Cognome>", 100)} {
		sealed, err := sealer.Seal(t.Context(), subject, label(), []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		var record pseudonym.SealedEpochKey
		var secret []byte
		err = d.super.QueryRow(t.Context(), `SELECT opener_epoch, sealed_key FROM vault.epoch_key WHERE id = $1 AND environment = 'PROD'`,
			[16]byte(sealed.Epoch)).Scan(&record.Opener, &record.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.super.QueryRow(t.Context(), `SELECT secret FROM vault.subject WHERE id = $1`, [16]byte(subject.ID)).Scan(&secret); err != nil {
			t.Fatal(err)
		}
		record.ID = sealed.Epoch
		epochKey := openByStandard(t, dir, record)
		packing, plain := openByHand(t, epochKey, secret, byte(hub.Prod), subject.ID, sealed.Bytes)
		if packing == 1 {
			if plain, err = dictionary(t).Decode(nil, plain); err != nil {
				t.Fatal(err)
			}
		}
		if string(plain) != text {
			t.Errorf("%d bytes come back as %d", len(text), len(plain))
		}
	}
	if n := d.count(t, "SELECT count(*) FROM vault.epoch_key"); n != 1 {
		t.Errorf("%d epoch keys", n)
	}
}

// TestDumpAloneOpensNothing looks at every byte of the vault: neither an identity nor an epoch
// key nor the opener's private key stands in it.
func TestDumpAloneOpensNothing(t *testing.T) {
	t.Parallel()
	d, dir := newDatabase(t), keyDir(t, hub.Prod)
	keys := loadKeys(t, dir, hub.Prod)
	v := d.vault(t, keys)
	sealer := pseudonym.NewSealer(keys, v.RecordEpoch, time.Now)
	identity := pseudonym.NewIdentity("CF", hub.NewIdentifier("BNCLCU12C15D612V"))
	index := keys.LinkIndex(identity)
	subject := mustResolve(t, v, index)
	sealed, err := sealer.Seal(t.Context(), subject, pseudonym.Label{Kind: pseudonym.SealedIdentity, Message: uuid.New()}, identity.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Reserve(t.Context(), index, subject, sealed.Bytes); err != nil {
		t.Fatal(err)
	}
	var dump []byte
	err = d.super.QueryRow(t.Context(), `SELECT
		(SELECT string_agg(link_index || sealed_identity, '') FROM vault.subject_link) ||
		(SELECT string_agg(secret, '') FROM vault.subject) ||
		(SELECT string_agg(sealed_key, '') FROM vault.epoch_key)`).Scan(&dump)
	if err != nil {
		t.Fatal(err)
	}
	record := pseudonym.SealedEpochKey{ID: sealed.Epoch, Opener: 1}
	if err := d.super.QueryRow(t.Context(), `SELECT sealed_key FROM vault.epoch_key`).Scan(&record.Bytes); err != nil {
		t.Fatal(err)
	}
	for name, secret := range map[string][]byte{
		"identity":  []byte("BNCLCU12C15D612V"),
		"epoch key": openByStandard(t, dir, record)[:16],
		"link key":  rawKey(t, filepath.Join(dir, "link-1.json"))[:16],
	} {
		if bytes.Contains(dump, secret) {
			t.Errorf("the dump holds the %s", name)
		}
	}
	// And with the opener's key the identity comes back.
	opener, err := pseudonym.LoadOpenerKeys(filepath.Join(dir, "opener"), hub.Prod)
	if err != nil {
		t.Fatal(err)
	}
	key, err := opener.EpochKey(record)
	if err != nil {
		t.Fatal(err)
	}
	_, plain, err := key.Open(subject.ID, subject.Secret(), sealed.Bytes)
	if err != nil || string(plain) != "CF\x1fBNCLCU12C15D612V" {
		t.Error("the way back is lost", err)
	}
}

func TestVaultRoleIsConfined(t *testing.T) {
	t.Parallel()
	d, keys := newDatabase(t), newKeys(t, hub.Prod)
	v := d.vault(t, keys)
	s := mustReserve(t, v, anyone(keys), pseudonym.NewSubject())
	role, app := open(t, d.Vault, ""), open(t, d.App, "")
	denied := func(who string, err error, sql string) {
		t.Helper()
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.Code != "42501" {
			t.Errorf("%s may run %q: %v", who, sql, err)
		}
	}
	for _, sql := range []string{
		`SELECT * FROM hub.event`,
		`INSERT INTO hub.event VALUES (NULL)`,
		`SELECT * FROM vault.epoch_key`,
		`UPDATE vault.epoch_key SET sealed_key = ''`,
		`DELETE FROM vault.epoch_key`,
		`UPDATE vault.subject SET secret = sha256('x')`,
		`UPDATE vault.subject SET id = gen_random_uuid()`,
		`UPDATE vault.subject_link SET subject_id = gen_random_uuid()`,
		`UPDATE vault.subject_link SET sealed_identity = ''`,
		`TRUNCATE vault.subject CASCADE`,
		`CREATE TABLE vault.copy (x int)`,
		`DROP FUNCTION vault.now()`,
		`CREATE ROLE another`,
		`COPY vault.subject TO PROGRAM 'cat'`,
		`SET ROLE vault_owner`,
	} {
		_, err := role.Exec(t.Context(), sql)
		if strings.HasPrefix(sql, "DROP") {
			if err == nil {
				t.Errorf("hub_vault may run %q", sql)
			}
			continue
		}
		denied("hub_vault", err, sql)
	}
	for _, sql := range []string{
		`SELECT * FROM vault.subject`, `SELECT * FROM vault.subject_link`, `SELECT vault.now()`,
		`DELETE FROM vault.subject`, `SELECT * FROM vault.epoch_key`,
	} {
		_, err := app.Exec(t.Context(), sql)
		denied("hub_app", err, sql)
	}
	if got, err := v.SubjectOf(t.Context(), s.ID); err != nil || !same(s, got) {
		t.Error("the subject did not survive", err)
	}
}

func TestDatabaseErrorsQuoteNothing(t *testing.T) {
	t.Parallel()
	d, keys := newDatabase(t), newKeys(t, hub.Prod)
	v := d.vault(t, keys)
	if _, err := d.super.Exec(t.Context(), `ALTER TABLE vault.subject_link ADD CHECK (sealed_identity <> 'canary')`); err != nil {
		t.Fatal(err)
	}
	check := func(err error, says string) {
		t.Helper()
		var own *hub.Error
		if !errors.As(err, &own) || own.Kind != hub.Unavailable {
			t.Fatalf("%v", err)
		}
		var pg *pgconn.PgError
		if errors.As(err, &pg) || strings.Contains(err.Error(), "canary") || !strings.Contains(err.Error(), says) {
			t.Errorf("%q, want %q", err, says)
		}
	}
	index := anyone(keys)
	_, err := v.Reserve(t.Context(), index, pseudonym.NewSubject(), []byte("canary"))
	check(err, "SQLSTATE 23514")
	if _, err := d.super.Exec(t.Context(), `ALTER TABLE vault.subject RENAME TO gone`); err != nil {
		t.Fatal(err)
	}
	_, err = v.Reserve(t.Context(), index, pseudonym.NewSubject(), []byte("canary"))
	check(err, "SQLSTATE 42P01")
	check(v.Confirm(t.Context(), pseudonym.NewSubject()), "SQLSTATE 42P01")
	_, err = v.SubjectOf(t.Context(), uuid.New())
	check(err, "SQLSTATE 42P01")
	_, err = v.Sweep(t.Context(), nil)
	check(err, "SQLSTATE 42P01")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = v.Reserve(ctx, index, pseudonym.NewSubject(), []byte("canary"))
	check(err, "canceled")
}

func TestStoppedVaultSaysSo(t *testing.T) {
	t.Parallel()
	d, keys := newDatabase(t), newKeys(t, hub.Prod)
	v := pseudonym.NewVault(open(t, d.Vault, ""), keys)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); v.Run(ctx) }()
	cancel()
	<-done
	_, err := v.Reserve(t.Context(), anyone(keys), pseudonym.NewSubject(), []byte("sealed"))
	var own *hub.Error
	if !errors.As(err, &own) || own.Kind != hub.Unavailable || own.Public[0].Code != hub.CodeStopping {
		t.Error(err)
	}
}

// TestLostConnectionsAreErrorsNotAnswers ends the vault's sessions all the time: every call is
// either right or Unavailable, and what was answered stands.
func TestLostConnectionsAreErrorsNotAnswers(t *testing.T) {
	t.Parallel()
	d, keys := newDatabase(t), newKeys(t, hub.Prod)
	v := d.vault(t, keys)
	type reserved struct {
		index   pseudonym.LinkIndex
		subject pseudonym.Subject
	}
	answered := make(chan reserved, 10_000)
	stop := make(chan struct{})
	var killers, callers sync.WaitGroup
	killed, failed := 0, 0
	var mu sync.Mutex
	killers.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(3 * time.Millisecond):
				killed += d.count(t, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
					WHERE usename = 'hub_vault' AND datname = current_database() AND state = 'active'`)
			}
		}
	})
	for range 16 {
		callers.Go(func() {
			for range 100 {
				index := anyone(keys)
				s, err := v.Reserve(t.Context(), index, pseudonym.NewSubject(), []byte("x"))
				var own *hub.Error
				switch {
				case err == nil:
					answered <- reserved{index, s}
				case errors.As(err, &own) && own.Kind == hub.Unavailable:
					mu.Lock()
					failed++
					mu.Unlock()
				default:
					t.Error(err)
				}
			}
		})
	}
	callers.Wait()
	close(stop)
	killers.Wait()
	close(answered)
	n := 0
	for r := range answered {
		// A session killed at the very end is met here once; it is replaced then.
		got, err := v.Resolve(t.Context(), r.index)
		if err != nil {
			got = mustResolve(t, v, r.index)
		}
		if !same(got, r.subject) {
			t.Fatal("an answered reservation is not there")
		}
		n++
	}
	t.Logf("%d sessions ended, %d reservations answered, %d refused", killed, n, failed)
}
