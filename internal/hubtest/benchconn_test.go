//go:build bench

package hubtest_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strconv"
)

// benchConn is one keep-alive connection, cheaper than net/http's client so that the load takes
// little of the two cores.
type benchConn struct {
	conn    net.Conn
	reader  *bufio.Reader
	header  []byte
	request []byte
	answer  []byte
}

func (b *bench) dial() *benchConn {
	u, err := url.Parse(b.hub.Run.SoapURL)
	if err != nil {
		b.t.Fatal(err)
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		b.t.Fatal(err)
	}
	p := b.hub.Participant("SDS-PI")
	credential := base64.StdEncoding.EncodeToString([]byte(p.APIUser + ":" + b.hub.Password(p)))
	header := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Basic %s\r\nContent-Type: text/xml; charset=utf-8\r\nSOAPAction: \"\"\r\n", u.Path, u.Host, credential)
	return &benchConn{conn: conn, reader: bufio.NewReaderSize(conn, 16<<10), header: []byte(header)}
}

func (c *benchConn) close() { _ = c.conn.Close() }

// post sends a request and reads the answer, whose body is good until the next call.
func (c *benchConn) post(body []byte) (status int, answer []byte, err error) {
	c.request = append(c.request[:0], c.header...)
	c.request = append(c.request, "Content-Length: "...)
	c.request = strconv.AppendInt(c.request, int64(len(body)), 10)
	c.request = append(c.request, "\r\n\r\n"...)
	c.request = append(c.request, body...)
	if _, err := c.conn.Write(c.request); err != nil {
		return 0, nil, err
	}
	length := 0
	for first := true; ; first = false {
		line, err := c.reader.ReadSlice('\n')
		if err != nil {
			return 0, nil, err
		}
		text := bytes.TrimSpace(line)
		if first && len(text) > 12 {
			status, err = strconv.Atoi(string(text[9:12]))
		}
		if value, found := bytes.CutPrefix(text, []byte("Content-Length: ")); found {
			length, err = strconv.Atoi(string(value))
		}
		if err != nil {
			return 0, nil, err
		}
		if len(text) == 0 {
			break
		}
	}
	c.answer = slices.Grow(c.answer[:0], length)[:length]
	_, err = io.ReadFull(c.reader, c.answer)
	return status, c.answer, err
}
