package postgres_test

import (
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

func TestLanesTakeNoMoreConnectionsThanThereAre(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	for _, most := range []int32{1, 2, 11, 12, 16} {
		cfg, err := pgxpool.ParseConfig(db.App)
		if err != nil {
			t.Fatal(err)
		}
		cfg.MaxConns = most
		pool, lanes, err := postgres.Divide(t.Context(), cfg, nil, 3)
		if err != nil {
			t.Fatal(err)
		}
		var sum int32
		seen := map[*pgxpool.Pool]bool{}
		for _, p := range append(lanes, pool) {
			if !seen[p] {
				sum += p.Config().MaxConns
			}
			seen[p] = true
			if err := p.Ping(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if sum != most || len(lanes) != 3 || (len(seen) == 4) != (most >= 12) {
			t.Errorf("of %d connections: %d pools with %d together", most, len(seen), sum)
		}
		for p := range seen {
			p.Close()
		}
	}
}
