package casefile_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/casefile"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/sinba"
)

// life is a case under test: what was accepted, and the state that was kept.
type life struct {
	state   casefile.State
	history []casefile.Event
}

// send judges an event and keeps it if nothing is GRAVE. It gives the codes that were found.
func (l *life) send(e casefile.Event) []hub.Violation {
	after, found := casefile.Judge(&l.state, l.history, &e)
	if !slices.ContainsFunc(found, func(v hub.Violation) bool { return v.Severity == hub.Grave }) {
		e.Position = int32(len(l.history) + 1)
		l.history = append(l.history, e)
		l.state = after
	}
	return found
}

// must fails the test if the event is not taken without any finding.
func (l *life) must(t *testing.T, e casefile.Event) casefile.Event {
	t.Helper()
	if found := l.send(e); len(found) > 0 {
		t.Fatalf("%s: %+v", e.Type, found)
	}
	return e
}

// event is a new event of a type, numbered.
func event(t sinba.EventType, number int32) casefile.Event {
	return casefile.Event{
		ID: uuid.New(), Operation: sinba.Inserimento, Type: t, Sequence: number,
		Facts: sinba.Facts{Subject: "S", OpenedOn: 20240101},
	}
}

// about makes an R or A of an event.
func about(op sinba.Operation, e casefile.Event, number int32) casefile.Event {
	e.RefersTo, e.ID, e.Operation, e.Sequence = e.ID, uuid.New(), op, number
	return e
}

// with changes an event's facts.
func with(e casefile.Event, change func(*sinba.Facts)) casefile.Event {
	change(&e.Facts)
	return e
}

func codes(found []hub.Violation) string {
	all := make([]string, len(found))
	for i, v := range found {
		all[i] = strings.TrimPrefix(string(v.Code), "SINBA_") + v.Severity.String()[:1]
	}
	return strings.Join(all, " ")
}

func want(t *testing.T, found []hub.Violation, wanted string) {
	t.Helper()
	if got := codes(found); got != wanted {
		t.Errorf("found %q, want %q: %+v", got, wanted, found)
	}
}

// inCharge is a case that was opened and taken in charge.
func inCharge(t *testing.T) *life {
	t.Helper()
	var l life
	l.must(t, event(sinba.AperturaCartella, 1))
	l.must(t, with(event(sinba.PresaInCarico, 2), func(f *sinba.Facts) { f.TakenOn = 20240110 }))
	return &l
}

