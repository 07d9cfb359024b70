package door

import (
	"container/list"
	"context"
	"iter"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// watchPeriod is how often the connections are looked at. It is the precision of all their
// deadlines, and spares each request the timers.
const watchPeriod = 250 * time.Millisecond

// sendBuffer bounds what the system keeps of answers that a client does not take, in bytes. By
// itself it would take up to 4 MiB a connection.
const sendBuffer = 64 << 10

// strangersShare is which part of all connections may be of senders that have not shown a
// credential yet: one in so many.
const strangersShare = 4

// Reasons for which a connection is refused, or another one closed in its favour.
const (
	overAddress   = "address"
	overStrangers = "strangers"
	overAll       = "all"
	// OverParticipant says that the participant's own share of connections is taken.
	OverParticipant = "participant"
)

// Connections are those of the SOAP listener. Two shares keep newcomers and participants apart:
// a connection is a stranger's until a request with a valid credential has come over it, and then
// that participant's. Who is over a share gets room at the cost of its own: of the strangers
// the longest there from the address that has most, of a participant the longest idle. So thousands
// of connections of strangers keep nobody out, and only a participant that has nothing idle to give
// is refused.
type Connections struct {
	limits Limits
	now    func() time.Time
	begun  time.Time
	clock  atomic.Int64 // since begun, as of the last look

	mu           sync.Mutex
	came         uint64                    // connections so far
	strangers    int                       // connections of strangers
	sources      map[netip.Addr]*list.List // theirs, by address in the order they came
	known        int                       // connections of participants
	participants map[int32]map[*connection]struct{}

	refused *prometheus.CounterVec
	cuts    *prometheus.CounterVec
}

// New makes an empty door, and registers its figures.
func New(limits Limits, now func() time.Time, registerer prometheus.Registerer) *Connections {
	d := &Connections{
		limits: limits, now: now, begun: now(), sources: map[netip.Addr]*list.List{}, participants: map[int32]map[*connection]struct{}{},
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hub_connections_refused_total", Help: "Connections beyond a share, refused or let in at the cost of an idle one of the same share, by share.",
		}, []string{"reason"}),
		cuts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hub_connections_cut_total", Help: "Connections the hub ended, by what their client was too slow with.",
		}, []string{"reason"}),
	}
	for _, reason := range []string{overAddress, overStrangers, OverParticipant, overAll} {
		d.refused.WithLabelValues(reason)
	}
	for _, reason := range []cutReason{slowHead, slowBody, slowAnswer, longIdle, displaced} {
		d.cuts.WithLabelValues(string(reason))
	}
	registerer.MustRegister(d.refused, d.cuts, connectionStates{d, prometheus.NewDesc(
		"hub_connections", "Connections of the SOAP listener by what their client is at.", []string{"state"}, nil)})
	return d
}

// time is the door's clock: since it was built, at most watchPeriod old.
func (d *Connections) time() time.Duration { return time.Duration(d.clock.Load()) }

// mostStrangers is how many connections of unknown senders there may be.
func (d *Connections) mostStrangers() int { return max(1, d.limits.Connections/strangersShare) }

// guarded is a listener whose connections are counted, bounded and watched.
type guarded struct {
	net.Listener
	door *Connections
}

// Accept waits for the next connection and makes room for it.
func (l guarded) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(sendBuffer)
	}
	c := &connection{Conn: conn, door: l.door, source: sourceOf(conn), since: l.door.time()}
	l.door.enter(c)
	return c, nil
}

// sourceOf is the address that a connection counts for: of IPv6 the network of 64 bits, because
// one machine has all of its addresses.
func sourceOf(conn net.Conn) netip.Addr {
	tcp, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	address := tcp.AddrPort().Addr().Unmap()
	if address.Is6() {
		if network, err := address.WithZone("").Prefix(64); err == nil {
			return network.Addr()
		}
	}
	return address
}

// enter gives a new connection a place among the strangers.
func (d *Connections) enter(c *connection) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.came++
	c.number = d.came
	switch own := d.sources[c.source]; {
	case own != nil && own.Len() >= d.limits.ConnectionsPerAddress:
		d.closeStranger(overAddress, own.Front())
	case d.strangers >= d.mostStrangers():
		d.closeStranger(overStrangers, d.most().Front())
	}
	if d.sources[c.source] == nil {
		d.sources[c.source] = list.New()
	}
	c.place = d.sources[c.source].PushBack(c)
	d.strangers++
}

// most are the strangers of the address that has most of them; of several such the one that has
// the oldest. Who comes from an address of its own is not pushed out by a crowd.
func (d *Connections) most() *list.List {
	var most *list.List
	for _, own := range d.sources {
		if most == nil || own.Len() > most.Len() || own.Len() == most.Len() && numberOf(own.Front()) < numberOf(most.Front()) {
			most = own
		}
	}
	return most
}

