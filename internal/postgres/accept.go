package postgres

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/klauspost/compress/s2"

	"github.com/sinbahub/sinbahub/internal/casefile"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/sinba"
	"github.com/sinbahub/sinbahub/pkg/batch"
)

// Acceptance is everything that becomes durable together when the hub takes responsibility for
// an event. All ids are made by the caller. Accept does not change it.
type Acceptance struct {
	// Key of the event.
	Key Key
	// Participant is the registry's row of the sender.
	Participant int32
	// EnteCode and Region are the ente's in the registry, for a delivery that begins at once.
	EnteCode, Region string
	// ReceiptID is a UUIDv7: IdRicevuta and the id of message and event.
	ReceiptID uuid.UUID
	// ReceivedAt is DataOraRicezione in whole microseconds, so that the first receipt and its
	// repetitions are equal.
	ReceivedAt time.Time
	// ContentMAC compares contents.
	ContentMAC [32]byte
	// Commitment is ImprontaMessaggio.
	Commitment [32]byte
	// Warnings are those found so far; with those of the case they go into the receipt and its
	// repetitions.
	Warnings []hub.Violation
	// Subject is the child, by its random id.
	Subject uuid.UUID
	// Carried comes back with a delivery that begins at once (Claimed.Carried), for whoever delivers. It is not stored.
	Carried any
	// Case is the file the caller assumed.
	Case AcceptedCase
	// Type is TipoEvento.
	Type sinba.EventType
	// Operation is TipoOperazione.
	Operation sinba.Operation
	// RefersTo is IdEventoRiferito, uuid.Nil if there is none.
	RefersTo uuid.UUID
	// Sequence is ProgressivoCartella.
	Sequence int32
	// Facts are what the event's case learns from it.
	Facts sinba.Facts
	// Root is the path of the event's root, before the paths of violations.
	Root string
	// Rules is what their severity depends on.
	Rules sinba.RuleContext
	// SchemaVersion is the contract version the event was judged by.
	SchemaVersion string
	// MappingVersion is the version of foglie.tsv that made Body, and will make what leaves.
	MappingVersion int32
	// RulesVersion is the version of the rules that judged it.
	RulesVersion int32
	// ReferenceVersion is the version of the dated lists it was judged and mapped with; empty if
	// none were.
	ReferenceVersion string
	// RegionEpoch is the epoch of the keys that made the codes in Body.
	RegionEpoch int32
	// NationEpoch is the epoch of the keys that will make the codes of what leaves.
	NationEpoch int32
	// Sealed is the message as received.
	Sealed Sealed
	// Body is the regional event in clear bytes; the store compresses it.
	Body []byte
	// TransmissionID is IdTrasmissione, fixed for ever, also the id of the delivery.
	TransmissionID uuid.UUID
	// Entry is the journal's, without outcome and codes, which follow from the warnings, and without the
	// state of the case; its id is IdRegistrazione.
	Entry journal.Entry
	// Salt is the receipt's, for the digest of that state.
	Salt [16]byte
}

// AcceptedCase is the case an acceptance was prepared for.
type AcceptedCase struct {
	// ID was found by Lookup, or is a fresh random one if New.
	ID uuid.UUID
	// Index is the keyed index of IdCartella.
	Index [32]byte
	// IndexEpoch is the epoch of the key that made Index.
	IndexEpoch int32
	// SealedIDs are the local ids, sealed; stored with a new case.
	SealedIDs []byte
	// FactsEpoch is the epoch of the keys that made the stand-ins in Facts: the case's own, stored
	// with a new case.
	FactsEpoch int32
	// NationEpoch is the epoch of the keys that re-key the case's ids for SISS, stored with a new case.
	NationEpoch int32
	// New says that Lookup found no case.
	New bool
}

// Sealed is a message that only the opener can read.
type Sealed struct {
	// Epoch is the sealing key's.
	Epoch uuid.UUID
	// Bytes are the sealed message.
	Bytes []byte
	// Digest is the SHA-256 of Bytes.
	Digest [32]byte
}

// AcceptStatus says what became of an Acceptance.
type AcceptStatus uint8

// The ends of an acceptance that are no error.
const (
	// StatusAccepted: committed; a receipt may be given.
	StatusAccepted AcceptStatus = iota + 1
	// StatusDuplicate: the key was accepted before; Key says how. The caller compares contents.
	StatusDuplicate
	// StatusCaseMoved: the case exists under another id than assumed; nothing was stored. The
	// caller pseudonymises again with Case and accepts again.
	StatusCaseMoved
	// StatusRefused: the case does not take the event; nothing was stored. Violations says why.
	StatusRefused
)

// AcceptResult is what became of an Acceptance.
type AcceptResult struct {
	// Status decides which of the others is set.
	Status AcceptStatus
	// Key is set for StatusDuplicate.
	Key *KeyRow
	// Case is set for StatusCaseMoved.
	Case *Case
	// Violations are all findings, the acceptance's own warnings first; set for StatusAccepted, where
	// they are warnings, and for StatusRefused.
	Violations []hub.Violation
}

