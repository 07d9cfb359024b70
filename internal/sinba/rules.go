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
	// Version is the version of the rules to judge by, zero for RulesVersion; replay gives the
	// recorded one.
	Version int
	// CutOff is the day from which on a case must have moved to be loaded (BR-21), as midnight UTC;
	// zero for 2012-01-01.
	CutOff time.Time
	// Lenient are the rules that only warn this sender for a while; see Severities.Context.
	Lenient []leniency
}

// Judged tells where a rule is judged.
type Judged uint8

// The places where rules are judged.
const (
	// OnEvent rules need the event alone and are judged by Catalogue.Judge.
	OnEvent Judged = iota + 1
	// OnCase rules need the case's history and are judged by internal/casefile.
	OnCase
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

// Rules is the table, in the order of the numbers. A released row is never edited.
func Rules() []Rule {
	const domain = "design, rules beyond XSD"
	return []Rule{
		{0, hub.CodeNilID, hub.Grave, "Testata/IdMessaggio, IdEvento, IdEventoRiferito", "contract, UuidType", 1, OnEvent, judgeNilIDs},
		{0, hub.CodeUnknownPlace, hub.Lieve, "LuogoNascita, CodiceComune", "ANPR, archive of municipalities", 2, OnEvent, judgeMunicipalities},
		{0, hub.CodeUnknownState, hub.Lieve, "LuogoNascita, CodiceNazione, CodiceCittadinanza, CodiceSecondaCittadinanza", "ISO 3166-1; ISTAT, foreign states", 2, OnEvent, judgeStates},
		{0, hub.CodeUnknownService, hub.Lieve, "CodicePrestazione, VoceNomenclatore", "the region's lists", 2, OnEvent, judgeServices},
		{1, hub.CodeRule01, hub.Grave, "Dettaglio", domain, 1, OnEvent, judgeBody},
		{2, hub.CodeRule02, hub.Grave, "Testata/IdEventoRiferito", domain, 2, OnEvent, judgeReference},
		{3, hub.CodeRule03, hub.Grave, "Soggetto, IdentificativoPrecedente", "D.M. 23-12-1976 n. 13813", 1, OnEvent, judgeCodiceFiscale},
		{4, hub.CodeRule04, hub.Grave, "Soggetto, IdentificativoPrecedente", domain, 1, OnEvent, judgeOtherCodes},
		{5, hub.CodeRule05, hub.Grave, "every DataPresaInCarico", "design, rules beyond XSD; prosieguo amministrativo (R.D.L. 1404/1934)", 2, OnEvent, judgeAge},
		{6, hub.CodeRule06, hub.Grave, "every date and instant", domain, 1, OnEvent, judgeDates},
		{6, hub.CodeRule06, hub.Grave, "end and phase of every Progetto, Intervento, Affidamento, InserimentoStruttura, ProvvedimentoGiudiziario", domain, 2, OnEvent, judgeSpans},
		{7, hub.CodeRule07, hub.Grave, "every DatiMinore", "INPS record as of 2018 (SISO)", 2, OnEvent, judgeDisability},
		{8, hub.CodeRule08, hub.Grave, "every Segnalazione", "INPS record as of 2018 (SISO)", 2, OnEvent, judgeCourtReport},
		{9, hub.CodeRule09, hub.Grave, "every DatiMinore, Soggetto/Anagrafica, every NucleoFamiliare", "L. 47/2017, art. 2", 2, OnEvent, judgeUnaccompanied},
		{10, hub.CodeRule10, hub.Grave, "every DatiMinore with every NucleoFamiliare", domain, 2, OnEvent, judgeOrphan},
		{11, hub.CodeRule11, hub.Grave, "every NucleoFamiliare", domain, 2, OnEvent, judgeMembers},
		{12, hub.CodeRule12, hub.Grave, "every Progetto, Intervento, Affidamento, InserimentoStruttura, ProvvedimentoGiudiziario", domain, 2, OnEvent, judgePhases},
		{13, hub.CodeRule13, hub.Lieve, "every DatiMinore/LuogoVita", domain, 2, OnCase, nil},
		{14, hub.CodeRule14, hub.Grave, "every InserimentoStruttura and residential Affidamento", domain, 2, OnCase, nil},
		{15, hub.CodeRule15, hub.Lieve, "every Affidamento and InserimentoStruttura", domain, 2, OnCase, nil},
		{16, hub.CodeRule16, hub.Grave, "CodiceStrutturaASSO", domain, 2, OnEvent, judgeStructure},
		{17, hub.CodeRule17, hub.Grave, "ChiusuraCartella", domain, 2, OnCase, nil},
		{18, hub.CodeRule18, hub.Lieve, "ChiusuraCartella", domain, 2, OnEvent, judgeClosing},
		{19, hub.CodeRule19, hub.Lieve, "CodiceRegioneResidenza, CodiceRegioneStruttura", domain, 2, OnEvent, judgeRegions},
		{20, hub.CodeRule20, hub.Grave, "every free code or text but the identity", domain, 1, OnEvent, judgeCodes},
		{21, hub.CodeRule21, hub.Grave, "Fotografia/Intervento", "Regione Toscana, seed of 2012: backlog to be loaded", 2, OnEvent, judgeBacklog},
		{22, hub.CodeRule22, hub.Grave, "Testata/TipoEvento, after an adoption", domain, 2, OnCase, nil},
		{23, hub.CodeRule23, hub.Grave, "Mittente/Ente/CodiceEnte", "contract, CodiceEnte; SPCoop EGOV_IT_201", 1, AtAuthorisation, nil},
		{24, hub.CodeRule24, hub.Grave, "Mittente/Applicativo", "contract, Applicativo", 1, AtAuthorisation, nil},
		{25, hub.CodeRule25, hub.Grave, "Soggetto/Identificativo", domain, 2, OnCase, nil},
		{26, hub.CodeRule26, hub.Grave, "Soggetto/Anagrafica, Dettaglio/InserimentoStruttura", domain, 1, OnEvent, judgeNeeded},
	}
}

// Judge applies every rule that needs the event alone and gives all violations, in document order.
// The verdict depends on nothing but the arguments. GRAVE refuses; the others are warnings.
func (c *Catalogue) Judge(ev *Event, ctx RuleContext) []hub.Violation {
	j := judgement{Event: *ev, now: ctx.Now, today: dayOf(ctx.Now, c.rome), cutOff: ctx.cutOff()}
	j.list()
	for i := range c.rules {
		if j.rule = &c.rules[i]; j.rule.judge != nil && (ctx.Version == 0 || j.rule.Since <= ctx.Version) {
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
	return ctx.Soften(all)
}

// judgement is one event before the rules.
type judgement struct {
	Event

	now time.Time
	// today is the calendar day in Italy.
	today day
	// cutOff is what an initial load must have moved after (BR-21).
	cutOff   day
	rule     *Rule
	findings []finding
	// containers are the elements that rules look for, in document order; room is for those of most
	// events.
	containers []int32
	room       [32]int32
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
	j.about(reason, severity, elem, j.name(elem))
}

// about is because with another name of the schema to speak of.
func (j *judgement) about(reason string, severity hub.Severity, elem int, name string) {
	j.at(severity, elem)
	v := &j.findings[len(j.findings)-1].violation
	v.Reason, v.About = reason, name
}

// lacking reports a needed element of a container that does not stand there, by its node.
func (j *judgement) lacking(reason string, container int, node int16) {
	name := j.cat.nodes[node].name
	j.missing(hub.Grave, container, "/"+name)
	v := &j.findings[len(j.findings)-1].violation
	v.Reason, v.About = reason, name
}

// lackingIn is lacking for the child of a complex type.
func (j *judgement) lackingIn(reason string, container int, typ string) {
	for _, node := range j.cat.nodes[j.elems[container].node].children {
		if j.cat.nodes[node].complex == typ {
			j.lacking(reason, container, node)
		}
	}
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
	reason := "body"
	if want == annullamento {
		reason = annullamento
	}
	if i+1 >= len(j.elems) || int(j.elems[i+1].parent) != i {
		j.about(reason, hub.Grave, i, want)
		return
	}
	if j.name(i+1) != want {
		j.about(reason, hub.Grave, i+1, want)
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
	switch {
	case structure && region:
		j.because("both", hub.Grave, placement)
	case !structure && !region:
		j.because("neither", hub.Grave, placement)
	}
}

// judgeAnagrafica is the first half of BR-26.
func judgeAnagrafica(j *judgement) {
	at := &j.cat.at
	master, ok := j.find(at.master)
	if !ok {
		if i, ok := j.find(at.identifier); ok {
			j.lacking("needed", int(j.elems[i].parent), at.master)
		}
		return
	}
	for _, node := range [...]int16{at.surname, at.sex, at.birth} {
		if _, ok := j.find(node); !ok {
			j.lacking("needed", master, node)
		}
	}
}
