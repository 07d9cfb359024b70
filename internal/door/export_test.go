package door

// Framing follows the bytes of a connection, for tests.
type Framing struct{ f framing }

// Feed, Heads, Flaw, Waiting and Got are the framing's own.
func (f *Framing) Feed(p []byte) { f.f.feed(p) }
func (f *Framing) Heads() int    { return f.f.heads }
func (f *Framing) Flaw() string  { return string(f.f.flaw) }
func (f *Framing) Waiting() bool { return f.f.waiting() }
func (f *Framing) Got() int64    { return f.f.got }

// Look is one look of the watch, for tests.
func (d *Connections) Look() { d.look() }

// States counts the connections by what their client is at, for tests.
func (d *Connections) States() map[string]int {
	counts := map[string]int{}
	for _, one := range d.snapshot() {
		counts[one.state()]++
	}
	return counts
}
