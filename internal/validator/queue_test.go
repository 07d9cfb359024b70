package validator_test

import (
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sinbahub/sinbahub/internal/validator"
)

// TestSendersTakeTurns: any sequence of documents comes off the queue in an order in which every
// sender's stay in theirs, nobody with something waiting is passed over twice in favour of the same
// other, and none is lost or given twice.
func TestSendersTakeTurns(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		q := validator.NewTestQueue()
		waiting := map[validator.Sender][]int{}
		var last validator.Sender // whose document came last
		for next := range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"put", "put", "take", "remove"}).Draw(t, "step") {
			case "put":
				s := validator.Sender(rapid.Int32Range(1, 4).Draw(t, "sender"))
				q.Put(s, next, rapid.SampledFrom([]int{1, validator.BigDocument + 1}).Draw(t, "bytes"))
				waiting[s] = append(waiting[s], next)
			case "remove":
				s := validator.Sender(rapid.Int32Range(1, 4).Draw(t, "sender"))
				if own := waiting[s]; len(own) > 0 {
					at := rapid.IntRange(0, len(own)-1).Draw(t, "which")
					if !q.Remove(s, own[at]) {
						t.Fatal("a waiting document was not there")
					}
					waiting[s] = slices.Delete(slices.Clone(own), at, at+1)
				}
			case "take":
				most := rapid.IntRange(1, 8).Draw(t, "most")
				taken := q.Take(most)
				left := 0
				for i, got := range taken {
					if got.Bytes > validator.BigDocument && i != len(taken)-1 {
						t.Fatal("something comes behind a big document")
					}
					own := waiting[got.Sender]
					if len(own) == 0 || own[0] != got.ID {
						t.Fatalf("%d of sender %d came out of turn: %v", got.ID, got.Sender, own)
					}
					for s, others := range waiting {
						if i > 0 && got.Sender == last && s != last && len(others) > 0 {
							t.Fatalf("sender %d had two turns while %d waited", last, s)
						}
					}
					waiting[got.Sender], last = own[1:], got.Sender
				}
				for _, own := range waiting {
					left += len(own)
				}
				if len(taken) < most && left > 0 && (len(taken) == 0 || taken[len(taken)-1].Bytes <= validator.BigDocument) {
					t.Fatalf("%d taken of %d, %d left", len(taken), most, left)
				}
				if left > 0 && !q.Ready() {
					t.Fatal("documents wait and no worker is told")
				}
			}
		}
	})
}

// TestOneSendersQueueKeepsNobodyWaiting: while a worker stands still with a queue of one sender before
// it, another sender's document comes; when the worker goes on that one is among the first answered.
func TestOneSendersQueueKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	p := newPool(t, func(c *validator.Config) { c.Workers, c.Deadline = 1, time.Minute })
	usual := p.pids(t)
	event := samples(t)["intervento.xml"]
	// Big documents go to a worker one by one, so that the order of the queue is the order of answers.
	big := []byte(strings.Replace(string(event), ">", strings.Repeat(" ", validator.BigDocument)+">", 1))
	for _, pid := range usual {
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	}
	const queued = 40
	answers := make(chan validator.Sender, queued+1)
	ask := func(s validator.Sender) {
		if _, err := p.ValidateFor(t.Context(), s, validator.SinbaEventi, validator.Bare, big); err != nil {
			t.Error(err)
		}
		answers <- s
	}
	for range queued {
		go ask(1)
	}
	awaitQueued(p, queued-1) // one is with the worker
	go ask(2)
	awaitQueued(p, queued)
	for _, pid := range usual {
		if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
	at := -1
	for i := range queued + 1 {
		if s := <-answers; s == 2 {
			at = i
		}
	}
	// Answers of different callers may overtake each other a little on their way to the channel.
	if at < 0 || at > queued/2 {
		t.Errorf("the other sender's document was answered as number %d", at+1)
	}
}

// awaitQueued returns when so many usual documents wait.
func awaitQueued(p *pool, n int) {
	for p.Queued() != n {
		runtime.Gosched()
	}
}

// TestWorkerGetsWhatItCanDoSoon: the costlier the documents, the fewer are with a worker at once, down
// to one; they are many again when documents are cheap again.
func TestWorkerGetsWhatItCanDoSoon(t *testing.T) {
	t.Parallel()
	w := new(validator.Window)
	most := w.Free()
	for range 50 {
		w.Measure(4, 4*200*time.Microsecond)
	}
	if w.Free() != most {
		t.Errorf("%d usual messages at once instead of %d", w.Free(), most)
	}
	before := w.Free()
	for range 10 {
		w.Measure(1, 2*time.Millisecond)
		if w.Free() > before {
			t.Error("costlier documents, and more at once")
		}
		before = w.Free()
	}
	if w.Free() != 2 {
		t.Errorf("%d documents of 2 ms at once", w.Free())
	}
	for range 20 {
		w.Measure(1, time.Second)
	}
	if w.Free() != 1 {
		t.Errorf("%d documents of a second at once", w.Free())
	}
	for range 100 {
		w.Measure(8, 8*200*time.Microsecond)
	}
	if w.Free() != most {
		t.Errorf("%d usual messages at once after costly ones", w.Free())
	}
}

// TestWorkersTimeIsMeasured: without it no document would seem costly.
func TestWorkersTimeIsMeasured(t *testing.T) {
	t.Parallel()
	p := newPool(t, func(c *validator.Config) { c.Workers = 1 })
	event := samples(t)["intervento.xml"]
	if _, err := p.Validate(t.Context(), validator.SinbaEventi, validator.Bare, event); err != nil {
		t.Fatal(err)
	}
	for _, pid := range p.pids(t) {
		if took := validator.ProcessorTime(pid); took <= 0 || took > time.Minute {
			t.Errorf("a worker has had a processor for %v", took)
		}
	}
}
