package app

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/postgres"
)

// transactions tell of the oldest open transaction of the hub's database, whoever began it: a session that
// somebody left open is what holds up the sequencer or retention when nothing else does.
type transactions struct {
	store  *postgres.Store
	oldest prometheus.Gauge
	held   prometheus.Gauge
}

func newTransactions(store *postgres.Store, registerer prometheus.Registerer) *transactions {
	t := &transactions{
		store: store,
		oldest: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "hub_database_oldest_transaction_seconds",
			Help: "Age of the oldest open transaction of the hub's database, whoever began it; 0 if there is none.",
		}),
		held: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "hub_database_oldest_transaction_waiting_sessions", Help: "Sessions that wait for what that transaction holds.",
		}),
	}
	registerer.MustRegister(t.oldest, t.held)
	return t
}

// transactionWithin is how long the question for the oldest one may take.
const transactionWithin = 2 * time.Second

// look reads the metrics. A database that does not answer is told by others.
func (t *transactions) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, transactionWithin)
	defer cancel()
	if found, err := t.store.OldestTransaction(ctx); err == nil {
		t.oldest.Set(found.Age.Seconds())
		t.held.Set(float64(found.Waiting))
	}
}

// whoHolds are fields of the log on the oldest open transaction, none if there is none or nobody knows.
func whoHolds(ctx context.Context, store *postgres.Store) []zap.Field {
	ctx, cancel := context.WithTimeout(ctx, transactionWithin)
	defer cancel()
	found, err := store.OldestTransaction(ctx)
	if err != nil || found.Role == "" {
		return nil
	}
	return []zap.Field{
		zap.Duration("oldest_transaction", found.Age), zap.Int32("oldest_transaction_process", found.Process),
		zap.String("oldest_transaction_role", found.Role), zap.String("oldest_transaction_state", found.State),
		zap.String("oldest_transaction_holds", found.Holds), zap.Int32("oldest_transaction_waiting", found.Waiting),
	}
}
