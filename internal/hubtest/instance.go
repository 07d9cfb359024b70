package hubtest

import (
	"errors"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/sinbahub/sinbahub/internal/contract"
)

// Instance is a serve of its own over a hub's database, started by the test and not by the demo, so
// that the test chooses its configuration and may kill or freeze it beside others.
type Instance struct {
	// SoapURL and AdminURL stay the same over restarts.
	SoapURL, AdminURL string

	name   string
	hub    *Hub
	config string
	cmd    *exec.Cmd
	ended  chan struct{}
}

// Serve writes the configuration of an instance: the demo's, with addresses of its own and what change
// makes of it. Start runs it.
func (h *Hub) Serve(name string, change func(settings map[string]any)) *Instance {
	h.tb.Helper()
	text, err := os.ReadFile(filepath.Join(h.Var, "demo.yaml"))
	if err != nil {
		h.tb.Fatal(err)
	}
	settings := map[string]any{}
	if err := yaml.Unmarshal(text, &settings); err != nil {
		h.tb.Fatal(err)
	}
	soap, admin := freeAddress(h.tb), freeAddress(h.tb)
	settings["listen"], settings["admin_listen"] = soap, admin
	if change != nil {
		change(settings)
	}
	if text, err = yaml.Marshal(settings); err != nil {
		h.tb.Fatal(err)
	}
	i := &Instance{
		SoapURL: "http://" + soap + contract.Path, AdminURL: "http://" + admin, name: name, hub: h,
		config: filepath.Join(h.Var, name+".yaml"),
	}
	if err := os.WriteFile(i.config, text, 0o600); err != nil {
		h.tb.Fatal(err)
	}
	h.tb.Cleanup(i.end)
	return i
}

// Settings changes the siss part of a configuration.
func Settings(settings map[string]any, part string, values map[string]any) {
	of, ok := settings[part].(map[string]any)
	if !ok {
		of = map[string]any{}
	}
	maps.Copy(of, values)
	settings[part] = of
}

// Start runs the process and does not wait for it.
func (i *Instance) Start() {
	i.hub.tb.Helper()
	out, err := os.OpenFile(filepath.Join(i.hub.Var, "log", i.name+".log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		i.hub.tb.Fatal(err)
	}
	defer out.Close()                                                 //nolint:errcheck // the child has its own
	i.cmd = exec.Command(i.hub.binary, "--config", i.config, "serve") //nolint:gosec,noctx // our own binary, ended by end
	i.cmd.Stdout, i.cmd.Stderr = out, out
	i.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.Getenv("TMPDIR")}
	i.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := i.cmd.Start(); err != nil {
		i.hub.tb.Fatal(err)
	}
	cmd, ended := i.cmd, make(chan struct{})
	i.ended = ended
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
}

// Ready tells whether it says that it is.
func (i *Instance) Ready() bool {
	response, err := (&http.Client{Timeout: 3 * time.Second}).Get(i.AdminURL + "/readyz") //nolint:noctx // a loopback listener, bounded
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// AwaitReady returns when it is.
func (i *Instance) AwaitReady() {
	i.hub.tb.Helper()
	Await(i.hub.tb, 2*time.Minute, i.name+" is ready", func() bool {
		select {
		case <-i.ended:
			i.hub.tb.Fatalf("%s ended: %s", i.name, i.config)
		default:
		}
		return i.Ready()
	})
}

// Ended is closed when the process is no more.
func (i *Instance) Ended() <-chan struct{} { return i.ended }

// Pid is the process.
func (i *Instance) Pid() int { return i.cmd.Process.Pid }

// Kill ends it as a power cut would and returns when it is gone.
func (i *Instance) Kill() {
	i.Signal(syscall.SIGKILL)
	<-i.ended
}

// Signal sends it a signal: SIGSTOP freezes it, SIGCONT wakes it.
func (i *Instance) Signal(which syscall.Signal) {
	i.hub.tb.Helper()
	if err := i.cmd.Process.Signal(which); err != nil && !errors.Is(err, os.ErrProcessDone) {
		i.hub.tb.Fatalf("%v to %s: %v", which, i.name, err)
	}
}

// end stops it with the test.
func (i *Instance) end() {
	if i.cmd == nil {
		return
	}
	_ = i.cmd.Process.Kill()
	<-i.ended
}

// taken are the ports given to instances of this process, so that two of them never get the same one.
var taken sync.Map //nolint:gochecknoglobals // ports belong to the machine

// freeAddress is one on loopback that nobody listens on, of ports that a Linux system gives to no
// outgoing connection (app.freeAddress says why).
func freeAddress(tb testing.TB) string {
	tb.Helper()
	for range 100 {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(16384+rand.IntN(16384))) //nolint:gosec // no secret
		if _, twice := taken.LoadOrStore(address, true); twice {
			continue
		}
		listener, err := net.Listen("tcp", address) //nolint:noctx // closed at once
		if err != nil {
			continue
		}
		_ = listener.Close()
		return address
	}
	tb.Fatal("no free port")
	return ""
}
