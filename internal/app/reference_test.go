package app_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sinbahub/sinbahub/internal/app"
	"github.com/sinbahub/sinbahub/internal/codelist"
	"github.com/sinbahub/sinbahub/internal/config"
)

const ownHeader = "codice\tda\ta\tnome\n"

// folder makes a folder of lists.
func folder(tb testing.TB, lists map[string]string) string {
	tb.Helper()
	dir := tb.TempDir()
	for name, text := range lists {
		put(tb, filepath.Join(dir, name), text)
	}
	return dir
}

func put(tb testing.TB, path, text string) {
	tb.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
}

// following is a configuration whose reference.dir does not exist yet.
func following(tb testing.TB) config.Config {
	tb.Helper()
	cfg := config.Default()
	cfg.Reference.Dir = filepath.Join(tb.TempDir(), "reference")
	return cfg
}

// versionOf gives the version that a folder's lists make with those in the binary.
func versionOf(tb testing.TB, dir string) string {
	tb.Helper()
	own, err := codelist.Read(os.DirFS(dir))
	if err != nil {
		tb.Fatal(err)
	}
	return codelist.Builtin().With(own).Version()
}

// told runs a command and gives what it printed, versions replaced.
func told(run func(out *bytes.Buffer) error) (string, error) {
	var out bytes.Buffer
	err := run(&out)
	return out.String(), err
}

func TestReferenceCheckTellsWhatWouldChange(t *testing.T) {
	t.Parallel()
	cfg := following(t)
	first := folder(t, map[string]string{
		codelist.Services:   ownHeader + "A1.20\t\t\tAssistenza\nA1.30\t2020-01-01\t\tEducativa\n",
		codelist.Structures: ownHeader + "ASSO-1\t\t\tCasa\n",
	})
	if _, err := told(func(out *bytes.Buffer) error { return app.LoadReference(cfg, out, first, false) }); err != nil {
		t.Fatal(err)
	}
	towns := strings.Replace(string(codelist.Builtin()[codelist.Municipalities]), "\t\tFI\t17\tEMPOLI\n", "\t2025-12-31\tFI\t17\tEMPOLI\n", 1)
	second := folder(t, map[string]string{
		codelist.Municipalities: towns,
		codelist.Services:       ownHeader + "A1.20\t\t\tAssistenza\nA1.30\t2021-01-01\t\tEducativa\nB1.10\t\t\tMensa\n",
	})
	got, err := told(func(out *bytes.Buffer) error { return app.CheckReference(cfg, out, second, false) })
	before, after := versionOf(t, first), versionOf(t, second)
	want := `in force  ` + before + `
checked   ` + after + `
comuni.tsv       15266 rows: 0 added, 0 removed, 1 changed
  < 048014 D403 1861-03-17 - FI 17 EMPOLI
  > 048014 D403 1861-03-17 2025-12-31 FI 17 EMPOLI
nazioni.tsv      258 rows, unchanged
prestazioni.tsv  3 rows: 2 added, 1 removed, 0 changed
  + A1.30 2021-01-01 - Educativa
  + B1.10 - - Mensa
  - A1.30 2020-01-01 - Educativa
strutture.tsv    no longer a list (1 rows)
  - ASSO-1 - - Casa
`
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
	// Nothing of it came into force.
	again, err := told(func(out *bytes.Buffer) error { return app.CheckReference(cfg, out, first, false) })
	if err != nil || strings.Contains(again, "added") || !strings.Contains(again, "in force  "+before+"\nchecked   "+before+"\n") {
		t.Error(again, err)
	}
}

func TestReferenceCheckTellsAtMostTwentyRowsUnlessAsked(t *testing.T) {
	t.Parallel()
	rows := strings.Builder{}
	for c := 'A'; c <= 'Z'; c++ {
		rows.WriteString(string(c) + "1.20\t\t\tServizio\n")
	}
	dir := folder(t, map[string]string{codelist.Services: ownHeader + rows.String()})
	for all, want := range map[bool]int{false: 20, true: 26} {
		got, err := told(func(out *bytes.Buffer) error { return app.CheckReference(following(t), out, dir, all) })
		if n := strings.Count(got, "Servizio"); n != want || strings.Contains(got, "and 6 more (--all tells them)") == all || err != nil {
			t.Error(all, n, err)
		}
	}
}

