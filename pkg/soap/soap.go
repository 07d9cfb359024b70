// Package soap reads and writes SOAP 1.1 and 1.2 messages within limits.
//
// It never parses a stranger's bytes into a tree: Scan counts over them in one linear pass,
// and everything else works on the canonical XML that the validator's libxml2 wrote. Answers
// are written by appending to byte slices.
//
// Standards: SOAP 1.1 (W3C Note 2000-05-08), SOAP 1.2 Part 1 (W3C REC 2007-04-27), WS-I Basic
// Profile 1.1 and 2.0 for the HTTP binding.
package soap

import (
	"mime"
	"strings"
)

// The namespaces of the two envelopes.
const (
	Namespace11 = "http://schemas.xmlsoap.org/soap/envelope/"
	Namespace12 = "http://www.w3.org/2003/05/soap-envelope"
)

// Namespace is the envelope's namespace for the version.
func (v Version) Namespace() string {
	if v == V12 {
		return Namespace12
	}
	return Namespace11
}

// ContentType is what an answer of this version carries.
func (v Version) ContentType() string {
	if v == V12 {
		return "application/soap+xml; charset=utf-8"
	}
	return "text/xml; charset=utf-8"
}

// String gives "1.1" or "1.2".
func (v Version) String() string {
	switch v {
	case V11:
		return "1.1"
	case V12:
		return "1.2"
	}
	return ""
}

// Media is what a Content-Type header says about a SOAP message.
type Media struct {
	// Version the media type belongs to. Only a hint: the envelope's namespace decides.
	Version Version
	// Action is the action parameter (RFC 3902), which some stacks send with text/xml too.
	Action string
}

// ParseMedia reads a Content-Type. ok is false if it is not one of the two SOAP media types or
// names a charset other than UTF-8. Parameters may be quoted or not and come in any order.
func ParseMedia(contentType string) (m Media, ok bool) {
	switch contentType {
	case "text/xml; charset=utf-8", "text/xml; charset=UTF-8", "text/xml;charset=utf-8", "text/xml;charset=UTF-8":
		return Media{Version: V11}, true // as nearly every sender says it
	}
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return Media{}, false
	}
	if charset, given := params["charset"]; given && !strings.EqualFold(charset, "utf-8") {
		return Media{}, false
	}
	m.Action = params["action"]
	switch kind {
	case "text/xml":
		m.Version = V11
	case "application/soap+xml":
		m.Version = V12
	default:
		return Media{}, false
	}
	return m, true
}

// Action reads the action of a request from the SOAPAction header and the media type: quotes
// and blanks are taken off. Empty means that the sender named none.
func Action(header string, m Media) string {
	action := strings.Trim(strings.TrimSpace(header), `"`)
	if action == "" {
		action = strings.TrimSpace(m.Action)
	}
	return action
}
