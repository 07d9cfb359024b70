package delivery

import "time"

// backoff is how long to wait before the attempt after the given one: doubling from first up to
// most, then drawn evenly from zero to that ("full jitter"), so that what failed together does
// not come back together. dice is in [0, 1).
func backoff(attempt int32, first, most time.Duration, dice float64) time.Duration {
	top := most
	if doublings := attempt - 1; doublings < 40 && first<<max(doublings, 0) < most && first<<max(doublings, 0) > 0 {
		top = first << max(doublings, 0)
	}
	return time.Duration(float64(top) * dice)
}
