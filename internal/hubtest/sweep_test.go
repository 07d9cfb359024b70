//go:build smoke

package hubtest_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

const (
	// sweepStarts is how many calls of a start are skipped between two that fail, in the short form;
	// SINBAHUB_TEST_SWEEP_STEP=1 fails every one.
	sweepStarts = 6
	// sweepMost is where a sweep that meets a call each time is called endless.
	sweepMost = 400
	// sweepQuiet is how many trials in a row that met nothing end a sweep.
	sweepQuiet = 2
)

// sweep fails the N-th call to PostgreSQL, before or after it took effect, for N = 1 until there is no
// N-th call.
type sweep struct {
	t    *testing.T
	hub  *hubtest.Hub
	line *cutline
	// door accepts and delivers nothing; carrier delivers what was accepted.
	door, carrier *hubtest.Instance
	sender        hubtest.Sender
	book          *evidence
	// child is the last that was used, known the event that prepareKnown had accepted of it.
	child hubtest.Child
	known uuid.UUID
	// met counts what the cuts met, outcomes what the first answers were.
	met, outcomes map[string]int
	trials        int
}

// useCase is something that the hub does with its database.
type useCase struct {
	name string
	// prepare makes ready what a trial needs, with the line whole.
	prepare func(s *sweep)
	// trial does it once while the cut is armed, checks what was answered, and, with the line whole
	// again, does it until it is done.
	trial func(s *sweep, mend func())
	// cold drops the connections first.
	cold bool
}

// TestSmokeSweep fails each call of each use case and wants, whatever was answered: a receipt only for
// what is stored, one event, one delivery, one effect and one entry for each, everything delivered in
// the end in order, and no identity in a log.
func TestSmokeSweep(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	h.Kill()
	s := &sweep{t: t, hub: h, line: newCutline(t), met: map[string]int{}, outcomes: map[string]int{}, book: openEvidence(t, receiptsFile(h))}
	through := func(settings map[string]any) {
		database, ok := settings["database"].(map[string]any)
		if !ok {
			t.Fatal("no database in the configuration")
		}
		for _, key := range []string{"url", "vault_url"} {
			database[key] = s.line.through(fmt.Sprint(database[key]))
		}
	}
	s.door = h.Serve("door", func(settings map[string]any) {
		through(settings)
		hubtest.Settings(settings, "siss", map[string]any{"url": ""})
	})
	s.carrier = h.Serve("carrier", func(settings map[string]any) {
		through(settings)
		hubtest.Settings(settings, "siss", map[string]any{"deadline": "1s", "lease": "2s"})
	})
	s.start(s.door)
	tab := newTable("the N-th call to PostgreSQL fails before or after it took effect")
	for _, u := range doorUseCases() {
		s.run(tab, u, 1)
	}
	s.door.Kill()
	s.run(tab, useCase{name: "start and first acceptance", trial: (*sweep).tryStart}, scale(t, "SWEEP_STEP", sweepStarts))
	s.start(s.carrier)
	hubtest.AwaitDelivered(t, h.Superuser(), drainPatience)
	s.run(tab, useCase{name: "accept, claim and settle", trial: (*sweep).tryDeliver}, 1)
	if t.Failed() {
		return
	}
	f := readLedger(t, h).compare(nil)
	f.report(t)
	var told []string
	for _, what := range slices.Sorted(maps.Keys(s.outcomes)) {
		told = append(told, fmt.Sprintf("%s %d", what, s.outcomes[what]))
	}
	tab.row("first answers", "", "%s", strings.Join(told, ", "))
	var met []string
	for _, what := range slices.Sorted(maps.Keys(s.met)) {
		met = append(met, fmt.Sprintf("%s %d", what, s.met[what]))
	}
	tab.row("calls that met a cut", "", "%s", strings.Join(met, ", "))
	tab.findingsRows(f, len(s.book.receipts(t)), s.trials)
	tab.print(t)
}

func doorUseCases() []useCase {
	all := []useCase{
		{name: "accept, new child", trial: func(s *sweep, mend func()) {
			s.child++
			s.accept(s.child, 1, mend)
		}},
		{name: "accept, known case", prepare: func(s *sweep) {
			s.child++
			s.accept(s.child, 1, func() {})
		}, trial: func(s *sweep, mend func()) { s.accept(s.child, 2, mend) }},
		{name: "duplicate", trial: (*sweep).tryDuplicate, prepare: (*sweep).prepareKnown},
		{name: "other content for a known id", trial: (*sweep).tryConflict, prepare: (*sweep).prepareKnown},
		{name: "lot of two new children, two events of one case and a repetition", trial: (*sweep).tryLot, prepare: (*sweep).prepareKnown},
		{name: "verifica", trial: (*sweep).tryVerifica},
		{name: "stato and riepilogo", trial: (*sweep).tryQuestions, prepare: (*sweep).prepareKnown},
	}
	for _, u := range []useCase{all[0], all[4]} {
		u.name, u.cold = u.name+", new connections", true
		all = append(all, u)
	}
	return all
}

