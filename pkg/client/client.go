// Package client is a Go vendor's way to the hub: it sends event documents as the bytes the vendor
// made, reads receipts and faults into Go values, and repeats by the contract's section
// "Duplicates". It knows nothing of the hub's inside.
//
// It promises:
//
//   - A document is sent byte for byte. Only a byte order mark and an XML declaration before it
//     are taken off, because it stands inside an envelope.
//   - An outcome is believed only if it arrived whole, is of the contract, and answers the request
//     that was sent. A receipt's ImprontaMessaggio is computed again from the document.
//   - What left no outcome (timeout, cut line, 503, 429, a proxy's page) is repeated with the same
//     bytes after a random, growing pause, never before Retry-After. The hub knows the event by its
//     IdEvento, so that a repetition stores nothing twice: it gets the first receipt. A refusal is
//     never repeated.
//   - Credentials go only to the address that was named, over TLS unless that is this machine; a
//     redirect is not followed. No answer makes it take more than 16 MiB.
//   - No error holds a value of a message or of an answer.
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/sinbahub/sinbahub/pkg/soap"
)

// Config says where the hub is, who speaks, and how patient to be.
type Config struct {
	// URL is the address of the service, without ?wsdl. It must be https unless it names this
	// machine by localhost or a loopback address.
	URL string
	// User and Password are the channel credential (HTTP Basic).
	User     string
	Password string `json:"-"`
	// Version is the SOAP version to speak; 1.2 if left out.
	Version soap.Version
	// TLS may name the region's own authority or a client certificate. Versions below 1.2 are
	// never spoken.
	TLS *tls.Config
	// AllowHTTP lets the credential go unencrypted to another machine: for a closed network of
	// trials, never for children's data.
	AllowHTTP bool

	// Timeout is how long one attempt may take from connecting to the last byte; 30 s if left out.
	Timeout time.Duration
	// Attempts is how often a call tries at most; 8 if left out, 1 never repeats. The context of the
	// call bounds it too.
	Attempts int
	// FirstPause is the longest pause after the first attempt; it doubles with each up to
	// LongestPause. The pause taken is random below that (full jitter), so that clients which
	// failed together do not come back together. 500 ms and 30 s if left out.
	FirstPause, LongestPause time.Duration
}

// Format writes a Config without its password, whatever the verb.
func (c Config) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "client.Config{URL: %q, User: %q, Password: [redacted]}", c.URL, c.User)
}

// The defaults of Config.
const (
	defaultTimeout      = 30 * time.Second
	defaultAttempts     = 8
	defaultFirstPause   = 500 * time.Millisecond
	defaultLongestPause = 30 * time.Second
)

// Client calls one hub as one participant. It may be used by many goroutines at once and keeps
// its connections alive between calls.
type Client struct {
	url          string
	version      soap.Version
	timeout      time.Duration
	attempts     int
	firstPause   time.Duration
	longestPause time.Duration
	http         *http.Client
	// authorise holds the credential where no formatting of a Client can print it.
	authorise func(*http.Request)

	now    func() time.Time
	jitter func(below time.Duration) time.Duration
	wait   func(context.Context, time.Duration) error
}