func TestReferenceWithFaultsIsRefusedWhole(t *testing.T) {
	t.Parallel()
	cfg := following(t)
	dir := folder(t, map[string]string{codelist.Services: ownHeader + "A1.20\t\t\tAssistenza\n", codelist.Structures: "\n", codelist.Nomenclature: ""})
	want := `nomenclatore.tsv: the file is empty
strutture.tsv:1: the header must be: codice <tab> da <tab> a <tab> nome
2 faults: nothing of this folder can come into force
`
	for name, run := range map[string]func(out *bytes.Buffer) error{
		"check": func(out *bytes.Buffer) error { return app.CheckReference(cfg, out, dir, false) },
		"load":  func(out *bytes.Buffer) error { return app.LoadReference(cfg, out, dir, false) },
	} {
		got, err := told(run)
		if diff := cmp.Diff(want, got); diff != "" || !errors.Is(err, app.ErrRefused) {
			t.Errorf("%s: %v (-want +got)\n%s", name, err, diff)
		}
	}
	if _, err := os.Lstat(cfg.Reference.Dir); err == nil {
		t.Error("something was loaded")
	}
}

func TestReferenceLoadSwapsWholeSetsAndGoesBack(t *testing.T) {
	t.Parallel()
	cfg := following(t)
	one := folder(t, map[string]string{codelist.Services: ownHeader + "A1.20\t\t\tAssistenza\n", "README.md": "notes"})
	two := folder(t, map[string]string{codelist.Structures: ownHeader + "ASSO-1\t\t\tCasa\n"})
	inForce := func() []string {
		entries, err := os.ReadDir(cfg.Reference.Dir)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names
	}
	for _, step := range []struct {
		dir  string
		want string
	}{{one, codelist.Services}, {two, codelist.Structures}, {one, codelist.Services}, {one, codelist.Services}} {
		if out, err := told(func(out *bytes.Buffer) error { return app.LoadReference(cfg, out, step.dir, false) }); err != nil {
			t.Fatal(out, err)
		}
		if diff := cmp.Diff([]string{step.want}, inForce()); diff != "" {
			t.Error(diff)
		}
	}
	// Two sets and the link: nothing half written is left, and what was loaded can be loaded again.
	entries, err := os.ReadDir(filepath.Dir(cfg.Reference.Dir))
	if err != nil || len(entries) != 3 {
		t.Error(entries, err)
	}
	// What was changed by hand after it was loaded is not taken for what was checked.
	target, err := filepath.EvalSymlinks(cfg.Reference.Dir)
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(target, codelist.Services), ownHeader+"A1.30\t\t\tAltra\n")
	if out, err := told(func(out *bytes.Buffer) error { return app.LoadReference(cfg, out, one, false) }); err == nil {
		t.Error("a tampered folder was taken", out)
	}
}

