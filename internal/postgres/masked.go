package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/pkg/batch"
)

// ServerError is what is left of an error of PostgreSQL: its message and detail quote values
// ("Key (…)=(…) already exists"), its code and the constraint's name do not.
type ServerError struct {
	// State is the SQLSTATE, as in 23505.
	State string
	// Constraint is the violated constraint's name, or empty.
	Constraint string
}

// Error gives code and constraint.
func (e *ServerError) Error() string {
	if e.Constraint == "" {
		return "database: SQLSTATE " + e.State
	}
	return "database: SQLSTATE " + e.State + " (" + e.Constraint + ")"
}

// uniqueViolation is the SQLSTATE of a key that stands there already.
const uniqueViolation = "23505"

// isUniqueViolation tells whether the server refused a statement for that.
func isUniqueViolation(err error) bool {
	server, ok := errors.AsType[*pgconn.PgError](err)
	return ok && server.Code == uniqueViolation
}

// The errors of this package's own that masked lets through.
var (
	// errStored says that a stored value is not what this binary writes.
	errStored = errors.New("database: a stored value cannot be read")
	// errUnknown says that nobody can tell whether a transaction committed.
	errUnknown = errors.New("database: the outcome of COMMIT is unknown")
	// errStalled says that commits do not come back, so that none is begun for a delivery.
	errStalled = errors.New("database: commits do not come back")
)

// ErrConnection replaces errors below SQL, whose texts name hosts, users and databases at best.
var ErrConnection = errors.New("database: connection failed")

// masked replaces an error of the database by one without values.
func masked(err error) error {
	if err == nil {
		return nil
	}
	if server, ok := errors.AsType[*pgconn.PgError](err); ok {
		return &ServerError{State: server.Code, Constraint: server.ConstraintName}
	}
	switch {
	case errors.Is(err, errWarned), errors.Is(err, errRolledBack), errors.Is(err, errUnknown),
		errors.Is(err, errStored), errors.Is(err, errCaseGone), errors.Is(err, errNotInRegistry),
		errors.Is(err, errStalled):
		return err
	}
	// These come wrapped in the driver's, whose text has addresses.
	for _, refused := range []error{ErrBehind, ErrForeign, ErrReadOnly} {
		if errors.Is(err, refused) {
			return refused
		}
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: %w", ErrConnection, context.DeadlineExceeded)
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%w: %w", ErrConnection, context.Canceled)
	}
	if network, ok := errors.AsType[net.Error](err); ok && network.Timeout() {
		return fmt.Errorf("%w: timeout", ErrConnection)
	}
	return ErrConnection
}

// unavailable is what a caller gets: nothing is known to be stored, try again.
func unavailable(err error) *hub.Error {
	if errors.Is(err, batch.ErrClosed) {
		return hub.NewError(hub.Unavailable, hub.CodeStopping, batch.ErrClosed)
	}
	return hub.NewError(hub.Unavailable, hub.CodeUnavailable, masked(err))
}

// orNop stands in for a logger that was not given.
func orNop(log *zap.Logger) *zap.Logger {
	if log == nil {
		return zap.NewNop()
	}
	return log
}

// zapMasked is the field of an error of the database, without values.
func zapMasked(err error) zap.Field { return zap.Error(masked(err)) }
