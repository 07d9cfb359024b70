package gateway_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/klauspost/compress/s2"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/authn"
	"github.com/sinbahub/sinbahub/internal/contract"
	"github.com/sinbahub/sinbahub/internal/door"
	"github.com/sinbahub/sinbahub/internal/gateway"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
	"github.com/sinbahub/sinbahub/internal/sinba"
	"github.com/sinbahub/sinbahub/internal/validator"
	"github.com/sinbahub/sinbahub/pkg/soap"
	"github.com/sinbahub/sinbahub/xsd"
)

// nextSchema is a number that no schema of the hub has.
const nextSchema validator.Schema = 7

// newLeaf is what version 1.1 adds.
const newLeaf = "<CanaleTelematico>1</CanaleTelematico>"

// whole is a whole gateway in this process, behind a listener, with a database of its own.
type whole struct {
	// woken counts how often the delivery was told of an accepted event.
	woken atomic.Int64

	hubtest.Sender

	t        *testing.T
	registry *prometheus.Registry
	gateway  *gateway.Gateway
	db       *pgx.Conn
}

// contractFiles are the schema of version 1 and of version 1.1, and the table of leaves of the latter.
func contractFiles(t *testing.T) (schema, next, table []byte) {
	t.Helper()
	schema, err := xsd.FS.ReadFile(xsd.SinbaEventi)
	if err != nil {
		t.Fatal(err)
	}
	const after = `<xs:element name="CanaleAccesso" type="codCanaleAccesso"/>`
	if strings.Count(string(schema), after) != 1 {
		t.Fatal("the schema has another element to stand behind")
	}
	next = []byte(strings.Replace(string(schema), after, after+`<xs:element name="CanaleTelematico" type="codSiNo" minOccurs="0"/>`, 1))
	table, err = os.ReadFile(filepath.Join(hubtest.Root(), "internal", "sinba", "foglie.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	return schema, next, append(table, "/Dettaglio/AperturaCartella/CanaleTelematico\tkeep\tdrop\t\tcode\n"...)
}

// newWhole serves version 1, and with next version 1.1 beside it, to one participant for all enti of
// the samples.
func newWhole(t *testing.T, next bool) *whole {
	t.Helper()
	schema, nextText, table := contractFiles(t)
	lists := sinba.DefaultReference()
	enti := []hub.Ente{}
	for _, document := range sampleDocuments(t) {
		code := regexp.MustCompile(`CodiceEnte>([^<]*)<`).FindStringSubmatch(document)[1]
		if !slices.Contains(lists.Enti, code) {
			lists.Enti = append(lists.Enti, code)
			enti = append(enti, hub.Ente{ID: int32(len(lists.Enti)), Code: code, Zone: "Z01", Region: "17"})
		}
	}
	events, err := sinba.Load(schema, lists)
	if err != nil {
		t.Fatal(err)
	}
	later, err := sinba.LoadVersion(nextText, table, lists)
	if err != nil {
		t.Fatal(err)
	}
	schemas := map[validator.Schema]validator.SchemaFiles{
		validator.SinbaEventi: {Main: "v1.xsd", Files: map[string][]byte{"v1.xsd": schema}, Namespace: sinba.NamespaceEvent, Lot: validator.EventLot()},
	}
	reference := gateway.Reference{Events: events, Certified: func(int32, string, string) bool { return true }}
	if next {
		schemas[nextSchema] = validator.SchemaFiles{
			Main: "v1.1.xsd", Files: map[string][]byte{"v1.1.xsd": nextText}, Namespace: sinba.NamespaceEvent, Lot: validator.EventLot(),
		}
		reference.Versions = map[string]gateway.Version{"1.1": {Schema: nextSchema, Events: later}}
	}
	return start(t, schemas, reference, enti)
}

// start starts the parts and the door, until the test ends.
func start(t *testing.T, schemas map[validator.Schema]validator.SchemaFiles, reference gateway.Reference, enti []hub.Ente) *whole {
	t.Helper()
	db := hubtest.Database(t)
	w := &whole{t: t, registry: prometheus.NewRegistry()}
	keyDir := filepath.Join(t.TempDir(), "keys")
	must(t, pseudonym.InitKeys(keyDir, hub.Prod, time.Now()))
	keys, err := pseudonym.LoadKeys(keyDir, hub.Prod)
	must(t, err)
	vaultPool, err := pgxpool.New(t.Context(), db.Vault)
	must(t, err)
	t.Cleanup(vaultPool.Close)
	vault := pseudonym.NewVault(vaultPool, keys)
	sealer := pseudonym.NewSealer(keys, vault.RecordEpoch, time.Now)
	store, err := postgres.Open(t.Context(), postgres.Config{DSN: db.App})
	must(t, err)
	t.Cleanup(store.Close)
	pool, err := validator.New(validator.Config{Workers: 1, Deadline: time.Minute, Schemas: schemas})
	must(t, err)
	must(t, pool.Start(t.Context()))
	t.Cleanup(func() { _ = pool.Close() })
	catalogue, err := contract.New()
	must(t, err)
	w.db, err = pgx.Connect(t.Context(), db.Superuser)
	must(t, err)
	t.Cleanup(func() { _ = w.db.Close(context.WithoutCancel(t.Context())) })
	g := gateway.New(gateway.Config{
		Environment: hub.Prod, PublicURL: "http://hub.example", Version: "test",
		Limits: gateway.Limits{Exchanges: 8, BodyMemory: 64 << 20, StrangerRate: 100},
		Door: door.Limits{
			Connections: 16, ConnectionsPerAddress: 16, ConnectionsPerParticipant: 8,
			HeaderTimeout: time.Minute, BodyTimeout: time.Minute, IdleTimeout: time.Minute, Grace: time.Minute, LeastRate: 1,
		},
	}, reference, gateway.Parts{
		Contract: catalogue, Validator: pool, Keys: keys, Vault: vault, Sealer: sealer, Store: store,
		Registry: authn.NewRegistry([]authn.Credential{{
			User: "user", PasswordSHA256: sha256.Sum256([]byte("password")),
			Participant: hub.Participant{ID: 1, Name: "vendor", Environment: hub.Prod, Enti: enti},
		}}),
		Logger: zap.NewNop(), Registerer: w.registry, Now: time.Now,
		Accepted: func() { w.woken.Add(1) },
	})
	w.gateway = g
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	server := g.Server()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() { _ = store.Run(ctx) })
	running.Go(func() { vault.Run(ctx) })
	running.Go(func() { sealer.Run(ctx) })
	running.Go(func() { g.Watch(ctx) })
	running.Go(func() {
		if err := server.Serve(g.Guard(listener)); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		_ = server.Close()
		stop()
		running.Wait()
	})
	w.Sender = hubtest.Sender{
		URL: "http://" + listener.Addr().String() + contract.Path, User: "user", Password: "password",
		Client: &http.Client{Timeout: time.Minute, Transport: &http.Transport{}},
	}
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// send posts a document and reads the answer.
func (w *whole) send(document string) *hubtest.Answer {
	w.t.Helper()
	a, err := w.Send(w.t.Context(), soap.V12, []byte(document))
	must(w.t, err)
	return a
}

// chance is what differs between two answers to the same.
var chance = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{32,64}|\d{4}-\d\d-\d\dT[0-9:.]+Z`)

// steady is an answer without what differs by chance.
func steady(a *hubtest.Answer) string {
	header := a.Header.Clone()
	header.Del("Date")
	return fmt.Sprint(a.Status, header, chance.ReplaceAllString(string(a.Body), "*"))
}

// fresh gives a document new ids.
func fresh(document string) string {
	return regexp.MustCompile(`<(IdMessaggio|IdEvento)>[^<]*<`).ReplaceAllStringFunc(document, func(s string) string {
		name, _, _ := strings.Cut(s[1:], ">")
		return "<" + name + ">" + uuid.NewString() + "<"
	})
}

// declaring gives a document another version.
func declaring(document, version string) string {
	return strings.Replace(document, `versione="1.0"`, version, 1)
}

// TestNextVersionThroughTheDoor: beside a version 1.1 with one more leaf, whoever sends version 1 is
// answered byte for byte as if there were none, be it accepted, warned, refused or wrong. Who declares
// 1.1 may send the leaf, alone or in a lot; what is stored, sealed and counted says which it was.
func TestNextVersionThroughTheDoor(t *testing.T) {
	t.Parallel()
	one, both := newWhole(t, false), newWhole(t, true)
	samples := sampleDocuments(t)
	opening := samples[0]
	newer := fresh(strings.Replace(opening, "</CanaleAccesso>", "</CanaleAccesso>"+newLeaf, 1))
	if newer == opening || !strings.Contains(opening, `versione="1.0"`) {
		t.Fatal("the sample has no place for the leaf or says no version")
	}
	verify := strings.NewReplacer("InviaEvento", "VerificaEvento")
	documents := slices.Concat(samples, []string{
		opening, fresh(opening), newer, declaring(newer, ""), declaring(newer, `versione="1.2"`), declaring(newer, `versione="2.0"`),
		verify.Replace(fresh(opening)), verify.Replace(newer), verify.Replace(declaring(newer, `versione="1.2"`)),
		`<EchoRichiesta xmlns="urn:sinba:eventi:v1"><Messaggio>x</Messaggio></EchoRichiesta>`,
		lot("", declaring(fresh(opening), ""), fresh(opening), declaring(newer, `versione="1.1"`), newer),
	})
	outcomes := map[string]int{}
	for i, document := range documents {
		want, got := one.send(document), both.send(document)
		if diff := cmp.Diff(steady(want), steady(got)); diff != "" {
			t.Errorf("document %d is answered otherwise beside 1.1 (-alone +beside)\n%s", i, diff)
		}
		if got.Receipt != nil {
			outcomes[got.Receipt.Esito]++
		} else if got.Fault != nil {
			outcomes[got.Fault.Findings[0].Codice]++
		}
	}
	if outcomes["ACCETTATO"] < 30 || outcomes["DUPLICATO"] != 1 || outcomes["SINBA_013"] != 3 {
		t.Errorf("answers %v say too little", outcomes)
	}

	if n := hubtest.Number(t, both.db, "SELECT count(*) FROM hub.event WHERE schema_version <> '1.0'"); n != 0 {
		t.Errorf("%d events of version 1 are stored as another", n)
	}
	later := declaring(apart(newer, "a"), `versione="1.1"`)
	if a := one.send(later); a.Fault == nil || a.Fault.Findings[0].Codice != "SINBA_013" {
		t.Errorf("version 1.1 where it is not served: %s", a.Body)
	}
	if a := both.send(verify.Replace(later)); a.Report == nil || !a.Report.Conforme || !strings.Contains(string(a.Body), "<VersioneSchema>1.1<") {
		t.Errorf("verificaEvento of 1.1: %s", a.Body)
	}
	if a := both.send(later); a.Receipt == nil || a.Receipt.Esito != "ACCETTATO" {
		t.Errorf("version 1.1: %s", a.Body)
	}
	if a := both.send(strings.Replace(later, "<CanaleTelematico>1<", "<CanaleTelematico>7<", 1)); a.Fault == nil || !strings.HasSuffix(a.Fault.Findings[0].Posizione, "/CanaleTelematico") {
		t.Errorf("a wrong value of the new leaf: %s", a.Body)
	}
	a := both.send(lot(`versione="1.1"`, declaring(apart(newer, "b"), ""), declaring(apart(newer, "c"), `versione="1.1"`), apart(newer, "d")))
	if a.Lot == nil || len(a.Lot.Esiti) != 3 || a.Lot.Esiti[0].Receipt == nil || a.Lot.Esiti[1].Receipt == nil || a.Lot.Esiti[2].Receipt != nil {
		t.Errorf("a lot of 1.1 with an event that says it is of 1.0: %s", a.Body)
	}
	both.checkStored(3)
	if n := both.counted("1.1", "accepted"); n != 4 { // the dry run as well
		t.Errorf("%v events of 1.1 are counted as accepted", n)
	}
	if n := one.counted("1.1", "accepted"); n != 0 {
		t.Errorf("%v events of 1.1 are counted where it is not served", n)
	}
	if n := hubtest.Number(t, both.db, "SELECT count(*) FROM hub.event"); n != both.woken.Load() {
		t.Errorf("the delivery was told of %d events of %d", both.woken.Load(), n)
	}
	// One event is the same in both versions: the version is no content (contract, "Duplicates").
	if a := both.send(declaring(opening, `versione="1.1"`)); a.Receipt == nil || a.Receipt.Esito != "DUPLICATO" {
		t.Errorf("the first event again, as one of 1.1: %s", a.Body)
	}
}

// checkStored wants as many stored events of version 1.1, which keep the leaf and can be read again.
func (w *whole) checkStored(want int) {
	w.t.Helper()
	rows, err := w.db.Query(w.t.Context(), "SELECT body FROM hub.event WHERE schema_version = '1.1'")
	must(w.t, err)
	bodies, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	must(w.t, err)
	if len(bodies) != want {
		w.t.Errorf("%d stored events of 1.1, want %d", len(bodies), want)
	}
	_, next, table := contractFiles(w.t)
	later, err := sinba.LoadVersion(next, table, sinba.DefaultReference())
	must(w.t, err)
	for _, stored := range bodies {
		body, err := s2.Decode(nil, stored)
		must(w.t, err)
		if _, err := later.RegionalFacts(body); err != nil || !strings.Contains(string(body), newLeaf) {
			w.t.Errorf("a stored event of 1.1 has lost its leaf: %v", err)
		}
	}
}

// counted is how many events of a version had an outcome.
func (w *whole) counted(version, class string) float64 {
	w.t.Helper()
	families, err := w.registry.Gather()
	must(w.t, err)
	sum := 0.0
	for _, family := range families {
		for _, m := range family.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if family.GetName() == "hub_events_total" && labels["schema_version"] == version && labels["outcome_class"] == class {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// sampleDocuments are the samples in their order.
func sampleDocuments(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(hubtest.Root(), "testdata", "events", "*", "*.xml"))
	if err != nil || len(files) < 40 {
		t.Fatalf("%d samples: %v", len(files), err)
	}
	slices.Sort(files)
	all := make([]string, len(files))
	for i, file := range files {
		text, err := os.ReadFile(file)
		must(t, err)
		all[i] = string(text)
	}
	return all
}

// apart makes another case of another child of an opening.
func apart(document, name string) string {
	document = regexp.MustCompile(`<Identificativo>(?s:.*?)</Identificativo>`).ReplaceAllString(document, "<Identificativo><NonIdentificato>ANONIMO</NonIdentificato></Identificativo>")
	document = regexp.MustCompile(`<IdAssistitoLocale>[^<]*<`).ReplaceAllString(document, "<IdAssistitoLocale>"+name+"<")
	return fresh(regexp.MustCompile(`<IdCartella>[^<]*<`).ReplaceAllString(document, "<IdCartella>"+name+"<"))
}

// lot makes one request of many.
func lot(version string, documents ...string) string {
	var b strings.Builder
	b.WriteString(`<InviaLottoRichiesta xmlns="urn:sinba:eventi:v1" ` + version + `><IdLotto>` + uuid.NewString() + `</IdLotto>`)
	for _, d := range documents {
		_, d, _ = strings.Cut(d, "<InviaEventoRichiesta")
		b.WriteString("<Evento" + strings.Replace(d, "</InviaEventoRichiesta>", "</Evento>", 1))
	}
	return b.String() + "</InviaLottoRichiesta>"
}
