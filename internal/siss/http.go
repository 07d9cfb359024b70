package siss

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/pkg/soap"
	"github.com/sinbahub/sinbahub/pkg/xmlschema"
	"github.com/sinbahub/sinbahub/wsdl"
	"github.com/sinbahub/sinbahub/xsd"
)

// mostBody is the largest request, as the WSDL's documentation says.
const mostBody = 2 << 20

// answer is what goes back.
type answer struct {
	status int
	body   []byte
	// label counts it.
	label string
}

// loadDocuments reads the published contract out of the binary.
func loadDocuments() (map[string][]byte, error) {
	documents := make(map[string][]byte)
	for _, name := range []string{xsd.SissRicezione, xsd.EventoNazionale} {
		text, err := xsd.FS.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read schema: %w", err)
		}
		documents[name] = text
	}
	text, err := wsdl.FS.ReadFile(wsdl.SissRicezione)
	if err != nil {
		return nil, fmt.Errorf("read wsdl: %w", err)
	}
	documents[wsdl.SissRicezione] = text
	return documents, nil
}

func (s *Simulator) serveHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path != Path:
		http.NotFound(w, r)
	case r.Method == http.MethodGet:
		s.describe(w, r)
	case r.Method == http.MethodPost:
		s.serveOperation(w, r)
	default:
		w.Header().Set("Allow", "GET, POST")
		http.Error(w, "POST a SOAP 1.2 message; the WSDL is at ?wsdl", http.StatusMethodNotAllowed)
	}
}

// describe answers ?wsdl and ?xsd=NAME with absolute addresses built from the request's host,
// so that a client's generator needs nothing but the WSDL's address.
func (s *Simulator) describe(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	name := query.Get("xsd")
	if query.Has("wsdl") {
		name = wsdl.SissRicezione
	}
	text, ok := s.documents[name]
	if !ok {
		http.Error(w, "no such document; the WSDL is at ?wsdl", http.StatusNotFound)
		return
	}
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	base := strings.NewReplacer("&", "&amp;", "<", "&lt;", `"`, "&quot;").Replace(scheme + r.Host + Path)
	text = bytes.ReplaceAll(text, []byte(wsdl.Base), []byte(base))
	text = bytes.ReplaceAll(text, []byte(`schemaLocation="`+xsd.EventoNazionale), []byte(`schemaLocation="`+base+"?xsd="+xsd.EventoNazionale))
	w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	_, _ = w.Write(text) //nolint:gosec // our own documents; the host is escaped for XML and nothing here is HTML
}

// serveOperation reads a request, checks it as a stranger's, meets the faults that were
// ordered, runs the operation and answers.
func (s *Simulator) serveOperation(w http.ResponseWriter, r *http.Request) {
	buffer := s.bodies.take()
	defer s.bodies.give(buffer)
	body, err := readBody(w, r, buffer)
	if err != nil {
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			s.write(w, faultAnswer(http.StatusRequestEntityTooLarge, codeTooLarge, "Il corpo della richiesta supera 2 MiB.", nil))
		}
		return
	}
	media, ok := soap.ParseMedia(r.Header.Get("Content-Type"))
	if !ok || media.Version != soap.V12 {
		s.write(w, faultAnswer(http.StatusUnsupportedMediaType, codeMedia, "Il tipo di contenuto deve essere application/soap+xml, charset UTF-8.", nil))
		return
	}
	element, op, wrong := s.check(r.Context(), body, media.Action)
	if wrong != nil {
		s.write(w, *wrong)
		return
	}
	m := s.faults.draw(op.name)
	if m.slowMS > 0 {
		s.counters.add("fault/slow")
		wait(r.Context(), time.Duration(m.slowMS)*time.Millisecond)
	}
	if m.fault != None {
		s.counters.add("fault/" + string(m.fault))
	}
	if s.misbehaveBefore(w, m.fault) {
		return
	}
	element, esito, err := op.run(r.Context(), s, request{element: element, room: body, refuse: m.fault == Refuse})
	if err != nil {
		// What the file holds is unknown now, so nothing may be said.
		s.log.Error("transmission not recorded", zap.String("operation", op.name), zap.Error(err))
		panic(http.ErrAbortHandler)
	}
	whole := soap.AppendEnvelope(make([]byte, 0, len(element)+256), soap.V12, element)
	a := answer{http.StatusOK, whole, op.name + "/" + esito}
	s.misbehaveAfter(r.Context(), w, m, a)
}

