package postgres

import (
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// diskFull is the SQLSTATE of a server that has no room to store something.
const diskFull = "53100"

// Fullness knows whether the server said that its disk is full and nothing new was stored since: the
// disk of a server on another machine tells nobody here how full it is. It is safe for concurrent use.
type Fullness struct {
	// said counts how often the server said so, over how often it had when something was stored since.
	said, over atomic.Int64
}

// Watch makes every connection of a pool tell what its server says.
func (f *Fullness) Watch(cfg *pgx.ConnConfig) {
	before := cfg.OnPgError
	cfg.OnPgError = func(conn *pgconn.PgConn, err *pgconn.PgError) bool {
		if err.Code == diskFull {
			f.said.Add(1)
		}
		return before == nil || before(conn, err)
	}
}

// Full tells whether the disk is full as far as anybody knows. Store.CanCommit finds out anew.
func (f *Fullness) Full() bool { return f.said.Load() != f.over.Load() }

// begin is for end: what the server says while something is stored is not over with it.
func (f *Fullness) begin() int64 {
	if f == nil {
		return 0
	}
	return f.said.Load()
}

// end notes that something new was stored.
func (f *Fullness) end(begun int64) {
	if f != nil {
		f.over.Store(begun)
	}
}
