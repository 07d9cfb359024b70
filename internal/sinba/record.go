package sinba

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"
)

// NamespaceRecord is that of the national SINBA flow (INPS, Casellario dell'assistenza).
const NamespaceRecord = "http://inps.it/Casellario"

// RecordQuery says of whom and when a record is.
type RecordQuery struct {
	// Beneficiary is IDBeneficiario: the child's code in the national domain, 1 to 20 characters.
	Beneficiary string
	// Reference is the day whose state the record shows; only its date counts. What happened later
	// is left out.
	Reference time.Time
}

// Standing tells whether a record is due from a case at a reference date.
type Standing uint8

// The standings.
const (
	// RecordDue: the case was open in the twelve months before the reference date.
	RecordDue Standing = iota + 1
	// RecordBeforeOpening: the case was opened later.
	RecordBeforeOpening
	// RecordPast: the case was closed for the whole of the twelve months.
	RecordPast
)

// Record is a child's snapshot for the national flow (Flusso/SINBA, xsd/flusso-sinba-v1.xsd). It
// holds codes, months and a pseudonym, and prints as a placeholder.
type Record struct {
	standing Standing
	// values are by attribute.
	values   map[string]string
	services []string
	family   []string
}

// Format prints a placeholder for every verb and flag.
func (Record) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText gives a placeholder, which also covers JSON and XML.
func (Record) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Standing tells whether the record is due at all.
func (r Record) Standing() Standing { return r.standing }

// Value gives an attribute; ok is false if the record does not have it.
func (r Record) Value(attribute string) (value string, ok bool) {
	value, ok = r.values[attribute]
	return value, ok
}

// Services are Prestazioni/CodicePrestazione, ascending.
func (r Record) Services() []string { return slices.Clone(r.services) }

// Family is Famiglia/ComposizioneFamiglia.
func (r Record) Family() []string { return slices.Clone(r.family) }

// What a record misses besides attributes.
const (
	missingServices = "Prestazioni/CodicePrestazione"
	missingFamily   = "Famiglia/ComposizioneFamiglia"
	missingCharge   = "PresaInCarico"
)

// recordAttribute is one attribute of SINBA.
type recordAttribute struct {
	name     string
	required bool
}

// recordAttributes are those of SINBA in the order of the national schema.
func recordAttributes() []recordAttribute {
	return []recordAttribute{
		{"IDBeneficiario", true},
		{"MinoreStranieroNoAcc", true},
		{"CondizioneMinore", true},
		{"LuogoVita", true},
		{"ScuolaFrequentata", true},
		{"CondizioneLavoro", true},
		{"Disabilita", true},
		{"TipoDisabilita", false},
		{"InvCivCertificazioni", false},
		{"CodiceCittadinanzaPadre", false},
		{"CodiceCittadinanzaMadre", false},
		{"CodiceRegioneResidenzaPadre", false},
		{"CodiceRegioneResidenzaMadre", false},
		{"TitoloStudioPadre", false},
		{"TitoloStudioMadre", false},
		{"OccupazionePadre", false},
		{"OccupazioneMadre", false},
		{"DataPrimaSegnalazione", true},
		{"FonteSegnalazione", true},
		{"ValutazioneMinore", true},
		{"ValutazioneFamigliaMinore", true},
		{"SegnalazioneAutoritaGiudiziaria", true},
		{"DataSegnalazione", false},
		{"ProvvedimentoGiudiziario", true},
		{"DataProvvedimentoGiudiziario", false},
		{"AutoritaProvvedimento", false},
		{"PotestaTutela", false},
		{"TipoProvvedimentoGiudiziario", false},
		{"FormaInterventoAffido", false},
		{"TipoInterventoAffido", false},
		{"DurataAffido", false},
		{"CarattereAffido", false},
		{"EsitoAffido", false},
		{"CarattereInserimentoResidenziale", false},
		{"FormaInserimentoResidenziale", false},
		{"TipoInserimentoResidenziale", false},
		{"EsitoInserimentoStruttura", false},
		{"MotivazioneChiusuraCarico", false},
		{"SituazioneChiusuraCarico", false},
		{"CollaborazioniInterventi", false},
		{"NumeroComponentiISEE", false},
		{"FasciaEtaBeneficiario", true},
		{"FasciaISEEBeneficiario", false},
		{"AnnoNascita", true},
		{"CodiceRegioneResidenza", false},
		{"CodiceNazioneResidenza", true},
	}
}

// errNoReference says that a record was asked for without a day or a code.
var errNoReference = errors.New("record without a reference date or a code for the child")

