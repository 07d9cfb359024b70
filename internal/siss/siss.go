// Package siss plays the national endpoint SissRicezione for tests and demos.
//
// It implements the published contract (wsdl/SissRicezione.wsdl, xsd/siss-ricezione-v1.xsd)
// for real and shares nothing else with the hub: every request is validated against the
// schema, a transmission is taken once by its IdTrasmissione, what was taken stands in a file
// that is fsynced before the answer goes out and read again at start. Beside that it can be
// told to misbehave in the ways national endpoints do: slow, refusing, failing, cutting the
// line after it committed, dripping, answering garbage. A second, loopback listener takes
// these orders and shows counters.
package siss

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/sinbahub/sinbahub/pkg/batch"
	"github.com/sinbahub/sinbahub/pkg/xmlschema"
	"github.com/sinbahub/sinbahub/xsd"
)

// Path is where the service stands below the listener's root.
const Path = "/soap/siss/v1/SissRicezione"

// namespace is that of the contract, xsd/siss-ricezione-v1.xsd.
const namespace = "urn:sinba:siss:v1"

// stopTime is how long Run waits for requests in flight when it is told to stop.
const stopTime = 5 * time.Second

// Config says where the simulator listens and what it keeps. Received, Now and Logger are
// required, the rest may be zero.
type Config struct {
	// Listen is the service's address, host:port; empty means a free port on 127.0.0.1.
	Listen string
	// Control is the control listener's address, which must be loopback; empty means a free
	// port on 127.0.0.1.
	Control string
	// Received is the file of received transmissions, made if missing. Beside it stands a
	// second one with the ending .codici for what comunicaCodici brought.
	Received string
	// TLS makes the service listen with TLS; nil means plain HTTP.
	TLS *tls.Config
	// Faults is how it misbehaves from the start.
	Faults Faults
	// Now is the clock of ricevuto_at and of the day in riepilogo.
	Now func() time.Time
	// Logger hears of start and stop and of trouble with the file.
	Logger *zap.Logger
}

// Simulator is one running endpoint. Open it, then Run it once.
type Simulator struct {
	now    func() time.Time
	log    *zap.Logger
	schema *xmlschema.Schema
	// checks are the messages that wait for the schema.
	checks    *batch.Group[[]byte, xmlschema.Verdict]
	ledger    *ledger
	codes     *communications
	faults    *faultBox
	counters  *counters
	service   net.Listener
	control   net.Listener
	url       string
	documents map[string][]byte
	// bodies are the rooms of requests.
	bodies buffers
}

// Open compiles the schema, reads the file of received transmissions and starts to listen.
// Nothing is answered before Run.
func Open(ctx context.Context, cfg Config) (*Simulator, error) {
	if err := cfg.Faults.check(); err != nil {
		return nil, err
	}
	s := &Simulator{
		now: cfg.Now, log: cfg.Logger, faults: newFaultBox(cfg.Faults), counters: newCounters(),
	}
	var err error
	if s.documents, err = loadDocuments(); err != nil {
		return nil, err
	}
	s.schema, err = xmlschema.Compile(xsd.SissRicezione, map[string][]byte{
		xsd.SissRicezione:   s.documents[xsd.SissRicezione],
		xsd.EventoNazionale: s.documents[xsd.EventoNazionale],
	})
	if err != nil {
		return nil, fmt.Errorf("compile schema: %w", err)
	}
	s.checks = batch.New(mostInBatch, s.checkAll)
	if s.ledger, err = openLedger(cfg.Received, cfg.Now); err != nil {
		return nil, err
	}
	if s.codes, err = openCommunications(cfg.Received+".codici", cfg.Now); err != nil {
		return nil, errors.Join(err, s.ledger.close())
	}
	if err := s.listen(ctx, cfg); err != nil {
		return nil, errors.Join(err, s.ledger.close(), s.codes.close())
	}
	return s, nil
}

// checkAll checks what came together in one call of C.
func (s *Simulator) checkAll(_ context.Context, bodies [][]byte) []batch.Result[xmlschema.Verdict] {
	results := make([]batch.Result[xmlschema.Verdict], len(bodies))
	for i, c := range s.schema.CheckAll(bodies, xmlschema.Envelope) {
		results[i] = batch.Result[xmlschema.Verdict]{Value: c.Verdict, Err: c.Err}
	}
	return results
}

// listen opens both listeners, so that the addresses are known before Run.
func (s *Simulator) listen(ctx context.Context, cfg Config) error {
	control, err := listenLoopback(ctx, cfg.Control)
	if err != nil {
		return err
	}
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	service, err := new(net.ListenConfig).Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return errors.Join(fmt.Errorf("listen on %s: %w", cfg.Listen, err), control.Close())
	}
	scheme := "http://"
	s.url = service.Addr().String()
	if cfg.TLS != nil {
		scheme = "https://"
		service = tls.NewListener(service, cfg.TLS)
	}
	s.url = scheme + s.url + Path
	s.service, s.control = service, control
	return nil
}

// URL is the address of the service.
func (s *Simulator) URL() string { return s.url }

// ControlURL is the address that takes orders: GET and POST Faults as JSON.
func (s *Simulator) ControlURL() string { return "http://" + s.control.Addr().String() + "/control" }

// Current is the IDBeneficiario under which a child is known after all rotations of codes that
// comunicaCodici brought.
func (s *Simulator) Current(code string) string { return s.codes.current(code) }

// StatsURL is the address of the counters.
func (s *Simulator) StatsURL() string { return "http://" + s.control.Addr().String() + "/stats" }

// SetFaults changes how the simulator misbehaves, as a POST to ControlURL does.
func (s *Simulator) SetFaults(f Faults) error { return s.faults.set(f) }

// Stats gives the counters, as StatsURL does.
func (s *Simulator) Stats() map[string]int64 { return s.counters.snapshot() }

// Run serves until ctx ends, lets requests in flight finish for a few seconds, and closes the
// files. Its error is nil after a stop that ctx asked for.
func (s *Simulator) Run(ctx context.Context) error {
	writing, stopWriting := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWriting()
	var batches sync.WaitGroup
	batches.Go(func() { s.checks.Run(writing) })
	batches.Go(func() { s.ledger.run(writing) })
	s.log.Info("siss simulator started", zap.String("url", s.url), zap.String("control_url", s.ControlURL()))
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return serve(ctx, s.server(http.HandlerFunc(s.serveHTTP)), s.service) })
	group.Go(func() error { return serve(ctx, s.server(s.controlHandler()), s.control) })
	err := group.Wait()
	stopWriting()
	batches.Wait()
	s.log.Info("siss simulator stopped")
	return errors.Join(err, s.ledger.close(), s.codes.close(), s.schema.Close())
}

func (s *Simulator) server(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10, ErrorLog: zap.NewStdLog(s.log),
	}
}

// serve runs server until ctx ends and then stops it, requests in flight first.
func serve(ctx context.Context, server *http.Server, on net.Listener) error {
	stopped := make(chan error, 1)
	end := context.AfterFunc(ctx, func() {
		patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
		defer cancel()
		err := server.Shutdown(patience)
		if errors.Is(err, context.DeadlineExceeded) {
			err = server.Close()
		}
		stopped <- err
	})
	if err := server.Serve(on); !errors.Is(err, http.ErrServerClosed) {
		end()
		return fmt.Errorf("serve: %w", err)
	}
	return <-stopped
}
