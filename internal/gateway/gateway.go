// Package gateway answers a SOAP request of the public service SinbaEventi.
//
// Read exchange.go first: it is the way of a message, step by step. Everything around it is
// here once: ServeHTTP reads the request, writes the answer, and logs, counts and journals the
// outcome. The exchange itself only returns what to say or why not.
package gateway

import (
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/authn"
	"github.com/sinbahub/sinbahub/internal/contract"
	"github.com/sinbahub/sinbahub/internal/door"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
	"github.com/sinbahub/sinbahub/internal/sinba"
	"github.com/sinbahub/sinbahub/internal/validator"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// Config is what an operator decides about the door.
type Config struct {
	// Environment of this endpoint.
	Environment hub.Environment
	// PublicURL is the address in WSDL and links, without a path; empty: from each request.
	PublicURL string
	// Version of the hub, told by echo.
	Version string
	// Door limits the connections.
	Door door.Limits
	// Limits of what is let in over them.
	Limits Limits
}

// Parts are what the gateway works with.
type Parts struct {
	Contract  *contract.Catalogue
	Validator *validator.Pool
	Registry  *authn.Registry
	Keys      *pseudonym.Keys
	Vault     *pseudonym.Vault
	Sealer    *pseudonym.Sealer
	Store     *postgres.Store
	// Joinable tells whether a child may get another name, as far as any ente's cases say (Vault.Link).
	Joinable   pseudonym.AskJoinable
	Logger     *zap.Logger
	Registerer prometheus.Registerer
	// Now is the clock of receipts and rules.
	Now func() time.Time
	// Accepted is called once for each accepted event, to wake the delivery. It must not block;
	// nil for none.
	Accepted func()
	// Checkpoint is the last published checkpoint of the journal, the zero one if there is none; nil
	// for a hub without one.
	Checkpoint func() journal.Checkpoint
	// JournalKeys are the lines that publish the public keys of checkpoints.
	JournalKeys func() []string
}

// Reference is what the registry decides about events. It is replaced whole when the registry
// changes; an exchange sees one of them from begin to end.
type Reference struct {
	// Events reads, judges and maps events by the registry's closed lists.
	Events *sinba.Catalogue
	// Versions are those served beside contract.SchemaVersion, by their name; nil for none.
	Versions map[string]Version
	// Certified tells whether a participant may name an Applicativo in its messages (BR-24).
	Certified func(participant int32, fornitore, prodotto string) bool
	// Severities is what the operator decided about the rules; nil for the released table.
	Severities *sinba.Severities
}

// Gateway is the handler of the SOAP listener.
type Gateway struct {
	cfg Config
	Parts
	log        *zap.Logger
	limits     soap.Limits
	speaker    *hub.Speaker
	treatments map[hub.Kind]treatment
	metrics    *metrics
	// slots are the exchanges at once.
	slots       chan struct{}
	admission   *admission
	turns       *turns
	connections *door.Connections
	stopping    atomic.Bool
	leaving     atomic.Bool
	closure     atomic.Pointer[Closure]
	reference   atomic.Pointer[Reference]
	accepting   accepting
	strangers   *strangers
	rooms       sync.Pool // of exchanges; see scratch
	codesPages  map[string][]byte
	confirming  confirming
}

// New makes the handler.
func New(cfg Config, reference Reference, parts Parts) *Gateway {
	g := &Gateway{
		cfg: cfg, Parts: parts, log: parts.Logger.Named("gateway"),
		limits: soap.DefaultLimits(), speaker: hub.NewSpeaker(),
		treatments: treatments(), metrics: newMetrics(parts.Registerer),
		slots:       make(chan struct{}, cfg.Limits.Exchanges),
		admission:   newAdmission(cfg.Limits),
		turns:       newTurns(cfg.Limits.Exchanges, runtime.GOMAXPROCS(0)),
		connections: door.New(cfg.Door, parts.Now, parts.Registerer),
		strangers:   &strangers{counts: map[stranger]int32{}},
		accepting:   accepting{keys: map[postgres.Key]struct{}{}},
		rooms:       sync.Pool{New: func() any { return new(scratch) }},
		codesPages:  renderCodes(),
		confirming:  newConfirming(),
	}
	g.Refer(reference)
	g.Close(Closure{})
	return g
}

// Refer puts another reference in force for the exchanges that begin from now on.
func (g *Gateway) Refer(r Reference) { g.reference.Store(&r) }

// Soften puts another severity table in force with the reference as it is.
func (g *Gateway) Soften(severities *sinba.Severities) {
	r := *g.reference.Load()
	r.Severities = severities
	g.Refer(r)
}

// Relimit puts other limits in force for the requests that come from now on: all but Exchanges, by
// which the places at the validator are shared out.
func (g *Gateway) Relimit(limits Limits) { g.admission.relimit(limits) }

// Leave tells every client that the service will not be here for long, while it still takes messages:
// echo says so, and connections are not kept.
func (g *Gateway) Leave() { g.leaving.Store(true) }

// Stop makes every further request get 503; those in flight are finished by the server.
func (g *Gateway) Stop() { g.stopping.Store(true) }

// base is the service's own address as this client sees it, without a path.
func (g *Gateway) base(r *http.Request) string {
	if g.cfg.PublicURL != "" {
		return g.cfg.PublicURL
	}
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	return scheme + r.Host
}

// serve is the way of every exchange that may begin.
func (g *Gateway) serve(w http.ResponseWriter, r *http.Request) {
	x := g.begin(r)
	answer, err := g.run(r.Context(), x, w, r)
	g.finish(w, x, answer, err)
	if err == nil {
		g.giveBack(x)
	}
}

// finish is the outer function of every exchange: it alone writes, logs, counts and journals.
func (g *Gateway) finish(w http.ResponseWriter, x *exchange, answer []byte, err error) {
	status := http.StatusOK
	label := "accepted"
	if err != nil {
		refusal := asRefusal(err)
		treatment := g.treatments[refusal.Kind]
		status, label = treatment.status, treatment.label
		answer = g.faultMessage(x.version, x.base, x.id, g.Now(), refusal)
		g.setRefusalHeaders(w.Header(), x, refusal)
	} else {
		g.setEchoHeader(w.Header(), x)
	}
	g.metrics.count(x, label, g.treatments)
	if !x.quiet {
		for _, r := range x.refusals(err) {
			g.metrics.countViolations(r.refusal)
		}
	}
	g.logExchange(x, status, label, err)
	g.write(w, x, status, answer)
}

// accepting holds the keys whose acceptance is under way in this process: a second request
// with the same key is told to come back (contract, "the same key being accepted now").
type accepting struct {
	mu   sync.Mutex
	keys map[postgres.Key]struct{}
}

// begin claims the key; done gives it back. ok is false if another request has it.
func (a *accepting) begin(key postgres.Key) (done func(), ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, busy := a.keys[key]; busy {
		return nil, false
	}
	a.keys[key] = struct{}{}
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.keys, key)
	}, true
}
