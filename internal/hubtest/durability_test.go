//go:build smoke

package hubtest_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// durable is how many receipts are looked at; SINBAHUB_TEST_DURABLE changes it.
const durable = 20

// walSync is a line of strace -f -ttt -T -y: a system call on a file of the write-ahead log that returned
// without error, or the end of one that another process's line interrupted.
var walSync = regexp.MustCompile(`^(\d+) +(\d+\.\d+) (?:fdatasync|fsync)\(\d+<[^>]*/pg_wal/[^>]*>\) += 0 <(\d+\.\d+)>`)

// unfinished and resumed are the two halves of an interrupted line.
var (
	unfinished = regexp.MustCompile(`^(\d+) +(\d+\.\d+) (?:fdatasync|fsync)\(\d+<[^>]*/pg_wal/[^>]*> <unfinished`)
	resumed    = regexp.MustCompile(`^(\d+) +(\d+\.\d+) <\.\.\. (?:fdatasync|fsync) resumed>\) += 0 <`)
)

// TestSmokeReceiptsAreSynced traces the system calls of PostgreSQL while a lone writer sends, and wants
// a sync of the write-ahead log that began after the request went out and ended before its receipt
// came: a kill shows nothing of this, because the system keeps what was written.
func TestSmokeReceiptsAreSynced(t *testing.T) {
	t.Parallel()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatal("strace is missing: apt-get install strace")
	}
	wanted := scale(t, "DURABLE", durable)
	h := hubtest.Start(t)
	// Nothing is delivered, so that no settlement syncs the log in the writer's stead.
	h.Kill()
	serve := h.Serve("campaign", func(settings map[string]any) { hubtest.Settings(settings, "siss", map[string]any{"url": ""}) })
	serve.Start()
	serve.AwaitReady()
	s := h.Sender(hubtest.ChildEnte)
	s.URL = serve.SoapURL
	// The first makes connections, so that every backend is there to be traced, and the child known to
	// the vault, so that no commit of the vault's syncs the log in the acceptance's stead.
	mustReceipt(t, s, 1)
	stop, trace := traceSyncs(t, strace, h)
	var intervals [][2]float64
	for i := range wanted {
		from := now()
		mustReceipt(t, s, 2+i)
		intervals = append(intervals, [2]float64{from, now()})
	}
	// A question changes nothing, so nothing need be synced: the trace is not one of noise.
	quiet := 0
	var questions [][2]float64
	for range wanted {
		from := now()
		mustVerify(t, s, 2+wanted)
		questions = append(questions, [2]float64{from, now()})
	}
	stop()
	syncs := readSyncs(t, trace)
	covered := 0
	for _, within := range intervals {
		if slices.ContainsFunc(syncs, func(one [2]float64) bool { return one[0] >= within[0] && one[1] <= within[1] }) {
			covered++
		}
	}
	for _, within := range questions {
		if !slices.ContainsFunc(syncs, func(one [2]float64) bool { return one[1] >= within[0] && one[0] <= within[1] }) {
			quiet++
		}
	}
	if covered != wanted {
		t.Errorf("%d of %d receipts came after a sync of the write-ahead log; %d syncs in all", covered, wanted, len(syncs))
	}
	if quiet == 0 {
		t.Error("the log was synced during every question too: the trace shows nothing")
	}
	tab := newTable("durability: a sync of the write-ahead log between a request and its receipt (strace)")
	tab.row("receipts of a lone writer", "", "%d", wanted)
	tab.row("of them with a whole fdatasync or fsync of a file in pg_wal between request and receipt", "all", "%d", covered)
	tab.row("questions (verificaEvento) during which nothing was synced", "most", "%d of %d", quiet, wanted)
	tab.print(t)
}

// now is the time as strace -ttt tells it.
func now() float64 { return float64(time.Now().UnixMicro()) / 1e6 }

// tracedChild is the child whose case is sent.
const tracedChild = hubtest.Child(1)

// mustReceipt sends the next event of the case.
func mustReceipt(t *testing.T, s hubtest.Sender, sequence int) {
	t.Helper()
	a, err := s.Send(t.Context(), soap.V11, tracedChild.Event(uuid.New(), sequence))
	if err != nil || a.Receipt == nil {
		t.Fatalf("no receipt: %v %+v", err, a)
	}
}

// mustVerify asks what would become of one.
func mustVerify(t *testing.T, s hubtest.Sender, sequence int) {
	t.Helper()
	text := strings.NewReplacer("InviaEventoRichiesta", "VerificaEventoRichiesta").Replace(string(tracedChild.Event(uuid.New(), sequence)))
	a, err := s.Send(t.Context(), soap.V11, []byte(text))
	if err != nil || a.Report == nil || !a.Report.Conforme {
		t.Fatalf("no report: %v %+v", err, a)
	}
}

// traceSyncs traces the postmaster and all its processes, and those they start, until stop.
func traceSyncs(t *testing.T, strace string, h *hubtest.Hub) (stop func(), path string) {
	t.Helper()
	path = filepath.Join(h.Var, "strace.txt")
	args := []string{"-f", "-ttt", "-T", "-y", "-s", "0", "-e", "trace=fdatasync,fsync", "-o", path}
	for _, pid := range h.DatabaseProcesses() {
		args = append(args, "-p", strconv.Itoa(pid))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, strace, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// It says of each process that it is attached; all of them must be before the first request.
	attached := bufio.NewScanner(said)
	for left := len(h.DatabaseProcesses()); left > 0 && attached.Scan(); {
		if strings.Contains(attached.Text(), "attached") {
			left--
		} else {
			t.Logf("strace: %s", attached.Text())
		}
	}
	go func() {
		for attached.Scan() { // It must not block on a full pipe.
		}
	}()
	return func() {
		cancel()
		_ = cmd.Wait() // interrupted, as asked
	}, path
}

// readSyncs gives begin and end of every sync of the write-ahead log.
func readSyncs(t *testing.T, path string) [][2]float64 {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // only read
	seconds := func(text string) float64 {
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	began := map[string]float64{}
	var all [][2]float64
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if m := walSync.FindStringSubmatch(lines.Text()); m != nil {
			all = append(all, [2]float64{seconds(m[2]), seconds(m[2]) + seconds(m[3])})
		} else if m := unfinished.FindStringSubmatch(lines.Text()); m != nil {
			began[m[1]] = seconds(m[2])
		} else if m := resumed.FindStringSubmatch(lines.Text()); m != nil && began[m[1]] != 0 {
			all = append(all, [2]float64{began[m[1]], seconds(m[2])})
			delete(began, m[1])
		}
	}
	return all
}
