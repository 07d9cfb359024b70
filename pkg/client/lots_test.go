package client_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/pkg/client"
)

// lotHub answers lots and single events by what it is told of each IdEvento, and remembers the ids of
// every request.
type lotHub struct {
	t      *testing.T
	server *httptest.Server

	mu sync.Mutex
	// errors are the codes that an event is refused with, one for each time that it comes.
	errors map[string][]string
	// whole is what a lot is refused with as a whole, and its HTTP status.
	whole    string
	status   int
	requests []string
	bodies   []string
}

func newLotHub(t *testing.T) *lotHub {
	t.Helper()
	h := &lotHub{t: t, errors: map[string][]string{}}
	h.server = httptest.NewServer(h)
	t.Cleanup(h.server.Close)
	return h
}

var idOf = regexp.MustCompile(`IdEvento>([0-9a-f-]{36})<`)

func (h *lotHub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		h.t.Error(err)
	}
	body := string(text)
	h.bodies = append(h.bodies, body)
	var ids []string
	for _, id := range idOf.FindAllStringSubmatch(body, -1) {
		ids = append(ids, id[1])
	}
	lot := regexp.MustCompile(`IdLotto>([0-9a-f-]{36})<`).FindStringSubmatch(body)
	if lot == nil {
		h.requests = append(h.requests, "alone "+strings.Join(ids, " "))
		if len(ids) == 0 || h.refusal(ids[0]) != "" {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, faultOf("SINBA_201"))
			return
		}
		_, _ = io.WriteString(w, envelope(strings.ReplaceAll(unsalted(receiptOf(client.Accettato)), idEvent, ids[0])))
		return
	}
	h.requests = append(h.requests, "lot "+strings.Join(ids, " "))
	if h.whole != "" {
		w.WriteHeader(h.status)
		_, _ = io.WriteString(w, faultOf(h.whole))
		return
	}
	var b strings.Builder
	b.WriteString(`<InviaLottoRisposta xmlns="urn:sinba:eventi:v1"><IdLotto>` + lot[1] + `</IdLotto>`)
	for i, id := range ids {
		what := strings.ReplaceAll(strings.ReplaceAll(unsalted(receiptOf(client.Accettato)), "InviaEventoRisposta", "Ricevuta"), idEvent, id)
		if code := h.refusal(id); code != "" {
			what = `<Errore><IdTransazione>` + idEvent + `</IdTransazione><DataOra>2024-04-12T08:50:04Z</DataOra><Anomalia><Codice>` + code + `</Codice></Anomalia></Errore>`
		}
		_, _ = fmt.Fprintf(&b, "<EsitoEvento><Posizione>%d</Posizione>%s</EsitoEvento>", i+1, what)
	}
	_, _ = io.WriteString(w, envelope(b.String()+`</InviaLottoRisposta>`))
}

// refusal is what an event is refused with this time.
func (h *lotHub) refusal(id string) string {
	codes := h.errors[id]
	if len(codes) == 0 {
		return ""
	}
	h.errors[id] = codes[1:]
	return codes[0]
}

// unsalted takes a receipt's salt: it then proves nothing, which is no error.
func unsalted(receipt string) string {
	return regexp.MustCompile(`<SaleImpronta>.*</SaleImpronta>`).ReplaceAllString(receipt, "")
}

