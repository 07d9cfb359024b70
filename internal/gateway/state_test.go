package gateway_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sinbahub/sinbahub/internal/gateway"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// TestStateIsAskedForAnEnteOfTheSender: who speaks for several enti must say for which.
func TestStateIsAskedForAnEnteOfTheSender(t *testing.T) {
	t.Parallel()
	one := &hub.Participant{Environment: hub.Prod, Enti: []hub.Ente{{ID: 1, Code: "SDS-FI"}}}
	two := &hub.Participant{Environment: hub.Prod, Enti: []hub.Ente{{ID: 1, Code: "SDS-FI"}, {ID: 2, Code: "SDS-PI"}}}
	const id = "<IdEvento>ce7e3e15-fc49-4c72-bc80-bb487b52f198</IdEvento>"
	for _, c := range []struct {
		participant *hub.Participant
		question    string
		code        hub.Code
	}{
		{one, id, ""},
		{two, id, hub.CodeEnteNeeded},
		{two, "<CodiceEnte>SDS-PI</CodiceEnte>" + id, ""},
		{one, "<CodiceEnte>SDS-PI</CodiceEnte>" + id, hub.CodeRule23},
	} {
		err := gateway.AskState(c.participant, []byte(`<StatoEventoRichiesta xmlns="urn:sinba:eventi:v1">`+c.question+`</StatoEventoRichiesta>`))
		var refusal *hub.Error
		if c.code == "" && err != nil || c.code != "" && (!errors.As(err, &refusal) || refusal.Public[0].Code != c.code) {
			t.Errorf("%s: got %v, want %q", c.question, err, c.code)
		}
	}
}

// TestStateOfARefusedEventTellsTheCodesOfSISS, and none of its texts.
func TestStateOfARefusedEventTellsTheCodesOfSISS(t *testing.T) {
	t.Parallel()
	got := gateway.FindingsOf(postgres.EventState{State: hub.Refused, Codes: []string{"SISS-17", strings.Repeat("x", 40)}})
	want := []hub.Violation{
		{Code: hub.CodeRefusedBySISS, Severity: hub.Grave, Rule: "SISS-17", Path: "/"},
		{Code: hub.CodeRefusedBySISS, Severity: hub.Grave, Rule: strings.Repeat("x", 36), Path: "/"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
