package sinba

import (
	"cmp"
	"slices"
	"time"

	"github.com/sinbahub/sinbahub/internal/hub"
)

// RuleContext is all that a verdict depends on besides the event.
type RuleContext struct {
	// Now is when the message was received; replay gives the recorded time.
	Now time.Time
}

// Judged tells where a rule is judged.
type Judged uint8

// The places where rules are judged.
const (
	// OnEvent rules need the event alone and are judged by Catalogue.Judge.
	OnEvent Judged = iota + 1
	// AtAuthorisation rules need the registry and are judged before the duplicate look-up.
	AtAuthorisation
)

// Rule is one row of the table of rules beyond the schema (domain, 9.5). Its texts are those of its
// code in hub.Codes.
type Rule struct {
	// Number is nn of BR-nn; 0 for a check of the contract that has no number of its own.
	Number int
	// Code is SINBA_3nn for BR-nn.
	Code hub.Code
	// Severity is the worst the rule gives.
	Severity hub.Severity
	// Looks says at which elements the rule looks, in the contract's names.
	Looks string
	// Source is the document the rule comes from.
	Source string
	// Since is the version of the rules that brought it.
	Since int
	// Judged is where.
	Judged Judged

	judge func(*judgement)
}

// Name is BR-nn, empty for a check without a number.
func (r *Rule) Name() string {
	if r.Number == 0 {
		return ""
	}
	return "BR-" + string(appendDigits(nil, r.Number, 2))
}

// Rules is the table, in the order of the numbers. A released row is never edited; rules that need
// a case's history are not here.
func Rules() []Rule {
	const domain = "design, rules beyond XSD"
	return []Rule{
		{0, hub.CodeNilID, hub.Grave, "Testata/IdMessaggio, IdEvento, IdEventoRiferito", "contract, UuidType", 1, OnEvent, judgeNilIDs},
		{0, hub.CodeUnknownPlace, hub.Lieve, "LuogoNascita, CodiceComune", "ANPR, archive of municipalities", 2, OnEvent, judgeMunicipalities},
		{0, hub.CodeUnknownState, hub.Lieve, "LuogoNascita, CodiceNazione, CodiceCittadinanza, CodiceSecondaCittadinanza", "ISO 3166-1; ISTAT, foreign states", 2, OnEvent, judgeStates},
		{0, hub.CodeUnknownService, hub.Lieve, "CodicePrestazione, VoceNomenclatore", "the region's lists", 2, OnEvent, judgeServices},
		{1, hub.CodeRule01, hub.Grave, "Dettaglio", domain, 1, OnEvent, judgeBody},
		{3, hub.CodeRule03, hub.Grave, "Soggetto, IdentificativoPrecedente", "D.M. 23-12-1976 n. 13813", 1, OnEvent, judgeCodiceFiscale},
		{4, hub.CodeRule04, hub.Grave, "Soggetto, IdentificativoPrecedente", domain, 1, OnEvent, judgeOtherCodes},
		{6, hub.CodeRule06, hub.Grave, "every date and instant", domain, 1, OnEvent, judgeDates},
		{16, hub.CodeRule16, hub.Grave, "CodiceStrutturaASSO", domain, 2, OnEvent, judgeStructure},
		{19, hub.CodeRule19, hub.Lieve, "CodiceRegioneResidenza, CodiceRegioneStruttura", domain, 2, OnEvent, judgeRegions},
		{20, hub.CodeRule20, hub.Grave, "every free code or text but the identity", domain, 1, OnEvent, judgeCodes},
		{23, hub.CodeRule23, hub.Grave, "Mittente/Ente/CodiceEnte", "contract, CodiceEnte; SPCoop EGOV_IT_201", 1, AtAuthorisation, nil},
		{24, hub.CodeRule24, hub.Grave, "Mittente/Applicativo", "contract, Applicativo", 1, AtAuthorisation, nil},
		{26, hub.CodeRule26, hub.Grave, "Soggetto/Anagrafica, Dettaglio/InserimentoStruttura", domain, 1, OnEvent, judgeNeeded},
	}
}

