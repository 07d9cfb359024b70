package postgres

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// How often Keep looks, and the longest it waits between two tries to start a server that does not
// come up, as while its disk is full.
const (
	keepEvery = 500 * time.Millisecond
	keepMost  = 5 * time.Second
)

// Keep starts the server again whenever it has ended, until ctx ends. A server that lost only its
// children, as after a crash of one of them, starts them again itself and is left alone; one that
// could not even replay its log, because its disk was full, ends and is nobody's child.
func (c *Cluster) Keep(ctx context.Context, cfg ClusterConfig) {
	wait := keepEvery
	for pause(ctx, wait) == nil {
		if runningPID(c.place.data) != 0 {
			wait = keepEvery
			continue
		}
		c.log.Warn("database server has ended and is started again", zap.Int("pid", c.PID()))
		fresh, err := StartCluster(ctx, cfg)
		if err != nil {
			c.log.Error("database server not started", zap.Error(err))
			wait = min(2*wait, keepMost)
			continue
		}
		c.pid.Store(fresh.pid.Load())
	}
}
