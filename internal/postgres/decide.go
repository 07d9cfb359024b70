package postgres

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/casefile"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/sinba"
	"github.com/sinbahub/sinbahub/pkg/batch"
)

// decision is what is to be written for a batch, and what each caller will be told once that is
// committed.
type decision struct {
	results []batch.Result[AcceptResult]
	// fresh are to be stored, in the order of the batch; positions are their places in their cases.
	fresh     []*ready
	positions []int32
	// files are their cases.
	files []*heldCase
	// cases took at least one of the fresh.
	cases []*heldCase
	// found says that some were stored before, maybe where only this server has them.
	found bool
}

// heldCase is a case while its lock is held.
type heldCase struct {
	Case

	// opener makes the case; nil if it stands in the database.
	opener *ready
	// lastAt is the newest event of this batch, zero as long as it took none.
	lastAt time.Time
	// took is how many events of this batch it took.
	took int
	// history are the case's events, those of this batch included; of a case in the database only if
	// some of the batch needs them.
	history []casefile.Event
}

// decide walks the batch in its order, as if each were alone: a key or a case that an earlier
// one makes is there for the later ones. The life cycle of cases is judged here, since only here
// their state cannot change under the judgement.
func decide(
	all []*ready, keys map[Key]*KeyRow, cases map[caseKey]*Case, histories map[uuid.UUID][]casefile.Event,
) decision {
	d := decision{results: make([]batch.Result[AcceptResult], len(all)), found: len(keys) > 0}
	held := make(map[caseKey]*heldCase, len(all))
	for key, file := range cases {
		held[key] = &heldCase{Case: *file, history: histories[file.ID]}
	}
	for i, r := range all {
		known, file := keys[r.Key], held[r.caseKey()]
		switch {
		case known != nil && known.Receipt.ID == r.ReceiptID:
			// Our own commit, whose answer was lost.
			d.results[i].Value = AcceptResult{Status: StatusAccepted, Violations: known.Receipt.Warnings}
		case known != nil:
			d.results[i].Value = AcceptResult{Status: StatusDuplicate, Key: known}
		case file == nil && !r.Case.New:
			d.results[i].Err = errCaseGone
		case file != nil && file.ID != r.Case.ID:
			moved := file.Case
			d.results[i].Value = AcceptResult{Status: StatusCaseMoved, Case: &moved}
		default:
			if file == nil {
				file = &heldCase{Case: Case{ID: r.Case.ID, Subject: r.Subject, FactsEpoch: r.Case.FactsEpoch, NationEpoch: r.Case.NationEpoch}, opener: r}
			}
			if d.results[i].Value = d.judge(r, file); d.results[i].Value.Status == StatusAccepted {
				held[r.caseKey()], keys[r.Key] = file, r.keyRow()
			}
		}
	}
	return d
}

// judge takes an event into its case if the case allows it.
func (d *decision) judge(r *ready, file *heldCase) AcceptResult {
	event := r.event()
	after, all := judgeIn(&file.Case, file.history, r.Acceptance)
	if refuses(all) {
		return AcceptResult{Status: StatusRefused, Violations: all}
	}
	r.tell(all, &file.State)
	if event.Operation != sinba.Inserimento {
		r.original = casefile.Original(file.history, event.RefersTo)
	}
	r.turn = casefile.Turn(file.history, &event)
	file.State = after
	d.take(r, file)
	event.Position = file.Events
	file.history = append(file.history, event)
	return AcceptResult{Status: StatusAccepted, Violations: all}
}

// judgeIn gives the state of a case with an event, and all findings: those the event brings along,
// then those of its case.
func judgeIn(file *Case, history []casefile.Event, a *Acceptance) (casefile.State, []hub.Violation) {
	event := a.event()
	after, found := casefile.Judge(&file.State, history, &event)
	all := slices.Clip(a.Warnings)
	for _, v := range a.Rules.Soften(found) {
		v.Path = a.Root + v.Path
		all = append(all, v)
	}
	if !refuses(all) {
		all = all[:min(len(all), maxWarnings)]
	}
	return after, all
}

// maxWarnings is how many warnings a receipt has, and keeps for its repetitions.
const maxWarnings = 100

// refuses tells whether any finding is GRAVE.
func refuses(found []hub.Violation) bool {
	return slices.ContainsFunc(found, func(v hub.Violation) bool { return v.Severity == hub.Grave })
}

// take adds an event to its case.
func (d *decision) take(r *ready, file *heldCase) {
	if file.lastAt.IsZero() {
		d.cases = append(d.cases, file)
	}
	if r.ReceivedAt.After(file.lastAt) {
		file.lastAt = r.ReceivedAt
	}
	file.Events++
	file.took++
	d.files = append(d.files, file)
	d.fresh = append(d.fresh, r)
	d.positions = append(d.positions, file.Events)
}
