package client

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sinbahub/sinbahub/pkg/soap"
)

// The words of a receipt's Esito; a report's EsitoPrevisto has Rifiutato too.
const (
	Accettato          = "ACCETTATO"
	AccettatoConAvvisi = "ACCETTATO_CON_AVVISI"
	Duplicato          = "DUPLICATO"
	Rifiutato          = "RIFIUTATO"
)

// Receipt is the answer to inviaEvento (RicevutaEventoType): the event is durable. Keep it with the
// document: together they prove what the hub acknowledged.
type Receipt struct {
	IDRicevuta  string `xml:"IdRicevuta"`
	IDMessaggio string `xml:"IdMessaggio"`
	IDEvento    string `xml:"IdEvento"`
	// Esito is Duplicato if the hub had the event already: all else is then the first receipt's but
	// IDMessaggio.
	Esito             string    `xml:"Esito"`
	DataOraRicezione  time.Time `xml:"DataOraRicezione"`
	ImprontaMessaggio string    `xml:"ImprontaMessaggio"`
	// SaleImpronta is empty once the child's data were erased: nothing can then be proved.
	SaleImpronta    string      `xml:"SaleImpronta"`
	IDRegistrazione string      `xml:"IdRegistrazione"`
	Avvisi          []Violation `xml:"Avviso"`
}

// whole tells whether the receipt has everything in its form, and is for this event.
func (r *Receipt) whole(event *element) bool {
	return isUUID(r.IDRicevuta) && isUUID(r.IDMessaggio) && isUUID(r.IDEvento) && !r.DataOraRicezione.IsZero() &&
		isHex(r.ImprontaMessaggio, 64) && (r.SaleImpronta == "" || isHex(r.SaleImpronta, 32)) &&
		(r.IDRegistrazione == "" || isUUID(r.IDRegistrazione)) &&
		slices.Contains([]string{Accettato, AccettatoConAvvisi, Duplicato}, r.Esito) &&
		isOf(r.IDEvento, event.leaf("Testata", "IdEvento")) && isOf(r.IDMessaggio, event.leaf("Testata", "IdMessaggio"))
}

// isOf tells whether an id of an answer is the one asked for, if that is known.
func isOf(id, asked string) bool { return asked == "" || strings.EqualFold(id, asked) }

// Violation is one finding (AnomaliaType). Posizione is a path of the schema's names, Riga a line of
// the message as it was sent, envelope and all; 0 if it makes no sense.
type Violation struct {
	Codice        string `xml:"Codice"`
	Rilevanza     string `xml:"Rilevanza"`
	Posizione     string `xml:"Posizione"`
	Riga          int    `xml:"Riga"`
	Descrizione   string `xml:"Descrizione"`
	DescrizioneEN string `xml:"DescrizioneEN"`
	Regola        string `xml:"Regola"`
	// Riferimento is the address of the code's page.
	Riferimento string `xml:"Riferimento"`
}

// Refusal is a fault's detail (ErroreSinbaType): every violation up to 100, and how many there were.
type Refusal struct {
	IDTransazione  string      `xml:"IdTransazione"`
	DataOra        time.Time   `xml:"DataOra"`
	AnomalieTotali int         `xml:"AnomalieTotali"`
	Anomalie       []Violation `xml:"Anomalia"`
}

// whole tells whether there is at least one violation, and a code in each.
func (r *Refusal) whole() bool {
	return len(r.Anomalie) > 0 && !slices.ContainsFunc(r.Anomalie, func(v Violation) bool { return codiceOf(v.Codice) == "" })
}

// Report is the answer to verificaEvento (RapportoVerificaType): what inviaEvento would do.
type Report struct {
	Conforme       bool        `xml:"Conforme"`
	EsitoPrevisto  string      `xml:"EsitoPrevisto"`
	VersioneSchema string      `xml:"VersioneSchema"`
	Anomalie       []Violation `xml:"Anomalia"`
}

