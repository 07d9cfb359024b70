package delivery_test

import (
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/delivery"
	"github.com/sinbahub/sinbahub/internal/siss"
)

// BenchmarkDeliver carries a backlog to the simulator; hub, simulator, jail and PostgreSQL share
// the processors. cpu-us/op is this process: the delivery and the simulator.
func BenchmarkDeliver(b *testing.B) {
	w := newWorld(b)
	s, _ := nation(b, siss.Faults{})
	var accepts sync.WaitGroup
	each := make(chan struct{}, 64)
	for range b.N {
		each <- struct{}{}
		accepts.Go(func() {
			w.accept(b, newChild(), nil)
			<-each
		})
	}
	accepts.Wait()
	b.ResetTimer()
	before := cpu(b)
	k := w.carry(b, s.URL(), func(c *delivery.Config) {
		c.Workers, c.Gather, c.Poll = 16, 0, 0
	})
	k.final(b, b.N)
	b.StopTimer()
	b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(b.N), "cpu-us/op")
	k.stop()
}

// cpu is the processor time of this process.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
