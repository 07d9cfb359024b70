package sinba

import (
	"maps"
	"slices"
)

// Date is a calendar day as the number yyyymmdd, so that days compare as numbers; 0 is no day.
type Date int32

// Facts are what an event says that the life cycle of its case and the rules over a case's history
// need (domain, 9.4 and 9.5), in the event's own order. They name no child: local ids stand in
// them as stand-ins, the birth date as its month.
type Facts struct {
	// Subject is the stand-in of IdAssistitoLocale.
	Subject string
	// Identity is that of the child's identifier, Previous that of IdentificativoPrecedente, empty if
	// the event has none. The caller fills them in: an identifier needs a keyed index first.
	Identity, Previous string
	// OpenedOn is Cartella/DataApertura.
	OpenedOn Date
	// TakenOn is DataPresaInCarico, of a taking in charge or of a reopening.
	TakenOn Date
	// ClosedOn is DataChiusura.
	ClosedOn Date
	// Entering tells that a Trasferimento comes in (Verso = INGRESSO).
	Entering bool
	// BornIn is the month of DataNascita as yyyymm, 0 without Anagrafica; Presumed says that only
	// its year counts.
	BornIn   int32
	Presumed bool
	// Citizenship is what the citizenships of Anagrafica come to.
	Citizenship Citizenship
	// Minors are the event's DatiMinore.
	Minors []Minor
	// Family is the last NucleoFamiliare of the event.
	Family Family
	// Items are the services, placements and orders the event speaks of.
	Items []Item
	// Adopted tells that the event ends the case's own child: an adoption, or an outcome
	// "adottato" (BR-22).
	Adopted bool
	// Closing tells that the event only ends something: Fase = CHIUSURA, or the case's closing.
	Closing bool
	// OfAge tells that the case is closed because the child came of age (BR-18).
	OfAge bool
}

// Citizenship is all that BR-09 asks of citizenships.
type Citizenship uint8

// The values of Citizenship.
const (
	CitizenshipUnknown Citizenship = iota
	// CitizenshipEU is Italian or of another member of the European Union, or one of the two is.
	CitizenshipEU
	// CitizenshipOther is any other, and none.
	CitizenshipOther
)

// Minor is one DatiMinore.
type Minor struct {
	// Path is where it stands, from below the root.
	Path string
	// Unaccompanied is MinoreStranieroNoAcc = 1.
	Unaccompanied bool
	// Place is LuogoVita.
	Place string
}

// Family is one NucleoFamiliare.
type Family struct {
	// Told: the event has one, at Path from below the root.
	Told bool
	Path string
	// Mother and Father tell whether ComposizioneFamiglia names them.
	Mother, Father bool
}

// ItemKind is what an item of a case is.
type ItemKind uint8

// The kinds of items.
const (
	// ItemService is a service (InterventoType).
	ItemService ItemKind = iota + 1
	// ItemCare is its Affidamento, ItemPlacement InserimentoStruttura, ItemOrder
	// ProvvedimentoGiudiziario.
	ItemCare
	ItemPlacement
	ItemOrder
)

// Item is a service, a placement or an order of a case, as one event tells it.
type Item struct {
	Kind ItemKind
	// ID is the stand-in of its local id.
	ID string
	// Start and End bound it; End is 0 as long as none is known, and not part of it.
	Start, End Date
	// Closed is Fase = CHIUSURA.
	Closed bool
	// Residential is CarattereAffido = 1; every placement is residential.
	Residential bool
	// Where is the stand-in of a placement's structure, or of its region.
	Where string
	// Path is where it stands in the message, from below the root.
	Path string
	// Judicial is Forma = 2; Order the stand-in of the order it names, empty if it names none.
	Judicial bool
	Order    string
}

// take adds to the facts what one element says.
type take func(f *factReader, i int)

// itemTypes are the complex types of items.
func itemTypes() map[string]ItemKind {
	return map[string]ItemKind{
		"InterventoType": ItemService, "AffidamentoType": ItemCare,
		"InserimentoStrutturaType": ItemPlacement, "ProvvedimentoGiudiziarioType": ItemOrder,
	}
}

// takeContainer is for the elements of these complex types: what stands inside belongs to them.
func takeContainer() map[string]take {
	takes := map[string]take{
		"DatiMinoreType": func(f *factReader, i int) { f.out.Minors = append(f.out.Minors, Minor{Path: f.below(i)}) },
		"NucleoFamiliareType": func(f *factReader, i int) {
			f.out.Family = Family{Told: true, Path: f.below(i)}
		},
	}
	for typ, kind := range itemTypes() {
		takes[typ] = func(f *factReader, i int) {
			f.out.Items = append(f.out.Items, Item{Kind: kind, Residential: kind == ItemPlacement, Path: f.below(i)})
		}
	}
	return takes
}

