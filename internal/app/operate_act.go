package app

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// Verb is what an operator does to a delivery, in the store's words.
type Verb = postgres.Verb

// The verbs, of which the store says what they do.
const (
	VerbRetry     = postgres.VerbRetry
	VerbPark      = postgres.VerbPark
	VerbUnpark    = postgres.VerbUnpark
	VerbRedeliver = postgres.VerbRedeliver
	VerbRenew     = postgres.VerbRenew
)

// ActOptions say what an operator does, to which deliveries, and why.
type ActOptions struct {
	DeliveryFilter

	// Verb is what to do.
	Verb Verb
	// IDs are the deliveries' or receipts'; empty for all that the filter finds.
	IDs []string
	// Who acts. Nobody signs a dry run.
	Who Who
	// Yes answers every question before it is asked.
	Yes bool
	// Corrections takes delivered corrections and annulments along (redeliver).
	Corrections bool
	// Wait is how long to wait for the end of an attempt under way.
	Wait time.Duration
	// Batch is after how many deliveries of a filter to pause, and Pause for how long.
	Batch int
	Pause time.Duration
	// DryRun tells how many a filter finds and does nothing.
	DryRun bool
	// JSON asks for one JSON line each.
	JSON bool
	// Interactive says that a person can be asked on In, and watches Progress.
	Interactive bool
	// In is where answers come from.
	In io.Reader
	// Out gets the results, Progress the questions and how far a long run is.
	Out, Progress io.Writer
}

// The faults of an act.
var (
	errNoTarget    = errors.New("name the deliveries, or find them by at least one of --state, --ente, --type, --code, --older, --newer")
	errBothTargets = errors.New("name the deliveries or find them by flags, not both")
	errNotAsked    = errors.New("nobody can be asked: say --yes to go on without")
	errDeclined    = errors.New("nothing was done")
	errBatch       = errors.New("--batch is 1 to 10,000")
)

// allowed are the states in which a verb does something, so that a filter does not name others.
func allowed(v Verb) []hub.DeliveryState {
	switch v {
	case VerbRetry:
		return []hub.DeliveryState{hub.Retrying, hub.Uncertain, hub.Dead}
	case VerbPark:
		return []hub.DeliveryState{hub.Pending, hub.Retrying, hub.Uncertain, hub.Dead}
	case VerbUnpark:
		return []hub.DeliveryState{hub.Parked}
	case VerbRedeliver:
		return []hub.DeliveryState{hub.Delivered, hub.Refused}
	case VerbRenew:
		return []hub.DeliveryState{hub.Refused}
	}
	return nil
}

// act is one command under way.
type act struct {
	*operator

	o      ActOptions
	signer *signer
	who    acting
	now    func() time.Time
	// done and refused count what came of the deliveries so far.
	done, refused int
	// many says that a filter found them: then only what was not done is printed, unless as JSON.
	many bool
	// along are corrections that were sent again with their event, and need not be a second time.
	along map[uuid.UUID]bool
	// woken is how many were done when the running hubs were last told.
	woken int
}

// OperateDeliveries does what an operator asked for, each delivery in a transaction of its own with
// its journal entry, and prints what came of each. It returns ErrRefused if at least one could not
// be done.
func OperateDeliveries(ctx context.Context, cfg config.Config, o ActOptions) error {
	signer, err := newSigner(cfg, o.Who)
	if err != nil {
		return err
	}
	ids, err := o.targets()
	if err != nil {
		return err
	}
	op, err := openOperator(ctx, cfg, writing)
	if err != nil {
		return err
	}
	defer op.close()
	a := &act{operator: op, o: o, signer: signer, now: time.Now, many: len(ids) == 0, along: map[uuid.UUID]bool{}}
	if len(ids) > 0 {
		if a.who, err = signer.sign(ctx, op.store, verbOf(o.Verb), namedIDs(ids)); err != nil {
			return err
		}
		err = a.each(ctx, ids)
	} else {
		err = a.bulk(ctx)
	}
	a.wake(ctx)
	if err == nil && a.refused > 0 {
		err = ErrRefused
	}
	return err
}

