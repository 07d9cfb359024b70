package delivery_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/delivery"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/siss"
)

const (
	yes = "ACCETTATO"
	no  = "RIFIUTATO"
)

// once is an attempt that took 40 ms.
func (p *past) once(t *testing.T, at string) []try {
	t.Helper()
	return []try{{at: p.at(t, at), took: 40 * time.Millisecond}}
}

func TestReconciliationFindsEveryDifferenceByItsID(t *testing.T) {
	t.Parallel()
	p := newPast(t, "2026-11-20 09:00:00")
	day := "2026-11-19"
	noon := p.once(t, day+" 12:00:00")
	p.put(t, sent{tries: noon, there: yes})
	p.put(t, sent{tipo: "INTERVENTO", tries: noon, there: yes})
	p.put(t, sent{tipo: "INTERVENTO", state: hub.Refused, tries: noon, there: no})
	lost := p.put(t, sent{tries: noon})
	refusedThere := p.put(t, sent{tries: noon, there: no})
	acceptedThere := p.put(t, sent{state: hub.Refused, tries: noon, there: yes})
	parked := p.put(t, sent{state: hub.Parked, tries: noon, there: yes})
	uncertain := p.put(t, sent{state: hub.Uncertain, tries: noon, there: yes})
	dead := p.put(t, sent{state: hub.Dead, tries: noon, there: yes})
	deadRefused := p.put(t, sent{state: hub.Dead, tries: noon, there: no})
	deadUnknown := p.put(t, sent{state: hub.Dead, tries: noon})
	invented := uuid.New()
	p.there(invented, "PROGETTO", yes, p.at(t, day+" 12:00:00"))
	p.put(t, sent{tries: p.once(t, "2026-11-18 12:00:00"), there: yes})
	p.save(t)
	nation := p.siss(t)
	r := p.reconciler(t, nation.URL(), func(c *delivery.ReconcileConfig) { c.Actor = "ada" })
	r.now(t, day)
	want := found{
		Day: "different",
		Types: map[string]string{
			"SEGNALAZIONE": "different 3+0:5", "INTERVENTO": "equal 1+0:1", "PROGETTO": "different 0+0:1 not ours 1",
		},
		Kinds: map[string][]uuid.UUID{
			"unknown_there": {lost}, "refused_there": {refusedThere}, "accepted_there": sorted(acceptedThere, parked),
		},
	}
	if diff := cmp.Diff(want, p.found(t, day)); diff != "" {
		t.Error(diff)
	}
	for id, want := range map[uuid.UUID]string{
		uncertain: "delivered", dead: "delivered", deadRefused: "refused", deadUnknown: "dead",
		lost: "delivered", refusedThere: "delivered", acceptedThere: "refused", parked: "parked",
	} {
		if s := p.state(t, id); s != want {
			t.Errorf("a delivery became %s, want %s", s, want)
		}
	}
	// Each doubt that ended is an attempt with an entry.
	var settled []string
	for _, e := range hubtest.JournalEntries(t, p.super) {
		if e.Kind == journal.AttemptSettled {
			settled = append(settled, fmt.Sprint(e.Outcome, " ", e.Codes, " ", e.Attempt, " ", e.Delivery))
		}
	}
	slices.Sort(settled)
	wantSettled := []string{
		"delivered [reconciled] 2 " + dead.String(), "delivered [reconciled] 2 " + uncertain.String(), "refused [reconciled SISS_300] 2 " + deadRefused.String(),
	}
	slices.Sort(wantSettled)
	if diff := cmp.Diff(wantSettled, settled); diff != "" {
		t.Error(diff)
	}
	if n := nation.Stats()["trasmettiEvento/ACCETTATO"] + nation.Stats()["trasmettiEvento/GIA_RICEVUTO"]; n != 0 {
		t.Errorf("%d events were sent", n)
	}
	entries := p.entries(t)
	if len(entries) != 1 || entries[0].Outcome != "different" || entries[0].Count != 5 || entries[0].Actor != "ada" ||
		!cmp.Equal(entries[0].Codes, []hub.Code{"2026-11-19", "unknown_there:1", "refused_there:1", "accepted_there:2", "not_ours:1"}) {
		t.Errorf("journal: %+v", entries)
	}
	if log := r.log(); !strings.Contains(log, "differ on a day") || strings.Contains(log, lost.String()) {
		t.Errorf("log: %s", log)
	}
	// What SISS has again, and what it no longer invents, is no difference any more.
	nation.Lie(siss.Lies{
		Forget: []uuid.UUID{invented, acceptedThere, parked, refusedThere},
		Invent: []siss.Invention{
			{ID: lost, Type: "SEGNALAZIONE", At: p.at(t, day+" 12:00:00")}, {ID: refusedThere, Type: "SEGNALAZIONE", At: p.at(t, day+" 12:00:00")},
		},
	})
	r.now(t, day)
	want = found{Day: "equal", Types: map[string]string{"SEGNALAZIONE": "equal 3+2:5", "INTERVENTO": "equal 1+0:1"}, Kinds: map[string][]uuid.UUID{}}
	if diff := cmp.Diff(want, p.found(t, day)); diff != "" {
		t.Error(diff)
	}
}

