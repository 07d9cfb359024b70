package client_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"unicode/utf16"

	"github.com/sinbahub/sinbahub/pkg/client"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// TestNoGarbageIsBelieved has one answer each that looks like a receipt and is none, or tells of the
// message to whoever prints the error.
func TestNoGarbageIsBelieved(t *testing.T) {
	t.Parallel()
	good := envelope(receiptOf(client.Accettato))
	change := func(old, with string) answer {
		changed := strings.Replace(good, old, with, 1)
		if changed == good {
			t.Fatalf("the receipt has no %s", old)
		}
		return says(200, changed)
	}
	body := func(inside string) answer { return says(200, envelope(inside)) }
	receipt := receiptOf(client.Accettato)
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = io.WriteString(z, good)
	_ = z.Close()
	cases := map[string]struct {
		answer answer
		reason client.Reason
	}{
		"nothing":                      {says(200, ""), client.Unreadable},
		"blanks":                       {says(200, " \n"), client.Unreadable},
		"a proxy's page":               {says(200, "<!DOCTYPE html><html>"+canary+"</html>"), client.Unreadable},
		"JSON":                         {says(200, `{"esito":"ACCETTATO"}`), client.Unreadable},
		"a receipt without envelope":   {says(200, receipt), client.Unreadable},
		"no body":                      {says(200, strings.NewReplacer("soap:Body", "soap:Header").Replace(good)), client.Unreadable},
		"an empty body":                {body(""), client.Unreadable},
		"text in the body":             {body(canary), client.Unreadable},
		"another envelope":             {change(soap.Namespace12, "urn:"+canary), client.Unreadable},
		"another namespace":            {change("urn:sinba:eventi:v1", "urn:"+canary), client.Unreadable},
		"another response":             {body(strings.ReplaceAll(receipt, "InviaEventoRisposta", "VerificaEventoRisposta")), client.Unreadable},
		"the request itself":           {body(event[strings.Index(event, "?>")+2:]), client.Unreadable},
		"two receipts":                 {body(receipt + receipt), client.Unreadable},
		"a receipt and a fault":        {body(receipt + "<soap:Fault><soap:Code/></soap:Fault>"), client.Unreadable},
		"a fault without detail":       {body("<soap:Fault><soap:Reason>" + canary + "</soap:Reason></soap:Fault>"), client.Unreadable},
		"a fault of another envelope":  {body(`<Fault xmlns="urn:x"/>`), client.Unreadable},
		"a fault without violation":    {says(500, faultOf()), client.Unreadable},
		"a fault with a made-up code":  {says(500, faultOf("SINBA_"+canary)), client.Unreadable},
		"a fault with two details":     {says(500, strings.Replace(faultOf("SINBA_301"), "<ErroreSinba", faultDetail()+"<ErroreSinba", 1)), client.Unreadable},
		"500 with a receipt":           {says(500, good), client.Unreadable},
		"201 with a receipt":           {says(201, good), client.Unreadable},
		"503 with a receipt":           {says(503, good), client.Unreadable},
		"a second root":                {says(200, good+"<a/>"), client.Unreadable},
		"text after the end":           {says(200, good+canary), client.Unreadable},
		"cut without a length":         {says(200, good[:len(good)-5]), client.Unreadable},
		"a DOCTYPE":                    {says(200, strings.Replace(good, "?>", `?><!DOCTYPE a [<!ENTITY b "`+canary+`">]>`, 1)), client.Unreadable},
		"an entity":                    {change("ACCETTATO", "&"+canary+";"), client.Unreadable},
		"another encoding's name":      {change("UTF-8", "ISO-8859-1"), client.Unreadable},
		"UTF-16":                       {says(200, inUTF16(good)), client.Unreadable},
		"bytes that are no UTF-8":      {change("ACCETTATO", "ACCETTATO\xff"), client.Unreadable},
		"NUL":                          {change("ACCETTATO", "\x00"), client.Unreadable},
		"compressed":                   {says(200, zipped.String(), "Content-Encoding", "gzip"), client.Unreadable},
		"an outcome of its own":        {change("ACCETTATO", canary), client.Foreign},
		"an outcome of another answer": {change("ACCETTATO", "RIFIUTATO"), client.Foreign},
		"no receipt id":                {change("<IdRicevuta>01900000-0000-7000-8000-000000000001</IdRicevuta>", ""), client.Foreign},
		"a receipt id that is none":    {change("<IdRicevuta>01900000-", "<IdRicevuta>{0190000-"), client.Foreign},
		"another event":                {change(idEvent, "4c393986-0b93-4759-8d91-8539d9ba9b91"), client.Foreign},
		"another message":              {change("19ebdd45", "19ebdd46"), client.Foreign},
		"no instant":                   {change("2024-04-12T", "12.4.2024 "+canary), client.Unreadable},
		"a short digest":               {change("<ImprontaMessaggio>", "<ImprontaMessaggio>0"), client.Foreign},
		"a long salt":                  {change("<SaleImpronta>", "<SaleImpronta>0"), client.Foreign},
		"a shadow of the registration": {change("<IdRegistrazione>", "<IdRegistrazione>"+canary), client.Foreign},
		"nested without end":           {change("<IdRicevuta>", strings.Repeat("<a>", 200_000)), client.Unreadable},
		"larger than any":              {says(200, good+strings.Repeat(" ", client.MaxAnswer)), client.TooLarge},
		"a status line that tells":     {raw("HTTP/1.1 2" + canary + "\r\n\r\n"), client.NoAnswer},
		"a header that tells":          {raw("HTTP/1.1 200 OK\r\n" + canary + "\r\n\r\n"), client.NoAnswer},
		"a length that tells":          {raw("HTTP/1.1 200 OK\r\nContent-Length: " + canary + "\r\n\r\n"), client.NoAnswer},
		"a coding that tells":          {raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: " + canary + "\r\n\r\n"), client.NoAnswer},
		"a chunk that tells":           {raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + canary + "\r\n"), client.Cut},
		"headers without end":          {raw("HTTP/1.1 200 OK\r\n" + strings.Repeat("A: "+canary+"\r\n", 10_000) + "\r\n" + good), client.NoAnswer},
		"a code that tells":            {says(500, "", "X-Sinba-Codice", canary), client.Unreadable},
	}
	for name, tt := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := play(t, tt.answer)
			c, _ := h.connect(t, once)
			receipt, err := c.InviaEvento(t.Context(), []byte(event))
			unusable, ok := errors.AsType[*client.AnswerError](err)
			if receipt != nil || !ok || unusable.Reason != tt.reason {
				t.Fatalf("got %+v %v, want %v", receipt, err, tt.reason)
			}
			if !client.Temporary(err) {
				t.Error("nothing is known, and yet it is not temporary")
			}
			mustNotTell(t, err)
		})
	}
}

