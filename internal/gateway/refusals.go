package gateway

import (
	"context"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
)

// refused is one refusal of a request: of its own, or of an event of its lot.
type refused struct {
	ente    hub.Ente
	refusal *hub.Error
}

// refusals are all of them; err is why the request itself was refused.
func (x *exchange) refusals(err error) []refused {
	if err != nil {
		return []refused{{x.ente, asRefusal(err)}}
	}
	var all []refused
	for _, e := range x.events {
		if e.refusal != nil {
			all = append(all, refused{e.ente, e.refusal})
		}
	}
	return all
}

// worst is the refusal in a lot that an operator should hear of first, nil if there is none.
func (g *Gateway) worst(x *exchange) *hub.Error {
	var worst *hub.Error
	for _, r := range x.refusals(nil) {
		if worst == nil || g.treatments[r.refusal.Kind].level > g.treatments[worst.Kind].level {
			worst = r.refusal
		}
	}
	return worst
}

// journalPatience is how long a refusal waits for its journal entry: a sender is not to be kept
// waiting by a database that its refusal does not need.
const journalPatience = 2 * time.Second

// recordRefusals journals refusals of a known participant, without content, each by an entry of its
// own. What cannot be journalled is still refused, since nothing was accepted, and counted.
func (g *Gateway) recordRefusals(ctx context.Context, x *exchange, all []refused) {
	var entries []journal.Entry
	for _, r := range all {
		if r.refusal.Kind == hub.Overloaded || r.refusal.Kind == hub.Unavailable {
			continue
		}
		entry := journal.Entry{
			ID: uuid.Must(uuid.NewV7()), At: x.receivedAt.UTC().Truncate(time.Microsecond), Kind: journal.RequestRefused,
			Environment: g.cfg.Environment, Participant: x.participant.ID, Ente: r.ente.ID, Outcome: string(x.operation.Name),
		}
		seen := map[hub.Code]bool{}
		for _, v := range r.refusal.Public {
			if !seen[v.Code] {
				seen[v.Code] = true
				entry.Codes = append(entry.Codes, v.Code)
			}
		}
		entries = append(entries, entry)
	}
	if len(entries) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, journalPatience)
	defer cancel()
	if err := g.Store.Journal(ctx, entries...); err != nil {
		g.metrics.unjournalled.Add(float64(len(entries)))
		g.log.Warn("refusal not journalled", zap.String("exchange_id", x.id.String()), zap.Int("refusals", len(entries)))
	}
}
