package delivery

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/sinba"
	"github.com/sinbahub/sinbahub/internal/validator"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// SchemaFault is the pool's number for xsd/soap-fault-v1.2.xsd, by which a Fault with ErroreSiss
// is read. Without it every fault is an answer outside the contract, and uncertain.
const SchemaFault validator.Schema = 3

// The limits of an answer, before anything reads it (threat O2).
const (
	mostAnswer  = 1 << 20
	mostHeaders = 32 << 10
)

// client calls SISS over kept-alive connections.
type client struct {
	url       string
	http      *http.Client
	validator *validator.Pool
}

// newTransport makes the connections: no proxy of the environment, no compression, TLS 1.2 or
// newer with the given CA.
func newTransport(caFile string, workers int) (*http.Transport, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile != "" {
		pem, err := os.ReadFile(filepath.Clean(caFile))
		if err != nil {
			return nil, fmt.Errorf("read CA file: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errCA
		}
	}
	transport := &http.Transport{
		TLSClientConfig: config, TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConns: workers, MaxIdleConnsPerHost: workers, MaxConnsPerHost: workers,
		IdleConnTimeout: 90 * time.Second, DisableCompression: true, MaxResponseHeaderBytes: mostHeaders,
		// A whole event in one write.
		WriteBufferSize: 16 << 10,
	}
	guardConnections(transport)
	return transport, nil
}

// noRedirect makes a redirection an answer like any other: whoever sends one gets nothing more.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// call sends one request of the contract and reads what came back. It has no error: whatever
// happens is an Answer. ctx bounds all of it. held tells whether the lease still holds that the
// request needs, nil if it needs none.
func (c *client) call(ctx context.Context, operation string, request []byte, held func() bool) Answer {
	return c.send(ctx, operation, soap.AppendEnvelope(nil, soap.V12, request), held)
}

// send is call for a request that stands in its envelope already.
func (c *client) send(ctx context.Context, operation string, message []byte, held func() bool) Answer {
	var a Answer
	p := &permit{held: held}
	ctx = p.trace(ctx)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(message))
	if err != nil {
		return a
	}
	r.Header.Set("Content-Type", soap.V12.ContentType()+`; action="`+sinba.NamespaceNational+"/"+operation+`"`)
	r.Header.Set("User-Agent", "sinbahub")
	response, err := c.http.Do(r)
	a.Sent = p.wrote.Load()
	a.Late = p.refused.Load()
	if err != nil {
		return a
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(response.Body, mostAnswer+1))
	if err != nil || len(answer) > mostAnswer {
		return a
	}
	a.Status = response.StatusCode
	a.RetryAfter = retryAfter(response.Header)
	if media, ok := soap.ParseMedia(response.Header.Get("Content-Type")); ok && media.Version == soap.V12 && !plainReceipt(answer, &a) {
		c.read(ctx, answer, &a)
	}
	return a
}

// mostRetryAfter bounds what is read of Retry-After.
const mostRetryAfter = 24 * time.Hour

// retryAfter reads seconds, or a date by the clock of whoever gave it, which is not worth trusting without
// a Date beside it.
func retryAfter(header http.Header) time.Duration {
	value := strings.TrimSpace(header.Get("Retry-After"))
	if value == "" {
		return 0
	}
	if n, err := strconv.Atoi(value); err == nil && n >= 0 {
		return min(time.Duration(min(n, 1<<31))*time.Second, mostRetryAfter)
	}
	at, err := http.ParseTime(value)
	now, noDate := http.ParseTime(header.Get("Date"))
	if err != nil || noDate != nil {
		return 0
	}
	return max(0, min(at.Sub(now), mostRetryAfter))
}

// read lets the jail judge an answer and takes over what the contract says. What is not valid
// leaves the Answer without a Root.
func (c *client) read(ctx context.Context, answer []byte, a *Answer) {
	limits := soap.DefaultLimits()
	limits.Bytes = mostAnswer
	if soap.Scan(answer, limits) != nil {
		return
	}
	result, err := c.validator.Validate(ctx, validator.SissRicezione, validator.Envelope, answer)
	var refusal *hub.Error
	if errors.As(err, &refusal) && refusal.Kind == hub.UnknownOperation {
		result, err = c.validator.Validate(ctx, SchemaFault, validator.Envelope, answer)
	}
	if err != nil || len(result.Violations) > 0 || result.SOAP != soap.V12 || mustUnderstand(result.Header) {
		return
	}
	document, err := sinba.Leaves(result.Payload)
	if err != nil {
		return
	}
	a.Root, a.Totals = result.Root, readTotals(document.Leaves)
	for _, leaf := range document.Leaves {
		switch name := leaf.Path[strings.LastIndexByte(leaf.Path, '/')+1:]; {
		case leaf.Path == "/IdTrasmissione" || leaf.Path == "/IdComunicazione":
			a.ID, _ = uuid.Parse(leaf.Value) // the schema gave it its form
		case leaf.Path == "/Esito":
			a.Esito = leaf.Value
		case leaf.Path == "/ProtocolloNazionale":
			a.Protocol = leaf.Value
		case leaf.Path == "/Disponibile":
			a.Esito = leaf.Value
		case name == "Codice" && len(a.Codes) < mostCodes:
			a.Codes = append(a.Codes, leaf.Value)
		}
	}
}

// mustUnderstand tells whether a header is one that changes what the message means (SOAP 1.2
// Part 1, section 5.2.3): the contract knows none.
func mustUnderstand(header []byte) bool {
	blocks, err := soap.ReadHeader(header, soap.V12)
	return err != nil || slices.ContainsFunc(blocks, func(b soap.Block) bool { return b.MustUnderstand && b.ForUs })
}

// mostCodes is how many of SISS's codes are kept of one answer.
const mostCodes = 10
