//go:build smoke

package hubtest_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/siss"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

const (
	// sissDeliveries and cutStep are the short form: how many deliveries meet everything at once, and
	// how many bytes lie between two cuts. SINBAHUB_TEST_SISS_DELIVERIES and SINBAHUB_TEST_CUT_STEP
	// change them.
	sissDeliveries = 300
	cutStep        = 64
	// ofToxic is how many events meet each bad network.
	ofToxic = 6
	// answerAtMost is longer than any answer to trasmettiEvento.
	answerAtMost = 800
	// sissSenders send at once.
	sissSenders = 16
)

// nation is a hub whose SISS and network can be spoilt.
type nation struct {
	t       *testing.T
	hub     *hubtest.Hub
	carrier *hubtest.Instance
	net     *network
	db      *pgx.Conn
	book    *evidence
	child   hubtest.Child
	events  int
}

// TestSmokeSissMisbehaves delivers to a SISS that answers in every wrong way over every bad network, and
// wants every delivery to end as SISS itself says that it ended, each event once.
func TestSmokeSissMisbehaves(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	h.Kill()
	n := &nation{t: t, hub: h, net: newNetwork(t, h.Run.SissURL), db: h.Superuser(), book: openEvidence(t, receiptsFile(h))}
	n.carrier = h.Serve("carrier", func(settings map[string]any) {
		shortLease(settings)
		hubtest.Settings(settings, "siss", map[string]any{"url": n.net.through(h.Run.SissURL)})
	})
	n.carrier.Start()
	n.carrier.AwaitReady()
	tab := newTable("a SISS that misbehaves")
	began := time.Now()
	cuts := n.cutEverywhere(scale(t, "CUT_STEP", cutStep))
	tab.row("answers cut after byte k, the line half closed too", "each k", "%d, k = 0 to %d, %v", cuts, answerAtMost, time.Since(began).Round(time.Second))
	tab.row("answers of each other fault of the simulator", "each", "%v", n.everyFault())
	tab.row("bad networks (toxiproxy)", "each", "%d, %d deliveries through each", n.everyToxic(), ofToxic)
	began = time.Now()
	wanted := scale(t, "SISS_DELIVERIES", sissDeliveries)
	n.allAtOnce(wanted)
	n.settled()
	tab.row("deliveries while all faults strike at random, 30 % taken and cut", "10,000", "%d in %v", wanted, time.Since(began).Round(time.Second))
	n.carrier.Kill()
	wrong, asked := n.wrongCertificates()
	tab.row("wrong certificates (name, issuer, expired): requests that left", "0", "%d, of %d connections begun", asked, wrong)
	if t.Failed() {
		return
	}
	states, refused := n.states()
	f := lookAround(t, h, n.db).compare(states)
	f.report(t)
	counters := h.SissCounters()
	tab.row("faults met", "", "%v", faultsOf(counters))
	tab.row("uncertain ones asked about: SISS had them, had refused them, had them not", "", "%d, %d, %d",
		counters["statoTrasmissione/ACCETTATO"], counters["statoTrasmissione/RIFIUTATO"], counters["statoTrasmissione/SCONOSCIUTO"])
	tab.row("final states", "exact", "%d delivered, %d refused, %d otherwise than SISS says", n.events-refused, refused, len(f[findState]))
	tab.findingsRows(f, n.events, 0)
	tab.print(t)
}

// faultsOf are the counters of scripted faults.
func faultsOf(counters map[string]int64) []string {
	var all []string
	for _, key := range slices.Sorted(maps.Keys(counters)) {
		if len(key) > 6 && key[:6] == "fault/" {
			all = append(all, fmt.Sprintf("%s %d", key[6:], counters[key]))
		}
	}
	return all
}

// send has so many events accepted, each of a child of its own.
func (n *nation) send(events int) []uuid.UUID {
	n.t.Helper()
	sender := n.hub.Sender(hubtest.ChildEnte)
	sender.URL = n.carrier.SoapURL
	ids := make([]uuid.UUID, events)
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(events, sissSenders) {
		wg.Go(func() {
			for i := range next {
				n.sendOne(sender, ids[i], n.child+hubtest.Child(1+i))
			}
		})
	}
	for i := range ids {
		ids[i] = uuid.New()
		next <- i
	}
	close(next)
	wg.Wait()
	n.child += hubtest.Child(events)
	n.events += events
	return ids
}

// sendOne repeats an event until it has its receipt.
func (n *nation) sendOne(sender hubtest.Sender, id uuid.UUID, child hubtest.Child) {
	if err := n.book.intend(id); err != nil {
		n.t.Error(err)
		return
	}
	for ctx := n.t.Context(); ; {
		a, err := sender.Send(ctx, soap.V11, child.Event(id, 1))
		if err == nil && a.Receipt != nil {
			if err := n.book.told(ctx, id, a.Receipt); err != nil {
				n.t.Errorf("keep a receipt: %v", err)
			}
			return
		}
		if err != nil || a.Status != http.StatusServiceUnavailable || !pause(ctx, time.Second) {
			n.t.Errorf("no receipt: %v %+v", err, a)
			return
		}
	}
}

