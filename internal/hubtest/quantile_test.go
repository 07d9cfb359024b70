//go:build bench || smoke

package hubtest_test

import (
	"slices"
	"time"
)

// quantile is the value that the share q of all does not exceed, 0 of none. They need not be sorted.
func quantile(all []time.Duration, q float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}
