//go:build e2e

package hubtest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/opener"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
	"github.com/sinbahub/sinbahub/internal/ticket"
)

// openCommand is `sinbahub open` as an operator runs it; what it opens goes to a new file.
func openCommand(t *testing.T, h *hubtest.Hub, signed string, args ...string) (cmd *exec.Cmd, opened string, told *bytes.Buffer) {
	t.Helper()
	opened = filepath.Join(t.TempDir(), "opened")
	cmd = exec.CommandContext(t.Context(), filepath.Join(hubtest.Binaries(t), "sinbahub"), append([]string{"open", "--ticket", signed, "-o", opened}, args...)...)
	cmd.Env = h.Environ()
	told = new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = told, told
	return cmd, opened, told
}

// TestE2EOpener opens under a ticket what a vendor sent, once, and looks for who may and who may not.
func TestE2EOpener(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	document, err := os.ReadFile(samples(t)[0])
	if err != nil {
		t.Fatal(err)
	}
	sent, exit := send(t, h, samples(t)[0])
	if exit != 0 {
		t.Fatalf("exit %d", exit)
	}
	receipt := sent[0].IDRicevuta
	people := h.People(t)
	const reason = "verifica del reclamo 12"
	signed := people.Ticket(reason, "open", receipt)
	people.Verb("ticket", "check", signed)
	cmd, opened, told := openCommand(t, h, signed)
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %.300s", err, told)
	}
	// What was sealed is the whole request; the document stands in it as the vendor wrote it.
	_, event, _ := bytes.Cut(document, []byte("?>"))
	if plain, err := os.ReadFile(opened); err != nil || !bytes.Contains(plain, bytes.TrimSpace(event)) {
		t.Errorf("opened %d bytes, without the document sent: %v", len(plain), err)
	}
	if info, err := os.Stat(opened); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	db := h.Superuser()
	var body []byte
	if err := db.QueryRow(t.Context(), "SELECT body FROM hub.journal_entry WHERE kind = 10").Scan(&body); err != nil {
		t.Fatal(err)
	}
	e, err := journal.Parse(body)
	if err != nil || e.Message.String() != receipt || e.Actor != hubtest.Anna || e.Reason != reason || e.Outcome != opener.OutcomeMessage ||
		!slices.Contains(e.Codes, "approved:bruno") {
		t.Errorf("%v: entry %+v", err, e)
	}
	again, opened, told := openCommand(t, h, signed)
	if err := again.Run(); err == nil || !strings.Contains(told.String(), ticket.ErrUsed.Error()) {
		t.Errorf("a second time: %v %.200s", err, told)
	}
	if _, err := os.Stat(opened); err == nil {
		t.Error("a second time it left a file")
	}
	unknown := people.Ticket(reason, "open", nobody)
	if cmd, _, told := openCommand(t, h, unknown); cmd.Run() == nil || !strings.Contains(told.String(), opener.ErrUnknown.Error()) {
		t.Errorf("an unknown id: %.200s", told)
	}
	for name, args := range map[string][]string{
		"no id":           {"open", "x", "--reason", reason},
		"an identity":     {"open", receipt, "--reason", "RSSMRA80A01H501U"},
		"an empty reason": {"open", receipt, "--reason", ""},
	} {
		if out, err := people.Try(append([]string{"ticket", "new", "--as", hubtest.Anna, "-o", filepath.Join(t.TempDir(), "t")}, args...)...); err == nil {
			t.Errorf("%s: %.200s", name, out)
		}
	}
	checkReidentify(t, h, people)
	// A child that was erased is nobody's any more.
	hubtest.Await(t, patience, "its delivery ends", func() bool {
		return hubtest.Number(t, db, "SELECT count(*) FROM hub.delivery WHERE state = 'delivered'") == 1
	})
	for _, statement := range []string{"DELETE FROM vault.subject_link", "DELETE FROM vault.subject"} {
		if _, err := db.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	cmd, _, told = openCommand(t, h, people.Ticket(reason, "open", receipt))
	if err := cmd.Run(); err == nil || !strings.Contains(told.String(), "erased") {
		t.Errorf("erased: %v, %.200s", err, told)
	}
	checkOpenerProcess(t, h, people)
	checkServeHoldsNoPrivateKey(t, h)
}

