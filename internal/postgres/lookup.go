package postgres

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sinbahub/sinbahub/internal/casefile"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/pkg/batch"
)

// Query asks what is known of an event before it is judged.
type Query struct {
	// Key of the event.
	Key Key
	// CaseIndex is the keyed index of its IdCartella; all zero asks for no case.
	CaseIndex [32]byte
}

// Found is the answer to a Query.
type Found struct {
	// Key is the first acceptance under this key, nil if there is none.
	Key *KeyRow
	// Case is the ente's case of this index, nil if there is none.
	Case *Case
}

// KeyRow is what is kept for ever of an accepted event.
type KeyRow struct {
	// Receipt is the first receipt, warnings included.
	Receipt hub.Receipt
	// ContentMAC compares contents (contract, "Duplicates").
	ContentMAC [32]byte
	// Subject derives the receipt's salt; uuid.Nil once the event itself was deleted.
	Subject uuid.UUID
}

// Case is a child's file at one ente, without any of its local identifiers.
type Case struct {
	// ID is random; re-keyed ids hang on it.
	ID uuid.UUID
	// Subject is whose case it is.
	Subject uuid.UUID
	// Events is how many events the case has taken.
	Events int32
	// FactsEpoch is the epoch of the keys that make the stand-ins in State.
	FactsEpoch int32
	// NationEpoch is the epoch of the keys that re-key the case's ids for SISS.
	NationEpoch int32
	// State is what has become of it.
	State casefile.State
}

// Lookup tells whether the event was accepted before and which case it belongs to. Calls that
// wait together share one round trip. Errors are *hub.Error of kind Unavailable.
func (s *Store) Lookup(ctx context.Context, q Query) (Found, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	found, err := s.lookups.Do(ctx, q)
	if err != nil {
		return Found{}, unavailable(err)
	}
	return found, nil
}

// LookupAll is Lookup for many events in one trip, with an answer for each.
func (s *Store) LookupAll(ctx context.Context, queries []Query) ([]Found, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	all := make([]Found, len(queries))
	for i, r := range s.lookups.DoAll(ctx, queries) {
		if r.Err != nil {
			return nil, unavailable(r.Err)
		}
		all[i] = r.Value
	}
	return all, nil
}

// lookupBatch answers all queries with two statements in one round trip. It changes nothing, so
// a lost connection is tried again.
func (s *Store) lookupBatch(ctx context.Context, queries []Query) []batch.Result[Found] {
	s.metrics.batches.WithLabelValues(groupLookup).Observe(float64(len(queries)))
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	keys, cases, err := s.find(ctx, s.lanes.lookups, queries)
	if err != nil && ctx.Err() == nil {
		s.metrics.retries.WithLabelValues(groupLookup).Inc()
		keys, cases, err = s.find(ctx, s.lanes.lookups, queries)
	}
	var unconfirmed error
	if err == nil && len(keys) > 0 {
		unconfirmed = s.confirmStandby(ctx)
	}
	results := make([]batch.Result[Found], len(queries))
	for i, q := range queries {
		results[i].Err = err
		results[i].Value = Found{Key: keys[q.Key], Case: cases[q.caseKey()]}
		if results[i].Value.Key != nil && unconfirmed != nil {
			results[i] = batch.Result[Found]{Err: unconfirmed}
		}
	}
	return results
}

// find looks up keys and cases.
func (s *Store) find(ctx context.Context, pool *pgxpool.Pool, queries []Query) (map[Key]*KeyRow, map[caseKey]*Case, error) {
	keys, cases := newKeyColumns(len(queries)), newCaseColumns(len(queries))
	for _, q := range queries {
		keys.add(q.Key)
		cases.add(q.caseKey())
	}
	var trip pgx.Batch
	trip.Queue(findKeysSQL, keys.args()...)
	trip.Queue(findCasesSQL, cases.args()...)
	answers := pool.SendBatch(ctx, &trip)
	rows, err := readKeys(answers)
	var files map[caseKey]*Case
	if err == nil {
		files, err = readCases(answers)
	}
	if closed := answers.Close(); err == nil {
		err = closed
	}
	return rows, files, err
}

// caseKey is the part of the query that names a case.
func (q Query) caseKey() caseKey { return caseKey{q.Key.Environment, q.Key.Ente, q.CaseIndex} }

// caseKey names a case for ever.
type caseKey struct {
	environment hub.Environment
	ente        int32
	index       [32]byte
}

// keyColumns are event keys as the columns of unnest.
type keyColumns struct {
	environments []int16
	enti         []int32
	events       uuids
}

func newKeyColumns(n int) keyColumns {
	return keyColumns{environments: make([]int16, 0, n), enti: make([]int32, 0, n)}
}

func (c *keyColumns) add(k Key) {
	c.environments = append(c.environments, int16(k.Environment))
	c.enti = append(c.enti, k.Ente)
	c.events = c.events.add(k.Event)
}

func (c *keyColumns) args() []any { return []any{c.environments, c.enti, c.events} }

