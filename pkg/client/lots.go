package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/sinbahub/sinbahub/pkg/soap"
)

// The contract's bounds of a lot: its events, and the bytes of the request that carries it.
const (
	maxLotEvents = 100
	maxLotBytes  = 2<<20 - 4<<10 // an envelope and a lot's own elements are far below the rest
)

// EventResult is what came of one document of InviaEventi: a receipt, or an error like those of
// InviaEvento. An event refused inside a lot is a *FaultError with HTTP status 200. With ErrReceipt,
// and only then, there are both.
type EventResult struct {
	Receipt *Receipt
	Err     error
}

// InviaEventi sends any number of InviaEventoRichiesta documents in their order, in as few lots as the
// contract's bounds allow, and gives the outcome of each in the same order. It changes nothing in an
// event but the name of its root. A document that cannot stand in a lot as it is (it is no XML of this
// contract, say) goes alone, and so do the events of a lot that was refused as a whole, so that each
// is judged as if it had come alone.
//
// What the hub could not settle (a temporary Errore at a position) is sent again, with the same bytes,
// as often as the client tries at all. The rest of the lot is not repeated.
func (c *Client) InviaEventi(ctx context.Context, documents [][]byte) []EventResult {
	results := make([]EventResult, len(documents))
	items := make([]lotItem, len(documents))
	for i, document := range documents {
		items[i] = newLotItem(i, document)
	}
	for len(items) > 0 {
		n := fitting(items)
		c.sendItems(ctx, items[:n], results)
		items = items[n:]
	}
	return results
}

// lotItem is an event as it stands in a lot.
type lotItem struct {
	// at is its place among all documents; document is as the vendor made it.
	at       int
	document []byte
	// text is the Evento element, nil if the document cannot be one; version is its versione.
	text    []byte
	version string
}

// fitting tells how many of the items, from the first on, go together: a lot has one version, and one
// that cannot stand in a lot goes alone.
func fitting(items []lotItem) int {
	size := 0
	for i, item := range items {
		size += len(item.text)
		if i > 0 && (item.text == nil || item.version != items[0].version || i == maxLotEvents || size > maxLotBytes) {
			return i
		}
		if item.text == nil {
			return 1
		}
	}
	return len(items)
}

// sendItems sends items that go together until all have an outcome.
func (c *Client) sendItems(ctx context.Context, items []lotItem, results []EventResult) {
	for attempt := 1; ; attempt++ {
		if items[0].text == nil {
			c.sendAlone(ctx, items, results)
			return
		}
		err := c.sendLot(ctx, items, results)
		if fault, ok := errors.AsType[*FaultError](err); ok && spoiled(fault) {
			c.sendAlone(ctx, items, results)
			return
		}
		if err != nil {
			for _, item := range items {
				results[item.at] = EventResult{Err: err}
			}
			return
		}
		again := slices.DeleteFunc(slices.Clone(items), func(item lotItem) bool { return !Temporary(results[item.at].Err) })
		if len(again) == 0 {
			return
		}
		pause, ok := c.pause(ctx, results[again[0].at].Err, attempt)
		if !ok || c.wait(ctx, pause) != nil {
			return
		}
		items = again
	}
}

// spoiled tells of a lot's refusal whether one event may be the cause of all: not where the sender was
// not let in, nor where the hub says to come again.
func spoiled(fault *FaultError) bool {
	return !fault.Temporary() && fault.Status != http.StatusUnauthorized && fault.Status != http.StatusForbidden
}

// sendAlone sends items one by one.
func (c *Client) sendAlone(ctx context.Context, items []lotItem, results []EventResult) {
	for _, item := range items {
		receipt, err := c.InviaEvento(ctx, item.document)
		results[item.at] = EventResult{Receipt: receipt, Err: err}
	}
}

