package door_test

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/sinbahub/sinbahub/internal/door"
)

const post = "POST /soap HTTP/1.1\r\nHost: hub\r\n"

// follow feeds a connection's bytes in pieces of one size; 0 is all at once.
func follow(stream string, piece int) *door.Framing {
	f := &door.Framing{}
	for p := []byte(stream); len(p) > 0; {
		n := len(p)
		if piece > 0 {
			n = min(piece, n)
		}
		f.Feed(p[:n])
		p = p[n:]
	}
	return f
}

func TestFramingFindsWhatNetHTTPMends(t *testing.T) {
	t.Parallel()
	const nothing = ""
	cases := []struct {
		name, stream string
		heads        int
		flaw         string
	}{
		{"no body", "GET / HTTP/1.1\r\nHost: hub\r\n\r\n", 1, nothing},
		{"announced length", post + "Content-Length: 3\r\n\r\nabc", 1, nothing},
		{"lower case, blanks around the length", post + "content-length: \t3 \r\n\r\nabc", 1, nothing},
		{"length zero", post + "Content-Length: 0\r\n\r\n", 1, nothing},
		{"chunked", post + "Transfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n", 1, nothing},
		{"trailers", post + "Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\nContent-Length: 5\r\n\r\n", 1, nothing},
		{"pipelined", post + "Content-Length: 3\r\n\r\nabc" + post + "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\nGET / HTTP/1.0\r\n\r\n", 3, nothing},
		{"an empty line before a request", "\r\n" + post + "\r\n", 1, nothing},
		{"an empty line before each of two", "\r\n" + post + "\r\n\r\n" + post + "\r\n", 2, nothing},
		{"a longer name", post + "X-Content-Length: 1\r\nContent-Length-Not: 7\r\nTransfer-Encodings: x\r\n\r\n", 1, nothing},

		{"length and coding", post + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 0, "length-and-transfer-coding"},
		{"coding and length", post + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 0, "length-and-transfer-coding"},
		{"the same length twice", post + "Content-Length: 3\r\nContent-Length: 3\r\n\r\n", 0, "content-length"},
		{"two lengths", post + "Content-Length: 3\r\nContent-Length: 4\r\n\r\n", 0, "content-length"},
		{"a list of lengths", post + "Content-Length: 3, 3\r\n\r\n", 0, "content-length"},
		{"a signed length", post + "Content-Length: +3\r\n\r\n", 0, "content-length"},
		{"a huge length", post + "Content-Length: 18446744073709551619\r\n\r\n", 0, "content-length"},
		{"no length", post + "Content-Length:\r\n\r\n", 0, "content-length"},
		{"coding twice", post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 0, "transfer-coding"},
		{"two codings", post + "Transfer-Encoding: gzip, chunked\r\n\r\n", 0, "transfer-coding"},
		{"another coding", post + "Transfer-Encoding: identity\r\n\r\n", 0, "transfer-coding"},
		{"coding in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 0, "transfer-coding"},
		{"a bare LF", post + "X: y\n\r\n", 0, "line-end"},
		{"a request line with a bare LF", "GET / HTTP/1.1\nHost: hub\r\n\r\n", 0, "line-end"},
		{"a bare LF ends the head", post + "X: y\r\n\n", 0, "line-end"},
		{"a folded header", post + "X: y\r\n z\r\n\r\n", 0, "folded-header"},
		{"a blank before the first header", "GET / HTTP/1.1\r\n\tHost: hub\r\n\r\n", 0, "folded-header"},
		{"HTTP/0.9", "GET /\r\n", 0, "http-version"},
		{"HTTP/2 by prior knowledge", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0, "http-version"},
		{"empty lines", "\r\n\r\n" + post + "\r\n", 0, "blank-lines"},
		{"an endless line", post + "X: " + strings.Repeat("y", 100_000), 0, "line-length"},

		{"a chunk without size", post + "Transfer-Encoding: chunked\r\n\r\n;x\r\nabc\r\n", 1, "chunk"},
		{"a chunk's size with more behind it", post + "Transfer-Encoding: chunked\r\n\r\n3x\r\nabc\r\n", 1, "chunk"},
		{"a negative chunk", post + "Transfer-Encoding: chunked\r\n\r\n-1\r\nabc\r\n", 1, "chunk"},
		{"a huge chunk", post + "Transfer-Encoding: chunked\r\n\r\n10000000000000003\r\nabc\r\n", 1, "chunk"},
		{"a chunk longer than said", post + "Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n", 1, "chunk"},
		{"a chunk's size with a bare LF", post + "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n", 1, "line-end"},
		{"a chunk's size with a CR inside", post + "Transfer-Encoding: chunked\r\n\r\n3;\rx\r\nabc\r\n", 1, "chunk"},
		{"a chunk that ends with a bare LF", post + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\n0\r\n\r\n", 1, "line-end"},
		{"a folded trailer", post + "Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n z\r\n\r\n", 1, "folded-header"},
		{"the second of two", post + "\r\n" + post + "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 1, "content-length"},
	}
	for _, c := range cases {
		for _, piece := range []int{0, 1, 7} {
			f := follow(c.stream, piece)
			if f.Heads() != c.heads || f.Flaw() != c.flaw || c.flaw == nothing && !f.Waiting() {
				t.Errorf("%s, pieces of %d: %d heads, flaw %q, waiting %t; want %d, %q", c.name, piece, f.Heads(), f.Flaw(), f.Waiting(), c.heads, c.flaw)
			}
		}
	}
}

// TestFramingCountsContent: chunks of one byte do not count for what stands around them.
func TestFramingCountsContent(t *testing.T) {
	t.Parallel()
	for stream, want := range map[string]int64{
		post + "Content-Length: 10\r\n\r\nabc":                                   3,
		post + "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0005\r\nc": 3,
		post + "Content-Length: 3\r\n\r\nabc" + post:                             0,
	} {
		if got := follow(stream, 0).Got(); got != want {
			t.Errorf("%q: %d bytes of content, want %d", stream, got, want)
		}
	}
}

// FuzzFramingAgreesWithNetHTTP: where both read on, each request ends at the same byte; and it
// does not matter how the bytes arrive.
func FuzzFramingAgreesWithNetHTTP(f *testing.F) {
	for _, seed := range []string{
		post + "Content-Length: 3\r\n\r\nabc" + post + "\r\n",
		post + "Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n" + post + "\r\n",
		post + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + post + "\r\n",
		post + "Content-Length: 03\r\nX: \x00\r\n\r\nabc" + post + "\r\n",
		"POST / HTTP/1.0\r\nContent-Length:1\r\n\r\na" + post + "\r\n",
		"\r\nGET http://x/ HTTP/1.1\r\nHost: y\r\nExpect: 100-continue\r\n\r\n",
		post + "Transfer-Encoding: chunked\r\n\r\n00000000000000000000001\r\na\r\n0\r\n\r\n",
	} {
		f.Add([]byte(seed), uint8(3))
	}
	f.Fuzz(func(t *testing.T, stream []byte, piece uint8) {
		whole := follow(string(stream), 0)
		parts := follow(string(stream), int(piece))
		if whole.Heads() != parts.Heads() || whole.Flaw() != parts.Flaw() || whole.Waiting() != parts.Waiting() {
			t.Fatalf("in pieces of %d: %d heads %q, at once %d heads %q", piece, parts.Heads(), parts.Flaw(), whole.Heads(), whole.Flaw())
		}
		source := bytes.NewReader(stream)
		reader := bufio.NewReader(source)
		for n := 1; ; n++ {
			request, err := http.ReadRequest(reader)
			if err != nil {
				return
			}
			if _, err := io.Copy(io.Discard, request.Body); err != nil {
				return
			}
			end := len(stream) - source.Len() - reader.Buffered()
			until := follow(string(stream[:end]), 0)
			if until.Flaw() != "" {
				return
			}
			if until.Heads() != n || !until.Waiting() {
				t.Fatalf("net/http ends request %d at byte %d, framing has %d heads there, waiting %t", n, end, until.Heads(), until.Waiting())
			}
		}
	})
}

// BenchmarkFraming is what following a connection costs each request.
func BenchmarkFraming(b *testing.B) {
	body := strings.Repeat("x", 8_000)
	head := "POST /soap/sociale/v1/SinbaEventi HTTP/1.1\r\nHost: 127.0.0.1:34567\r\nUser-Agent: zeep/4.2.1 (www.python-zeep.org)\r\n" +
		"Accept-Encoding: gzip, deflate\r\nAccept: */*\r\nConnection: keep-alive\r\nSOAPAction: \"urn:sinba:eventi:v1/inviaEvento\"\r\n" +
		"Content-Type: text/xml; charset=utf-8\r\nAuthorization: Basic Z2Vzb2NpYWwtcGlzYTphYmNkZWZnaGlqa2xtbm9wcXJzdHV2\r\n"
	for name, request := range map[string]string{
		"length":  head + "Content-Length: 8000\r\n\r\n" + body,
		"chunked": head + "Transfer-Encoding: chunked\r\n\r\n1000\r\n" + body[:4096] + "\r\nf40\r\n" + body[:3904] + "\r\n0\r\n\r\n",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			f, p := door.Framing{}, []byte(request)
			for b.Loop() {
				// As net/http reads.
				f.Feed(p[:4096])
				f.Feed(p[4096:])
			}
			if f.Flaw() != "" || !f.Waiting() {
				b.Fatalf("flaw %q", f.Flaw())
			}
		})
	}
}