// nobody is an id of nothing.
const nobody = "01a20396-6eab-756f-a672-611f3ef2c2d7"

// checkReidentify asks who is behind the pseudonym that SISS was given, once.
func checkReidentify(t *testing.T, h *hubtest.Hub, people *hubtest.People) {
	t.Helper()
	db := h.Superuser()
	var subject uuid.UUID
	if err := db.QueryRow(t.Context(), "SELECT subject_id FROM hub.event").Scan(&subject); err != nil {
		t.Fatal(err)
	}
	keys, err := pseudonym.LoadKeys(filepath.Join(h.Var, "keys"), hub.Prod)
	if err != nil {
		t.Fatal(err)
	}
	code, err := keys.Code(pseudonym.Nation, keys.Epoch(pseudonym.Nation), subject)
	if err != nil {
		t.Fatal(err)
	}
	signed := people.Ticket("richiesta del garante 7", "reidentify", "nation", code)
	into := filepath.Join(t.TempDir(), "who")
	if told := people.Verb("reidentify", "--ticket", signed, "-o", into); told != "" {
		t.Errorf("it said %q", told)
	}
	who, err := os.ReadFile(into)
	if err != nil || !regexp.MustCompile(`^CF [A-Z0-9]{16}\n$`).Match(who) {
		t.Errorf("%v: %d bytes that are no identity", err, len(who))
	}
	if out, err := people.Try("reidentify", "--ticket", signed, "-o", into+"2"); err == nil || !strings.Contains(out, ticket.ErrUsed.Error()) {
		t.Errorf("a second time: %.200s", out)
	}
	list := people.Verb("reidentifications", "--month", time.Now().UTC().Format("2006-01"))
	for _, want := range []string{"reidentified", "pseudonym nation " + code, "anna", "bruno", "richiesta del garante 7", "ticket_used", "person trusted", "1 re-identifications"} {
		if !strings.Contains(list, want) {
			t.Errorf("the list lacks %q: %s", want, list)
		}
	}
	identity := strings.Fields(string(who))[1]
	log, err := os.ReadFile(filepath.Join(h.Var, "log", "opener.log"))
	if err != nil || len(log) == 0 || strings.Contains(list, identity) || bytes.Contains(log, []byte(identity)) || bytes.Contains(log, []byte(code)) {
		t.Errorf("%v: an identity or a pseudonym in list or log", err)
	}
}

