//go:build e2e

package hubtest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/ticket"
)

// TestE2EPeople goes the ways that people go: registered and not trusted, told another fingerprint, retired
// with a ticket signed, a ticket taken back; and none of it shows a child.
func TestE2EPeople(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	sent, exit := send(t, h, samples(t)[0])
	if exit != 0 {
		t.Fatalf("exit %d", exit)
	}
	receipt := sent[0].IDRicevuta
	p := h.People(t)
	peopleSign(t, h, p)
	refuse := func(want string, args ...string) {
		t.Helper()
		if out, err := p.Try(args...); err == nil || !strings.Contains(out, want) {
			t.Errorf("%v: %v %.300s", args, err, out)
		}
	}
	key := func(name string) string { return filepath.Join(p.Dir, name) }
	add := func(name, role, file string) []string {
		return []string{"person", "add", name, "--role", role, "--key", key(file), "--reason", "prova"}
	}
	carla := p.MakeKey("carla")
	refuse("never given again", add("anna2", "auditor", "anna.pub")...)
	refuse("private key", add("carla", "auditor", "carla.key")...)
	refuse("roles are", add("carla", "vendor", "carla.pub")...)
	refuse("name is", add("RSSMRA80A01H501U", "auditor", "carla.pub")...)
	p.Verb(add("carla", "privacy-officer", "carla.pub")...)
	// Registered is not trusted: the opener takes nothing of hers until her fingerprint was told.
	open := func(approver string) (file, out string, err error) {
		file = filepath.Join(t.TempDir(), "ticket")
		p.Verb("ticket", "new", "open", receipt, "--as", "anna", "--reason", "reclamo 12", "-o", file)
		refuse("lacks a signature", "ticket", "approve", file, "--as", approver, "--key", key(approver+".key"))
		p.Verb("ticket", "sign", file, "--key", key("anna.key"))
		refuse("one person alone", "ticket", "approve", file, "--as", "anna2", "--key", key("anna.key"))
		p.Verb("ticket", "approve", file, "--as", approver, "--key", key(approver+".key"))
		out, err = p.Try("open", "--ticket", file, "-o", file+".xml")
		return file, out, err
	}
	if _, out, err := open("carla"); err == nil || !strings.Contains(out, ticket.ErrPerson.Error()) {
		t.Errorf("not trusted: %v %.300s", err, out)
	}
	trust := func(fingerprint string) []string {
		return []string{"person", "trust", "carla", "--reason", "letta al telefono", "--fingerprint", fingerprint}
	}
	refuse("another fingerprint", trust("SHA256:AAAA")...)
	p.Verb(trust(carla)...)
	if file, out, err := open("carla"); err != nil {
		t.Errorf("trusted: %v %.300s", err, out)
	} else {
		refuse("was used", "ticket", "check", file)
	}
	if list := p.Verb("person", "list"); !strings.Contains(list, carla) || strings.Count(list, "\n") != 4 {
		t.Errorf("%s", list)
	}
	// Taken back, and signed by somebody who was retired since.
	revoked := p.Ticket("reclamo 13", "open", receipt)
	p.Verb("ticket", "revoke", revoked, "--reason", "errore")
	refuse("was revoked", "open", "--ticket", revoked, "-o", revoked+".xml")
	before := p.Ticket("reclamo 14", "open", receipt)
	p.Verb("person", "retire", "bruno", "--reason", "ha lasciato")
	refuse(ticket.ErrPerson.Error(), "open", "--ticket", before, "-o", before+".xml")
	refuse("retired already", "person", "retire", "bruno", "--reason", "ha lasciato")
	// Nothing is shown without saying where, and the ticket is not used by that.
	spared := filepath.Join(t.TempDir(), "spared")
	p.Verb("ticket", "new", "open", receipt, "--as", "anna", "--reason", "reclamo 15", "-o", spared)
	p.Verb("ticket", "sign", spared, "--key", key("anna.key"))
	p.Verb("ticket", "approve", spared, "--as", "carla", "--key", key("carla.key"))
	refuse("shows a child's data", "open", "--ticket", spared)
	refuse("shows a child's data", "open", "--ticket", spared, "--print") // no terminal
	refuse("is there already", "open", "--ticket", spared, "-o", spared)
	if out := p.Verb("open", "--ticket", spared, "-o", spared+".xml"); out != "" {
		t.Errorf("it said %.100s", out)
	}
	opened, err := os.ReadFile(spared + ".xml")
	if err != nil || len(opened) == 0 {
		t.Error(err)
	}
}

// peopleSign closes and opens the door as anna, who is configured, and not as anybody else.
func peopleSign(t *testing.T, h *hubtest.Hub, p *hubtest.People) {
	t.Helper()
	if out := p.Verb("maintenance", "on", "--text", "chiusura di prova"); !strings.Contains(out, "by     anna") {
		t.Errorf("%.300s", out)
	}
	key := filepath.Join(p.Dir, "bruno.key")
	if out, err := p.Try("maintenance", "off", "--as", "bruno", "--key", key); err == nil || !strings.Contains(out, "maintenance off is for operator") {
		t.Errorf("a privacy officer: %v %.300s", err, out)
	}
	if out, err := p.Try("maintenance", "off", "--as", "anna", "--key", key); err == nil || !strings.Contains(out, ticket.ErrActionKey.Error()) {
		t.Errorf("another's key: %v %.300s", err, out)
	}
	unsigned := exec.CommandContext(t.Context(), filepath.Join(hubtest.Binaries(t), "sinbahub"), "maintenance", "off")
	unsigned.Env = append(os.Environ(), "SINBAHUB_VAR="+h.Var)
	if out, err := unsigned.CombinedOutput(); err == nil || !strings.Contains(string(out), "--as NAME --key FILE") {
		t.Errorf("nobody: %v %.300s", err, out)
	}
	p.Verb("maintenance", "off", "--reason", "finita")
	orders := map[uuid.UUID]string{}
	var done []string
	for _, e := range hubtest.JournalEntries(t, h.Superuser()) {
		switch e.Kind { //nolint:exhaustive // no other is about it
		case journal.ActionSigned:
			orders[e.ID] = e.Outcome
		case journal.MaintenanceChanged:
			done = append(done, e.Actor+" "+orders[e.Other])
		}
	}
	if want := []string{"anna maintenance on", "anna maintenance off"}; len(orders) != len(want) || !slices.Equal(done, want) {
		t.Errorf("orders %v, done %v", orders, done)
	}
}
