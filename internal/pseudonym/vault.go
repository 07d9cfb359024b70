package pseudonym

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/pkg/batch"
)

// most is how many calls share one statement.
const most = 128

// Vault remembers which subject stands for a link index. Its pool logs in as hub_vault, which
// sees the schema vault and nothing else. Calls that wait at the same time share a statement
// (pkg/batch), so Run must be running. Every error is a *hub.Error without content, but for
// ErrNoSubject and ErrSplit.
type Vault struct {
	pool        *pgxpool.Pool
	lanes       Lanes
	environment hub.Environment
	reserve     *batch.Group[Reservation, Subject]
	confirm     *batch.Group[Subject, struct{}]
	subjects    *batch.Group[uuid.UUID, Subject]
}

// Under load a batch of look-ups costs the server more than the calls in it, so that they wait a
// moment for each other once crowd of them shared the batch before. A lone sender does not.
const (
	crowdLinger = 4 * time.Millisecond
	crowd       = 4
	// confirmLinger is longer: a confirmation follows the answer.
	confirmLinger = 40 * time.Millisecond
)

// NewVault makes the vault of the keys' environment.
func NewVault(pool *pgxpool.Pool, keys *Keys) *Vault {
	v := &Vault{pool: pool, lanes: Lanes{pool, pool}, environment: keys.environment}
	v.reserve = batch.New(most, v.reserveAll).LingerInCrowd(crowdLinger, crowd)
	v.confirm = batch.New(most, v.confirmAll).LingerInCrowd(confirmLinger, crowd)
	v.subjects = batch.New(most, v.subjectsOf).LingerInCrowd(crowdLinger, crowd)
	return v
}

// Lanes are where the calls go that every event makes.
type Lanes struct {
	Reserve, Subjects *pgxpool.Pool
}

// UseLanes has these calls use connections of their own. Call it before Run.
func (v *Vault) UseLanes(lanes Lanes) { v.lanes = lanes }

// Run serves the calls of the other methods until ctx ends; later ones are answered that the
// hub is stopping.
func (v *Vault) Run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { v.reserve.Run(ctx) })
	running.Go(func() { v.confirm.Run(ctx) })
	running.Go(func() { v.subjects.Run(ctx) })
	running.Wait()
}

// sums are the hashes that there are.
func (l LinkIndex) sums() [][]byte {
	all := make([][]byte, 0, mostLinkKeys)
	for i := range l.of {
		if l.of[i].epoch != 0 {
			all = append(all, l.of[i].sum[:])
		}
	}
	return all
}

// among finds what was read for an index. While a key is rotated an identity may have two rows, which
// name the same subject.
func among(found map[[32]byte]Subject, index LinkIndex) (Subject, bool) {
	for _, of := range index.of {
		if s, ok := found[of.sum]; ok && of.epoch != 0 {
			return s, true
		}
	}
	return Subject{}, false
}

// SecretsOf gives subjects' secrets in their order, for the salts of repeated receipts, in one trip. A
// subject that the vault does not hold has a zero secret.
func (v *Vault) SecretsOf(ctx context.Context, subjects []uuid.UUID) ([]Secret, error) {
	secrets := make([]Secret, len(subjects))
	for i, r := range v.subjects.DoAll(ctx, subjects) {
		if r.Err != nil {
			return nil, unavailable(r.Err)
		}
		secrets[i] = r.Value.secret
	}
	return secrets, nil
}

// SubjectsOf is SubjectOf for many, in their order. ErrNoSubject if the vault does not hold one.
func (v *Vault) SubjectsOf(ctx context.Context, subjects []uuid.UUID) ([]Subject, error) {
	found := make([]Subject, len(subjects))
	for i, r := range v.subjects.DoAll(ctx, subjects) {
		if r.Err != nil {
			return nil, unavailable(r.Err)
		}
		if found[i] = r.Value; found[i].secret.IsZero() {
			return nil, ErrNoSubject
		}
	}
	return found, nil
}

// SubjectOf gives a subject by its id, as Reserve does by an identity. ErrNoSubject if the
// vault does not hold it. What it returns cannot be restored by Confirm.
func (v *Vault) SubjectOf(ctx context.Context, subject uuid.UUID) (Subject, error) {
	s, err := v.subjects.Do(ctx, subject)
	if err != nil {
		return Subject{}, unavailable(err)
	}
	if s.secret.IsZero() {
		return Subject{}, ErrNoSubject
	}
	return s, nil
}

const subjectsSQL = `
SELECT id, secret, state = 'pending'
FROM vault.subject
WHERE id = ANY ($1::uuid[])`

// subjectsOf reads the subjects that are asked for, in one round trip.
func (v *Vault) subjectsOf(ctx context.Context, asked []uuid.UUID) []batch.Result[Subject] {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	found := make(map[uuid.UUID]Subject, len(asked))
	rows, err := v.lanes.Subjects.Query(ctx, subjectsSQL, plain(asked))
	if err == nil {
		var s Subject
		var secret []byte
		_, err = pgx.ForEachRow(rows, []any{(*[16]byte)(&s.ID), &secret, &s.Pending}, func() error {
			s.secret, _ = secretOf(secret)
			found[s.ID] = s
			return nil
		})
	}
	return each(asked, err, func(id uuid.UUID) (Subject, error) { return found[id], nil })
}

// The row's lock keeps whoever closes a pair waiting until this epoch key stands, and the other way round.
const epochSQL = `
WITH st AS MATERIALIZED (
    SELECT s.environment FROM vault.seal_state s WHERE s.environment = $2 AND s.oldest_epoch <= $3 FOR SHARE
)
INSERT INTO vault.epoch_key (id, environment, opener_epoch, sealed_key, created_at)
SELECT $1, st.environment, $3, $4, vault.now() FROM st`

// RecordEpoch stores a sealed epoch key; it is a Recorder. One that is sealed to a pair that was destroyed
// is refused.
func (v *Vault) RecordEpoch(ctx context.Context, k SealedEpochKey) error {
	tag, err := v.pool.Exec(ctx, epochSQL, [16]byte(k.ID), v.environment.String(), k.Opener, k.Bytes)
	if err == nil && tag.RowsAffected() != 1 {
		err = errPairClosed
	}
	if err != nil {
		return unavailable(err)
	}
	return nil
}

// each makes the results of a batch: the same error for all, or what answer gives for each.
func each[Q, R any](asked []Q, err error, answer func(Q) (R, error)) []batch.Result[R] {
	results := make([]batch.Result[R], len(asked))
	for i, q := range asked {
		if err != nil {
			results[i].Err = unavailable(err)
			continue
		}
		results[i].Value, results[i].Err = answer(q)
	}
	return results
}

// plain is how the driver takes ids.
func plain(ids []uuid.UUID) [][16]byte {
	out := make([][16]byte, len(ids))
	for i, id := range ids {
		out[i] = id
	}
	return out
}
