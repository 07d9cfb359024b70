//go:build smoke

package hubtest_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/pkg/batch"
)

// witness is one line of the writers' own file: that an event was going to be sent, or that a
// receipt came for it.
type witness struct {
	// Event is IdEvento.
	Event uuid.UUID `json:"event"`
	// Receipt and Registration are those of the receipt, nil in a line that says only that the event
	// was going to be sent.
	Receipt      uuid.UUID `json:"receipt"`
	Registration uuid.UUID `json:"registration"`
	// Commitment is ImprontaMessaggio.
	Commitment string `json:"commitment,omitempty"`
	// Outcome is Esito.
	Outcome string `json:"outcome,omitempty"`
	// At is when the line was written.
	At time.Time `json:"at"`
}

// evidence is the file in which the writers keep what they were told. A receipt counts only once its
// line is fsynced, so that neither a crash of the test nor one of the machine loses what the hub must
// answer for.
type evidence struct {
	path string

	mu   sync.Mutex
	file *os.File
	// lines joins the fsyncs of writers that wait for one at the same moment.
	lines *batch.Group[witness, struct{}]
}

// openEvidence appends to a file, made if missing, until the test ends.
func openEvidence(t *testing.T, path string) *evidence {
	t.Helper()
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	e := &evidence{path: path, file: file}
	e.lines = batch.New(256, func(_ context.Context, all []witness) []batch.Result[struct{}] {
		results := make([]batch.Result[struct{}], len(all))
		err := errors.Join(e.write(all...), e.file.Sync())
		for i := range results {
			results[i].Err = err
		}
		return results
	})
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		e.lines.Run(ctx)
	}()
	t.Cleanup(func() {
		stop()
		<-stopped
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// intend notes that an event is going to be sent. It needs no fsync: what is stored and was never
// intended is looked for only by a test that lives.
func (e *evidence) intend(event uuid.UUID) error {
	return e.write(witness{Event: event, At: time.Now()})
}

// told keeps a receipt and returns when it is on the disk.
func (e *evidence) told(ctx context.Context, event uuid.UUID, r *hubtest.Receipt) error {
	w := witness{Event: event, Commitment: r.Impronta, Outcome: r.Esito, At: time.Now()}
	var err, another error
	w.Receipt, err = uuid.Parse(r.IDRicevuta)
	w.Registration, another = uuid.Parse(r.IDRegistrazione)
	if err = errors.Join(err, another); err != nil {
		return err
	}
	_, err = e.lines.Do(ctx, w)
	return err
}

func (e *evidence) write(all ...witness) error {
	var text []byte
	for _, w := range all {
		line, err := json.Marshal(w)
		if err != nil {
			return err
		}
		text = append(append(text, line...), '\n')
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	_, err := e.file.Write(text)
	return err
}

// readEvidence reads the file as a checker that knows nothing else does. A torn last line was never
// counted.
func readEvidence(t *testing.T, path string) []witness {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // only read
	var all []witness
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var w witness
		if json.Unmarshal(lines.Bytes(), &w) == nil {
			all = append(all, w)
		}
	}
	return all
}

// receipts are the events that have one.
func (e *evidence) receipts(t *testing.T) map[uuid.UUID]bool {
	t.Helper()
	all := map[uuid.UUID]bool{}
	for _, w := range readEvidence(t, e.path) {
		if w.Receipt != uuid.Nil {
			all[w.Event] = true
		}
	}
	return all
}
