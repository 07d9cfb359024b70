package pseudonym

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/pkg/batch"
)

// Reservation asks that a subject stand for an identity.
type Reservation struct {
	// Index is the identity's.
	Index LinkIndex
	// Subject is a new one (NewSubject), which counts if the vault holds none for the identity.
	Subject Subject
	// SealedIdentity is Identity.Bytes sealed for Subject.
	SealedIdentity []byte
}

// Reserve makes a new subject stand for an identity, as pending, in a transaction of its own, unless another stands
// for it already, and returns the one that counts. sealedIdentity is Identity.Bytes sealed for the given
// subject. A subject that is pending already is thereby kept from the sweep for another ten
// minutes, so Reserve comes before every acceptance that opens a case.
func (v *Vault) Reserve(ctx context.Context, index LinkIndex, subject Subject, sealedIdentity []byte) (Subject, error) {
	all, err := v.ReserveAll(ctx, []Reservation{{index, subject, sealedIdentity}})
	if err != nil {
		return Subject{}, err
	}
	return all[0], nil
}

// ReserveAll is Reserve for many identities in one transaction.
func (v *Vault) ReserveAll(ctx context.Context, asked []Reservation) ([]Subject, error) {
	for _, r := range asked {
		if r.Subject.secret.IsZero() || len(r.SealedIdentity) == 0 {
			return nil, hub.NewError(hub.Internal, hub.CodeInternal, errors.New("vault: nothing to reserve"))
		}
	}
	all := make([]Subject, len(asked))
	for i, r := range v.reserve.DoAll(ctx, asked) {
		if r.Err != nil {
			return nil, unavailable(r.Err)
		}
		all[i] = r.Value
	}
	return all, nil
}

// The transaction goes by one key of the link index from here to its end (vault.link_state).
const goBySQL = `
SELECT pg_advisory_xact_lock_shared(hashtextextended('sinbahub/link', $1))`

// lockOf is the number of an environment's lock.
func lockOf(env hub.Environment) int64 { return int64(env) }

// Links are written first, in the order of their index, so that two batches never wait for each
// other crosswise. DO UPDATE takes the row's lock where DO NOTHING would overlook a racer. The
// foreign key is checked at the statement's end, when the subjects stand too. The index of the key
// that decides is written, and while another key comes into use, for who won, the other one's too:
// without it (an index made before that key came) the row is left to be indexed anew. An index that
// lacks the key that decides is no index.
//
// The link of a confirmed subject is only read: no sweep takes it, and whatever else does may come just after
// the reservation as well. Its subject is still locked by the next statement, so that the transaction waits
// for the disk whoever the identity is: an ente must not see in the time that another one knows the child.
const reserveSQL = `
WITH i AS MATERIALIZED (
    SELECT CASE st.active_epoch WHEN t.epoch_a THEN t.sum_a WHEN t.epoch_b THEN t.sum_b END AS link_index,
        CASE st.next_epoch WHEN t.epoch_a THEN t.sum_a WHEN t.epoch_b THEN t.sum_b END AS twin,
        st.active_epoch, st.next_epoch, t.subject_id, t.secret, t.sealed_identity
    FROM vault.link_state st
    CROSS JOIN unnest($1::integer[], $2::bytea[], $3::integer[], $4::bytea[], $5::uuid[], $6::bytea[], $7::bytea[])
        AS t (epoch_a, sum_a, epoch_b, sum_b, subject_id, secret, sealed_identity)
    WHERE st.environment = $8 AND coalesce((
        SELECT s.state FROM vault.subject_link o
        JOIN vault.subject s ON s.id = o.subject_id
        WHERE o.link_index = CASE st.active_epoch WHEN t.epoch_a THEN t.sum_a WHEN t.epoch_b THEN t.sum_b END
    ), 'pending') = 'pending'
), l AS (
    INSERT INTO vault.subject_link (link_index, key_epoch, subject_id, sealed_identity, created_at, reindexed_epoch)
    SELECT link_index, active_epoch, subject_id, sealed_identity, vault.now(),
        CASE WHEN twin IS NOT NULL THEN next_epoch END
    FROM i ORDER BY link_index
    ON CONFLICT (link_index) DO UPDATE SET link_index = excluded.link_index
    RETURNING link_index, subject_id
), twins AS (
    INSERT INTO vault.subject_link (link_index, key_epoch, subject_id, sealed_identity, created_at)
    SELECT i.twin, i.next_epoch, i.subject_id, i.sealed_identity, vault.now()
    FROM i JOIN l USING (link_index, subject_id)
    WHERE i.twin IS NOT NULL
    ORDER BY i.twin
    ON CONFLICT (link_index) DO NOTHING
)
INSERT INTO vault.subject (id, environment, secret, created_at, reserved_at)
SELECT i.subject_id, $8, i.secret, c.now, c.now
FROM i JOIN l USING (link_index, subject_id), (SELECT vault.now() AS now) c
ORDER BY i.subject_id
ON CONFLICT (id) DO NOTHING`

