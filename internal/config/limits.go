package config

import (
	"errors"
	"time"
)

// Limits of the door.
type Limits struct {
	// Exchanges at once over all participants; more get 503. Half of them at most are one
	// participant's, whose further ones get 429 (default 256).
	Exchanges int `yaml:"exchanges"`
	// BodyMemory bounds the request bodies held at once, in bytes, shared out like the exchanges
	// (default 67108864).
	BodyMemory int `yaml:"body_memory"`

	// Rate is the most requests per second of one participant; more get 429. 0 (default): any.
	Rate int `yaml:"rate"`
	// Burst is how many requests may come at once under a rate (default 0: twice the rate).
	Burst int `yaml:"burst"`
	// StrangerRate is the most requests per second, over all of them, of senders without a valid
	// credential, the description of the service among them; more get 503 (default 500).
	StrangerRate int `yaml:"stranger_rate"`

	// Connections at once. A quarter of them at most are of senders that have not shown a valid
	// credential yet. Each costs a descriptor and about 20 KB (default 2048).
	Connections int `yaml:"connections"`
	// ConnectionsPerAddress is the most from one address (IPv6: /64) that have not shown a valid
	// credential yet; for one more the oldest of them is closed (default 256).
	ConnectionsPerAddress int `yaml:"connections_per_address"`
	// ConnectionsPerParticipant is the most of one participant; for one more its longest idle is
	// closed, and without an idle one the request gets 429 (default 256).
	ConnectionsPerParticipant int `yaml:"connections_per_participant"`

	// HeaderTimeout is how long the head of a request may take, from its first byte or, for the
	// first of a connection, from its begin (default 5s).
	HeaderTimeout time.Duration `yaml:"header_timeout"`
	// LeastRate is how fast a body must arrive and an answer be taken, in bytes per second, once
	// Grace has passed; else the connection is cut (default 10000).
	LeastRate int `yaml:"least_rate"`
	// Grace is how long bodies and answers may be slower than LeastRate (default 5s).
	Grace time.Duration `yaml:"grace"`
	// BodyTimeout is how long a body may take whose length is not announced: chunked (default 30s).
	BodyTimeout time.Duration `yaml:"body_timeout"`
	// IdleTimeout is how long a connection is kept between two requests (default 60s).
	IdleTimeout time.Duration `yaml:"idle_timeout"`

	// Drain is how long a stop takes at most: what is in flight then is cut (default 20s).
	Drain time.Duration `yaml:"drain"`
	// DrainDelay is how long of Drain the listener still takes messages, while /readyz and echo say that
	// it will not and no connection is kept: as long as a balancer needs to notice. At most half of
	// Drain; 0: not at all (default 1s).
	DrainDelay time.Duration `yaml:"drain_delay"`
}

func defaultLimits() Limits {
	return Limits{
		Exchanges: 256, BodyMemory: 64 << 20, StrangerRate: 500,
		Connections: 2048, ConnectionsPerAddress: 256, ConnectionsPerParticipant: 256,
		HeaderTimeout: 5 * time.Second, LeastRate: 10_000, Grace: 5 * time.Second,
		BodyTimeout: 30 * time.Second, IdleTimeout: time.Minute, Drain: 20 * time.Second,
		DrainDelay: time.Second,
	}
}

// check says which limits nothing could work with.
func (l Limits) check(say func(key string, err error)) {
	for _, n := range []struct {
		key          string
		value, least int
	}{
		{"exchanges", l.Exchanges, 1},
		// Two bodies of the largest size, twice while they grow, in a participant's half.
		{"body_memory", l.BodyMemory, 16 << 20},
		{"rate", l.Rate, 0},
		{"burst", l.Burst, 0},
		{"stranger_rate", l.StrangerRate, 1},
		{"connections", l.Connections, 8},
		{"connections_per_address", l.ConnectionsPerAddress, 1},
		{"connections_per_participant", l.ConnectionsPerParticipant, 1},
		{"least_rate", l.LeastRate, 1},
	} {
		if n.value < n.least {
			say("limits."+n.key, errors.New("too small"))
		}
	}
	for _, d := range []struct {
		key   string
		value time.Duration
	}{
		{"header_timeout", l.HeaderTimeout},
		{"grace", l.Grace},
		{"body_timeout", l.BodyTimeout},
		{"idle_timeout", l.IdleTimeout},
		{"drain", l.Drain},
	} {
		if d.value <= 0 {
			say("limits."+d.key, errNegative)
		}
	}
	if l.DrainDelay < 0 {
		say("limits.drain_delay", errNegative)
	}
}
