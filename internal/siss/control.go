package siss

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"sync"
)

var errNotLoopback = errors.New("control listener must be on a loopback address")

// listenLoopback opens the control listener: who reaches it can make the endpoint lie, so it
// is not for other machines.
func listenLoopback(ctx context.Context, address string) (net.Listener, error) {
	if address == "" {
		address = "127.0.0.1:0"
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	if tcp, ok := l.Addr().(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
		return nil, errors.Join(errNotLoopback, l.Close())
	}
	return l, nil
}

// controlHandler answers GET and POST /control with the faults in force (a POST replaces all
// of them: what it leaves out is 0), POST /lies, and GET /stats with the counters.
func (s *Simulator) controlHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /control", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.faults.get()) })
	mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.counters.snapshot()) })
	mux.HandleFunc("POST /lies", s.takeLies)
	mux.HandleFunc("POST /control", func(w http.ResponseWriter, r *http.Request) {
		var f Faults
		d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10))
		d.DisallowUnknownFields()
		err := d.Decode(&f)
		if err == nil {
			err = s.faults.set(f)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		writeJSON(w, s.faults.get())
	})
	return mux
}

func writeJSON[T Faults | map[string]int64](w http.ResponseWriter, v T) {
	b, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "not encoded", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(b, '\n'))
}

// counters counts what was asked and answered. The keys are "operation/esito" for answers of
// the contract, "fault/name" for scripted faults and "error/code" for SOAP Faults.
type counters struct {
	mu    sync.Mutex
	count map[string]int64
}

func newCounters() *counters { return &counters{count: make(map[string]int64)} }

func (c *counters) add(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count[key]++
}

func (c *counters) snapshot() map[string]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.count)
}