// A statement of its own in the same transaction: only a new snapshot shows the subject of a
// racer that committed while the first statement waited for it. Subjects are locked in the
// order of their id. Links of pending ones stay locked, which is what keeps the sweep away. A time that
// is half a minute old at most is left: of the ten minutes enough remain. (The update asks k for
// the state: asked of s, the planner would read the index of all pending rows for each batch.)
const reservedSQL = `
WITH k AS MATERIALIZED (
    SELECT l.link_index, l.sealed_identity, s.id, s.secret, s.state = 'pending' AS pending, s.reserved_at
    FROM vault.subject_link l
    JOIN vault.subject s ON s.id = l.subject_id
    WHERE l.link_index = ANY ($1::bytea[])
        -- of two rows of one identity the one that decides
        AND l.key_epoch = (SELECT st.active_epoch FROM vault.link_state st WHERE st.environment = $2)
    ORDER BY s.id
    FOR NO KEY UPDATE OF s
), u AS (
    UPDATE vault.subject s SET reserved_at = vault.now()
    FROM k
    WHERE s.id = k.id AND k.pending AND k.reserved_at < (SELECT vault.now()) - interval '30 seconds'
)
SELECT link_index, sealed_identity, id, secret, pending FROM k`

// reserveTries bounds how often a reservation is made that met a deadlock, or a confirmed subject whose link
// was taken away between its two statements.
const reserveTries = 3

// lacking tells whether one of the reservations found no row.
func lacking(found map[[32]byte]Subject, asked []Reservation) bool {
	return slices.ContainsFunc(asked, func(r Reservation) bool {
		_, ok := among(found, r.Index)
		return !ok
	})
}

// reserveAll makes the reservations that wait, in one transaction and one round trip.
func (v *Vault) reserveAll(ctx context.Context, asked []Reservation) []batch.Result[Subject] {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	found, err := v.reserveOnce(ctx, asked)
	for range reserveTries - 1 {
		if err == nil && !lacking(found, asked) || err != nil && !repeatable(err) {
			break
		}
		found, err = v.reserveOnce(ctx, asked)
	}
	return each(asked, err, func(r Reservation) (Subject, error) {
		s, ok := among(found, r.Index)
		if !ok {
			return Subject{}, hub.NewError(hub.Internal, hub.CodeInternal, errors.New("vault: reserved row not found"))
		}
		s.link = r.Index
		return s, nil
	})
}

// reserveOnce tries the transaction once.
func (v *Vault) reserveOnce(ctx context.Context, asked []Reservation) (map[[32]byte]Subject, error) {
	// One row for each link: of several reservations in a batch the first one's subject counts. Of two
	// that were made while a key came or went one hash may be the same, and not both.
	seen := make(map[[32]byte]bool, len(asked))
	var rows linkColumns
	ids := make([][16]byte, 0, len(asked))
	secrets, identities := make([][]byte, 0, len(asked)), make([][]byte, 0, len(asked))
	for i := range asked {
		known := false
		for _, sum := range asked[i].Index.sums() {
			known = known || seen[[32]byte(sum)]
			seen[[32]byte(sum)] = true
		}
		if known {
			continue
		}
		rows.add(&asked[i].Index)
		ids, secrets = append(ids, asked[i].Subject.ID), append(secrets, asked[i].Subject.secret.reveal())
		identities = append(identities, asked[i].SealedIdentity)
	}
	var b pgx.Batch // one implicit transaction, committed by the batch's end
	b.Queue(goBySQL, lockOf(v.environment))
	b.Queue(reserveSQL, rows.epochs[0], rows.sums[0], rows.epochs[1], rows.sums[1], ids, secrets, identities, v.environment.String())
	b.Queue(reservedSQL, slices.Concat(rows.sums[0], rows.sums[1]), v.environment.String())
	results := v.lanes.Reserve.SendBatch(ctx, &b)
	found, err := readReserved(results)
	if closeErr := results.Close(); err == nil {
		err = closeErr
	}
	return found, err
}

// linkColumns are indexes as the statements take them.
type linkColumns struct {
	epochs [mostLinkKeys][]int32
	sums   [mostLinkKeys][][]byte
}

func (c *linkColumns) add(index *LinkIndex) {
	for i := range index.of {
		var sum []byte
		if index.of[i].epoch != 0 {
			sum = index.of[i].sum[:]
		}
		c.epochs[i], c.sums[i] = append(c.epochs[i], index.of[i].epoch), append(c.sums[i], sum)
	}
}

// readReserved reads the answers of the three statements.
func readReserved(results pgx.BatchResults) (map[[32]byte]Subject, error) {
	for range 2 {
		if _, err := results.Exec(); err != nil {
			return nil, err
		}
	}
	rows, err := results.Query()
	if err != nil {
		return nil, err
	}
	return scanReserved(rows)
}