// run sweeps one use case, before and after.
func (s *sweep) run(tab *table, u useCase, step int) {
	s.t.Helper()
	began, calls, trials := time.Now(), 0, 0
	for _, after := range []bool{false, true} {
		quiet := 0
		for n := 1; quiet < sweepQuiet && !s.t.Failed(); n += step {
			if n > sweepMost {
				s.t.Errorf("%s: still a call after %d", u.name, n)
			}
			if u.prepare != nil {
				u.prepare(s)
			}
			if u.cold {
				s.line.dropAll()
				// The pool looks at a connection before it gives it out once it was idle for a second.
				pause(s.t.Context(), 1100*time.Millisecond)
			}
			s.line.arm(n, after)
			met := ""
			u.trial(s, func() {
				met = s.line.met()
				s.line.arm(0, false)
			})
			if met == "" {
				quiet++
				continue
			}
			quiet = 0
			trials++
			calls = max(calls, n)
			s.met[met]++
		}
	}
	s.trials += trials
	if trials == 0 {
		s.t.Errorf("%s: no call met a cut", u.name)
	}
	tab.row(u.name, "every call", "%d cuts, the last at call %d, %v", trials, calls, time.Since(began).Round(time.Second))
}

// start runs an instance with the line whole.
func (s *sweep) start(i *hubtest.Instance) {
	s.t.Helper()
	s.line.arm(0, false)
	i.Start()
	i.AwaitReady()
	s.sender = s.hub.Sender(hubtest.ChildEnte)
	s.sender.URL = i.SoapURL
}

// ask sends once and wants an answer whatever happened: a fault that the hub is to blame for is one.
func (s *sweep) ask(document []byte) *hubtest.Answer {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	a, err := s.sender.Send(ctx, soap.V11, document)
	if err != nil {
		s.t.Fatalf("unanswered: %v", err)
	}
	if childCode.Match(a.Body) {
		s.t.Error("an answer tells a child's code")
	}
	return a
}

// blamed tells whether an answer says that the hub could not, and that the same may be sent again.
func (s *sweep) blamed(a *hubtest.Answer) bool {
	s.t.Helper()
	if a.Lot != nil {
		// Each event of a lot has an outcome of its own.
		for _, o := range a.Lot.Esiti {
			if o.Refusal != nil && !slices.ContainsFunc(hubtest.Codes(o.Refusal.Findings), hubToBlame) {
				return false
			}
		}
		return true
	}
	if a.Status != http.StatusServiceUnavailable && a.Status != http.StatusInternalServerError {
		return false
	}
	if a.Fault == nil {
		s.t.Errorf("a failure without a fault: %d", a.Status)
	}
	if a.Status == http.StatusServiceUnavailable && a.Header.Get("Retry-After") == "" {
		s.t.Error("503 without Retry-After")
	}
	return true
}

// hubToBlame tells whether a code asks to send the same again: a failure of the hub's, or another
// request with the same id under way.
func hubToBlame(code string) bool { return strings.HasPrefix(code, "SINBA_5") || code == "SINBA_111" }

// until asks once, mends the line, and repeats until done says that the answer is final.
func (s *sweep) until(document []byte, mend func(), done func(*hubtest.Answer) bool) {
	s.t.Helper()
	first := true
	hubtest.Await(s.t, patience, "the repetition is answered", func() bool {
		a := s.ask(document)
		ended := done(a)
		if first {
			s.outcomes[firstAnswer(a, ended)]++
			mend()
			first = false
		}
		if !ended && !s.blamed(a) {
			s.t.Errorf("an answer the contract does not know: %d %s", a.Status, regexp.MustCompile("SINBA_[0-9]+|<Esito>[A-Z_]+").FindAll(a.Body, -1))
			return true
		}
		return ended
	})
}

// firstAnswer names an answer that a cut may have changed.
func firstAnswer(a *hubtest.Answer, ended bool) string {
	switch {
	case ended:
		return "as if nothing had happened"
	case a.Lot != nil:
		return fmt.Sprintf("lot with %d of %d receipts", len(a.Receipts()), len(a.Lot.Esiti))
	case a.Fault != nil && len(a.Fault.Findings) > 0:
		return a.Fault.Findings[0].Codice
	}
	return strconv.Itoa(a.Status)
}

// accept sends one event until it has its receipt.
func (s *sweep) accept(child hubtest.Child, sequence int, mend func()) uuid.UUID {
	s.t.Helper()
	id := uuid.New()
	if err := s.book.intend(id); err != nil {
		s.t.Fatal(err)
	}
	s.until(child.Event(id, sequence), mend, func(a *hubtest.Answer) bool { return s.keep(id, a.Receipt) })
	return id
}

// keep writes a receipt down; false if there is none.
func (s *sweep) keep(id uuid.UUID, r *hubtest.Receipt) bool {
	s.t.Helper()
	if r == nil {
		return false
	}
	if err := s.book.told(s.t.Context(), id, r); err != nil {
		s.t.Fatal(err)
	}
	return true
}