// takeLeaf is for leaves, by the complex type they stand in and their name.
func takeLeaf() map[string]take {
	taken := func(f *factReader, i int) { f.out.TakenOn = f.date(i) }
	citizenship := (*factReader).takeCitizenship
	phase := (*factReader).takePhase
	id := func(f *factReader, i int) { f.item().ID = f.standIn(i) }
	start := func(f *factReader, i int) { f.item().Start = f.date(i) }
	end := func(f *factReader, i int) { f.item().End = f.date(i) }
	where := func(f *factReader, i int) { f.item().Where = f.standIn(i) }
	form := func(f *factReader, i int) { f.item().Judicial = f.is(i, "2") }
	order := func(f *factReader, i int) { f.item().Order = f.standIn(i) }
	adoptedBy := func(values ...string) take {
		return func(f *factReader, i int) { f.out.Adopted = f.out.Adopted || slices.Contains(values, f.value(i)) }
	}
	return map[string]take{
		"SoggettoType/IdAssistitoLocale":       func(f *factReader, i int) { f.out.Subject = f.standIn(i) },
		"RiferimentoCartellaType/DataApertura": func(f *factReader, i int) { f.out.OpenedOn = f.date(i) },
		"PresaInCaricoType/DataPresaInCarico":  taken,

		"RiaperturaCartellaType/DataPresaInCarico":       taken,
		"ChiusuraCartellaType/DataChiusura":              func(f *factReader, i int) { f.out.ClosedOn, f.out.Closing = f.date(i), true },
		"ChiusuraCartellaType/MotivazioneChiusuraCarico": func(f *factReader, i int) { f.out.OfAge = f.is(i, "3") },
		"ChiusuraCartellaType/SituazioneChiusuraCarico":  adoptedBy("6"),
		"TrasferimentoType/Verso":                        func(f *factReader, i int) { f.out.Entering = f.is(i, "INGRESSO") },

		"AnagraficaType/DataNascita":               func(f *factReader, i int) { f.out.BornIn = int32(f.date(i) / 100) },
		"AnagraficaType/DataNascitaPresunta":       func(f *factReader, i int) { f.out.Presumed = f.is(i, "1") },
		"AnagraficaType/CodiceCittadinanza":        citizenship,
		"AnagraficaType/CodiceSecondaCittadinanza": citizenship,

		"DatiMinoreType/MinoreStranieroNoAcc": func(f *factReader, i int) { f.minor().Unaccompanied = f.is(i, "1") },
		"DatiMinoreType/LuogoVita":            func(f *factReader, i int) { f.minor().Place = f.value(i) },
		"NucleoFamiliareType/ComposizioneFamiglia": func(f *factReader, i int) {
			f.out.Family.Mother = f.out.Family.Mother || f.is(i, "1")
			f.out.Family.Father = f.out.Family.Father || f.is(i, "2")
		},

		"ProgettoType/Fase": phase,

		"InterventoType/Fase":                  phase,
		"InterventoType/IdIntervento":          id,
		"InterventoType/DataInizioPrestazione": start,
		"InterventoType/DataFinePrestazione":   end,

		"AffidamentoType/Fase":                  phase,
		"AffidamentoType/IdAffidamento":         id,
		"AffidamentoType/DataInizio":            start,
		"AffidamentoType/DataFine":              end,
		"AffidamentoType/CarattereAffido":       func(f *factReader, i int) { f.item().Residential = f.is(i, "1") },
		"AffidamentoType/FormaInterventoAffido": form,
		"AffidamentoType/IdProvvedimento":       order,
		"AffidamentoType/EsitoAffido":           adoptedBy("3"),

		"InserimentoStrutturaType/Fase":                         phase,
		"InserimentoStrutturaType/IdInserimento":                id,
		"InserimentoStrutturaType/DataIngresso":                 start,
		"InserimentoStrutturaType/DataDimissione":               end,
		"InserimentoStrutturaType/CodiceStrutturaASSO":          where,
		"InserimentoStrutturaType/CodiceRegioneStruttura":       where,
		"InserimentoStrutturaType/FormaInserimentoResidenziale": form,
		"InserimentoStrutturaType/IdProvvedimento":              order,
		"InserimentoStrutturaType/EsitoInserimentoStruttura":    adoptedBy("3"),

		"ProvvedimentoGiudiziarioType/Fase":                         phase,
		"ProvvedimentoGiudiziarioType/IdProvvedimento":              id,
		"ProvvedimentoGiudiziarioType/DataProvvedimentoGiudiziario": start,
		"ProvvedimentoGiudiziarioType/DataCessazione":               end,
		"ProvvedimentoGiudiziarioType/TipoProvvedimentoGiudiziario": adoptedBy("2", "3"),
	}
}

