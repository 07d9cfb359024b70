//go:build e2e || smoke

package hubtest_test

import "time"

// patience is how long a test waits for what must come.
const patience = time.Minute
