package validator_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/validator"
)

// TestKilledWorkersLoseNoRequest kills random workers under load. A document that happens to
// be alone in two workers that are killed is refused, which is an answer as well.
func TestKilledWorkersLoseNoRequest(t *testing.T) {
	t.Parallel()
	const kills, callers = 60, 16
	p := newPool(t, func(c *validator.Config) { c.Workers = 2 })
	event := samples(t)["intervento.xml"]
	stop := make(chan struct{})
	var callersDone sync.WaitGroup
	var mu sync.Mutex
	answers := map[hub.Code]int{}
	for range callers {
		callersDone.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				r, err := p.Validate(t.Context(), validator.SinbaEventi, validator.Bare, event)
				code := codeOf(t, err)
				if err == nil && !bytes.Equal(r.Payload, event) {
					t.Error("wrong payload")
				}
				mu.Lock()
				answers[code]++
				mu.Unlock()
			}
		})
	}
	r := rand.New(rand.NewPCG(3, 4))
	for i := range kills {
		var pids []int
		until(t, "a worker lives", func() bool { pids = p.pids(t); return len(pids) > 0 })
		_ = syscall.Kill(pids[r.IntN(len(pids))], []syscall.Signal{syscall.SIGKILL, syscall.SIGSEGV}[i%2])
		mu.Lock()
		before := answers[""]
		mu.Unlock()
		until(t, "documents are answered again", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return answers[""] > before+callers
		})
	}
	close(stop)
	callersDone.Wait()
	if answers[hub.CodeValidatorDied] > kills || answers[""] < kills*callers || len(answers) > 2 {
		t.Errorf("answers %v", answers)
	}
	if n := p.restarts(t, "crash"); n == 0 || n > kills {
		t.Errorf("%d workers replaced for %d kills", n, kills)
	}
	if err := p.Alive(); err != nil {
		t.Error(err)
	}
}

// TestPoisonIsRefusedAndNobodyElseNotices has documents among others that end whichever worker
// gets them.
func TestPoisonIsRefusedAndNobodyElseNotices(t *testing.T) {
	t.Parallel()
	const callers, each, every = 16, 50, 40
	p := lying(t, time.Second)
	kinds := []string{"ABORT", "SEGV", "EXIT", "LOOP", "WRONG-ID", "GARBAGE", "NAME", "HEADER", "HALF", "HUGE", "SHORT"}
	var wg sync.WaitGroup
	poisoned := make([]int, callers)
	for caller := range callers {
		wg.Go(func() {
			for i := range each {
				doc, want := "<good/>", hub.Code("")
				if n := caller*each + i; n%every == 0 {
					doc, want = "<"+kinds[n/every%len(kinds)]+"/>", hub.CodeValidatorDied
					poisoned[caller]++
				}
				r, err := p.validate(t, doc)
				if got := codeOf(t, err); got != want {
					t.Errorf("%s: got %q, want %q", doc, got, want)
				}
				if want == "" && string(r.Payload) != "<EchoRichiesta></EchoRichiesta>" {
					t.Errorf("payload %q", r.Payload)
				}
			}
		})
	}
	wg.Wait()
	total := 0
	for _, n := range poisoned {
		total += n
	}
	deaths := 0
	for _, reason := range []string{"crash", "deadline", "protocol"} {
		n := p.restarts(t, reason)
		if n == 0 {
			t.Errorf("no worker replaced for %s", reason)
		}
		deaths += n
	}
	if deaths < total || deaths > 2*total {
		t.Errorf("%d deaths for %d documents", deaths, total)
	}
}

