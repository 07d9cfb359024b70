package hub

import (
	"time"

	"github.com/google/uuid"
)

// SealedRow is something stored that only the opener opens, and what is needed to know for whom it was
// sealed. None of it tells who that is.
type SealedRow struct {
	// Message is IdRicevuta of the event it belongs to.
	Message uuid.UUID
	// Delivery is IdTrasmissione, if it was sealed for a delivery.
	Delivery uuid.UUID
	// Attempt is the number of the attempt, of a delivery's bytes.
	Attempt int32
	// Participant and Ente are the registry's rows of the event's sender.
	Participant, Ente int32
	// Subject is whom the event is about, by its random id.
	Subject uuid.UUID
	// ReceivedAt is when the event was accepted.
	ReceivedAt time.Time
	// Bytes are the envelope; nil if it is no longer kept, or never was.
	Bytes []byte
}

// SentKey names the bytes of one attempt to deliver.
type SentKey struct {
	// Delivery is IdTrasmissione.
	Delivery uuid.UUID
	// Attempt is the attempt's number; 0 means the last one whose bytes were kept.
	Attempt int32
}
