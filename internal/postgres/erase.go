package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
)

// subjectPage is how many subjects are read at a time.
const subjectPage = 1000

const subjectsSQL = `
SELECT DISTINCT c.subject_id FROM hub.case_file c
WHERE c.subject_id > $1 AND c.environment = $2
ORDER BY c.subject_id LIMIT $3`

// EachSubject gives the subjects of all cases of an environment to take, in the order of their ids, until
// that says that it has seen enough.
func (s *Store) EachSubject(ctx context.Context, env hub.Environment, take func([]uuid.UUID) (enough bool)) error {
	var after uuid.UUID
	for {
		rows, err := s.pool.Query(ctx, subjectsSQL, after, env, subjectPage)
		if err != nil {
			return unavailable(err)
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		if err != nil {
			return unavailable(err)
		}
		if len(ids) == 0 || take(ids) {
			return nil
		}
		after = ids[len(ids)-1]
	}
}

// Holding is what the hub holds of some subjects.
type Holding struct {
	// Cases there are, those erased already not counted, and Events in all of their cases.
	Cases, Events int64
	// Messages are kept as they were received, sealed, and Attempts with what was sent, sealed.
	Messages, Attempts int64
	// Undelivered are the events that SISS has neither taken nor refused, at most ten of them.
	Undelivered []uuid.UUID
	// First and Last are when the first and the last of the events came; zero without one.
	First, Last time.Time
}

const holdingSQL = `
SELECT
  (SELECT count(*) FROM hub.case_file c WHERE c.subject_id = ANY ($1) AND c.erased_at IS NULL),
  (SELECT count(*) FROM hub.event e WHERE e.subject_id = ANY ($1)),
  (SELECT count(*) FROM hub.event e JOIN hub.message m ON m.id = e.id AND m.received_at = e.received_at
   WHERE e.subject_id = ANY ($1)),
  (SELECT count(*) FROM hub.event e JOIN hub.delivery d ON d.message_id = e.id
   JOIN hub.attempt a ON a.delivery_id = d.id AND a.sealed IS NOT NULL WHERE e.subject_id = ANY ($1)),
  (SELECT min(e.received_at) FROM hub.event e WHERE e.subject_id = ANY ($1)),
  (SELECT max(e.received_at) FROM hub.event e WHERE e.subject_id = ANY ($1))`

const undeliveredSQL = `
SELECT d.message_id FROM hub.event e JOIN hub.delivery d ON d.message_id = e.id
WHERE e.subject_id = ANY ($1) AND d.state NOT IN ('delivered', 'refused')
ORDER BY d.message_id LIMIT 10`

// HoldingOf tells what is held of subjects.
func (s *Store) HoldingOf(ctx context.Context, subjects []uuid.UUID) (Holding, error) {
	var h Holding
	column := uuidColumn(subjects)
	err := s.long(ctx, func(tx pgx.Tx) error {
		var first, last *time.Time
		if err := tx.QueryRow(ctx, holdingSQL, column).Scan(&h.Cases, &h.Events, &h.Messages, &h.Attempts, &first, &last); err != nil {
			return err
		}
		h.First, h.Last = utcOf(first), utcOf(last)
		rows, err := tx.Query(ctx, undeliveredSQL, column)
		if err != nil {
			return err
		}
		h.Undelivered, err = pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		return err
	})
	return h, err
}

const looksSQL = `
SELECT j.body FROM hub.event e JOIN hub.journal_entry j ON j.message_id = e.id
WHERE e.subject_id = ANY ($1) AND j.kind = 10
ORDER BY j.at, j.id`

// LooksAt gives the entries of those who looked at a message of the subjects, or at what was sent for one,
// to take. That of a session over many messages is not among them: it names a range, and stands for all.
func (s *Store) LooksAt(ctx context.Context, subjects []uuid.UUID, take func(journal.Entry)) error {
	return s.long(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, looksSQL, uuidColumn(subjects))
		if err != nil {
			return err
		}
		var body []byte
		_, err = pgx.ForEachRow(rows, []any{&body}, func() error {
			entry, err := journal.Parse(body)
			if err == nil {
				take(entry)
			}
			return err
		})
		return err
	})
}

// ErrUndelivered says that events of a child still wait for SISS. Nothing was changed.
var ErrUndelivered = errors.New("erasure: events of this child still wait for SISS")