// TestLifeCycleIsTheTableOfTheDomain holds every type in every state against domain 9.4.
func TestLifeCycleIsTheTableOfTheDomain(t *testing.T) {
	t.Parallel()
	entering := func(f *sinba.Facts) { f.Entering = true }
	reach := map[casefile.Status][]casefile.Event{
		casefile.None:        {},
		casefile.Open:        {event(sinba.AperturaCartella, 1)},
		casefile.InCharge:    {event(sinba.CaricamentoIniziale, 1)},
		casefile.Closed:      {event(sinba.AperturaCartella, 1), event(sinba.ChiusuraCartella, 2)},
		casefile.Transferred: {event(sinba.CaricamentoIniziale, 1), event(sinba.Trasferimento, 2)},
	}
	opening := event(sinba.AperturaCartella, 1)
	reach[casefile.Annulled] = []casefile.Event{opening, about(sinba.Annullamento, opening, 2)}
	same := casefile.Status(99)
	type row struct {
		event casefile.Event
		next  map[casefile.Status]casefile.Status
	}
	both := map[casefile.Status]casefile.Status{casefile.Open: same, casefile.InCharge: same}
	charge := map[casefile.Status]casefile.Status{casefile.InCharge: same}
	for name, r := range map[string]row{
		"apertura":     {event(sinba.AperturaCartella, 9), map[casefile.Status]casefile.Status{casefile.None: casefile.Open}},
		"caricamento":  {event(sinba.CaricamentoIniziale, 9), map[casefile.Status]casefile.Status{casefile.None: casefile.InCharge}},
		"segnalazione": {event(sinba.Segnalazione, 9), both}, "valutazione": {event(sinba.Valutazione, 9), both},
		"nucleo": {event(sinba.NucleoFamiliare, 9), both}, "provvedimento": {event(sinba.ProvvedimentoGiudiziario, 9), both},
		"presa":    {event(sinba.PresaInCarico, 9), map[casefile.Status]casefile.Status{casefile.Open: casefile.InCharge}},
		"progetto": {event(sinba.Progetto, 9), charge}, "intervento": {event(sinba.Intervento, 9), charge},
		"affidamento": {event(sinba.Affidamento, 9), charge}, "inserimento": {event(sinba.InserimentoStruttura, 9), charge},
		"variazione": {event(sinba.VariazioneAnagrafica, 9), map[casefile.Status]casefile.Status{
			casefile.Open: same, casefile.InCharge: same, casefile.Closed: same, casefile.Transferred: same,
		}},
		"uscita":   {event(sinba.Trasferimento, 9), map[casefile.Status]casefile.Status{casefile.InCharge: casefile.Transferred}},
		"ingresso": {with(event(sinba.Trasferimento, 9), entering), map[casefile.Status]casefile.Status{casefile.None: casefile.Open, casefile.Open: same}},
		"chiusura": {event(sinba.ChiusuraCartella, 9), map[casefile.Status]casefile.Status{
			casefile.Open: casefile.Closed, casefile.InCharge: casefile.Closed, casefile.Transferred: casefile.Closed,
		}},
		"riapertura": {event(sinba.RiaperturaCartella, 9), map[casefile.Status]casefile.Status{casefile.Closed: casefile.Open}},
		"riapertura in carico": {
			with(event(sinba.RiaperturaCartella, 9), func(f *sinba.Facts) { f.TakenOn = 20240505 }),
			map[casefile.Status]casefile.Status{casefile.Closed: casefile.InCharge},
		},
	} {
		for from, events := range reach {
			var l life
			for _, e := range events {
				l.must(t, e)
			}
			if l.state.Status != from {
				t.Fatalf("reached %s, want %s", l.state.Status, from)
			}
			found := l.send(r.event)
			next, allowed := r.next[from]
			switch {
			case !allowed:
				next = from
			case next == same:
				next = from
			}
			refused := slices.ContainsFunc(found, func(v hub.Violation) bool { return v.Severity == hub.Grave })
			if refused == allowed || l.state.Status != next {
				t.Errorf("%s in %q: refused %v, then %q, want %q: %s", name, from, refused, l.state.Status, next, codes(found))
			}
		}
	}
}

func TestRefusalSaysWhy(t *testing.T) {
	t.Parallel()
	var none life
	want(t, none.send(event(sinba.Segnalazione, 7)), "401G")
	want(t, none.send(about(sinba.Rettifica, event(sinba.Segnalazione, 1), 2)), "401G")
	l := inCharge(t)
	want(t, l.send(event(sinba.AperturaCartella, 3)), "402G")
	want(t, l.send(event(sinba.PresaInCarico, 3)), "403G")
	found := l.send(event(sinba.RiaperturaCartella, 3))
	if len(found) != 1 || found[0].About != "IN_CARICO" || found[0].Path != "/Testata/TipoEvento" {
		t.Errorf("%+v", found)
	}
	// Numbers are told beside, since each is a mistake of its own.
	want(t, l.send(event(sinba.PresaInCarico, 2)), "411L 403G")
}