func TestReasonOfAWorkersEndIsCounted(t *testing.T) {
	t.Parallel()
	for doc, reason := range map[string]string{
		"<ABORT/>": "crash", "<SEGV/>": "crash", "<EXIT/>": "crash", "<HALF/>": "crash",
		"<LOOP/>": "deadline", "<WRONG-ID/>": "protocol", "<GARBAGE/>": "protocol",
		"<NAME/>": "protocol", "<HEADER/>": "protocol", "<HUGE/>": "protocol", "<SHORT/>": "protocol",
	} {
		t.Run(doc, func(t *testing.T) {
			t.Parallel()
			p := lying(t, time.Second)
			_, err := p.validate(t, doc)
			var e *hub.Error
			if !errors.As(err, &e) || e.Kind != hub.Internal || codeOf(t, err) != hub.CodeValidatorDied {
				t.Errorf("got %v", err)
			}
			until(t, "the second worker is counted", func() bool { return p.restarts(t, reason) == 2 })
			if _, err := p.validate(t, "<good/>"); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

// TestUnaskedAnswerEndsTheWorker: the document that brought it was answered well, the worker
// is not kept.
func TestUnaskedAnswerEndsTheWorker(t *testing.T) {
	t.Parallel()
	p := lying(t, 30*time.Second)
	if _, err := p.validate(t, "<TWICE/>"); err != nil {
		t.Error(err)
	}
	until(t, "the worker is replaced", func() bool { return p.restarts(t, "protocol") == 1 })
	if _, err := p.validate(t, "<good/>"); err != nil {
		t.Error(err)
	}
}

// TestStoppedWorkerIsKilledAtTheDeadline: the document is not to blame and gets its answer
// from the next worker.
func TestStoppedWorkerIsKilledAtTheDeadline(t *testing.T) {
	t.Parallel()
	p := newPool(t, func(c *validator.Config) {
		c.Workers = 1
		c.Deadline = time.Second
	})
	event := samples(t)["intervento.xml"]
	stopped := p.pids(t)[0]
	if err := syscall.Kill(stopped, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			r, err := p.Validate(t.Context(), validator.SinbaEventi, validator.Bare, event)
			if err != nil || !bytes.Equal(r.Payload, event) {
				t.Errorf("got %v", err)
			}
		})
	}
	wg.Wait()
	if n := p.restarts(t, "deadline"); n != 1 {
		t.Errorf("%d workers killed at the deadline", n)
	}
	if pids := p.pids(t); len(pids) != 1 || pids[0] == stopped {
		t.Errorf("workers %v, stopped %d", pids, stopped)
	}
}

// TestQuadraticDocumentEndsAtTheDeadline: libxml2 2.9.14 takes seconds for 60,000 attributes;
// newer ones are quick. Either way there is an answer.
func TestQuadraticDocumentEndsAtTheDeadline(t *testing.T) {
	t.Parallel()
	p := newPool(t, func(c *validator.Config) { c.Deadline = 500 * time.Millisecond })
	var b strings.Builder
	b.WriteString("<a")
	for i := range 60_000 {
		fmt.Fprintf(&b, ` a%d=""`, i)
	}
	b.WriteString("/>")
	if _, err := p.validate(t, b.String()); codeOf(t, err) != hub.CodeValidatorDied && codeOf(t, err) != hub.CodeUnknownOperation {
		t.Errorf("got %v", err)
	}
	event := samples(t)["intervento.xml"]
	if _, err := p.Validate(t.Context(), validator.SinbaEventi, validator.Bare, event); err != nil {
		t.Error(err)
	}
}

func TestWorkerIsReplacedAfterSomeDocuments(t *testing.T) {
	t.Parallel()
	p := newWearingPool(t, func(c *validator.Config) { c.Workers = 1 }, func(p *validator.Pool) { p.SetWear(10, time.Hour) })
	first := p.pids(t)[0]
	until(t, "three workers have been replaced", func() bool {
		if _, err := p.validate(t, "<a/>"); codeOf(t, err) != hub.CodeUnknownOperation {
			t.Fatal(err)
		}
		return p.restarts(t, "age") >= 3
	})
	for _, pid := range p.pids(t) {
		if pid == first {
			t.Error("the first worker is still there")
		}
	}
	for _, reason := range []string{"crash", "deadline", "protocol"} {
		if n := p.restarts(t, reason); n != 0 {
			t.Errorf("%d for %s", n, reason)
		}
	}
}

// TestWorkerThatBeginsWithARepetitionIsReplacedToo: its first document is one that another worker left
// unanswered, and it may be its last.
func TestWorkerThatBeginsWithARepetitionIsReplacedToo(t *testing.T) {
	t.Parallel()
	p := newWearingPool(t, func(c *validator.Config) { c.Workers = 1 }, func(p *validator.Pool) { p.SetWear(1<<30, 50*time.Millisecond) })
	first := p.pids(t)[0]
	if err := syscall.Kill(first, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	answers := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := p.validate(t, "<a>"+strings.Repeat(" ", validator.BigDocument)+"</a>")
			answers <- err
		}()
	}
	until(t, "the worker has one of them to itself", func() bool { return p.Queued() == 1 })
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := <-answers; codeOf(t, err) != hub.CodeUnknownOperation {
			t.Fatal(err)
		}
	}
	until(t, "the worker has been replaced", func() bool { return p.restarts(t, "age") == 1 })
}

func TestWorkerIsReplacedAfterSomeTime(t *testing.T) {
	t.Parallel()
	p := newWearingPool(t, func(c *validator.Config) { c.Workers = 1 }, func(p *validator.Pool) { p.SetWear(1<<30, time.Millisecond) })
	unused := p.pids(t)
	if _, err := p.validate(t, "<a/>"); codeOf(t, err) != hub.CodeUnknownOperation {
		t.Fatal(err)
	}
	until(t, "the worker has been replaced", func() bool { return p.restarts(t, "age") == 1 })
	if pids := p.pids(t); len(pids) == 1 && pids[0] == unused[0] {
		t.Error("the same worker")
	}
	// Its successor has seen nothing yet and stays.
	if err := p.Alive(); err != nil {
		t.Error(err)
	}
}

