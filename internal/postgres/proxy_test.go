package postgres_test

import (
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sinbahub/sinbahub/internal/hubtest"
)

// cutter stands between a store and the server. It passes everything on, but swallows the
// answer to a transaction and cuts the line: it is committed and nobody was told.
type cutter struct {
	// cuts is how many answers to COMMIT are still to be swallowed, cutSelects those to a SELECT
	// that changed something: both are swallowed up to and with ReadyForQuery, when it is durable.
	cuts, cutSelects atomic.Int64
	// swallowed counts those that were.
	swallowed atomic.Int64
	dsn       string
}

// newCutter gives a proxy for the app's role.
func newCutter(tb testing.TB, db hubtest.DB) *cutter {
	tb.Helper()
	address, err := url.Parse(db.App)
	if err != nil {
		tb.Fatal(err)
	}
	query := address.Query()
	server := filepath.Join(query.Get("host"), ".s.PGSQL.5432")
	dir, err := os.MkdirTemp("", "cut") //nolint:usetesting // a socket's path must be short
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	query.Set("host", dir)
	address.RawQuery = query.Encode()
	c := &cutter{dsn: address.String()}
	listener, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL.5432"))
	if err != nil {
		tb.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { c.serve(client, server) })
		}
	})
	tb.Cleanup(func() {
		_ = listener.Close()
		serving.Wait()
	})
	return c
}

func (c *cutter) serve(client net.Conn, server string) {
	defer func() { _ = client.Close() }()
	backend, err := net.Dial("unix", server)
	if err != nil {
		return
	}
	defer func() { _ = backend.Close() }()
	go func() {
		_, _ = io.Copy(backend, client)
		_ = backend.(*net.UnixConn).CloseWrite()
	}()
	cutting := false
	for {
		// Every message of the server is a type byte and a length that counts itself.
		head := make([]byte, 5)
		if _, err := io.ReadFull(backend, head); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(head[1:])-4)
		if _, err := io.ReadFull(backend, body); err != nil {
			return
		}
		tag := strings.TrimRight(string(body), "\x00")
		switch {
		case cutting && head[0] == 'Z':
			c.swallowed.Add(1)
			return
		case cutting:
			continue
		case head[0] != 'C':
		case tag == "COMMIT":
			cutting = c.cuts.Add(-1) >= 0
		case strings.HasPrefix(tag, "SELECT"):
			cutting = c.cutSelects.Add(-1) >= 0
		}
		if cutting {
			continue
		}
		if _, err := client.Write(slices.Concat(head, body)); err != nil {
			return
		}
	}
}
