package validator_test

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/validator"
)

// BenchmarkValidate sends the largest sample from 64 callers. Besides the time it reports the
// processor time a document costs, of this process and of the workers: on a shared machine
// only that can be compared.
func BenchmarkValidate(b *testing.B) {
	p := newPool(b, nil)
	doc := envelope(soap12, samples(b)["caricamento-iniziale.xml"])
	b.SetBytes(int64(len(doc)))
	b.SetParallelism(32)
	ours, theirs := ownTime(b), p.workersTime(b)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if r, err := p.Validate(b.Context(), validator.SinbaEventi, validator.Envelope, doc); err != nil || r.Payload == nil {
				b.Error(err)
			}
		}
	})
	b.StopTimer()
	b.ReportMetric(float64((ownTime(b)-ours).Microseconds())/float64(b.N), "hub-us/op")
	b.ReportMetric(float64((p.workersTime(b)-theirs).Microseconds())/float64(b.N), "jail-us/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "docs/s")
}

// BenchmarkStart is what it costs to have a worker ready.
func BenchmarkStart(b *testing.B) {
	files := map[validator.Schema]validator.SchemaFiles{validator.SinbaEventi: eventFiles(b)}
	for b.Loop() {
		p, err := validator.New(validator.Config{Workers: 1, Schemas: files})
		if err != nil {
			b.Fatal(err)
		}
		if err := p.Start(b.Context()); err != nil {
			b.Fatal(err)
		}
		_ = p.Close()
	}
}

func ownTime(b *testing.B) time.Duration {
	b.Helper()
	return usage(b, syscall.RUSAGE_SELF)
}

func usage(b *testing.B, who int) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// workersTime is that of workers that have ended and of those that live, whose clock ticks a
// hundred times a second.
func (p *pool) workersTime(b *testing.B) time.Duration {
	b.Helper()
	total := usage(b, syscall.RUSAGE_CHILDREN)
	for _, pid := range p.pids(b) {
		// Fields 14 and 15 of stat, counted after the name in parentheses.
		stat := string(read(b, fmt.Sprintf("/proc/%d/stat", pid)))
		fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
		for _, f := range fields[11:13] {
			ticks, err := strconv.Atoi(f)
			if err != nil {
				b.Fatal(err)
			}
			total += time.Duration(ticks) * 10 * time.Millisecond
		}
	}
	return total
}