// states are how deliveries must have ended: as the simulator's file says.
func (n *nation) states() (states map[uuid.UUID]hub.DeliveryState, refused int) {
	n.t.Helper()
	states = map[uuid.UUID]hub.DeliveryState{}
	for _, a := range arrivals(n.t, n.hub.Run.SissReceivedFile) {
		if a.esito != "RIFIUTATO" {
			continue
		}
		var event uuid.UUID
		if err := n.db.QueryRow(n.t.Context(), "SELECT e.event_id FROM hub.delivery d JOIN hub.event e ON e.id = d.message_id WHERE d.id = $1", a.id).Scan(&event); err != nil {
			n.t.Fatal(err)
		}
		states[event] = hub.Refused
	}
	return states, len(states)
}

// settled waits until nothing waits any more, with a good SISS and a good network.
func (n *nation) settled() {
	n.t.Helper()
	n.hub.MisbehaveSiss(siss.Faults{})
	hubtest.Await(n.t, drainPatience, "every delivery is settled", func() bool {
		return hubtest.Number(n.t, n.db, "SELECT count(*) FROM hub.delivery WHERE settled_at IS NULL") == 0
	})
}

// tried waits until every one of the events was attempted and settled somehow.
func (n *nation) tried(events []uuid.UUID) {
	n.t.Helper()
	hubtest.Await(n.t, 2*time.Minute, "every delivery was attempted", func() bool {
		return hubtest.Number(n.t, n.db, `
SELECT count(*) FROM hub.event e JOIN hub.delivery d ON d.message_id = e.id
WHERE e.event_id = ANY ($1) AND NOT EXISTS (SELECT FROM hub.attempt a WHERE a.delivery_id = d.id)`, events) == 0
	})
}

// strike orders one fault for the next transmission and sends it something to strike.
func (n *nation) strike(f siss.Faults, counter string) {
	n.t.Helper()
	before := n.hub.SissCounters()["fault/"+counter]
	n.hub.MisbehaveSiss(f)
	n.send(1)
	hubtest.Await(n.t, 2*time.Minute, "the fault "+counter+" strikes", func() bool { return n.hub.SissCounters()["fault/"+counter] > before })
}

// cutEverywhere cuts the answer after each so many bytes, in both ways.
func (n *nation) cutEverywhere(step int) (cuts int) {
	n.t.Helper()
	for k := 0; k <= answerAtMost && !n.t.Failed(); k += step {
		n.strike(siss.Faults{CutAt: k, Next: []siss.Fault{siss.Cut}}, "cut")
		n.strike(siss.Faults{CutAt: k, Next: []siss.Fault{siss.HalfClose}}, "half_close")
		cuts += 2
	}
	n.settled()
	return cuts
}

// everyFault meets each of the other faults once, those of an answer that asks included.
func (n *nation) everyFault() (met []siss.Fault) {
	n.t.Helper()
	for _, fault := range []siss.Fault{siss.Refuse, siss.Fail, siss.Unavailable, siss.Drop, siss.Drip, siss.Garbage, siss.HTML, siss.WrongID} {
		n.strike(siss.Faults{DripMS: 2, Next: []siss.Fault{fault}}, string(fault))
		met = append(met, fault)
	}
	// One that is uncertain is asked about, and those answers go wrong too.
	for _, fault := range []siss.Fault{siss.Fail, siss.Unavailable, siss.Cut, siss.Drop, siss.Garbage, siss.HTML, siss.WrongID, siss.HalfClose} {
		n.strike(siss.Faults{Next: []siss.Fault{siss.Cut, fault}, Operations: []string{"trasmettiEvento", "statoTrasmissione"}}, string(fault))
	}
	n.settled()
	return met
}

// everyToxic sends some events through each bad network.
func (n *nation) everyToxic() int {
	n.t.Helper()
	all := toxics()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		mend := n.net.toxic(all[name])
		n.tried(n.send(ofToxic))
		mend()
		n.settled()
		if n.t.Failed() {
			n.t.Fatalf("with %s", name)
		}
	}
	// Nobody listens.
	n.net.proxy.Stop()
	events := n.send(ofToxic)
	n.tried(events)
	if err := n.net.proxy.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.settled()
	return len(all) + 1
}

// allAtOnce sends while every fault strikes at random.
func (n *nation) allAtOnce(events int) {
	n.t.Helper()
	n.hub.MisbehaveSiss(siss.Faults{
		CutRatio: .3, CutAt: 90, DropRatio: .05, UnavailableRatio: .04, FailRatio: .04, GarbageRatio: .05, HTMLRatio: .03, WrongIDRatio: .04,
		HalfCloseRatio: .05, DripRatio: .02, DripMS: 1, RefuseRatio: .03, SlowMS: 40, SlowRatio: .2,
		Operations: []string{"trasmettiEvento", "statoTrasmissione"},
	})
	defer n.net.toxic(`{"type":"latency","toxicity":0.2,"attributes":{"latency":20,"jitter":20}}`)()
	n.send(events)
	// Most of them are carried while it is bad.
	hubtest.Await(n.t, drainPatience, "nine of ten are settled", func() bool {
		return hubtest.Number(n.t, n.db, "SELECT count(*) FROM hub.delivery WHERE settled_at IS NULL") <= int64(events/10)
	})
}
