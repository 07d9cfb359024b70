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
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/opener"
)

// openCommand is `sinbahub open` as an operator runs it, its output in a pipe.
func openCommand(t *testing.T, h *hubtest.Hub, args ...string) (*exec.Cmd, *bytes.Buffer, *bytes.Buffer) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(hubtest.Binaries(t), "sinbahub"), append([]string{"open"}, args...)...)
	cmd.Env = append(os.Environ(), "SINBAHUB_VAR="+h.Var)
	out, told := new(bytes.Buffer), new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = out, told
	return cmd, out, told
}

// TestE2EOpener opens with the verb what a vendor sent, and looks for who may and who may not.
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
	const reason = "verifica del reclamo 12"
	cmd, out, told := openCommand(t, h, receipt, "--reason", reason, "--actor", "m.rossi")
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %.300s", err, told)
	}
	// What was sealed is the whole request; the document stands in it as the vendor wrote it.
	_, event, _ := bytes.Cut(document, []byte("?>"))
	if !bytes.Contains(out.Bytes(), bytes.TrimSpace(event)) {
		t.Errorf("opened %d bytes, without the document sent", out.Len())
	}
	db := h.Superuser()
	var body []byte
	if err := db.QueryRow(t.Context(), "SELECT body FROM hub.journal_entry WHERE kind = 10").Scan(&body); err != nil {
		t.Fatal(err)
	}
	e, err := journal.Parse(body)
	if err != nil || e.Message.String() != receipt || e.Actor != "m.rossi" || e.Reason != reason || e.Outcome != opener.OutcomeMessage {
		t.Errorf("%v: entry %+v", err, e)
	}
	for name, args := range map[string][]string{
		"an unknown id":   {"01a20396-6eab-756f-a672-611f3ef2c2d7", "--reason", reason},
		"no id":           {"x", "--reason", reason},
		"an identity":     {receipt, "--reason", "RSSMRA80A01H501U"},
		"an empty reason": {receipt, "--reason", ""},
	} {
		cmd, out, _ := openCommand(t, h, args...)
		if err := cmd.Run(); err == nil || out.Len() > 0 {
			t.Errorf("%s: %v, %d bytes", name, err, out.Len())
		}
	}
	// A child that was erased is nobody's any more.
	hubtest.Await(t, patience, "its delivery ends", func() bool {
		return hubtest.Number(t, db, "SELECT count(*) FROM hub.delivery WHERE state = 'delivered'") == 1
	})
	for _, statement := range []string{"DELETE FROM vault.subject_link", "DELETE FROM vault.subject"} {
		if _, err := db.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	cmd, out, told = openCommand(t, h, receipt, "--reason", reason)
	if err := cmd.Run(); err == nil || out.Len() > 0 || !strings.Contains(told.String(), "erased") {
		t.Errorf("erased: %v, %d bytes, %.200s", err, out.Len(), told)
	}
	checkOpenerProcess(t, h)
	checkServeHoldsNoPrivateKey(t, h)
}

// checkOpenerProcess looks at the opener from outside: its user, its memory, strangers at its socket, what
// becomes of it when it is killed.
func checkOpenerProcess(t *testing.T, h *hubtest.Hub) {
	t.Helper()
	pid := *h.Run.Pids.Opener
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
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
		stranger, out, told := openCommand(t, h, "01a20396-6eab-756f-a672-611f3ef2c2d7", "--reason", "prova")
		stranger.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1, Gid: 65533}}
		if err := stranger.Run(); err == nil || out.Len() > 0 || !strings.Contains(told.String(), opener.ErrStranger.Error()) {
			t.Errorf("a stranger: %v %.200s", err, told)
		}
		stranger, _, told = openCommand(t, h, "01a20396-6eab-756f-a672-611f3ef2c2d7", "--reason", "prova")
		stranger.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1, Gid: 1}}
		if err := stranger.Run(); err == nil || !strings.Contains(told.String(), opener.ErrUnreachable.Error()) {
			t.Errorf("a stranger outside its group: %v %.200s", err, told)
		}
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	hubtest.Await(t, patience, "it is gone", func() bool {
		cmd, _, told := openCommand(t, h, "01a20396-6eab-756f-a672-611f3ef2c2d7", "--reason", "prova")
		return cmd.Run() != nil && strings.Contains(told.String(), opener.ErrUnreachable.Error())
	})
	h.Up()
	if again := *h.Run.Pids.Opener; again == pid {
		t.Error("nothing was started again")
	}
	cmd, _, told := openCommand(t, h, "01a20396-6eab-756f-a672-611f3ef2c2d7", "--reason", "prova")
	if err := cmd.Run(); err == nil || !strings.Contains(told.String(), opener.ErrUnknown.Error()) {
		t.Errorf("after the restart: %v %.200s", err, told)
	}
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
