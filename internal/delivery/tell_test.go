package delivery_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/delivery"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
	"github.com/sinbahub/sinbahub/internal/siss"
)

// ownKeys gives a world keys of its own with two epochs of SISS's codes, of which the first is in use.
func (w *world) ownKeys(t *testing.T) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "keys")
	err := pseudonym.InitKeys(dir, hub.Prod, time.Now())
	if err == nil {
		_, err = pseudonym.AddEpoch(dir, hub.Prod, pseudonym.PurposeCode, pseudonym.Nation, time.Now())
	}
	if err == nil {
		w.keys, err = pseudonym.LoadKeys(dir, hub.Prod)
	}
	if err == nil {
		err = w.keys.Use(map[string]int32{"code-nation": 1})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// stepKey takes the second epoch of SISS's codes a step further.
func (w *world) stepKey(t *testing.T, from, to postgres.KeyState) {
	t.Helper()
	err := w.store.StepKey(t.Context(), postgres.KeyStep{
		Environment: hub.Prod, Name: "code-nation", Epoch: 2, From: from, To: to,
		Entry: journal.Entry{ID: uuid.Must(uuid.NewV7()), At: time.Now(), Kind: journal.KeyRotated, Environment: hub.Prod, Actor: "m.rossi", Reason: "prova"},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestCodesAreToldOnceWhateverHappens has two processes tell of children while SISS loses
// answers, fails and cuts: each child's codes stand in exactly one communication, also after a claim whose
// process ended, and no event with the new code of a child may leave before.
func TestCodesAreToldOnceWhateverHappens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ownKeys(t)
	const children = 30
	var all []*child
	for range children {
		c := newChild()
		w.accept(t, c, nil)
		all = append(all, c)
	}
	w.stepKey(t, "", postgres.KeyMade)
	s, received := nation(t, siss.Faults{
		Operations: []string{"comunicaCodici"}, Next: []siss.Fault{siss.Cut, siss.Fail, siss.WrongID, siss.Unavailable, siss.Garbage, siss.Drop, siss.HTML},
	})
	var err error
	tellers := make([]*delivery.Teller, 2)
	for i := range tellers {
		tellers[i], err = delivery.NewTeller(delivery.TellConfig{
			Environment: hub.Prod, URL: s.URL(), Rate: func() int { return 0 }, Lease: 50 * time.Millisecond, Deadline: 3 * time.Second,
			Retry: time.Millisecond, Poll: time.Millisecond,
		}, delivery.Parts{Store: w.store, Keys: w.keys, Validator: pool(t), Logger: zap.NewNop(), Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
	}
	// Nothing is told before it is time.
	if err := tellers[0].Round(t.Context()); err != nil || w.toldLines(t, received) > 0 {
		t.Fatal(err)
	}
	w.stepKey(t, postgres.KeyMade, postgres.KeyTelling)
	may := func(c *child) bool {
		t.Helper()
		told, err := w.store.CodeTold(t.Context(), hub.Prod, c.subject, 2, delivery.HolderTime)
		if err != nil {
			t.Fatal(err)
		}
		return told
	}
	if may(all[0]) || !may(newChild()) {
		t.Error("a new code may leave before SISS was told, or one without an earlier may not")
	}
	// A process that plans and claims, and ends.
	if n, _, err := w.store.PlanCodes(t.Context(), hub.Prod, 2, uuid.Nil); err != nil || n != children {
		t.Fatal(n, err)
	}
	if m, err := w.store.ClaimCodes(t.Context(), hub.Prod, time.Millisecond); err != nil || len(m.Changes) != children {
		t.Fatal(m, err)
	}
	if may(all[0]) {
		t.Error("a new code may leave before SISS answered")
	}
	w.accept(t, newChildIn(&all), nil)
	telling, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var running sync.WaitGroup
	for _, teller := range tellers {
		running.Go(func() {
			for telling.Err() == nil {
				_ = teller.Round(telling)
				p, err := w.store.TellingProgress(telling, hub.Prod, 2)
				if err == nil && p.Told == children+1 && p.Waiting == 0 {
					return
				}
			}
		})
	}
	running.Wait()
	if got := w.toldLines(t, received); got != 2 {
		t.Errorf("%d communications, want 2", got)
	}
	for _, c := range all {
		before, _ := w.keys.Code(pseudonym.Nation, 1, c.subject)
		after, _ := w.keys.Code(pseudonym.Nation, 2, c.subject)
		if s.Current(before) != after || !may(c) {
			t.Fatal("SISS does not know which code continues which")
		}
	}
	w.stepKey(t, postgres.KeyTelling, postgres.KeyActive)
	if err := tellers[0].Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	epochs, err := w.store.KeyEpochs(t.Context(), hub.Prod)
	if err != nil || len(epochs) != 2 || epochs[0].State != postgres.KeyFormer || epochs[1].State != postgres.KeyActive || epochs[1].ToldAt.IsZero() {
		t.Errorf("%v: %+v", err, epochs)
	}
}

// TestAStragglersCodeIsToldBehindTheOthers: somebody accepts a child under the old epoch after SISS was told
// all codes. Before that event leaves, a communication says which code continues its code, and one only.
func TestAStragglersCodeIsToldBehindTheOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ownKeys(t)
	early := newChild()
	w.accept(t, early, nil)
	s, received := nation(t, siss.Faults{})
	teller, err := delivery.NewTeller(delivery.TellConfig{Environment: hub.Prod, URL: s.URL(), Rate: func() int { return 0 }},
		delivery.Parts{Store: w.store, Keys: w.keys, Validator: pool(t), Logger: zap.NewNop(), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	round := func() {
		t.Helper()
		if err := teller.Round(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w.stepKey(t, "", postgres.KeyMade)
	w.stepKey(t, postgres.KeyMade, postgres.KeyTelling)
	round()
	w.stepKey(t, postgres.KeyTelling, postgres.KeyActive)
	round()
	if epoch, err := w.store.Telling(t.Context(), hub.Prod); err != nil || epoch != 0 {
		t.Fatalf("epoch %d is not told: %v", epoch, err)
	}
	late := newChild()
	w.accept(t, late, nil)
	var leaving sync.WaitGroup
	for range 4 {
		for _, c := range []*child{early, late} {
			leaving.Go(func() {
				if err := w.store.PlanCode(t.Context(), hub.Prod, c.subject, 1); err != nil {
					t.Error(err)
				}
			})
		}
	}
	leaving.Wait()
	round()
	if n := w.toldLines(t, received); n != 2 {
		t.Errorf("%d communications, want 2", n)
	}
	for _, c := range []*child{early, late} {
		before, _ := w.keys.Code(pseudonym.Nation, 1, c.subject)
		after, _ := w.keys.Code(pseudonym.Nation, 2, c.subject)
		if s.Current(before) != after {
			t.Error("SISS does not know which code continues a child's")
		}
	}
}

// TestANewCodeWaitsForWhoStillMakesOldOnes: while a running instance accepts under the old epoch, a child of
// whom nothing is known yet may get an old code at any moment, so that its new one does not leave.
func TestANewCodeWaitsForWhoStillMakesOldOnes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.stepKey(t, "", postgres.KeyMade)
	slow, child := uuid.New(), newChild()
	hold := func(instance uuid.UUID, inUse int32) {
		t.Helper()
		err := w.store.HoldKeys(t.Context(), postgres.Held{
			Environment: hub.Prod, Instance: instance, Epochs: map[string][]int32{"code-nation": {1, 2}}, InUse: map[string]int32{"code-nation": inUse},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	may := func(within time.Duration) bool {
		t.Helper()
		told, err := w.store.CodeTold(t.Context(), hub.Prod, child.subject, 2, within)
		if err != nil {
			t.Fatal(err)
		}
		return told
	}
	hold(uuid.New(), 2)
	hold(slow, 1)
	if may(time.Hour) {
		t.Error("a new code leaves while an instance makes old ones")
	}
	if !may(0) {
		t.Error("a new code waits for an instance that has ended")
	}
	hold(slow, 2)
	if !may(time.Hour) {
		t.Error("a new code waits for nobody")
	}
}

// newChildIn adds a child.
func newChildIn(all *[]*child) *child {
	c := newChild()
	*all = append(*all, c)
	return c
}

// toldLines counts the communications that SISS took, and holds that no pair stands in two.
func (*world) toldLines(t *testing.T, received string) (n int) {
	t.Helper()
	text, err := os.ReadFile(received + ".codici")
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for line := range bytes.Lines(text) {
		var c struct {
			Motivo string `json:"motivo"`
			Coppie []struct {
				Precedente string `json:"precedente"`
				Nuovo      string `json:"nuovo"`
			} `json:"coppie"`
		}
		if err := json.Unmarshal(line, &c); err != nil || c.Motivo != "ROTAZIONE" {
			t.Fatal(err, c.Motivo)
		}
		for _, p := range c.Coppie {
			if seen[p.Precedente] || seen[p.Nuovo] || p.Precedente == p.Nuovo {
				t.Error("a code was told twice")
			}
			seen[p.Precedente], seen[p.Nuovo] = true, true
		}
		n++
	}
	return n
}

// TestSISSIsToldOnceThatTwoCodesAreOfOneChild: a join is one pair of one communication, however often it is
// planned and whatever becomes of the answers, with the codes that SISS has; of a child of whom nothing goes to
// SISS it is told nothing.
func TestSISSIsToldOnceThatTwoCodesAreOfOneChild(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ownKeys(t)
	one, other := newChild(), newChild()
	w.accept(t, one, nil)
	w.accept(t, other, nil)
	s, received := nation(t, siss.Faults{Operations: []string{"comunicaCodici"}, Next: []siss.Fault{siss.Fail, siss.Cut, siss.Drop}})
	teller, err := delivery.NewTeller(delivery.TellConfig{
		Environment: hub.Prod, URL: s.URL(), Rate: func() int { return 0 }, Lease: 50 * time.Millisecond, Deadline: 3 * time.Second,
		Retry: time.Millisecond, Poll: time.Millisecond,
	}, delivery.Parts{Store: w.store, Keys: w.keys, Validator: pool(t), Logger: zap.NewNop(), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	known := postgres.JoinedPair{Entry: uuid.New(), One: one.subject, Other: other.subject}
	for range 3 {
		pairs := []postgres.JoinedPair{known, {Entry: uuid.New(), One: one.subject, Other: uuid.New()}}
		planned, err := w.store.PlanJoins(t.Context(), hub.Prod, pairs)
		if err != nil || len(planned) != 1 || planned[0] != known.Entry {
			t.Fatalf("%v: %v", planned, err)
		}
	}
	telling, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var text []byte
	for telling.Err() == nil && !bytes.Contains(text, []byte("UNIONE")) {
		_ = teller.Round(telling)
		text, _ = os.ReadFile(received + ".codici")
	}
	for range 3 { // whatever is still to be learnt of an answer that was lost
		_ = teller.Round(telling)
	}
	if text, err = os.ReadFile(received + ".codici"); err != nil || bytes.Count(text, []byte("\n")) != 1 {
		t.Fatalf("%v: %s", err, text)
	}
	var c struct {
		Motivo string `json:"motivo"`
		Coppie []struct {
			Precedente string `json:"precedente"`
			Nuovo      string `json:"nuovo"`
		} `json:"coppie"`
	}
	if err := json.Unmarshal(text, &c); err != nil || c.Motivo != "UNIONE" || len(c.Coppie) != 1 {
		t.Fatalf("%v: %s", err, text)
	}
	a, _ := w.keys.Code(pseudonym.Nation, 1, one.subject)
	b, _ := w.keys.Code(pseudonym.Nation, 1, other.subject)
	if c.Coppie[0].Precedente != a || c.Coppie[0].Nuovo != b {
		t.Errorf("other codes than theirs: %s", text)
	}
	// The rotation of the key is not mistaken for it, nor it for the rotation.
	if may, err := w.store.CodeTold(t.Context(), hub.Prod, one.subject, 2, delivery.HolderTime); err != nil || may {
		t.Errorf("a new code may leave because of a join: %v", err)
	}
}

// TestSISSIsToldOfASeparationBehindItsJoin: what is taken back is told with the same codes, behind what it takes
// back, once; what SISS was never told of it is told neither.
func TestSISSIsToldOfASeparationBehindItsJoin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ownKeys(t)
	one, other, third := newChild(), newChild(), newChild()
	for _, c := range []*child{one, other, third} {
		w.accept(t, c, nil)
	}
	s, received := nation(t, siss.Faults{Operations: []string{"comunicaCodici"}, Next: []siss.Fault{siss.Fail}})
	teller, err := delivery.NewTeller(delivery.TellConfig{
		Environment: hub.Prod, URL: s.URL(), Rate: func() int { return 0 }, Lease: 50 * time.Millisecond, Deadline: 3 * time.Second,
		Retry: 500 * time.Millisecond, Poll: time.Millisecond,
	}, delivery.Parts{Store: w.store, Keys: w.keys, Validator: pool(t), Logger: zap.NewNop(), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	told := []postgres.JoinedPair{{Entry: uuid.New(), One: one.subject, Other: other.subject}}
	never := []postgres.JoinedPair{{Entry: uuid.New(), One: one.subject, Other: third.subject}}
	if _, err := w.store.PlanJoins(t.Context(), hub.Prod, told); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for _, pairs := range [][]postgres.JoinedPair{told, never} {
			entry := journal.Entry{ID: uuid.Must(uuid.NewV7()), At: time.Now(), Kind: journal.SubjectsSeparated, Environment: hub.Prod, Actor: "anna", Reason: "prova"}
			if err := w.store.Separate(t.Context(), hub.Prod, pairs, entry); err != nil {
				t.Fatal(err)
			}
		}
	}
	// A process that read the join before it was undone plans it late.
	if planned, err := w.store.PlanJoins(t.Context(), hub.Prod, never); err != nil || len(planned) != 1 {
		t.Fatal(planned, err)
	}
	telling, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var text []byte
	for telling.Err() == nil && !bytes.Contains(text, []byte("SEPARAZIONE")) {
		_ = teller.Round(telling)
		text, _ = os.ReadFile(received + ".codici")
	}
	for range 3 {
		_ = teller.Round(telling)
	}
	text, _ = os.ReadFile(received + ".codici")
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	if len(lines) != 2 || !bytes.Contains(lines[0], []byte("UNIONE")) || !bytes.Contains(lines[1], []byte("SEPARAZIONE")) {
		t.Fatalf("%s", text)
	}
	if pairs := bytes.SplitN(lines[0], []byte(`"coppie"`), 2); !bytes.Contains(lines[1], pairs[1]) {
		t.Errorf("other codes were separated than joined: %s", text)
	}
}

// TestARefusedJoinIsToldAgainByAnOperatorOnly: what SISS refused is told again for nobody but an operator, and what
// takes it back waits for it, so that SISS does not end with a join that the hub has undone.
func TestARefusedJoinIsToldAgainByAnOperatorOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ownKeys(t)
	one, other := newChild(), newChild()
	w.accept(t, one, nil)
	w.accept(t, other, nil)
	s, received := nation(t, siss.Faults{Operations: []string{"comunicaCodici"}, Next: []siss.Fault{siss.Refuse}})
	teller, err := delivery.NewTeller(delivery.TellConfig{Environment: hub.Prod, URL: s.URL(), Rate: func() int { return 0 }},
		delivery.Parts{Store: w.store, Keys: w.keys, Validator: pool(t), Logger: zap.NewNop(), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	pairs := []postgres.JoinedPair{{Entry: uuid.New(), One: one.subject, Other: other.subject}}
	if _, err := w.store.PlanJoins(t.Context(), hub.Prod, pairs); err != nil {
		t.Fatal(err)
	}
	told := func() []byte {
		t.Helper()
		if err := teller.Round(t.Context()); err != nil {
			t.Fatal(err)
		}
		text, _ := os.ReadFile(received + ".codici")
		return text
	}
	told()
	entry := journal.Entry{ID: uuid.Must(uuid.NewV7()), At: time.Now(), Kind: journal.SubjectsSeparated, Environment: hub.Prod, Actor: "anna", Reason: "prova"}
	if err := w.store.Separate(t.Context(), hub.Prod, pairs, entry); err != nil {
		t.Fatal(err)
	}
	if text := told(); len(text) > 0 {
		t.Fatalf("told after a refusal: %s", text)
	}
	all, err := w.store.Communications(t.Context(), hub.Prod, []string{"pending", "refused"}, 10)
	if err != nil || len(all) != 2 || all[0].State != "refused" || all[0].Pairs != 1 || all[0].Behind || !all[1].Behind {
		t.Fatalf("%v: %+v", err, all)
	}
	for _, want := range []bool{true, false} { // once it is due it is not refused any more
		retried := journal.Entry{ID: uuid.Must(uuid.NewV7()), At: time.Now(), Kind: journal.CodesRetried, Environment: hub.Prod, Delivery: all[0].ID, Actor: "anna", Reason: "prova"}
		if done, err := w.store.RetryCodes(t.Context(), hub.Prod, all[0].ID, retried); err != nil || done != want {
			t.Fatal(done, err)
		}
	}
	lines := bytes.Split(bytes.TrimSpace(told()), []byte("\n"))
	if len(lines) != 2 || !bytes.Contains(lines[0], []byte("UNIONE")) || !bytes.Contains(lines[1], []byte("SEPARAZIONE")) {
		t.Errorf("%s", bytes.Join(lines, []byte("\n")))
	}
}