// buffers are used again by later requests: most of what a request takes is its body.
type buffers struct{ pool sync.Pool }

// keepBody is the largest buffer that is kept.
const keepBody = 64 << 10

func (b *buffers) take() *bytes.Buffer {
	if buffer, ok := b.pool.Get().(*bytes.Buffer); ok {
		return buffer
	}
	return new(bytes.Buffer)
}

// give takes a buffer back that nobody uses any more.
func (b *buffers) give(buffer *bytes.Buffer) {
	if buffer.Cap() <= keepBody {
		buffer.Reset()
		b.pool.Put(buffer)
	}
}

// readBody reads the whole request into b, within the limit.
func readBody(w http.ResponseWriter, r *http.Request, b *bytes.Buffer) ([]byte, error) {
	if n := r.ContentLength; n > 0 && n <= mostBody {
		b.Grow(int(n) + bytes.MinRead)
	}
	_, err := b.ReadFrom(http.MaxBytesReader(w, r.Body, mostBody))
	return b.Bytes(), err
}

// check validates the message and finds its operation; wrong is the Fault to answer else.
func (s *Simulator) check(ctx context.Context, body []byte, action string) (request []byte, op operation, wrong *answer) {
	malformed := func() *answer {
		a := faultAnswer(http.StatusBadRequest, codeMalformed, "Il messaggio non è una busta SOAP 1.2 leggibile.", nil)
		return &a
	}
	if soap.Scan(body, soap.DefaultLimits()) != nil {
		return nil, op, malformed()
	}
	// Not ctx itself: if it ended first, Do would return while the batch still reads the body, which the next
	// request uses again.
	v, err := s.checks.Do(context.WithoutCancel(ctx), body)
	op, known := operationOf(v.Root)
	switch {
	case err != nil:
		internal := faultAnswer(http.StatusInternalServerError, codeInternal, "La richiesta non è stata controllata.", nil)
		return nil, op, &internal
	case v.Status == xmlschema.UnknownRoot, v.SOAP == 2 && v.Root != "" && !known:
		none := faultAnswer(http.StatusBadRequest, codeOperation, "L'elemento del Body non è una richiesta del contratto.", nil)
		return nil, op, &none
	case v.SOAP != 2:
		return nil, op, malformed()
	case v.Status == xmlschema.Invalid:
		invalid := faultAnswer(http.StatusBadRequest, codeSchema, "La richiesta non è conforme allo schema.", findings(v.Findings))
		return nil, op, &invalid
	case v.Status != xmlschema.Valid:
		return nil, op, malformed()
	case action != "" && action != namespace+"/"+op.name:
		other := faultAnswer(http.StatusBadRequest, codeOperation, "Il parametro action indica un'altra operazione.", nil)
		return nil, op, &other
	}
	return v.Payload, op, nil
}

// findings turns schema findings into violations; names outside the schema become *.
func findings(all []xmlschema.Finding) []violation {
	out := make([]violation, 0, len(all))
	for _, f := range all {
		var where strings.Builder
		for _, step := range f.Path {
			name := step.Name
			if name == "" {
				name = "*"
			}
			where.WriteString("/" + name)
			if step.Pos > 1 {
				where.WriteString("[" + strconv.Itoa(step.Pos) + "]")
			}
			if where.Len() > 400 {
				break
			}
		}
		if where.Len() == 0 {
			where.WriteByte('/')
		}
		out = append(out, violation{codeSchema, where.String(), "Non conforme allo schema (" + strconv.Itoa(f.Code) + ")."})
	}
	return out
}

// faultAnswer makes a SOAP Fault with ErroreSiss. Its promise: nothing was recorded.
func faultAnswer(status int, code, text string, because []violation) answer {
	detail := open("ErroreSiss")
	detail = soap.AppendElement(detail, "Codice", code)
	detail = soap.AppendElement(detail, "Descrizione", text)
	detail = appendViolations(detail, because)
	detail = append(detail, `</ErroreSiss>`...)
	blame := soap.Sender
	if status >= http.StatusInternalServerError {
		blame = soap.Receiver
	}
	fault := soap.Fault{Code: blame, ReasonIT: text, Detail: detail}
	return answer{status, soap.AppendFault(nil, soap.V12, fault), "error/" + code}
}