func faultDetail() string {
	fault := faultOf("SINBA_301")
	begin, end := strings.Index(fault, "<ErroreSinba"), strings.Index(fault, "</soap:Detail>")
	return fault[begin:end]
}

// inUTF16 is a text in UTF-16 with its mark.
func inUTF16(text string) string {
	b := []byte{0xfe, 0xff}
	for _, unit := range utf16.Encode([]rune(text)) {
		b = binary.BigEndian.AppendUint16(b, unit)
	}
	return string(b)
}

func TestCodeOfTheHeaderIsToldWhenTheFaultIsLost(t *testing.T) {
	t.Parallel()
	h := play(t, says(500, "<html>", "X-Sinba-Codice", "SINBA_301"))
	c, _ := h.connect(t, once)
	_, err := c.InviaEvento(t.Context(), []byte(event))
	if unusable, ok := errors.AsType[*client.AnswerError](err); !ok || unusable.Codice != "SINBA_301" || unusable.Status != http.StatusInternalServerError {
		t.Errorf("got %v", err)
	}
}

// TestNetworkErrorsAreKeptWithoutWhatWasReceived has errors as net/http makes them of a proxy's words.
func TestNetworkErrorsAreKeptWithoutWhatWasReceived(t *testing.T) {
	t.Parallel()
	said := errors.New(canary)
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	wrapped := func(err error) error {
		return &url.Error{Op: "Post", URL: "https://hub.example/" + canary, Err: fmt.Errorf(canary+": %w", err)}
	}
	for name, tt := range map[string]struct {
		ctx       context.Context //nolint:containedctx // a case of the test
		err, kept error
	}{
		"what a server wrote":       {t.Context(), wrapped(said), nil},
		"what a proxy wrote":        {t.Context(), wrapped(&net.OpError{Op: "proxyconnect", Net: "tcp", Err: said}), nil},
		"nobody there":              {t.Context(), wrapped(refused), syscall.ECONNREFUSED},
		"a line cut":                {t.Context(), wrapped(io.ErrUnexpectedEOF), io.ErrUnexpectedEOF},
		"a line closed":             {t.Context(), wrapped(io.EOF), io.EOF},
		"a deadline of the network": {t.Context(), wrapped(os.ErrDeadlineExceeded), os.ErrDeadlineExceeded},
		"a context that ended":      {ended, wrapped(said), context.Canceled},
	} {
		got := client.Cause(tt.ctx, tt.err)
		if got == nil || tt.kept != nil && !errors.Is(got, tt.kept) {
			t.Errorf("%s: %v", name, got)
		}
		mustNotTell(t, got)
	}
}