// New checks the configuration. Nothing is sent yet.
func New(cfg Config) (*Client, error) {
	address, err := checkAddress(cfg)
	if err != nil {
		return nil, err
	}
	if strings.Contains(cfg.User, ":") {
		return nil, errors.New("client: a user's name cannot hold a colon (RFC 7617)")
	}
	version := cfg.Version
	switch version {
	case 0:
		version = soap.V12
	case soap.V11, soap.V12:
	default:
		return nil, errors.New("client: unknown SOAP version")
	}
	return &Client{
		url:          address,
		version:      version,
		timeout:      orDefault(cfg.Timeout, defaultTimeout),
		attempts:     orDefault(cfg.Attempts, defaultAttempts),
		firstPause:   orDefault(cfg.FirstPause, defaultFirstPause),
		longestPause: orDefault(cfg.LongestPause, defaultLongestPause),
		http: &http.Client{
			Transport: newTransport(cfg.TLS),
			// The answer itself comes back: to follow it would show document and credential to
			// whoever was named.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		authorise: func(r *http.Request) { r.SetBasicAuth(cfg.User, cfg.Password) },
		now:       time.Now,
		jitter:    func(below time.Duration) time.Duration { return rand.N(below + 1) }, //nolint:gosec // no secret
		wait:      wait,
	}, nil
}

// orDefault is v unless it is zero or less.
func orDefault[T int | time.Duration](v, otherwise T) T {
	if v <= 0 {
		return otherwise
	}
	return v
}

// checkAddress lets a credential go only where it may.
func checkAddress(cfg Config) (string, error) {
	address, err := url.Parse(cfg.URL)
	switch {
	case err != nil || address.Host == "" || address.Opaque != "":
		// The parser's error would quote the address, which may hold a password.
		return "", errors.New("client: the address is no absolute URL")
	case address.User != nil:
		return "", errors.New("client: the credential does not belong into the address")
	case address.RawQuery != "" || address.ForceQuery || address.Fragment != "":
		return "", errors.New("client: the address of the service has no query and no fragment (leave ?wsdl out)")
	case address.Scheme == "https", address.Scheme == "http" && (cfg.AllowHTTP || isLoopback(address.Hostname())):
		return address.String(), nil
	}
	return "", errors.New("client: the address must be https, or http to this machine")
}

// isLoopback tells whether a host is this machine by its name alone, without asking the DNS.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.Unmap().IsLoopback()
}

// newTransport keeps connections alive for less time than the hub does, and takes nothing
// compressed, so that the bound on an answer's size is a bound on memory.
func newTransport(own *tls.Config) *http.Transport {
	secure := &tls.Config{MinVersion: tls.VersionTLS12}
	if own != nil {
		secure = own.Clone()
		secure.MinVersion = max(secure.MinVersion, tls.VersionTLS12)
	}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSClientConfig:        secure,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxIdleConns:           64,
		MaxIdleConnsPerHost:    64,
		IdleConnTimeout:        45 * time.Second,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true,
	}
}

// CloseIdleConnections closes what is kept alive; calls in flight go on.
func (c *Client) CloseIdleConnections() { c.http.CloseIdleConnections() }

const (
	// maxAnswer is more than the largest answer of the contract, a lot of 100 events with 100
	// violations each.
	maxAnswer = 16 << 20
	// expectAbove is the size from which the hub is asked before the body is sent, so that 413
	// arrives as an answer and not as a cut line.
	expectAbove = 1 << 20
)

// attempt sends an envelope once and gives what came back: the HTTP status, the headers and the
// bounded body. Its error is an *AnswerError.
func (c *Client) attempt(ctx context.Context, action string, envelope []byte) (*reply, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(envelope))
	if err != nil {
		return nil, &AnswerError{Reason: NoAnswer, Err: errTransport}
	}
	contentType := c.version.ContentType()
	if c.version == soap.V12 {
		contentType += `; action="` + action + `"`
	} else {
		request.Header.Set("SOAPAction", `"`+action+`"`)
	}
	request.Header.Set("Content-Type", contentType)
	request.Header.Set("User-Agent", "sinbahub-client")
	if len(envelope) > expectAbove {
		request.Header.Set("Expect", "100-continue")
	}
	c.authorise(request)
	response, err := c.http.Do(request)
	if err != nil {
		return nil, &AnswerError{Reason: NoAnswer, Err: cause(ctx, err)}
	}
	defer response.Body.Close() //nolint:errcheck // read to its end, or not of use any more
	r := &reply{status: response.StatusCode, retryAfter: c.retryAfter(response.Header), codice: codiceOf(response.Header.Get("X-Sinba-Codice"))}
	r.body, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, r.unusable(Cut, cause(ctx, err))
	case len(r.body) > maxAnswer:
		return nil, r.unusable(TooLarge, nil)
	}
	return r, nil
}

// reply is an HTTP answer that arrived whole.
type reply struct {
	status     int
	retryAfter time.Duration
	codice     string
	body       []byte
}

// unusable is the error that tells why the reply is no outcome.
func (r *reply) unusable(reason Reason, err error) *AnswerError {
	return &AnswerError{Reason: reason, Status: r.status, Codice: r.codice, RetryAfter: r.retryAfter, Err: err}
}