// write sends an answer with its length, so that the connection stays open.
func (s *Simulator) write(w http.ResponseWriter, a answer) {
	s.counters.add(a.label)
	w.Header().Set("Content-Type", soap.V12.ContentType())
	w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
}

// misbehaveBefore does what strikes before anything is taken; true means that it answered.
func (s *Simulator) misbehaveBefore(w http.ResponseWriter, f Fault) bool {
	switch f {
	case Fail:
		s.write(w, faultAnswer(http.StatusInternalServerError, codeUnavailable, "Servizio non disponibile come ordinato.", nil))
	case Unavailable:
		w.Header().Set("Retry-After", "1")
		http.Error(w, "service unavailable", http.StatusServiceUnavailable)
	case HTML:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, "<!DOCTYPE html><html><head><title>Proxy</title></head><body><h1>Gateway error</h1></body></html>")
	case Drop:
		reset(w, nil)
	case None, Refuse, Cut, Drip, Garbage, WrongID, HalfClose:
		return false
	}
	return true
}

// misbehaveAfter sends the answer, or what the fault makes of it, after it became durable.
func (s *Simulator) misbehaveAfter(ctx context.Context, w http.ResponseWriter, m mischief, a answer) {
	switch m.fault {
	case Cut:
		s.counters.add(a.label)
		reset(w, rawAnswer(a)[:min(m.cutAt, len(rawAnswer(a)))])
	case HalfClose:
		s.counters.add(a.label)
		halfClose(ctx, w, rawAnswer(a)[:min(m.cutAt, len(rawAnswer(a)))])
	case Drip:
		s.counters.add(a.label)
		drip(ctx, w, a, time.Duration(m.dripMS)*time.Millisecond)
	case Garbage:
		a.body = []byte("\x00\xff this is no XML < & \x01")
		s.write(w, a)
	case WrongID:
		const open, end = "<IdTrasmissione>", "</IdTrasmissione>"
		from, to := bytes.Index(a.body, []byte(open)), bytes.Index(a.body, []byte(end))
		if from >= 0 {
			a.body = []byte(string(a.body[:from]) + open + "00000000-0000-4000-8000-000000000000" + string(a.body[to:]))
		}
		s.write(w, a)
	case None, Refuse, Fail, Unavailable, Drop, HTML:
		s.write(w, a)
	}
}

// rawAnswer is an answer as it would stand on the wire.
func rawAnswer(a answer) []byte {
	head := "HTTP/1.1 " + strconv.Itoa(a.status) + " " + http.StatusText(a.status) +
		"\r\nContent-Type: " + soap.V12.ContentType() + "\r\nContent-Length: " + strconv.Itoa(len(a.body)) + "\r\n\r\n"
	return append([]byte(head), a.body...)
}

// reset ends the connection: with an RST if nothing goes out before, else (an RST may overtake
// bytes in flight) by closing behind the given ones.
func reset(w http.ResponseWriter, first []byte) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if len(first) > 0 {
		_, _ = conn.Write(first)
	} else if tcp, ok := rawConn(conn).(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = rawConn(conn).Close()
}

// halfPatience is how long a half-closed connection waits for its other half.
const halfPatience = time.Minute

// halfClose sends the first bytes, ends this side, and reads on until the client ends its own.
func halfClose(ctx context.Context, w http.ResponseWriter, first []byte) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	defer conn.Close() //nolint:errcheck // it ends here
	_, _ = conn.Write(first)
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_ = conn.SetReadDeadline(time.Now().Add(halfPatience))
	_, _ = io.Copy(io.Discard, conn)
}

// rawConn gives the TCP connection under TLS, so that closing it sends no close_notify.
func rawConn(conn net.Conn) net.Conn {
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok {
		return t.NetConn()
	}
	return conn
}

// drip sends the answer byte by byte.
func drip(ctx context.Context, w http.ResponseWriter, a answer, pause time.Duration) {
	w.Header().Set("Content-Type", soap.V12.ContentType())
	w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	w.WriteHeader(a.status)
	flusher := http.NewResponseController(w)
	for i := range a.body {
		if _, err := w.Write(a.body[i : i+1]); err != nil || flusher.Flush() != nil {
			return
		}
		if !wait(ctx, pause) {
			return
		}
	}
}

// wait is false if ctx ended first.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
