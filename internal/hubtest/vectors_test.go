//go:build e2e

package hubtest_test

import (
	"bytes"
	stdcmp "cmp"
	"encoding/hex"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/klauspost/compress/s2"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/journal"
)

// update rewrites what the hub answers and stores in testdata/exchanges.
var update = flag.Bool("update", false, "rewrite testdata/exchanges but its requests")

// TestE2EExchangesAreAsRecorded replays testdata/exchanges through the door. Its README tells the
// format.
//
//nolint:tparallel,paralleltest // one after the other: what is new in the journal belongs to the exchange
func TestE2EExchangesAreAsRecorded(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(hubtest.Root(), "testdata", "exchanges", "*", "*.txtar"))
	if err != nil || len(files) < 12 {
		t.Fatalf("%d exchanges: %v", len(files), err)
	}
	h := hubtest.Start(t)
	r := &replay{hub: h, db: h.Superuser()}
	for _, file := range files {
		t.Run(filepath.Base(filepath.Dir(file))+"/"+filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			recorded := parseArchive(text)
			replayed := r.run(t, recorded)
			if *update {
				if err := os.WriteFile(file, replayed, 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(text), string(replayed)); diff != "" {
				t.Errorf("(-recorded +now)\n%s", diff)
			}
		})
	}
}

// replay sends recorded requests to a hub.
type replay struct {
	hub *hubtest.Hub
	db  *pgx.Conn
}

// run gives the archive as it would be recorded now.
func (r *replay) run(t *testing.T, recorded *archive) []byte {
	t.Helper()
	now := &archive{comment: recorded.comment}
	mask := newMask(r.hub.Run.SoapURL, recorded)
	for _, s := range recorded.sections {
		step, isRequest := strings.CutSuffix(s.name, "-request")
		if !isRequest {
			continue
		}
		now.add(s.name, s.text)
		before := len(hubtest.MessageEntries(t, r.db))
		a, err := r.hub.Sender(hubtest.ChildEnte).Do(r.request(t, s.text))
		if err != nil {
			t.Fatal(err)
		}
		now.add(step+"-answer", mask.apply(formatAnswer(a)))
		receipts := a.Receipts()
		maps.DeleteFunc(receipts, func(_ int, r *hubtest.Receipt) bool { return r.Esito == "DUPLICATO" })
		if len(receipts) > 0 {
			hubtest.AwaitDelivered(t, r.db, patience)
		}
		for _, position := range slices.Sorted(maps.Keys(receipts)) {
			suffix := ""
			if position > 0 {
				suffix = "-" + strconv.Itoa(position)
			}
			receipt := uuid.MustParse(receipts[position].IDRicevuta)
			now.add(step+"-regional"+suffix, mask.apply(broken(r.regional(t, receipt))))
			now.add(step+"-national"+suffix, mask.apply(broken(r.national(t, receipt))))
		}
		var lines []string
		entries := hubtest.MessageEntries(t, r.db)[before:]
		// The attempts of a lot's events end in any order, and perhaps before its refusals are written.
		slices.SortStableFunc(entries, func(a, b journal.Entry) int {
			if settled(a)+settled(b) == 2 {
				return bytes.Compare(a.Message[:], b.Message[:])
			}
			return stdcmp.Compare(settled(a), settled(b))
		})
		for _, e := range entries {
			lines = append(lines, r.formatEntry(t, e))
		}
		now.add(step+"-journal", mask.apply(strings.Join(lines, "\n")))
	}
	return now.format()
}

// settled is 1 for the end of an attempt.
func settled(e journal.Entry) int {
	if e.Kind == journal.AttemptSettled {
		return 1
	}
	return 0
}