// Judge applies every rule that needs the event alone and gives all violations, in document order.
// The verdict depends on nothing but the arguments. GRAVE refuses; the others are warnings.
func (c *Catalogue) Judge(ev *Event, ctx RuleContext) []hub.Violation {
	j := judgement{Event: *ev, now: ctx.Now, today: dayOf(ctx.Now, c.rome)}
	for i := range c.rules {
		if j.rule = &c.rules[i]; j.rule.judge != nil {
			j.rule.judge(&j)
		}
	}
	if len(j.findings) == 0 {
		return nil
	}
	// Stable, so that findings at one element stay in the order of the rules.
	slices.SortStableFunc(j.findings, func(a, b finding) int { return cmp.Compare(a.elem, b.elem) })
	all := make([]hub.Violation, len(j.findings))
	for i := range j.findings {
		all[i] = j.findings[i].violation
	}
	return all
}

// judgement is one event before the rules.
type judgement struct {
	Event

	now time.Time
	// today is the calendar day in Italy.
	today    day
	rule     *Rule
	findings []finding
}

// finding is a violation with its place in the document's order.
type finding struct {
	elem      int
	violation hub.Violation
}

// at reports a violation of the current rule at an element.
func (j *judgement) at(severity hub.Severity, elem int) { j.missing(severity, elem, "") }

// because reports a violation of the current rule at an element, told by one of its code's sentences
// about the element's name.
func (j *judgement) because(reason string, severity hub.Severity, elem int) {
	j.at(severity, elem)
	v := &j.findings[len(j.findings)-1].violation
	v.Reason, v.About = reason, j.cat.nodes[j.elems[elem].node].name
}

// missing reports a violation at a place below an element where nothing stands. below is a path of
// the schema's own names.
func (j *judgement) missing(severity hub.Severity, elem int, below string) {
	j.findings = append(j.findings, finding{elem, hub.Violation{
		Code: j.rule.Code, Severity: severity, Rule: j.rule.Name(), Path: j.path(elem) + below,
	}})
}

// judgeNilIDs refuses identifiers of zeroes only: they are what a vendor's uninitialised field sends
// and would make strangers' events one.
func judgeNilIDs(j *judgement) {
	at := &j.cat.at
	for _, node := range [...]int16{at.messageID, at.eventID, at.refersTo} {
		i, ok := j.find(node)
		if !ok {
			continue
		}
		if id, ok := j.uuid(node); ok && id == [16]byte{} {
			j.at(hub.Grave, i)
		}
	}
}

// judgeBody is BR-01: Dettaglio holds the body of the event's type, or Annullamento for an annulment.
func judgeBody(j *judgement) {
	i, ok := j.find(j.cat.at.detail)
	if !ok {
		return
	}
	want := j.Type().body()
	if j.Operation() == Annullamento {
		want = annullamento
	}
	if i+1 >= len(j.elems) || int(j.elems[i+1].parent) != i {
		j.at(hub.Grave, i)
		return
	}
	if j.cat.nodes[j.elems[i+1].node].name != want {
		j.at(hub.Grave, i+1)
	}
}

// judgeNeeded is BR-26: who is taken in charge has name, sex and birth date unless nobody knows
// them yet; a placement names its structure or, outside the region, the structure's region.
func judgeNeeded(j *judgement) {
	at := &j.cat.at
	if j.Operation() == Annullamento {
		return
	}
	if t := j.Type(); t == PresaInCarico || t == CaricamentoIniziale {
		if id, ok := j.identityElem(at.identifier); !ok || kindOf(j.cat.nodes[j.elems[id].node].name) != NonIdentificato {
			judgeAnagrafica(j)
		}
	}
	placement, ok := j.find(at.placement)
	if !ok {
		return
	}
	_, structure := j.find(at.structure)
	_, region := j.find(at.structureRegion)
	if structure == region {
		j.at(hub.Grave, placement)
	}
}

// judgeAnagrafica is the first half of BR-26.
func judgeAnagrafica(j *judgement) {
	at := &j.cat.at
	master, ok := j.find(at.master)
	if !ok {
		if i, ok := j.find(at.identifier); ok {
			j.missing(hub.Grave, int(j.elems[i].parent), "/"+j.cat.nodes[at.master].name)
		}
		return
	}
	for _, node := range [...]int16{at.surname, at.sex, at.birth} {
		if _, ok := j.find(node); !ok {
			j.missing(hub.Grave, master, "/"+j.cat.nodes[node].name)
		}
	}
}
