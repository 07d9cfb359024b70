package hub_test

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"go.yaml.in/yaml/v3"

	"github.com/sinbahub/sinbahub/internal/hub"
)

func TestIdentifierShowsNothingInAnySink(t *testing.T) {
	t.Parallel()
	const code = "BNCLCU12C15D612V"
	type inner struct{ id hub.Identifier }
	value := struct {
		Public  hub.Identifier
		private inner
		list    []hub.Identifier
		byName  map[string]hub.Identifier
	}{hub.NewIdentifier(code), inner{hub.NewIdentifier(code)}, []hub.Identifier{hub.NewIdentifier(code)}, map[string]hub.Identifier{"child": hub.NewIdentifier(code)}}
	asJSON, err := json.Marshal(value.Public)
	if err != nil {
		t.Fatal(err)
	}
	asYAML, _ := yaml.Marshal(value.Public)
	asXML, _ := xml.Marshal(value.Public)
	core, logs := observer.New(zapcore.DebugLevel)
	zap.New(core).Info("x", zap.Stringer("id", value.Public))
	shown := []string{
		fmt.Sprintf("%v|%+v|%#v", value, value, value), fmt.Sprintf("%s|%q|%x|%d", value.Public, value.Public, value.Public, value.Public),
		value.Public.String(), string(asJSON), string(asYAML), string(asXML), fmt.Sprint(errors.New(value.Public.String())),
		fmt.Sprint(logs.All()[0].ContextMap()),
	}
	for _, s := range shown {
		if strings.Contains(s, code) || strings.Contains(s, fmt.Sprintf("%x", code)) {
			t.Errorf("shown: %s", s)
		}
	}
	if value.Public.Reveal() != code || (hub.Identifier{}).Reveal() != "" || !(hub.Identifier{}).IsZero() {
		t.Error("Reveal does not give what was wrapped")
	}
	if !value.Public.Equal(value.private.id) || value.Public.Equal(hub.NewIdentifier("")) || (hub.Identifier{}).Equal(hub.NewIdentifier("")) {
		t.Error("Equal does not compare what was wrapped")
	}
}

func TestCodesAreCompleteAndFitTheContract(t *testing.T) {
	t.Parallel()
	shape := regexp.MustCompile(`^SINBA_[0-9]{3}$`)
	last := hub.Code("")
	for _, text := range hub.Codes() {
		if !shape.MatchString(string(text.Code)) {
			t.Errorf("%s has the wrong shape", text.Code)
		}
		if text.Code <= last {
			t.Errorf("%s after %s: the table is ordered and says each code once", text.Code, last)
		}
		last = text.Code
		for _, s := range []string{text.IT, text.EN} {
			if n := utf8.RuneCountInString(s); n == 0 || n > 256 {
				t.Errorf("%s: a text of %d characters (Testo256Type)", text.Code, n)
			}
		}
	}
}

func TestDeliveryStatesHaveTheContractsWords(t *testing.T) {
	t.Parallel()
	want := map[hub.DeliveryState]string{
		hub.Pending: "MEMORIZZATO", hub.Sending: "IN_INOLTRO", hub.Retrying: "IN_INOLTRO", hub.Uncertain: "DA_VERIFICARE",
		hub.Delivered: "CONFERMATO", hub.Refused: "RIFIUTATO", hub.Dead: "DA_VERIFICARE", hub.Parked: "DA_VERIFICARE",
	}
	for _, state := range hub.DeliveryStates() {
		if state.Stato() != want[state] {
			t.Errorf("%s is %s, want %s", state, state.Stato(), want[state])
		}
	}
	if len(hub.DeliveryStates()) != len(want) {
		t.Error("a state is missing from the list")
	}
}

func TestParticipantSpeaksOnlyForItsEnti(t *testing.T) {
	t.Parallel()
	p := hub.Participant{Enti: []hub.Ente{{ID: 1, Code: "SDS-PI"}, {ID: 2, Code: "SDS-FI"}}}
	if e, ok := p.Ente("SDS-FI"); !ok || e.ID != 2 {
		t.Errorf("got %v %v", e, ok)
	}
	for _, code := range []string{"", "sds-fi", "SDS-FI ", "SDS"} {
		if _, ok := p.Ente(code); ok {
			t.Errorf("%q is not its ente", code)
		}
	}
}

func TestErrorTellsCodeAndCause(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	err := hub.NewError(hub.Unavailable, hub.CodeUnavailable, cause)
	if err.Error() != "SINBA_502: cause" || !errors.Is(err, cause) {
		t.Errorf("got %q", err.Error())
	}
}

// TestSentencesBelongToCodesAndFitTheContract: a name of the schema has at most 40 characters.
func TestSentencesBelongToCodesAndFitTheContract(t *testing.T) {
	t.Parallel()
	codes := map[hub.Code]bool{}
	for _, text := range hub.Codes() {
		codes[text.Code] = true
	}
	seen := map[[2]string]bool{}
	speaker := hub.NewSpeaker()
	for _, row := range hub.Sentences() {
		key := [2]string{string(row.Code), row.Reason}
		if !codes[row.Code] || row.Reason == "" || seen[key] {
			t.Errorf("%v: no such code, no reason, or twice", key)
		}
		seen[key] = true
		said := speaker.Say(hub.Violation{Code: row.Code, Reason: row.Reason, About: strings.Repeat("è", 40), BlocksFrom: "2027-04-01"})
		for _, s := range []string{said.IT, said.EN} {
			if n := utf8.RuneCountInString(s); n == 0 || n > 256 || strings.Contains(s, "{") {
				t.Errorf("%v: %q (Testo256Type)", key, s)
			}
		}
	}
	if said := speaker.Say(hub.Violation{Code: hub.CodeRule03, Reason: "none"}); said.IT == "" {
		t.Error("an unknown reason is not told by its code's text")
	}
	for _, text := range hub.Codes() {
		said := speaker.Say(hub.Violation{Code: text.Code, BlocksFrom: "2027-04-01"})
		if strings.HasPrefix(string(text.Code), "SINBA_3") &&
			(utf8.RuneCountInString(said.IT) > 256 || utf8.RuneCountInString(said.EN) > 256) {
			t.Errorf("%s has no room for its day", text.Code)
		}
		if !strings.HasSuffix(said.IT, " Dal 2027-04-01 l'evento sarà rifiutato.") || !strings.HasSuffix(said.EN, " From 2027-04-01 on the event will be refused.") {
			t.Errorf("%s does not tell from when it refuses: %q %q", text.Code, said.IT, said.EN)
		}
	}
}