// outcomeOf is the outcome of an acceptance with these warnings.
func outcomeOf(warnings []hub.Violation) hub.Outcome {
	if len(warnings) > 0 {
		return hub.AcceptedWithWarnings
	}
	return hub.Accepted
}

// errIncomplete says that an acceptance breaks what its fields promise: a defect of the caller.
var errIncomplete = errors.New("acceptance is incomplete")

// errCaseGone says that a case which Lookup found is there no more.
var errCaseGone = errors.New("case was deleted meanwhile")

// Accept makes an acceptance durable: event key, message, event, case, delivery, journal entry
// and its queue row, in one transaction that it shares with what waits (group commit). It
// returns after COMMIT. Errors are *hub.Error of kind Unavailable: nothing is known to be stored
// then, and the sender's repetition finds the receipt if there is one.
//
// Accepting the same acceptance again is safe: a key found with its own ReceiptID is accepted.
func (s *Store) Accept(ctx context.Context, a *Acceptance) (AcceptResult, error) {
	result := s.AcceptAll(ctx, []*Acceptance{a})[0]
	return result.Value, result.Err
}

// AcceptAll is Accept for many acceptances in their order, each with a result of its own. They share
// a transaction with each other and with what waits; only if that fails are they accepted one by one.
func (s *Store) AcceptAll(ctx context.Context, all []*Acceptance) []batch.Result[AcceptResult] {
	results := make([]batch.Result[AcceptResult], len(all))
	// Whatever costs time is done here by the caller, not by the one writer.
	whole, at := make([]*ready, 0, len(all)), make([]int, 0, len(all))
	for i, a := range all {
		if !a.complete() {
			results[i].Err = hub.NewError(hub.Internal, hub.CodeInternal, errIncomplete)
			continue
		}
		r := &ready{Acceptance: a, body: s2.Encode(nil, a.Body), facts: casefile.FactsBytes(&a.Facts)}
		whole, at = append(whole, r), append(at, i)
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	for i, r := range s.accepts.DoAll(ctx, whole) {
		if r.Err != nil {
			r = batch.Result[AcceptResult]{Err: unavailable(r.Err)}
		}
		results[at[i]] = r
	}
	return results
}

// complete tells whether the acceptance keeps what its fields promise.
func (a *Acceptance) complete() bool {
	return a.ReceivedAt.Equal(a.ReceivedAt.Truncate(time.Microsecond)) &&
		a.ReceiptID != uuid.Nil && a.TransmissionID != uuid.Nil && a.Entry.ID != uuid.Nil
}

// ready is an acceptance with its columns made.
type ready struct {
	*Acceptance

	body, facts []byte
	// told are all warnings, warnings their column, entry the journal's with them.
	told            []hub.Violation
	warnings, entry []byte
	// original is what a correction or annulment means in the end.
	original uuid.UUID
	// turn orders the case's deliveries (casefile.Turn).
	turn int32
}

// tell sets what the receipt and the journal tell of the event, judged against its case.
func (r *ready) tell(all []hub.Violation, against *casefile.State) {
	r.told, r.warnings = all, formatWarnings(all)
	entry := r.Entry
	entry.State = sha256.Sum256(slices.Concat(r.Salt[:], against.Bytes()))
	entry.Outcome, entry.Codes = outcomeOf(all).String(), nil
	for _, v := range all {
		if !slices.Contains(entry.Codes, v.Code) {
			entry.Codes = append(entry.Codes, v.Code)
		}
	}
	r.entry = entry.Bytes()
}

// event is the acceptance as its case sees it.
func (r *ready) event() casefile.Event { return r.Acceptance.event() }

func (a *Acceptance) event() casefile.Event {
	return casefile.Event{
		ID: a.Key.Event, RefersTo: a.RefersTo, Operation: a.Operation, Type: a.Type, Sequence: a.Sequence, Facts: a.Facts,
	}
}

// caseKey names the case it belongs to.
func (r *ready) caseKey() caseKey { return caseKey{r.Key.Environment, r.Key.Ente, r.Case.Index} }

// keyRow is what a repetition of this acceptance finds.
func (r *ready) keyRow() *KeyRow {
	return &KeyRow{
		Receipt: hub.Receipt{
			ID: r.ReceiptID, Event: r.Key.Event, Outcome: outcomeOf(r.told), ReceivedAt: r.ReceivedAt.UTC(),
			Commitment: r.Commitment, Registration: r.Entry.ID, Warnings: r.told,
		},
		ContentMAC: r.ContentMAC,
		Subject:    r.Subject,
	}
}

// acceptBatch accepts what waited together.
func (s *Store) acceptBatch(ctx context.Context, all []*ready) []batch.Result[AcceptResult] {
	return runBatch(ctx, s, groupAccept, all, s.acceptOnce)
}

// acceptOnce accepts a batch in one transaction of two round trips: lock the cases and look at
// the keys; decide here; write and commit. Corrections, annulments and events out of order need one
// more, for the events of their cases; events that all open cases, as Lookup saw it, one less.
func (s *Store) acceptOnce(ctx context.Context, all []*ready) ([]batch.Result[AcceptResult], error) {
	var d decision
	var room Room
	var taken []Claimed
	err := s.withLane(ctx, s.lanes.accepts, func(conn *pgx.Conn) (err error) {
		delete(conn.PgConn().CustomData(), warned)
		if d = decideUnseen(all); len(d.fresh) == len(all) {
			room = s.reserve(len(d.fresh))
			if taken, err = d.write(ctx, conn, room, beginSQL); !isUniqueViolation(err) {
				return err
			}
			// Somebody was faster with a key or a case. Nothing of this is stored.
			s.hand(room, nil)
			room = Room{}
			if err = rollback(ctx, conn); err != nil {
				return err
			}
		}
		keys, cases, err := openAccept(ctx, conn, all)
		if err == nil && overtaken(all, keys, cases) {
			if err = rollback(ctx, conn); err == nil {
				keys, cases, err = openAccept(ctx, conn, all)
			}
		}
		if err != nil {
			return err
		}
		histories, err := readHistories(ctx, conn, needHistory(all, cases))
		if err != nil {
			return err
		}
		d = decide(all, keys, cases, histories)
		room = s.reserve(len(d.fresh))
		// Only the commit that is answered with COMMIT and without a warning counts.
		taken, err = d.write(ctx, conn, room)
		return err
	})
	if err != nil {
		taken = nil // what became of it is not known: nothing of it leaves yet
	}
	s.hand(room, taken)
	if err == nil && len(d.fresh) > 0 {
		s.guard.acknowledge(d.fresh[len(d.fresh)-1].ReceiptID)
	}
	return d.results, err
}

// decideUnseen decides for a batch as if nothing of it were in the database, which the constraints on keys and
// cases then prove or refute; it decides nothing if Lookup found one of the cases.
func decideUnseen(all []*ready) decision {
	if slices.ContainsFunc(all, func(r *ready) bool { return !r.Case.New }) {
		return decision{}
	}
	return decide(all, map[Key]*KeyRow{}, nil, nil)
}

// overtaken tells whether a key was found whose case was not. It came while the locks were waited for, and
// its case with it; what follows it in that case would be judged as if there were none. (Or the key was sent
// again with another case: then the second look shows the same.)
func overtaken(all []*ready, keys map[Key]*KeyRow, cases map[caseKey]*Case) bool {
	return slices.ContainsFunc(all, func(r *ready) bool { return keys[r.Key] != nil && cases[r.caseKey()] == nil })
}

// rollback ends a transaction of which nothing is to be stored, so that the connection can begin another.
func rollback(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, "ROLLBACK")
	delete(conn.PgConn().CustomData(), warned) // the server warns if there was none any more
	return err
}

