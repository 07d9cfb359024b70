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
	// Subject is what Resolve gave.
	Subject Subject
	// SealedIdentity is Identity.Bytes sealed for Subject.
	SealedIdentity []byte
}

// Reserve makes subject stand for an identity, as pending, in a transaction of its own, and
// returns the subject that counts: the given one, or another that was faster, with whose id and
// secret the caller then starts over. sealedIdentity is Identity.Bytes sealed for the given
// subject. A subject that is pending already is thereby kept from the sweep for another ten
// minutes, so Reserve comes before every acceptance whose subject is New or Pending.
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

// Links are written first, in the order of their index, so that two batches never wait for each
// other crosswise. DO UPDATE takes the row's lock where DO NOTHING would overlook a racer. The
// foreign key is checked at the statement's end, when the subjects stand too.
const reserveSQL = `
WITH i AS MATERIALIZED (
    SELECT t.link_index, t.subject_id, t.secret, t.sealed_identity
    FROM unnest($1::bytea[], $2::uuid[], $3::bytea[], $4::bytea[])
        AS t (link_index, subject_id, secret, sealed_identity)
), l AS (
    INSERT INTO vault.subject_link (link_index, key_epoch, subject_id, sealed_identity, created_at)
    SELECT link_index, $5, subject_id, sealed_identity, vault.now() FROM i ORDER BY link_index
    ON CONFLICT (link_index) DO UPDATE SET link_index = excluded.link_index
    RETURNING link_index, subject_id
)
INSERT INTO vault.subject (id, environment, secret, created_at, reserved_at)
SELECT i.subject_id, $6, i.secret, c.now, c.now
FROM i JOIN l USING (link_index, subject_id), (SELECT vault.now() AS now) c
ORDER BY i.subject_id
ON CONFLICT (id) DO NOTHING`

// A statement of its own in the same transaction: only a new snapshot shows the subject of a
// racer that committed while the first statement waited for it. Subjects are locked in the
// order of their id. The link rows stay locked, which is what keeps the sweep away. A time that
// is half a minute old at most is left: of the ten minutes enough remain. (The update asks k for
// the state: asked of s, the planner would read the index of all pending rows for each batch.)
const reservedSQL = `
WITH k AS MATERIALIZED (
    SELECT l.link_index, l.sealed_identity, s.id, s.secret, s.state = 'pending' AS pending, s.reserved_at
    FROM vault.subject_link l
    JOIN vault.subject s ON s.id = l.subject_id
    WHERE l.link_index = ANY ($1::bytea[])
    ORDER BY s.id
    FOR NO KEY UPDATE OF s
), u AS (
    UPDATE vault.subject s SET reserved_at = vault.now()
    FROM k
    WHERE s.id = k.id AND k.pending AND k.reserved_at < (SELECT vault.now()) - interval '30 seconds'
)
SELECT link_index, sealed_identity, id, secret, pending FROM k`

// reserveAll makes the reservations that wait, in one transaction and one round trip.
func (v *Vault) reserveAll(ctx context.Context, asked []Reservation) []batch.Result[Subject] {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	found, err := v.reserveOnce(ctx, asked)
	if repeatable(err) {
		found, err = v.reserveOnce(ctx, asked)
	}
	return each(asked, err, func(r Reservation) (Subject, error) {
		s, ok := found[r.Index]
		if !ok {
			return Subject{}, hub.NewError(hub.Internal, hub.CodeInternal, errors.New("vault: reserved row not found"))
		}
		return s, nil
	})
}

// reserveOnce tries the transaction once.
func (v *Vault) reserveOnce(ctx context.Context, asked []Reservation) (map[LinkIndex]Subject, error) {
	// One row for each link: of several reservations in a batch the first one's subject counts.
	rows := slices.Clone(asked)
	byLink := func(a, b Reservation) int { return bytes.Compare(a.Index[:], b.Index[:]) }
	slices.SortStableFunc(rows, byLink)
	rows = slices.CompactFunc(rows, func(a, b Reservation) bool { return a.Index == b.Index })
	n := len(rows)
	links, ids := make([][]byte, n), make([][16]byte, n)
	secrets, identities := make([][]byte, n), make([][]byte, n)
	for i := range rows {
		links[i], ids[i] = rows[i].Index[:], rows[i].Subject.ID
		secrets[i], identities[i] = rows[i].Subject.secret.reveal(), rows[i].SealedIdentity
	}
	var b pgx.Batch // one implicit transaction, committed by the batch's end
	b.Queue(reserveSQL, links, ids, secrets, identities, v.linkEpoch, v.environment.String())
	b.Queue(reservedSQL, links)
	results := v.pool.SendBatch(ctx, &b)
	found, err := readReserved(results)
	if closeErr := results.Close(); err == nil {
		err = closeErr
	}
	return found, err
}

// readReserved reads the answers of the two statements.
func readReserved(results pgx.BatchResults) (map[LinkIndex]Subject, error) {
	if _, err := results.Exec(); err != nil {
		return nil, err
	}
	rows, err := results.Query()
	if err != nil {
		return nil, err
	}
	found := map[LinkIndex]Subject{}
	var index, identity, secret []byte
	var s Subject
	_, err = pgx.ForEachRow(rows, []any{&index, &identity, (*[16]byte)(&s.ID), &secret, &s.Pending}, func() error {
		s.link, s.identity = LinkIndex(index), bytes.Clone(identity)
		s.secret, _ = secretOf(secret)
		found[s.link] = s
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

const restoreLinkSQL = `
INSERT INTO vault.subject_link (link_index, key_epoch, subject_id, sealed_identity, created_at)
VALUES ($1, $2, $3, $4, vault.now())
ON CONFLICT (link_index) DO UPDATE SET link_index = excluded.link_index
RETURNING subject_id`

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
	err := v.pool.QueryRow(ctx, restoreLinkSQL, s.link[:], v.linkEpoch, id, s.identity).Scan(&standing)
	if err != nil {
		return unavailable(err)
	}
	if standing != id {
		return ErrSplit
	}
	return nil
}
