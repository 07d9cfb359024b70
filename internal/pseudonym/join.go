package pseudonym

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hub"
)

// As reserveSQL does for many.
const linkSQL = `
WITH i AS MATERIALIZED (
    SELECT CASE st.active_epoch WHEN $1 THEN $2::bytea WHEN $3 THEN $4::bytea END AS link_index,
        CASE st.next_epoch WHEN $1 THEN $2::bytea WHEN $3 THEN $4::bytea END AS twin, st.active_epoch, st.next_epoch
    FROM vault.link_state st
    WHERE st.environment = $5
), l AS (
    INSERT INTO vault.subject_link (link_index, key_epoch, subject_id, sealed_identity, created_at, reindexed_epoch)
    SELECT i.link_index, i.active_epoch, $6, $7, vault.now(), CASE WHEN i.twin IS NOT NULL THEN i.next_epoch END
    FROM i
    WHERE NOT $8
    ON CONFLICT (link_index) DO UPDATE SET link_index = excluded.link_index
    RETURNING subject_id, link_index, sealed_identity
), twins AS (
    INSERT INTO vault.subject_link (link_index, key_epoch, subject_id, sealed_identity, created_at)
    SELECT i.twin, i.next_epoch, l.subject_id, $7, vault.now()
    FROM i, l
    WHERE i.twin IS NOT NULL AND l.subject_id = $6
    ON CONFLICT (link_index) DO NOTHING
)
-- no two sealings are alike: one that stands as it was given was made now
SELECT subject_id, CASE WHEN subject_id = $6 AND sealed_identity = $7 THEN link_index END FROM l
UNION ALL
SELECT $6, NULL WHERE $8`

// link makes a subject stand for an identity, unless another one does, and tells which does, and of a new link
// its index. A barred one is not made, at the same cost.
func (v *Vault) link(ctx context.Context, tx pgx.Tx, index LinkIndex, subject uuid.UUID, identity []byte, barred bool) (standing [16]byte, made []byte, err error) {
	if _, err = tx.Exec(ctx, goBySQL, lockOf(v.environment)); err != nil {
		return standing, nil, err
	}
	var c linkColumns
	c.add(&index)
	err = tx.QueryRow(ctx, linkSQL, c.epochs[0][0], c.sums[0][0], c.epochs[1][0], c.sums[1][0], v.environment.String(),
		[16]byte(subject), identity, barred).Scan(&standing, &made)
	return standing, made, err
}

const claimSQL = `
INSERT INTO vault.subject_claim (message_id, subject_id, standing_id, link_index, created_at)
VALUES ($1, $2, $3, $4, vault.now())
ON CONFLICT (message_id) DO NOTHING`

// Link gives a subject one more identity: message, an event that is about to be accepted, says that
// the child has it from now on. sealedIdentity is Identity.Bytes sealed for the subject. If the
// identity stands for another subject already, JoinClaimed joins the two once the event is accepted.
// A child that joinable knows to be adopted, as any ente's case says, gets none: the adoptive identity must not
// lead to the life before. Of one that is told of as adopted only now JoinClaimed takes it away again.
// It may be repeated. The answer and its time are the same in all cases.
func (v *Vault) Link(ctx context.Context, index LinkIndex, subject Subject, sealedIdentity []byte, message uuid.UUID, joinable AskJoinable) error {
	if subject.secret.IsZero() || len(sealedIdentity) == 0 || message == uuid.Nil {
		return hub.NewError(hub.Internal, hub.CodeInternal, errors.New("vault: nothing to link"))
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	may, err := v.askJoinable(ctx, joinable, subject.ID)
	if err != nil {
		return unavailable(err)
	}
	err = pgx.BeginFunc(ctx, v.pool, func(tx pgx.Tx) error {
		standing, made, err := v.link(ctx, tx, index, subject.ID, sealedIdentity, may == Frozen)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, claimSQL, [16]byte(message), [16]byte(subject.ID), standing, made)
		return err
	})
	if err != nil {
		return unavailable(err)
	}
	return nil
}

// Accepted tells which of the messages were accepted. It is asked of the store, which the vault's
// role cannot see.
type Accepted func(ctx context.Context, messages []uuid.UUID) (map[uuid.UUID]bool, error)

// Joinable says whether subjects may be joined to others: the opposite is that one was adopted.
type Joinable int