// Record projects a case onto the national record. live are the case's live regional events in
// fold order: what was annulled is not among them, and a rettifica stands in the place of what it
// replaced. missing names, in the order of the national schema, what a record must have before it
// may be sent and this one has not; the record then has all the rest. An error is a defect of the
// hub or an event of another mapping, and holds no content.
//
// Only a child's month of birth is stored, so that FasciaEtaBeneficiario is that of the month of
// the reference date, as in the national event; there is none from 18 years on, and the record is
// then not to be sent. Nations keep their ISO numeric code, since the record has no groups.
func (c *Catalogue) Record(live [][]byte, q RecordQuery) (record Record, missing []string, err error) {
	if q.Reference.IsZero() || q.Beneficiary == "" || len(q.Beneficiary) > 20 {
		return Record{}, nil, errNoReference
	}
	y, m, d := q.Reference.Date()
	p := projection{
		at:     day(y*10_000 + int(m)*100 + d), //nolint:gosec // four digits
		record: Record{values: map[string]string{}},
	}
	p.since = p.at - 10_000 // 29 February of a common year is behind its 28th, as it should be
	for _, body := range live {
		ev, err := c.readRegional(body)
		if err != nil {
			return Record{}, nil, err
		}
		p.read(ev)
	}
	p.set("IDBeneficiario", q.Beneficiary)
	p.person()
	p.child()
	p.household()
	p.reports()
	p.assessment()
	p.orders()
	p.care()
	p.placement()
	p.closing()
	p.services()
	return p.record, p.missing(), nil
}

// missing lists what must be there and is not (domain: required attributes, and those that others
// make required).
func (p *projection) missing() []string {
	var names []string
	is := func(name string) bool { return p.record.values[name] == "1" }
	needed := map[string]bool{
		"TipoDisabilita": is("Disabilita"), "InvCivCertificazioni": is("Disabilita"),
		"DataSegnalazione":             is("SegnalazioneAutoritaGiudiziaria"),
		"DataProvvedimentoGiudiziario": is("ProvvedimentoGiudiziario"),
	}
	for _, a := range recordAttributes() {
		if _, ok := p.record.values[a.name]; !ok && (a.required || needed[a.name]) {
			names = append(names, a.name)
		}
	}
	if len(p.record.services) == 0 || p.unknownService {
		names = append(names, missingServices)
	}
	if len(p.record.family) == 0 {
		names = append(names, missingFamily)
	}
	if !p.inCharge() {
		names = append(names, missingCharge)
	}
	return names
}

// AppendXML appends the record as a SINBA element of the flow. It is valid if nothing was missing.
func (r Record) AppendXML(to []byte) []byte {
	to = append(to, "<SINBA"...)
	for _, a := range recordAttributes() {
		if value, ok := r.values[a.name]; ok {
			to = append(append(append(to, ' '), a.name...), `="`...)
			to = append(appendAttribute(to, value), '"')
		}
	}
	to = append(to, "><Prestazioni>"...)
	for _, code := range r.services {
		to = append(appendText(append(to, "<CodicePrestazione>"...), code), "</CodicePrestazione>"...)
	}
	to = append(to, "</Prestazioni><Famiglia>"...)
	for _, code := range r.family {
		to = append(appendText(append(to, "<ComposizioneFamiglia>"...), code), "</ComposizioneFamiglia>"...)
	}
	return append(to, "</Famiglia></SINBA>\n"...)
}

// FlowHead is what stands before the records of a flow: one ente's, at one date.
type FlowHead struct {
	// Ente is its CodiceEnte.
	Ente string
	// Name, Address and Operator are the ente's Denominazione and Indirizzo and the CFOperatore, of
	// the configuration and not of any message; empty ones are left out.
	Name, Address, Operator string
	// Reference is the date of the records.
	Reference time.Time
}

// AppendXML appends the flow's begin, up to its first record.
func (h FlowHead) AppendXML(to []byte) []byte {
	to = append(to, `<?xml version="1.0" encoding="UTF-8"?>`+"\n"+`<Flusso xmlns="`+NamespaceRecord+`">`+"\n"...)
	to = append(to, `<IdentificazioneFlusso Nome="SINBA`...)
	to = append(to, h.Reference.Format("20060102")+"-"...)
	to = append(appendAttribute(to, h.Ente), `"><Ente`...)
	for _, a := range [][2]string{{"Denominazione", h.Name}, {"Codice", h.Ente}, {"Indirizzo", h.Address}, {"CFOperatore", h.Operator}} {
		if a[1] != "" {
			to = append(append(append(to, ' '), a[0]...), `="`...)
			to = append(appendAttribute(to, a[1]), '"')
		}
	}
	return append(to, "/></IdentificazioneFlusso>\n"...)
}

// FlowEnd closes a flow.
const FlowEnd = "</Flusso>\n"

// appendAttribute appends the value of an attribute between double quotes.
func appendAttribute(to []byte, value string) []byte {
	for _, r := range value {
		switch r {
		case '&', '<', '"', '\t', '\n', '\r':
			to = append(strconv.AppendInt(append(to, "&#"...), int64(r), 10), ';')
		default:
			to = append(to, string(r)...)
		}
	}
	return to
}
