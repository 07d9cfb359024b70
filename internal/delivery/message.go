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

// national makes the event that leaves, from the regional event, the subject, the case and the
// epochs recorded at acceptance. Its errors hold no content.
func (m maker) national(c *postgres.Claimed) ([]byte, error) {
	if c.MappingVersion != sinba.MappingVersion {
		return nil, errMapping
	}
	codes, err := m.keys.Codes(pseudonym.Nation, c.NationEpoch, c.Subject, c.Case)
	if err != nil {
		return nil, err
	}
	ids, err := m.keys.Codes(pseudonym.Nation, c.IDsEpoch, c.Subject, c.Case)
	if err != nil {
		return nil, err
	}
	return m.events.National(c.Body, sinba.NationalCodes{Beneficiary: codes.Pseudonym(), Rekey: ids.Rekey})
}

// transmission is the request of trasmettiEvento, TrasmissioneType.
func transmission(c *postgres.Claimed, national []byte) []byte {
	b := make([]byte, 0, len(national)+512)
	b = append(b, `<TrasmettiEventoRichiesta xmlns="`+sinba.NamespaceNational+`">`...)
	b = soap.AppendElement(b, "IdTrasmissione", c.ID.String())
	b = soap.AppendElement(b, "CodiceEnte", c.EnteCode)
	b = soap.AppendElement(b, "CodiceRegione", c.Region)
	b = append(b, national...)
	return append(b, `</TrasmettiEventoRichiesta>`...)
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
