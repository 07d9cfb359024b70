package delivery

// SetRate puts another agreed rate in force for the attempts that begin from now on; 0 paces against
// the door only.
func (d *Dispatcher) SetRate(perSecond int) {
	d.rate.Store(int64(perSecond))
	d.pace.mu.Lock()
	defer d.pace.mu.Unlock()
	d.pace.most = float64(perSecond)
}

// agreed is the rate in force.
func (d *Dispatcher) agreed() int { return int(d.rate.Load()) }
