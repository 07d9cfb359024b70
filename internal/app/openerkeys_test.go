package app_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/app"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
)

// commandPatience is longer than any program of these tests takes, but the one that waits.
const commandPatience = time.Minute

// A program can print the opener's keys: without a shell, without this process's environment.
func TestAKeyCommandPrintsTheKeys(t *testing.T) {
	t.Setenv("SINBAHUB_TEST_SECRET", "in the environment")
	dir := filepath.Join(t.TempDir(), "keys")
	if err := pseudonym.InitKeys(dir, hub.Prod, time.Now()); err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(filepath.Join(dir, "opener", "seal-1.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file map[string]any
	if err := json.Unmarshal(key, &file); err != nil {
		t.Fatal(err)
	}
	printed := func(command ...string) ([]byte, error) {
		return app.RunKeyCommand(t.Context(), command, commandPatience, os.Getuid(), os.Getgid())
	}
	if text, err := printed("/bin/echo", string(key)); err != nil || !bytes.Contains(text, bytes.TrimSpace(key)) {
		t.Errorf("%d bytes: %v", len(text), err)
	} else if _, err := pseudonym.ParseOpenerKeys(text, hub.Prod); err != nil {
		t.Error(err)
	}
	if text, err := printed("/usr/bin/env"); err != nil || len(text) != 0 {
		t.Errorf("its environment has %d bytes: %v", len(text), err)
	}
	if text, err := printed("/bin/echo", "$HOME; id"); err != nil || string(text) != "$HOME; id" {
		t.Errorf("a shell read it: %q %v", text, err)
	}
	for name, command := range map[string][]string{
		"fails": {"/bin/false"}, "does not exist": {"/no/such/program"}, "no path": {"echo", "x"}, "too much": {"/usr/bin/head", "-c", "70000", "/dev/zero"},
	} {
		if text, err := printed(command...); !errors.Is(err, app.ErrKeyCommand) || text != nil {
			t.Errorf("%s: %d bytes, %v", name, len(text), err)
		}
	}
	if text, err := app.RunKeyCommand(t.Context(), []string{"/bin/sleep", "3600"}, time.Millisecond, os.Getuid(), os.Getgid()); !errors.Is(err, app.ErrKeyCommand) || text != nil {
		t.Errorf("it waits: %v", err)
	}
	if _, err := pseudonym.AddNamed(dir, hub.Prod, pseudonym.NameLink, time.Now()); err != nil {
		t.Fatal(err)
	}
	link, err := os.ReadFile(filepath.Join(dir, "opener", "link-2.json"))
	if err != nil {
		t.Fatal(err)
	}
	codes, err := os.ReadFile(filepath.Join(dir, "code-nation-1.json"))
	if err != nil {
		t.Fatal(err)
	}
	// A new link key is for the opener, too: it indexes with it what it opens.
	if keys, err := pseudonym.ParseOpenerKeys(slices.Concat(key, link), hub.Prod); err != nil || !keys.Opens(1) || !keys.Indexes(2) {
		t.Errorf("a link key beside the private half: %v", err)
	}
	for name, text := range map[string]string{
		"nothing": "", "no JSON": "x", "twice": string(key) + string(key), "no private half": string(link), "a link key twice": string(key) + string(link) + string(link),
		"a key of codes": string(key) + string(codes), "another field": strings.Replace(string(key), "{", `{"x":1,`, 1),
	} {
		if keys, err := pseudonym.ParseOpenerKeys([]byte(text), hub.Prod); err == nil || keys != nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := pseudonym.ParseOpenerKeys(key, hub.Test); err == nil {
		t.Error("the other environment's: taken")
	}
}