// connect makes a client of a hub whose pauses cost no time.
func (h *lotHub) connect(attempts int) *client.Client {
	h.t.Helper()
	c, err := client.New(client.Config{URL: h.server.URL, User: "u", Password: "p", Attempts: attempts, FirstPause: 1, LongestPause: 1})
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

// numbered are events of their own ids.
func numbered(n int) (documents [][]byte, ids []string) {
	for i := range n {
		ids = append(ids, fmt.Sprintf("4c393986-0b93-4759-8d91-%012d", i))
		documents = append(documents, []byte(strings.ReplaceAll(event, idEvent, ids[i])))
	}
	return documents, ids
}

// outcomes are the ids of the receipts, or the errors.
func outcomes(results []client.EventResult) []string {
	all := make([]string, len(results))
	for i, r := range results {
		if r.Receipt != nil {
			all[i] = r.Receipt.IDEvento
		}
		if r.Err != nil {
			all[i] += r.Err.Error()
		}
	}
	return all
}

func TestEventsGoInLotsWithinTheBounds(t *testing.T) {
	t.Parallel()
	h := newLotHub(t)
	documents, ids := numbered(205)
	if diff := cmp.Diff(ids, outcomes(h.connect(1).InviaEventi(t.Context(), documents))); diff != "" {
		t.Error(diff)
	}
	want := []string{
		"lot " + strings.Join(ids[:100], " "), "lot " + strings.Join(ids[100:200], " "), "lot " + strings.Join(ids[200:], " "),
	}
	if diff := cmp.Diff(want, h.requests); diff != "" {
		t.Error(diff)
	}
	if results := h.connect(1).InviaEventi(t.Context(), nil); len(results) != 0 || len(h.requests) != 3 {
		t.Errorf("of nothing: %v", results)
	}
}

func TestLotsStayBelowTheBoundOfARequest(t *testing.T) {
	t.Parallel()
	h := newLotHub(t)
	documents, ids := numbered(9)
	for i := range documents { // 700 KB each, and one that is too large for any request
		size := 700 << 10
		if i == 4 {
			size = 3 << 20
		}
		documents[i] = []byte(strings.Replace(string(documents[i]), canary, strings.Repeat("x", size), 1))
	}
	if diff := cmp.Diff(ids, outcomes(h.connect(1).InviaEventi(t.Context(), documents))); diff != "" {
		t.Error(diff)
	}
	want := []string{
		"lot " + strings.Join(ids[:2], " "), "lot " + strings.Join(ids[2:4], " "), "alone " + ids[4],
		"lot " + strings.Join(ids[5:7], " "), "lot " + strings.Join(ids[7:], " "),
	}
	if diff := cmp.Diff(want, h.requests); diff != "" {
		t.Error(diff)
	}
	for i, body := range h.bodies {
		if i != 2 && len(body) > 2<<20 {
			t.Errorf("request %d has %d bytes", i, len(body))
		}
	}
}

// TestEventStandsInALotAsItWasMade: byte for byte but for the name of its root and what stands around
// it; and what a lot cannot take as it is goes alone, in its place.
func TestEventStandsInALotAsItWasMade(t *testing.T) {
	t.Parallel()
	const ns = `"urn:sinba:eventi:v1"`
	id := `<IdEvento>` + idEvent + `</IdEvento>`
	whole := func(text string) string { return `<Testata>` + id + `</Testata>` + text }
	for name, tt := range map[string]struct{ document, want string }{
		"plain": {
			`<InviaEventoRichiesta xmlns=` + ns + `>` + whole(" <a>è&amp;</a>\r\n") + `</InviaEventoRichiesta>`,
			`<Evento xmlns=` + ns + `>` + whole(" <a>è&amp;</a>\r\n") + `</Evento>`,
		},
		"prefixed": {
			`<p:InviaEventoRichiesta  xmlns:p=` + ns + ` xmlns:q="q" ><p:Testata><p:IdEvento>` + idEvent + `</p:IdEvento></p:Testata></p:InviaEventoRichiesta >`,
			`<p:Evento  xmlns:p=` + ns + ` xmlns:q="q" ><p:Testata><p:IdEvento>` + idEvent + `</p:IdEvento></p:Testata></p:Evento >`,
		},
		"with surroundings": {
			"\ufeff<?xml version='1.0' encoding='UTF-8'?>\n<!-- a --><?pi?><InviaEventoRichiesta xmlns=" + ns + `>` + whole("<!-- b --><![CDATA[<c>]]>") + "</InviaEventoRichiesta><!-- d -->\n",
			`<Evento xmlns=` + ns + `>` + whole("<!-- b --><![CDATA[<c>]]>") + `</Evento>`,
		},
		"of a later version": {
			`<InviaEventoRichiesta xmlns=` + ns + ` versione="1.1">` + whole("") + `</InviaEventoRichiesta>`,
			` versione="1.1"><lotto:IdLotto>`,
		},
		"empty":                     {`<InviaEventoRichiesta xmlns=` + ns + `/>`, `</lotto:IdLotto><Evento xmlns=` + ns + `/></lotto:`},
		"of no namespace":           {`<InviaEventoRichiesta>` + whole("") + `</InviaEventoRichiesta>`, ""},
		"of another namespace":      {`<InviaEventoRichiesta xmlns="urn:sinba:eventi:v2">` + whole("") + `</InviaEventoRichiesta>`, ""},
		"with a DOCTYPE":            {`<!DOCTYPE a><InviaEventoRichiesta xmlns=` + ns + `>` + whole("") + `</InviaEventoRichiesta>`, ""},
		"in another encoding":       {`<?xml version="1.0" encoding="ISO-8859-1"?><InviaEventoRichiesta xmlns=` + ns + `>` + whole("\xe8") + `</InviaEventoRichiesta>`, ""},
		"cut":                       {`<InviaEventoRichiesta xmlns=` + ns + `>` + whole(""), ""},
		"two in one":                {strings.Repeat(`<InviaEventoRichiesta xmlns=`+ns+`>`+whole("")+`</InviaEventoRichiesta>`, 2), ""},
		"with an entity of its own": {`<InviaEventoRichiesta xmlns=` + ns + `>` + whole("&x;") + `</InviaEventoRichiesta>`, ""},
		"of a version that is none": {`<InviaEventoRichiesta xmlns=` + ns + ` versione="1&quot;">` + whole("") + `</InviaEventoRichiesta>`, ""},
		"too deep":                  {`<InviaEventoRichiesta xmlns=` + ns + `>` + whole(strings.Repeat("<a>", 63)+strings.Repeat("</a>", 63)) + `</InviaEventoRichiesta>`, ""},
		"no XML":                    {`hello`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newLotHub(t)
			before, ids := numbered(2)
			documents := [][]byte{before[0], []byte(tt.document), before[1]}
			if name == "empty" { // it is no event, so that the hub here has no answer to it
				documents = documents[1:2]
			}
			h.connect(1).InviaEventi(t.Context(), documents)
			all := strings.Join(h.bodies, "\n")
			if tt.want == "" {
				if len(h.requests) != 3 || !strings.HasPrefix(h.requests[1], "alone") || h.requests[0] != "lot "+ids[0] || h.requests[2] != "lot "+ids[1] {
					t.Errorf("sent as %q", h.requests)
				}
				return
			}
			if strings.Count(all, tt.want) == 0 || strings.Contains(all, "alone") {
				t.Errorf("sent as %s", all)
			}
		})
	}
}