// whole tells whether verdict and word agree.
func (r *Report) whole() bool {
	if r.EsitoPrevisto == "" {
		return r.VersioneSchema != ""
	}
	return r.Conforme == (r.EsitoPrevisto != Rifiutato) &&
		slices.Contains([]string{Accettato, AccettatoConAvvisi, Duplicato, Rifiutato}, r.EsitoPrevisto)
}

// State is the answer to statoEvento (StatoEventoType): where an event stands on its way to SISS.
type State struct {
	IDEvento   string `xml:"IdEvento"`
	IDRicevuta string `xml:"IdRicevuta"`
	// Stato is MEMORIZZATO, IN_INOLTRO, CONFERMATO, RIFIUTATO, DA_VERIFICARE or ANNULLATO.
	Stato               string      `xml:"Stato"`
	DataOraStato        time.Time   `xml:"DataOraStato"`
	Tentativi           int         `xml:"Tentativi"`
	ProtocolloNazionale string      `xml:"ProtocolloNazionale"`
	Anomalie            []Violation `xml:"Anomalia"`
	// Prova is the journal's proof, nil until the entry has its leaf. It is not checked here.
	Prova *Proof `xml:"Prova"`
}

// Proof is ProvaType, base64 as in the answer.
type Proof struct {
	IndiceGiornale int64    `xml:"IndiceGiornale"`
	Foglia         string   `xml:"Foglia"`
	NodiInclusione []string `xml:"NodoInclusione"`
	Checkpoint     string   `xml:"Checkpoint"`
}

// Service is the answer to echo (StatoServizioType). Disponibile is false in maintenance; Messaggio is
// then the operator's text.
type Service struct {
	Messaggio        string    `xml:"Messaggio"`
	VersioneServizio string    `xml:"VersioneServizio"`
	VersioneSchema   string    `xml:"VersioneSchema"`
	DataOra          time.Time `xml:"DataOra"`
	Disponibile      bool      `xml:"Disponibile"`
}

// Summary is the answer to riepilogoEventi (RiepilogoEventiType), one page of it: Cursore asks for
// the next and is empty on the last.
type Summary struct {
	Totali              []DayTotal   `xml:"Totale"`
	Voci                []EventEntry `xml:"VoceEvento"`
	ProgressiviMancanti []int        `xml:"ProgressivoMancante"`
	Cursore             string       `xml:"Cursore"`
}

// DayTotal is TotaleGiornoType: Impronta is SHA-256 over the lower-case IdEvento of that day and type,
// sorted, each with a line feed behind it. A day is that of DataOraRicezione in Europe/Rome. Totals and
// missing numbers come on the first page only.
type DayTotal struct {
	Giorno     string `xml:"Giorno"`
	TipoEvento string `xml:"TipoEvento"`
	Numero     int    `xml:"Numero"`
	Impronta   string `xml:"Impronta"`
}

// EventEntry is VoceEventoType.
type EventEntry struct {
	IDEvento     string    `xml:"IdEvento"`
	IDRicevuta   string    `xml:"IdRicevuta"`
	TipoEvento   string    `xml:"TipoEvento"`
	Stato        string    `xml:"Stato"`
	DataOraStato time.Time `xml:"DataOraStato"`
}

// Lot is the answer to inviaLotto (EsitoLottoType): an outcome for each event, in the order sent.
type Lot struct {
	IDLotto string         `xml:"IdLotto"`
	Esiti   []EventOutcome `xml:"EsitoEvento"`
}

// EventOutcome is EsitoEventoType: exactly one of Ricevuta and Errore is set.
type EventOutcome struct {
	Posizione int      `xml:"Posizione"`
	IDEvento  string   `xml:"IdEvento"`
	Ricevuta  *Receipt `xml:"Ricevuta"`
	Errore    *Refusal `xml:"Errore"`
}

// whole tells whether every event of the lot has its one outcome.
func (l *Lot) whole(lot *element) bool {
	events := lot.all("Evento")
	if !isUUID(l.IDLotto) || !isOf(l.IDLotto, lot.leaf("IdLotto")) || len(l.Esiti) == 0 || lot != nil && len(l.Esiti) != len(events) {
		return false
	}
	for i, o := range l.Esiti {
		var event *element
		if lot != nil {
			event = events[i]
		}
		switch {
		case o.Posizione != i+1, (o.Ricevuta == nil) == (o.Errore == nil):
			return false
		case o.Ricevuta != nil && !o.Ricevuta.whole(event), o.Errore != nil && !o.Errore.whole():
			return false
		}
	}
	return true
}