func TestNumbersThatDoNotFitAreWarnings(t *testing.T) {
	t.Parallel()
	l := inCharge(t)
	want(t, l.send(event(sinba.Segnalazione, 2)), "411L")
	found := l.send(event(sinba.Segnalazione, 7))
	want(t, found, "412L")
	if found[0].About != "3-6" {
		t.Errorf("missing %q", found[0].About)
	}
	if found = l.send(event(sinba.Segnalazione, 9)); found[0].About != "8" {
		t.Errorf("missing %q", found[0].About)
	}
	want(t, l.send(event(sinba.Segnalazione, 5)), "")
	want(t, l.send(event(sinba.Segnalazione, 5)), "411L")
	// No arithmetic beyond the type.
	found = l.send(event(sinba.Segnalazione, 2_147_483_647))
	if found[0].About != "10-2147483646" {
		t.Errorf("missing %q", found[0].About)
	}
	want(t, l.send(event(sinba.Segnalazione, 2_147_483_647)), "411L")
}

func TestOtherOpeningDateIsAWarning(t *testing.T) {
	t.Parallel()
	l := inCharge(t)
	found := l.send(with(event(sinba.Segnalazione, 3), func(f *sinba.Facts) { f.OpenedOn = 20240102 }))
	want(t, found, "413L")
	if l.state.OpenedOn != 20240101 {
		t.Errorf("opened on %d", l.state.OpenedOn)
	}
}

func TestCorrectionTakesThePlaceOfItsOriginal(t *testing.T) {
	t.Parallel()
	l := inCharge(t)
	service := l.must(t, with(event(sinba.Intervento, 3), func(f *sinba.Facts) {
		f.Items = []sinba.Item{{Kind: sinba.ItemService, ID: "a", Start: 20240201}}
	}))
	first := l.must(t, with(about(sinba.Rettifica, service, 4), func(f *sinba.Facts) {
		f.Items = []sinba.Item{{Kind: sinba.ItemService, ID: "b", Start: 20240202}}
	}))
	if len(l.state.Items) != 1 || l.state.Items[0].ID != "b" {
		t.Fatalf("%+v", l.state.Items)
	}
	// A correction of a correction means the original.
	want(t, l.send(with(about(sinba.Rettifica, first, 6), func(f *sinba.Facts) {
		f.Items = []sinba.Item{{Kind: sinba.ItemService, ID: "c", Start: 20240203}}
	})), "412L")
	// One that comes late replaces nothing newer.
	l.must(t, with(about(sinba.Rettifica, service, 5), func(f *sinba.Facts) {
		f.Items = []sinba.Item{{Kind: sinba.ItemService, ID: "d", Start: 20240203}}
	}))
	if len(l.state.Items) != 1 || l.state.Items[0].ID != "c" {
		t.Fatalf("%+v", l.state.Items)
	}
	// The annulment of a correction kills the original with all of them.
	l.must(t, about(sinba.Annullamento, first, 7))
	if len(l.state.Items) != 0 {
		t.Errorf("%+v", l.state.Items)
	}
	want(t, l.send(about(sinba.Annullamento, service, 8)), "404G")
	want(t, l.send(about(sinba.Rettifica, first, 8)), "404G")
}

func TestReferenceMustFitTheCase(t *testing.T) {
	t.Parallel()
	l := inCharge(t)
	report := l.must(t, event(sinba.Segnalazione, 3))
	unknown := about(sinba.Rettifica, report, 4)
	unknown.RefersTo = uuid.New()
	want(t, l.send(unknown), "302G")
	other := about(sinba.Rettifica, report, 4)
	other.Type = sinba.Valutazione
	want(t, l.send(other), "302G")
	want(t, l.send(with(about(sinba.Rettifica, report, 4), func(f *sinba.Facts) { f.Subject = "T" })), "302G")
	annulment := l.must(t, about(sinba.Annullamento, report, 4))
	want(t, l.send(about(sinba.Annullamento, annulment, 5)), "302G")
}

func TestOpeningIsAnnulledOnlyAlone(t *testing.T) {
	t.Parallel()
	var l life
	opening := l.must(t, event(sinba.AperturaCartella, 1))
	report := l.must(t, event(sinba.Segnalazione, 2))
	want(t, l.send(about(sinba.Annullamento, opening, 3)), "405G")
	l.must(t, about(sinba.Annullamento, report, 3))
	l.must(t, about(sinba.Annullamento, opening, 4))
	if l.state.Status != casefile.Annulled {
		t.Fatalf("%s", l.state.Status)
	}
	want(t, l.send(event(sinba.AperturaCartella, 5)), "406G")
	want(t, l.send(about(sinba.Rettifica, opening, 5)), "406G")
	want(t, l.send(event(sinba.VariazioneAnagrafica, 1)), "406G")
}