// TestWhatALotCouldNotSettleIsRepeated: only those positions, as they were, and only as often as the
// client tries; what is refused is not.
func TestWhatALotCouldNotSettleIsRepeated(t *testing.T) {
	t.Parallel()
	h := newLotHub(t)
	documents, ids := numbered(5)
	h.errors = map[string][]string{
		ids[1]: {"SINBA_502", "SINBA_111"}, ids[2]: {"SINBA_110"}, ids[3]: {"SINBA_502"},
		ids[4]: slices.Repeat([]string{"SINBA_503"}, 9),
	}
	results := h.connect(3).InviaEventi(t.Context(), documents)
	want := []string{ids[0], ids[1], "client: HTTP 200 SINBA_110", ids[3], "client: HTTP 200 SINBA_503"}
	got := outcomes(results)
	for i := range got {
		got[i], _, _ = strings.Cut(got[i], " (transaction")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !client.Temporary(results[4].Err) || client.Temporary(results[2].Err) {
		t.Error("what may be sent again is not told from what is refused")
	}
	asked := []string{"lot " + strings.Join(ids, " "), "lot " + ids[1] + " " + ids[3] + " " + ids[4], "lot " + ids[1] + " " + ids[4]}
	if diff := cmp.Diff(asked, h.requests); diff != "" {
		t.Error(diff)
	}
}

// TestLotRefusedAsAWholeIsSentOneByOne, unless none of its events can be the cause.
func TestLotRefusedAsAWholeIsSentOneByOne(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		code   string
		status int
		want   int
	}{
		"one is not well-formed": {"SINBA_001", 500, 4}, "one ends the validator": {"SINBA_501", 500, 4},
		"the sender is unknown": {"SINBA_101", 401, 1}, "come later": {"SINBA_503", 503, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newLotHub(t)
			h.whole, h.status = tt.code, tt.status
			documents, ids := numbered(3)
			h.errors[ids[1]] = []string{"SINBA_201"}
			results := h.connect(1).InviaEventi(t.Context(), documents)
			if len(h.requests) != tt.want {
				t.Errorf("sent as %q", h.requests)
			}
			for i, r := range results {
				if alone := tt.want > 1 && i != 1; (r.Receipt != nil) != alone || (r.Err == nil) != alone {
					t.Errorf("event %d: %+v", i, r)
				}
			}
		})
	}
}

