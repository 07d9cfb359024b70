package app_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/app"
)

// TestAnOperatorHasRefusedCodesToldAgain: with a reason that stands in the journal with who it was; one that was not
// refused, or is none, is told of and changes nothing.
func TestAnOperatorHasRefusedCodesToldAgain(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	refused, told := uuid.New(), uuid.New()
	const insert = `INSERT INTO hub.code_message (id, environment, motive, state, due_at, created_at, settled_at, codes)
		SELECT $1, 1, 'UNIONE', $2, now AS due, now AS made, now AS settled, $3 FROM now()`
	d.exec(t, insert, refused, "refused", "SISS_101")
	d.exec(t, insert, told, "told", nil)
	var list strings.Builder
	if err := app.ListCodes(t.Context(), d.cfg, app.CodesOptions{}, &list); err != nil || strings.Count(list.String(), "\n") != 2 ||
		!strings.Contains(list.String(), refused.String()) || !strings.Contains(list.String(), "SISS_101") {
		t.Errorf("%v: %s", err, list.String())
	}
	if err := app.ListCodes(t.Context(), d.cfg, app.CodesOptions{States: []string{"dead"}}, &list); err == nil {
		t.Error("there is no such state")
	}
	retry := func(who app.Who, ids ...string) (string, error) {
		var out strings.Builder
		err := app.RetryCodes(t.Context(), d.cfg, app.CodesOptions{Who: who, IDs: ids}, &out)
		return out.String(), err
	}
	anna := app.Who{Reason: "SISS 42"}
	if out, err := retry(app.Who{}, refused.String()); !errors.Is(err, app.ErrNoReason) || out != "" {
		t.Errorf("without a reason: %v: %s", err, out)
	}
	if out, err := retry(anna, "x"); err == nil || errors.Is(err, app.ErrRefused) || out != "" {
		t.Errorf("no id: %v: %s", err, out)
	}
	out, err := retry(anna, told.String(), refused.String(), uuid.NewString(), refused.String())
	if !errors.Is(err, app.ErrRefused) || strings.Count(out, "not done") != 3 || !strings.Contains(out, refused.String()+"  due again") {
		t.Errorf("%v: %s", err, out)
	}
	var pending, entries int
	err = d.admin.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM hub.code_message WHERE state = 'pending' AND settled_at IS NULL),
		(SELECT count(*) FROM hub.journal_entry WHERE kind = 29 AND position($1::bytea in body) > 0
			AND position('SISS 42'::bytea in body) > 0)`, []byte(app.AccountName())).Scan(&pending, &entries)
	if err != nil || pending != 1 || entries != 1 {
		t.Errorf("%v: %d pending, %d entries", err, pending, entries)
	}
}
