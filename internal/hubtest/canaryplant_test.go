//go:build smoke

package hubtest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// plantedLeaks are the leaks that the binaries with the tag leak have (internal/app/leak.go), and where the
// search must find each: the beginning of the place's name. An empty place is none: nothing may be found.
func plantedLeaks() map[string]string {
	leaks := map[string]string{
		"fault": "answer to ", "header": "answer to ", "metric": "told by metrics", "stderr": "log/serve.log", "temp": "leak-",
		"position": "position/PROD/leak", "journal": "hub.journal_entry", "column": "vault.epoch_key.sealed_key", "siss": "siss/",
		"wal": "postgres/data/pg_wal/", "database-log": "postgres/postgres.log", "panic-inside": "", "panic": "log/serve.log",
		"export":    "exports/bundle.zip",
		"temp:gzip": "leak-", "temp:zstd": "leak-", "temp:s2": "leak-", "column:s2": "vault.epoch_key.sealed_key",
		"column:zstd": "vault.epoch_key.sealed_key", "wal:base64": "postgres/data/pg_wal/", "metric:url": "told by metrics",
		"fault:base64": "answer to ", "header:hex": "answer to ", "database-log:hex": "postgres/postgres.log", "journal:hex": "hub.journal_entry",
	}
	for _, form := range []string{"hex", "base64", "base64-1", "base64-2", "base64url", "url", "upper", "lower", "nfc", "nfd"} {
		leaks["log:"+form] = "log/serve.log"
		leaks["column:"+form] = "vault.epoch_key.sealed_key"
	}
	return leaks
}

// TestSmokePlantedLeaksAreFound plants a leak of each kind, with a name of its own, and wants the search that
// finds nothing in a good hub to find each of them, where it is.
func TestSmokePlantedLeaksAreFound(t *testing.T) {
	t.Parallel()
	c := startLeaky(t)
	c.plantUnsealed()
	names, last := map[string]string{"export": "zqxjvkexp"}, ""
	for name := range plantedLeaks() {
		if name == "export" {
			continue // of a command
		}
		names[name] = fmt.Sprintf("zq\u1e8b\u0135vk%c%c%c", 'a'+len(names)/10, 'k'+len(names)%10, 'e')
		if name == "panic" {
			last = name // it ends serve
			continue
		}
		c.leakOnce(name, names[name])
	}
	hubtest.AwaitDelivered(t, c.db, patience)
	c.told = append(c.told, printed{"metrics", c.hub.Metrics()})
	c.leakOnce(last, names[last])
	hubtest.Await(t, patience, "serve panics", func() bool { return !c.hub.Alive() })
	c.hub.Up("HUB_LEAK=ask")
	c.db = c.hub.Superuser()
	c.plantInExport()
	if _, err := c.db.Exec(t.Context(), "CHECKPOINT"); err != nil {
		t.Fatal(err)
	}
	c.checkPlanted(names)
}

// leakOnce sends an event with a surname that no other has, which one leak lets out.
func (c *canary) leakOnce(name, surname string) {
	c.t.Helper()
	document := plainly(c.full("AperturaCartella", "CodiceFiscale"))
	before, rest, _ := strings.Cut(document, "<Cognome>")
	_, after, found := strings.Cut(rest, "</Cognome>")
	if !found {
		c.t.Fatal("no surname in the document")
	}
	text := soap.AppendEnvelope(nil, soap.V12, []byte(before+"<Cognome>"+surname+"</Cognome>"+after))
	r, err := c.sender.Request(c.t.Context(), soap.V12, text)
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("X-Leak", name)
	a, err := c.sender.Do(r)
	if err != nil {
		if name != "panic" {
			c.t.Fatalf("%s: %v", name, err)
		}
		return
	}
	c.answers = append(c.answers, answered{name, a})
	if strings.HasPrefix(name, "siss") {
		// The national event carries it, so the next leak must not come before that.
		hubtest.AwaitDelivered(c.t, c.db, patience)
	}
}

// plantUnsealed has something stored among the sealed bytes that is no cipher.
func (c *canary) plantUnsealed() {
	c.t.Helper()
	c.leakOnce("", "Zqxjvk")
	c.checkSealed()
	c.leakOnce("unsealed", "Zqxjvk")
	if leaks := c.findCompressible(); len(leaks) == 0 || leaks[0].place != "vault.epoch_key.sealed_key" {
		c.t.Errorf("unsealed: found %v", leaks)
	}
}

// plantInExport has a bundle written by a command that leaks.
func (c *canary) plantInExport() {
	c.t.Helper()
	c.environ = []string{"HUB_LEAK=export"}
	dir := filepath.Join(c.temp, "exports")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		c.t.Fatal(err)
	}
	c.run(true, "audit", "export", "--from", time.Now().Add(-time.Hour).UTC().Format(time.RFC3339), "--to", time.Now().UTC().Format(time.RFC3339),
		"--reason", "prova", "-o", filepath.Join(dir, "bundle.zip"))
}

// tags are the names of leaks in a text around a sign, in any form.
var tags = regexp.MustCompile(`(?i)zq(?:xj|\x{1e8b}\x{0135}|\x{1e8a}\x{0134}|x\x{0307}j\x{0302})vk([a-z]{3})`)

// checkPlanted searches and holds what was found against what was planted.
func (c *canary) checkPlanted(names map[string]string) {
	c.t.Helper()
	found := map[string][]string{}
	for _, l := range c.collect() {
		for _, tag := range tags.FindAllStringSubmatch(unquoted(l.around), -1) {
			found[strings.ToLower(tag[1])] = append(found[strings.ToLower(tag[1])], l.place)
		}
	}
	for name, where := range plantedLeaks() {
		tag := names[name][len(names[name])-3:]
		places := found[tag]
		switch {
		case where == "" && len(places) > 0:
			c.t.Errorf("%s: found in %v", name, places)
		case where != "" && !containsPrefix(places, where):
			c.t.Errorf("%s: not found in %s, but in %v", name, where, places)
		}
	}
}

// unquoted is a text as around quoted it.
func unquoted(quoted string) string {
	var text string
	if _, err := fmt.Sscanf(quoted, "%q", &text); err != nil {
		return quoted
	}
	return text
}

func containsPrefix(all []string, prefix string) bool {
	for _, s := range all {
		if strings.HasPrefix(s, prefix) {
			return true
		}
	}
	return false
}