// numberOf is when a stranger came, counted in connections.
func numberOf(place *list.Element) uint64 {
	c, _ := place.Value.(*connection)
	return c.number
}

// closeStranger closes a stranger, whatever it is at: an answer to a stranger takes no time but the
// client's own.
func (d *Connections) closeStranger(reason string, place *list.Element) {
	d.refused.WithLabelValues(reason).Inc()
	if c, ok := place.Value.(*connection); ok {
		c.displace(false)
		d.close(c)
	}
}

// close closes a connection that was displaced.
func (d *Connections) close(c *connection) {
	d.cuts.WithLabelValues(string(displaced)).Inc()
	d.remove(c)
	// It waits for the goroutine that reads, and nobody else should.
	go func() { _ = c.Conn.Close() }()
}

// remove gives a connection's place back.
func (d *Connections) remove(c *connection) {
	if c.closed {
		return
	}
	c.closed = true
	d.detach(c)
}

// detach takes a connection out of its share.
func (d *Connections) detach(c *connection) {
	if c.place == nil {
		members := d.participants[c.participant]
		delete(members, c)
		if d.known--; len(members) == 0 {
			delete(d.participants, c.participant)
		}
		return
	}
	own := d.sources[c.source]
	own.Remove(c.place)
	c.place = nil
	d.strangers--
	if own.Len() == 0 {
		delete(d.sources, c.source)
	}
}

// leave is called when a connection is closed, however often.
func (d *Connections) leave(c *connection) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.remove(c)
}

// identify makes a connection a participant's. Which share had no room is told if it stays what
// it was.
func (c *connection) identify(participant int32) (full string, ok bool) {
	if c == nil || c.known && c.participant == participant {
		return "", true
	}
	d := c.door
	d.mu.Lock()
	defer d.mu.Unlock()
	if c.closed {
		return overStrangers, false // displaced just now: its answer would reach nobody
	}
	switch {
	case len(d.participants[participant]) >= d.limits.ConnectionsPerParticipant:
		if !d.closeIdle(OverParticipant, maps.Keys(d.participants[participant])) {
			return OverParticipant, false
		}
	case c.place != nil && d.known >= d.limits.Connections-d.mostStrangers():
		if !d.closeIdle(overAll, d.members) {
			return overAll, false
		}
	}
	d.detach(c)
	c.known, c.participant = true, participant
	if d.participants[participant] == nil {
		d.participants[participant] = map[*connection]struct{}{}
	}
	d.participants[participant][c] = struct{}{}
	d.known++
	return "", true
}

// members goes through the participants' connections.
func (d *Connections) members(yield func(*connection) bool) {
	for _, of := range d.participants {
		for c := range of {
			if !yield(c) {
				return
			}
		}
	}
}

// closeIdle closes the connection longest idle of some.
func (d *Connections) closeIdle(reason string, of iter.Seq[*connection]) (ok bool) {
	d.refused.WithLabelValues(reason).Inc()
	var longest *connection
	var least time.Duration
	for c := range of {
		if since, idle := c.idle(); idle && (longest == nil || since < least) {
			longest, least = c, since
		}
	}
	if longest == nil || !longest.displace(true) {
		return false
	}
	d.close(longest)
	return true
}

// Watch cuts off the connections of too slow clients until ctx ends. Connections outlive the
// order to stop: end ctx after the server's shutdown.
func (d *Connections) Watch(ctx context.Context) {
	ticker := time.NewTicker(watchPeriod)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			d.look()
		}
	}
}

// look cuts off every connection whose client is too slow.
func (d *Connections) look() {
	d.clock.Store(int64(d.now().Sub(d.begun)))
	now := d.time()
	for _, c := range d.snapshot() {
		if reason := c.check(now, &d.limits); reason != notCut {
			d.cuts.WithLabelValues(string(reason)).Inc()
		}
	}
}

// snapshot lists all connections.
func (d *Connections) snapshot() []*connection {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make([]*connection, 0, d.known+d.strangers)
	for _, own := range d.sources {
		for e := own.Front(); e != nil; e = e.Next() {
			if c, ok := e.Value.(*connection); ok {
				all = append(all, c)
			}
		}
	}
	return slices.AppendSeq(all, d.members)
}

// connectionStates counts the connections when the metrics are read, so that no request pays for it.
type connectionStates struct {
	door *Connections
	desc *prometheus.Desc
}

// Describe is the collector's.
func (s connectionStates) Describe(descs chan<- *prometheus.Desc) { descs <- s.desc }

// Collect counts.
func (s connectionStates) Collect(metrics chan<- prometheus.Metric) {
	counts := map[string]int{"idle": 0, "head": 0, "body": 0, "exchange": 0, "answer": 0}
	for _, c := range s.door.snapshot() {
		counts[c.state()]++
	}
	for state, n := range counts {
		metrics <- prometheus.MustNewConstMetric(s.desc, prometheus.GaugeValue, float64(n), state)
	}
}