func sorted(ids ...uuid.UUID) []uuid.UUID {
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return strings.Compare(a.String(), b.String()) })
	return ids
}

// Equal counts say nothing: SISS may have lost one and got another from elsewhere.
func TestEqualCountsOfDifferentEventsDiffer(t *testing.T) {
	t.Parallel()
	p := newPast(t, "2026-11-20 09:00:00")
	p.put(t, sent{tries: p.once(t, "2026-11-19 12:00:00"), there: yes})
	lost := p.put(t, sent{tries: p.once(t, "2026-11-19 12:00:00")})
	p.there(uuid.New(), "SEGNALAZIONE", yes, p.at(t, "2026-11-19 12:00:00"))
	p.save(t)
	p.reconciler(t, p.siss(t).URL(), nil).now(t, "2026-11-19")
	want := found{Day: "different", Types: map[string]string{"SEGNALAZIONE": "different 2+0:2 not ours 1"}, Kinds: map[string][]uuid.UUID{"unknown_there": {lost}}}
	if diff := cmp.Diff(want, p.found(t, "2026-11-19")); diff != "" {
		t.Error(diff)
	}
}

// The Italian day has 23 hours in March and 25 in October; SISS counts by it.
func TestReconciliationKnowsTheItalianDay(t *testing.T) {
	t.Parallel()
	for day, hours := range map[string]int{"2026-03-29": 23, "2026-10-25": 25, "2026-11-19": 24} {
		t.Run(day, func(t *testing.T) {
			t.Parallel()
			next := date(t, day).AddDate(0, 0, 1).Format(time.DateOnly)
			p := newPast(t, next+" 09:00:00")
			begin, end := p.at(t, day+" 00:00:00"), p.at(t, next+" 00:00:00")
			if int(end.Sub(begin).Hours()) != hours {
				t.Fatalf("the day has %v", end.Sub(begin))
			}
			const aside = 10 * time.Minute
			for _, at := range []time.Time{begin.Add(aside), end.Add(-aside)} {
				p.put(t, sent{tries: []try{{at: at, took: time.Second}}, there: yes})
			}
			for _, at := range []time.Time{begin.Add(-aside), end.Add(aside)} {
				p.put(t, sent{tipo: "PROGETTO", tries: []try{{at: at, took: time.Second}}, there: yes})
			}
			p.save(t)
			r := p.reconciler(t, p.siss(t).URL(), nil)
			r.now(t, day)
			want := found{Day: "equal", Types: map[string]string{"SEGNALAZIONE": "equal 2+0:2"}, Kinds: map[string][]uuid.UUID{}}
			if diff := cmp.Diff(want, p.found(t, day)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Days follow each other without a gap, whatever the clocks were set to meanwhile.
func TestDaysTileTheYears(t *testing.T) {
	t.Parallel()
	r, err := delivery.NewReconciler(delivery.ReconcileConfig{Environment: hub.Prod, Margin: time.Minute}, parts(t))
	if err != nil {
		t.Fatal(err)
	}
	hours := map[time.Duration]int{}
	for d := date(t, "2020-01-01"); d.Year() < 2030; d = d.AddDate(0, 0, 1) {
		day, next := r.Day(d), r.Day(d.AddDate(0, 0, 1))
		if !day.To.Add(-time.Minute).Equal(next.From.Add(time.Minute)) {
			t.Fatalf("%v ends at %v, the next begins at %v", d, day.To, next.From)
		}
		hours[day.To.Sub(day.From)-2*time.Minute]++
	}
	if hours[23*time.Hour] != 10 || hours[25*time.Hour] != 10 || len(hours) != 3 {
		t.Errorf("%v", hours)
	}
}

func TestDayWithoutEventsIsEqual(t *testing.T) {
	t.Parallel()
	p := newPast(t, "2026-11-20 09:00:00")
	nation := p.siss(t)
	r := p.reconciler(t, nation.URL(), nil)
	r.now(t, "2026-11-19")
	if log := r.log(); !strings.Contains(log, "day without events on either side") || strings.Contains(log, "day reconciled") {
		t.Errorf("the log says that something was compared: %s", log)
	}
	if diff := cmp.Diff(found{Day: "equal", Types: map[string]string{}, Kinds: map[string][]uuid.UUID{}}, p.found(t, "2026-11-19")); diff != "" {
		t.Error(diff)
	}
	if asked := nation.Stats()["riepilogo/ok"]; asked != 1 {
		t.Errorf("asked %d times", asked)
	}
	if entries := p.entries(t); len(entries) != 1 || entries[0].Outcome != "equal" || entries[0].Count != 0 {
		t.Errorf("journal: %+v", entries)
	}
}

// What was sent around midnight counts on the day that SISS's clock showed. A few are tried in
// every combination, many in the order of time; where neither fits, SISS is asked about each.
func TestMidnightIsNoDifference(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		near  int
		there func(i int) bool // on the day, as SISS sees it
		want  string
	}{
		"none of a few":             {5, func(int) bool { return false }, "equal 3+5:3"},
		"some of a few, disordered": {5, func(i int) bool { return i%2 == 0 }, "equal 3+5:6"},
		"all of many":               {40, func(int) bool { return true }, "equal 3+40:43"},
		"the first of many":         {40, func(i int) bool { return i < 13 }, "equal 3+40:16"},
		"many, disordered":          {40, func(i int) bool { return i%2 == 1 }, "known 3+40:23"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPast(t, "2026-11-20 09:00:00")
			for range 3 {
				p.put(t, sent{tries: p.once(t, "2026-11-19 12:00:00"), there: yes})
			}
			midnight := p.at(t, "2026-11-20 00:00:00")
			for i := range c.near {
				at := midnight.Add(time.Second)
				if c.there(i) {
					at = midnight.Add(-time.Second)
				}
				begun := midnight.Add(time.Duration(i-c.near/2) * time.Second)
				p.put(t, sent{tries: []try{{at: begun, took: time.Millisecond}}, there: yes, at: at})
			}
			p.save(t)
			r := p.reconciler(t, p.siss(t).URL(), nil)
			r.now(t, "2026-11-19")
			want := found{Day: "equal", Types: map[string]string{"SEGNALAZIONE": c.want}, Kinds: map[string][]uuid.UUID{}}
			if diff := cmp.Diff(want, p.found(t, "2026-11-19")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What SISS has lost around midnight may be of either day, so that the first that is compared does
// without it; the other one then cannot.
func TestLossAtMidnightIsFoundOnTheOtherDay(t *testing.T) {
	t.Parallel()
	for _, days := range [][]string{
		{"2026-11-18", "2026-11-19", "equal 0+3:1", "different 3+0:2"},
		{"2026-11-19", "2026-11-18", "equal 1+3:2", "different 2+0:1"},
	} {
		t.Run(days[0]+" first", func(t *testing.T) {
			t.Parallel()
			p := newPast(t, "2026-11-20 09:00:00")
			p.put(t, sent{tries: p.once(t, "2026-11-19 12:00:00"), there: yes})
			p.put(t, sent{tries: p.once(t, "2026-11-18 23:59:58"), there: yes})
			p.put(t, sent{tries: p.once(t, "2026-11-19 00:00:02"), there: yes})
			lost := p.put(t, sent{tries: p.once(t, "2026-11-19 00:00:00")})
			p.save(t)
			r := p.reconciler(t, p.siss(t).URL(), nil)
			r.now(t, days[0])
			if f := p.found(t, days[0]); f.Types["SEGNALAZIONE"] != days[2] {
				t.Errorf("%+v", f)
			}
			r.now(t, days[1])
			if f := p.found(t, days[1]); f.Types["SEGNALAZIONE"] != days[3] || !cmp.Equal(f.Kinds, map[string][]uuid.UUID{"unknown_there": {lost}}) {
				t.Errorf("%+v", f)
			}
			// Looked at again, the first one stays as it is: there is nothing to choose any more.
			r.now(t, days[0])
			if f := p.found(t, days[0]); f.Day != "equal" {
				t.Errorf("%+v", f)
			}
		})
	}
}

// A loss is found among those around midnight, too.
func TestLossAroundMidnightIsFound(t *testing.T) {
	t.Parallel()
	p := newPast(t, "2026-11-20 09:00:00")
	lost := p.put(t, sent{tries: p.once(t, "2026-11-19 12:00:00")})
	p.put(t, sent{tries: p.once(t, "2026-11-19 23:59:59"), there: yes})
	p.put(t, sent{tries: p.once(t, "2026-11-19 12:00:00"), there: yes})
	p.save(t)
	p.reconciler(t, p.siss(t).URL(), nil).now(t, "2026-11-19")
	want := found{Day: "different", Types: map[string]string{"SEGNALAZIONE": "different 2+1:2"}, Kinds: map[string][]uuid.UUID{"unknown_there": {lost}}}
	if diff := cmp.Diff(want, p.found(t, "2026-11-19")); diff != "" {
		t.Error(diff)
	}
}

// Where the hub does not know when SISS received an event, either day is right: an answer that was
// lost and asked about on the next day, a process that died before it could settle.
func TestLateKnowledgeIsNoDifference(t *testing.T) {
	t.Parallel()
	p := newPast(t, "2026-11-20 09:00:00")
	evening, morning := p.at(t, "2026-11-19 22:00:00"), p.at(t, "2026-11-20 07:00:00")
	cut := []try{{at: evening, took: time.Minute, state: "uncertain"}, {at: morning, took: time.Second, asked: true}}
	p.put(t, sent{tries: cut, there: yes, at: evening})
	p.put(t, sent{tipo: "PROGETTO", tries: cut[1:], crashed: 1, there: yes, at: evening})
	// Refused connections sent nothing: this one was received in the morning for sure.
	p.put(t, sent{tipo: "INTERVENTO", tries: []try{{at: evening, state: "retrying", asked: true}, {at: morning, took: time.Second}}, there: yes, at: morning})
	// The same from the day before into this one.
	before := p.at(t, "2026-11-18 22:00:00")
	p.put(t, sent{tipo: "PRESA_IN_CARICO", there: yes, at: before, tries: []try{
		{at: before, took: time.Minute, state: "uncertain"}, {at: p.at(t, "2026-11-19 07:00:00"), took: time.Second, asked: true},
	}})
	p.save(t)
	p.reconciler(t, p.siss(t).URL(), nil).now(t, "2026-11-19")
	want := found{
		Day:   "equal",
		Types: map[string]string{"SEGNALAZIONE": "equal 0+1:1", "PROGETTO": "equal 0+1:1", "PRESA_IN_CARICO": "equal 0+1:0"},
		Kinds: map[string][]uuid.UUID{},
	}
	if diff := cmp.Diff(want, p.found(t, "2026-11-19")); diff != "" {
		t.Error(diff)
	}
}

// What was in doubt for days counts on one of them, and then on no other.
func TestDoubtOfDaysCountsOnce(t *testing.T) {
	t.Parallel()
	p := newPast(t, "2026-11-20 09:00:00")
	begun := p.at(t, "2026-11-17 12:00:00")
	p.put(t, sent{there: yes, at: begun, tries: []try{
		{at: begun, took: time.Minute, state: "uncertain"}, {at: p.at(t, "2026-11-19 12:00:00"), took: time.Second, asked: true},
	}})
	p.put(t, sent{tries: p.once(t, "2026-11-18 12:00:00"), there: yes})
	p.save(t)
	r := p.reconciler(t, p.siss(t).URL(), nil)
	for _, one := range [][]string{{"2026-11-17", "equal 0+1:1"}, {"2026-11-18", "equal 1+0:1"}} {
		r.now(t, one[0])
		if got := p.found(t, one[0]).Types["SEGNALAZIONE"]; got != one[1] {
			t.Errorf("%s: %s, want %s", one[0], got, one[1])
		}
	}
}

func TestNothingButTheContractsTotalsIsBelieved(t *testing.T) {
	t.Parallel()
	const day = "2026-11-19"
	row := func(day, tipo, n string) string {
		return `<Totale><Giorno>` + day + `</Giorno><TipoEvento>` + tipo + `</TipoEvento><Numero>` + n + `</Numero><Impronta>` +
			strings.Repeat("0a", 32) + `</Impronta></Totale>`
	}
	totals := func(rows string) string {
		return message(`<RiepilogoRisposta ` + xmlns + `>` + rows + `</RiepilogoRisposta>`)
	}
	good := row(day, "SEGNALAZIONE", "2147483647") + row(day, "PROGETTO", "1")
	for name, c := range map[string]struct {
		status    int
		body      string
		mediaType string
		want      bool
	}{
		"two rows":        {200, totals(good), xml12, true},
		"none":            {200, totals(""), xml12, true},
		"another day":     {200, totals(row("2026-11-18", "SEGNALAZIONE", "1")), xml12, false},
		"a type twice":    {200, totals(good + row(day, "PROGETTO", "1")), xml12, false},
		"unknown type":    {200, totals(row(day, "ALTRO", "1")), xml12, false},
		"nought":          {200, totals(row(day, "PROGETTO", "0")), xml12, false},
		"huge number":     {200, totals(row(day, "PROGETTO", "2147483648")), xml12, false},
		"another answer":  {200, message(`<EchoRisposta ` + xmlns + `><VersioneServizio>1</VersioneServizio><DataOra>2026-11-19T00:00:00Z</DataOra><Disponibile>true</Disponibile></EchoRisposta>`), xml12, false},
		"with status 500": {500, totals(good), xml12, false},
		"page of a proxy": {200, `<html><body>Login</body></html>`, "text/html", false},
		"garbage":         {200, "\x00\xff<", xml12, false},
		"entities":        {200, `<!DOCTYPE a [<!ENTITY b "c">]>` + totals(good), xml12, false},
		"nothing":         {200, "", xml12, false},
		"endless":         {200, totals(strings.Repeat(row(day, "PROGETTO", "1"), 10_000)), xml12, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header().Set("Content-Type", c.mediaType)
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			}))
			defer server.Close()
			client, err := delivery.NewClient(server.URL, "", pool(t))
			if err != nil {
				t.Fatal(err)
			}
			got, ok := delivery.ClassifyTotals(day, client.Transmit(t.Context(), nil))
			if ok != c.want {
				t.Fatalf("%v %v", got, ok)
			}
			if name == "two rows" && (len(got) != 2 || got["SEGNALAZIONE"].Count != 2147483647 || got["PROGETTO"].Digest[31] != 0x0a) {
				t.Errorf("%+v", got)
			}
		})
	}
}

// A SISS that is down or answers garbage leaves the day open and what was found before as it was.
func TestSilentSissChangesNothing(t *testing.T) {
	t.Parallel()
	p := newPast(t, "2026-11-20 09:00:00")
	lost := p.put(t, sent{tries: p.once(t, "2026-11-19 12:00:00")})
	p.save(t)
	nation := p.siss(t)
	r := p.reconciler(t, nation.URL(), nil)
	r.now(t, "2026-11-19")
	before := p.found(t, "2026-11-19")
	if before.Day != "different" || len(before.Kinds["unknown_there"]) != 1 || before.Kinds["unknown_there"][0] != lost {
		t.Fatalf("%+v", before)
	}
	for _, fault := range []siss.Fault{siss.Garbage, siss.HTML, siss.Fail, siss.Unavailable, siss.Cut, siss.Drop} {
		if err := nation.SetFaults(siss.Faults{Next: []siss.Fault{fault, fault}, Operations: []string{"riepilogo"}}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.RunNow(t.Context(), date(t, "2026-11-19")); !errors.Is(err, delivery.ErrSilent) {
			t.Errorf("%s: %v", fault, err)
		}
		if diff := cmp.Diff(before, p.found(t, "2026-11-19")); diff != "" {
			t.Errorf("%s: %s", fault, diff)
		}
	}
	if n := len(p.entries(t)); n != 1 {
		t.Errorf("%d journal entries, want that of the first comparison", n)
	}
}
