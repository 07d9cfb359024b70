package postgres

import (
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
)

// Carrier carries deliveries. What has nothing of its case before it may begin with the carrier at
// once, under a lease that the accepting transaction itself writes, so that no claim has to look for
// it: a claim costs the server about as much as storing the event.
type Carrier interface {
	// Reserve is called before an accepting transaction writes and tells how many deliveries, at most
	// so many, the carrier could begin now. It must not block.
	Reserve(most int) Room
	// Hand follows each Reserve once, after the COMMIT: taken are the deliveries that are held under
	// a lease of this room, none if the transaction failed. It must not block. After a COMMIT whose
	// outcome is unknown nobody carries what it may have stored until the leases run out.
	Hand(room Room, taken []Claimed)
}

// Room is what a carrier reserved.
type Room struct {
	// Deliveries is how many may begin; the other fields mean nothing if it is 0.
	Deliveries int
	// Environment is the carrier's.
	Environment hub.Environment
	// Owner and Lease are as in ClaimQuery.
	Owner uuid.UUID
	Lease time.Duration
	// Since is when the leases begin at the earliest, by the carrier's clock.
	Since time.Time
}

// HandTo makes events that are accepted from now on begin with a carrier.
func (s *Store) HandTo(c Carrier) { s.carrier.Store(&c) }

// reserve asks for room, of which there is none without a carrier.
func (s *Store) reserve(most int) Room {
	if c := s.carrier.Load(); c != nil && most > 0 {
		return (*c).Reserve(most)
	}
	return Room{}
}

// hand gives the carrier what began, and back the rest of the room.
func (s *Store) hand(room Room, taken []Claimed) {
	if room.Deliveries > 0 {
		(*s.carrier.Load()).Hand(room, taken)
	}
}

// begin chooses the fresh events whose deliveries begin at once, by their leases: at most the room's
// many, and of each case its only one in this batch. Whether an earlier one of the case still waits
// is for the statement to find out.
func (d *decision) begin(room Room) (leases []uuid.UUID) {
	leases = make([]uuid.UUID, len(d.fresh))
	left := room.Deliveries
	for i, r := range d.fresh {
		if left > 0 && d.files[i].took == 1 && r.Key.Environment == room.Environment && r.EnteCode != "" {
			leases[i] = uuid.New()
			left--
		}
	}
	return leases
}

// begun are the deliveries that were stored under their leases.
func (d *decision) begun(leases []uuid.UUID, stored map[uuid.UUID]bool) []Claimed {
	taken := make([]Claimed, 0, len(stored))
	for i, r := range d.fresh {
		if !stored[r.TransmissionID] {
			continue
		}
		taken = append(taken, Claimed{
			ID: r.TransmissionID, Lease: leases[i], Attempt: 1, Spent: 1, Environment: r.Key.Environment,
			Participant: r.Participant, Ente: r.Key.Ente, EnteCode: r.EnteCode, Region: r.Region,
			Message: r.ReceiptID, Event: r.Key.Event, Type: r.Type, Sequence: r.Sequence,
			ReceivedAt: r.ReceivedAt.UTC(), Subject: r.Subject, Carried: r.Carried, Case: r.Case.ID,
			NationEpoch: r.NationEpoch, IDsEpoch: r.Case.NationEpoch, MappingVersion: r.MappingVersion, Body: r.Body,
		})
	}
	return taken
}