// errAnswer stands for every way in which an answer is no envelope of the contract.
var errAnswer = errors.New("client: unreadable")

// read reads the reply's body into the outcome if it is the response that was asked for. Its error
// is a *FaultError for a fault of the contract, whatever the status a proxy made of it, and an
// *AnswerError for anything else. A response is believed with HTTP 200 only.
func (r *reply) read(response string, outcome any) error {
	d, child, err := open(r.body)
	if err != nil {
		return r.unusable(Unreadable, nil)
	}
	if child.Name.Local == "Fault" && child.Name.Space != namespace {
		var fault faultXML
		if d.DecodeElement(&fault, &child) != nil || shut(d) != nil {
			return r.unusable(Unreadable, nil)
		}
		details := slices.Concat(fault.Detail11.Errori, fault.Detail12.Errori)
		if len(details) != 1 || !details[0].whole() {
			return r.unusable(Unreadable, nil)
		}
		return &FaultError{Status: r.status, RetryAfter: r.retryAfter, Refusal: details[0]}
	}
	if r.status != http.StatusOK || child.Name != (xml.Name{Space: namespace, Local: response}) ||
		d.DecodeElement(outcome, &child) != nil || shut(d) != nil {
		return r.unusable(Unreadable, nil)
	}
	return nil
}

// faultXML is a SOAP fault of either version, as far as the contract fills it. A fault given before
// the request's envelope was read may come in the other version.
type faultXML struct {
	Detail11 detailXML `xml:"detail"`
	Detail12 detailXML `xml:"Detail"`
}

// detailXML is what stands in a fault's detail.
type detailXML struct {
	Errori []Refusal `xml:"urn:sinba:eventi:v1 ErroreSinba"`
}

// open goes to the one child of an answer's Body. A DOCTYPE is refused before anything else.
func open(answer []byte) (*xml.Decoder, xml.StartElement, error) {
	d := xml.NewDecoder(bytes.NewReader(answer))
	envelope, err := next(d)
	if err != nil || envelope.Name.Local != "Envelope" || envelope.Name.Space != soap.Namespace11 && envelope.Name.Space != soap.Namespace12 {
		return nil, xml.StartElement{}, errAnswer
	}
	part, err := next(d)
	if err == nil && part.Name == (xml.Name{Space: envelope.Name.Space, Local: "Header"}) {
		if err = d.Skip(); err == nil {
			part, err = next(d)
		}
	}
	if err != nil || part.Name != (xml.Name{Space: envelope.Name.Space, Local: "Body"}) {
		return nil, xml.StartElement{}, errAnswer
	}
	child, err := next(d)
	if err != nil || child.Name.Local == "Fault" && child.Name.Space != envelope.Name.Space {
		return nil, xml.StartElement{}, errAnswer
	}
	return d, child, nil
}

// next is the next start tag, with nothing but white space and remarks before it.
func next(d *xml.Decoder) (xml.StartElement, error) {
	for {
		token, err := d.Token()
		if err != nil {
			return xml.StartElement{}, errAnswer
		}
		if start, ok := token.(xml.StartElement); ok {
			return start, nil
		}
		if !isBlank(token) {
			return xml.StartElement{}, errAnswer
		}
	}
}

// shut makes sure that the child was alone and the message whole: nothing but Body's and Envelope's
// end follows. (That both are there, the decoder sees to.)
func shut(d *xml.Decoder) error {
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return errAnswer
		}
		if _, ok := token.(xml.EndElement); !ok && !isBlank(token) {
			return errAnswer
		}
	}
}

// isBlank tells whether a token says nothing.
func isBlank(token xml.Token) bool {
	switch token := token.(type) {
	case xml.CharData:
		return len(bytes.TrimSpace(token)) == 0
	case xml.Comment, xml.ProcInst:
		return true
	}
	return false
}