// beginSQL begins the transaction of an acceptance.
const beginSQL = "BEGIN ISOLATION LEVEL READ COMMITTED"

const lockCasesSQL = `
SELECT c.id, c.environment, c.ente_id, c.case_index, c.subject_id, c.events, c.facts_epoch, c.nation_epoch, c.state
FROM unnest($1::smallint[], $2::integer[], $3::bytea[]) AS i (environment, ente_id, case_index)
JOIN hub.case_file c ON c.environment = i.environment AND c.ente_id = i.ente_id
  AND c.case_index = i.case_index
-- every writer locks in this order, so two never wait for each other
ORDER BY c.environment, c.ente_id, c.case_index
FOR NO KEY UPDATE OF c`

// openAccept is the first round trip. From here to the end of the transaction the cases are ours:
// nobody else adds an event to them.
func openAccept(
	ctx context.Context, conn *pgx.Conn, all []*ready,
) (map[Key]*KeyRow, map[caseKey]*Case, error) {
	keys, cases := newKeyColumns(len(all)), newCaseColumns(len(all))
	for _, r := range all {
		keys.add(r.Key)
		cases.add(r.caseKey())
	}
	var trip pgx.Batch
	trip.Queue(beginSQL)
	trip.Queue(lockCasesSQL, cases.args()...)
	// After the locks: what a holder of one of them committed is visible to this statement.
	trip.Queue(findKeysSQL, keys.args()...)
	answers := conn.SendBatch(ctx, &trip)
	_, err := answers.Exec()
	var files map[caseKey]*Case
	if err == nil {
		files, err = readCases(answers)
	}
	var rows map[Key]*KeyRow
	if err == nil {
		rows, err = readKeys(answers)
	}
	if closed := answers.Close(); err == nil {
		err = closed
	}
	return rows, files, err
}
