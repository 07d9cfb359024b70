package client

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// ErrOperation says that a document is the request of another operation than the one called: a dry
// run is never sent as a real event, nor the other way round. Nothing was sent.
var ErrOperation = errors.New("client: the document is the request of another operation")

// ErrReceipt says that a receipt's ImprontaMessaggio is not that of the document: the hub has
// stored something, but perhaps not what was sent. The receipt comes with the error. Repeating
// does not help; tell the region.
var ErrReceipt = errors.New("client: the receipt does not prove the document")

// FaultError is a fault of the contract: the hub refused, or told to come later (Temporary).
type FaultError struct {
	// Status is the HTTP status.
	Status int
	// RetryAfter is how long the hub asked to wait, 0 if it did not.
	RetryAfter time.Duration
	// Refusal is the fault's detail, with every violation.
	Refusal
}

// Error gives status, codes and transaction: no path, no text, which are for the screen of whoever
// corrects the event.
func (e *FaultError) Error() string {
	codes := make([]string, 0, len(e.Anomalie))
	for _, v := range e.Anomalie[:min(len(e.Anomalie), 10)] {
		codes = append(codes, v.Codice)
	}
	if len(e.Anomalie) > len(codes) {
		codes = append(codes, "...")
	}
	text := "client: HTTP " + strconv.Itoa(e.Status) + " " + strings.Join(codes, " ")
	if isUUID(e.IDTransazione) {
		text += " (transaction " + e.IDTransazione + ")"
	}
	return text
}

// Temporary tells whether the fault is no verdict on the message: by its status, or by a code that
// says to send again (contract, "Codes": 5xx; SINBA_111, the same event is being accepted now;
// SINBA_015, it did not arrive in time). A message that the validator cannot judge (SINBA_501) is not,
// nor is any code that is not known here.
func (e *FaultError) Temporary() bool {
	if e.Status == http.StatusServiceUnavailable || e.Status == http.StatusTooManyRequests {
		return true
	}
	if len(e.Anomalie) == 0 {
		return false
	}
	switch e.Anomalie[0].Codice {
	case "SINBA_015", "SINBA_111", "SINBA_500", "SINBA_502", "SINBA_503", "SINBA_505", "SINBA_506":
		return true
	}
	return false
}

// Reason is why an attempt left no outcome.
type Reason uint8

// The reasons, a closed list.
const (
	// NoAnswer means that nothing came back: no connection, a timeout, a line cut.
	NoAnswer Reason = iota + 1
	// Cut means that the answer ended before its end.
	Cut
	// TooLarge means that the answer is larger than any of the contract.
	TooLarge
	// Unreadable means that what came back is not of the contract: a proxy's page, a redirect, a
	// receipt with a status that contradicts it.
	Unreadable
	// Foreign means that the answer is whole but belongs to another request.
	Foreign
)

// String says it in words.
func (r Reason) String() string {
	names := [...]string{"", "no answer", "answer cut short", "answer too large", "not an answer of the contract", "answer to another request"}
	if int(r) < len(names) {
		return names[r]
	}
	return ""
}

// AnswerError says that nothing is known: there was no answer, or none to be believed. The event
// may be stored; sending the same again tells.
type AnswerError struct {
	Reason Reason
	// Status is the HTTP status, 0 if there was none.
	Status int
	// Codice is what the header X-Sinba-Codice says; empty if it says no code.
	Codice string
	// RetryAfter is how long to wait, 0 if it was not said.
	RetryAfter time.Duration
	// Err is the network's or the context's error, if there was one.
	Err error
}

// Error gives the reason and nothing of the answer but its status and code.
func (e *AnswerError) Error() string {
	text := "client: " + e.Reason.String()
	if e.Status != 0 {
		text += ", HTTP " + strconv.Itoa(e.Status)
	}
	if e.Codice != "" {
		text += " " + e.Codice
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap gives the network's or the context's error.
func (e *AnswerError) Unwrap() error { return e.Err }

// Temporary is true unless the status says that the same would happen again (redirects and what
// the sender did wrong), or the other side could not prove who it is.
func (e *AnswerError) Temporary() bool {
	switch e.Status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	var untrusted *tls.CertificateVerificationError
	return (e.Status < 300 || e.Status >= 500) && !errors.As(e.Err, &untrusted)
}

// errTransport and errProxy stand for errors that could quote what the other side sent.
var (
	errTransport = errors.New("HTTP failed")
	errProxy     = errors.New("the proxy did not connect")
)

// cause is the part of an HTTP client's error that quotes nothing received: net/http puts malformed
// status lines and headers into its errors, and a proxy may echo a document there.
func cause(ctx context.Context, err error) error {
	if ended := ctx.Err(); ended != nil {
		return ended
	}
	var untrusted *tls.CertificateVerificationError
	var network *net.OpError
	switch {
	case errors.As(err, &untrusted):
		return untrusted
	case errors.As(err, &network):
		if network.Op == "proxyconnect" {
			return errProxy
		}
		return network
	case errors.Is(err, os.ErrDeadlineExceeded):
		return os.ErrDeadlineExceeded
	case errors.Is(err, io.ErrUnexpectedEOF):
		return io.ErrUnexpectedEOF
	case errors.Is(err, io.EOF):
		return io.EOF
	}
	return errTransport
}

// codiceOf is a code of the contract, or nothing.
func codiceOf(text string) string {
	if len(text) != len("SINBA_000") || !strings.HasPrefix(text, "SINBA_") || strings.Trim(text[len("SINBA_"):], "0123456789") != "" {
		return ""
	}
	return text
}

// isUUID tells whether text has the form of UuidType.
func isUUID(text string) bool {
	return fits(text, "hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh")
}

// isHex tells whether text is n lower-case hexadecimal digits.
func isHex(text string, n int) bool {
	return len(text) == n && strings.Trim(text, "0123456789abcdef") == ""
}

// fits compares a text with a form in which h stands for a hexadecimal digit.
func fits(text, form string) bool {
	if len(text) != len(form) {
		return false
	}
	for i := range len(form) {
		if form[i] == 'h' != strings.ContainsRune("0123456789abcdefABCDEF", rune(text[i])) || form[i] != 'h' && form[i] != text[i] {
			return false
		}
	}
	return true
}
