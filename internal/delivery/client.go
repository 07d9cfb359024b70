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
	"net/http/httptrace"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
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
	return &http.Transport{
		TLSClientConfig: config, TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConns: workers, MaxIdleConnsPerHost: workers, MaxConnsPerHost: workers,
		IdleConnTimeout: 90 * time.Second, DisableCompression: true, MaxResponseHeaderBytes: mostHeaders,
		// A whole event in one write.
		WriteBufferSize: 16 << 10,
	}, nil
}

// noRedirect makes a redirection an answer like any other: whoever sends one gets nothing more.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// call sends one request of the contract and reads what came back. It has no error: whatever
// happens is an Answer. ctx bounds all of it.
func (c *client) call(ctx context.Context, operation string, request []byte) Answer {
	var a Answer
	var stood atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		// After the TLS handshake: before this nothing of the request can have left.
		GotConn: func(httptrace.GotConnInfo) { stood.Store(true) },
	})
	body := soap.AppendEnvelope(make([]byte, 0, len(request)+256), soap.V12, request)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return a
	}
	r.Header.Set("Content-Type", soap.V12.ContentType()+`; action="`+sinba.NamespaceNational+"/"+operation+`"`)
	r.Header.Set("User-Agent", "sinbahub")
	response, err := c.http.Do(r)
	a.Sent = stood.Load()
	if err != nil {
		return a
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(response.Body, mostAnswer+1))
	if err != nil || len(answer) > mostAnswer {
		return a
	}
	a.Status = response.StatusCode
	a.RetryAfter = retryAfter(response.Header.Get("Retry-After"))
	if media, ok := soap.ParseMedia(response.Header.Get("Content-Type")); ok && media.Version == soap.V12 {
		c.read(ctx, answer, &a)
	}
	return a
}

// retryAfter reads seconds; a date is not worth trusting another clock.
func retryAfter(header string) time.Duration {
	n, err := strconv.Atoi(strings.TrimSpace(header))
	if err != nil || n < 0 || n > 86400 {
		return 0
	}
	return time.Duration(n) * time.Second
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
		case leaf.Path == "/IdTrasmissione":
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
