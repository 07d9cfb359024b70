package app_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/app"
)

// A stop that hangs ends when its time is over, whether an order or the failure of a part began it; the
// failure is told.
func TestStopIsBoundedWhateverBeganIt(t *testing.T) {
	t.Parallel()
	failed, signalled := errors.New("listener failed"), errors.New("signal received")
	for name, test := range map[string]struct {
		cause error
		want  []error
	}{
		"order":   {nil, []error{app.ErrOverdue}},
		"failure": {failed, []error{app.ErrOverdue, failed}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, order := context.WithCancelCause(t.Context())
			defer order(nil)
			hangs, closed := make(chan struct{}), make(chan struct{})
			defer close(hangs)
			ended := make(chan error, 1)
			go func() {
				ended <- app.RunBounded(ctx, func(_ context.Context, stopping context.CancelCauseFunc) error {
					if test.cause != nil {
						stopping(test.cause)
					} else {
						order(signalled)
					}
					<-hangs
					return nil
				}, time.Millisecond, func() { close(closed) })
			}()
			select {
			case err := <-ended:
				if errors.Is(err, signalled) {
					t.Errorf("ended with %v: an order is no fault", err)
				}
				for _, want := range test.want {
					if !errors.Is(err, want) {
						t.Errorf("ended with %v, want %v", err, want)
					}
				}
			case <-time.After(30 * time.Second):
				t.Fatal("the stop is not bounded")
			}
			<-closed
		})
	}
}

// A part that fails and a stop that comes to its end tell the part's fault alone.
func TestStopInTimeTellsTheFault(t *testing.T) {
	t.Parallel()
	failed := errors.New("listener failed")
	err := app.RunBounded(t.Context(), func(_ context.Context, stopping context.CancelCauseFunc) error {
		stopping(failed)
		return failed
	}, time.Minute, func() {})
	if !errors.Is(err, failed) || errors.Is(err, app.ErrOverdue) {
		t.Errorf("ended with %v", err)
	}
}
