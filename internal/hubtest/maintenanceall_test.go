//go:build e2e

package hubtest_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/app"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// TestE2EMaintenanceHoldsOnAllInstances: a second instance over the same PostgreSQL follows, too.
func TestE2EMaintenanceHoldsOnAllInstances(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	second := secondInstance(t, h)
	sender := h.Sender(hubtest.ChildEnte)
	sender.URL = strings.Replace(h.Run.SoapURL, baseOf(h.Run.SoapURL), second.Soap, 1)
	doorOf := func(want string) func() bool {
		return func() bool {
			a, err := sender.Send(t.Context(), soap.V12, []byte(`<EchoRichiesta xmlns="urn:sinba:eventi:v1"/>`))
			return err == nil && elementOf(a.Body, "Disponibile") == want
		}
	}
	hubtest.Await(t, patience, "the second instance takes events", doorOf("true"))
	verb(t, h, 0, "maintenance", "on", "--text", closedText)
	hubtest.Await(t, patience, "the second instance follows", doorOf("false"))
	mustTurnAway(t, mustSend(t, sender, soap.V12, hubtest.Child(31).Event(uuid.New(), 1)), "SINBA_504")
	verb(t, h, 0, "maintenance", "off")
	hubtest.Await(t, patience, "the second instance follows again", doorOf("true"))
}

// TestE2EMaintenanceOutlastsItsDatabase: what was known when PostgreSQL went away is what senders are
// told, and what holds when it is back.
func TestE2EMaintenanceOutlastsItsDatabase(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	sender := h.Sender(hubtest.ChildEnte)
	const child = hubtest.Child(32)
	verb(t, h, 0, "maintenance", "on", "--text", closedText)
	waitForMetric(t, h, `hub_admission_closed{reason="maintenance"} 1`)
	h.KillDatabase()
	awaitLog(t, h, "doors not read")
	for range 3 {
		mustTurnAway(t, mustSend(t, sender, soap.V12, child.Event(uuid.New(), 1)), "SINBA_504")
	}
	if a := echoWith(t, sender, "prova"); elementOf(a.Body, "Disponibile") != "false" {
		t.Errorf("echo: %s", a.Body)
	}
	h.Up()
	mustTurnAway(t, mustSend(t, sender, soap.V12, child.Event(uuid.New(), 1)), "SINBA_504")
	verb(t, h, 0, "maintenance", "off")
	waitForMetric(t, h, `hub_admission_closed{reason="maintenance"} 0`)
	if a := mustSend(t, sender, soap.V12, child.Event(uuid.New(), 1)); a.Receipt == nil {
		t.Errorf("after the maintenance: %d %s", a.Status, a.Header.Get("X-Sinba-Codice"))
	}
}

// secondInstance starts another serve with the first one's configuration and ports of its own.
func secondInstance(t *testing.T, h *hubtest.Hub) app.Addresses {
	t.Helper()
	told := filepath.Join(t.TempDir(), "addresses.json")
	cmd := exec.CommandContext(t.Context(), filepath.Join(hubtest.Binaries(t), "sinbahub"),
		"--config", filepath.Join(h.Var, "demo.yaml"), "serve", "--addresses", told)
	cmd.Env = append(os.Environ(), "SINBAHUB_LISTEN=127.0.0.1:0", "SINBAHUB_ADMIN_LISTEN=127.0.0.1:0")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Wait(); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("the second instance: %v", err)
		}
	})
	var addresses app.Addresses
	hubtest.Await(t, patience, "the second instance listens", func() bool {
		text, err := os.ReadFile(told)
		return err == nil && json.Unmarshal(text, &addresses) == nil && addresses.Soap != ""
	})
	return addresses
}

// baseOf cuts an address behind its host.
func baseOf(address string) string {
	scheme, rest, _ := strings.Cut(address, "://")
	host, _, _ := strings.Cut(rest, "/")
	return scheme + "://" + host
}
