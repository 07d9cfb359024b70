package postgres

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// laneWidth is how many connections a lane has. The second stands by: one whose server does not answer any more keeps
	// its place for up to 15 s after it was given up.
	laneWidth = 2
	// leastDivided is of how many connections lanes are taken: what else there is to do must not wait for the
	// rest.
	leastDivided = 12
)

// Divide opens a pool and n lanes beside it, with no more connections together than cfg allows. A lane is
// for calls that always share batches (pkg/batch), of which one runs at a time, on the connection used last: a session of the
// server that runs the same few statements again and again keeps their plans, and what they need of the
// catalogue, in the processor's caches, where sessions that run everything in turn do not. Of few
// connections no lanes are made: all are the pool. A guard, if there is one, looks after all of them. Whoever
// closes them may close one twice.
func Divide(ctx context.Context, cfg *pgxpool.Config, guard *Guard, n int) (pool *pgxpool.Pool, lanes []*pgxpool.Pool, err error) {
	open := func(connections int32) (*pgxpool.Pool, error) {
		part := cfg.Copy()
		part.MaxConns = connections
		opened, err := pgxpool.NewWithConfig(ctx, part)
		if err == nil && guard != nil {
			guard.Reset(opened)
		}
		return opened, err
	}
	whole, divided := cfg.MaxConns, cfg.MaxConns >= leastDivided
	if divided {
		whole -= int32(n) * laneWidth //nolint:gosec // a few
	}
	if pool, err = open(whole); err != nil {
		return nil, nil, err
	}
	for range n {
		lane := pool
		if divided {
			if lane, err = open(laneWidth); err != nil {
				closePools(append(lanes, pool))
				return nil, nil, err
			}
		}
		lanes = append(lanes, lane)
	}
	return pool, lanes, nil
}

func closePools(pools []*pgxpool.Pool) {
	for _, pool := range pools {
		pool.Close()
	}
}

// lanes are the store's own.
type lanes struct {
	lookups, accepts, settles *pgxpool.Pool
}

// openPools opens the store's connections.
func (s *Store) openPools(ctx context.Context, cfg *pgxpool.Config) error {
	pool, all, err := Divide(ctx, cfg, s.guard, 3)
	if err == nil {
		s.pool, s.lanes = pool, lanes{all[0], all[1], all[2]}
	}
	return err
}

// pools are all of the store's, each once.
func (s *Store) pools() []*pgxpool.Pool {
	all := []*pgxpool.Pool{s.pool}
	for _, lane := range []*pgxpool.Pool{s.lanes.lookups, s.lanes.accepts, s.lanes.settles} {
		if lane != s.pool {
			all = append(all, lane)
		}
	}
	return all
}
