package app

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"
)

// errOverdue says that a stop did not finish in time.
var errOverdue = errors.New("the stop took longer than limits.drain: what was in flight is abandoned")

// closePatience is how long an overdue stop waits for its connections to be closed.
const closePatience = time.Second

// bounded is what runs, and how long its stop may take.
type bounded struct {
	// run serves until its context ends or a part fails, and calls stopping as soon as either is so.
	run func(ctx context.Context, stopping context.CancelCauseFunc) error
	// drain is how long the stop may take at most.
	drain func() time.Duration
	// close undoes what was made before run.
	close func()
	log   *zap.Logger
}

// wait runs until order ends or a part fails, and then for the time of drain at most. What a stop could
// not finish by then (a database that hangs, say) is abandoned as if the process had been killed, which
// loses nothing: no receipt was given for it, and the leases of its deliveries run out.
func (b *bounded) wait(order context.Context) error {
	ctx, stopping := context.WithCancelCause(order)
	defer stopping(nil)
	done := make(chan error, 1)
	go func() { done <- b.run(ctx, stopping) }()
	select {
	case err := <-done:
		b.close()
		return err
	case <-ctx.Done():
	}
	overdue := time.NewTimer(b.drain())
	defer overdue.Stop()
	select {
	case err := <-done:
		b.close()
		return err
	case <-overdue.C:
	}
	b.log.Error("stop overdue: what was in flight is abandoned")
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		b.close()
	}()
	patience := time.NewTimer(closePatience)
	defer patience.Stop()
	select {
	case <-closed:
	case <-patience.C:
	}
	if cause := context.Cause(ctx); !errors.Is(cause, context.Cause(order)) {
		return errors.Join(cause, errOverdue)
	}
	return errOverdue
}

// drain ends the listeners within limits.drain of the order to stop. From the first moment /readyz
// and echo say that the service leaves, and no connection is kept. For limits.drain_delay messages are
// still taken, and carried to SISS, so that a balancer that has not noticed yet loses none; then nothing
// new is, what is in flight is finished, and refuse says that no more will come. The admin listener goes last: until then
// it tells that we leave.
func (s *server) drain(ctx context.Context, refuse context.CancelFunc, door, admin *http.Server) error {
	limits := s.config().Limits
	// The last tenth is for the stores, which write what the last exchanges and attempts came to.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limits.Drain/10*9)
	defer cancel()
	s.leaving.Store(true)
	s.gateway.Leave()
	delay := min(limits.DrainDelay, limits.Drain/2)
	s.log.Info("stopping", zap.Duration("drain_delay", delay), zap.Duration("drain", limits.Drain))
	pause := time.NewTimer(delay)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-ctx.Done():
	}
	s.gateway.Stop()
	err := shutDown(ctx, door)
	refuse()
	return errors.Join(err, shutDown(ctx, admin))
}

// serveUntilShutdown serves; a shutdown is no error.
func serveUntilShutdown(server *http.Server, on net.Listener) error {
	if err := server.Serve(on); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// shutDown lets requests in flight finish until ctx ends, then cuts what is left, which is no
// error: who sends so slowly gets no receipt and may repeat.
func shutDown(ctx context.Context, server *http.Server) error {
	err := server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return server.Close()
	}
	return err
}
