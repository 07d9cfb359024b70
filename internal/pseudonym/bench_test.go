package pseudonym_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
)

// benchMessage is the largest sample event in an envelope.
func benchMessage(b *testing.B) []byte {
	b.Helper()
	names, err := filepath.Glob("../../testdata/events/*/*caricamento-iniziale*.xml")
	if err != nil || len(names) == 0 {
		b.Skip("no sample events")
	}
	text, err := os.ReadFile(names[0])
	if err != nil {
		b.Fatal(err)
	}
	return bytes.Join([][]byte{
		[]byte(`<soap:Envelope xmlns:soap="http://www.w3.org/2003/05/soap-envelope"><soap:Body>`), text,
		[]byte(`</soap:Body></soap:Envelope>`),
	}, nil)
}

// measureCPU reports the processor time of this process for each operation: on a shared machine
// the wall clock says little.
func measureCPU(b *testing.B) (report func()) {
	b.Helper()
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := used()
	b.ReportAllocs()
	return func() { b.ReportMetric(float64((used()-before).Nanoseconds())/float64(b.N), "cpu-ns/op") }
}

func BenchmarkSeal(b *testing.B) {
	keys := newKeys(b, hub.Prod)
	record := func(context.Context, pseudonym.SealedEpochKey) error { return nil }
	subject, l, message := pseudonym.NewSubject(), label(), benchMessage(b)
	for _, c := range []struct {
		name string
		text []byte
	}{{"message", message}, {"identity", []byte("CF\x1fBNCLCU12C15D612V")}} {
		b.Run(c.name, func(b *testing.B) {
			sealer := pseudonym.NewSealer(keys, record, time.Now)
			var size int
			report := measureCPU(b)
			for b.Loop() {
				sealed, err := sealer.Seal(b.Context(), subject, l, c.text)
				if err != nil {
					b.Fatal(err)
				}
				size = len(sealed.Bytes)
			}
			report()
			b.ReportMetric(float64(len(c.text)), "B/plain")
			b.ReportMetric(float64(size), "B/sealed")
		})
	}
}

func BenchmarkCodes(b *testing.B) {
	keys, subject, caseID := newKeys(b, hub.Prod), uuid.New(), uuid.New()
	identity := pseudonym.NewIdentity("CF", hub.NewIdentifier("BNCLCU12C15D612V"))
	content := benchMessage(b)
	b.Run("Code", func(b *testing.B) {
		defer measureCPU(b)()
		for b.Loop() {
			if _, err := keys.Code(pseudonym.Nation, 1, subject); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Rekey", func(b *testing.B) {
		codes, err := keys.Codes(pseudonym.Nation, 1, subject, caseID)
		if err != nil {
			b.Fatal(err)
		}
		defer measureCPU(b)()
		for b.Loop() {
			_ = codes.Rekey("IdProgetto", "P-2024-001")
		}
	})
	b.Run("LinkIndex", func(b *testing.B) {
		defer measureCPU(b)()
		for b.Loop() {
			_ = keys.LinkIndex(identity)
		}
	})
	b.Run("ContentMAC", func(b *testing.B) {
		defer measureCPU(b)()
		for b.Loop() {
			_ = keys.ContentMAC(content)
		}
	})
}

// BenchmarkVault64 has 64 clients on one vault.
func BenchmarkVault64(b *testing.B) {
	d, keys := newDatabase(b), newKeys(b, hub.Prod)
	v := d.vault(b, keys)
	known := make([]pseudonym.LinkIndex, 1000)
	for i := range known {
		known[i] = anyone(keys)
		if err := v.Confirm(b.Context(), mustReserve(b, v, known[i], pseudonym.NewSubject())); err != nil {
			b.Fatal(err)
		}
	}
	run := func(name string, one func(i int) error) {
		b.Run(name, func(b *testing.B) {
			b.SetParallelism(32) // of two processors: 64 goroutines
			var n atomic.Int64
			defer measureCPU(b)()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := one(int(n.Add(1))); err != nil {
						b.Error(err)
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
		})
	}
	run("Reserve/known", func(i int) error {
		_, err := v.Reserve(b.Context(), known[i%len(known)], pseudonym.NewSubject(), make([]byte, 90))
		return err
	})
	run("Reserve/new", func(int) error {
		_, err := v.Reserve(b.Context(), anyone(keys), pseudonym.NewSubject(), make([]byte, 90))
		return err
	})
	run("ReserveConfirm", func(int) error {
		s, err := v.Reserve(b.Context(), anyone(keys), pseudonym.NewSubject(), make([]byte, 90))
		if err == nil {
			err = v.Confirm(b.Context(), s)
		}
		return err
	})
}
