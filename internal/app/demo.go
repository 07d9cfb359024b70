package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"go.uber.org/zap"
	"go.yaml.in/yaml/v3"

	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/contract"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// demoSeal is how often the demo's journal is sealed at least: a developer who sent one event sees its
// proof soon.
const demoSeal = 5 * time.Second

// The demo's files below the project's folder and the var folder.
const (
	demoParticipants = "deploy/demo/participants.yaml"
	demoSamples      = "testdata/events"
	demoBadSamples   = "testdata/bad"
	startPatience    = 60 * time.Second
)

// demo is hub, simulator and database on this machine, as PROD, with HTTP Basic over loopback.
type demo struct {
	cfg     config.Config
	varDir  string
	out     io.Writer
	cluster *postgres.Cluster
	run     RunFile
}

// DemoUp starts what is not running, waits until the hub is ready, and writes var/run.json.
func DemoUp(ctx context.Context, cfg config.Config, out io.Writer) error {
	return locked(cfg, out, func(d *demo) error { return d.up(ctx) })
}

// DemoDown stops everything, the hub first so that it can finish what is in flight.
func DemoDown(ctx context.Context, cfg config.Config, out io.Writer) error {
	return locked(cfg, out, func(d *demo) error { return d.down(ctx) })
}

// locked does something to the demo of a var folder while nobody else does.
func locked(cfg config.Config, out io.Writer, do func(*demo) error) error {
	d, err := newDemo(cfg, out)
	if err != nil {
		return err
	}
	unlock, err := d.lock()
	if err != nil {
		return err
	}
	defer unlock()
	// Read again: who had the lock before may have written it.
	if d.run, _, err = ReadRunFile(d.varDir); err != nil {
		return err
	}
	return do(d)
}

// DemoRun starts everything, sends the samples through the SOAP door, shows what became of
// them, and stays until ctx ends.
func DemoRun(ctx context.Context, cfg config.Config, out io.Writer) error {
	if err := DemoUp(ctx, cfg, out); err != nil {
		return errors.Join(err, DemoDown(context.WithoutCancel(ctx), cfg, out))
	}
	d, err := newDemo(cfg, out)
	if err != nil {
		return err
	}
	err = d.show(ctx)
	if err == nil {
		d.say("\nRunning. Ctrl-C stops everything.")
		<-ctx.Done()
	}
	return errors.Join(err, DemoDown(context.WithoutCancel(ctx), cfg, out))
}

func newDemo(cfg config.Config, out io.Writer) (*demo, error) {
	varDir, err := filepath.Abs(cfg.Var)
	if err != nil {
		return nil, fmt.Errorf("var folder: %w", err)
	}
	for _, dir := range []string{varDir, filepath.Join(varDir, "log"), filepath.Join(varDir, "siss")} {
		if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // the embedded server's user must pass; what is secret in it is 0600
			return nil, fmt.Errorf("var folder: %w", err)
		}
	}
	d := &demo{cfg: cfg, varDir: varDir, out: out}
	d.run, _, err = ReadRunFile(varDir)
	return d, err
}

func (d *demo) path(name ...string) string {
	return filepath.Join(append([]string{d.varDir}, name...)...)
}

func (d *demo) say(format string, args ...any) { _, _ = fmt.Fprintf(d.out, format+"\n", args...) }

// lock lets one demo command work at a time in a var folder.
func (d *demo) lock() (unlock func(), err error) {
	file, err := os.OpenFile(d.path("demo.lock"), os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock var folder: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock var folder: %w", err), file.Close())
	}
	return func() { _ = file.Close() }, nil
}

// up brings every part up in the order of their needs.
func (d *demo) up(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for _, step := range []func(context.Context) error{d.upDatabase, d.upRegistry, d.upSiss, d.upServe, d.upOpener} {
		// What was started before a later part failed must be known, so that `down` stops it.
		if err := errors.Join(step(ctx), d.run.write(d.varDir)); err != nil {
			return err
		}
	}
	d.say("SOAP      %s", d.run.SoapURL)
	d.say("WSDL      %s", d.run.WSDLURL)
	d.say("codes     %s", baseOf(d.run.SoapURL)+"/docs/codici")
	d.say("metrics   %s/metrics", d.run.AdminURL)
	d.say("SISS      %s", d.run.SissURL)
	d.say("opener    %s", d.run.OpenerSocket)
	d.say("logs      %s", d.path("log"))
	d.say("run file  %s", runFilePath(d.varDir))
	return nil
}