// assignTakes says for every element what Facts takes from it. A fact that no element has would be a
// rule that never looks at anything: that is an error.
func (c *Catalogue) assignTakes() error {
	containers, leaves, items := takeContainer(), takeLeaf(), itemTypes()
	unused := maps.Clone(leaves)
	c.takes, c.items = make([]take, len(c.nodes)), make([]bool, len(c.nodes))
	for i := range c.nodes {
		n := &c.nodes[i]
		if n.parent < 0 {
			continue
		}
		_, c.items[i] = items[n.complex]
		name := c.nodes[n.parent].complex + "/" + n.name
		if c.takes[i] = containers[n.complex]; c.takes[i] == nil {
			c.takes[i] = leaves[name]
		}
		delete(unused, name)
	}
	for name := range unused {
		return &catalogueError{"fact without an element in the event schema", name}
	}
	return nil
}

// Facts reads an event's facts. rekey gives the stand-in of a local id inside its case; kind is the
// name of the thing, the same wherever a reference to it stands.
func (c *Catalogue) Facts(ev *Event, rekey func(kind, value string) string) Facts {
	f := factReader{Event: *ev, rekey: rekey}
	if n := c.countItems(ev); n > 0 {
		f.out.Items = make([]Item, 0, n)
	}
	for i := 1; i < len(ev.elems); i++ {
		if t := c.takes[ev.elems[i].node]; t != nil {
			t(&f, i)
		}
	}
	f.out.Closing = f.out.Closing && f.phases == f.closings
	return f.out
}

// countItems tells how many items an event speaks of.
func (c *Catalogue) countItems(ev *Event) (n int) {
	for i := range ev.elems {
		if c.items[ev.elems[i].node] {
			n++
		}
	}
	return n
}

// RegionalFacts reads the facts of a stored regional event. Local ids are stand-ins in it already,
// structures and regions have their own codes, or Altro, so that they compare between enti; who the
// event is about is not among them. An error holds no content.
func (c *Catalogue) RegionalFacts(regional []byte) (Facts, error) {
	ev, err := c.readRegional(regional)
	if err != nil {
		return Facts{}, err
	}
	return c.Facts(ev, func(_, value string) string { return value }), nil
}

// factReader collects the facts of one event.
type factReader struct {
	Event

	rekey func(kind, value string) string
	out   Facts
	// phases and closings count the event's phases, and those that close.
	phases, closings int
}

// item is the one that is being read: its leaves stand inside its element.
func (f *factReader) item() *Item { return &f.out.Items[len(f.out.Items)-1] }

// minor is the DatiMinore that is being read.
func (f *factReader) minor() *Minor { return &f.out.Minors[len(f.out.Minors)-1] }

// takePhase reads a Fase. That of a project belongs to no item.
func (f *factReader) takePhase(i int) {
	f.phases++
	closes := f.is(i, "CHIUSURA")
	if closes {
		f.closings++
		f.out.Closing = true
	}
	if f.cat.takes[f.elems[f.elems[i].parent].node] != nil {
		f.item().Closed = closes
	}
}

// takeCitizenship reads one of the citizenships.
func (f *factReader) takeCitizenship(i int) {
	switch {
	case f.cat.MemberOfEU(f.value(i)):
		f.out.Citizenship = CitizenshipEU
	case f.out.Citizenship == CitizenshipUnknown:
		f.out.Citizenship = CitizenshipOther
	}
}

// is tells whether a leaf has a value.
func (f *factReader) is(i int, value string) bool { return string(f.raw(i)) == value }

// date is the value of a date leaf.
func (f *factReader) date(i int) Date {
	d, _ := parseDay(f.raw(i))
	return Date(d)
}

// standIn is the stand-in of a leaf's local id.
func (f *factReader) standIn(i int) string {
	return f.rekey(f.cat.nodes[f.elems[i].node].rekeyKind, f.value(i))
}

// below is the path of an element from below the root.
func (f *factReader) below(i int) string {
	var room [128]byte
	return string(f.appendPath(room[:0], i))
}