// Whoever is adding an event to one of the cases is waited for; the order is that of ids.
const lockErasedCasesSQL = `
SELECT c.id FROM hub.case_file c
WHERE c.subject_id = ANY ($1) AND c.erased_at IS NULL
ORDER BY c.id
FOR UPDATE`

const orderErasureSQL = `
INSERT INTO hub.erasure (subject_id, environment, entry_id, ordered_at, ticket_id)
SELECT u.id, $2, $3, (SELECT hub.hub_now()), nullif($4, '00000000-0000-0000-0000-000000000000'::uuid)
FROM unnest($1::uuid[]) AS u (id)
-- an erasure that is done again needs no other ticket
WHERE NOT EXISTS (SELECT FROM hub.erasure e WHERE e.subject_id = u.id)
ON CONFLICT (subject_id) DO NOTHING`

// 244 random bits: an index that no IdCartella has.
const eraseCasesSQL = `
UPDATE hub.case_file c
SET case_index = sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), sealed_ids = '',
  erased_at = (SELECT hub.hub_now())
WHERE c.id = ANY ($1)`

// Erase orders the erasure of the subjects of one child, takes from their cases what the enti know them by,
// so that a later event on them finds no case, and journals it, all or nothing; entryOf is told how many
// cases that were. Unless despite is set, nothing is done while an event of them waits for SISS
// (ErrUndelivered). The vault is to forget the subjects next: Erasures tells until it has. It may be
// repeated, and then erases what came since. under is the ticket that the opener took for it: the database
// refuses an order without one, and a second order under one. The repetition of an order needs none.
func (s *Store) Erase(ctx context.Context, env hub.Environment, subjects []uuid.UUID, under uuid.UUID, despite bool,
	entryOf func(cases int64) journal.Entry,
) (cases int64, err error) {
	column := uuidColumn(subjects)
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, lockErasedCasesSQL, column)
		if err != nil {
			return err
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		if err != nil {
			return err
		}
		if !despite {
			var waiting uuid.UUID
			if err := tx.QueryRow(ctx, undeliveredSQL, column).Scan(&waiting); err == nil {
				return ErrUndelivered
			} else if !errors.Is(err, pgx.ErrNoRows) {
				return err
			}
		}
		cases = int64(len(ids))
		entry := entryOf(cases)
		if _, err := tx.Exec(ctx, orderErasureSQL, column, env, entry.ID, [16]byte(under)); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, eraseCasesSQL, uuidColumn(ids)); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, journalSQL, uuids{}.add(entry.ID), []time.Time{entry.At}, []int16{int16(entry.Kind)},
			uuids{}.addNullable(entry.Message), [][]byte{entry.Bytes()})
		return err
	})
	if errors.Is(err, ErrUndelivered) {
		return 0, ErrUndelivered
	}
	if err != nil {
		return 0, unavailable(err)
	}
	return cases, nil
}

// erasureSettled is how long after the vault forgot a subject nothing of before can still come: far longer
// than an acceptance takes that found it just then.
const erasureSettled = 10 * time.Minute

const erasuresSQL = `
SELECT e.subject_id, e.entry_id, e.ordered_at, e.forgotten_at, e.proven_at,
  e.forgotten_at < (SELECT hub.hub_now()) - $2::interval AS ripe,
  EXISTS (SELECT FROM hub.case_file c WHERE c.subject_id = e.subject_id AND c.erased_at IS NULL) AS again
FROM hub.erasure e
WHERE e.environment = $1 AND (e.proven_at IS NULL OR $3)
ORDER BY e.ordered_at, e.subject_id
LIMIT 10000`

// Erasure is how far the erasure of one subject has come.
type Erasure struct {
	// Subject is who it was, Entry the journal's entry that ordered it.
	Subject, Entry uuid.UUID
	// Ordered is when it was ordered, Forgotten since when the vault does not hold it, Proven when it was
	// seen that nothing came in between; zero if that is still to come.
	Ordered, Forgotten, Proven time.Time
	// Ripe says that it is time to look whether something came in between, Again that a case did.
	Ripe, Again bool
}

