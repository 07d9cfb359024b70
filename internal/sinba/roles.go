package sinba

import "slices"

// role is what a rule looks for in an event: a complex type, wherever the schema puts it, or an
// element of it. Rules ask for roles and not for paths, so that they also judge what stands inside a
// Fotografia, or at a place that a later version of the schema adds.
type role uint8

// The roles. Those of containers come first: a judgement lists their elements once.
const (
	roleNone role = iota
	// minor is DatiMinore, family NucleoFamiliare, report Segnalazione, photograph Fotografia.
	minor
	family
	report
	photograph
	// phased is one of the five bodies with a Fase.
	phased
	// ended is ChiusuraCartella.
	ended
	// lastContainer is no role.
	lastContainer

	unaccompanied
	orphan
	disabled
	disability
	certification
	member
	father
	mother
	toCourt
	toCourtOn
	phase
	from
	until
	outcome
	endedOn
	endedFor
	endedIn
)

// roleRow says where a role is found: at the elements of a complex type or, if child is not empty,
// at those of this name directly in it.
type roleRow struct {
	role           role
	complex, child string
}

// roleTable is where the roles are (xsd/sinba-eventi-v1.xsd).
func roleTable() []roleRow {
	return []roleRow{
		{minor, "DatiMinoreType", ""},
		{unaccompanied, "DatiMinoreType", "MinoreStranieroNoAcc"},
		{orphan, "DatiMinoreType", "CondizioneMinore"},
		{disabled, "DatiMinoreType", "Disabilita"},
		{disability, "DatiMinoreType", "TipoDisabilita"},
		{certification, "DatiMinoreType", "InvCivCertificazioni"},
		{family, "NucleoFamiliareType", ""},
		{member, "NucleoFamiliareType", "ComposizioneFamiglia"},
		{father, "NucleoFamiliareType", "Padre"},
		{mother, "NucleoFamiliareType", "Madre"},
		{report, "SegnalazioneType", ""},
		{toCourt, "SegnalazioneType", "SegnalazioneAutoritaGiudiziaria"},
		{toCourtOn, "SegnalazioneType", "DataSegnalazioneAutorita"},
		{photograph, "FotografiaType", ""},
		{phased, "ProgettoType", ""},
		{phase, "ProgettoType", "Fase"},
		{from, "ProgettoType", "DataInizio"},
		{until, "ProgettoType", "DataFine"},
		{phased, serviceType, ""},
		{phase, serviceType, "Fase"},
		{from, serviceType, "DataInizioPrestazione"},
		{until, serviceType, "DataFinePrestazione"},
		{phased, "AffidamentoType", ""},
		{phase, "AffidamentoType", "Fase"},
		{from, "AffidamentoType", "DataInizio"},
		{until, "AffidamentoType", "DataFine"},
		{outcome, "AffidamentoType", "EsitoAffido"},
		{phased, "InserimentoStrutturaType", ""},
		{phase, "InserimentoStrutturaType", "Fase"},
		{from, "InserimentoStrutturaType", "DataIngresso"},
		{until, "InserimentoStrutturaType", "DataDimissione"},
		{outcome, "InserimentoStrutturaType", "EsitoInserimentoStruttura"},
		{phased, orderType, ""},
		{phase, orderType, "Fase"},
		{from, orderType, "DataProvvedimentoGiudiziario"},
		{until, orderType, "DataCessazione"},
		{ended, "ChiusuraCartellaType", ""},
		{endedOn, "ChiusuraCartellaType", "DataChiusura"},
		{endedFor, "ChiusuraCartellaType", "MotivazioneChiusuraCarico"},
		{endedIn, "ChiusuraCartellaType", "SituazioneChiusuraCarico"},
	}
}

// The complex types that rules tell apart from others of the same role.
const (
	serviceType = "InterventoType"
	orderType   = "ProvvedimentoGiudiziarioType"
)

// trait is what the rules that go through all elements of an event look for.
type trait struct {
	look look
	// date and instant tell the type, code that BR-20 looks at it, charged that it is a date of taking
	// in charge.
	date, instant, code, charged bool
}

// traitsOf gives every node its traits, as the leaf table has them.
func (c *Catalogue) traitsOf() []trait {
	all := make([]trait, len(c.nodes))
	for i := range c.nodes {
		n := &c.nodes[i]
		all[i] = trait{look: n.look, code: n.code, charged: slices.Contains(c.at.takenIn, int16(i))}
		if n.typ != nil {
			all[i].date, all[i].instant = n.typ.kind == kindDate, n.typ.kind == kindInstant
		}
	}
	return all
}

// assign gives every node its role. A row without a node is a fault: its rules would be silent.
func (c *Catalogue) assign() error {
	c.roles = make([]role, len(c.nodes))
	for _, row := range roleTable() {
		found := false
		for i := range c.nodes {
			n := &c.nodes[i]
			if row.child == "" && n.complex == row.complex ||
				row.child != "" && n.parent >= 0 && n.name == row.child && c.nodes[n.parent].complex == row.complex {
				c.roles[i], found = row.role, true
			}
		}
		if !found {
			return &catalogueError{"element not found in the event schema", row.complex + "/" + row.child}
		}
	}
	return nil
}

// list finds the containers with a role, in document order.
func (j *judgement) list() {
	j.containers = j.room[:0]
	for i := range j.elems {
		if r := j.cat.roles[j.elems[i].node]; r != roleNone && r < lastContainer {
			j.containers = append(j.containers, int32(i))
		}
	}
}

// traits are those of an element.
func (j *judgement) traits(i int) *trait { return &j.cat.traits[j.elems[i].node] }

// role is that of an element.
func (j *judgement) role(i int) role { return j.cat.roles[j.elems[i].node] }

// each calls a rule for every container with a role.
func (j *judgement) each(r role, judge func(j *judgement, container int)) {
	for _, i := range j.containers {
		if j.role(int(i)) == r {
			judge(j, int(i))
		}
	}
}

// child finds the first element with a role directly in a container.
func (j *judgement) child(container int, r role) (int, bool) { return j.next(container, container, r) }

// next finds the next element with a role directly in a container, after the one at i.
func (j *judgement) next(container, i int, r role) (int, bool) {
	// What stands in the container follows it without a gap, and has it or a later one as its parent.
	for i++; i < len(j.elems) && int(j.elems[i].parent) >= container; i++ {
		if int(j.elems[i].parent) == container && j.role(i) == r {
			return i, true
		}
	}
	return 0, false
}

// says tells whether the child with a role has this code of its list.
func (j *judgement) says(container int, r role, code string) bool {
	i, ok := j.child(container, r)
	return ok && string(j.raw(i)) == code
}

// dayOf is the date of the child with a role, zero if there is none.
func (j *judgement) dayOf(container int, r role) day {
	i, ok := j.child(container, r)
	if !ok {
		return 0
	}
	d, _ := parseDay(j.raw(i))
	return d
}

// name is the local name of an element.
func (j *judgement) name(i int) string { return j.cat.nodes[j.elems[i].node].name }

// typ is the complex type of a container.
func (j *judgement) typ(i int) string { return j.cat.nodes[j.elems[i].node].complex }

// needs reports every child with one of the roles that the container may have and lacks. A type
// without such a child is content.
func (j *judgement) needs(reason string, container int, wanted ...role) {
	for _, r := range wanted {
		if _, ok := j.child(container, r); ok {
			continue
		}
		for _, node := range j.cat.nodes[j.elems[container].node].children {
			if j.cat.roles[node] == r {
				j.lacking(reason, container, node)
			}
		}
	}
}
