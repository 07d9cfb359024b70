//go:build bench

package hubtest_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/hubtest"
)

// TestBenchReplay prints how fast `sinbahub replay verify` is over what the load of `make bench` left. Run it by
// `make bench-replay`. The machine may be busy, so processor time counts: of the process and its workers, of the
// opener and of the database.
func TestBenchReplay(t *testing.T) { //nolint:paralleltest // it measures the machine
	b := startBench(t, hubtest.Binaries(t))
	began := time.Now().Add(-time.Minute).UTC().Format(time.RFC3339)
	b.load(seconds("BENCH_SECONDS", 20))
	hubtest.AwaitDelivered(t, b.db, patienceOfBench)
	accepted := b.count("SELECT count(*) FROM hub.event")
	people := b.hub.People(t)
	for round := range 3 {
		cmd := exec.CommandContext(t.Context(), filepath.Join(hubtest.Binaries(t), "sinbahub"), "replay", "verify", "--from", began, "--ticket", people.ReplayTicket())
		cmd.Env = b.hub.Environ()
		since, opener, database := time.Now(), timeOf(openersOf(b.hub)), databaseTime(b.hub)
		out, err := cmd.CombinedOutput()
		took := time.Since(since)
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		process := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime() // the workers it waited for included
		server, opening := databaseTime(b.hub)-database, timeOf(openersOf(b.hub))-opener
		fmt.Printf("round %d: %d messages, each with its attempts, in %.1fs: %.0f messages/s; processor time %.2fs of replay, %.2fs of the opener, %.2fs of the database: %.0f messages/s on two cores of their own\n",
			round+1, accepted, took.Seconds(), float64(accepted)/took.Seconds(), process.Seconds(), opening.Seconds(), server.Seconds(),
			2*float64(accepted)/(process+opening+server).Seconds())
	}
}

// openersOf is the opener of a hub.
func openersOf(h *hubtest.Hub) []int {
	if h.Run.Pids.Opener == nil {
		return nil
	}
	return []int{*h.Run.Pids.Opener}
}

// patienceOfBench is how long the deliveries may take.
const patienceOfBench = 5 * time.Minute

// statOf are the fields of a process behind its name.
func statOf(pid int) []string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(text), ") ")
	return strings.Fields(rest)
}

// timeOf is what processes used so far.
func timeOf(pids []int) (total time.Duration) {
	for _, pid := range pids {
		if fields := statOf(pid); len(fields) > 12 {
			user, _ := strconv.Atoi(fields[11])
			system, _ := strconv.Atoi(fields[12])
			total += time.Duration(user+system) * 10 * time.Millisecond
		}
	}
	return total
}

// databaseTime is that of the database's processes, and of those that ended.
func databaseTime(h *hubtest.Hub) time.Duration {
	total := timeOf(h.DatabaseProcesses())
	if fields := statOf(h.Run.Pids.Postgres); len(fields) > 14 {
		user, _ := strconv.Atoi(fields[13])
		system, _ := strconv.Atoi(fields[14])
		total += time.Duration(user+system) * 10 * time.Millisecond
	}
	return total
}
