package siss

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
	_ "time/tzdata" // the day of riepilogo is an Italian one, wherever this runs

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/pkg/batch"
)

// The outcomes of the contract, codEsitoTrasmissione and codStatoTrasmissione.
const (
	accepted = "ACCETTATO"
	repeated = "GIA_RICEVUTO"
	refused  = "RIFIUTATO"
	unknown  = "SCONOSCIUTO"
)

// mostInBatch bounds how many messages share a call of C, and transmissions one write and fsync.
const mostInBatch = 256

// keepLines is the largest room for lines that is kept for the next batch.
const keepLines = 1 << 20

var errLine = errors.New("line is not a received transmission")

// received is what stays known of a transmission: its first outcome, which is final.
type received struct {
	event   [sha256.Size]byte
	refused bool
}

// transmission is one request of trasmettiEvento.
type transmission struct {
	id uuid.UUID
	// event is the event as appendStandalone gives it, digest its SHA-256.
	event  []byte
	digest [sha256.Size]byte
	tipo   string
	// refuse makes a new transmission RIFIUTATO; a repeat keeps its first outcome.
	refuse bool
}

func newTransmission(id uuid.UUID, event []byte, refuse bool) transmission {
	return transmission{id: id, event: event, digest: sha256.Sum256(event), tipo: typeOf(event), refuse: refuse}
}

// verdict is what became of a transmission.
type verdict struct {
	esito string
	// conflict says that RIFIUTATO is due to another event under the same id.
	conflict bool
	// contradicts says that RIFIUTATO is due to codes that contradict what was communicated before.
	contradicts bool
}

// dayAndType is a row of riepilogo.
type dayAndType struct{ day, tipo string }

// ledger remembers the received transmissions, in memory and in their file. A transmission is
// in memory only once its line is durable.
type ledger struct {
	now   func() time.Time
	rome  *time.Location
	file  *lineFile
	group *batch.Group[transmission, verdict]
	// lines is the room in which a batch's lines are written. Only take uses it.
	lines []byte

	mu       sync.RWMutex
	byID     map[uuid.UUID]received
	accepted map[dayAndType][]uuid.UUID
}

// storedLine is a line of the file; its names are the contract's (siss_received_file).
type storedLine struct {
	ID    uuid.UUID `json:"id_trasmissione"`
	At    time.Time `json:"ricevuto_at"`
	Esito string    `json:"esito"`
	Event string    `json:"evento_xml"`
}

// openLedger reads what was received before.
func openLedger(path string, now func() time.Time) (*ledger, error) {
	rome, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		return nil, fmt.Errorf("load time zone: %w", err)
	}
	l := &ledger{
		now: now, rome: rome,
		byID: make(map[uuid.UUID]received), accepted: make(map[dayAndType][]uuid.UUID),
	}
	l.group = batch.New(mostInBatch, func(_ context.Context, all []transmission) []batch.Result[verdict] {
		return l.take(all)
	})
	l.file, err = openLines(path, func(line []byte) error {
		var s storedLine
		if json.Unmarshal(line, &s) != nil {
			return errLine
		}
		if _, known := l.byID[s.ID]; !known {
			l.remember(newTransmission(s.ID, []byte(s.Event), s.Esito != accepted), s.At)
		}
		return nil
	})
	return l, err
}

// run serves put until ctx ends.
func (l *ledger) run(ctx context.Context) { l.group.Run(ctx) }

// put takes one transmission; when it returns, what it says is durable. After an error nothing
// is known of what the file holds.
func (l *ledger) put(ctx context.Context, t transmission) (verdict, error) {
	return l.group.Do(context.WithoutCancel(ctx), t)
}

// take judges a batch in its order, writes the new lines with one fsync, and only then
// remembers them.
func (l *ledger) take(all []transmission) []batch.Result[verdict] {
	results := make([]batch.Result[verdict], len(all))
	fresh := make(map[uuid.UUID]transmission, len(all))
	at := l.now().UTC()
	lines := l.lines[:0]
	for i, t := range all {
		first, known := l.known(t.id)
		if f, now := fresh[t.id]; now {
			first, known = received{f.digest, f.refuse}, true
		}
		v := judge(t, first, known)
		results[i].Value = v
		if !known {
			fresh[t.id] = t
		}
		if !known || v.conflict {
			lines = appendLine(lines, t, v, at)
		}
	}
	if cap(lines) <= keepLines {
		l.lines = lines
	}
	if len(lines) == 0 {
		return results
	}
	if err := l.file.add(lines); err != nil {
		for i := range results {
			results[i].Err = err
		}
		return results
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range fresh {
		l.remember(t, at)
	}
	return results
}

// judge tells what becomes of t, given what the same id brought first.
func judge(t transmission, first received, known bool) verdict {
	switch {
	case !known && !t.refuse:
		return verdict{esito: accepted}
	case !known:
		return verdict{esito: refused}
	case t.digest != first.event:
		return verdict{esito: refused, conflict: true}
	case first.refused:
		return verdict{esito: refused}
	}
	return verdict{esito: repeated}
}

func appendLine(dst []byte, t transmission, v verdict, at time.Time) []byte {
	dst = append(dst, `{"id_trasmissione":"`...)
	dst = append(dst, t.id.String()...)
	dst = append(dst, `","ricevuto_at":"`...)
	dst = at.AppendFormat(dst, time.RFC3339Nano)
	dst = append(dst, `","esito":"`...)
	dst = append(dst, v.esito...)
	dst = append(dst, `","evento_xml":`...)
	dst = appendJSON(dst, t.event)
	return append(dst, "}\n"...)
}

// remember keeps the first outcome of an id. The caller holds the lock, or is alone.
func (l *ledger) remember(t transmission, at time.Time) {
	l.byID[t.id] = received{t.digest, t.refuse}
	if !t.refuse {
		key := dayAndType{at.In(l.rome).Format(time.DateOnly), t.tipo}
		l.accepted[key] = append(l.accepted[key], t.id)
	}
}

func (l *ledger) known(id uuid.UUID) (received, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	r, ok := l.byID[id]
	return r, ok
}

// state answers statoTrasmissione.
func (l *ledger) state(id uuid.UUID) string {
	r, ok := l.known(id)
	switch {
	case !ok:
		return unknown
	case r.refused:
		return refused
	}
	return accepted
}

// total is one Totale of riepilogo.
type total struct {
	tipo   string
	number int
	digest string
}

// totals answers riepilogo for a day, sorted by type.
func (l *ledger) totals(day string) []total {
	l.mu.RLock()
	ids := make(map[string][]uuid.UUID)
	for key, all := range l.accepted {
		if key.day == day {
			ids[key.tipo] = slices.Clone(all)
		}
	}
	l.mu.RUnlock()
	var out []total
	for _, tipo := range slices.Sorted(maps.Keys(ids)) {
		all := ids[tipo]
		slices.SortFunc(all, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
		h := sha256.New()
		for _, id := range all {
			h.Write([]byte(id.String() + "\n"))
		}
		out = append(out, total{tipo, len(all), hex.EncodeToString(h.Sum(nil))})
	}
	return out
}

func (l *ledger) close() error { return l.file.close() }

// protocol is the ProtocolloNazionale of an accepted transmission. It derives from the id, so
// that it needs no place in the file and survives a restart.
func protocol(id uuid.UUID) string {
	sum := sha256.Sum256(append([]byte("protocollo "), id[:]...))
	code := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:])
	return "SISS-" + code[:16]
}
