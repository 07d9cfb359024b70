//go:build smoke

package hubtest_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sinbahub/sinbahub/internal/hubtest"
)

// sendHistories has a stack's client send every sample event to a hub of its own: all event types,
// rettifiche, annulments and codes that replace provisional ones. The client makes its own objects
// of each, and ImprontaMessaggio tells whether all that they were to hold arrived.
func sendHistories(t *testing.T, s stack, program []string, version string) {
	t.Helper()
	h := hubtest.Start(t)
	files := samples(t)
	lines := historyLines(t, h, files, s.typed)
	list := filepath.Join(t.TempDir(), "events")
	if err := os.WriteFile(list, []byte(strings.Join(lines, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	out := runTool(t, t.TempDir(), program[0], append(slices.Clone(program[1:]), h.Run.WSDLURL, version, list)...)
	receipts := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(receipts) != len(files) {
		t.Fatalf("%d receipts of %d events", len(receipts), len(files))
	}
	var warned []string
	for i, receipt := range receipts {
		name := filepath.Base(files[i])
		fields := strings.Fields(receipt)
		if len(fields) != 3 || fields[0] != "ACCETTATO" && fields[0] != "ACCETTATO_CON_AVVISI" {
			t.Errorf("%s got %q", name, receipt)
			continue
		}
		if fields[0] == "ACCETTATO_CON_AVVISI" {
			warned = append(warned, name)
		}
		if proof := proofOf(t, fields[1], meantSample(t, files[i], s.coarse)); proof != fields[2] {
			t.Errorf("%s: what arrived is not what the client was given: ImprontaMessaggio %s, want %s", name, fields[2], proof)
		}
	}
	if !slices.Equal(warned, []string{"06-arretrato-05-intervento-chiusura.xml"}) {
		t.Errorf("accepted with warnings: %q", warned)
	}
	hubtest.AwaitDelivered(t, h.Superuser(), patience)
}

// meantSample is a sample as a client is to send it: a coarse one drops the fractions of seconds.
func meantSample(t *testing.T, file string, coarse bool) []byte {
	t.Helper()
	document, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if coarse {
		document = regexp.MustCompile(`(T\d\d:\d\d:\d\d)\.\d+`).ReplaceAll(document, []byte("$1"))
	}
	return document
}

// historyLines are the sample events for a client, with the credential of their ente: a JSON object
// each, or for typed stacks user, password file and document, parted by tabs.
func historyLines(t *testing.T, h *hubtest.Hub, files []string, typed bool) []string {
	t.Helper()
	var lines []string
	for _, file := range files {
		p := h.Participant(enteOf(t, file))
		if typed {
			lines = append(lines, strings.Join([]string{p.APIUser, p.APIPasswordFile, file}, "\t")+"\n")
			continue
		}
		head, err := json.Marshal(map[string]string{"user": p.APIUser, "password_file": p.APIPasswordFile})
		if err != nil {
			t.Fatal(err)
		}
		line := append(bytes.TrimSuffix(head, []byte("}")), `,"event":`...)
		line = append(appendObject(line, parseDocument(t, meantSample(t, file, false))), "}\n"...)
		lines = append(lines, string(line))
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