// upDatabase starts or attaches to the embedded cluster and makes keys where there are none.
func (d *demo) upDatabase(ctx context.Context) error {
	cluster, err := startCluster(ctx, d.varDir, zap.NewNop())
	if err != nil {
		return err
	}
	d.cluster = cluster
	d.run.DatabaseURL, d.run.Pids.Postgres = cluster.SuperuserDSN(), cluster.PID()
	cfg := d.cfg
	cfg.Environment = "PROD"
	cfg.Keys.Dir = d.path("keys")
	if _, err := os.Stat(cfg.Keys.Dir); errors.Is(err, fs.ErrNotExist) {
		return InitKeys(cfg)
	}
	return nil
}

// upRegistry writes the demo's participants; their passwords stay once made.
func (d *demo) upRegistry(ctx context.Context) error {
	file, err := readParticipants(demoParticipants)
	if err != nil {
		return err
	}
	store, err := postgres.Open(ctx, postgres.Config{DSN: d.cluster.AppDSN(), Connections: 2})
	if err != nil {
		return fmt.Errorf("open store: %w", err)
	}
	defer store.Close()
	passwords := d.path("participants")
	if err := writeRegistry(ctx, store, demoEnvironment, file, passwords); err != nil {
		return err
	}
	d.run.Participants = nil
	for _, p := range file.Partecipanti {
		d.run.Participants = append(d.run.Participants, RunParticipant{
			Name: p.Nome, Ente: p.Enti[0], APIUser: p.Utente, APIPasswordFile: filepath.Join(passwords, p.Nome+".password"),
		})
	}
	d.run.ConsoleUsers = []struct{}{}
	return nil
}

// upSiss starts the simulator if it does not run.
func (d *demo) upSiss(ctx context.Context) error {
	received := d.path("siss", "received.jsonl")
	d.run.SissReceivedFile = received
	pid := find(d.run.Pids.SissSim, received)
	if pid != 0 && pid == d.run.Pids.SissSim {
		return nil
	}
	if pid != 0 {
		// It runs but nobody knows where it listens: run.json was lost.
		if err := stopProcess(ctx, pid, startPatience); err != nil {
			return err
		}
	}
	listen, err := freeAddress(ctx, d.run.SissURL)
	if err != nil {
		return err
	}
	control, err := freeAddress(ctx, d.run.SissControlURL)
	if err != nil {
		return err
	}
	binary, err := sibling("siss-sim")
	if err != nil {
		return err
	}
	d.run.SissURL, d.run.SissControlURL = "http://"+listen+sissPath, "http://"+control+"/control"
	d.run.Pids.SissSim, err = startDetached(binary, d.path("log", "siss-sim.log"), simulatorMemory(),
		"--listen", listen, "--control", control, "--received", received)
	if err != nil {
		return err
	}
	return d.await(ctx, d.run.SissURL+"?wsdl", d.run.Pids.SissSim, "siss-sim")
}

// simulatorMemory is the environment that keeps the simulator's memory cheap, because it shares the
// machine with the hub that is measured against it: freed pieces of parsed documents at hand, as
// the jail's workers have them, fewer collections of a small heap, and one processor, so that no
// second one spins for work.
func simulatorMemory() []string {
	return []string{"GLIBC_TUNABLES=glibc.malloc.tcache_count=8192:glibc.malloc.mxfast=160", "GOGC=800", "GOMAXPROCS=1"}
}