// scanReserved reads rows of link index, sealed identity, subject's id, secret and whether it is pending.
func scanReserved(rows pgx.Rows) (map[[32]byte]Subject, error) {
	found := map[[32]byte]Subject{}
	var index, identity, secret []byte
	var s Subject
	_, err := pgx.ForEachRow(rows, []any{&index, &identity, (*[16]byte)(&s.ID), &secret, &s.Pending}, func() error {
		s.identity = bytes.Clone(identity)
		s.secret, _ = secretOf(secret)
		found[[32]byte(index)] = s
		return nil
	})
	return found, err
}

// Confirm makes a reserved subject stay, after the acceptance of an event committed. It may be
// repeated. If a sweep took the subject although its event came (a process stood still for
// more than ten minutes), it is written again, so that what was sealed for it can be opened,
// and with it the link, if the subject is the one that Reserve returned; if another subject
// meanwhile took the link, that one keeps it and the error is ErrSplit, which somebody must
// look at. After any other error the next sweep confirms the subject, as its event exists.
func (v *Vault) Confirm(ctx context.Context, subject Subject) error {
	return v.ConfirmAll(ctx, []Subject{subject})[0]
}

// ConfirmAll is Confirm for many subjects in one trip, with an error for each.
func (v *Vault) ConfirmAll(ctx context.Context, subjects []Subject) []error {
	all := make([]error, len(subjects))
	for i, r := range v.confirm.DoAll(ctx, subjects) {
		all[i] = r.Err
		if r.Err != nil && !errors.Is(r.Err, ErrSplit) && !errors.Is(r.Err, ErrNoSubject) {
			all[i] = unavailable(r.Err)
		}
	}
	return all
}

// Rows are locked in the order of their id, as everywhere.
const confirmSQL = `
WITH k AS MATERIALIZED (
    SELECT id, state = 'pending' AS pending
    FROM vault.subject
    WHERE id = ANY ($1::uuid[])
    ORDER BY id
    FOR NO KEY UPDATE
), u AS (
    UPDATE vault.subject s SET state = 'confirmed', confirmed_at = vault.now()
    FROM k
    WHERE s.id = k.id AND k.pending
)
SELECT id FROM k`

// confirmAll confirms what waits, in one round trip.
func (v *Vault) confirmAll(ctx context.Context, asked []Subject) []batch.Result[struct{}] {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ids := make([]uuid.UUID, len(asked))
	for i := range asked {
		ids[i] = asked[i].ID
	}
	there, err := v.confirmIDs(ctx, ids)
	if repeatable(err) {
		there, err = v.confirmIDs(ctx, ids)
	}
	return each(asked, err, func(s Subject) (struct{}, error) {
		if there[s.ID] {
			return struct{}{}, nil
		}
		return struct{}{}, v.restore(ctx, s)
	})
}

// confirmIDs tells which of the subjects are there, now confirmed.
func (v *Vault) confirmIDs(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]bool, error) {
	rows, err := v.pool.Query(ctx, confirmSQL, plain(ids))
	if err != nil {
		return nil, err
	}
	there := make(map[uuid.UUID]bool, len(ids))
	var id [16]byte
	_, err = pgx.ForEachRow(rows, []any{&id}, func() error {
		there[id] = true
		return nil
	})
	return there, err
}

// Confirmed at once: between two statements another sweep, which asked before the event came, could
// take the subject again.
const restoreSubjectSQL = `
INSERT INTO vault.subject (id, environment, secret, state, created_at, reserved_at, confirmed_at)
SELECT $1, $2, $3, 'confirmed', c.now, c.now AS reserved, c.now AS confirmed FROM (SELECT vault.now() AS now) c
ON CONFLICT (id) DO UPDATE SET state = 'confirmed', confirmed_at = coalesce(subject.confirmed_at, excluded.confirmed_at)`

// restore writes a subject again that was swept although its event came, and confirms it.
func (v *Vault) restore(ctx context.Context, s Subject) error {
	if s.secret.IsZero() {
		return ErrNoSubject
	}
	id := [16]byte(s.ID)
	// The secret first: whatever happens next, the accepted event can be opened.
	if _, err := v.pool.Exec(ctx, restoreSubjectSQL, id, v.environment.String(), s.secret.reveal()); err != nil {
		return unavailable(err)
	}
	if len(s.identity) == 0 {
		return ErrSplit // without the way back there is no link
	}
	var standing [16]byte
	err := pgx.BeginFunc(ctx, v.pool, func(tx pgx.Tx) (err error) {
		standing, _, err = v.link(ctx, tx, s.link, s.ID, s.identity, false)
		return err
	})
	if err != nil {
		return unavailable(err)
	}
	if standing != id {
		return ErrSplit
	}
	return nil
}
