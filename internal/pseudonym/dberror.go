package pseudonym

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/pkg/batch"
)

// unavailable replaces an error of the database by one that quotes nothing: PostgreSQL's texts
// hold values, and those of connections hold names. What is left is the SQLSTATE, or which of
// a few causes it was.
func unavailable(err error) *hub.Error {
	if own := (*hub.Error)(nil); errors.As(err, &own) {
		return own
	}
	if errors.Is(err, batch.ErrClosed) {
		return hub.NewError(hub.Unavailable, hub.CodeStopping, batch.ErrClosed)
	}
	return hub.NewError(hub.Unavailable, hub.CodeUnavailable, cause(err))
}

// cause is the part of a database error that may be told.
func cause(err error) error {
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &pg):
		return errors.New("vault: SQLSTATE " + pg.Code)
	case errors.Is(err, context.DeadlineExceeded):
		return context.DeadlineExceeded
	case errors.Is(err, context.Canceled):
		return context.Canceled
	}
	return errors.New("vault: no connection to the database")
}

// repeatable tells whether a transaction lost a race that the next try wins.
func repeatable(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "40001" || pg.Code == "40P01")
}
