package postgres_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/klauspost/compress/s2"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/casefile"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// benchCases is how many cases take the benchmark's events (issue 2, "Figures").
const benchCases = 1000

// benchBody is a regional event of about 6 KB that compresses like a real one.
func benchBody() []byte {
	var body bytes.Buffer
	body.WriteString(`<EventoRegionale mappa="1" xmlns="urn:sinba:regionale:v1">`)
	for body.Len() < 6000 {
		fmt.Fprintf(&body, "<Intervento><IdIntervento>%s</IdIntervento><CodicePrestazione>%s</CodicePrestazione>"+
			"<DataInizioPrestazione>2026-02-%02d</DataInizioPrestazione></Intervento>", rand.Text()[:20], rand.Text()[:6], body.Len()%28+1)
	}
	body.WriteString("</EventoRegionale>")
	return body.Bytes()
}

// benchDatabase is on a cluster of its own, with the hub's settings: the tests' one has other guests,
// whose processor time would be counted.
func benchDatabase(b *testing.B) hubtest.DB {
	b.Helper()
	cluster := start(b, postgres.ClusterConfig{Dir: folder(b), Settings: map[string]string{}})
	if err := cluster.Migrate(b.Context()); err != nil {
		b.Fatal(err)
	}
	return hubtest.DB{DSNs: cluster.DatabaseDSNs(postgres.Database), Name: postgres.Database}
}

// benchEvents gives acceptances over the benchmark's cases, which exist already.
type benchEvents struct {
	cases  []*postgres.Acceptance
	body   []byte
	sealed []byte
	next   atomic.Int64
}

func newBenchEvents(tb testing.TB, store *postgres.Store) *benchEvents {
	tb.Helper()
	e := &benchEvents{body: benchBody(), sealed: make([]byte, 1500)}
	_, _ = rand.Read(e.sealed)
	ente := addEnte(tb, store)
	var wg sync.WaitGroup
	for range benchCases {
		a := acceptance(ente.ID)
		e.cases = append(e.cases, a)
		wg.Go(func() {
			if _, err := store.Accept(tb.Context(), a); err != nil {
				tb.Error(err)
			}
		})
	}
	wg.Wait()
	return e
}

func (e *benchEvents) event() *postgres.Acceptance {
	n := e.next.Add(1)
	a := follow(e.cases[n%benchCases], int32(n/benchCases)+2)
	a.Body, a.Sealed.Bytes = e.body, e.sealed
	return a
}

// BenchmarkAccept has many clients accept events of 1,000 cases through one store.
func BenchmarkAccept(b *testing.B) {
	for _, clients := range []int{1, 8, 64, 128} {
		b.Run("clients="+strconv.Itoa(clients), func(b *testing.B) {
			db := benchDatabase(b)
			store := openWith(b, postgres.Config{DSN: db.App, Logger: zap.NewNop()})
			events := newBenchEvents(b, store)
			measure(b, db, clients, func() error {
				result, err := store.Accept(b.Context(), events.event())
				if err == nil && result.Status != postgres.StatusAccepted {
					err = errors.New("not accepted")
				}
				return err
			})
		})
	}
}

// BenchmarkPlainInserts writes the same rows, each event in a transaction of its own: what
// Accept is to be compared with.
func BenchmarkPlainInserts(b *testing.B) {
	for _, clients := range []int{1, 8, 64} {
		b.Run("clients="+strconv.Itoa(clients), func(b *testing.B) {
			db := benchDatabase(b)
			events := newBenchEvents(b, openWith(b, postgres.Config{DSN: db.App, Logger: zap.NewNop()}))
			config, err := pgxpool.ParseConfig(db.App)
			if err != nil {
				b.Fatal(err)
			}
			config.MaxConns = int32(clients)
			pool, err := pgxpool.NewWithConfig(b.Context(), config)
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(pool.Close)
			measure(b, db, clients, func() error { return plainInserts(b, pool, events.event()) })
		})
	}
}