// checkOpenerProcess looks at the opener from outside: its user, its memory, strangers at its socket, what
// becomes of it when it is killed.
func checkOpenerProcess(t *testing.T, h *hubtest.Hub, people *hubtest.People) {
	t.Helper()
	unused := people.Ticket("prova", "open", nobody)
	pid := *h.Run.Pids.Opener
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	// What a process that cannot be dumped has in /proc belongs to root, whoever it runs as.
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
	if err != nil || !regexp.MustCompile(`(?m)^Max core file size +0 +0 `).Match(limits) {
		t.Errorf("core files: %v %.200s", err, limits)
	}
	var memory syscall.Stat_t
	if err := syscall.Stat(fmt.Sprintf("/proc/%d/mem", pid), &memory); err != nil || memory.Uid != 0 {
		t.Errorf("its memory belongs to %d: %v", memory.Uid, err)
	}
	want := "65533"
	if os.Getuid() != 0 {
		want = strconv.Itoa(os.Getuid())
	}
	if !strings.Contains(string(status), "\nUid:\t"+want+"\t"+want+"\t"+want+"\t"+want+"\n") || os.Getuid() == 0 && !strings.Contains(string(status), "\nCapPrm:\t0000000000000000\n") {
		t.Errorf("the opener runs as %.800s", status)
	}
	if os.Getuid() == 0 {
		// Its own user may not look into it; another one, who comes through its group's door, is refused.
		look := exec.CommandContext(t.Context(), "cat", fmt.Sprintf("/proc/%d/environ", pid))
		look.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65533, Gid: 65533}}
		if out, err := look.CombinedOutput(); err == nil {
			t.Errorf("its own user reads %d bytes of it", len(out))
		}
		stranger, told := strange(t, h, unused)
		stranger.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1, Gid: 65533}}
		if err := stranger.Run(); err == nil || !strings.Contains(told.String(), opener.ErrStranger.Error()) {
			t.Errorf("a stranger: %v %.200s", err, told)
		}
		stranger, told = strange(t, h, unused)
		stranger.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1, Gid: 1}}
		if err := stranger.Run(); err == nil || !strings.Contains(told.String(), opener.ErrUnreachable.Error()) {
			t.Errorf("a stranger outside its group: %v %.200s", err, told)
		}
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	hubtest.Await(t, patience, "it is gone", func() bool {
		cmd, _, told := openCommand(t, h, unused)
		return cmd.Run() != nil && strings.Contains(told.String(), opener.ErrUnreachable.Error())
	})
	h.Up()
	if again := *h.Run.Pids.Opener; again == pid {
		t.Error("nothing was started again")
	}
	cmd, _, told := openCommand(t, h, unused)
	if err := cmd.Run(); err == nil || !strings.Contains(told.String(), opener.ErrUnknown.Error()) {
		t.Errorf("after the restart: %v %.200s", err, told)
	}
}

// strange is `sinbahub open` for another user, which gets the ticket by its standard input.
func strange(t *testing.T, h *hubtest.Hub, signed string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	cmd, _, told := openCommand(t, h, "-")
	text, err := os.ReadFile(signed)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin = bytes.NewReader(text)
	cmd.Args[slices.Index(cmd.Args, "-o")+1] = filepath.Join(os.TempDir(), uuid.NewString())
	return cmd, told
}

// checkServeHoldsNoPrivateKey searches serve's whole memory for the halves of the sealing pair: it has
// the public one and not the private one. (What it forgets of its own epoch keys is pseudonym's test.)
func checkServeHoldsNoPrivateKey(t *testing.T, h *hubtest.Hub) {
	t.Helper()
	if os.Getuid() != 0 {
		return // nobody else may look into a process of the same user's everywhere
	}
	text, err := os.ReadFile(filepath.Join(h.Var, "keys", "opener", "seal-1.json"))
	if err != nil {
		t.Fatal(err)
	}
	var pair struct {
		Public  []byte `json:"public_key"`
		Private []byte `json:"private_key"`
	}
	if err := json.Unmarshal(text, &pair); err != nil || len(pair.Private) != 32 || len(pair.Public) != 32 {
		t.Fatalf("%v: no pair", err)
	}
	for name, pid := range map[string]int{"serve": h.Run.Pids.Serve, "opener": *h.Run.Pids.Opener} {
		public, private := memoryHolds(t, pid, pair.Public), memoryHolds(t, pid, pair.Private)
		if !public || private != (name == "opener") {
			t.Errorf("%s: public half %v, private half %v", name, public, private)
		}
	}
}

// memoryHolds searches all that a process may read of its memory.
func memoryHolds(t *testing.T, pid int, what []byte) bool {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = memory.Close() }()
	for line := range strings.Lines(string(maps)) {
		var from, to int64
		var mode string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); err != nil || !strings.HasPrefix(mode, "rw") {
			continue
		}
		// Go reserves far more than it uses; what was never touched reads as zeroes, a piece at a time.
		const piece = 8 << 20
		for at := from; at < to; at += piece {
			part, err := io.ReadAll(io.NewSectionReader(memory, at, min(piece+int64(len(what)), to-at)))
			if err == nil && bytes.Contains(part, what) {
				return true
			}
		}
	}
	return false
}