// caseColumns are case keys as the columns of unnest.
type caseColumns struct {
	environments []int16
	enti         []int32
	indexes      [][]byte
}

func newCaseColumns(n int) caseColumns {
	return caseColumns{make([]int16, 0, n), make([]int32, 0, n), make([][]byte, 0, n)}
}

func (c *caseColumns) add(k caseKey) {
	c.environments = append(c.environments, int16(k.environment))
	c.enti = append(c.enti, k.ente)
	c.indexes = append(c.indexes, k.index[:])
}

func (c *caseColumns) args() []any { return []any{c.environments, c.enti, c.indexes} }

const findKeysSQL = `
SELECT k.environment, k.ente_id, k.event_id, k.receipt_id, k.received_at, k.registration_id,
  k.outcome, k.warnings, k.content_mac, k.commitment, e.subject_id
FROM unnest($1::smallint[], $2::integer[], $3::uuid[]) AS i (environment, ente_id, event_id)
JOIN hub.event_key k ON k.environment = i.environment AND k.ente_id = i.ente_id
  AND k.event_id = i.event_id
-- the key outlives the event
LEFT JOIN hub.event e ON e.id = k.receipt_id`

// readKeys reads the answer to findKeysSQL.
func readKeys(answers pgx.BatchResults) (map[Key]*KeyRow, error) {
	rows, err := answers.Query()
	if err != nil {
		return nil, err
	}
	found := map[Key]*KeyRow{}
	var (
		key                       Key
		row                       KeyRow
		receivedAt                time.Time
		warnings, mac, commitment []byte
		subject                   uuid.NullUUID
	)
	columns := []any{
		&key.Environment, &key.Ente, &key.Event, &row.Receipt.ID, &receivedAt, &row.Receipt.Registration,
		&row.Receipt.Outcome, &warnings, &mac, &commitment, &subject,
	}
	_, err = pgx.ForEachRow(rows, columns, func() error {
		copied := row
		copied.Receipt.Event = key.Event
		copied.Receipt.ReceivedAt = receivedAt.UTC()
		copied.Receipt.Commitment = [32]byte(commitment)
		copied.ContentMAC = [32]byte(mac)
		copied.Subject = subject.UUID
		var err error
		copied.Receipt.Warnings, err = parseWarnings(warnings)
		found[key] = &copied
		return err
	})
	return found, err
}

const findCasesSQL = `
SELECT c.id, c.environment, c.ente_id, c.case_index, c.subject_id, c.events, c.facts_epoch, c.nation_epoch, c.state
FROM unnest($1::smallint[], $2::integer[], $3::bytea[]) AS i (environment, ente_id, case_index)
JOIN hub.case_file c ON c.environment = i.environment AND c.ente_id = i.ente_id
  AND c.case_index = i.case_index`

// readCases reads the answer to findCasesSQL or lockCasesSQL.
func readCases(answers pgx.BatchResults) (map[caseKey]*Case, error) {
	rows, err := answers.Query()
	if err != nil {
		return nil, err
	}
	found := map[caseKey]*Case{}
	var file Case
	var key caseKey
	var index, state []byte
	columns := []any{
		&file.ID, &key.environment, &key.ente, &index, &file.Subject, &file.Events, &file.FactsEpoch, &file.NationEpoch, &state,
	}
	_, err = pgx.ForEachRow(rows, columns, func() error {
		copied := file
		key.index = [32]byte(index)
		found[key] = &copied
		var err error
		if copied.State, err = casefile.ParseState(state); err != nil {
			return errStored
		}
		return nil
	})
	return found, err
}

// warning is a violation as event_key keeps it: no values, short names.
type warning struct {
	Code     hub.Code     `json:"c"`
	Severity hub.Severity `json:"s"`
	Rule     string       `json:"r,omitempty"`
	Path     string       `json:"p,omitempty"`
	Line     int          `json:"l,omitempty"`
	Reason   string       `json:"w,omitempty"`
	About    string       `json:"a,omitempty"`
	// BlocksFrom is what the sender was told then, whatever the configuration says now.
	BlocksFrom string        `json:"b,omitempty"`
	Form       string        `json:"f,omitempty"`
	Next       string        `json:"n,omitempty"`
	Kind       hub.ValueKind `json:"k,omitempty"`
	Length     int           `json:"z,omitempty"`
}

// formatWarnings gives nil for none, so that the column is NULL.
func formatWarnings(violations []hub.Violation) []byte {
	if len(violations) == 0 {
		return nil
	}
	kept := make([]warning, len(violations))
	for i, v := range violations {
		kept[i] = warning(v)
	}
	text, err := json.Marshal(kept)
	if err != nil {
		return nil // cannot happen: strings and numbers only
	}
	return text
}

func parseWarnings(text []byte) ([]hub.Violation, error) {
	if text == nil {
		return nil, nil
	}
	var kept []warning
	if err := json.Unmarshal(text, &kept); err != nil {
		return nil, errStored
	}
	violations := make([]hub.Violation, len(kept))
	for i, w := range kept {
		violations[i] = hub.Violation(w)
	}
	return violations, nil
}