// request reads "HEADER: value" lines, an empty line, and the body. The credential {user} stands
// for the one of a participant, {TODAY} for the day in Europe/Rome.
func (r *replay) request(t *testing.T, text string) *http.Request {
	t.Helper()
	head, body, _ := strings.Cut(text, "\n\n")
	rome, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		t.Fatal(err)
	}
	body = strings.ReplaceAll(body, "{TODAY}", time.Now().In(rome).Format(time.DateOnly))
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.hub.Run.SoapURL, strings.NewReader(strings.TrimSuffix(body, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(head, "\n") {
		name, value, ok := strings.Cut(line, ": ")
		if !ok {
			t.Fatalf("no header: %q", line)
		}
		request.Header.Set(name, value)
	}
	for _, p := range r.hub.Run.Participants {
		if request.Header.Get("Authorization") == "{"+p.APIUser+"}" {
			request.SetBasicAuth(p.APIUser, r.hub.Password(p))
		}
	}
	return request
}

// formatAnswer is status, the headers that mean something, and the body.
func formatAnswer(a *hubtest.Answer) string {
	var out strings.Builder
	fmt.Fprintf(&out, "%d %s\n", a.Status, http.StatusText(a.Status))
	for _, name := range []string{"Content-Type", "X-Sinba-Codice", "WWW-Authenticate", "Retry-After"} {
		if value := a.Header.Get(name); value != "" {
			fmt.Fprintf(&out, "%s: %s\n", name, value)
		}
	}
	return out.String() + "\n" + broken(string(a.Body))
}

// broken puts every element on a line of its own, so that a difference can be read.
func broken(document string) string { return strings.ReplaceAll(document, "><", ">\n<") }

func (r *replay) regional(t *testing.T, receipt uuid.UUID) string {
	t.Helper()
	var body []byte
	if err := r.db.QueryRow(t.Context(), "SELECT body FROM hub.event WHERE id = $1", receipt).Scan(&body); err != nil {
		t.Fatal(err)
	}
	text, err := s2.Decode(nil, body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (r *replay) national(t *testing.T, receipt uuid.UUID) string {
	t.Helper()
	var transmission uuid.UUID
	if err := r.db.QueryRow(t.Context(), "SELECT id FROM hub.delivery WHERE message_id = $1", receipt).Scan(&transmission); err != nil {
		t.Fatal(err)
	}
	received := r.hub.Received()
	at := slices.IndexFunc(received, func(line hubtest.Received) bool { return line.ID == transmission.String() })
	if at < 0 {
		t.Fatal("not at the simulator")
	}
	return received[at].Event
}

// formatEntry writes an entry's fields but its time.
func (r *replay) formatEntry(t *testing.T, e journal.Entry) string {
	t.Helper()
	var participant, ente string
	err := r.db.QueryRow(t.Context(), `SELECT coalesce((SELECT name FROM hub.participant WHERE id = $1), ''),
		coalesce((SELECT code FROM hub.ente WHERE id = $2), '')`, e.Participant, e.Ente).Scan(&participant, &ente)
	if err != nil {
		t.Fatal(err)
	}
	id := func(u uuid.UUID) string {
		if u == uuid.Nil {
			return ""
		}
		return u.String()
	}
	digest := func(d [32]byte) string {
		if d == [32]byte{} {
			return ""
		}
		return hex.EncodeToString(d[:])
	}
	kind := map[journal.Kind]string{
		journal.EventAccepted: "EventAccepted", journal.RequestRefused: "RequestRefused", journal.AttemptSettled: "AttemptSettled",
	}[e.Kind]
	var out bytes.Buffer
	for _, field := range [][2]string{
		{"kind", kind},
		{"id", id(e.ID)},
		{"environment", e.Environment.String()},
		{"participant", participant},
		{"ente", ente},
		{"message", id(e.Message)},
		{"event", id(e.Event)},
		{"delivery", id(e.Delivery)},
		{"attempt", number(e.Attempt)},
		{"outcome", e.Outcome},
		{"codes", joined(e.Codes)},
		{"count", number(e.Count)},
		{"sealed", digest(e.Sealed)},
		{"commitment", digest(e.Commitment)},
	} {
		if field[1] != "" {
			fmt.Fprintf(&out, "%s: %s\n", field[0], field[1])
		}
	}
	return out.String()
}

func number(n int32) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(int(n))
}

func joined(codes []hub.Code) string {
	words := make([]string, len(codes))
	for i, c := range codes {
		words[i] = string(c)
	}
	return strings.Join(words, " ")
}
