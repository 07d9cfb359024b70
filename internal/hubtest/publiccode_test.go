package hubtest_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/sinbahub/sinbahub/internal/hubtest"
)

// publiccode is the part of the catalogue's file that this project uses
// (publiccode.yml standard, version 0): an unknown key is an error there too.
type publiccode struct {
	Version      string   `yaml:"publiccodeYmlVersion"`
	Name         string   `yaml:"name"`
	URL          string   `yaml:"url"`
	LandingURL   string   `yaml:"landingURL"`
	Platforms    []string `yaml:"platforms"`
	Categories   []string `yaml:"categories"`
	Status       string   `yaml:"developmentStatus"`
	SoftwareType string   `yaml:"softwareType"`
	Audience     struct {
		Scope     []string `yaml:"scope"`
		Countries []string `yaml:"countries"`
	} `yaml:"intendedAudience"`
	Description map[string]struct {
		Name     string   `yaml:"localisedName"`
		Short    string   `yaml:"shortDescription"`
		Long     string   `yaml:"longDescription"`
		Features []string `yaml:"features"`
	} `yaml:"description"`
	Legal struct {
		License string `yaml:"license"`
	} `yaml:"legal"`
	Maintenance struct {
		Type     string                  `yaml:"type"`
		Contacts []struct{ Name string } `yaml:"contacts"`
	} `yaml:"maintenance"`
	Localisation struct {
		Ready     bool     `yaml:"localisationReady"`
		Languages []string `yaml:"availableLanguages"`
	} `yaml:"localisation"`
	DependsOn struct {
		Open []struct {
			Name string `yaml:"name"`
			Min  string `yaml:"versionMin"`
		} `yaml:"open"`
	} `yaml:"dependsOn"`
	Italy struct {
		Version   string          `yaml:"countryExtensionVersion"`
		Platforms map[string]bool `yaml:"piattaforme"`
	} `yaml:"IT"`
}

// TestPubliccodeIsWhatTheCatalogueReads checks what the catalogue's validator refuses, and what it
// cannot know: the licence is the one in LICENSE.
func TestPubliccodeIsWhatTheCatalogueReads(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(hubtest.Root(), "publiccode.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var p publiccode
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&p); err != nil {
		t.Fatal(err)
	}
	license, err := os.ReadFile(filepath.Join(hubtest.Root(), "LICENSE"))
	if err != nil {
		t.Fatal(err)
	}
	italian := p.Description["it"]
	for what, ok := range map[string]bool{
		"version":           p.Version == "0" && p.Italy.Version == "1.0",
		"name and url":      p.Name == "sinbahub" && strings.HasPrefix(p.URL, "https://") && strings.HasPrefix(p.LandingURL, "https://"),
		"platforms":         len(p.Platforms) > 0 && len(p.Categories) > 0,
		"status":            slices.Contains([]string{"concept", "development", "beta", "stable", "obsolete"}, p.Status),
		"type":              p.SoftwareType == "standalone/backend",
		"short description": utf8.RuneCountInString(strings.TrimSpace(italian.Short)) <= 150 && italian.Short != "",
		"long description":  utf8.RuneCountInString(italian.Long) >= 150 && utf8.RuneCountInString(italian.Long) <= 10_000,
		"features":          len(italian.Features) > 0 && italian.Name != "",
		"licence":           p.Legal.License == "EUPL-1.2" && bytes.Contains(license, []byte("v. 1.2")),
		"maintenance":       p.Maintenance.Type == "community" && len(p.Maintenance.Contacts) > 0,
		"languages":         slices.Contains(p.Localisation.Languages, "it"),
		"audience":          slices.Contains(p.Audience.Countries, "IT") && len(p.Audience.Scope) > 0,
		"dependencies":      len(p.DependsOn.Open) > 0,
	} {
		if !ok {
			t.Errorf("%s is not as the catalogue wants it", what)
		}
	}
}
