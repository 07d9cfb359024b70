package postgres

import (
	"time"

	"github.com/sinbahub/sinbahub/pkg/batch"
)

// decision is what is to be written for a batch, and what each caller will be told once that is
// committed.
type decision struct {
	results []batch.Result[AcceptResult]
	// fresh are to be stored, in the order of the batch; positions are their places in their cases.
	fresh     []*ready
	positions []int32
	// cases took at least one of the fresh.
	cases []*heldCase
}

// heldCase is a case while its lock is held.
type heldCase struct {
	Case
	// opener makes the case; nil if it stands in the database.
	opener *ready
	// lastAt is the newest event of this batch, zero as long as it took none.
	lastAt time.Time
}

// decide walks the batch in its order, as if each were alone: a key or a case that an earlier
// one makes is there for the later ones. The life cycle of cases will be judged here too, since
// only here their state cannot change under the judgement.
func decide(all []*ready, keys map[Key]*KeyRow, cases map[caseKey]*Case) decision {
	d := decision{results: make([]batch.Result[AcceptResult], len(all))}
	held := make(map[caseKey]*heldCase, len(all))
	for key, file := range cases {
		held[key] = &heldCase{Case: *file}
	}
	for i, r := range all {
		known, file := keys[r.Key], held[r.caseKey()]
		switch {
		case known != nil && known.Receipt.ID == r.ReceiptID:
			// Our own commit, whose answer was lost.
			d.results[i].Value = AcceptResult{Status: StatusAccepted}
		case known != nil:
			d.results[i].Value = AcceptResult{Status: StatusDuplicate, Key: known}
		case file == nil && !r.Case.New:
			d.results[i].Err = errCaseGone
		case file != nil && file.ID != r.Case.ID:
			moved := file.Case
			d.results[i].Value = AcceptResult{Status: StatusCaseMoved, Case: &moved}
		default:
			if file == nil {
				file = &heldCase{Case: Case{ID: r.Case.ID, Subject: r.Subject}, opener: r}
				held[r.caseKey()] = file
			}
			d.take(r, file)
			keys[r.Key] = r.keyRow()
			d.results[i].Value = AcceptResult{Status: StatusAccepted}
		}
	}
	return d
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
	d.fresh = append(d.fresh, r)
	d.positions = append(d.positions, file.Events)
}