// sendLot sends items as one lot. Its error is that of the lot as a whole.
func (c *Client) sendLot(ctx context.Context, items []lotItem, results []EventResult) error {
	outcomes, err := c.InviaLotto(ctx, appendLot(nil, items))
	if err != nil && (outcomes == nil || !errors.Is(err, ErrReceipt)) {
		return err
	}
	if len(outcomes.Esiti) != len(items) {
		return &AnswerError{Reason: Foreign, Status: http.StatusOK}
	}
	for i, item := range items {
		o := &outcomes.Esiti[i]
		switch {
		case o.Errore != nil:
			results[item.at] = EventResult{Err: &FaultError{Status: http.StatusOK, Refusal: *o.Errore}}
		case err != nil: // one of them proves nothing
			results[item.at] = EventResult{Receipt: o.Ricevuta, Err: o.Ricevuta.verify(parse(item.document))}
		default:
			results[item.at] = EventResult{Receipt: o.Ricevuta}
		}
	}
	return nil
}

// appendLot writes an InviaLottoRichiesta. Its own elements have a prefix, so that no event inherits a
// namespace that it did not declare.
func appendLot(to []byte, items []lotItem) []byte {
	to = append(to, `<lotto:InviaLottoRichiesta xmlns:lotto="`+namespace+`"`...)
	if items[0].version != "" {
		to = append(to, ` versione="`+items[0].version+`"`...)
	}
	to = append(to, `><lotto:IdLotto>`+newUUID()+`</lotto:IdLotto>`...)
	for _, item := range items {
		to = append(to, item.text...)
	}
	return append(to, `</lotto:InviaLottoRichiesta>`...)
}

// newUUID is a random one (RFC 9562, version 4): IdLotto is no key of anything.
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// newLotItem renames the root of a document to Evento, in its start tag and in its end tag, and leaves
// out what stands around it. text is nil if the document is none that a lot takes as it is.
func newLotItem(at int, document []byte) lotItem {
	item := lotItem{at: at, document: document}
	document = soap.TrimDeclaration(document)
	var r lotReader
	for d := xml.NewDecoder(bytes.NewReader(document)); ; {
		from := d.InputOffset()
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || !r.take(token, document[from:d.InputOffset()]) {
			return item
		}
	}
	if r.began && isVersion(r.version) && len(r.text) <= maxLotBytes {
		item.text, item.version = r.text, r.version
	}
	return item
}

// lotReader takes a document token by token.
type lotReader struct {
	// text is what was taken so far, depth how many elements are open.
	text    []byte
	depth   int
	began   bool
	version string
}

// take takes a token, which is written as tag; false if no lot takes it.
func (r *lotReader) take(token xml.Token, tag []byte) bool {
	switch token := token.(type) {
	case xml.StartElement:
		if r.depth++; r.depth == 1 {
			if r.began || token.Name != (xml.Name{Space: namespace, Local: inviaEvento.request()}) {
				return false
			}
			r.began, tag, r.version = true, renamed(tag), versionOf(token)
		}
	case xml.EndElement:
		if r.depth--; r.depth == 0 {
			r.text = append(r.text, renamed(tag)...)
		}
	case xml.Directive:
		return false // a DOCTYPE, of which the hub has something to say
	}
	if r.depth > 0 {
		r.text = append(r.text, tag...)
	}
	return r.depth < maxDepth // below a lot's root it would be one too deep
}

// renamed gives a tag of the root the name Evento, under the prefix that it has. The end of an empty
// element has no tag of its own.
func renamed(tag []byte) []byte {
	return bytes.Replace(tag, []byte(inviaEvento.request()), []byte("Evento"), 1)
}

// versionOf is the root's versione.
func versionOf(root xml.StartElement) string {
	for _, a := range root.Attr {
		if a.Name == (xml.Name{Local: "versione"}) {
			return a.Value
		}
	}
	return ""
}

// isVersion tells whether a text may stand as a lot's versione: what is none is told of the event.
func isVersion(text string) bool {
	for _, b := range []byte(text) {
		if (b < '0' || b > '9') && b != '.' {
			return false
		}
	}
	return len(text) <= 8
}
