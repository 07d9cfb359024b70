//go:build smoke

package hubtest_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sinbahub/sinbahub/internal/hubtest"
)

// TestSmokeClientsSendWholeHistories has the stacks that make requests from plain objects send every
// sample event that way, each to a hub of its own: all event types, rettifiche, annulments and codes
// that replace provisional ones.
func TestSmokeClientsSendWholeHistories(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		version string
		command []string
	}{
		"zeep": {"SOAP12", []string{"/usr/bin/python3", clientFile("zeep_history.py", "")}},
		"node": {"SOAP11", []string{"node", clientFile("node", "history.js")}},
		"php":  {"SOAP12", []string{"php", clientFile("php", "history.php")}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := hubtest.Start(t)
			file := filepath.Join(t.TempDir(), "events.jsonl")
			lines := historyLines(t, h)
			if err := os.WriteFile(file, bytes.Join(lines, nil), 0o600); err != nil {
				t.Fatal(err)
			}
			out := runTool(t, t.TempDir(), tt.command[0], append(tt.command[1:], h.Run.WSDLURL, tt.version, file)...)
			outcomes := strings.Fields(string(out))
			warned := 0
			for _, outcome := range outcomes {
				if outcome == "ACCETTATO_CON_AVVISI" {
					warned++
				} else if outcome != "ACCETTATO" {
					t.Errorf("an event was %s", outcome)
				}
			}
			if len(outcomes) != len(lines) || warned != 1 {
				t.Errorf("%d outcomes of %d events, %d with warnings", len(outcomes), len(lines), warned)
			}
			hubtest.AwaitDelivered(t, h.Superuser(), patience)
		})
	}
}

// historyLines are the sample events as a client's objects, with the credential of their ente.
func historyLines(t *testing.T, h *hubtest.Hub) [][]byte {
	t.Helper()
	var lines [][]byte
	for _, file := range samples(t) {
		document, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		p := h.Participant(enteOf(t, file))
		head, err := json.Marshal(map[string]string{"user": p.APIUser, "password_file": p.APIPasswordFile})
		if err != nil {
			t.Fatal(err)
		}
		line := append(bytes.TrimSuffix(head, []byte("}")), `,"event":`...)
		line = append(appendObject(line, parseDocument(t, document)), "}\n"...)
		lines = append(lines, line)
	}
	return lines
}

// appendObject writes an element's children as a JSON object in their order; what repeats is an array.
func appendObject(to []byte, e *element) []byte {
	if len(e.children) == 0 {
		text, err := json.Marshal(e.text)
		if err != nil {
			panic(err) // a text
		}
		return append(to, text...)
	}
	to = append(to, '{')
	for i := 0; i < len(e.children); {
		name, from := e.children[i].name, i
		for i < len(e.children) && e.children[i].name == name {
			i++
		}
		if from > 0 {
			to = append(to, ',')
		}
		to = append(append(append(to, '"'), name...), `":`...)
		if i-from > 1 {
			to = append(to, '[')
		}
		for k := from; k < i; k++ {
			if k > from {
				to = append(to, ',')
			}
			to = appendObject(to, e.children[k])
		}
		if i-from > 1 {
			to = append(to, ']')
		}
	}
	return append(to, '}')
}
