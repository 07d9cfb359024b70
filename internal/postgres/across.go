package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/klauspost/compress/s2"

	"github.com/sinbahub/sinbahub/internal/casefile"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/sinba"
)

// concernsOthers tells whether an event may matter to other enti's cases of the same child: by what it
// says itself, so that what it costs tells nothing about others.
func (r *ready) concernsOthers() bool {
	if r.Operation != sinba.Inserimento || r.Facts.Adopted {
		return true
	}
	for i := range r.Facts.Items {
		if r.Facts.Items[i].Residential {
			return true
		}
	}
	return false
}

const insertChecksSQL = `
INSERT INTO hub.others_check (message_id)
SELECT i.message_id FROM unnest($1::uuid[]) AS i (message_id)`

// checkArgs are the events to be compared with other enti's, nil if there are none.
func (d *decision) checkArgs() []any {
	var messages uuids
	for _, r := range d.fresh {
		if r.concernsOthers() {
			messages = messages.add(r.ReceiptID)
		}
	}
	if len(messages.FlatArray) == 0 {
		return nil
	}
	return []any{messages}
}

// Looked is what one look across enti came to.
type Looked struct {
	// Found counts the new findings by their rule.
	Found map[hub.Code]int
	// Failed is how many children's cases could not be compared: they are tried again in an hour.
	Failed int
	// More says that there was more than one look takes.
	More bool
}

// Across says how the cases of one child are compared.
type Across struct {
	// Facts reads a stored regional event (sinba.RegionalFacts).
	Facts func(regional []byte) (sinba.Facts, error)
	// Now is the clock of the entries.
	Now func() time.Time
}

const (
	// childrenAtOnce bounds one look, and with it the length of its transaction.
	childrenAtOnce = 100
	// findingsAtOnce bounds one statement: a child's cases may go on for hundreds of events.
	findingsAtOnce = 200
	// lookPatience bounds a look in time: statements have their own bound, far below.
	lookPatience = time.Minute
)

// One look at a time over all processes: another one would find the same.
const lookLockSQL = `
SELECT pg_try_advisory_xact_lock(hashtext('hub.others_check'))`

// LookAcross compares the cases of children of whom something was accepted that may matter to several
// enti (casefile.Across), and journals what is new. All of it is one transaction: a look that does not
// end has found nothing, and the next one finds it. Nobody waits for it and it waits for nobody.
func (s *Store) LookAcross(ctx context.Context, a Across) (Looked, error) {
	ctx, cancel := context.WithTimeout(ctx, lookPatience)
	defer cancel()
	var l look
	err := pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		var mine bool
		if err := tx.QueryRow(ctx, lookLockSQL).Scan(&mine); err != nil || !mine {
			return err
		}
		l = look{tx: tx, across: a, bad: map[uuid.UUID]bool{}}
		return l.run(ctx)
	})
	if err != nil {
		return Looked{}, fmt.Errorf("look across enti: %w", masked(err))
	}
	return l.Looked, nil
}

// look is one look across enti.
type look struct {
	Looked

	tx     pgx.Tx
	across Across
	// checked are the events looked at, adopted the cases with an adoption; both with their subjects.
	checked, adopted []looking
	// bad are the subjects whose cases could not be compared.
	bad map[uuid.UUID]bool
}

// looking is an event or a case whose subject is looked at.
type looking struct {
	id, subject uuid.UUID
	seen        int64
}

func (l *look) run(ctx context.Context) error {
	if err := l.takeChecks(ctx); err != nil {
		return err
	}
	if err := l.takeAdoptions(ctx); err != nil {
		return err
	}
	l.More = len(l.checked) == childrenAtOnce || len(l.adopted) == childrenAtOnce
	subjects, err := l.shared(ctx)
	if err != nil {
		return err
	}
	for _, subject := range subjects {
		if err := l.compare(ctx, subject); err != nil {
			return err
		}
	}
	return l.settle(ctx)
}

const takeChecksSQL = `
SELECT q.message_id, e.subject_id, e.case_id, e.facts
FROM (
  SELECT c.message_id FROM hub.others_check c
  WHERE c.due_at <= (SELECT hub.hub_now()) ORDER BY c.message_id LIMIT $1
) AS q
-- an event that was erased meanwhile concerns nobody
LEFT JOIN hub.event e ON e.id = q.message_id
ORDER BY q.message_id`

const addAdoptionsSQL = `
INSERT INTO hub.adoption (case_id, seen)
SELECT DISTINCT i.case_id, 0 FROM unnest($1::uuid[]) AS i (case_id)
ON CONFLICT (case_id) DO NOTHING`