// TestEndlessAnswerIsLeft counts to far above what the buffers of the two kernels hold (32 MiB and
// more): what a hub could write says little about what the client read, but one that read on would
// take all of it.
func TestEndlessAnswerIsLeft(t *testing.T) {
	t.Parallel()
	const endless = 1 << 30
	written := make(chan int, 1)
	h := play(t, func(w http.ResponseWriter, _ *http.Request) {
		n, piece := 0, bytes.Repeat([]byte(" "), 1<<20)
		for n < endless {
			k, err := w.Write(piece)
			if n += k; err != nil {
				break
			}
		}
		written <- n
	})
	c, _ := h.connect(t, once)
	_, err := c.InviaEvento(t.Context(), []byte(event))
	if unusable, ok := errors.AsType[*client.AnswerError](err); !ok || unusable.Reason != client.TooLarge {
		t.Errorf("got %v", err)
	}
	if n := <-written; n >= endless {
		t.Errorf("%d bytes were taken", n)
	}
}

func TestReceiptThatDoesNotProveTheDocumentComesWithAnError(t *testing.T) {
	t.Parallel()
	h := play(t, says(200, envelope(strings.Replace(receiptOf(client.Accettato), salt, strings.Repeat("f", 32), 1))))
	c, _ := h.connect(t)
	receipt, err := c.InviaEvento(t.Context(), []byte(event))
	if !errors.Is(err, client.ErrReceipt) || receipt == nil || client.Temporary(err) || len(h.arrived()) != 1 {
		t.Errorf("got %v %v", receipt, err)
	}
}

func TestReceiptProvesOnlyItsDocument(t *testing.T) {
	t.Parallel()
	h := play(t, says(200, envelope(receiptOf(client.Accettato))))
	c, _ := h.connect(t)
	receipt, err := c.InviaEvento(t.Context(), []byte(event))
	if err != nil {
		t.Fatal(err)
	}
	for document, proves := range map[string]bool{
		event: true,
		strings.ReplaceAll(event, idEvent, strings.ToUpper(idEvent)):               true,
		strings.Replace(event, "19ebdd45", "00000000", 1):                          true,
		strings.Replace(event, canary, "Altro", 1):                                 false,
		strings.ReplaceAll(event, idEvent, "4c393986-0b93-4759-8d91-8539d9ba9b91"): false,
		strings.Replace(event, "</Cognome>", "</Cognome><Nome>A</Nome>", 1):        false,
		strings.Replace(event, "</Cognome>", "", 1):                                false,
		"": false,
	} {
		if err := receipt.Verify([]byte(document)); (err == nil) != proves || err != nil && !errors.Is(err, client.ErrReceipt) {
			t.Errorf("%s: %v", document, err)
		}
	}
	receipt.SaleImpronta = ""
	if err := receipt.Verify([]byte(strings.Replace(event, canary, "Altro", 1))); err != nil {
		t.Errorf("a receipt whose salt is gone: %v", err)
	}
}

// FuzzAnswer looks for a crash, for an error that tells of the answer, and for an outcome that is
// not whole.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(envelope(receiptOf(client.Accettato))))
	f.Add([]byte(faultOf("SINBA_301", "SINBA_303")))
	f.Add([]byte("<html>"))
	f.Add([]byte(envelope("<soap:Fault/>")))
	f.Fuzz(func(t *testing.T, body []byte) {
		receipt, err := client.ReadReceipt(body)
		if (receipt == nil) == (err == nil) {
			t.Fatalf("got %v %v", receipt, err)
		}
		if fault, ok := errors.AsType[*client.FaultError](err); ok && len(fault.Anomalie) == 0 {
			t.Error("a fault without violation")
		}
		if err != nil && len(err.Error()) > 400 {
			t.Errorf("an error of %d bytes", len(err.Error()))
		}
		if receipt != nil && receipt.Whole() && (len(receipt.IDRicevuta) != 36 || len(receipt.ImprontaMessaggio) != 64) {
			t.Errorf("believed %+v", receipt)
		}
	})
}

// FuzzDocument looks for a document that its own content form cannot stand.
func FuzzDocument(f *testing.F) {
	f.Add([]byte(event))
	f.Add([]byte("<a><Data>2024</Data><ProgressivoCartella>-+</ProgressivoCartella></a>"))
	f.Fuzz(func(t *testing.T, document []byte) {
		first := client.ContentOf(document)
		if !bytes.Equal(first, client.ContentOf(append(document, "<!-- -->"...))) && first != nil {
			t.Error("a remark changed the content")
		}
	})
}
