//go:build smoke

package hubtest_test

import (
	"bytes"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/hubtest"
)

// The figures of the test, and what the hub's defaults promise.
const (
	// mostConnections is limits.connections, otherFiles what serve opens besides.
	mostConnections = 2_048
	otherFiles      = 256
	// mostResident is what serve may hold of memory then, in bytes.
	mostResident = 400 << 20
)

// TestSmokeSlowConnections keeps thousands of useless connections to the door, each opened again
// five seconds after the hub ended it, while a participant sends 20 messages a second: over kept
// connections from an address of theirs, then with a new one for each message from its own. None of
// its messages fails, and the hub's descriptors and memory are bounded. SINBAHUB_TEST_SLOW_SECONDS
// is how long they stay (25).
func TestSmokeSlowConnections(t *testing.T) { //nolint:paralleltest // it measures
	h := hubtest.Start(t)
	length := 25 * time.Second
	if n, err := strconv.Atoi(os.Getenv("SINBAHUB_TEST_SLOW_SECONDS")); err == nil {
		length = time.Duration(n) * time.Second
	}
	kept := &honestSender{t: t, sender: h.Sender(honestEnte)}
	fresh := &honestSender{t: t, sender: h.Sender(honestEnte), sent: 100_000}
	own := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, 1)}}
	fresh.sender.Client = &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true, DialContext: own.DialContext}}
	kept.round(2 * time.Second)
	alone := [][]time.Duration{kept.round(length / 4), fresh.round(length / 4)}
	before := h.Resident()

	disperse := startCrowd(t, h)
	pause(t.Context(), again)
	files := watchFiles(h)
	beside := [][]time.Duration{kept.round(length / 2), fresh.round(length / 2)}
	states := statesOf(h.Samples())
	crowd := disperse()
	mostFiles, resident := files(), peakResident(t, h)

	for i, how := range []string{"kept connections", "new connections"} {
		t.Logf("%s, alone: %s", how, percentiles(alone[i]))
		t.Logf("%s, beside them: %s; p99 %.1f times its own alone", how, percentiles(beside[i]),
			float64(percentile(beside[i], 99))/float64(percentile(alone[i], 99)))
	}
	t.Logf("serve: at most %d descriptors, resident before %d MiB, at most %d", mostFiles, before.Serve>>20, resident>>20)
	t.Logf("connections at the end: %s", states)
	for _, end := range slices.Sorted(maps.Keys(crowd.Ends)) {
		t.Logf("%s, %d times, after at most %v", end, crowd.Ends[end], crowd.Longest[end].Round(time.Millisecond))
	}
	for wrong := range crowd.Wrong {
		t.Error(wrong)
	}
	samples := h.Samples()
	for _, name := range slices.Sorted(maps.Keys(samples)) {
		if strings.HasPrefix(name, "hub_connections_") {
			t.Logf("%s %.0f", name, samples[name])
		}
	}
	if mostFiles > mostConnections+otherFiles {
		t.Errorf("%d descriptors were open", mostFiles)
	}
	if resident > mostResident {
		t.Errorf("%d MiB were resident", resident>>20)
	}
	for _, reason := range []string{"slow_head", "slow_body", "slow_answer", "displaced"} {
		if samples[`hub_connections_cut_total{reason="`+reason+`"}`] == 0 {
			t.Errorf("no connection was cut for %s", reason)
		}
	}
	hubtest.Await(t, patience, "the connections are gone", func() bool {
		total := 0.0
		for name, n := range h.Samples() {
			if strings.HasPrefix(name, "hub_connections{") {
				total += n
			}
		}
		return total < 100
	})
}

// watchFiles counts serve's open files until stop, which gives the most.
func watchFiles(h *hubtest.Hub) (stop func() int) {
	done, most := make(chan struct{}), make(chan int)
	go func() {
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		n := 0
		for {
			select {
			case <-done:
				most <- n
				return
			case <-ticker.C:
				if dir, err := os.Open(fmt.Sprintf("/proc/%d/fd", h.Run.Pids.Serve)); err == nil {
					names, _ := dir.Readdirnames(-1)
					_ = dir.Close()
					n = max(n, len(names))
				}
			}
		}
	}()
	return func() int {
		close(done)
		return <-most
	}
}

// peakResident is the most memory serve ever held, in bytes.
func peakResident(t *testing.T, h *hubtest.Hub) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", h.Run.Pids.Serve))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var kilobytes int64
	if _, err := fmt.Sscan(rest, &kilobytes); err != nil {
		t.Fatal(err)
	}
	return kilobytes << 10
}

// statesOf writes the connections by state.
func statesOf(samples map[string]float64) string {
	var text bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(samples)) {
		if state, ok := strings.CutPrefix(name, `hub_connections{state="`); ok {
			fmt.Fprintf(&text, "%s %.0f, ", strings.TrimSuffix(state, `"}`), samples[name])
		}
	}
	return strings.TrimSuffix(text.String(), ", ")
}
