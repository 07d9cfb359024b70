//go:build e2e

package hubtest_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/siss"
)

// operated is what `sinbahub delivery` says of one delivery with --json.
type operated struct {
	ID       string   `json:"id"`
	Delivery string   `json:"delivery_id"`
	Message  string   `json:"message_id"`
	State    string   `json:"state"`
	Done     bool     `json:"done"`
	Refusal  string   `json:"refusal"`
	From     string   `json:"from"`
	To       string   `json:"to"`
	Attempts int      `json:"attempts"`
	Codes    []string `json:"codes"`
	Behind   *struct {
		Delivery string `json:"delivery_id"`
		State    string `json:"state"`
	} `json:"behind"`
	Acts []struct {
		Verb   string `json:"verb"`
		Actor  string `json:"actor"`
		Reason string `json:"reason"`
	} `json:"acts"`
}

// operateCommand is `sinbahub delivery` as an operator runs it beside the hub, without a terminal.
func operateCommand(t *testing.T, h *hubtest.Hub, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(hubtest.Binaries(t), "sinbahub"), append([]string{"delivery"}, args...)...)
	cmd.Env = h.Environ()
	return cmd
}

// operate runs a verb to its end and reads its JSON lines.
func operate(t *testing.T, h *hubtest.Hub, want int, args ...string) (lines []operated, told string) {
	t.Helper()
	cmd := operateCommand(t, h, append(args, "--json")...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	if exit := cmd.ProcessState.ExitCode(); exit != want {
		t.Fatalf("%v: exit %d, want %d: %.500s %.500s", args, exit, want, out.String(), errs.String())
	}
	for line := range bytes.Lines(out.Bytes()) {
		var o operated
		if err := json.Unmarshal(line, &o); err != nil {
			t.Fatalf("%v: %.200s", err, line)
		}
		lines = append(lines, o)
	}
	return lines, errs.String()
}

// only gives the one line of a list.
func only(t *testing.T, lines []operated) operated {
	t.Helper()
	if len(lines) != 1 {
		t.Fatalf("%d lines, want one", len(lines))
	}
	return lines[0]
}

// taken counts what the nation answered to an id, by its word.
func taken(h *hubtest.Hub, id string) map[string]int {
	count := map[string]int{}
	for _, r := range h.Received() {
		if r.ID == id {
			count[r.Esito]++
		}
	}
	return count
}

// TestE2EOperatorSendsAgain walks one event through refusal, a new IdTrasmissione, and one more
// transmission of what the nation has, beside the running hub.
func TestE2EOperatorSendsAgain(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	h.MisbehaveSiss(siss.Faults{RefuseRatio: 1})
	if _, exit := send(t, h, samples(t)[0]); exit != 0 {
		t.Fatalf("exit %d", exit)
	}
	db := h.Superuser()
	hubtest.Await(t, patience, "the nation refuses it", func() bool {
		return hubtest.Number(t, db, "SELECT count(*) FROM hub.delivery WHERE state = 'refused'") == 1
	})
	lines, _ := operate(t, h, 0, "list")
	refused := only(t, lines)
	if refused.State != "refused" || !slices.Equal(refused.Codes, []string{"SISS_300"}) || refused.Attempts != 1 {
		t.Fatalf("listed as %+v", refused)
	}
	h.MisbehaveSiss(siss.Faults{})

	// What is settled is not retried, and what names a child stands nowhere.
	lines, _ = operate(t, h, 3, "retry", refused.Delivery, "--reason", "prova")
	if o := only(t, lines); o.Done || o.Refusal != "wrong_state" {
		t.Errorf("retried: %+v", o)
	}
	const code = "RSSMRA85T10A562S"
	if _, told := operate(t, h, 1, "redeliver", refused.Delivery, "--reason", "per "+code); told == "" || strings.Contains(told, code) {
		t.Errorf("told %q", told)
	}
	_, _ = operate(t, h, 1, "redeliver", refused.Delivery, "--reason", " ")
	_, _ = operate(t, h, 1, "redeliver", "--reason", "niente di preciso")
	_, _ = operate(t, h, 1, "show", uuid.NewString())
	if n := hubtest.Number(t, db, "SELECT count(*) FROM hub.journal_entry WHERE kind = 9"); n != 0 {
		t.Fatalf("%d acts in the journal before the first", n)
	}

	lines, _ = operate(t, h, 0, "redeliver", refused.Message, "--new-id", "--reason", "SISS ha corretto la regola 300")
	renewed := only(t, lines)
	if !renewed.Done || renewed.Delivery == refused.Delivery {
		t.Fatalf("renewed: %+v", renewed)
	}
	hubtest.Await(t, patience, "the running hub sends it", func() bool {
		return hubtest.Number(t, db, "SELECT count(*) FROM hub.delivery WHERE state = 'delivered'") == 1
	})
	lines, _ = operate(t, h, 0, "show", refused.Message)
	shown := only(t, lines)
	if shown.Delivery != renewed.Delivery || shown.State != "delivered" || len(shown.Acts) != 1 ||
		shown.Acts[0].Verb != "renew" || !strings.HasPrefix(shown.Acts[0].Actor, "account:") || shown.Acts[0].Reason != "SISS ha corretto la regola 300" {
		t.Errorf("shown: %+v", shown)
	}

	// Without a terminal nobody can be asked; then the same id has no second effect.
	if _, told := operate(t, h, 1, "redeliver", renewed.Delivery, "--reason", "prova"); !strings.Contains(told, "--yes") {
		t.Errorf("told %q", told)
	}
	_, _ = operate(t, h, 0, "redeliver", renewed.Delivery, "--reason", "SISS chiede conferma", "--yes")
	hubtest.Await(t, patience, "the nation gets it twice", func() bool { return h.SissCounters()["trasmettiEvento/GIA_RICEVUTO"] == 1 })
	hubtest.Await(t, patience, "it is delivered again", func() bool {
		return hubtest.Number(t, db, "SELECT count(*) FROM hub.delivery WHERE state = 'delivered' AND attempts = 2") == 1
	})
	if n := taken(h, renewed.Delivery)["ACCETTATO"]; n != 1 {
		t.Errorf("%d effects of one event", n)
	}
	if got := taken(h, refused.Delivery); got["RIFIUTATO"] != 1 || len(got) != 1 {
		t.Errorf("the refused id had %v", got)
	}
	if n := hubtest.Number(t, db, `SELECT count(*) FROM hub.journal_entry j WHERE j.kind = 9
AND (EXISTS (SELECT FROM hub.journal_queue q WHERE q.entry_id = j.id) OR EXISTS (SELECT FROM hub.journal_leaf l WHERE l.entry_id = j.id))`); n != 2 {
		t.Errorf("%d acts in the journal, want 2", n)
	}
}

// TestE2EOperatorParksABacklogAndIsInterrupted parks everything while the nation is away, and is cut
// off while it gives it back; the same command goes on with the rest.
func TestE2EOperatorParksABacklogAndIsInterrupted(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	h.MisbehaveSiss(siss.Faults{UnavailableRatio: 1})
	if _, exit := send(t, h, samples(t)...); exit != 0 {
		t.Fatalf("exit %d", exit)
	}
	db := h.Superuser()
	parked := func() int64 {
		return hubtest.Number(t, db, "SELECT count(*) FROM hub.delivery WHERE state = 'parked'")
	}
	total := hubtest.Number(t, db, "SELECT count(*) FROM hub.delivery")
	lines, told := operate(t, h, 1, "park", "--older", "1ms", "--reason", "manutenzione SISS")
	if len(lines) != 0 || !strings.Contains(told, "--yes") || parked() != 0 {
		t.Fatalf("parked %d without a word: %s", parked(), told)
	}
	if lines, _ := operate(t, h, 0, "park", "--older", "1ms", "--reason", "manutenzione SISS", "--dry-run"); len(lines) != 0 || parked() != 0 {
		t.Fatalf("parked %d", parked())
	}
	hubtest.Await(t, patience, "all is parked", func() bool {
		// What is under way at this moment is left for the next time.
		cmd := operateCommand(t, h, "park", "--older", "1ms", "--reason", "manutenzione SISS", "--yes", "--wait", "2s")
		if out, err := cmd.CombinedOutput(); err != nil && cmd.ProcessState.ExitCode() != 3 {
			t.Fatalf("%v: %.500s", err, out)
		}
		return parked() == total
	})
	h.MisbehaveSiss(siss.Faults{})

	cmd := operateCommand(t, h, "unpark", "--state", "parked", "--reason", "SISS risponde", "--yes", "--batch", "5", "--pause", "10m")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	hubtest.Await(t, patience, "the first batch is given back", func() bool { return parked() == total-5 })
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != 1 || !strings.Contains(errs.String(), "interrupted: 5 done") {
		t.Errorf("%v: %s", err, errs.String())
	}
	if n := parked(); n != total-5 {
		t.Errorf("%d parked after the interruption, want %d", n, total-5)
	}
	lines, _ = operate(t, h, 0, "unpark", "--state", "parked", "--reason", "SISS risponde", "--yes", "--batch", "7")
	if int64(len(lines)) != total-5 {
		t.Errorf("%d given back by the second command, want %d", len(lines), total-5)
	}
	hubtest.AwaitDelivered(t, db, 2*patience)
	effects := map[string]int{}
	for _, r := range h.Received() {
		if r.Esito == "ACCETTATO" {
			effects[r.ID]++
		}
	}
	for id, n := range effects {
		if n != 1 {
			t.Errorf("%s had %d effects", id, n)
		}
	}
	if int64(len(effects)) != total {
		t.Errorf("%d events had an effect, want %d", len(effects), total)
	}
	checkNothingNamed(t, h, lines[0].Delivery, int(total))
}

// checkNothingNamed looks for what names a child or a case of the samples in what an operator sees.
func checkNothingNamed(t *testing.T, h *hubtest.Hub, delivery string, total int) {
	t.Helper()
	var seen []byte
	for _, args := range [][]string{
		{"list", "--state", "delivered", "--limit", "1000"},
		{"list", "--state", "delivered", "--limit", "1000", "--json"},
		{"show", delivery},
		{"show", delivery, "--json"},
	} {
		out, err := operateCommand(t, h, args...).Output()
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, out...)
	}
	if rows := bytes.Count(seen, []byte(`"state":"delivered"`)); rows < total {
		t.Errorf("%d rows listed, want %d", rows, total)
	}
	named := regexp.MustCompile(`<(?:\w+:)?(IdCartella|IdAssistitoLocale|CodiceFiscale|Cognome|Nome)>([^<]+)<`)
	known := 0
	for _, file := range samples(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range named.FindAllSubmatch(text, -1) {
			known++
			if bytes.Contains(seen, found[2]) {
				t.Errorf("an operator sees %s of %s", found[1], filepath.Base(file))
			}
		}
	}
	if known < 100 {
		t.Errorf("only %d names in the samples: the test shows nothing", known)
	}
}
