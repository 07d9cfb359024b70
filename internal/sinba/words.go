package sinba

import "slices"

// EventType is what happened to a case (codTipoEvento).
type EventType string

// The event types of the contract.
const (
	AperturaCartella         EventType = "APERTURA_CARTELLA"
	Segnalazione             EventType = "SEGNALAZIONE"
	PresaInCarico            EventType = "PRESA_IN_CARICO"
	Valutazione              EventType = "VALUTAZIONE"
	NucleoFamiliare          EventType = "NUCLEO_FAMILIARE"
	Progetto                 EventType = "PROGETTO"
	Intervento               EventType = "INTERVENTO"
	Affidamento              EventType = "AFFIDAMENTO"
	InserimentoStruttura     EventType = "INSERIMENTO_STRUTTURA"
	ProvvedimentoGiudiziario EventType = "PROVVEDIMENTO_GIUDIZIARIO"
	VariazioneAnagrafica     EventType = "VARIAZIONE_ANAGRAFICA"
	Trasferimento            EventType = "TRASFERIMENTO"
	ChiusuraCartella         EventType = "CHIUSURA_CARTELLA"
	RiaperturaCartella       EventType = "RIAPERTURA_CARTELLA"
	CaricamentoIniziale      EventType = "CARICAMENTO_INIZIALE"
)

// EventTypes lists all of them in the schema's order, for closed metric labels and for checks.
func EventTypes() []EventType {
	return []EventType{
		AperturaCartella, Segnalazione, PresaInCarico, Valutazione, NucleoFamiliare, Progetto,
		Intervento, Affidamento, InserimentoStruttura, ProvvedimentoGiudiziario,
		VariazioneAnagrafica, Trasferimento, ChiusuraCartella, RiaperturaCartella,
		CaricamentoIniziale,
	}
}

// Known tells whether t is one of the contract's types.
func (t EventType) Known() bool { return slices.Contains(EventTypes(), t) }

// annullamento is the body of every annulment, whatever the type of the annulled event.
const annullamento = "Annullamento"

// body is the element that Dettaglio holds for this type (BR-01), empty for an unknown type.
func (t EventType) body() string {
	switch t {
	case AperturaCartella:
		return "AperturaCartella"
	case Segnalazione:
		return "Segnalazione"
	case PresaInCarico:
		return "PresaInCarico"
	case Valutazione:
		return "Valutazione"
	case NucleoFamiliare:
		return "NucleoFamiliare"
	case Progetto:
		return "Progetto"
	case Intervento:
		return "Intervento"
	case Affidamento:
		return "Affidamento"
	case InserimentoStruttura:
		return "InserimentoStruttura"
	case ProvvedimentoGiudiziario:
		return "ProvvedimentoGiudiziario"
	case VariazioneAnagrafica:
		return "VariazioneAnagrafica"
	case Trasferimento:
		return "Trasferimento"
	case ChiusuraCartella:
		return "ChiusuraCartella"
	case RiaperturaCartella:
		return "RiaperturaCartella"
	case CaricamentoIniziale:
		return "Fotografia"
	}
	return ""
}

// Operation is what the message does with an event (codTipoOperazione).
type Operation string

// The operations of the contract.
const (
	Inserimento  Operation = "I"
	Rettifica    Operation = "R"
	Annullamento Operation = "A"
)

// IdentifierKind tells which register a child's identifier comes from. The words are stable: they
// enter the link index of the vault.
type IdentifierKind string

// The kinds of identifier (IdentificativoPersonaType).
const (
	CodiceFiscale            IdentifierKind = "CF"
	CodiceFiscaleProvvisorio IdentifierKind = "CFP"
	CodiceSTP                IdentifierKind = "STP"
	CodiceENI                IdentifierKind = "ENI"
	// NonIdentificato has no identifier at all: the child is known by ente and local id only.
	NonIdentificato IdentifierKind = "NI"
)

// kindOf maps the element inside an IdentificativoPersonaType to its kind, empty for another name.
func kindOf(element string) IdentifierKind {
	switch element {
	case "CodiceFiscale":
		return CodiceFiscale
	case "CodiceFiscaleProvvisorio":
		return CodiceFiscaleProvvisorio
	case "CodiceSTP":
		return CodiceSTP
	case "CodiceENI":
		return CodiceENI
	case "NonIdentificato":
		return NonIdentificato
	}
	return ""
}

// Class is what becomes of a leaf in the regional or the national event (foglie.tsv).
type Class string

// The classes of the contract's table.
const (
	ClassKeep      Class = "keep"
	ClassDrop      Class = "drop"
	ClassPseudonym Class = "pseudonym"
	ClassRekey     Class = "rekey"
	ClassMonth     Class = "month"
	ClassYearBand  Class = "year_band"
	ClassRegion    Class = "region"
	ClassGroup     Class = "group"
	ClassRoute     Class = "route"
)
