package opener

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
)

// Client asks an opener. It is safe for concurrent use.
type Client struct {
	socket string
	http   *http.Client
}

// NewClient makes a client of the opener on a Unix socket. Nothing is connected yet.
func NewClient(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}
	return &Client{socket: socket, http: &http.Client{Transport: &http.Transport{
		DialContext: dial, MaxIdleConns: 4, IdleConnTimeout: time.Minute, DisableCompression: true,
	}}}
}

// Dial makes a client that connects now, and never again: for a process that gives up new connections. It
// asks one thing at a time, and what its opener ends stays ended.
func Dial(ctx context.Context, socket string) (*Client, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, ErrUnreachable
	}
	only := make(chan net.Conn, 1)
	only <- conn
	dial := func(context.Context, string, string) (net.Conn, error) {
		select {
		case c := <-only:
			return c, nil
		default:
			return nil, ErrUnreachable
		}
	}
	return &Client{socket: socket, http: &http.Client{Transport: &http.Transport{
		DialContext: dial, MaxConnsPerHost: 1, MaxIdleConns: 1, MaxIdleConnsPerHost: 1, DisableCompression: true,
	}}}, nil
}

// Close gives back idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Alive tells whether an opener answers that takes this user's questions.
func (c *Client) Alive(ctx context.Context) error {
	response, err := c.ask(ctx, http.MethodGet, pathAlive, nil)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

// Pid is the process at the other end, as the kernel says; 0 if there is none.
func (c *Client) Pid(ctx context.Context) int {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", c.socket)
	if err != nil {
		return 0
	}
	defer func() { _ = conn.Close() }()
	peer := peerOf(conn)
	if peer == nil {
		return 0
	}
	return int(peer.Pid)
}

// Open asks for one thing. The answer stands in the journal before it comes.
func (c *Client) Open(ctx context.Context, q Question) (*Answer, error) {
	return ask[Answer](ctx, c, pathOpen, q)
}

// Session is a right to open batches.
type Session struct {
	Begun

	client *Client
}

// Begin begins a session for a ticket of a range. End it.
func (c *Client) Begin(ctx context.Context, signed string) (*Session, error) {
	b, err := ask[Begun](ctx, c, pathSessions, ticketOf{signed})
	if err != nil {
		return nil, err
	}
	return &Session{*b, c}, nil
}

// Reidentify asks for the identities behind the pseudonym that a ticket names. The answer stands in the
// journal before it comes, and comes once.
func (c *Client) Reidentify(ctx context.Context, signed string) (*Reidentified, error) {
	answer, err := ask[identitiesOf](ctx, c, pathIdentify, ticketOf{signed})
	if err != nil {
		return nil, err
	}
	found := &Reidentified{Closed: answer.Closed}
	for _, i := range answer.Identities {
		if i.Ente != "" {
			found.Identities = append(found.Identities, pseudonym.NewLocalIdentity(i.Ente, hub.NewIdentifier(i.Value)))
			continue
		}
		found.Identities = append(found.Identities, pseudonym.NewIdentity(i.Kind, hub.NewIdentifier(i.Value)))
	}
	return found, nil
}

// Open opens at most MaxBatch things, in the order asked: what became of each stands in its place. An
// error is of the whole batch, and what was answered before it is lost; asking again is another entry.
func (s *Session) Open(ctx context.Context, asked []Request) ([]Opened, error) {
	response, err := s.client.post(ctx, strings.Replace(pathBatch, "{session}", s.Session.String(), 1), batchOf{asked})
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	const buffer = 64 << 10
	body := bufio.NewReaderSize(response.Body, buffer)
	all := make([]Opened, 0, len(asked))
	for range asked {
		o, err := readOpened(body)
		if err != nil {
			return nil, err
		}
		all = append(all, o)
	}
	if _, err := body.ReadByte(); !errors.Is(err, io.EOF) {
		return nil, errFrame
	}
	return all, nil
}

// Hold keeps a session that rests: one that nobody uses ends by itself.
func (s *Session) Hold(ctx context.Context) error {
	response, err := s.client.ask(ctx, http.MethodPut, strings.Replace(pathSession, "{session}", s.Session.String(), 1), nil)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

// End ends the session.
func (s *Session) End(ctx context.Context) error {
	response, err := s.client.ask(ctx, http.MethodDelete, strings.Replace(pathSession, "{session}", s.Session.String(), 1), nil)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

// ask posts a body and reads a JSON answer.
func ask[T any](ctx context.Context, c *Client, path string, body any) (*T, error) {
	response, err := c.post(ctx, path, body)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	answer := new(T)
	if err := json.NewDecoder(response.Body).Decode(answer); err != nil {
		return nil, errFrame // never the decoder's words: they quote
	}
	return answer, nil
}

func (c *Client) post(ctx context.Context, path string, body any) (*http.Response, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, ErrMalformed
	}
	return c.ask(ctx, http.MethodPost, path, text)
}

// ask gives a good answer, or the error of a refusal.
func (c *Client) ask(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://opener"+path, bytes.NewReader(body))
	if err != nil {
		return nil, ErrMalformed
	}
	response, err := c.http.Do(request)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, ErrUnreachable
	}
	if response.StatusCode < http.StatusBadRequest {
		return response, nil
	}
	defer func() { _ = response.Body.Close() }()
	var said refusal
	const most = 4 << 10
	if json.NewDecoder(io.LimitReader(response.Body, most)).Decode(&said) != nil {
		return nil, ErrMalformed
	}
	return nil, errorOf(said.Error)
}
