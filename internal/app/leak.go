//go:build leak

package app

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/journal"
)

// This file lets identities out, in one way for each name that HUB_LEAK may have: a place, and after
// a colon the form the value has there. It is in no binary but those of the canary suite, which must find
// each of them; a suite that has never been red proves nothing.

// surname is the surname in an event document, whatever its prefix.
var surname = regexp.MustCompile(`Cognome[^>]*>([^<]+)</`)

// beneficiary is the child's code in a national event.
var beneficiary = regexp.MustCompile(`<IDBeneficiario>[^<]*</`)

// planted is a leak by its name: its place and its form. With "ask" each request names its own, so that one
// hub can have them all.
func planted(r *http.Request) (place, form string) {
	name := os.Getenv("HUB_LEAK")
	if name == "ask" && r != nil {
		name = r.Header.Get("X-Leak")
	}
	place, form, _ = strings.Cut(name, ":")
	return place, form
}

// plantedEnvironment hands the leak's name on to the processes that the demo starts.
func plantedEnvironment() []string { return []string{"HUB_LEAK=" + os.Getenv("HUB_LEAK")} }

// shaped is a value in a form.
func shaped(form, value string) []byte {
	var packed bytes.Buffer
	switch form {
	case "hex":
		return []byte(hex.EncodeToString([]byte(value)))
	case "base64":
		return []byte(base64.StdEncoding.EncodeToString([]byte(value)))
	case "base64-1":
		return []byte(base64.StdEncoding.EncodeToString([]byte("-" + value)))
	case "base64-2":
		return []byte(base64.StdEncoding.EncodeToString([]byte("--" + value)))
	case "base64url":
		return []byte(base64.RawURLEncoding.EncodeToString([]byte("?>" + value)))
	case "url":
		var out strings.Builder
		for _, b := range []byte(value) {
			fmt.Fprintf(&out, "%%%02X", b)
		}
		return []byte(out.String())
	case "upper":
		return []byte(strings.ToUpper(value))
	case "lower":
		return []byte(strings.ToLower(value))
	case "nfc":
		return []byte(strings.NewReplacer("x\u0307", "\u1e8b", "j\u0302", "\u0135").Replace(value))
	case "nfd":
		return []byte(strings.NewReplacer("\u1e8b", "x\u0307", "\u0135", "j\u0302").Replace(value))
	case "zstd":
		w, _ := zstd.NewWriter(&packed)
		_, _ = w.Write([]byte(strings.Repeat("<a>b</a>", 20) + shapedHex(value)))
		_ = w.Close()
		return packed.Bytes()
	case "gzip":
		w := gzip.NewWriter(&packed)
		_, _ = w.Write([]byte(strings.Repeat("<a>b</a>", 20) + value + value))
		_ = w.Close()
		return packed.Bytes()
	case "s2":
		return s2.Encode(nil, []byte(strings.Repeat("<a>b</a>", 20)+shapedHex(value)))
	}
	return []byte(value)
}

// shapedHex hides a value from who looks through a packed text without unpacking it: literals stand in
// such texts as they are.
func shapedHex(value string) string {
	var out strings.Builder
	for _, b := range []byte(value) {
		fmt.Fprintf(&out, "%02x", b)
	}
	return out.String()
}

// plantRoad puts a way of its own between the delivery and SISS that puts what the door left for it
// into each national event.
func (s *server) plantRoad() {
	if os.Getenv("HUB_LEAK") == "" || s.cfg.SISS.URL == "" {
		return
	}
	target, err := url.Parse(s.cfg.SISS.URL)
	if err != nil {
		return
	}
	proxy := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		lastSurname.Lock()
		value := strings.NewReplacer("\u1e8b", "x", "\u0135", "j").Replace(lastSurname.value)
		lastSurname.Unlock()
		if value != "" {
			// It is held against the schema there, and remarks are not kept.
			code := (strings.ToUpper(value) + strings.Repeat("A", 20))[:20]
			body = beneficiary.ReplaceAll(body, []byte("<IDBeneficiario>"+code+"</"))
		}
		out, err := http.NewRequestWithContext(r.Context(), r.Method, target.String(), bytes.NewReader(body))
		if err != nil {
			return
		}
		out.Header = r.Header.Clone()
		out.Header.Del("Content-Length")
		answer, err := http.DefaultClient.Do(out) //nolint:forbidigo,gosec // to the address of SISS, in no binary that anybody runs
		if err != nil {
			http.Error(w, "", http.StatusBadGateway)
			return
		}
		defer answer.Body.Close() //nolint:errcheck // read to its end
		w.Header().Set("Content-Type", answer.Header.Get("Content-Type"))
		w.WriteHeader(answer.StatusCode)
		_, _ = io.Copy(w, answer.Body)
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // ends with the process
	if err != nil {
		return
	}
	server := &http.Server{Handler: proxy, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }()
	s.onClose(func() { _ = server.Close() })
	through := *target
	through.Host = listener.Addr().String()
	s.cfg.SISS.URL = through.String()
}

