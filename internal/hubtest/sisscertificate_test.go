//go:build smoke

package hubtest_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/hubtest"
)

// authority issues certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) authority {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{cert, key}
}

// issue makes a server's certificate for an address or a name, valid until.
func (a authority) issue(t *testing.T, ip net.IP, name string, until time.Time) *tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "siss"}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{name}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// wrongCertificates offers certificates that must not be trusted to a carrier that speaks TLS, and then a
// good one. It tells how many connections were begun in all and how many requests left for a wrong one.
func (n *nation) wrongCertificates() (begun int, left int64) {
	n.t.Helper()
	good, other := newAuthority(n.t, "good"), newAuthority(n.t, "other")
	here := net.IPv4(127, 0, 0, 1)
	inAnHour := time.Now().Add(time.Hour)
	var current atomic.Pointer[tls.Certificate]
	var requests, handshakes atomic.Int64
	target, err := url.Parse(n.hub.Run.SissURL)
	if err != nil {
		n.t.Fatal(err)
	}
	forward := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: target.Scheme, Host: target.Host})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		forward.ServeHTTP(w, r)
	}))
	server.Config.ErrorLog = zap.NewStdLog(zap.NewNop())
	// Not GetCertificate: it is not asked for a client that names an address.
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		handshakes.Add(1)
		return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*current.Load()}}, nil
	}}
	current.Store(other.issue(n.t, here, "", inAnHour))
	server.StartTLS()
	n.t.Cleanup(server.Close)
	trusted := filepath.Join(n.hub.Var, "siss-ca.pem")
	if err := os.WriteFile(trusted, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: good.cert.Raw}), 0o600); err != nil {
		n.t.Fatal(err)
	}
	n.carrier = n.hub.Serve("secure", func(settings map[string]any) {
		shortLease(settings)
		hubtest.Settings(settings, "siss", map[string]any{"url": server.URL + target.Path, "ca_file": trusted})
	})
	n.carrier.Start()
	n.carrier.AwaitReady()
	var all []uuid.UUID
	for _, wrong := range []*tls.Certificate{
		other.issue(n.t, here, "", inAnHour), good.issue(n.t, nil, "siss.example", inAnHour), good.issue(n.t, here, "", time.Now().Add(-time.Hour)),
	} {
		current.Store(wrong)
		before := handshakes.Load()
		// Few, so that their failures do not open the breaker, which would ask rarely.
		all = append(all, n.send(2)...)
		hubtest.Await(n.t, 2*time.Minute, "the wrong certificate is offered", func() bool { return handshakes.Load() > before })
	}
	left = requests.Load()
	if left != 0 {
		n.t.Errorf("%d requests left for a server with a wrong certificate", left)
	}
	if got := hubtest.Number(n.t, n.db, "SELECT count(*) FROM hub.event e JOIN hub.delivery d ON d.message_id = e.id WHERE e.event_id = ANY ($1) AND d.state NOT IN ('pending', 'sending', 'retrying')", all); got != 0 {
		n.t.Errorf("%d deliveries to a wrong certificate are not to be tried again", got)
	}
	current.Store(good.issue(n.t, here, "", inAnHour))
	n.settled()
	return int(handshakes.Load()), left
}