func TestLateEventIsJudgedAtItsPlace(t *testing.T) {
	t.Parallel()
	l := inCharge(t)
	l.must(t, with(event(sinba.ChiusuraCartella, 3), func(f *sinba.Facts) { f.ClosedOn = 20240601 }))
	want(t, l.send(event(sinba.RiaperturaCartella, 5)), "412L")
	// It belongs before the closing, where nothing was closed yet.
	want(t, l.send(event(sinba.Progetto, 2)), "411L")
	want(t, l.send(event(sinba.Progetto, 4)), "403G")
	// And what came after and fits no more is skipped, counted and told, never un-accepted.
	found := l.send(event(sinba.ChiusuraCartella, 2))
	want(t, found, "411L 414L")
	if l.state.Incongruent != 1 || found[1].About != "1" || len(casefile.Live(l.history)) != 5 {
		t.Errorf("%+v, %d live", l.state, len(casefile.Live(l.history)))
	}
	want(t, l.send(event(sinba.Segnalazione, 1)), "411L")
	var fresh life
	fresh.must(t, with(event(sinba.AperturaCartella, 1), func(f *sinba.Facts) { f.OpenedOn = 20240101 }))
	early := event(sinba.Segnalazione, 1)
	want(t, fresh.send(early), "411L")
}

// item is an event that tells of one placement, care, service or order.
func item(number int32, i sinba.Item, more ...func(*sinba.Facts)) casefile.Event {
	types := map[sinba.ItemKind]sinba.EventType{
		sinba.ItemService: sinba.Intervento, sinba.ItemCare: sinba.Affidamento,
		sinba.ItemPlacement: sinba.InserimentoStruttura, sinba.ItemOrder: sinba.ProvvedimentoGiudiziario,
	}
	e := event(types[i.Kind], number)
	i.Path = "/Dettaglio/X"
	i.Residential = i.Residential || i.Kind == sinba.ItemPlacement
	e.Facts.Items = []sinba.Item{i}
	e.Facts.Closing = i.Closed
	for _, change := range more {
		change(&e.Facts)
	}
	return e
}

