package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// Transaction is one that is open in the hub's database, by whomever.
type Transaction struct {
	// Age since it began.
	Age time.Duration
	// Process is the server's for it, 0 for a prepared one; pg_terminate_backend ends it.
	Process int32
	// Role it runs as, and its State as in pg_stat_activity.
	Role, State string
	// Holds are the tables of the hub's and the vault's that it has locks on, with blanks between.
	Holds string
	// Waiting is how many sessions wait for it.
	Waiting int32
}

const oldestTransactionSQL = `
SELECT t.seconds, t.process, t.role, coalesce(t.state, ''), coalesce(t.holds, ''), t.waiting
FROM hub.oldest_transaction() AS t`

// OldestTransaction is the zero one if no other is open.
func (s *Store) OldestTransaction(ctx context.Context) (t Transaction, err error) {
	var seconds float64
	err = s.pool.QueryRow(ctx, oldestTransactionSQL).Scan(&seconds, &t.Process, &t.Role, &t.State, &t.Holds, &t.Waiting)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return Transaction{}, unavailable(err)
	}
	t.Age = max(0, time.Duration(seconds*float64(time.Second)))
	return t, nil
}