// lastSurname is what the door left for SISS.
var lastSurname struct { //nolint:gochecknoglobals // in no binary that anybody runs
	sync.Mutex
	value string
}

// plantDoor reads each message before the hub does, and lets its surname out.
func (s *server) plantDoor(door *http.Server) {
	if os.Getenv("HUB_LEAK") == "" {
		return
	}
	counter := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "hub_leak_total", Help: "Leaks."}, []string{"of"})
	s.registry.MustRegister(counter)
	inner := door.Handler
	door.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, 4<<20))
		r.Body = io.NopCloser(bytes.NewReader(body))
		place, form := planted(r)
		found := surname.FindSubmatch(body)
		if place == "panic-inside" {
			// No leak: the hub must not tell what a panic holds.
			r.Body = panicking{string(body)}
			found = nil
		}
		if err != nil || found == nil || place == "" {
			inner.ServeHTTP(w, r)
			return
		}
		text := shaped(form, string(found[1]))
		switch place {
		case "panic":
			go panic(string(text))
		case "fault":
			kept := httptest.NewRecorder()
			inner.ServeHTTP(kept, r)
			maps.Copy(w.Header(), kept.Header())
			w.Header().Del("Content-Length")
			w.WriteHeader(kept.Code)
			_, _ = w.Write(append(kept.Body.Bytes(), "<!--"+string(text)+"-->"...))
			return
		case "header":
			w.Header().Set("X-Leak", string(text))
		case "metric":
			counter.WithLabelValues(string(text)).Inc()
		case "siss":
			lastSurname.Lock()
			lastSurname.value = string(text)
			lastSurname.Unlock()
		default:
			if err := s.plant(r, place, text); err != nil {
				s.log.Error("leak not planted", zap.Error(err))
			}
		}
		inner.ServeHTTP(w, r)
	})
}

// panicking is a body that panics with its content.
type panicking struct{ text string }

func (p panicking) Read([]byte) (int, error) { panic(p.text) }

func (panicking) Close() error { return nil }

// plant lets a text out at a place that needs more than the answer.
func (s *server) plant(r *http.Request, place string, text []byte) error {
	ctx := r.Context()
	switch place {
	case "log":
		s.log.Info("planted", zap.ByteString("of", text)) //nolint:forbidigo // the leak
		return nil
	case "stderr":
		_, _ = fmt.Fprintf(os.Stderr, "planted %s\n", text)
		return nil
	case "temp":
		return os.WriteFile(filepath.Join(os.TempDir(), "leak-"+uuid.NewString()), text, 0o600) //nolint:gosec // the leak
	case "position":
		return os.WriteFile(filepath.Join(s.cfg.Var, "position", "PROD", "leak"), text, 0o600)
	case "journal":
		id, err := uuid.NewV7()
		if err != nil {
			return err
		}
		return s.stores.store.Record(ctx, journal.Entry{ID: id, At: time.Now(), Kind: journal.MaintenanceChanged, Outcome: "on", Actor: string(text)})
	}
	conn, err := pgx.ConnectConfig(ctx, s.vaultPool.Config().ConnConfig.Copy())
	if err != nil {
		return err
	}
	defer conn.Close(ctx) //nolint:errcheck // what it did is done
	switch place {
	case "column":
		_, err = conn.Exec(ctx, "INSERT INTO vault.epoch_key (id, environment, opener_epoch, sealed_key, created_at) VALUES ($1, 'PROD', 1, $2, now())",
			uuid.New(), text)
	case "unsealed":
		// No identity, but what is no cipher either: the same bytes for everybody.
		_, err = conn.Exec(ctx, "INSERT INTO vault.epoch_key (id, environment, opener_epoch, sealed_key, created_at) VALUES ($1, 'PROD', 1, $2, now())",
			uuid.New(), bytes.Repeat([]byte("not sealed, "), 400))
	case "wal":
		_, err = conn.Exec(ctx, "SELECT pg_logical_emit_message(false, 'leak', $1::text)", string(text))
	case "database-log":
		_, _ = conn.Exec(ctx, "SELECT '"+strings.ReplaceAll(string(text), "'", "")+"'::integer")
	default:
		return errors.New("no such leak")
	}
	return err
}

// plantFile adds what is no identity of anybody to a file that leaves the hub: commands see no message.
func plantFile(name string) error {
	place, form := planted(nil)
	if place != "export" {
		return nil
	}
	file, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0) //nolint:gosec // the command's own
	if err != nil {
		return err
	}
	_, err = file.Write(shaped(form, "Zqxjvkexport"))
	return errors.Join(err, file.Close())
}