// What is known of that.
const (
	// Free says that they may, Frozen that one of them was adopted and never may again, Unclear that it has to
	// be asked again later.
	Free Joinable = iota
	Frozen
	Unclear
)

// AskJoinable tells of subjects, which are one child, what is known.
type AskJoinable func(ctx context.Context, subjects []uuid.UUID) (Joinable, error)

// JoinClaimed joins the subjects that accepted events said to be one child: each keeps its codes and
// its events, and the privacy officer can see it. What was said by a message that was not accepted
// within ten minutes is forgotten, and so is what would give a child that was adopted, or any that is joined to
// one, another name or join it to another: whose life goes on under another name must not be found through the
// former one. A link that Link made for it goes. joinable is asked of the two and all that are joined to them. It
// returns how many were so forgotten. Several processes may do it at once.
func (v *Vault) JoinClaimed(ctx context.Context, accepted Accepted, joinable AskJoinable) (frozen int, err error) {
	var after uuid.UUID
	for {
		claims, err := v.claims(ctx, after)
		if err != nil {
			return frozen, unavailable(err)
		}
		if len(claims) == 0 {
			return frozen, nil
		}
		after = claims[len(claims)-1].message
		messages := make([]uuid.UUID, len(claims))
		for i, c := range claims {
			messages[i] = c.message
		}
		has, err := accepted(ctx, messages)
		if err != nil {
			return frozen, unavailable(err)
		}
		for i := range claims {
			if c := &claims[i]; has[c.message] {
				if c.joinable, err = v.askJoinable(ctx, joinable, c.subject, c.standing); err != nil {
					return frozen, unavailable(err)
				}
			}
		}
		n, err := v.settleClaims(ctx, claims, has)
		if frozen += n; err != nil {
			return frozen, unavailable(err)
		}
	}
}

// claim is what a message says: that one subject's child has an identity which stands for another.
type claim struct {
	message, subject, standing uuid.UUID
	joinable                   Joinable
}

// askJoinable asks of subjects, and of all that are joined to them.
func (v *Vault) askJoinable(ctx context.Context, joinable AskJoinable, subjects ...uuid.UUID) (Joinable, error) {
	var all []uuid.UUID
	for _, id := range subjects {
		if slices.Contains(all, id) {
			continue
		}
		same, err := v.SameChild(ctx, id)
		if err != nil {
			return Unclear, err
		}
		all = append(all, same...)
	}
	return joinable(ctx, all)
}

const claimsSQL = `
SELECT c.message_id, c.subject_id, c.standing_id
FROM vault.subject_claim c
JOIN vault.subject s ON s.id = c.subject_id
WHERE s.environment = $1 AND c.message_id > $2
ORDER BY c.message_id
LIMIT $3`

// claims lists the next messages that claim something.
func (v *Vault) claims(ctx context.Context, after uuid.UUID) ([]claim, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	rows, err := v.pool.Query(ctx, claimsSQL, v.environment.String(), [16]byte(after), sweepPage)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (c claim, err error) {
		err = row.Scan((*[16]byte)(&c.message), (*[16]byte)(&c.subject), (*[16]byte)(&c.standing))
		return c, err
	})
}

// A claim is taken by one process only, and its join written with it. Of several claims of one pair
// the first counts.
const joinSQL = `
WITH taken AS (
    DELETE FROM vault.subject_claim c
    USING unnest($1::uuid[], $2::uuid[]) AS i (message_id, entry_id)
    WHERE c.message_id = i.message_id
    RETURNING c.message_id, c.subject_id, c.standing_id, i.entry_id
)
INSERT INTO vault.subject_join (subject_id, joined_id, created_at, message_id, entry_id)
SELECT least(t.subject_id, t.standing_id), greatest(t.subject_id, t.standing_id), vault.now(),
    t.message_id, t.entry_id
FROM taken t
WHERE t.subject_id <> t.standing_id
ORDER BY t.message_id
ON CONFLICT (subject_id, joined_id) DO NOTHING`

const forgetClaimsSQL = `
DELETE FROM vault.subject_claim
WHERE message_id = ANY ($1::uuid[]) AND created_at < (SELECT vault.now()) - $2::interval`