// TestCloseAnswersWhatIsUnderWay closes a pool under load: every call gets a result or is told
// that the pool stops.
func TestCloseAnswersWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	p := newPool(t, nil)
	event := samples(t)["intervento.xml"]
	begun := make(chan struct{}, 64)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for {
				r, err := p.Validate(t.Context(), validator.SinbaEventi, validator.Bare, event)
				if codeOf(t, err) == hub.CodeStopping {
					return
				}
				if err != nil || !bytes.Equal(r.Payload, event) {
					t.Errorf("got %v", err)
					return
				}
				select {
				case begun <- struct{}{}:
				default:
				}
			}
		})
	}
	for range 64 {
		<-begun
	}
	_ = p.Close()
	wg.Wait()
}

// TestStoppedWorkerDoesNotHoldUpClose: a worker that has nothing to answer has no deadline
// until it is told to end.
func TestStoppedWorkerDoesNotHoldUpClose(t *testing.T) {
	t.Parallel()
	p := newPool(t, func(c *validator.Config) { c.Deadline = 100 * time.Millisecond })
	for _, pid := range p.pids(t) {
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	}
	_ = p.Close()
	if pids := p.pids(t); len(pids) > 0 {
		t.Errorf("still there: %v", pids)
	}
}

// TestLongValuesAreJudgedInTime: no pattern or facet of the schema takes long for a long value
// (the deadline would end the worker).
func TestLongValuesAreJudgedInTime(t *testing.T) {
	t.Parallel()
	p := newPool(t, func(c *validator.Config) { c.Deadline = 5 * time.Second })
	event := string(samples(t)["caricamento-iniziale.xml"])
	leaf := regexp.MustCompile(`>[^<>]+</`)
	places := leaf.FindAllStringIndex(event, -1)
	for i, at := range places {
		fill := []string{"A", "0", "a1", "0123456789-", "A.", "é "}[i%6]
		doc := event[:at[0]+1] + strings.Repeat(fill, 100_000/len(fill)) + event[at[1]-2:]
		if _, err := p.validate(t, doc); err != nil {
			t.Errorf("leaf %d: %v", i, err)
		}
	}
}

func TestMetricsShowWorkersAndEveryReason(t *testing.T) {
	t.Parallel()
	p := newPool(t, func(c *validator.Config) { c.Workers = 3 })
	until(t, "all workers count", func() bool { return p.metric(t, "hub_validator_workers", "") == 4 })
	for _, reason := range []string{"crash", "deadline", "protocol", "age"} {
		if n := p.restarts(t, reason); n != 0 {
			t.Errorf("%s: %d", reason, n)
		}
	}
	_ = p.Close()
	if n := p.metric(t, "hub_validator_workers", ""); n != 0 {
		t.Errorf("%d workers after Close", n)
	}
}

// memorySink keeps what is logged.
type memorySink struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *memorySink) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(b)
}

func (s *memorySink) Sync() error { return nil }

// String gives what was logged so far.
func (s *memorySink) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

func TestNoValueReachesResultErrorOrLog(t *testing.T) {
	t.Parallel()
	const mark = "MARKED7x"
	sink := &memorySink{}
	log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), sink, zap.DebugLevel))
	p := newPool(t, func(c *validator.Config) { c.Logger = log })
	event := string(samples(t)["intervento.xml"])
	for _, part := range []string{">", "</", "<Cognome>", "versione=", `"1.0"`, "xmlns=", "2024", "</Body>"} {
		for _, put := range []string{mark, " " + mark + `="` + mark + `" `, "<" + mark + "/>", "<!--" + mark + "-->", "&" + mark + ";", "]]>" + mark, strings.Repeat(mark, 3000)} {
			for n := range 3 {
				doc := strings.Replace(event, part, part+put, n)
				r, err := p.validate(t, doc)
				r.Payload = nil
				if text := fmt.Sprintf("%+v %v %#v", r, err, err); strings.Contains(text, mark) {
					t.Fatalf("result holds the mark: %s", text)
				}
			}
		}
	}
	for _, pid := range p.pids(t) {
		_ = syscall.Kill(pid, syscall.SIGSEGV)
	}
	until(t, "the deaths are logged", func() bool { return strings.Contains(sink.String(), "validator worker ended") })
	if strings.Contains(sink.String(), mark) {
		t.Error("log holds the mark")
	}
}

// TestFilterHolds tries what a worker that was taken over would try.
func TestFilterHolds(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "escape")
	if out, err := exec.CommandContext(t.Context(), "gcc", "-Wall", "-o", path, "testdata/escape.c").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	attempts := []string{"open", "socket", "fork", "exec", "kill", "ptrace", "mprotect", "executable memory", "more limits", "unshare", "mount", "datagram", "connect", "sendto"}
	if runtime.GOARCH == "amd64" {
		attempts = append(attempts, "x32", "32 bit")
	}
	for _, what := range attempts {
		err := exec.CommandContext(t.Context(), path, what).Run()
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			t.Errorf("%s: came back: %v", what, err)
			continue
		}
		if status, ok := exit.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGSYS {
			t.Errorf("%s: %v", what, exit)
		}
	}
	if err := exec.CommandContext(t.Context(), path, "nothing").Run(); err != nil {
		t.Errorf("allowed calls: %v", err)
	}
}
