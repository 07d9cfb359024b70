package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCommandLine(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		args    []string
		exit    int
		out     string
		trouble string
	}{
		{"nothing", nil, 4, "", "sinbaverify bundle"},
		{"help", []string{"--help"}, 0, "sinbaverify bundle", ""},
		{"help of a verb", []string{"bundle", "--help"}, 0, "sinbaverify bundle", ""},
		{"version", []string{"version"}, 0, "dev", ""},
		{"a verb that is none", []string{"check"}, 4, "", `there is no "check"`},
		{"a flag that is none", []string{"bundle", "--force", file}, 4, "", "not defined: -force\n\nsinbaverify checks"},
		{"no bundle", []string{"bundle"}, 4, "", "wants one file, and there are 0"},
		{"two bundles", []string{"bundle", file, file}, 4, "", "sinbaverify bundle"},
		{"a bundle that is not there", []string{"bundle", file + "x"}, 4, "", "no such file"},
		{"a folder", []string{"bundle", filepath.Dir(file)}, 4, "UNUSABLE", ""},
		{"a bundle that is none", []string{"bundle", file}, 4, "UNUSABLE: ", ""},
		{"a key that is not there", []string{"bundle", "--key", file + "x", file}, 4, "", "no such file"},
		{"two keys", []string{"bundle", "--key", file, "--key", file, file}, 4, "", "-key: given twice"},
		{"flags behind the bundle", []string{"bundle", file, "--json"}, 4, `"verdict": "unusable"`, ""},
		{"a receipt without a key", []string{"receipt", file}, 4, "", "wants --key"},
		{"no state", []string{"receipt", "--key", file}, 4, "", "the file of a STATO"},
		{"a key that is none", []string{"receipt", "--key", file, file}, 4, "the key file is not", ""},
	} {
		var out, trouble bytes.Buffer
		exit := run(c.args, &out, &trouble)
		if exit != c.exit || !strings.Contains(out.String(), c.out) || !strings.Contains(trouble.String(), c.trouble) {
			t.Errorf("%s: exit %d, %q, %q", c.name, exit, out.String(), trouble.String())
		}
		if (c.out == "") != (out.Len() == 0) || (c.trouble == "") != (trouble.Len() == 0) {
			t.Errorf("%s: on the wrong side: %q, %q", c.name, out.String(), trouble.String())
		}
	}
	var out bytes.Buffer
	run([]string{"bundle", "--json", file}, &out, &out)
	var report struct {
		Exit     *int `json:"exit"`
		Findings []struct {
			Code string `json:"code"`
		} `json:"findings"`
	}
	if err := json.Unmarshal(out.Bytes(), &report); err != nil || report.Exit == nil || *report.Exit != 4 || report.Findings[0].Code != "unusable" {
		t.Errorf("%v: %s", err, out.String())
	}
}
