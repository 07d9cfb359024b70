// Package casefile knows the life of a case (Cartella): which event may follow which, what has
// become of a case after all its events, and the rules that need a case's history.
//
//	                    APERTURA_CARTELLA,
//	            TRASFERIMENTO INGRESSO        PRESA_IN_CARICO
//	     (none) ─────────────────────▶ APERTA ───────────────▶ IN_CARICO
//	        │                            ▲ │                    ▲  │  │
//	        │ CARICAMENTO_INIZIALE       │ │ CHIUSURA           │  │  │ TRASFERIMENTO USCITA
//	        └────────────────────────────┼─┼────────────────────┘  │  ▼
//	                                     │ ▼            CHIUSURA   │ TRASFERITA
//	                          RIAPERTURA └─CHIUSA ◀────────────────┘  │
//	                  (IN_CARICO if it      ▲       CHIUSURA          │
//	                   names a date)        └─────────────────────────┘
//
//	A of the opening, when no later event is live: any ──▶ ANNULLATA, which takes nothing more
//
// A case's State is always the fold of its live events (domain, 9.4): in the order of
// ProgressivoCartella, then of acceptance; a rettifica (R) takes the place of its original and
// replaces its content; an annullamento (A) kills its original with all its rettifiche; an event
// that is no longer allowed at its place, because another one came in before it, is skipped and
// counted as incongruent, never un-accepted.
//
// Everything here is a pure function of its arguments. Nothing here names a child: local ids are
// stand-ins (sinba.Facts).
package casefile

import (
	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/sinba"
)

// Status is where a case stands.
type Status uint8

// The statuses of a case.
const (
	None Status = iota
	Open
	InCharge
	Closed
	Transferred
	Annulled
)

// String gives the contract's word.
func (s Status) String() string {
	switch s {
	case Open:
		return "APERTA"
	case InCharge:
		return "IN_CARICO"
	case Closed:
		return "CHIUSA"
	case Transferred:
		return "TRASFERITA"
	case Annulled:
		return "ANNULLATA"
	case None:
	}
	return ""
}

// Event is one accepted event of a case, or one that asks to be.
type Event struct {
	// ID is IdEvento, RefersTo IdEventoRiferito.
	ID, RefersTo uuid.UUID
	Operation    sinba.Operation
	Type         sinba.EventType
	// Sequence is ProgressivoCartella; Position the order of acceptance inside the case, from 1.
	Sequence, Position int32
	Facts              sinba.Facts
}

// before tells whether e stands before o in the order of the fold.
func (e *Event) before(o *Event) bool {
	return e.Sequence < o.Sequence || e.Sequence == o.Sequence && e.Position < o.Position
}

// State is what has become of a case: the fold of its live events.
type State struct {
	Status Status
	// OpenedOn is the opening's DataApertura, TakenOn the last DataPresaInCarico.
	OpenedOn, TakenOn sinba.Date
	// LastNumber is the highest ProgressivoCartella of any accepted event, live or not.
	LastNumber int32
	// Incongruent counts the live events that the fold skips.
	Incongruent int32
	// BornIn, Presumed and Citizenship are those of the last Anagrafica.
	BornIn      int32
	Presumed    bool
	Citizenship sinba.Citizenship
	// Unaccompanied is the last MinoreStranieroNoAcc.
	Unaccompanied bool
	// Mother and Father are those of the last ComposizioneFamiglia.
	Mother, Father bool
	// Identities are the identifiers that live events named the child by, in the order in which they
	// were first told.
	Identities []string
	// Frozen: the child was adopted, so that the case only closes (BR-22).
	Frozen bool
	// Items are open services, all placements and care, and all orders, in the order in which they
	// were first told.
	Items []Item
}

// Item is what a case knows of a service, a placement or an order.
type Item struct {
	Kind ItemKind
	ID   string
	// Start and End bound it; End is 0 as long as it is open.
	Start, End sinba.Date
	// Closed: its closing was told.
	Closed      bool
	Residential bool
	Where       string
}

// ItemKind is sinba's.
type ItemKind = sinba.ItemKind

// next is the life cycle's table (domain, 9.4).
func next(from Status, t sinba.EventType, f *sinba.Facts) (Status, bool) {
	switch t {
	case sinba.AperturaCartella:
		return Open, from == None
	case sinba.CaricamentoIniziale:
		return InCharge, from == None
	case sinba.Trasferimento:
		if f.Entering {
			return Open, from == None || from == Open
		}
		return Transferred, from == InCharge
	case sinba.PresaInCarico:
		return InCharge, from == Open
	case sinba.Segnalazione, sinba.Valutazione, sinba.NucleoFamiliare, sinba.ProvvedimentoGiudiziario:
		return from, from == Open || from == InCharge
	case sinba.Progetto, sinba.Intervento, sinba.Affidamento, sinba.InserimentoStruttura:
		return from, from == InCharge
	case sinba.VariazioneAnagrafica:
		return from, from != None && from != Annulled
	case sinba.ChiusuraCartella:
		return Closed, from == Open || from == InCharge || from == Transferred
	case sinba.RiaperturaCartella:
		if f.TakenOn != 0 {
			return InCharge, from == Closed
		}
		return Open, from == Closed
	}
	return from, false
}

// opens tells whether an event of this type begins a case.
func opens(t sinba.EventType, f *sinba.Facts) bool {
	return t == sinba.AperturaCartella || t == sinba.CaricamentoIniziale || t == sinba.Trasferimento && f.Entering
}