// The rows of a link have the same sealed identity, under whichever keys they are indexed.
const forgetFrozenSQL = `
WITH claims AS (
    DELETE FROM vault.subject_claim
    WHERE message_id = ANY ($1::uuid[])
    RETURNING subject_id, link_index
), links AS (
    DELETE FROM vault.subject_link l
    USING claims c, vault.subject_link made
    WHERE made.link_index = c.link_index AND made.subject_id = c.subject_id
        AND l.subject_id = c.subject_id AND l.sealed_identity = made.sealed_identity
)
SELECT count(*) FROM claims`

// settleClaims makes joins of the accepted ones, forgets the old others and those of an adopted child, and
// tells how many these were.
func (v *Vault) settleClaims(ctx context.Context, claims []claim, accepted map[uuid.UUID]bool) (frozen int, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var messages, entries, without, never []uuid.UUID
	for _, c := range claims {
		switch {
		case !accepted[c.message]:
			without = append(without, c.message)
		case c.joinable == Frozen:
			never = append(never, c.message)
		case c.joinable == Free:
			messages, entries = append(messages, c.message), append(entries, uuid.Must(uuid.NewV7()))
		}
	}
	if len(messages) > 0 {
		if _, err := v.pool.Exec(ctx, joinSQL, plain(messages), plain(entries)); err != nil {
			return 0, err
		}
	}
	if len(without) > 0 {
		if _, err := v.pool.Exec(ctx, forgetClaimsSQL, plain(without), sweepAge); err != nil {
			return 0, err
		}
	}
	if len(never) > 0 {
		return v.forgetFrozen(ctx, never)
	}
	return 0, nil
}

// forgetFrozen forgets claims and takes away the links that were made with them.
func (v *Vault) forgetFrozen(ctx context.Context, messages []uuid.UUID) (n int, err error) {
	err = pgx.BeginFunc(ctx, v.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, goBySQL, lockOf(v.environment)); err != nil {
			return err
		}
		return tx.QueryRow(ctx, forgetFrozenSQL, plain(messages)).Scan(&n)
	})
	return n, err
}

// Join is a join as the journal may know it: without its subjects, to which only the vault leads.
type Join struct {
	// Entry is the id of the journal's entry, fixed with the join.
	Entry uuid.UUID
	// Message is the one that said so; the nil id if that is not known.
	Message uuid.UUID
	// At is when the subjects were joined, in whole microseconds.
	At time.Time
}

// JournalJoins gives every join that the journal does not know yet to write, which must tolerate
// repetition: a process that ends in between repeats it. A join with a subject that may still be
// swept waits. It returns how many became known, also beside an error.
func (v *Vault) JournalJoins(ctx context.Context, write func(context.Context, []Join) error) (journaled int, err error) {
	for {
		joins, err := v.unjournaled(ctx)
		if err != nil {
			return journaled, unavailable(err)
		}
		if len(joins) == 0 {
			return journaled, nil
		}
		if err := write(ctx, joins); err != nil {
			return journaled, unavailable(err)
		}
		n, err := v.markJournaled(ctx, joins)
		if journaled += n; err != nil {
			return journaled, unavailable(err)
		}
	}
}

const unjournaledSQL = `
SELECT j.entry_id, j.message_id, j.created_at
FROM vault.subject_join j
JOIN vault.subject a ON a.id = j.subject_id
JOIN vault.subject b ON b.id = j.joined_id
WHERE j.journaled_at IS NULL AND a.environment = $1 AND a.state = 'confirmed' AND b.state = 'confirmed'
ORDER BY j.entry_id
LIMIT $2`

func (v *Vault) unjournaled(ctx context.Context) ([]Join, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	rows, err := v.pool.Query(ctx, unjournaledSQL, v.environment.String(), sweepPage)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (j Join, err error) {
		var message uuid.NullUUID
		err = row.Scan((*[16]byte)(&j.Entry), &message, &j.At)
		j.Message = message.UUID
		return j, err
	})
}

const markJournaledSQL = `
UPDATE vault.subject_join
SET journaled_at = vault.now()
WHERE entry_id = ANY ($1::uuid[]) AND journaled_at IS NULL`

func (v *Vault) markJournaled(ctx context.Context, joins []Join) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	entries := make([]uuid.UUID, len(joins))
	for i, j := range joins {
		entries[i] = j.Entry
	}
	tag, err := v.pool.Exec(ctx, markJournaledSQL, plain(entries))
	return int(tag.RowsAffected()), err
}
