package verify_test

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/verify"
)

// cpu is the processor time of this process so far.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkBundle verifies bundles whose entries are of the hub's usual length, each event accepted and
// delivered, with a checkpoint for every 256 entries; sealed bytes are as long as the name says, and of 0
// retention took them, two years later, as its entries say. Its figure is entries in a second of processor time. SINBAHUB_TEST_ENTRIES sets how many there are,
// SINBAHUB_TEST_KEEP a folder that keeps the bundles.
func BenchmarkBundle(b *testing.B) {
	entries := 60_000
	if n, err := strconv.Atoi(os.Getenv("SINBAHUB_TEST_ENTRIES")); err == nil {
		entries = n
	}
	for _, sealed := range []int{0, 1500} {
		b.Run("sealed="+strconv.Itoa(sealed), func(b *testing.B) {
			file := filepath.Join(b.TempDir(), "bundle.zip")
			if keep := os.Getenv("SINBAHUB_TEST_KEEP"); keep != "" {
				file = filepath.Join(keep, "bundle-"+strconv.Itoa(sealed)+".zip")
			}
			if err := os.WriteFile(file, usual(b, entries, sealed), 0o600); err != nil {
				b.Fatal(err)
			}
			f, err := os.Open(file)
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = f.Close() }()
			info, err := f.Stat()
			if err != nil {
				b.Fatal(err)
			}
			begin := cpu(b)
			b.ResetTimer()
			for b.Loop() {
				if r := verify.Bundle(f, info.Size(), verify.BundleOptions{}); r.Verdict != verify.Good || r.Bundle.Entries != int64(entries) {
					b.Fatal(show(r))
				}
			}
			b.ReportMetric(float64(entries)*float64(b.N)/(cpu(b)-begin).Seconds(), "entries/cpu-s")
			b.ReportMetric(float64(info.Size())/float64(entries), "B/entry")
		})
	}
}

// usual is the bundle of a journal as it grows on a usual day.
func usual(b *testing.B, entries, sealed int) []byte {
	b.Helper()
	h := newHub(b, 1)
	seal := make([]byte, sealed)
	events := entries / 2
	if sealed == 0 {
		events-- // the two entries of retention
	}
	for range events {
		a := h.accept(int32(1+h.random.IntN(40)), int32(1+h.random.IntN(200)))
		a.origin, a.schema = make([]byte, 92), "1.0.0-2026-03-01+hub1.4.2-abcdef0"
		d := h.attempt(a, "delivered")
		d.schema = a.schema
		a.sealed, d.sealed = append(h.blob(8), seal...), append(h.blob(8), seal...)
		a.unsealed, d.unsealed = sealed == 0, sealed == 0
	}
	if sealed == 0 {
		h.retire("messages", int64(events))
		h.retire("attempts", int64(events))
	}
	tree := grow(b, h.leaves())
	for size := int64(256); size < int64(entries); size += 256 {
		h.pointAt(b, tree, size)
	}
	h.pointAt(b, tree, int64(entries))
	return h.export(b, 0).pack(b)
}