func TestReferenceLoadLeavesAFolderKeptByHandAlone(t *testing.T) {
	t.Parallel()
	cfg := following(t)
	if err := os.Mkdir(cfg.Reference.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	dir := folder(t, map[string]string{codelist.Services: ownHeader + "A1.20\t\t\tAssistenza\n"})
	if out, err := told(func(out *bytes.Buffer) error { return app.LoadReference(cfg, out, dir, false) }); err == nil {
		t.Error(out)
	}
	if entries, err := os.ReadDir(filepath.Dir(cfg.Reference.Dir)); err != nil || len(entries) != 1 {
		t.Error("something was put beside it", entries, err)
	}
}

func TestANPRArchiveIsConvertedOrRefused(t *testing.T) {
	t.Parallel()
	const head = "ID,DATAISTITUZIONE,DATACESSAZIONE,CODISTAT,CODCATASTALE,DENOMINAZIONE_IT,IDPROVINCIAISTAT,IDREGIONE,SIGLAPROVINCIA\n"
	good := write(t, "good.csv", "\ufeff"+head+
		`3,"1990-01-01","9999-12-31","048016","D583","NUOVO","048","09","FI"`+"\n"+
		`2,"1864-01-29","1989-12-31","048016","D583","VECCHIO","048","09","FI"`+"\n"+
		`1,"1864-01-29","1947-09-15","701801","ND","PERDUTO","701","EX","PL"`+"\n")
	var out, faults bytes.Buffer
	if err := app.ConvertANPR(&out, &faults, good); err != nil {
		t.Fatal(err, faults.String())
	}
	want := "istat\tbelfiore\tda\ta\tprovincia\tregione\tnome\n" +
		"048016\tD583\t1864-01-29\t\tFI\t17\tNUOVO\n" +
		"701801\t\t1864-01-29\t1947-09-15\tPL\t\tPERDUTO\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
	out.Reset()
	bad := write(t, "bad.csv", head+`3,"1990-02-30","9999-12-31","48016","D583","NUOVO","048","09","FI"`+"\n")
	if err := app.ConvertANPR(&out, &faults, bad); !errors.Is(err, app.ErrRefused) || out.Len() > 0 || !strings.Contains(faults.String(), "comuni.tsv:2: istat") {
		t.Error(err, out.String(), faults.String())
	}
}

// gathered gives the metrics as name, labels and value.
func gathered(tb testing.TB, registry *prometheus.Registry) []string {
	tb.Helper()
	families, err := registry.Gather()
	if err != nil {
		tb.Fatal(err)
	}
	var all []string
	for _, family := range families {
		for _, m := range family.GetMetric() {
			line := []string{family.GetName()}
			for _, label := range m.GetLabel() {
				line = append(line, label.GetValue())
			}
			line = append(line, strconv.FormatFloat(m.GetGauge().GetValue(), 'f', -1, 64))
			all = append(all, strings.Join(line, " "))
		}
	}
	return all
}

// TestServeFollowsItsReferenceFolder goes through what an operator does to the folder while serve runs.
func TestServeFollowsItsReferenceFolder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "reference")
	core, logs := observer.New(zapcore.InfoLevel)
	registry := prometheus.NewPedanticRegistry()
	d, err := app.NewDated(dir, zap.New(core), registry)
	if err != nil {
		t.Fatal(err)
	}
	builtin := codelist.Default().Version()
	services := filepath.Join(dir, codelist.Services)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	put(t, services, ownHeader+"A1.20\t\t\tAssistenza\n")
	first := d.Follow()
	steps := []struct {
		name    string
		do      func()
		version string
		faults  string
		logged  int
	}{
		{"the same again", func() {}, first, "0", 0},
		{"a fault", func() { put(t, services, ownHeader+"A1.20\t\t\tAssistenza\nB\t\t\tAltra\n") }, first, "1", 1},
		{"the same fault again", func() {}, first, "1", 0},
		{"half a file", func() { put(t, services, ownHeader+"A1.20\t\t\tAss") }, first, "1", 1},
		{"nothing in the folder", func() { _ = os.Remove(services) }, first, "1", 1},
		{"as it was", func() { put(t, services, ownHeader+"A1.20\t\t\tAssistenza\n") }, first, "0", 0},
		{"no folder", func() { _ = os.RemoveAll(dir) }, builtin, "0", 1},
	}
	if first == builtin {
		t.Fatal("not followed")
	}
	for _, s := range steps {
		_ = logs.TakeAll()
		s.do()
		if got := d.Follow(); got != s.version {
			t.Errorf("%s: %s in force", s.name, got)
		}
		if diff := cmp.Diff([]string{"hub_reference_faults " + s.faults, "hub_reference_info " + s.version + " 1"}, gathered(t, registry)); diff != "" {
			t.Error(s.name, diff)
		}
		if n := len(logs.TakeAll()); n != s.logged {
			t.Errorf("%s: %d lines logged", s.name, n)
		}
	}
}

func TestServeDoesNotStartWithFaultyReferenceData(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zapcore.InfoLevel)
	dir := folder(t, map[string]string{codelist.Services: "", "servizi.tsv": ""})
	if _, err := app.NewDated(dir, zap.New(core), prometheus.NewRegistry()); err == nil || logs.Len() != 1 {
		t.Error(err, logs.All())
	}
}
