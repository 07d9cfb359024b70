package delivery

import (
	"context"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/sinba"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// riepilogo is the operation that counts what SISS accepted on a day.
const riepilogo = "riepilogo"

const (
	// pageOfAsked is how many deliveries to ask about are read at once; tests read fewer.
	pageOfAsked = 10_000
	// noteEvery and noteAfter are when the progress of the asking is written, by number and by time.
	// A run that ends between two of them asks about these again.
	noteEvery = 100
	noteAfter = 20 * time.Second
	// askTries is how often one delivery is asked about, mostSilent after how many in a row without a
	// clear answer it is the endpoint's fault and not theirs.
	askTries   = 2
	mostSilent = 3
	// mostTotals bounds the rows of an answer: the contract has far fewer types.
	mostTotals = 100
)

// reasonReconciled is the code of what reconciliation settled.
const reasonReconciled = "reconciled"

// Total is one Totale of riepilogo: how many transmissions of a type SISS accepted on a day, and the
// SHA-256 over their ids.
type Total struct {
	// Day is Giorno.
	Day string
	// Type is TipoEvento.
	Type string
	// Count is Numero.
	Count int32
	// Digest is Impronta.
	Digest [32]byte
}

// readTotals takes over the rows of an answer that the jail found valid. One row too many is kept,
// so that it is seen.
func readTotals(leaves []sinba.Leaf) (all []Total) {
	for _, leaf := range leaves {
		if !strings.HasPrefix(leaf.Path, "/Totale") || len(all) > mostTotals {
			continue
		}
		switch leaf.Path[strings.LastIndexByte(leaf.Path, '/')+1:] {
		case "Giorno":
			all = append(all, Total{Day: leaf.Value}) // the first of each row
		case "TipoEvento":
			all[len(all)-1].Type = leaf.Value
		case "Numero":
			n, _ := strconv.ParseInt(strings.TrimSpace(leaf.Value), 10, 32) // the schema gave it its form
			all[len(all)-1].Count = int32(n)
		case "Impronta":
			_, _ = hex.Decode(all[len(all)-1].Digest[:], []byte(leaf.Value))
		}
	}
	return all
}

// ClassifyTotals judges the answer to riepilogo for a day: its totals by type, or false for whatever
// is not the contract's answer to this very question.
func ClassifyTotals(day string, a Answer) (map[string]Total, bool) {
	if a.Status != http.StatusOK || a.Root != "RiepilogoRisposta" || len(a.Totals) > mostTotals {
		return nil, false
	}
	all := make(map[string]Total, len(a.Totals))
	for _, t := range a.Totals {
		if _, twice := all[t.Type]; twice || t.Day != day {
			return nil, false
		}
		all[t.Type] = t
	}
	return all, true
}

// totals asks riepilogo.
func (r *Reconciler) totals(ctx context.Context, d postgres.Day) (map[string]Total, error) {
	day := d.Date.Format(time.DateOnly)
	request := []byte(`<RiepilogoRichiesta xmlns="` + sinba.NamespaceNational + `">`)
	request = append(soap.AppendElement(request, "Giorno", day), `</RiepilogoRichiesta>`...)
	for range askTries {
		if all, ok := ClassifyTotals(day, r.call(ctx, riepilogo, request)); ok {
			return all, nil
		}
	}
	return nil, ErrSilent
}

// call asks SISS one question, never more of them in a second than configured, and each in a place of
// the rate that was agreed for all that is asked and sent.
func (r *Reconciler) call(ctx context.Context, operation string, request []byte) Answer {
	once, cancel := context.WithTimeout(ctx, r.cfg.Deadline)
	defer cancel()
	if err := r.slots.take(once, r.now().Add(r.cfg.Deadline)); err != nil {
		return Answer{}
	}
	a := r.client.call(once, operation, request, nil)
	pause(ctx, r.gap())
	return a
}

// asking is the asking about one type of a day.
type asking struct {
	r       *Reconciler
	turn    postgres.Turn
	day     postgres.Day
	tipo    string
	written time.Time
	// at is how far it is, found what it found and is not written.
	at    postgres.Asking
	found []postgres.Difference
	// unwritten counts what was asked since the last time, silent those in a row without an answer.
	unwritten, silent int
}

// askAll asks statoTrasmissione about every delivery of a type that SISS may have received on a day.
// It goes on where an earlier run was interrupted.
func (r *Reconciler) askAll(ctx context.Context, turn postgres.Turn, d postgres.Day, c postgres.TypeCount) error {
	at, err := r.store.TypeAsking(ctx, turn, d, c)
	if err != nil {
		return err
	}
	k := &asking{r: r, turn: turn, day: d, tipo: c.Type, written: r.now(), at: at}
	for {
		page, err := r.store.SentAfter(ctx, d, c.Type, k.at.To, r.page)
		if err != nil {
			return err
		}
		for _, s := range page {
			if err := k.ask(ctx, s); err != nil {
				return err
			}
		}
		if err := k.write(ctx); err != nil {
			return err
		}
		if len(page) < r.page {
			return r.store.TypeAsked(ctx, turn, d, c.Type)
		}
	}
}

// ask asks about one delivery, and writes the progress when it is time to.
func (k *asking) ask(ctx context.Context, s postgres.Sent) error {
	var v Verdict
	for range askTries {
		v = ClassifyState(s.ID, k.r.call(ctx, statoTrasmissione, stateRequest(&postgres.Claimed{ID: s.ID})))
		if v.Result != Uncertain {
			break
		}
		// However slow SISS is, the turn is kept.
		if err := k.writeLate(ctx); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := k.heard(ctx, v.Result != Uncertain); err != nil {
		return err
	}
	kind, err := k.judge(ctx, s, v)
	if err != nil {
		return err
	}
	if kind != "" {
		k.found = append(k.found, postgres.Difference{Type: k.tipo, Delivery: s.ID, Kind: kind})
	}
	k.at.To, k.at.Asked = s.ID, k.at.Asked+1
	if v.Result == Delivered {
		k.at.Accepted++
	}
	if k.unwritten++; k.unwritten >= noteEvery {
		return k.write(ctx)
	}
	return k.writeLate(ctx)
}

// heard notes whether SISS said something clear. One delivery that it says nothing clear about is
// passed over; after some in a row the run ends, and goes on later with the first of them.
func (k *asking) heard(ctx context.Context, something bool) error {
	if something {
		k.silent = 0
		return nil
	}
	k.silent++
	switch k.silent {
	case 1:
		return k.write(ctx)
	case mostSilent:
		return ErrSilent
	}
	return nil
}

// judge compares what SISS says of a delivery with what the hub believes, and settles what was in
// doubt. What waits for another attempt is no difference: that one will ask or repeat the same.
func (k *asking) judge(ctx context.Context, s postgres.Sent, v Verdict) (postgres.DifferenceKind, error) {
	settled := false
	if doubt := s.State == hub.Uncertain || s.State == hub.Dead; doubt && (v.Result == Delivered || v.Result == Refused) {
		var err error
		if settled, err = k.settle(ctx, s.ID, v); err != nil {
			return "", err
		}
	}
	believed := s.State == hub.Delivered
	switch {
	case settled:
	case v.Result == Uncertain && (believed || s.State == hub.Refused):
		return postgres.NoAnswer, nil
	case v.Result == Retry && believed:
		return postgres.UnknownThere, nil
	case v.Result == Refused && believed:
		return postgres.RefusedThere, nil
	case v.Result == Delivered && (s.State == hub.Refused || s.State == hub.Dead || s.State == hub.Parked):
		return postgres.AcceptedThere, nil
	}
	return "", nil
}

// settle ends a doubt by what SISS said.
func (k *asking) settle(ctx context.Context, id uuid.UUID, v Verdict) (bool, error) {
	now := k.r.now()
	t := postgres.Settlement{Delivery: id, State: hub.Delivered, Protocol: v.Protocol, Codes: []string{reasonReconciled}, StartedAt: now}
	t.Entry = journal.Entry{ID: uuid.Must(uuid.NewV7()), At: now, Codes: []hub.Code{reasonReconciled}}
	if v.Result == Refused {
		// A vendor is told the codes of what was refused: only SISS's own.
		t.State, t.Codes = hub.Refused, v.Codes
	}
	for _, code := range v.Codes {
		t.Entry.Codes = append(t.Entry.Codes, hub.Code(code))
	}
	return k.r.store.SettleAsked(ctx, k.turn, &t)
}

// writeLate writes the progress if the last time was long ago.
func (k *asking) writeLate(ctx context.Context) error {
	if k.r.now().Sub(k.written) < noteAfter {
		return nil
	}
	return k.write(ctx)
}

// write writes the progress up to the last delivery that was asked about.
func (k *asking) write(ctx context.Context) error {
	if err := k.r.store.NoteAsked(ctx, k.turn, k.day, k.tipo, k.at, k.found); err != nil {
		return err
	}
	k.written, k.found, k.unwritten = k.r.now(), nil, 0
	return nil
}
