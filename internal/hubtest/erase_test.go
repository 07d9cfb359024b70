//go:build e2e

package hubtest_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/app"
	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/opener"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// findChild asks the hub for a child's code by an identifier on standard input.
func findChild(t *testing.T, h *hubtest.Hub, identifier string) (code, said string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(hubtest.Binaries(t), "sinbahub"), "subject", "find", "--reason", "richiesta 7/2026")
	cmd.Env = h.Environ()
	cmd.Stdin = strings.NewReader(identifier + "\n")
	var out, told bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &told
	err = cmd.Run()
	return strings.TrimSpace(out.String()), told.String(), err
}

// eraseRefused tries everything that is no good leave to erase a child: each is refused, and nothing is ordered.
func eraseRefused(t *testing.T, h *hubtest.Hub, people *hubtest.People, code string, before int64) {
	t.Helper()
	const reason = "richiesta 8/2026"
	alone := filepath.Join(people.Dir, uuid.NewString())
	people.Verb("ticket", "new", "--as", hubtest.Anna, "--reason", reason, "-o", alone, "erase", "nation", code)
	people.Verb("ticket", "sign", alone, "--key", filepath.Join(people.Dir, hubtest.Anna+".key"))
	other := people.Ticket(reason, "erase", "nation", strings.Repeat("A", len(code)))
	report := people.Ticket(reason, "report", "nation", code)
	used := people.Ticket(reason, "erase", "nation", code)
	use(t, h, used)
	for name, try := range map[string]struct {
		args []string
		want string
	}{
		"no ticket":                     {[]string{code}, "two people"},
		"one person's":                  {[]string{"--ticket", alone}, "lacks a signature"},
		"of another child":              {[]string{code, "--ticket", other}, "another code"},
		"of no child":                   {[]string{"--ticket", other}, "no case"},
		"of the other domain":           {[]string{"--ticket", people.Ticket(reason, "erase", "region", code)}, "no case"},
		"for something else":            {[]string{"--ticket", report}, "something else"},
		"used, and then the power went": {[]string{"--ticket", used}, "was used"},
	} {
		out, err := people.Try(append([]string{"subject", "erase"}, try.args...)...)
		if err == nil || !strings.Contains(out, try.want) {
			t.Errorf("%s: %v: %.300s", name, err, out)
		}
	}
	if out, err := people.Try("subject", "report", "--ticket", used); err == nil || !strings.Contains(out, "something else") {
		t.Errorf("a report under a ticket to erase: %v: %.300s", err, out)
	}
	for range 2 {
		if out, err := people.Try("subject", "report", "--ticket", alone); err == nil || strings.Contains(out, "cases") {
			t.Errorf("a report under one person's ticket: %v: %.300s", err, out)
		}
	}
	if n := hubtest.Number(t, h.Superuser(), "SELECT count(*) FROM hub.erasure"); n != before {
		t.Errorf("%d erasures were ordered", n-before)
	}
}

// use has the opener take a ticket, as a command does that ends right then.
func use(t *testing.T, h *hubtest.Hub, file string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load("", []string{"SINBAHUB_VAR=" + h.Var})
	if err != nil {
		t.Fatal(err)
	}
	socket, err := app.OpenerSocket(cfg)
	if err != nil {
		t.Fatal(err)
	}
	client := opener.NewClient(socket)
	defer client.Close()
	if _, err := client.Take(t.Context(), string(text)); err != nil {
		t.Fatal(err)
	}
}

