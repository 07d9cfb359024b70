//go:build bench

package app_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
)

// TestBenchExport exports a journal of BENCH_ENTRIES=1,000,000 entries, half of them acceptances with a
// sealed message and half attempts with sealed outbound bytes, by a process of its own, and prints what
// that used: below 60 s in less than 200 MB is what was promised.
func TestBenchExport(t *testing.T) {
	t.Parallel()
	entries, err := strconv.Atoi(os.Getenv("BENCH_ENTRIES"))
	if err != nil {
		entries = 1000 * 1000
	}
	l := newLedger(t)
	l.padding = 1500
	var to time.Time
	for l.written < entries {
		to = l.traffic(t, min(25_000, (entries-l.written+1)/2), hub.Delivered, hub.Uncertain)
		clear(l.entries) // they would fill this process
	}
	l.exec(t, "ANALYZE")
	settings := filepath.Join(t.TempDir(), "sinbahub.yaml")
	if err := os.WriteFile(settings, []byte("keys:\n  dir: "+l.cfg.Keys.Dir+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, more := range [][]string{nil, {"--ente", "ENTE-1"}} {
		bundle := filepath.Join(t.TempDir(), "bundle.zip")
		arguments := []string{
			"audit", "export", "--config", settings, "--from", l.began.Format(time.RFC3339), "--to", to.Format(time.RFC3339Nano),
			"--reason", "misura", "-o", bundle,
		}
		cmd := exec.CommandContext(t.Context(), filepath.Join(hubtest.Binaries(t), "sinbahub"), append(arguments, more...)...)
		cmd.Env = append(os.Environ(), "SINBAHUB_DATABASE_URL="+l.cfg.Database.URL.Reveal(),
			"SINBAHUB_DATABASE_VAULT_URL="+l.cfg.Database.VaultURL.Reveal(), "SINBAHUB_ENVIRONMENT=PROD", "SINBAHUB_VAR="+t.TempDir())
		began := time.Now()
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended, peak := make(chan error, 1), int64(0)
		go func() { ended <- cmd.Wait() }()
		look, server := time.NewTicker(10*time.Millisecond), backends{db: l.admin, began: began, used: map[int]time.Duration{}}
		for running := true; running; {
			select {
			case err := <-ended:
				if err != nil {
					t.Fatal(err)
				}
				running = false
			case <-look.C:
				peak = max(peak, peakOf(cmd.Process.Pid))
				server.look(t)
			}
		}
		look.Stop()
		took := time.Since(began)
		info, err := os.Stat(bundle)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("export of %d entries %v: %.1f s, processor time %.1f s and %.1f s of the database, peak memory %d MB, bundle of %d MB",
			l.written, more, took.Seconds(), (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(), server.sum().Seconds(),
			peak>>10, info.Size()>>20)
	}
}

// peakOf is the most memory that a process had so far, in kB. What wait(2) tells includes this process's
// own, from before the other began.
func peakOf(pid int) int64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	words := strings.Fields(rest)
	if len(words) == 0 {
		return 0
	}
	n, _ := strconv.ParseInt(words[0], 10, 64)
	return n
}

// backends is what the server's processes used that came to the database since a moment.
type backends struct {
	db    *pgx.Conn
	began time.Time
	used  map[int]time.Duration
	next  time.Time
}

// look notes what they used so far, a few times a second.
func (b *backends) look(t *testing.T) {
	t.Helper()
	if time.Now().After(b.next) {
		b.next = time.Now().Add(time.Second)
		rows, err := b.db.Query(t.Context(), `SELECT pid FROM pg_stat_activity
			WHERE datname = current_database() AND backend_type = 'client backend' AND backend_start > $1`, b.began)
		if err != nil {
			t.Fatal(err)
		}
		pids, err := pgx.CollectRows(rows, pgx.RowTo[int])
		if err != nil {
			t.Fatal(err)
		}
		for _, pid := range pids {
			b.used[pid] += 0
		}
	}
	for pid, before := range b.used {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if len(fields) < 13 {
			continue
		}
		user, _ := strconv.Atoi(fields[11])
		system, _ := strconv.Atoi(fields[12])
		b.used[pid] = max(before, time.Duration(user+system)*10*time.Millisecond)
	}
}

func (b *backends) sum() (all time.Duration) {
	for _, used := range b.used {
		all += used
	}
	return all
}
