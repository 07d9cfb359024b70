package app

import (
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
)

// openEvents finds the accepted events of a range whose last attempt in it was not final. It takes the
// entries from the last to the first, so that the first attempt it sees of an event is the last one, and
// nothing is kept of an event whose acceptance has gone by.
type openEvents struct {
	last map[uuid.UUID]lastAttempt
	// acted has the delivery that an operator's last act named.
	acted map[uuid.UUID]uuid.UUID
}

// lastAttempt is that of one event.
type lastAttempt struct {
	delivery uuid.UUID
	state    hub.DeliveryState
}

// take takes the next entry towards the first and gives the line of an open event, empty for none.
func (o *openEvents) take(e *journal.Entry) string {
	switch e.Kind {
	case journal.AttemptSettled:
		if _, known := o.last[e.Message]; !known {
			o.last[e.Message] = lastAttempt{e.Delivery, stateOf(e.Outcome)}
		}
	case journal.OperatorActed:
		if _, known := o.acted[e.Message]; !known {
			o.acted[e.Message] = e.Delivery
		}
	case journal.EventAccepted:
		last, tried := o.last[e.Message]
		if !tried || last.delivery != e.Delivery && last.delivery != o.acted[e.Message] {
			last = lastAttempt{e.Delivery, hub.Pending}
		}
		delete(o.last, e.Message)
		delete(o.acted, e.Message)
		switch last.state {
		case hub.Delivered, hub.Refused, hub.Dead, hub.Parked:
			return ""
		case hub.Pending, hub.Sending, hub.Retrying, hub.Uncertain:
			return fmt.Sprintf("%s %s %s\n", e.Message, last.delivery, last.state)
		}
	case journal.RequestRefused, journal.SubjectsJoined, journal.OthersHistory, journal.Reconciled,
		journal.MaintenanceChanged, journal.ConfigurationChanged, journal.MessageOpened,
		journal.JournalRestored, journal.EvidenceExported, journal.MessagesReplayed, journal.RecordsRetired,
		journal.PersonChanged, journal.SubjectReidentified, journal.TicketRefused, journal.TicketRevoked, journal.SubjectErased, journal.SubjectLooked, journal.SubjectsSeparated,
		journal.KeyRotated, journal.CodesTold, journal.ActionSigned, journal.CodesRetried:
	}
	return ""
}

// stateOf is the state that a word names, and pending for what is none: it cannot be an outcome.
func stateOf(word string) hub.DeliveryState {
	for _, state := range hub.DeliveryStates() {
		if string(state) == word {
			return state
		}
	}
	return hub.Pending
}

// writeOpen writes a line for each open event, the one accepted last first.
func (a *audit) writeOpen() error {
	if err := a.b.begin("open"); err != nil {
		return err
	}
	events := openEvents{last: map[uuid.UUID]lastAttempt{}, acted: map[uuid.UUID]uuid.UUID{}}
	var page []*journal.Entry
	for number := range slices.Backward(a.groups.all) {
		page = page[:0]
		if err := a.groups.entries(number, func(_ int, e *journal.Entry) { page = append(page, e) }); err != nil {
			return err
		}
		for _, e := range slices.Backward(page) {
			if e == nil {
				continue
			}
			if line := events.take(e); line != "" {
				if _, err := a.b.Write([]byte(line)); err != nil {
					return err
				}
			}
		}
	}
	a.b.end()
	return nil
}