// prepareKnown has an event of a new child accepted.
func (s *sweep) prepareKnown() {
	s.child++
	s.known = s.accept(s.child, 1, func() {})
}

func (s *sweep) tryDuplicate(mend func()) {
	s.until(s.child.Event(s.known, 1), mend, func(a *hubtest.Answer) bool {
		if a.Receipt != nil && a.Receipt.Esito != "DUPLICATO" {
			s.t.Errorf("a repetition was told %s", a.Receipt.Esito)
		}
		return s.keep(s.known, a.Receipt)
	})
}

func (s *sweep) tryConflict(mend func()) {
	document := strings.Replace(string(s.child.Event(s.known, 1)), "SPORTELLO", "AUTORITA_GIUDIZIARIA", 1)
	s.until([]byte(document), mend, func(a *hubtest.Answer) bool {
		if a.Receipt != nil {
			s.t.Error("other content was given a receipt")
		}
		return a.Fault != nil && slices.Equal(hubtest.Codes(a.Fault.Findings), []string{"SINBA_110"})
	})
}

func (s *sweep) tryLot(mend func()) {
	ids := []uuid.UUID{uuid.New(), uuid.New(), uuid.New(), uuid.New(), s.known}
	events := [][]byte{(s.child + 1).Event(ids[0], 1), (s.child + 2).Event(ids[1], 1), s.child.Event(ids[2], 2), s.child.Event(ids[3], 3), s.child.Event(s.known, 1)}
	s.child += 2
	var lot strings.Builder
	lot.WriteString(`<InviaLottoRichiesta xmlns="urn:sinba:eventi:v1"><IdLotto>` + uuid.NewString() + `</IdLotto>`)
	for i, event := range events {
		if err := s.book.intend(ids[i]); err != nil {
			s.t.Fatal(err)
		}
		lot.WriteString(strings.ReplaceAll(string(soap.TrimDeclaration(event)), "InviaEventoRichiesta", "Evento"))
	}
	lot.WriteString("</InviaLottoRichiesta>")
	s.until([]byte(lot.String()), mend, func(a *hubtest.Answer) bool {
		all := a.Receipts()
		for position, r := range all {
			s.keep(ids[position-1], r)
		}
		return len(all) == len(ids)
	})
}

func (s *sweep) tryVerifica(mend func()) {
	document := strings.ReplaceAll(string((s.child+1).Event(uuid.New(), 1)), "InviaEventoRichiesta", "VerificaEventoRichiesta")
	s.until([]byte(document), mend, func(a *hubtest.Answer) bool { return a.Report != nil && a.Report.Conforme })
}

func (s *sweep) tryQuestions(mend func()) {
	const ns = ` xmlns="urn:sinba:eventi:v1"><CodiceEnte>` + hubtest.ChildEnte + `</CodiceEnte>`
	day := time.Now().UTC()
	s.until([]byte(`<StatoEventoRichiesta`+ns+`<IdEvento>`+s.known.String()+`</IdEvento></StatoEventoRichiesta>`), func() {},
		func(a *hubtest.Answer) bool { return a.State != nil })
	s.until([]byte(`<RiepilogoEventiRichiesta`+ns+`<Dal>`+day.AddDate(0, 0, -1).Format(time.DateOnly)+`</Dal><Al>`+day.Format(time.DateOnly)+`</Al></RiepilogoEventiRichiesta>`), mend,
		func(a *hubtest.Answer) bool { return strings.Contains(string(a.Body), "RiepilogoEventiRisposta>") })
}

// tryStart starts the door; it may refuse to, but then starts once the line is whole, and what it
// accepts first, with keys and epochs that were never written down before, is there.
func (s *sweep) tryStart(mend func()) {
	s.t.Helper()
	s.door.Start()
	refused := false
	hubtest.Await(s.t, patience, "the door is open or refuses to", func() bool {
		select {
		case <-s.door.Ended():
			refused = true
		default:
		}
		return refused || s.door.Ready()
	})
	if refused {
		mend()
		mend = func() {}
		s.outcomes["start refused"]++
		s.start(s.door)
	}
	s.sender = s.hub.Sender(hubtest.ChildEnte)
	s.sender.URL = s.door.SoapURL
	s.child++
	s.accept(s.child, 1, mend)
	s.door.Kill()
}

// tryDeliver accepts an event and waits until the nation has it.
func (s *sweep) tryDeliver(mend func()) {
	s.t.Helper()
	s.child++
	id := s.accept(s.child, 1, func() {})
	db := s.hub.Superuser()
	delivered := func() bool {
		return hubtest.Number(s.t, db, "SELECT count(*) FROM hub.event e JOIN hub.delivery d ON d.message_id = e.id WHERE e.event_id = $1 AND d.state = 'delivered'", id) == 1
	}
	hubtest.Await(s.t, patience, "the event is delivered", delivered)
	mend()
	_ = db.Close(s.t.Context())
}
