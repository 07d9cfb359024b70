//go:build smoke

package hubtest_test

import (
	"context"
	"errors"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.yaml.in/yaml/v3"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// TestSmokeDumpWithoutKeysOpensNothing restores a dump of both schemas as somebody would who has the dump and
// not the keys: nothing in it can be read, and no command of the hub that is given it, without keys or with
// keys made anew, shows anything or takes it for its own.
func TestSmokeDumpWithoutKeysOpensNothing(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	people, marks := h.People(t), &marks{}
	code := marks.code()
	child := hubtest.Child(7_100)
	var receipt uuid.UUID
	for sequence := 1; sequence <= 3; sequence++ {
		document := []byte(strings.ReplaceAll(string(child.Event(uuid.New(), sequence)), child.Code(), code))
		receipt = uuid.MustParse(mustSend(t, h.Sender(hubtest.ChildEnte), soap.V12, document).Receipt.IDRicevuta)
	}
	hubtest.AwaitDelivered(t, h.Superuser(), patience)
	dump := filepath.Join(t.TempDir(), "dump.sql")
	serverTool(t, "pg_dump", "--dbname", h.Run.DatabaseURL, "--file", dump)
	text, err := os.ReadFile(dump)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), receipt.String()) || !strings.Contains(string(text), "COPY vault.subject ") {
		t.Fatal("this is no dump of both schemas")
	}
	for _, l := range find("dump", text) {
		t.Errorf("%s: %s in %s", l.place, l.mark, l.around)
	}

	if _, err := h.Superuser().Exec(t.Context(), "CREATE DATABASE elsewhere"); err != nil {
		t.Fatal(err)
	}
	serverTool(t, "psql", "--quiet", "--set", "ON_ERROR_STOP=1", "--dbname", inDatabase(t, h.Run.DatabaseURL, "elsewhere"), "--file", dump)
	open, replay := people.Ticket("prova", "open", receipt.String()), people.ReplayTicket()
	for _, own := range []bool{false, true} {
		m := newThief(t, h, people, own)
		verbs := [][]string{{"serve"}, {"subject", "find", "--reason", "prova"}, {"replay", "verify", "--ticket", replay}}
		if own {
			m.startOpener(t) // it holds its keys against nothing before it opens something
		} else {
			verbs = append(verbs, []string{"opener"})
		}
		for _, verb := range append(verbs, []string{"open", "--ticket", open, "-o", m.opened()}) {
			out, failed := m.run(t, code, verb...)
			if !failed {
				t.Errorf("%v with own keys %t: no error: %.300s", verb, own, out)
			}
			for _, l := range find(strings.Join(verb, " "), out) {
				t.Errorf("%s with own keys %t: %s in %s", l.place, own, l.mark, l.around)
			}
		}
		if written(m.opened()) {
			t.Errorf("own keys %t: a message was opened", own)
		}
	}
	// With the hub's keys the same commands read the same dump: it was the keys that lacked.
	owner := newThief(t, h, people, false)
	owner.take(t, filepath.Join(h.Var, "keys"))
	if out, failed := owner.run(t, code, "subject", "find", "--reason", "prova"); failed {
		t.Errorf("find with the keys: %.300s", out)
	}
	owner.startOpener(t)
	if out, failed := owner.run(t, "", "open", "--ticket", open, "-o", owner.opened()); failed || !written(owner.opened()) {
		t.Errorf("open with the keys: %.300s", out)
	}
}

// thief is a machine with the hub's binary and a restored database.
type thief struct {
	dir      string
	settings map[string]any
}

// newThief makes its folder, with keys of its own or none. The thief has an operator's key too: it is not the
// signature that lacks.
func newThief(t *testing.T, h *hubtest.Hub, people *hubtest.People, keys bool) *thief {
	t.Helper()
	m := &thief{dir: t.TempDir(), settings: map[string]any{}}
	// The opener's own part last: of one name it is the one with an address.
	for _, file := range []string{"demo.yaml", "opener.yaml"} {
		text, err := os.ReadFile(filepath.Join(h.Var, file))
		if err == nil {
			err = yaml.Unmarshal(text, &m.settings)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	database, _ := m.settings["database"].(map[string]any)
	for _, name := range []string{"url", "vault_url"} {
		dsn, _ := database[name].(string)
		database[name] = inDatabase(t, dsn, "elsewhere")
	}
	opener, _ := m.settings["opener"].(map[string]any)
	dsn, _ := opener["database_url"].(string)
	opener["database_url"], opener["socket"] = inDatabase(t, dsn, "elsewhere"), filepath.Join(m.dir, "opener.sock")
	m.settings["operator"] = map[string]any{"person": hubtest.Anna, "key_file": filepath.Join(people.Dir, hubtest.Anna+".key")}
	m.settings["listen"], m.settings["admin_listen"] = "127.0.0.1:0", "127.0.0.1:0"
	m.take(t, filepath.Join(m.dir, "keys"))
	if keys {
		if out, failed := m.run(t, "", "keys", "init"); failed {
			t.Fatalf("keys of its own: %.300s", out)
		}
	}
	return m
}

// take goes by the keys of a folder.
func (m *thief) take(t *testing.T, keys string) {
	t.Helper()
	opener, _ := m.settings["opener"].(map[string]any)
	m.settings["keys"] = map[string]any{"dir": keys}
	opener["keys"], opener["codes"] = filepath.Join(keys, "opener"), keys
	m.write(t)
}

// opened is where what is opened would go.
func (m *thief) opened() string { return filepath.Join(m.dir, "opened") }

// startOpener runs an opener until the test ends, and waits until it listens.
func (m *thief) startOpener(t *testing.T) {
	t.Helper()
	cmd := m.command(context.WithoutCancel(t.Context()), t, "opener")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
	hubtest.Await(t, patience, "the opener listens", func() bool {
		_, err := os.Stat(filepath.Join(m.dir, "opener.sock"))
		return err == nil
	})
}

// command is one of the hub's there.
func (m *thief) command(ctx context.Context, t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(ctx, filepath.Join(hubtest.Binaries(t), "sinbahub"), append(args, "--config", filepath.Join(m.dir, "sinbahub.yaml"))...)
	cmd.Env = append(os.Environ(), "SINBAHUB_VAR="+m.dir)
	return cmd
}

func (m *thief) write(t *testing.T) {
	t.Helper()
	text, err := yaml.Marshal(m.settings)
	if err == nil {
		err = os.WriteFile(filepath.Join(m.dir, "sinbahub.yaml"), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// run gives a command's two outputs, and whether it ended with an error by itself.
func (m *thief) run(t *testing.T, input string, args ...string) (out []byte, failed bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := m.command(ctx, t, args...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	ended, exited := errors.AsType[*exec.ExitError](err)
	return out, exited && ended.Exited()
}

// inDatabase is an address of a server with another database.
func inDatabase(t *testing.T, dsn, database string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil || u.Path == "" {
		t.Fatalf("this is no address: %v", err)
	}
	u.Path = "/" + database
	return u.String()
}

// serverTool runs a program that came with PostgreSQL.
func serverTool(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %.500s", name, err, out)
	}
}