// takeChecks reads the events that wait, and remembers cases that told of an adoption.
func (l *look) takeChecks(ctx context.Context) error {
	rows, err := l.tx.Query(ctx, takeChecksSQL, childrenAtOnce)
	if err != nil {
		return err
	}
	var adoptions uuids
	var message uuid.UUID
	var subject, file uuid.NullUUID
	var stored []byte
	_, err = pgx.ForEachRow(rows, []any{&message, &subject, &file, &stored}, func() error {
		l.checked = append(l.checked, looking{id: message, subject: subject.UUID})
		if !subject.Valid {
			return nil
		}
		facts, err := casefile.ParseFacts(stored)
		if err != nil {
			l.bad[subject.UUID] = true
		}
		if facts.Adopted {
			adoptions = adoptions.add(file.UUID)
		}
		return nil
	})
	if err != nil || len(adoptions.FlatArray) == 0 {
		return err
	}
	_, err = l.tx.Exec(ctx, addAdoptionsSQL, adoptions)
	return err
}

// The number of events only grows, so that a sum which is not the one seen means new events.
const takeAdoptionsSQL = `
SELECT a.case_id, f.subject_id, sum(c.events)::bigint
FROM hub.adoption a
JOIN hub.case_file f ON f.id = a.case_id
JOIN hub.case_file c ON c.subject_id = f.subject_id
WHERE a.due_at <= (SELECT hub.hub_now())
GROUP BY a.case_id, f.subject_id, a.seen
HAVING sum(c.events) <> a.seen
ORDER BY a.case_id LIMIT $1`

// takeAdoptions reads the cases with an adoption whose child any ente told of since.
func (l *look) takeAdoptions(ctx context.Context) error {
	rows, err := l.tx.Query(ctx, takeAdoptionsSQL, childrenAtOnce)
	if err != nil {
		return err
	}
	var one looking
	_, err = pgx.ForEachRow(rows, []any{&one.id, &one.subject, &one.seen}, func() error {
		l.adopted = append(l.adopted, one)
		return nil
	})
	return err
}

const sharedSQL = `
SELECT c.subject_id
FROM hub.case_file c
WHERE c.subject_id = ANY ($1::uuid[])
GROUP BY c.subject_id
HAVING count(DISTINCT c.ente_id) > 1`

// shared gives those of the subjects of whom several enti have cases.
func (l *look) shared(ctx context.Context) ([]uuid.UUID, error) {
	var column uuids
	for _, all := range [][]looking{l.checked, l.adopted} {
		for _, one := range all {
			column = column.add(one.subject)
		}
	}
	if len(column.FlatArray) == 0 {
		return nil, nil
	}
	rows, err := l.tx.Query(ctx, sharedSQL, column)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
}

const filesSQL = `
SELECT c.id, c.ente_id, c.environment, e.participant_id, e.id, e.received_at, e.event_id,
  e.operation, e.type, e.refers_to, e.sequence, e.position, e.body
FROM hub.case_file c
JOIN hub.event e ON e.case_id = c.id
WHERE c.subject_id = $1
ORDER BY c.id, e.position`

// compare finds what a child's cases say together, and journals what is new.
func (l *look) compare(ctx context.Context, subject uuid.UUID) error {
	if l.bad[subject] {
		return nil
	}
	rows, err := l.tx.Query(ctx, filesSQL, subject)
	if err != nil {
		return err
	}
	var files []casefile.File
	origins := map[uuid.UUID]Origin{}
	var file, last uuid.UUID
	var origin Origin
	var filed casefile.Filed
	var refersTo uuid.NullUUID
	var body []byte
	columns := []any{
		&file, &origin.Ente, &origin.Environment, &origin.Participant, &filed.Message, &filed.At, &filed.ID,
		&filed.Operation, &filed.Type, &refersTo, &filed.Sequence, &filed.Position, &body,
	}
	_, err = pgx.ForEachRow(rows, columns, func() error {
		one := filed
		one.RefersTo, origin.Event = refersTo.UUID, filed.ID
		var bad bool
		if one.Facts, bad = l.read(body); bad {
			l.bad[subject] = true
			return nil
		}
		if file != last {
			files, last = append(files, casefile.File{Ente: origin.Ente}), file
		}
		f := &files[len(files)-1]
		f.Events = append(f.Events, one)
		origins[one.Message] = origin
		return nil
	})
	if err != nil || l.bad[subject] {
		return err
	}
	for some := range slices.Chunk(casefile.Across(files), findingsAtOnce) {
		if err := l.journal(ctx, some, origins); err != nil {
			return err
		}
	}
	return nil
}

// read reads a stored event. That it cannot be read is a defect, whatever it says.
func (l *look) read(stored []byte) (facts sinba.Facts, bad bool) {
	body, err := s2.Decode(nil, stored)
	if err == nil {
		facts, err = l.across.Facts(body)
	}
	return facts, err != nil
}

