package validator

import (
	"syscall"
	"time"
)

// SetWear changes when a worker is replaced. Only before Start.
func (p *Pool) SetWear(served int, age time.Duration) {
	p.maxServed, p.maxAge = served, age
}

// SetWays changes in which ways a worker may be started. Only before Start.
func (p *Pool) SetWays(ways ...syscall.SysProcAttr) { p.ways = ways }