// targets reads the ids, or sees that there is a filter instead.
func (o *ActOptions) targets() ([]uuid.UUID, error) {
	f := o.DeliveryFilter
	filtered := len(f.States) > 0 || f.Ente != "" || f.Type != "" || f.Code != "" || f.Older > 0 || f.Newer > 0
	switch {
	case len(o.IDs) == 0 && !filtered:
		return nil, errNoTarget
	case len(o.IDs) > 0 && filtered:
		return nil, errBothTargets
	case o.Batch < 1 || o.Batch > mostListed:
		return nil, errBatch
	}
	ids := make([]uuid.UUID, 0, len(o.IDs))
	for _, text := range o.IDs {
		id, err := uuid.Parse(text)
		if err != nil {
			return nil, errMalformed
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// each acts on the deliveries that were named.
func (a *act) each(ctx context.Context, ids []uuid.UUID) error {
	for i, id := range ids {
		if ctx.Err() != nil {
			return a.interrupted(len(ids) - i)
		}
		acted, err := a.one(ctx, id, a.o.Yes)
		if err != nil {
			return err
		}
		if acted.Refusal == postgres.RefusalConfirm && a.o.Verb != VerbRenew {
			question := fmt.Sprintf("SISS has confirmed %s already. Send it again", acted.Delivery)
			if err := a.ask(ctx, question); err != nil {
				return err
			}
			if acted, err = a.one(ctx, id, true); err != nil {
				return err
			}
		}
		if err := a.tell(id, acted); err != nil {
			return err
		}
	}
	return nil
}

// actTime bounds one act. It is not cut off by Ctrl-C: nobody would know whether it was done.
const actTime = 15 * time.Second

// one acts on one delivery, and waits for the end of an attempt under way as long as it may.
func (a *act) one(ctx context.Context, id uuid.UUID, confirmed bool) (postgres.Acted, error) {
	const look = 200 * time.Millisecond
	patience := time.NewTimer(a.o.Wait)
	defer patience.Stop()
	again := time.NewTicker(look)
	defer again.Stop()
	for {
		once, cancel := context.WithTimeout(context.WithoutCancel(ctx), actTime)
		acted, err := a.store.Operate(once, postgres.Act{
			Verb: a.o.Verb, Environment: a.env, ID: id, Confirmed: confirmed, Corrections: a.o.Corrections,
			At: a.now(), Actor: a.who.name, Order: a.who.order, Reason: a.o.Who.Reason,
		})
		cancel()
		if err != nil {
			return acted, fmt.Errorf("%s %s (unknown whether it was done; %d done before it; it is safe to repeat): %w", a.o.Verb, id, a.done, err)
		}
		if acted.Refusal != postgres.RefusalUnderWay {
			return acted, nil
		}
		select {
		case <-ctx.Done():
			return acted, nil
		case <-patience.C:
			return acted, nil
		case <-again.C:
		}
	}
}

// bulk acts on all deliveries that the filter finds, oldest first. Each is met once: the page after a
// delivery begins behind its place, whatever became of it, and what is accepted meanwhile is left out.
func (a *act) bulk(ctx context.Context) error {
	filter, err := a.o.filter(a.env, allowed(a.o.Verb), a.now())
	if err != nil {
		return err
	}
	if filter.Before.IsZero() {
		filter.Before = a.now()
	}
	for _, state := range filter.States {
		if !slices.Contains(allowed(a.o.Verb), state) {
			return fmt.Errorf("%s does nothing to a delivery that is %s", a.o.Verb, state) //nolint:err113 // for people only
		}
	}
	counts, err := a.count(ctx, filter)
	if err != nil {
		return err
	}
	total, words := 0, make([]string, 0, len(counts))
	for _, c := range counts {
		total += int(c.Count)
		words = append(words, fmt.Sprintf("%d %s", c.Count, c.State))
	}
	if a.o.DryRun || total == 0 {
		_, err := fmt.Fprintf(a.o.Progress, "%d deliveries meant: %s\n", total, dash(strings.Join(words, ", ")))
		return err
	}
	if err := a.ask(ctx, fmt.Sprintf("%s %d deliveries (%s)", a.o.Verb, total, strings.Join(words, ", "))); err != nil {
		return err
	}
	if a.who, err = a.signer.sign(ctx, a.store, verbOf(a.o.Verb), a.o.words(total)); err != nil {
		return err
	}
	return a.pages(ctx, filter, total)
}

// pages walks through the filter, one batch after the other.
func (a *act) pages(ctx context.Context, filter postgres.DeliveryFilter, total int) error {
	var after postgres.Place
	for {
		page, err := a.store.ListDeliveries(context.WithoutCancel(ctx), filter, after, a.o.Batch)
		if err != nil {
			return fmt.Errorf("list deliveries (%d done so far; it is safe to repeat): %w", a.done, err)
		}
		for i := range page {
			if ctx.Err() != nil {
				return a.interrupted(total - a.done - a.refused)
			}
			if err := a.next(ctx, &page[i]); err != nil {
				return err
			}
			after = postgres.Place{ReceivedAt: page[i].ReceivedAt, Receipt: page[i].Message}
		}
		a.progress(total)
		a.wake(ctx)
		if len(page) < a.o.Batch {
			break
		}
		if pause(ctx, a.o.Pause); ctx.Err() != nil {
			return a.interrupted(total - a.done - a.refused)
		}
	}
	_, err := fmt.Fprintf(a.o.Progress, "%d done, %d not\n", a.done, a.refused)
	return err
}

// wakeTime bounds the telling of the running hubs, which is a hint: they look by themselves, too.
const wakeTime = 2 * time.Second

// wake lets every running hub see at once what was made due since it was last told.
func (a *act) wake(ctx context.Context) {
	if a.done == a.woken || a.o.Verb == VerbPark {
		return
	}
	a.woken = a.done
	once, cancel := context.WithTimeout(context.WithoutCancel(ctx), wakeTime)
	defer cancel()
	_ = a.store.Tell(once, a.env, uuid.New())
}

// next acts on one that the filter found. The question was asked for all of them.
func (a *act) next(ctx context.Context, d *postgres.ListedDelivery) error {
	if a.along[d.ID] {
		a.done++
		return nil
	}
	acted, err := a.one(ctx, d.ID, true)
	if err != nil {
		return err
	}
	if acted.Refusal == "" {
		for _, id := range acted.Later {
			a.along[id] = true
		}
	}
	return a.tell(d.ID, acted)
}

// interrupted says how far it came.
func (a *act) interrupted(left int) error {
	return fmt.Errorf("interrupted: %d done, %d not, about %d left; what is done stays done, and the same command goes on with the rest", //nolint:err113 // for people only
		a.done, a.refused, max(0, left))
}

// progress keeps one line up to date for a person.
func (a *act) progress(total int) {
	if !a.o.Interactive {
		return
	}
	seen := a.done + a.refused
	_, _ = fmt.Fprintf(a.o.Progress, "\r[%s] %d of %d, %d not done", barOf(int64(seen), int64(total)), seen, total, a.refused)
	if seen >= total {
		_, _ = fmt.Fprintln(a.o.Progress)
	}
}

// pause waits, unless ctx ends first.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// ask lets a person decide; --yes has decided already.
func (a *act) ask(ctx context.Context, question string) error {
	if a.o.Yes {
		return nil
	}
	if !a.o.Interactive {
		return errNotAsked
	}
	if _, err := fmt.Fprintf(a.o.Progress, "%s? Type yes: ", question); err != nil {
		return err
	}
	answers := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(a.o.In).ReadString('\n')
		answers <- line
	}()
	select {
	case <-ctx.Done():
		return errDeclined
	case answer := <-answers:
		if strings.TrimSpace(answer) != "yes" {
			return errDeclined
		}
		return nil
	}
}

// actedLine is what came of one delivery, in JSON.
type actedLine struct {
	ID       uuid.UUID   `json:"id"`
	Verb     string      `json:"verb"`
	Done     bool        `json:"done"`
	Refusal  string      `json:"refusal,omitempty"`
	Delivery *uuid.UUID  `json:"delivery_id,omitempty"`
	Message  *uuid.UUID  `json:"message_id,omitempty"`
	From     string      `json:"from,omitempty"`
	To       string      `json:"to,omitempty"`
	Later    []uuid.UUID `json:"corrections,omitempty"`
	Behind   *behindLine `json:"behind,omitempty"`
}

// tell counts and prints what came of one delivery.
func (a *act) tell(id uuid.UUID, acted postgres.Acted) error {
	if acted.Refusal == "" {
		a.done++
	} else {
		a.refused++
	}
	if !a.o.JSON && a.many && acted.Refusal == "" {
		return nil
	}
	if !a.o.JSON {
		_, err := fmt.Fprintln(a.o.Out, a.sentence(id, acted))
		return err
	}
	line := actedLine{
		ID: id, Verb: string(a.o.Verb), Done: acted.Refusal == "", Refusal: string(acted.Refusal),
		From: string(acted.From), To: string(acted.To), Later: acted.Later,
	}
	if acted.Delivery != uuid.Nil {
		line.Delivery, line.Message = &acted.Delivery, &acted.Message
	}
	if acted.Behind.Head != uuid.Nil {
		line.Behind = new(newBehindLine(acted.Behind))
	}
	return json.NewEncoder(a.o.Out).Encode(line)
}

// sentence tells a person what came of one delivery, and what to do instead.
func (a *act) sentence(id uuid.UUID, acted postgres.Acted) string {
	text := fmt.Sprintf("%s %s: ", id, a.o.Verb)
	switch acted.Refusal {
	case "":
		return text + doneWords(id, acted)
	case postgres.RefusalUnknown:
		return text + "not done: " + errUnknownID.Error()
	case postgres.RefusalEnvironment:
		return text + "not done: " + errOtherPlace.Error()
	case postgres.RefusalUnderWay:
		text += "not done: an attempt is under way, and only its end tells what SISS has"
		if !acted.LeaseUntil.IsZero() {
			text += "; it ends at " + acted.LeaseUntil.Format(time.RFC3339) + " at the latest"
		}
		return text + "; --wait waits for it"
	case postgres.RefusalReplaced:
		return text + "not done: its event was sent again under another id; name the receipt " + acted.Message.String()
	case postgres.RefusalConfirm:
		if a.o.Verb == VerbRenew {
			return text + "not done: a reconciliation found that SISS has it; redeliver it, under its own id"
		}
		return text + "not done: SISS has confirmed it already; say --yes to send it again"
	case postgres.RefusalCorrected:
		return text + a.corrected(acted)
	case postgres.RefusalState:
		return text + "not done: it is " + string(acted.From) + "; " + advice(acted.From)
	}
	return text + "not done: " + string(acted.Refusal)
}

// doneWords tells what became of one delivery.
func doneWords(id uuid.UUID, acted postgres.Acted) string {
	words := []string{fmt.Sprintf("%s -> %s", acted.From, acted.To)}
	if acted.Delivery != id {
		words = append(words, "delivery "+acted.Delivery.String())
	}
	for _, later := range acted.Later {
		words = append(words, "followed by "+later.String())
	}
	if acted.Behind.Head != uuid.Nil && acted.To != hub.Parked {
		words = append(words, "waits behind "+behindWords(acted.Behind))
	}
	return strings.Join(words, ", ")
}

// corrected tells why an event that was corrected or annulled is not sent alone.
func (a *act) corrected(acted postgres.Acted) string {
	later := make([]string, 0, len(acted.Later))
	for _, id := range acted.Later {
		later = append(later, id.String())
	}
	text := "not done: SISS has or may have what corrects or annuls it (" + strings.Join(later, ", ") + "), and must not get it after that"
	if acted.From == hub.Delivered && a.o.Verb == VerbRedeliver {
		text += "; --with-corrections sends those again behind it"
	}
	return text
}

// advice tells which verb fits a state.
func advice(state hub.DeliveryState) string {
	switch state {
	case hub.Pending:
		return "it goes when its turn comes, see show"
	case hub.Sending:
		return "an attempt is under way"
	case hub.Retrying, hub.Uncertain:
		return "retry makes it due at once, park sets it aside"
	case hub.Dead:
		return "retry gives it a fresh budget"
	case hub.Parked:
		return "unpark gives it its turn"
	case hub.Delivered:
		return "redeliver sends it again under the same id"
	case hub.Refused:
		return "redeliver sends it again, with --new-id under a new IdTrasmissione"
	}
	return "no verb fits"
}
