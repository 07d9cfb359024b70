package delivery

import (
	"errors"

	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
	"github.com/sinbahub/sinbahub/internal/sinba"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// The operations of SissRicezione that delivery calls.
const (
	trasmettiEvento   = "trasmettiEvento"
	statoTrasmissione = "statoTrasmissione"
	echo              = "echo"
)

// errMapping says that an event was mapped by a version this binary does not have.
var errMapping = errors.New("mapping version is not in this binary")

// maker makes national events. It holds no state: the same delivery always gives the same bytes.
type maker struct {
	events *sinba.Catalogue
	keys   *pseudonym.Keys
}

// transmission is the message of trasmettiEvento, TrasmissioneType.
type transmission struct {
	// message is all of it.
	message []byte
	// national is the event in it: part of the same bytes.
	national []byte
}

// aroundEvent is the room for what stands around the event in a message.
const aroundEvent = 768

// transmission makes what leaves, from the regional event, the subject, the case and the epochs
// recorded at acceptance. Its errors hold no content.
func (m maker) transmission(c *postgres.Claimed) (transmission, error) {
	if c.MappingVersion != sinba.MappingVersion {
		return transmission{}, errMapping
	}
	codes, err := m.keys.Codes(pseudonym.Nation, c.NationEpoch, c.Subject, c.Case)
	if err != nil {
		return transmission{}, err
	}
	ids, err := m.keys.Codes(pseudonym.Nation, c.IDsEpoch, c.Subject, c.Case)
	if err != nil {
		return transmission{}, err
	}
	b := soap.AppendEnvelopeStart(make([]byte, 0, len(c.Body)+aroundEvent), soap.V12)
	b = append(b, `<TrasmettiEventoRichiesta xmlns="`+sinba.NamespaceNational+`">`...)
	b = soap.AppendElement(b, "IdTrasmissione", c.ID.String())
	b = soap.AppendElement(b, "CodiceEnte", c.EnteCode)
	b = soap.AppendElement(b, "CodiceRegione", c.Region)
	from := len(b)
	b, err = m.events.AppendNational(b, c.Body, sinba.NationalCodes{Beneficiary: codes.Pseudonym(), Rekey: ids.Rekey})
	if err != nil {
		return transmission{}, err
	}
	to := len(b)
	b = soap.AppendEnvelopeEnd(append(b, `</TrasmettiEventoRichiesta>`...))
	return transmission{message: b, national: b[from:to:to]}, nil
}

// stateRequest is the request of statoTrasmissione, RichiestaStatoTrasmissioneType.
func stateRequest(c *postgres.Claimed) []byte {
	b := []byte(`<StatoTrasmissioneRichiesta xmlns="` + sinba.NamespaceNational + `">`)
	b = soap.AppendElement(b, "IdTrasmissione", c.ID.String())
	return append(b, `</StatoTrasmissioneRichiesta>`...)
}

// echoRequest is the request of echo, EchoSissType.
func echoRequest() []byte {
	return []byte(`<EchoRichiesta xmlns="` + sinba.NamespaceNational + `"/>`)
}
