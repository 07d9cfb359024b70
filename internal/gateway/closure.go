package gateway

import (
	"math/rand/v2"
	"time"

	"github.com/sinbahub/sinbahub/internal/contract"
	"github.com/sinbahub/sinbahub/internal/hub"
)

// Closure says that the hub takes no further events, and why. The zero Closure takes them.
type Closure struct {
	// Reason is one of the constants below, empty if events are taken.
	Reason ClosedReason
	// Text is what an operator says of a maintenance, at most 100 characters (Testo100Type).
	Text string
	// RetryAfter is when to come back at the soonest; 0 if nobody knows.
	RetryAfter time.Duration
}

// ClosedReason is a label of hub_admission_closed and hub_admission_rejected_total, and stands in the
// Regola of a refusal.
type ClosedReason string

// The reasons, the strongest first: of several that hold, the sender is told this one.
const (
	// ClosedMaintenance says that an operator closed the door.
	ClosedMaintenance ClosedReason = "maintenance"
	// ClosedDisk says that the database's disk is nearly full.
	ClosedDisk ClosedReason = "disk"
	// ClosedMemory says that serve itself needs too much memory.
	ClosedMemory ClosedReason = "memory"
	// ClosedBacklog says that accepted events wait too long for their delivery.
	ClosedBacklog ClosedReason = "backlog"
	// ClosedJournal says that the journal could not be sealed for too long.
	ClosedJournal ClosedReason = "journal"
)

// ClosedReasons lists them in that order.
func ClosedReasons() []ClosedReason {
	return []ClosedReason{ClosedMaintenance, ClosedDisk, ClosedMemory, ClosedBacklog, ClosedJournal}
}

// A sender whom nobody can tell better comes back after closedWait to three times that; one who waits
// for the end of a maintenance at most after mostWait, and a fifth of it.
const (
	closedWait = 30 * time.Second
	mostWait   = 30 * time.Minute
)

// Close puts what the door says of new events in force for the exchanges that begin from now on. What
// has begun is finished.
func (g *Gateway) Close(c Closure) { g.closure.Store(&c) }

// Closed is what the door says now.
func (g *Gateway) Closed() Closure { return *g.closure.Load() }

// wait is Retry-After, spread so that those who were refused together do not come back together.
func (c *Closure) wait() time.Duration {
	if c.RetryAfter <= 0 {
		return jittered(closedWait)
	}
	least := max(time.Second, min(c.RetryAfter, mostWait)).Truncate(time.Second)
	return least + time.Duration(rand.Int64N(int64(least/5)+int64(5*time.Second))) //nolint:gosec // no secret
}

// refusal is what the sender of something new is told.
func (c *Closure) refusal() *hub.Error {
	code := hub.CodeOverloaded
	if c.Reason == ClosedMaintenance {
		code = hub.CodeMaintenance
	}
	return &hub.Error{Kind: hub.Overloaded, RetryAfter: c.wait(), Note: c.Text, Public: []hub.Violation{{
		Code: code, Severity: hub.Grave, Rule: "door:" + string(c.Reason), Path: "/",
	}}}
}

// turnAway refuses for a closed door, and counts it.
func (g *Gateway) turnAway(c *Closure) *hub.Error {
	g.metrics.rejected.WithLabelValues(string(c.Reason)).Inc()
	return c.refusal()
}

// spare refuses before its body is read what would cost a hub that is short of memory more than a
// question does.
func (g *Gateway) spare(x *exchange, length int64) error {
	if x.closure.Reason != ClosedMemory || length >= 0 && length <= firstRead {
		return nil
	}
	return g.turnAway(x.closure)
}

// admitLot refuses a lot as a whole before a closed door: its sender has one Retry-After for all of
// it, and no event of it is judged that a repetition would judge again.
func (g *Gateway) admitLot(x *exchange) error {
	if x.closure.Reason == "" || x.operation.Name != contract.InviaLotto {
		return nil
	}
	return g.turnAway(x.closure)
}

// admit refuses an event that is new to the hub before a closed door. A repetition of an accepted one
// has its receipt by now, a wrong one its refusal, and a dry run takes nothing. That the store did
// not answer is no news in a maintenance, which is what the sender is told of.
func (g *Gateway) admit(x *exchange, events []*sent) []*sent {
	if x.closure.Reason == "" || x.operation.Name == contract.VerificaEvento {
		return events
	}
	for _, e := range x.events {
		unanswered := e.refusal != nil && e.refusal.Kind == hub.Unavailable && x.closure.Reason == ClosedMaintenance
		if !e.ended() || unanswered {
			e.refusal = g.turnAway(x.closure)
		}
	}
	return nil
}

// sentence is what echo says of a closed door to who asked nothing in words: Italian and English in
// at most 100 characters.
func (c *Closure) sentence() string {
	switch c.Reason {
	case ClosedMaintenance:
		return c.Text
	case ClosedDisk:
		return "Ricezione sospesa: disco quasi pieno. / Not receiving: the disk is nearly full."
	case ClosedMemory:
		return "Ricezione sospesa: memoria insufficiente. / Not receiving: short of memory."
	case ClosedBacklog:
		return "Ricezione sospesa: inoltro in ritardo. / Not receiving: the delivery is late."
	case ClosedJournal:
		return "Ricezione sospesa: giornale non sigillato. / Not receiving: the journal is not sealed."
	}
	return ""
}