func TestLotWithoutAnAnswerLeavesAllItsEventsOpen(t *testing.T) {
	t.Parallel()
	h := newLotHub(t)
	c := h.connect(2)
	h.server.Close()
	documents, _ := numbered(2)
	for i, r := range c.InviaEventi(t.Context(), documents) {
		if unusable, ok := errors.AsType[*client.AnswerError](r.Err); !ok || unusable.Reason != client.NoAnswer || r.Receipt != nil {
			t.Errorf("event %d: %+v", i, r)
		}
	}
}

// TestReceiptInALotMustProveItsEvent: the others of the lot are none the worse.
func TestReceiptInALotMustProveItsEvent(t *testing.T) {
	t.Parallel()
	lots := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		id := regexp.MustCompile(`IdLotto>([0-9a-f-]{36})<`).FindStringSubmatch(string(text))[1]
		if _, err := uuid.Parse(id); err != nil {
			t.Error(err)
		}
		right := strings.ReplaceAll(receiptOf(client.Accettato), "InviaEventoRisposta", "Ricevuta")
		wrong := strings.Replace(right, salt, strings.Repeat("f", 32), 1)
		_, _ = io.WriteString(w, envelope(`<InviaLottoRisposta xmlns="urn:sinba:eventi:v1"><IdLotto>`+id+`</IdLotto>`+
			`<EsitoEvento><Posizione>1</Posizione>`+wrong+`</EsitoEvento><EsitoEvento><Posizione>2</Posizione>`+right+`</EsitoEvento></InviaLottoRisposta>`))
	}))
	t.Cleanup(lots.Close)
	c, err := client.New(client.Config{URL: lots.URL, User: "u", Attempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	results := c.InviaEventi(t.Context(), [][]byte{[]byte(event), []byte(event)})
	if !errors.Is(results[0].Err, client.ErrReceipt) || results[0].Receipt == nil || results[1].Err != nil || results[1].Receipt == nil {
		t.Errorf("%+v", results)
	}
}

// TestDryRunStandsInNoLot: it would be a real event there.
func TestDryRunStandsInNoLot(t *testing.T) {
	t.Parallel()
	h := newLotHub(t)
	documents, ids := numbered(2)
	dry := []byte(strings.ReplaceAll(event, "InviaEventoRichiesta", "VerificaEventoRichiesta"))
	results := h.connect(1).InviaEventi(t.Context(), [][]byte{documents[0], dry, documents[1]})
	if !errors.Is(results[1].Err, client.ErrOperation) || results[0].Err != nil || results[2].Err != nil {
		t.Errorf("%+v", results)
	}
	if diff := cmp.Diff([]string{"lot " + ids[0], "lot " + ids[1]}, h.requests); diff != "" {
		t.Error(diff)
	}
}
