package xmlschema_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/pkg/xmlschema"
)

// BenchmarkCheck is libxml2 alone: parse, validate and canonicalise in this process. cpu-us/op
// is the processor time, which unlike the time on the clock can be compared on a busy machine.
func BenchmarkCheck(b *testing.B) {
	s := eventSchema(b)
	doc := envelope(soap12, samples(b)["caricamento-iniziale.xml"])
	b.SetBytes(int64(len(doc)))
	before := cpuTime(b)
	for b.Loop() {
		if v, err := s.Check(doc, xmlschema.Envelope); err != nil || v.Status != xmlschema.Valid {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(b.N), "cpu-us/op")
}

// BenchmarkCheckParallel is the same from all processors.
func BenchmarkCheckParallel(b *testing.B) {
	s := eventSchema(b)
	doc := envelope(soap12, samples(b)["caricamento-iniziale.xml"])
	b.SetBytes(int64(len(doc)))
	before := cpuTime(b)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if v, err := s.Check(doc, xmlschema.Envelope); err != nil || v.Status != xmlschema.Valid {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(b.N), "cpu-us/op")
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
