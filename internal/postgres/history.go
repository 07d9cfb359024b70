package postgres

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/casefile"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/sinba"
)

// needHistory lists the cases of which at least one event of the batch can be judged only with all
// their events. Whether earlier ones of the batch will be taken is not known yet: a case is named
// rather too often.
func needHistory(all []*ready, cases map[caseKey]*Case) []uuid.UUID {
	var needed []uuid.UUID
	last := make(map[caseKey]int32, len(cases))
	for _, r := range all {
		key := r.caseKey()
		file, ok := cases[key]
		if !ok {
			continue
		}
		state := file.State
		state.LastNumber = max(state.LastNumber, last[key])
		if state.NeedsHistory(r.Operation, r.Sequence) {
			needed = append(needed, file.ID)
		}
		last[key] = max(last[key], r.Sequence)
	}
	return needed
}

// querier is a pool or one of its connections.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

const historySQL = `
SELECT e.case_id, e.event_id, e.operation, e.type, e.refers_to, e.sequence, e.position, e.facts
FROM hub.event e
WHERE e.case_id = ANY ($1::uuid[])
ORDER BY e.case_id, e.position`

// readHistories reads all events of cases as the life cycle sees them.
func readHistories(ctx context.Context, q querier, cases []uuid.UUID) (map[uuid.UUID][]casefile.Event, error) {
	return readHistoriesWith(ctx, q, cases, func(facts []byte) (sinba.Facts, error) {
		read, err := casefile.ParseFacts(facts)
		if err != nil {
			return read, errStored
		}
		return read, nil
	})
}

// readHistoriesWith is readHistories with another way of reading facts.
func readHistoriesWith(
	ctx context.Context, q querier, cases []uuid.UUID, parse func([]byte) (sinba.Facts, error),
) (map[uuid.UUID][]casefile.Event, error) {
	if len(cases) == 0 {
		return nil, nil
	}
	column := uuidColumn(cases)
	rows, err := q.Query(ctx, historySQL, column)
	if err != nil {
		return nil, err
	}
	found := make(map[uuid.UUID][]casefile.Event, len(cases))
	var id uuid.UUID
	var event casefile.Event
	var refersTo uuid.NullUUID
	var facts []byte
	columns := []any{&id, &event.ID, &event.Operation, &event.Type, &refersTo, &event.Sequence, &event.Position, &facts}
	_, err = pgx.ForEachRow(rows, columns, func() error {
		copied := event
		copied.RefersTo = refersTo.UUID
		var err error
		if copied.Facts, err = parse(facts); err != nil {
			return err
		}
		found[id] = append(found[id], copied)
		return nil
	})
	return found, err
}

// Judge tells what Accept would find of an event now, the acceptance's own warnings first, and
// stores nothing: of the acceptance only Key, Case.Index, Type, Operation, RefersTo, Sequence,
// Facts, Root and Warnings are read. Errors are *hub.Error of kind Unavailable.
func (s *Store) Judge(ctx context.Context, a *Acceptance) ([]hub.Violation, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	key := caseKey{a.Key.Environment, a.Key.Ente, a.Case.Index}
	_, cases, err := s.find(ctx, s.pool, []Query{{Key: a.Key, CaseIndex: a.Case.Index}})
	if err != nil {
		return nil, unavailable(err)
	}
	file, ok := cases[key]
	if !ok {
		file = &Case{}
	}
	var history []casefile.Event
	if ok && file.State.NeedsHistory(a.Operation, a.Sequence) {
		histories, err := readHistories(ctx, s.pool, []uuid.UUID{file.ID})
		if err != nil {
			return nil, unavailable(err)
		}
		history = histories[file.ID]
	}
	_, found := judgeIn(file, history, a)
	return found, nil
}

// JudgeAsFirst is Judge for an event whose case is not there.
func (a *Acceptance) JudgeAsFirst() []hub.Violation {
	_, found := judgeIn(&Case{}, nil, a)
	return found
}
