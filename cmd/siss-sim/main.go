// Command siss-sim plays the national endpoint SissRicezione for tests and demos.
//
// It prints one line of JSON with its addresses when it is ready and runs until SIGINT or
// SIGTERM, which let requests in flight finish. Its misbehaviour is set by flags at start and
// by POST to the control address at any time.
package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/sinbahub/sinbahub/internal/siss"
	"github.com/sinbahub/sinbahub/pkg/sched"
)

// flags of the command line. The faults are those of siss.Faults.
type flags struct {
	Listen   string `default:"127.0.0.1:0"              help:"Address of the service, host:port; port 0 is a free one."`
	Control  string `default:"127.0.0.1:0"              help:"Loopback address that takes orders and shows counters."`
	Received string `default:"var/siss-received.jsonl" help:"File of received transmissions (JSON lines)."`
	TLSCert  string `help:"Certificate chain, PEM; makes the service speak TLS."                                        name:"tls-cert"`
	TLSKey   string `help:"Key of the certificate, PEM."                                                                name:"tls-key"`

	SlowMS           int     `help:"Wait so many milliseconds before looking at a request."  name:"slow-ms"`
	SlowRatio        float64 `help:"How often to be slow, 0 to 1; 0 with --slow-ms: always."`
	RefuseRatio      float64 `help:"How often to answer RIFIUTATO."`
	FailRatio        float64 `help:"How often to answer a Fault."`
	UnavailableRatio float64 `help:"How often to answer 503 without SOAP."`
	CutRatio         float64 `help:"How often to take the event and reset the line."`
	DropRatio        float64 `help:"How often to reset the line before taking the event."`
	DripRatio        float64 `help:"How often to answer byte by byte."`
	GarbageRatio     float64 `help:"How often to take the event and answer garbage."`
	HTMLRatio        float64 `help:"How often to answer with a proxy's page."                name:"html-ratio"`
	WrongIDRatio     float64 `help:"How often to answer with another IdTrasmissione."        name:"wrong-id-ratio"`
	HalfCloseRatio   float64 `help:"How often to end its side of the line without the answer."`
}

func (f *flags) faults() siss.Faults {
	return siss.Faults{
		SlowMS: f.SlowMS, SlowRatio: f.SlowRatio, RefuseRatio: f.RefuseRatio, FailRatio: f.FailRatio,
		UnavailableRatio: f.UnavailableRatio, CutRatio: f.CutRatio, DropRatio: f.DropRatio, DripRatio: f.DripRatio,
		GarbageRatio: f.GarbageRatio, HTMLRatio: f.HTMLRatio, WrongIDRatio: f.WrongIDRatio,
		HalfCloseRatio: f.HalfCloseRatio,
	}
}

// addresses is the line on stdout.
type addresses struct {
	URL      string `json:"siss_url"`
	Control  string `json:"control_url"`
	Stats    string `json:"stats_url"`
	Received string `json:"siss_received_file"`
}

func main() {
	var f flags
	kong.Parse(&f, kong.Name("siss-sim"), kong.Description("A simulator of the national SISS endpoint."))
	if err := run(&f); err != nil {
		fmt.Fprintln(os.Stderr, "siss-sim:", err)
		os.Exit(1)
	}
}

func run(f *flags) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	logging := zap.NewProductionConfig()
	logging.EncoderConfig.TimeKey = "time"
	logging.EncoderConfig.EncodeTime = func(at time.Time, to zapcore.PrimitiveArrayEncoder) {
		to.AppendString(at.UTC().Format(time.RFC3339Nano))
	}
	log, err := logging.Build()
	if err != nil {
		return fmt.Errorf("start log: %w", err)
	}
	// It shares the machine with the hub that is measured against it, and takes turns as the hub does.
	if err := sched.Batch(os.Getpid(), sched.Slice); err != nil {
		log.Warn("the usual scheduling policy stays", zap.Error(err))
	}
	cfg := siss.Config{
		Listen: f.Listen, Control: f.Control, Received: f.Received, Faults: f.faults(), Now: time.Now, Logger: log,
	}
	if f.TLSCert != "" || f.TLSKey != "" {
		certificate, err := tls.LoadX509KeyPair(f.TLSCert, f.TLSKey)
		if err != nil {
			return fmt.Errorf("load certificate: %w", err)
		}
		cfg.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	}
	s, err := siss.Open(ctx, cfg)
	if err != nil {
		return err
	}
	line, err := json.Marshal(addresses{s.URL(), s.ControlURL(), s.StatsURL(), f.Received})
	if err != nil {
		return fmt.Errorf("encode addresses: %w", err)
	}
	fmt.Println(string(line))
	return s.Run(ctx)
}