// TestE2EErasure forgets one of two siblings: nothing leads to it or opens what was sealed for it, its events
// are still there, the same code is another child afterwards, and the sibling has lost nothing.
func TestE2EErasure(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	db, sender := h.Superuser(), h.Sender(hubtest.ChildEnte)
	gone, sibling := hubtest.Child(61), hubtest.Child(62)
	receipts := map[hubtest.Child]string{}
	for _, child := range []hubtest.Child{gone, sibling} {
		receipts[child] = mustSend(t, sender, soap.V12, child.Event(uuid.New(), 1)).Receipt.IDRicevuta
	}
	hubtest.AwaitDelivered(t, db, patience)
	code, said, err := findChild(t, h, strings.ToLower(gone.Code()))
	if err != nil || len(code) != 20 {
		t.Fatalf("%q %v %s", code, err, said)
	}
	const reason = "richiesta 7/2026"
	people := h.People(t)
	if cmd, opened, told := openCommand(t, h, people.Ticket(reason, "open", receipts[gone])); cmd.Run() != nil || !written(opened) {
		t.Fatalf("not opened before: %s", told)
	}
	people.Verb("reidentify", "--ticket", people.Ticket(reason, "reidentify", "nation", code), "-o", filepath.Join(t.TempDir(), "identity"))
	report := verb(t, h, 0, "subject", "report", "--ticket", people.Ticket(reason, "report", "nation", code))
	for _, want := range []string{reason, "opened", "reidentified by " + hubtest.Anna, "approved by " + hubtest.Bruno, "report by " + hubtest.Anna} {
		if !strings.Contains(report, want) {
			t.Errorf("the report does not say %q:\n%s", want, report)
		}
	}
	if out := verb(t, h, 0, "subject", "erase", code, "--dry-run"); !strings.Contains(out, "would be erased") {
		t.Errorf("dry run:\n%s", out)
	}
	secrets := hubtest.Number(t, db, "SELECT count(*) FROM vault.subject")
	var c struct {
		Done         bool      `json:"done"`
		Entry        uuid.UUID `json:"entry"`
		Cases        int64     `json:"cases"`
		BackupsClean string    `json:"backups_clean"`
	}
	leave := people.Ticket(reason, "erase", "nation", code)
	eraseRefused(t, h, people, code, hubtest.Number(t, db, "SELECT count(*) FROM hub.erasure"))
	out := verb(t, h, 0, "subject", "erase", code, "--ticket", leave, "--json")
	if err := json.Unmarshal([]byte(out), &c); err != nil || !c.Done || c.Cases != 1 {
		t.Fatalf("%v: %s", err, out)
	}
	var body []byte
	if err := db.QueryRow(t.Context(), "SELECT body FROM hub.journal_entry WHERE id = $1", c.Entry).Scan(&body); err != nil {
		t.Fatal(err)
	}
	if e, err := journal.Parse(body); err != nil || e.Kind != journal.SubjectErased || e.Actor != hubtest.Anna || e.Reason != reason ||
		string(e.Codes[2]) != "backups_clean:"+c.BackupsClean || string(e.Codes[4]) != "approved:"+hubtest.Bruno {
		t.Errorf("%v: %+v", err, e)
	}
	for what, count := range map[string]struct{ n, want int64 }{
		"subjects left":       {hubtest.Number(t, db, "SELECT count(*) FROM vault.subject"), secrets - 1},
		"links of nobody":     {hubtest.Number(t, db, "SELECT count(*) FROM vault.subject_link WHERE subject_id NOT IN (SELECT id FROM vault.subject)"), 0},
		"events":              {hubtest.Number(t, db, "SELECT count(*) FROM hub.event"), 2},
		"cases erased":        {hubtest.Number(t, db, "SELECT count(*) FROM hub.case_file WHERE erased_at IS NOT NULL AND sealed_ids = ''"), 1},
		"erasures to be done": {hubtest.Number(t, db, "SELECT count(*) FROM hub.erasure WHERE forgotten_at IS NULL"), 0},
	} {
		if count.n != count.want {
			t.Errorf("%s: %d, want %d", what, count.n, count.want)
		}
	}
	if cmd, opened, told := openCommand(t, h, people.Ticket(reason, "open", receipts[gone])); cmd.Run() == nil || written(opened) || !strings.Contains(told.String(), "erased") {
		t.Errorf("the erased child's message was opened, or not said to be erased: %.200s", told)
	}
	if cmd, opened, told := openCommand(t, h, people.Ticket(reason, "open", receipts[sibling])); cmd.Run() != nil || !written(opened) {
		t.Errorf("the sibling's message is lost: %s", told)
	}
	if code, _, err := findChild(t, h, gone.Code()); err == nil {
		t.Errorf("the erased child is found: %s", code)
	}
	// A later event finds no case; the same code opens one of another child, silently.
	if a := mustSend(t, sender, soap.V12, gone.Event(uuid.New(), 2)); a.Receipt != nil {
		t.Error("a case was found by the id that was erased")
	}
	if a := mustSend(t, sender, soap.V12, sibling.Event(uuid.New(), 2)); a.Receipt == nil {
		t.Errorf("the sibling's case is lost: %s", a.Body)
	}
	if a := mustSend(t, sender, soap.V12, gone.Event(uuid.New(), 1)); a.Receipt == nil || len(a.Receipt.Avvisi) > 0 {
		t.Errorf("the child is not taken as a new one: %s", a.Body)
	}
	if again, said, err := findChild(t, h, gone.Code()); err != nil || again == code {
		t.Errorf("%v: the new child has the old code: %s", err, said)
	}
	hubtest.AwaitDelivered(t, db, patience)
	lawfulAndNot(t, h, people, c.Entry)
}

// lawfulAndNot has the erasure told as the lawful one it is, by the entry that ordered it; then loses the secrets
// of all the others, and then the entry, too.
func lawfulAndNot(t *testing.T, h *hubtest.Hub, people *hubtest.People, order uuid.UUID) {
	t.Helper()
	db := h.Superuser()
	verify := func(exit int) string {
		t.Helper()
		return verb(t, h, exit, "replay", "verify", "--from", "2020-01-01T00:00:00Z", "--ticket", people.ReplayTicket())
	}
	lawful := "of a child erased lawfully, by order of entry " + order.String() + ", and not to be replayed any more: 1"
	if out := verify(0); !strings.Contains(out, lawful) || !strings.Contains(out, " event ") || !strings.Contains(out, "secret_missing   0") {
		t.Errorf("a lawful erasure:\n%s", out)
	}
	for _, statement := range []string{
		"DELETE FROM vault.subject_link",
		"DELETE FROM vault.subject",
	} {
		if _, err := db.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if out := verify(3); !strings.Contains(out, lawful) || !strings.Contains(out, "secret_missing   3") {
		t.Errorf("secrets that nobody ordered away:\n%s", out)
	}
	if _, err := db.Exec(t.Context(), "DELETE FROM hub.journal_entry WHERE id = $1", order); err != nil {
		t.Fatal(err)
	}
	if out := verify(3); strings.Contains(out, "erased lawfully") || !strings.Contains(out, "secret_missing   4") {
		t.Errorf("an erasure without its entry:\n%s", out)
	}
}
