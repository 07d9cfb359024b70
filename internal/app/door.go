package app

import (
	"net/http"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/door"
	"github.com/sinbahub/sinbahub/internal/gateway"
)

// otherDescriptors are left to all but the SOAP listener's connections: the stores' and the
// delivery's connections, the validator's workers, the admin listener, files.
const otherDescriptors = 512

// doorLimits are the configured limits in the door's words, with no more connections than the
// system has descriptors for.
func (s *server) doorLimits() door.Limits {
	l := s.cfg.Limits
	connections := l.Connections
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err == nil {
		if room := int(min(files.Cur, 1<<20)); connections > room-otherDescriptors {
			connections = max(room-otherDescriptors, room/2)
			s.log.Warn("fewer connections than configured: the process may open too few files",
				zap.Int("connections", connections), zap.Int("files", room))
		}
	}
	return door.Limits{
		Connections: connections, ConnectionsPerAddress: l.ConnectionsPerAddress, ConnectionsPerParticipant: l.ConnectionsPerParticipant,
		HeaderTimeout: l.HeaderTimeout, BodyTimeout: l.BodyTimeout, IdleTimeout: l.IdleTimeout, Grace: l.Grace, LeastRate: l.LeastRate,
	}
}

// gatewayLimits are the configured limits in the gateway's words.
func gatewayLimits(cfg config.Config) gateway.Limits {
	l := cfg.Limits
	burst := l.Burst
	if burst == 0 {
		burst = 2 * l.Rate
	}
	return gateway.Limits{
		Exchanges: l.Exchanges, BodyMemory: l.BodyMemory,
		Rate: l.Rate, Burst: burst, StrangerRate: l.StrangerRate,
	}
}

// adminServer is the HTTP server of the admin listener, which only operators reach.
func (s *server) adminServer() *http.Server {
	return &http.Server{
		Handler: s.adminHandler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: time.Minute,
		WriteTimeout: 45 * time.Second, MaxHeaderBytes: 16 << 10,
		ErrorLog: zap.NewStdLog(zap.NewNop()),
	}
}
