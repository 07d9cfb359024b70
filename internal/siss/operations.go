package siss

import (
	"context"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/pkg/soap"
)

// version is what echo tells.
const version = "siss-sim 1.0"

// violation is a ViolazioneType: never a value of the request.
type violation struct{ code, where, text string }

// The codes of this endpoint, CodiceViolazioneType.
const (
	codeMalformed   = "SISS_001"
	codeOperation   = "SISS_002"
	codeMedia       = "SISS_003"
	codeTooLarge    = "SISS_004"
	codeConflict    = "SISS_101"
	codeSchema      = "SISS_200"
	codeScripted    = "SISS_300"
	codeInternal    = "SISS_500"
	codeUnavailable = "SISS_503"
)

// operation is one of the contract: how its valid request becomes the answer element.
type operation struct {
	name string
	run  func(ctx context.Context, s *Simulator, r request) (answer []byte, esito string, err error)
}

// request is a valid one.
type request struct {
	// element is the Body's child in canonical form.
	element []byte
	// room may be overwritten: the message as it came is not looked at any more.
	room []byte
	// refuse is the order to answer RIFIUTATO.
	refuse bool
}

// operationOf finds the operation whose request element has that local name.
func operationOf(root string) (operation, bool) {
	switch root {
	case "TrasmettiEventoRichiesta":
		return operation{trasmettiEvento, runTrasmettiEvento}, true
	case "StatoTrasmissioneRichiesta":
		return operation{"statoTrasmissione", runStatoTrasmissione}, true
	case "RiepilogoRichiesta":
		return operation{"riepilogo", runRiepilogo}, true
	case "ComunicaCodiciRichiesta":
		return operation{"comunicaCodici", runComunicaCodici}, true
	case "EchoRichiesta":
		return operation{"echo", runEcho}, true
	}
	return operation{}, false
}

func runTrasmettiEvento(ctx context.Context, s *Simulator, r request) (answer []byte, esito string, err error) {
	var id uuid.UUID
	var event []byte
	for e := range children(r.element) {
		switch e.name {
		case "IdTrasmissione":
			if id, err = uuid.ParseBytes(e.content); err != nil {
				return nil, "", err
			}
		case "EventoNazionale":
			event = appendStandalone(r.room[:0], e.whole)
		}
	}
	v, err := s.ledger.put(ctx, newTransmission(id, event, r.refuse))
	if err != nil {
		return nil, "", err
	}
	return answerFor("TrasmettiEventoRisposta", id, v.esito, v.violations("/TrasmettiEventoRichiesta")), v.esito, nil
}

func runStatoTrasmissione(_ context.Context, s *Simulator, r request) (answer []byte, esito string, err error) {
	id, err := uuid.Parse(text(r.element, "IdTrasmissione"))
	if err != nil {
		return nil, "", err
	}
	v := verdict{esito: s.ledger.state(id)}
	return answerFor("StatoTrasmissioneRisposta", id, v.esito, v.violations("/TrasmettiEventoRichiesta")), v.esito, nil
}

func runRiepilogo(_ context.Context, s *Simulator, r request) (answer []byte, esito string, err error) {
	day := text(r.element, "Giorno")
	b := open("RiepilogoRisposta")
	for _, t := range s.ledger.totals(day) {
		b = append(b, `<Totale>`...)
		b = soap.AppendElement(b, "Giorno", day)
		b = soap.AppendElement(b, "TipoEvento", t.tipo)
		b = soap.AppendElement(b, "Numero", strconv.Itoa(t.number))
		b = soap.AppendElement(b, "Impronta", t.digest)
		b = append(b, `</Totale>`...)
	}
	return append(b, `</RiepilogoRisposta>`...), "ok", nil
}

func runComunicaCodici(_ context.Context, s *Simulator, r request) (answer []byte, esito string, err error) {
	one := communication{Motivo: text(r.element, "Motivo")}
	if one.ID, err = uuid.Parse(text(r.element, "IdComunicazione")); err != nil {
		return nil, "", err
	}
	for e := range children(r.element) {
		if e.name == "Coppia" {
			one.Coppie = append(one.Coppie, pair{text(e.whole, "Precedente"), text(e.whole, "Nuovo")})
		}
	}
	v := verdict{esito: refused}
	if !r.refuse {
		if v, err = s.codes.put(one); err != nil {
			return nil, "", err
		}
	}
	b := open("ComunicaCodiciRisposta")
	b = soap.AppendElement(b, "IdComunicazione", one.ID.String())
	b = soap.AppendElement(b, "Esito", v.esito)
	b = appendViolations(b, v.violations("/ComunicaCodiciRichiesta"))
	return append(b, `</ComunicaCodiciRisposta>`...), v.esito, nil
}

func runEcho(_ context.Context, s *Simulator, r request) (answer []byte, esito string, err error) {
	b := open("EchoRisposta")
	if message := text(r.element, "Messaggio"); message != "" {
		b = soap.AppendElement(b, "Messaggio", message)
	}
	b = soap.AppendElement(b, "VersioneServizio", version)
	b = soap.AppendElement(b, "DataOra", s.now().UTC().Format(time.RFC3339))
	b = soap.AppendElement(b, "Disponibile", "true")
	return append(b, `</EchoRisposta>`...), "ok", nil
}

// answerFor writes TrasmettiEventoRisposta or StatoTrasmissioneRisposta.
func answerFor(name string, id uuid.UUID, esito string, because []violation) []byte {
	b := open(name)
	b = soap.AppendElement(b, "IdTrasmissione", id.String())
	b = soap.AppendElement(b, "Esito", esito)
	if esito == accepted || esito == repeated {
		b = soap.AppendElement(b, "ProtocolloNazionale", protocol(id))
	}
	b = appendViolations(b, because)
	b = append(b, `</`...)
	b = append(b, name...)
	return append(b, '>')
}

// violations tells why something was refused.
func (v verdict) violations(where string) []violation {
	switch {
	case v.esito != refused:
		return nil
	case v.contradicts:
		return []violation{{codeConflict, where, "Le coppie contraddicono quanto comunicato."}}
	case v.conflict:
		return []violation{{codeConflict, where, "Identificativo già ricevuto con altro contenuto."}}
	}
	return []violation{{codeScripted, where, "Rifiutato dal simulatore come ordinato."}}
}

func open(name string) []byte {
	b := make([]byte, 0, 512)
	b = append(b, '<')
	b = append(b, name...)
	return append(b, ` xmlns="`+namespace+`">`...)
}

func appendViolations(b []byte, all []violation) []byte {
	for _, v := range all {
		b = append(b, `<Violazione>`...)
		b = soap.AppendElement(b, "Codice", v.code)
		b = soap.AppendElement(b, "Posizione", v.where)
		b = soap.AppendElement(b, "Descrizione", v.text)
		b = append(b, `</Violazione>`...)
	}
	return b
}
