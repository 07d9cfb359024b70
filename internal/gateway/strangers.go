package gateway

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
)

// strangers counts refusals before a participant is known. They are journalled as one entry for
// each class of source and code, with a count, so that nobody can fill the journal from outside.
type strangers struct {
	mu     sync.Mutex
	counts map[stranger]int32
}

// stranger is what is told apart: the classes of source are loopback, private, public.
type stranger struct {
	source string
	code   hub.Code
}

// count remembers one refusal.
func (s *strangers) count(remote string, refusal *hub.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[stranger{sourceClass(remote), refusal.Public[0].Code}]++
}

// take gives what was counted since the last time.
func (s *strangers) take() map[stranger]int32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.counts
	s.counts = map[stranger]int32{}
	return taken
}

// sourceClass says from where an address is, not which one it is.
func sourceClass(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return other
	}
	switch ip := net.ParseIP(host); {
	case ip == nil:
		return other
	case ip.IsLoopback():
		return "loopback"
	case ip.IsPrivate():
		return "private"
	}
	return "public"
}

// JournalStrangers writes what was refused to unknown senders since the last call. Call it once
// a minute and before the stop; what cannot be written is counted again.
func (g *Gateway) JournalStrangers(ctx context.Context) {
	for who, n := range g.strangers.take() {
		err := g.Store.Journal(ctx, journal.Entry{
			ID: uuid.Must(uuid.NewV7()), At: g.Now().UTC().Truncate(time.Microsecond), Kind: journal.RequestRefused,
			Environment: g.cfg.Environment, Outcome: "source:" + who.source, Codes: []hub.Code{who.code}, Count: n,
		})
		if err != nil {
			g.log.Warn("refusals of strangers not journalled yet", zap.Int32("refusals", n))
			g.strangers.mu.Lock()
			g.strangers.counts[who] += n
			g.strangers.mu.Unlock()
		}
	}
}