func plainInserts(b *testing.B, pool *pgxpool.Pool, a *postgres.Acceptance) error {
	b.Helper()
	var trip pgx.Batch
	trip.Queue("BEGIN")
	trip.Queue(`INSERT INTO hub.event_key (environment, ente_id, event_id, receipt_id, received_at, registration_id, outcome,
		content_mac, commitment) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`, a.Key.Environment, a.Key.Ente, a.Key.Event,
		a.ReceiptID, a.ReceivedAt, a.Entry.ID, hub.Accepted, a.ContentMAC[:], a.Commitment[:])
	trip.Queue(`UPDATE hub.case_file SET events = events + 1, last_event_at = $2 WHERE id = $1`, a.Case.ID, a.ReceivedAt)
	trip.Queue(`INSERT INTO hub.message (id, received_at, environment, participant_id, ente_id, seal_epoch, digest, sealed)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, a.ReceiptID, a.ReceivedAt, a.Key.Environment, a.Participant, a.Key.Ente,
		a.Sealed.Epoch, a.Sealed.Digest[:], a.Sealed.Bytes)
	trip.Queue(`INSERT INTO hub.event (id, received_at, environment, participant_id, ente_id, event_id, case_id, subject_id, type,
		operation, sequence, position, schema_version, mapping_version, rules_version, region_epoch, body_format, body, facts)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 1, $12, $13, $14, $15, 1, $16, $17)`, a.ReceiptID, a.ReceivedAt,
		a.Key.Environment, a.Participant, a.Key.Ente, a.Key.Event, a.Case.ID, a.Subject, a.Type, a.Operation, a.Sequence,
		a.SchemaVersion, a.MappingVersion, a.RulesVersion, a.RegionEpoch, s2.Encode(nil, a.Body),
		casefile.FactsBytes(&a.Facts))
	trip.Queue(`INSERT INTO hub.delivery (id, message_id, environment, case_id, sequence, position, received_at, nation_epoch, state,
		attempts, changed_at, due_at) VALUES ($1, $2, $3, $4, $5, 1, $6, $7, 'pending', 0, $6, now())`, a.TransmissionID,
		a.ReceiptID, a.Key.Environment, a.Case.ID, a.Sequence, a.ReceivedAt, a.NationEpoch)
	trip.Queue(`INSERT INTO hub.journal_entry (id, at, kind, message_id, body) VALUES ($1, $2, $3, $4, $5)`,
		a.Entry.ID, a.Entry.At, int16(a.Entry.Kind), a.ReceiptID, a.Entry.Bytes())
	trip.Queue(`INSERT INTO hub.journal_queue (entry_id, entry_at) VALUES ($1, $2)`, a.Entry.ID, a.Entry.At)
	trip.Queue("COMMIT")
	return pool.SendBatch(b.Context(), &trip).Close()
}

// BenchmarkDelivery claims and settles a backlog without sending anything.
func BenchmarkDelivery(b *testing.B) {
	db := benchDatabase(b)
	store := openWith(b, postgres.Config{DSN: db.App, Logger: zap.NewNop()})
	events := newBenchEvents(b, store)
	var accepting sync.WaitGroup
	for range 64 {
		accepting.Go(func() {
			for events.next.Load() < int64(b.N)+benchCases {
				if _, err := store.Accept(b.Context(), events.event()); err != nil {
					b.Error(err)
				}
			}
		})
	}
	accepting.Wait()
	work := make(chan postgres.Claimed, 256)
	go func() {
		defer close(work)
		for left := b.N; left > 0; {
			claimed, err := store.Claim(b.Context(), postgres.ClaimQuery{
				Environment: hub.Prod, Owner: uuid.New(), Limit: min(128, left), Lease: time.Minute,
			})
			if err != nil {
				b.Error(err)
				return
			}
			for _, c := range claimed {
				work <- c
			}
			left -= len(claimed)
		}
	}()
	measure(b, db, 16, func() error {
		c, ok := <-work
		if !ok {
			return errors.New("nothing to settle")
		}
		return store.Settle(b.Context(), settlement(c, hub.Delivered))
	})
}

// BenchmarkAcceptWhileDelivering accepts as fast as it can while deliveries are claimed and settled
// as fast as they can, without sending: neither may slow down as the backlog grows.
func BenchmarkAcceptWhileDelivering(b *testing.B) {
	db := benchDatabase(b)
	store := openWith(b, postgres.Config{DSN: db.App, Logger: zap.NewNop()})
	events := newBenchEvents(b, store)
	var accepted, settled atomic.Int64
	work := make(chan postgres.Claimed, 16)
	done := make(chan struct{})
	wake := make(chan struct{}, 1)
	var delivering sync.WaitGroup
	for range 16 {
		delivering.Go(func() {
			for c := range work {
				if err := store.Settle(b.Context(), settlement(c, hub.Delivered)); err != nil {
					b.Error(err)
				}
				settled.Add(1)
			}
		})
	}
	delivering.Go(func() {
		defer close(work)
		for {
			claimed, err := store.Claim(b.Context(), postgres.ClaimQuery{
				Environment: hub.Prod, Owner: uuid.New(), Limit: 128, Lease: time.Minute,
			})
			if err != nil {
				b.Error(err)
				return
			}
			for _, c := range claimed {
				work <- c
			}
			select {
			case <-done:
				return
			case <-wake:
			}
		}
	})
	measure(b, db, 64, func() error {
		_, err := store.Accept(b.Context(), events.event())
		accepted.Add(1)
		select {
		case wake <- struct{}{}:
		default:
		}
		return err
	})
	b.ReportMetric(float64(settled.Load())/b.Elapsed().Seconds(), "settled/s")
	b.ReportMetric(float64(accepted.Load()-settled.Load()), "backlog")
	close(done)
	delivering.Wait()
}

// measure runs b.N calls by that many clients and reports rates and the processor time per call
// of this process and of the server.
func measure(b *testing.B, db hubtest.DB, clients int, call func() error) {
	b.Helper()
	server := newServerTimes(b, db)
	self := processTime(b, "self")
	before := server.total(b)
	var left atomic.Int64
	left.Store(int64(b.N))
	b.ResetTimer()
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := call(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	micros := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(b.N) }
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
	b.ReportMetric(micros(processTime(b, "self")-self), "us-go/op")
	b.ReportMetric(micros(server.total(b)-before), "us-pg/op")
}

// serverTimes adds up the processor time of the whole PostgreSQL server.
type serverTimes struct{ postmaster string }

func newServerTimes(b *testing.B, db hubtest.DB) serverTimes {
	b.Helper()
	backend := int(superuser(b, db).PgConn().PID())
	return serverTimes{postmaster: stat(b, strconv.Itoa(backend))[1]}
}

func (s serverTimes) total(b *testing.B) time.Duration {
	b.Helper()
	sum := processTime(b, s.postmaster)
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range all {
		pid := strings.Split(name, "/")[2]
		if fields := stat(b, pid); len(fields) > 1 && fields[1] == s.postmaster {
			sum += processTime(b, pid)
		}
	}
	return sum
}

// stat gives the fields of /proc/PID/stat behind the name, none if the process is gone.
func stat(b *testing.B, pid string) []string {
	b.Helper()
	text, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return nil
	}
	return strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
}

// processTime is user and system time, that of ended children included.
func processTime(b *testing.B, pid string) time.Duration {
	b.Helper()
	fields := stat(b, pid)
	if len(fields) < 15 {
		return 0
	}
	var ticks int
	for _, field := range fields[11:15] {
		n, err := strconv.Atoi(field)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * (10 * time.Millisecond)
}
