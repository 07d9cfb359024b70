package validator

import "time"

// SetWear changes when a worker is replaced. Only before Start.
func (p *Pool) SetWear(served int, age time.Duration) {
	p.maxServed, p.maxAge = served, age
}
