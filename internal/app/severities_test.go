package app_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/sinbahub/sinbahub/internal/app"
	"github.com/sinbahub/sinbahub/internal/config"
)

// TestServeRefusesToSoftenWhatProtectsIdentities: all faults are told, and nothing was started.
func TestServeRefusesToSoftenWhatProtectsIdentities(t *testing.T) {
	t.Parallel()
	cfg := config.Default()
	cfg.Var = t.TempDir()
	cfg.Rules.WarningOnly = []config.WarningOnly{
		{Rule: "BR-12", Until: "2027-03-31"},
		{Rule: "BR-20", Participant: "aster", Until: "2027-03-31"},
		{Rule: "BR-99", From: "2027-03-31"},
	}
	var log bytes.Buffer
	err := app.Serve(t.Context(), cfg, app.ServeOptions{Log: &log})
	if err == nil || !strings.Contains(err.Error(), "rules: BR-20 aster: ") || !strings.Contains(err.Error(), "BR-99: ") || strings.Contains(err.Error(), "BR-12") {
		t.Errorf("got %v", err)
	}
	if text := log.String(); !strings.Contains(text, "start refused") || strings.Count(text, "\n") != 1 {
		t.Errorf("log: %s", text)
	}
}
