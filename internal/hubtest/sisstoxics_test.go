//go:build smoke

package hubtest_test

import (
	"context"
	"net/url"
	"strings"
	"testing"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// network is a bad network between hub and SISS.
type network struct {
	t     *testing.T
	proxy *toxiproxy.Proxy
}

// newNetwork stands before an address until the test ends.
func newNetwork(t *testing.T, address string) *network {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	// Some toxics have a logger of their own.
	zerolog.SetGlobalLevel(zerolog.Disabled)
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	n := &network{t: t, proxy: toxiproxy.NewProxy(server, "siss", "127.0.0.1:0", u.Host)}
	if err := n.proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.proxy.Stop)
	return n
}

// through gives an address of SISS that goes through the network.
func (n *network) through(address string) string {
	n.t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		n.t.Fatal(err)
	}
	u.Host = n.proxy.Listen
	return u.String()
}

// toxic spoils the network until mend. spec is toxiproxy's JSON of a toxic.
func (n *network) toxic(spec string) (mend func()) {
	n.t.Helper()
	added, err := n.proxy.Toxics.AddToxicJson(strings.NewReader(spec))
	if err != nil {
		n.t.Fatalf("%s: %v", spec, err)
	}
	return func() {
		n.t.Helper()
		if err := n.proxy.Toxics.RemoveToxic(context.WithoutCancel(n.t.Context()), added.Name); err != nil {
			n.t.Fatal(err)
		}
	}
}

// toxics are the ways in which the network is bad, one at a time.
func toxics() map[string]string {
	return map[string]string{
		"latency of 1.5 s": `{"type":"latency","attributes":{"latency":1500,"jitter":500}}`,
		"latency of 6 s, beyond the deadline of an attempt": `{"type":"latency","attributes":{"latency":6000}}`,
		"answer a byte at a time":                           `{"type":"slicer","attributes":{"average_size":1,"size_variation":0,"delay":2000}}`,
		"request a byte at a time":                          `{"type":"slicer","stream":"upstream","attributes":{"average_size":1,"size_variation":0,"delay":500}}`,
		"answer cut after 100 bytes":                        `{"type":"limit_data","attributes":{"bytes":100}}`,
		"request cut after 300 bytes":                       `{"type":"limit_data","stream":"upstream","attributes":{"bytes":300}}`,
		"reset after 5 ms":                                  `{"type":"reset_peer","attributes":{"timeout":5}}`,
		"black hole for the answer":                         `{"type":"timeout","attributes":{"timeout":0}}`,
		"black hole for the request":                        `{"type":"timeout","stream":"upstream","attributes":{"timeout":0}}`,
		"1 KB/s":                                            `{"type":"bandwidth","attributes":{"rate":1}}`,
		"late close":                                        `{"type":"slow_close","attributes":{"delay":1000}}`,
	}
}
