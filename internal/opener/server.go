package opener

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// The limits of one exchange.
const (
	headerPatience = 5 * time.Second
	readPatience   = 30 * time.Second
	writePatience  = 2 * time.Minute
	idlePatience   = 10 * time.Minute
	leavePatience  = 15 * time.Second
	mostHeaders    = 16 << 10
	// mostBody holds MaxBatch requests with an origin each.
	mostBody = 2 << 20
)

// The paths. {session} is what pathSessions answered.
const (
	pathAlive    = "/v1/alive"
	pathOpen     = "/v1/open"
	pathIdentify = "/v1/reidentify"
	pathTake     = "/v1/take"
	pathSessions = "/v1/sessions"
	pathBatch    = pathSessions + "/{session}/open"
	pathSession  = pathSessions + "/{session}"
)

// batchOf is the body of a batch.
type batchOf struct {
	Items []Request `json:"items"`
}

// ticketOf is the body of what needs nothing but a ticket.
type ticketOf struct {
	Ticket string `json:"ticket"`
}

// identityOf is one identity in the answer to pathIdentify, which holds what was sealed in clear: it exists
// between two programs of one machine only.
type identityOf struct {
	Kind  string `json:"kind"`
	Ente  string `json:"ente,omitempty"`
	Value string `json:"value"`
}

// identitiesOf is that answer.
type identitiesOf struct {
	Identities []identityOf `json:"identities"`
	Closed     int          `json:"closed"`
}

// refusal is the body of every answer that is not what was asked for.
type refusal struct {
	Error string `json:"error"`
}

// peerKey is where a connection's user stands in the context of its requests.
type peerKey struct{}

// Serve answers on a listener of Unix sockets until ctx is done, then finishes what is in flight and ends
// all sessions.
func (o *Opener) Serve(ctx context.Context, listener net.Listener) error {
	errorLog, err := zap.NewStdLogAt(o.Logger.Named("http"), zap.WarnLevel)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler: o.handler(), ErrorLog: errorLog,
		ReadHeaderTimeout: headerPatience, ReadTimeout: readPatience, WriteTimeout: writePatience, IdleTimeout: idlePatience,
		MaxHeaderBytes: mostHeaders,
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, peerKey{}, peerOf(conn))
		},
	}
	watching, stop := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		o.watch(watching)
	}()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-watching.Done()
		leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), leavePatience)
		defer cancel()
		if server.Shutdown(leaving) != nil {
			_ = server.Close()
		}
		o.endAll(leaving, func(*session) bool { return true })
	}()
	err = server.Serve(listener)
	stop()
	<-watched
	<-stopped
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// peerOf asks the kernel who is at the other end of a connection; nil if it does not say.
func peerOf(conn net.Conn) *unix.Ucred {
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		return nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil
	}
	var peer *unix.Ucred
	if raw.Control(func(fd uintptr) { peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }) != nil || err != nil {
		return nil
	}
	return peer
}

// handler routes.
func (o *Opener) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+pathAlive, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("POST "+pathOpen, o.serveOpen)
	mux.HandleFunc("POST "+pathIdentify, o.serveReidentify)
	mux.HandleFunc("POST "+pathTake, o.serveTake)
	mux.HandleFunc("POST "+pathSessions, o.serveBegin)
	mux.HandleFunc("POST "+pathBatch, o.serveBatch)
	mux.HandleFunc("PUT "+pathSession, o.serveHold)
	mux.HandleFunc("POST "+pathWork, o.serveWork)
	mux.HandleFunc("DELETE "+pathSession, o.serveEnd)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer, _ := r.Context().Value(peerKey{}).(*unix.Ucred)
		if peer == nil || !o.allowed(peer.Uid, peer.Gid) {
			var uid int64 = -1
			if peer != nil {
				uid = int64(peer.Uid)
			}
			o.Logger.Warn("stranger refused", zap.Int64("uid", uid))
			w.Header().Set("Connection", "close")
			refuse(w, ErrStranger)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, mostBody)
		mux.ServeHTTP(w, r)
	})
}

// uidOf is the user of a request; the handler has checked that there is one.
func uidOf(r *http.Request) uint32 {
	peer, _ := r.Context().Value(peerKey{}).(*unix.Ucred)
	return peer.Uid
}

func (o *Opener) serveOpen(w http.ResponseWriter, r *http.Request) {
	q, err := read[Question](r)
	if err != nil {
		refuse(w, err)
		return
	}
	answer, err := o.Open(r.Context(), uidOf(r), q)
	if err != nil {
		o.Logger.Info("not opened", zap.Error(err), zap.Stringer("id", q.ID))
		refuse(w, err)
		return
	}
	write(w, answer)
	clear(answer.Plain)
}

func (o *Opener) serveBegin(w http.ResponseWriter, r *http.Request) {
	asked, err := read[ticketOf](r)
	if err != nil {
		refuse(w, err)
		return
	}
	begun, err := o.Begin(r.Context(), uidOf(r), asked.Ticket)
	if err != nil {
		refuse(w, err)
		return
	}
	write(w, begun)
}

func (o *Opener) serveReidentify(w http.ResponseWriter, r *http.Request) {
	asked, err := read[ticketOf](r)
	if err != nil {
		refuse(w, err)
		return
	}
	found, err := o.Reidentify(r.Context(), uidOf(r), asked.Ticket)
	if err != nil {
		refuse(w, err)
		return
	}
	answer := identitiesOf{Closed: found.Closed}
	for _, i := range found.Identities {
		answer.Identities = append(answer.Identities, identityOf{i.Kind(), i.Ente(), i.Value().Reveal()})
	}
	write(w, answer)
}

func (o *Opener) serveHold(w http.ResponseWriter, r *http.Request) {
	session, err := uuid.Parse(r.PathValue("session"))
	if err == nil {
		err = o.Hold(uidOf(r), session)
	}
	if err != nil {
		refuse(w, ErrSession)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (o *Opener) serveBatch(w http.ResponseWriter, r *http.Request) {
	session, errID := uuid.Parse(r.PathValue("session"))
	b, err := read[batchOf](r)
	if errID != nil || err != nil {
		refuse(w, ErrMalformed)
		return
	}
	answered := false
	err = o.OpenBatch(r.Context(), uidOf(r), session, b.Items, func(opened Opened) error {
		if !answered {
			w.Header().Set("Content-Type", "application/octet-stream")
			answered = true
		}
		defer clear(opened.Plain)
		return writeOpened(w, opened)
	})
	if err != nil && !answered {
		refuse(w, err)
	}
}

func (o *Opener) serveEnd(w http.ResponseWriter, r *http.Request) {
	session, err := uuid.Parse(r.PathValue("session"))
	if err != nil {
		refuse(w, ErrMalformed)
		return
	}
	if err := o.End(r.Context(), uidOf(r), session); err != nil {
		refuse(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// read reads a body of known fields only: one that is not understood must not pass for one that is.
func read[T any](r *http.Request) (body T, err error) {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if d.Decode(&body) != nil || d.More() {
		return body, ErrMalformed
	}
	return body, nil
}

func write(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body) //nolint:errchkjson // the client has gone
}

// refuse tells why.
func refuse(w http.ResponseWriter, err error) {
	said, _ := wordOf(err)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(said.status)
	_ = json.NewEncoder(w).Encode(refusal{said.text}) //nolint:errchkjson // the client has gone
}
