package postgres

import (
	"context"
	"time"

	"github.com/sinbahub/sinbahub/internal/hub"
)

// slotHorizon is how far ahead places are taken at most; further ahead means that the clock was set
// back since, and must not stop delivery until it is again what it was. slotRestart is where taking
// begins then: after all that other instances may hold.
const (
	slotHorizon = 10 * time.Second
	slotRestart = time.Second
)

const takeSlotsSQL = `
INSERT INTO hub.receiver_slot AS r (environment, next_at)
SELECT $1, clock.now + $2::bigint * interval '1 microsecond'
FROM (SELECT hub.hub_now() AS now) AS clock
ON CONFLICT (environment) DO UPDATE SET next_at =
  -- excluded.next_at is now and all places taken here
  CASE WHEN r.next_at > excluded.next_at + $3::bigint * interval '1 microsecond'
    THEN excluded.next_at + $4::bigint * interval '1 microsecond'
    -- what nobody took in time is gone: there is no saving up
    ELSE greatest(excluded.next_at, r.next_at + $2::bigint * interval '1 microsecond') END
RETURNING (extract(epoch FROM r.next_at - hub.hub_now()) * 1000000)::bigint - $2::bigint`

// TakeSlots takes the next n places at a rate per second that all processes on this database share.
// wait is how long it is, from now on, until the first of them begins; the others follow at the
// rate. Places run by the database's clock, and each is given once.
func (s *Store) TakeSlots(ctx context.Context, env hub.Environment, rate, n int) (wait time.Duration, err error) {
	span := time.Duration(n) * time.Second / time.Duration(rate)
	var micros int64
	err = s.pool.QueryRow(ctx, takeSlotsSQL, env, span.Microseconds(), slotHorizon.Microseconds(), slotRestart.Microseconds()).Scan(&micros)
	if err != nil {
		return 0, unavailable(err)
	}
	return max(0, time.Duration(micros)*time.Microsecond), nil
}