func TestPlacementsDoNotOverlap(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		first, second sinba.Item
		want          string
	}{
		"two structures": {
			sinba.Item{Kind: sinba.ItemPlacement, ID: "a", Start: 20240201, Where: "x"},
			sinba.Item{Kind: sinba.ItemPlacement, ID: "b", Start: 20240301, Where: "y"},
			"314G",
		},
		"one structure": {
			sinba.Item{Kind: sinba.ItemPlacement, ID: "a", Start: 20240201, Where: "x"},
			sinba.Item{Kind: sinba.ItemPlacement, ID: "b", Start: 20240301, Where: "x"},
			"",
		},
		"out and in on one day": {
			sinba.Item{Kind: sinba.ItemPlacement, ID: "a", Start: 20240201, End: 20240301, Where: "x", Closed: true},
			sinba.Item{Kind: sinba.ItemPlacement, ID: "b", Start: 20240301, Where: "y"},
			"",
		},
		"told later, but before": {
			sinba.Item{Kind: sinba.ItemPlacement, ID: "a", Start: 20240201, Where: "x"},
			sinba.Item{Kind: sinba.ItemPlacement, ID: "b", Start: 20240101, End: 20240202, Where: "y", Closed: true},
			"314G",
		},
		"one day only": {
			sinba.Item{Kind: sinba.ItemPlacement, ID: "a", Start: 20240201, Where: "x"},
			sinba.Item{Kind: sinba.ItemPlacement, ID: "b", Start: 20240301, End: 20240301, Where: "y", Closed: true},
			"",
		},
		"care beside a placement": {
			sinba.Item{Kind: sinba.ItemPlacement, ID: "a", Start: 20240201, Where: "x"},
			sinba.Item{Kind: sinba.ItemCare, ID: "b", Start: 20240301, Residential: true},
			"314L",
		},
		"daily care beside a placement": {
			sinba.Item{Kind: sinba.ItemPlacement, ID: "a", Start: 20240201, Where: "x"},
			sinba.Item{Kind: sinba.ItemCare, ID: "b", Start: 20240301},
			"",
		},
		"the same placement again": {
			sinba.Item{Kind: sinba.ItemPlacement, ID: "a", Start: 20240201, Where: "x"},
			sinba.Item{Kind: sinba.ItemPlacement, ID: "a", Start: 20240201, Where: "y"},
			"",
		},
	} {
		l := inCharge(t)
		l.must(t, item(3, tt.first))
		if got := codes(l.send(item(4, tt.second))); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

func TestCaseWithOpenItemsIsNotClosed(t *testing.T) {
	t.Parallel()
	for _, kind := range []sinba.ItemKind{sinba.ItemService, sinba.ItemCare, sinba.ItemPlacement} {
		l := inCharge(t)
		l.must(t, item(3, sinba.Item{Kind: kind, ID: "a", Start: 20240201}))
		want(t, l.send(event(sinba.ChiusuraCartella, 4)), "317G")
		l.must(t, item(4, sinba.Item{Kind: kind, ID: "a", Start: 20240201, End: 20240301, Closed: true}))
		want(t, l.send(event(sinba.ChiusuraCartella, 5)), "")
	}
	l := inCharge(t)
	l.must(t, item(3, sinba.Item{Kind: sinba.ItemOrder, ID: "a", Start: 20240201}))
	want(t, l.send(event(sinba.ChiusuraCartella, 4)), "")
}

func TestJudicialFormNamesAKnownOrder(t *testing.T) {
	t.Parallel()
	l := inCharge(t)
	want(t, l.send(item(3, sinba.Item{Kind: sinba.ItemCare, ID: "a", Start: 20240201, Judicial: true})), "315L")
	want(t, l.send(item(4, sinba.Item{Kind: sinba.ItemCare, ID: "b", Start: 20240201, Judicial: true, Order: "o"})), "315L")
	l.must(t, item(5, sinba.Item{Kind: sinba.ItemOrder, ID: "o", Start: 20240201}))
	want(t, l.send(item(6, sinba.Item{Kind: sinba.ItemCare, ID: "c", Start: 20240201, Judicial: true, Order: "o"})), "")
}

func TestPlaceOfLifeAgreesWithWhatIsOpen(t *testing.T) {
	t.Parallel()
	lives := func(place string) func(*sinba.Facts) {
		return func(f *sinba.Facts) {
			f.Minors = []sinba.Minor{{Path: "/Dettaglio/Valutazione/DatiMinore", Place: place}}
		}
	}
	l := inCharge(t)
	want(t, l.send(with(event(sinba.Valutazione, 3), lives("3"))), "313L")
	want(t, l.send(with(event(sinba.Valutazione, 4), lives("4"))), "313L")
	want(t, l.send(with(event(sinba.Valutazione, 5), lives("1"))), "")
	l.must(t, item(6, sinba.Item{Kind: sinba.ItemCare, ID: "a", Start: 20240201, Residential: true}, lives("3")))
	want(t, l.send(with(event(sinba.Valutazione, 7), lives("1"))), "313L")
	l.must(t, item(8, sinba.Item{Kind: sinba.ItemCare, ID: "a", Start: 20240201, End: 20240301, Residential: true, Closed: true}, lives("1")))
	l.must(t, item(9, sinba.Item{Kind: sinba.ItemPlacement, ID: "p", Start: 20240301, Where: "x"}))
	want(t, l.send(with(event(sinba.Valutazione, 10), lives("5"))), "313L")
	want(t, l.send(with(event(sinba.Valutazione, 11), lives("4"))), "")
	// Before it is in charge a case knows of no placement.
	var fresh life
	want(t, fresh.send(with(event(sinba.AperturaCartella, 1), lives("4"))), "")
}

func TestAdoptionFreezesTheCase(t *testing.T) {
	t.Parallel()
	l := inCharge(t)
	service := sinba.Item{Kind: sinba.ItemService, ID: "s", Start: 20240201}
	report := l.must(t, event(sinba.Segnalazione, 3))
	l.must(t, item(4, service))
	l.must(t, item(5, sinba.Item{Kind: sinba.ItemOrder, ID: "o", Start: 20240201}, func(f *sinba.Facts) { f.Adopted = true }))
	for _, kind := range []sinba.EventType{sinba.Valutazione, sinba.VariazioneAnagrafica, sinba.Trasferimento, sinba.Progetto} {
		want(t, l.send(event(kind, 6)), "322G")
	}
	l.must(t, about(sinba.Rettifica, report, 6))
	l.must(t, about(sinba.Annullamento, report, 7))
	service.Closed, service.End = true, 20240301
	l.must(t, item(8, service))
	l.must(t, with(event(sinba.ChiusuraCartella, 9), func(f *sinba.Facts) { f.Closing = true }))
}

// TestCaseKeepsItsChild is BR-25: only what the case's own events said counts, wherever the event
// stands among them; and after an adoption no operation and no number gives the child another name.
func TestCaseKeepsItsChild(t *testing.T) {
	t.Parallel()
	named := func(number int32, id, previous string) casefile.Event {
		e := event(sinba.Segnalazione, number)
		if previous != "" {
			e.Type = sinba.VariazioneAnagrafica
		}
		e.Facts.Identity, e.Facts.Previous = id, previous
		return e
	}
	var l life
	l.must(t, with(event(sinba.AperturaCartella, 1), func(f *sinba.Facts) { f.Identity = "a" }))
	l.must(t, named(2, "a", ""))
	want(t, l.send(named(3, "b", "")), "325G")
	want(t, l.send(named(3, "b", "c")), "325G")
	change := l.must(t, named(3, "b", "a"))
	l.must(t, named(4, "b", ""))
	l.must(t, named(5, "a", ""))
	want(t, l.send(named(2, "b", "")), "411L") // late, by the name of today
	want(t, l.send(named(2, "c", "")), "411L 325G")
	want(t, l.send(with(about(sinba.Annullamento, change, 6), func(f *sinba.Facts) { f.Identity, f.Previous = "z", "" })), "325G")
	adoption := event(sinba.ProvvedimentoGiudiziario, 6)
	adoption.Facts.Identity, adoption.Facts.Adopted = "a", true
	l.must(t, adoption)
	if found := l.send(named(7, "new", "a")); len(found) == 0 || found[0].Code != hub.CodeRule22 {
		t.Errorf("another name after the adoption: %+v", found)
	}
	want(t, l.send(named(2, "new", "a")), "411L 322G")
	want(t, l.send(with(about(sinba.Rettifica, change, 7), func(f *sinba.Facts) { f.Identity, f.Previous = "new", "a" })), "322G")
}

// TestWhatASoftenedRuleLetsInMovesTheCase: whether a rule refuses is configuration, what the event
// makes of the case is not.
func TestWhatASoftenedRuleLetsInMovesTheCase(t *testing.T) {
	t.Parallel()
	l := inCharge(t)
	l.must(t, item(3, sinba.Item{Kind: sinba.ItemService, ID: "a", Start: 20240201}))
	closing := event(sinba.ChiusuraCartella, 4)
	after, found := casefile.Judge(&l.state, l.history, &closing)
	want(t, found, "317G")
	closing.Position = 4
	if folded := casefile.Fold(append(l.history, closing)); after.Status != casefile.Closed || !cmp.Equal(after, folded) {
		t.Errorf("the case would be %+v, its fold %+v", after, folded)
	}
}

func TestItemsOfACaseAreBounded(t *testing.T) {
	t.Parallel()
	many := func(n int) func(*sinba.Facts) {
		return func(f *sinba.Facts) {
			for i := range n {
				f.Items = append(f.Items, sinba.Item{Kind: sinba.ItemService, ID: strconv.Itoa(i), Start: 20240201})
			}
		}
	}
	var l life
	want(t, l.send(with(event(sinba.CaricamentoIniziale, 1), many(casefile.MaxItems+1))), "407G")
	l.must(t, with(event(sinba.CaricamentoIniziale, 1), many(casefile.MaxItems)))
	want(t, l.send(item(2, sinba.Item{Kind: sinba.ItemCare, ID: "x", Start: 20240201})), "407G")
	l.must(t, item(2, sinba.Item{Kind: sinba.ItemService, ID: "7", Start: 20240201, End: 20240202, Closed: true}))
	l.must(t, item(3, sinba.Item{Kind: sinba.ItemCare, ID: "x", Start: 20240201}))
}

// born is a case in charge of a child born in a month.
func born(t *testing.T, month int32, presumed bool) *life {
	t.Helper()
	var l life
	l.must(t, with(event(sinba.AperturaCartella, 1), func(f *sinba.Facts) { f.BornIn, f.Presumed = month, presumed }))
	return &l
}

func TestAgeIsJudgedByWhatTheCaseKnows(t *testing.T) {
	t.Parallel()
	reopened := func(l *life, on sinba.Date) string {
		l.must(t, with(event(sinba.ChiusuraCartella, 2), func(f *sinba.Facts) { f.ClosedOn = 20240101 }))
		return codes(l.send(with(event(sinba.RiaperturaCartella, 3), func(f *sinba.Facts) { f.TakenOn = on })))
	}
	for _, tt := range []struct {
		month    int32
		presumed bool
		on       sinba.Date
		want     string
	}{
		{200603, false, 20240331, ""},
		{200603, false, 20240401, "305L"},
		{200603, true, 20240401, ""},
		{200603, false, 20270331, "305L"},
		{200603, false, 20270401, "305G"},
		{200603, true, 20270401, "305L"},
	} {
		if got := reopened(born(t, tt.month, tt.presumed), tt.on); got != tt.want {
			t.Errorf("born in %d (presumed %v), taken in on %d: %q, want %q", tt.month, tt.presumed, tt.on, got, tt.want)
		}
	}
	for _, tt := range []struct {
		month    int32
		presumed bool
		on       sinba.Date
		want     string
	}{
		{200603, false, 20240228, "318L"}, {200603, false, 20240301, ""}, {200603, true, 20240101, ""}, {200703, true, 20240101, "318L"},
	} {
		closed := with(event(sinba.ChiusuraCartella, 2), func(f *sinba.Facts) { f.ClosedOn, f.OfAge = tt.on, true })
		if got := codes(born(t, tt.month, tt.presumed).send(closed)); got != tt.want {
			t.Errorf("born in %d (presumed %v), of age on %d: %q, want %q", tt.month, tt.presumed, tt.on, got, tt.want)
		}
	}
	// What the event says itself is judged where the event alone is.
	own := with(event(sinba.ChiusuraCartella, 2), func(f *sinba.Facts) { f.ClosedOn, f.OfAge, f.BornIn = 20200101, true, 201001 })
	want(t, born(t, 201001, false).send(own), "")
	want(t, inCharge(t).send(with(event(sinba.ChiusuraCartella, 3), func(f *sinba.Facts) { f.ClosedOn = 20240109 })), "306G")
	want(t, inCharge(t).send(with(event(sinba.ChiusuraCartella, 3), func(f *sinba.Facts) { f.ClosedOn = 20240110 })), "")
}

func TestUnaccompaniedMinorAgreesWithWhatTheCaseWasTold(t *testing.T) {
	t.Parallel()
	told := func(c sinba.Citizenship, family sinba.Family) *life {
		var l life
		l.must(t, with(event(sinba.CaricamentoIniziale, 1), func(f *sinba.Facts) { f.BornIn, f.Citizenship, f.Family = 201203, c, family }))
		return &l
	}
	alone := func(f *sinba.Facts) {
		f.Minors = []sinba.Minor{{Path: "/Dettaglio/Valutazione/DatiMinore", Unaccompanied: true, Place: "1"}}
	}
	none := sinba.Family{}
	with2 := sinba.Family{Told: true, Mother: true}
	want(t, told(sinba.CitizenshipOther, none).send(with(event(sinba.Valutazione, 2), alone)), "")
	want(t, told(sinba.CitizenshipEU, none).send(with(event(sinba.Valutazione, 2), alone)), "309G")
	want(t, told(sinba.CitizenshipOther, with2).send(with(event(sinba.Valutazione, 2), alone)), "309L")
	l := told(sinba.CitizenshipOther, none)
	l.must(t, with(event(sinba.Valutazione, 2), alone))
	want(t, l.send(with(event(sinba.NucleoFamiliare, 3), func(f *sinba.Facts) { f.Family = with2 })), "309L")
	want(t, l.send(with(event(sinba.NucleoFamiliare, 4), func(f *sinba.Facts) { f.Family = sinba.Family{Told: true} })), "")
	// An event with its own Anagrafica is judged by that.
	own := func(f *sinba.Facts) { alone(f); f.BornIn, f.Citizenship = 201203, sinba.CitizenshipEU }
	want(t, told(sinba.CitizenshipEU, none).send(with(event(sinba.Valutazione, 2), own)), "")
}

// TestStoredFormsAreReadAsWritten has every field of a state and of facts.
func TestStoredFormsAreReadAsWritten(t *testing.T) {
	t.Parallel()
	state := casefile.State{
		Status: casefile.Transferred, OpenedOn: 20240101, TakenOn: 20240102, LastNumber: 2_147_483_647, Incongruent: 3,
		BornIn: 201203, Presumed: true, Citizenship: sinba.CitizenshipOther, Unaccompanied: true, Mother: true, Frozen: true,
		Identities: []string{"A", "B"},
		Items: []casefile.Item{
			{Kind: sinba.ItemPlacement, ID: "ABCDEFGHIJKLMNOPQRST", Start: 20240201, End: 20240301, Closed: true, Residential: true, Where: "W"},
			{Kind: sinba.ItemOrder, ID: "B"},
		},
	}
	again, err := casefile.ParseState(state.Bytes())
	if diff := cmp.Diff(state, again); diff != "" || err != nil {
		t.Error(diff, err)
	}
	facts := sinba.Facts{
		Subject: "S", Identity: "I", OpenedOn: 20240101, TakenOn: 20240103, BornIn: 201203, Presumed: true, Entering: true, Adopted: true,
		Citizenship: sinba.CitizenshipEU, Minors: []sinba.Minor{{Unaccompanied: true}},
		Family: sinba.Family{Told: true, Father: true},
		Items:  []sinba.Item{{Kind: sinba.ItemCare, ID: "X", Start: 20240201, Residential: true, Where: "W"}},
	}
	read, err := casefile.ParseFacts(casefile.FactsBytes(&facts))
	if diff := cmp.Diff(facts, read); diff != "" || err != nil {
		t.Error(diff, err)
	}
	for cut := range state.Bytes() {
		if _, err := casefile.ParseState(state.Bytes()[:cut]); err == nil {
			t.Errorf("a state of %d bytes was read", cut)
		}
	}
	if _, err := casefile.ParseState(append(state.Bytes(), 0)); err == nil {
		t.Error("a state with a byte too many was read")
	}
	// The defaults of the migration.
	if s, err := casefile.ParseState([]byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}); err != nil || s.Status != casefile.None {
		t.Error(s, err)
	}
	if _, err := casefile.ParseFacts([]byte{1, 0, 0, 0, 0, 0, 0, 0, 0}); err != nil {
		t.Error(err)
	}
}
