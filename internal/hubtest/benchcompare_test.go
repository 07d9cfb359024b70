//go:build bench

package hubtest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestBenchCompare measures two folders of binaries, BENCH_BASE and BENCH_NEW, in turns: each round
// starts a fresh hub of either, in changing order, and what is compared are the two of a round,
// because the machine's speed changes from minute to minute. Run it by `make bench-compare`.
func TestBenchCompare(t *testing.T) { //nolint:paralleltest // it measures the machine
	folders := []string{os.Getenv("BENCH_BASE"), os.Getenv("BENCH_NEW")}
	if folders[0] == "" || folders[1] == "" {
		t.Skip("BENCH_BASE and BENCH_NEW name no folders of binaries")
	}
	rounds, err := strconv.Atoi(os.Getenv("BENCH_ROUNDS"))
	if err != nil {
		rounds = 5
	}
	var sides [2]series
	for round := range rounds {
		order := []int{round % 2, 1 - round%2}
		for _, side := range order {
			t.Run(fmt.Sprintf("round %d %s", round+1, filepath.Base(folders[side])), func(t *testing.T) {
				b := startBench(t, folders[side])
				b.load(seconds("BENCH_WARMUP", 4))
				f := b.load(seconds("BENCH_SECONDS", 12))
				sides[side].add(f, validateAlone(t, b.event(1, 1)))
			})
		}
	}
	if t.Failed() {
		return
	}
	fmt.Printf("\n%d rounds, median (least to most)\n%-36s %-28s %-28s %s\n", rounds, "", "base", "new", "new/base in the same round")
	for _, name := range sides[0].names { //nolint:paralleltest // no test: it prints
		base, now := sides[0].values[name], sides[1].values[name]
		fmt.Printf("%-36s %-28s %-28s %s\n", name, spread(base, "%.0f"), spread(now, "%.0f"), spread(ratios(now, base), "%.3f"))
	}
}

// TestBenchProfile keeps the CPU profile of serve under the load, in the file BENCH_PROFILE. The
// binaries of BENCH_NEW must be built with -tags profile. Run it by `make bench-profile`.
func TestBenchProfile(t *testing.T) {
	path, folder := os.Getenv("BENCH_PROFILE"), os.Getenv("BENCH_NEW")
	if path == "" || folder == "" {
		t.Skip("BENCH_PROFILE names no file or BENCH_NEW no folder of binaries")
	}
	raw := filepath.Join(t.TempDir(), "profile")
	t.Setenv("SINBAHUB_TEST_PROFILE", raw)
	var serve int
	// The profile is written when serve stops, which it does before this.
	t.Cleanup(func() {
		if err := os.Rename(raw+"."+strconv.Itoa(serve), path); err != nil {
			t.Errorf("no profile: are the binaries built with -tags profile? %v", err)
		}
	})
	b := startBench(t, folder)
	serve = b.hub.Run.Pids.Serve
	b.load(seconds("BENCH_WARMUP", 4))
	b.load(seconds("BENCH_SECONDS", 15)).print()
}

// series are the values of each figure, one a round, in the order of their names.
type series struct {
	names  []string
	values map[string][]float64
}

func (s *series) put(name string, value float64) {
	if !slices.Contains(s.names, name) {
		s.names = append(s.names, name)
	}
	if s.values == nil {
		s.values = map[string][]float64{}
	}
	s.values[name] = append(s.values[name], value)
}

func (s *series) add(f figures, alone float64) {
	s.put("accepted events/s", f.rate())
	s.put("p50 us", float64(quantile(f.latencies, .5).Microseconds()))
	s.put("p99 us", float64(quantile(f.latencies, .99).Microseconds()))
	s.put("backlog ms of the accept rate", 1000*float64(f.backlog)/f.rate())
	total := 0.0
	for _, name := range benchProcesses() {
		s.put("cpu us/event "+name, f.cpu(name))
		total += f.cpu(name)
	}
	s.put("cpu us/event all", total)
	// Jail and simulator do the same work on both sides, at the speed the cores had in that minute: held
	// against them, a change of the others is seen beside foreign load that doubles every other figure.
	s.put("cpu of serve and postgres, per 1000", 1000*(f.cpu("serve")+f.cpu("postgres"))/(f.cpu("jail")+f.cpu("siss-sim")))
	s.put("of jail and siss-sim: serve alone", 1000*f.cpu("serve")/(f.cpu("jail")+f.cpu("siss-sim")))
	s.put("resident MB serve", float64(f.after["serve"].rss>>20))
	s.put("libxml2 alone us/document", alone)
}

func ratios(a, b []float64) []float64 {
	var all []float64
	for i := range a {
		all = append(all, a[i]/max(b[i], 1e-9))
	}
	return all
}

// spread is the median with the least and the most.
func spread(values []float64, format string) string {
	if len(values) == 0 {
		return "-"
	}
	sorted := slices.Sorted(slices.Values(values))
	median := (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
	return fmt.Sprintf(strings.ReplaceAll("@ (@ to @)", "@", format), median, sorted[0], sorted[len(sorted)-1])
}
