// Package hub is the vocabulary of the gateway: the words every other package shares.
//
// It holds values only: no input, output, SQL or XML. Contract words stay Italian as in
// xsd/sinba-eventi-v1.xsd; everything else is English. It imports nothing of this module.
package hub

import (
	"time"

	"github.com/google/uuid"
)

// Environment keeps PROD and TEST apart: keys, stored rows and national endpoints are
// separate for each (contract, "Ambiente").
type Environment uint8

// The environments of the contract (codAmbiente).
const (
	Prod Environment = 1
	Test Environment = 2
)

// String gives the contract's word: PROD or TEST.
func (e Environment) String() string {
	if e == Test {
		return "TEST"
	}
	return "PROD"
}

// ParseEnvironment reads the contract's word. ok is false for any other text.
func ParseEnvironment(s string) (e Environment, ok bool) {
	switch s {
	case "PROD":
		return Prod, true
	case "TEST":
		return Test, true
	}
	return 0, false
}

// Ente is an organisation that keeps case files and for which a participant may speak.
type Ente struct {
	// ID is the row in the registry.
	ID int32
	// Code is the contract's CodiceEnte, at most 36 characters.
	Code string
	// Zone is the contract's CodiceZona.
	Zone string
	// Region is the ente's region in the SINBA list (01-21; Toscana is 17).
	Region string
}

// Participant is an organisation's system that is allowed to talk to the hub.
type Participant struct {
	// ID is the row in the registry.
	ID int32
	// Name labels logs and metrics: a short word from the registry, never from a message.
	Name string
	// Environment is the only one this participant's credential opens.
	Environment Environment
	// Enti are those it may speak for.
	Enti []Ente
}

// Ente finds the one with the given code among those the participant may speak for.
func (p *Participant) Ente(code string) (Ente, bool) {
	for _, e := range p.Enti {
		if e.Code == code {
			return e, true
		}
	}
	return Ente{}, false
}

// Outcome is what a receipt says (codEsitoRicezione).
type Outcome uint8

// The outcomes of an accepted event.
const (
	Accepted Outcome = iota + 1
	AcceptedWithWarnings
	Duplicate
)

// String gives the contract's word.
func (o Outcome) String() string {
	switch o {
	case Accepted:
		return "ACCETTATO"
	case AcceptedWithWarnings:
		return "ACCETTATO_CON_AVVISI"
	case Duplicate:
		return "DUPLICATO"
	}
	return ""
}

// Receipt is what the sender of an accepted event gets (RicevutaEventoType). The message id of
// the attempt and the salt are not kept: the first is the request's, the second is derived.
type Receipt struct {
	// ID is IdRicevuta, also the id of the stored message and event.
	ID uuid.UUID
	// Event is IdEvento as first sent, in lower case.
	Event uuid.UUID
	// Outcome of the first acceptance: Accepted or AcceptedWithWarnings.
	Outcome Outcome
	// ReceivedAt is DataOraRicezione.
	ReceivedAt time.Time
	// Commitment is ImprontaMessaggio: SHA-256(salt ‖ content form).
	Commitment [32]byte
	// Registration is IdRegistrazione: the id of the journal entry.
	Registration uuid.UUID
	// Warnings are the LIEVE and INFO findings of the first acceptance.
	Warnings []Violation
}

// DeliveryState is where one event to one receiver stands (architecture, "States of an event").
type DeliveryState string

// The delivery states. Delivered and Refused are final.
const (
	Pending   DeliveryState = "pending"
	Sending   DeliveryState = "sending"
	Retrying  DeliveryState = "retrying"
	Uncertain DeliveryState = "uncertain"
	Delivered DeliveryState = "delivered"
	Refused   DeliveryState = "refused"
	Dead      DeliveryState = "dead"
	Parked    DeliveryState = "parked"
)

// DeliveryStates lists every state, for metrics that must show zeroes.
func DeliveryStates() []DeliveryState {
	return []DeliveryState{Pending, Sending, Retrying, Uncertain, Delivered, Refused, Dead, Parked}
}

// Stato is what a vendor sees of the state (codStatoEvento). ANNULLATO is not a delivery
// state: it comes from a later annulment that was confirmed.
func (s DeliveryState) Stato() string {
	switch s {
	case Pending:
		return "MEMORIZZATO"
	case Sending, Retrying:
		return "IN_INOLTRO"
	case Delivered:
		return "CONFERMATO"
	case Refused:
		return "RIFIUTATO"
	case Uncertain, Dead, Parked:
		return "DA_VERIFICARE"
	}
	return "DA_VERIFICARE"
}