// Erasures lists the erasures of an environment that have not come to their end, or all, the oldest first
// and ten thousand at most.
func (s *Store) Erasures(ctx context.Context, env hub.Environment, all bool) ([]Erasure, error) {
	rows, err := s.pool.Query(ctx, erasuresSQL, env, erasureSettled, all)
	if err != nil {
		return nil, unavailable(err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Erasure, error) {
		var e Erasure
		var forgotten, proven *time.Time
		var ripe *bool
		err := row.Scan(&e.Subject, &e.Entry, &e.Ordered, &forgotten, &proven, &ripe, &e.Again)
		e.Ordered, e.Forgotten, e.Proven, e.Ripe = e.Ordered.UTC(), utcOf(forgotten), utcOf(proven), ripe != nil && *ripe
		return e, err
	})
	if err != nil {
		return nil, unavailable(err)
	}
	return list, nil
}

const forgottenSQL = `
UPDATE hub.erasure e SET forgotten_at = (SELECT hub.hub_now()), proven_at = NULL
WHERE e.subject_id = ANY ($1) AND ($2 OR e.forgotten_at IS NULL)`

// Forgotten marks that the vault does not hold the subjects any more; again if it had to be told once more.
func (s *Store) Forgotten(ctx context.Context, subjects []uuid.UUID, again bool) error {
	if _, err := s.pool.Exec(ctx, forgottenSQL, uuidColumn(subjects), again); err != nil {
		return unavailable(err)
	}
	return nil
}

const erasureProvenSQL = `
UPDATE hub.erasure e SET proven_at = (SELECT hub.hub_now())
WHERE e.subject_id = $1 AND e.proven_at IS NULL AND e.forgotten_at IS NOT NULL
  AND NOT EXISTS (SELECT FROM hub.case_file c WHERE c.subject_id = e.subject_id AND c.erased_at IS NULL)`

// ErasureProven marks that nothing came of a subject while it was erased.
func (s *Store) ErasureProven(ctx context.Context, subject uuid.UUID) error {
	if _, err := s.pool.Exec(ctx, erasureProvenSQL, subject); err != nil {
		return unavailable(err)
	}
	return nil
}

// The certificate's time is close to the order's, so that few partitions are looked at.
const certificatesSQL = `
SELECT e.subject_id, j.id, j.body, coalesce(e.forgotten_at, e.ordered_at), (SELECT count(*) FROM hub.erasure o WHERE o.entry_id = e.entry_id) AS ordered
FROM hub.erasure e
JOIN hub.journal_entry j ON j.id = e.entry_id
  AND j.at BETWEEN e.ordered_at - interval '2 days' AND e.ordered_at + interval '2 days'
WHERE e.subject_id = ANY ($1) AND (
  EXISTS (SELECT FROM hub.journal_leaf l WHERE l.entry_id = j.id AND l.entry_at = j.at)
  OR EXISTS (SELECT FROM hub.journal_queue q WHERE q.entry_id = j.id AND q.entry_at = j.at))`

// ErasureCertificate is the journal's entry that orders an erasure.
type ErasureCertificate struct {
	Entry journal.Entry
	// Forgotten is when the vault forgot the subject, the last time if an event had come in between.
	Forgotten time.Time
	// Subjects are how many rest on this entry.
	Subjects int64
}

// ErasureCertificates gives the entries that order the erasure of subjects, by subject, each with its leaf or
// its place in the queue. A subject without one, or with one that cannot be read, is left out.
func (s *Store) ErasureCertificates(ctx context.Context, subjects []uuid.UUID) (map[uuid.UUID]ErasureCertificate, error) {
	found := map[uuid.UUID]ErasureCertificate{}
	if len(subjects) == 0 {
		return found, nil
	}
	rows, err := s.pool.Query(ctx, certificatesSQL, uuidColumn(subjects))
	if err != nil {
		return nil, unavailable(err)
	}
	var subject, id uuid.UUID
	var body []byte
	var c ErasureCertificate
	if _, err := pgx.ForEachRow(rows, []any{&subject, &id, &body, &c.Forgotten, &c.Subjects}, func() error {
		if entry, err := journal.Parse(body); err == nil && entry.ID == id {
			found[subject] = ErasureCertificate{entry, c.Forgotten.UTC(), c.Subjects}
		}
		return nil
	}); err != nil {
		return nil, unavailable(err)
	}
	return found, nil
}