const insertFindingsSQL = `
WITH i AS MATERIALIZED (
  SELECT u.message_id, u.other_id, u.rule, u.entry_id, u.at, u.kind, u.body
  FROM unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::uuid[], $5::timestamptz[],
    $6::smallint[], $7::bytea[]) AS u (message_id, other_id, rule, entry_id, at, kind, body)
), found AS (
  INSERT INTO hub.others_finding (message_id, other_id, rule, entry_id)
  SELECT i.message_id, i.other_id, i.rule, i.entry_id FROM i
  -- found before
  ON CONFLICT (message_id, other_id, rule) DO NOTHING
  RETURNING entry_id
), entered AS (
  INSERT INTO hub.journal_entry (id, at, kind, message_id, body)
  SELECT i.entry_id, i.at, i.kind, i.message_id, i.body FROM i JOIN found USING (entry_id)
), queued AS (
  INSERT INTO hub.journal_queue (entry_id, entry_at)
  SELECT i.entry_id, i.at FROM i JOIN found USING (entry_id)
)
SELECT i.rule, count(*) FROM i JOIN found USING (entry_id) GROUP BY i.rule`

// journal writes the findings that are new, each with its entry.
func (l *look) journal(ctx context.Context, all []casefile.Finding, origins map[uuid.UUID]Origin) error {
	var messages, others, entries uuids
	var rules, kinds []int16
	var at []time.Time
	var bodies [][]byte
	codes := map[int16]hub.Code{14: hub.CodeRule14, 22: hub.CodeRule22}
	now := l.across.Now().UTC().Truncate(time.Microsecond)
	for _, f := range all {
		o := origins[f.Later]
		entry := journal.Entry{
			ID: uuid.Must(uuid.NewV7()), At: now, Kind: journal.OthersHistory, Environment: o.Environment,
			Participant: o.Participant, Ente: o.Ente, Message: f.Later, Event: o.Event,
			Codes: []hub.Code{f.Rule}, Other: f.Earlier,
		}
		rule := int16(14)
		if f.Rule == hub.CodeRule22 {
			rule = 22
		}
		messages, others, entries = messages.add(f.Later), others.add(f.Earlier), entries.add(entry.ID)
		rules, kinds = append(rules, rule), append(kinds, int16(entry.Kind))
		at, bodies = append(at, now), append(bodies, entry.Bytes())
	}
	rows, err := l.tx.Query(ctx, insertFindingsSQL, messages, others, rules, entries, at, kinds, bodies)
	if err != nil {
		return err
	}
	var rule int16
	var n int
	_, err = pgx.ForEachRow(rows, []any{&rule, &n}, func() error {
		if l.Found == nil {
			l.Found = map[hub.Code]int{}
		}
		l.Found[codes[rule]] += n
		return nil
	})
	return err
}

const (
	deleteChecksSQL = `
DELETE FROM hub.others_check WHERE message_id = ANY ($1::uuid[])`

	postponeChecksSQL = `
UPDATE hub.others_check SET due_at = hub.hub_now() + interval '1 hour'
WHERE message_id = ANY ($1::uuid[])`

	seenAdoptionsSQL = `
UPDATE hub.adoption a SET seen = i.seen
FROM unnest($1::uuid[], $2::bigint[]) AS i (case_id, seen)
WHERE a.case_id = i.case_id`

	postponeAdoptionsSQL = `
UPDATE hub.adoption SET due_at = hub.hub_now() + interval '1 hour'
WHERE case_id = ANY ($1::uuid[])`
)

// settle takes what was looked at off the lists; what could not be compared is tried again later, so
// that it holds nobody up and is not lost.
func (l *look) settle(ctx context.Context) error {
	l.Failed = len(l.bad)
	var done, later, adopted, adoptedLater uuids
	var seen []int64
	for _, one := range l.checked {
		if l.bad[one.subject] {
			later = later.add(one.id)
		} else {
			done = done.add(one.id)
		}
	}
	for _, one := range l.adopted {
		if l.bad[one.subject] {
			adoptedLater = adoptedLater.add(one.id)
		} else {
			adopted, seen = adopted.add(one.id), append(seen, one.seen)
		}
	}
	for _, s := range []struct {
		sql string
		ids uuids
		and []any
	}{
		{deleteChecksSQL, done, nil},
		{postponeChecksSQL, later, nil},
		{seenAdoptionsSQL, adopted, []any{seen}},
		{postponeAdoptionsSQL, adoptedLater, nil},
	} {
		if len(s.ids.FlatArray) == 0 {
			continue
		}
		if _, err := l.tx.Exec(ctx, s.sql, append([]any{s.ids}, s.and...)...); err != nil {
			return err
		}
	}
	return nil
}