// upServe starts the hub if it does not run, with the addresses it had before where they are
// still free, so that clients find it again.
func (d *demo) upServe(ctx context.Context) error {
	configFile := d.path("demo.yaml")
	pid := find(d.run.Pids.Serve, configFile)
	if pid != 0 && pid == d.run.Pids.Serve {
		if err := d.await(ctx, d.run.AdminURL+"/readyz", pid, "serve"); err == nil || running(pid) {
			return err
		}
		pid = 0 // it was about to end
	}
	if pid != 0 {
		if err := stopProcess(ctx, pid, startPatience); err != nil {
			return err
		}
	}
	soapAddress, err := d.address(ctx, d.cfg.Listen, d.run.SoapURL)
	if err != nil {
		return err
	}
	adminAddress, err := d.address(ctx, d.cfg.AdminListen, d.run.AdminURL)
	if err != nil {
		return err
	}
	admission := d.cfg.Admission
	admission.DiskPath = cmp.Or(admission.DiskPath, d.cluster.DataDir())
	journal := d.cfg.Journal
	journal.Every = min(journal.Every, demoSeal)
	text, err := yaml.Marshal(map[string]any{
		"environment": "PROD", "var": d.varDir, "listen": soapAddress, "admin_listen": adminAddress, "basic_auth": true,
		"public_url": d.cfg.PublicURL,
		"database":   map[string]any{"url": d.cluster.AppDSN(), "vault_url": d.cluster.VaultDSN(), "max_conns": d.cfg.Database.MaxConns},
		"keys":       map[string]any{"dir": d.path("keys")},
		"siss":       map[string]any{"url": d.run.SissURL, "workers": d.cfg.SISS.Workers, "rate": d.cfg.SISS.Rate},
		"jail":       map[string]any{"workers": d.cfg.Jail.Workers, "deadline": d.cfg.Jail.Deadline.String(), "mode": d.cfg.Jail.Mode},
		"limits":     d.cfg.Limits,
		"admission":  admission,
		"rules":      d.cfg.Rules,
		"journal":    journal,
		"log":        map[string]any{"level": d.cfg.Log.Level},
	})
	if err != nil {
		return fmt.Errorf("write demo configuration: %w", err)
	}
	if err := writeOwnerFile(configFile, text); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find own binary: %w", err)
	}
	d.run.Pids.Serve, err = startDetached(self, d.path("log", "serve.log"), nil, "--config", configFile, "serve")
	if err != nil {
		return err
	}
	d.run.SoapURL = "http://" + soapAddress + contract.Path
	d.run.WSDLURL = d.run.SoapURL + "?wsdl"
	d.run.AdminURL = "http://" + adminAddress
	return d.await(ctx, d.run.AdminURL+"/readyz", d.run.Pids.Serve, "serve")
}

// address is the configured one if its port is fixed, else the one used before or a free one.
func (d *demo) address(ctx context.Context, configured, before string) (string, error) {
	if _, port, err := net.SplitHostPort(configured); err == nil && port != "0" {
		return configured, nil
	}
	return freeAddress(ctx, before)
}

// await waits until a URL answers 200, and fails at once if the process is gone.
func (d *demo) await(ctx context.Context, url string, pid int, name string) error {
	client := &http.Client{Timeout: 3 * time.Second}
	timer := time.NewTicker(50 * time.Millisecond)
	defer timer.Stop()
	for {
		if answers(ctx, client, url) {
			return nil
		}
		if !running(pid) {
			return fmt.Errorf("%s did not start: see %s", name, d.path("log", name+".log"))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is running but not ready: %s says what is missing; see %s", name, url, d.path("log", name+".log"))
		case <-timer.C:
		}
	}
}

func answers(ctx context.Context, client *http.Client, url string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return false
	}
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// down stops serve, simulator and database in this order.
func (d *demo) down(ctx context.Context) error {
	var faults []error
	stopped := false
	for _, part := range []struct {
		name, marker string
		pid          int
	}{
		{"serve", d.path("demo.yaml"), d.run.Pids.Serve},
		{"opener", d.openerConfig(), d.openerPid(ctx)},
		{"siss-sim", d.path("siss", "received.jsonl"), d.run.Pids.SissSim},
	} {
		if pid := find(part.pid, part.marker); pid != 0 {
			stopped = true
			faults = append(faults, stopProcess(ctx, pid, d.cfg.Limits.Drain+10*time.Second))
			d.say("stopped %s", part.name)
		}
	}
	if _, err := os.Stat(d.path("postgres")); err == nil {
		// Attaching finds the server wherever it is; one that does not run is started for a moment.
		cluster, err := postgres.StartCluster(ctx, postgres.ClusterConfig{Dir: d.path("postgres")})
		if err == nil {
			if cluster.Attached() {
				stopped = true
				d.say("stopped postgres")
			}
			err = cluster.Stop(ctx)
		}
		faults = append(faults, err)
	}
	if !stopped {
		d.say("nothing was running")
	}
	d.run.Pids.Serve, d.run.Pids.Opener, d.run.Pids.SissSim, d.run.Pids.Postgres = 0, nil, 0, 0
	faults = append(faults, d.run.write(d.varDir))
	return errors.Join(faults...)
}
