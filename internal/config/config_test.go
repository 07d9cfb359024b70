package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/hub"
)

// load writes the text to a file and loads it.
func load(t *testing.T, text string, environ ...string) (config.Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hub.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return config.Load(path, environ)
}

func TestNothingSetIsAWorkingConfiguration(t *testing.T) {
	t.Parallel()
	c, err := config.Load("", nil)
	if err != nil {
		t.Fatal(err)
	}
	if !c.Embedded() || c.Env() != hub.Prod || c.Keys.Dir != filepath.Join("var", "keys") {
		t.Errorf("default is %+v", c)
	}
}

func TestFileAndEnvironmentSetEveryKindOfKey(t *testing.T) {
	t.Parallel()
	c, err := load(t, `
environment: TEST
listen: 127.0.0.1:8080
basic_auth: true
database: {url: "postgres://a", vault_url: "postgres://b"}
jail: {workers: 3, deadline: 1s}
`, "SINBAHUB_JAIL_WORKERS=5", "SINBAHUB_JAIL_DEADLINE=700ms", "SINBAHUB_DATABASE_URL=postgres://c", "SINBAHUB_CORPORA=/x", "HOME=/y")
	if err != nil {
		t.Fatal(err)
	}
	if c.Env() != hub.Test || c.Jail.Workers != 5 || c.Jail.Deadline != 700*time.Millisecond ||
		c.Database.URL.Reveal() != "postgres://c" || c.Database.VaultURL.Reveal() != "postgres://b" || !c.BasicAuth {
		t.Errorf("got %+v", c)
	}
}

func TestRulesAreSoftenedUntilADayOrFromOne(t *testing.T) {
	t.Parallel()
	const text = `
rules:
  cut_off: 2013-01-01
  warning_only:
    - {rule: BR-12, participant: aster, until: 2027-03-31}
    - {rule: BR-08, from: 2028-03-01}
`
	c, err := load(t, text)
	if err != nil {
		t.Fatal(err)
	}
	got := c.Rules.WarningOnly
	if c.Rules.CutOff != "2013-01-01" || len(got) != 2 ||
		got[0] != (config.WarningOnly{Rule: "BR-12", Participant: "aster", Until: "2027-03-31"}) ||
		got[0].BlocksFrom() != "2027-04-01" || got[1].BlocksFrom() != "2028-03-01" {
		t.Errorf("got %+v", c.Rules)
	}
	c, err = load(t, text, "SINBAHUB_RULES_WARNING_ONLY=[{rule: BR-10, until: 2028-02-28}]")
	if err != nil || len(c.Rules.WarningOnly) != 1 || c.Rules.WarningOnly[0].BlocksFrom() != "2028-02-29" {
		t.Errorf("got %+v, %v", c.Rules, err)
	}
}

// One fixture per fault: each must name its key, and all faults of a file are told at once.
func TestEachFaultNamesItsKey(t *testing.T) {
	t.Parallel()
	cases := []struct{ name, text, environ, want string }{
		{"environment", "environment: STAGE", "", "environment:"},
		{"unknown key", "unknown_key: 1", "", "unknown_key"},
		{"wrong type", "jail: {workers: many}", "", "line 1"},
		{"listen", "listen: here", "", "listen:"},
		{"admin_listen", "admin_listen: ''", "", "admin_listen:"},
		{"public_url", "public_url: ftp://x", "", "public_url:"},
		{"public_url with a path", "public_url: 'https://hub.example/x'", "", "public_url:"},
		{"public_url with a slash", "public_url: 'https://hub.example/'", "", "public_url:"},
		{"public_url with a password", "public_url: 'https://u:p@hub.example'", "", "public_url:"},
		{"siss.url", "siss: {url: nowhere}", "", "siss.url:"},
		{"one url alone", "database: {url: 'postgres://a'}", "", "vault_url"},
		{"basic beyond loopback", "{basic_auth: true, listen: '0.0.0.0:80'}", "", "basic_auth:"},
		{"log.level", "log: {level: loud}", "", "log.level:"},
		{"connections", "database: {max_conns: 1}", "", "database.max_conns:"},
		{"workers", "siss: {workers: 0}", "", "siss.workers:"},
		{"deadline", "jail: {deadline: 0s}", "", "jail.deadline:"},
		{"lease", "siss: {deadline: 10s, lease: 10s}", "", "siss.lease:"},
		{"no time for an attempt", "siss: {deadline: 0s}", "", "siss.lease:"},
		{"jail.mode", "jail: {mode: perhaps}", "", "jail.mode:"},
		{"var", "var: ''", "", "var:"},
		{"no exchanges", "limits: {exchanges: 0}", "", "limits.exchanges:"},
		{"no memory for a body", "limits: {body_memory: 4194304}", "", "limits.body_memory:"},
		{"negative rate", "limits: {rate: -1}", "", "limits.rate:"},
		{"no such hour", "reconcile: {hour: 24}", "", "reconcile.hour:"},
		{"an hour before midnight", "reconcile: {hour: -1}", "", "reconcile.hour:"},
		{"no days to compare", "reconcile: {days: 0}", "", "reconcile.days:"},
		{"more days than a leap year", "reconcile: {days: 367}", "", "reconcile.days:"},
		{"two children told", "privacy: {small_numbers: 2}", "", "privacy.small_numbers:"},
		{"small numbers told", "", "SINBAHUB_PRIVACY_SMALL_NUMBERS=0", "privacy.small_numbers:"},
		{"nothing told", "privacy: {small_numbers: 1001}", "", "privacy.small_numbers:"},
		{"no questions", "reconcile: {rate: 0}", "", "reconcile.rate:"},
		{"no such hour of retention", "retention: {hour: 24}", "", "retention.hour:"},
		{"messages for less than ever", "retention: {messages_months: -1}", "", "retention.messages_months:"},
		{"entries for less than a year", "retention: {journal_months: 11}", "", "retention.journal_months:"},
		{"refusals for less than a week", "retention: {refusals_days: 6}", "", "retention.refusals_days:"},
		{"cases for four years", "retention: {cases_years: 4}", "", "retention.cases_years:"},
		{"comparisons for a year", "retention: {reconciliations_months: 13}", "", "retention.reconciliations_months:"},
		{"no backups of the vault", "retention: {vault_backups_days: 0}", "", "retention.vault_backups_days:"},
		{"negative backlog", "admission: {backlog: -1s}", "", "admission.backlog:"},
		{"negative disk", "admission: {disk: -1}", "", "admission.disk:"},
		{"negative size", "admission: {database_size: -1}", "", "admission.database_size:"},
		{"negative memory", "admission: {memory: -1}", "", "admission.memory:"},
		{"memory below what serve takes", "admission: {memory: 67108863}", "", "admission.memory:"},
		{"disk of a relative path", "admission: {disk_path: data}", "", "admission.disk_path:"},
		{"negative burst", "limits: {burst: -1}", "", "limits.burst:"},
		{"no strangers", "limits: {stranger_rate: 0}", "", "limits.stranger_rate:"},
		{"no connections", "limits: {connections: 0}", "", "limits.connections:"},
		{"no connections of an address", "limits: {connections_per_address: 0}", "", "limits.connections_per_address:"},
		{"no connections of a participant", "limits: {connections_per_participant: 0}", "", "limits.connections_per_participant:"},
		{"no time for a head", "limits: {header_timeout: 0s}", "", "limits.header_timeout:"},
		{"no least rate", "limits: {least_rate: 0}", "", "limits.least_rate:"},
		{"no grace", "limits: {grace: 0s}", "", "limits.grace:"},
		{"no time for a body", "limits: {body_timeout: 0s}", "", "limits.body_timeout:"},
		{"no time to idle", "limits: {idle_timeout: 0s}", "", "limits.idle_timeout:"},
		{"no drain", "limits: {drain: 0s}", "", "limits.drain:"},
		{"cut-off", "rules: {cut_off: 2012}", "", "rules.cut_off:"},
		{"leniency without a day", "rules: {warning_only: [{rule: BR-12}]}", "", "rules.warning_only[1]:"},
		{"leniency with two days", "rules: {warning_only: [{rule: BR-12, until: 2027-03-31}, {rule: BR-08, until: 2027-03-31, from: 2027-04-01}]}", "", "rules.warning_only[2]:"},
		{"leniency until no day", "rules: {warning_only: [{rule: BR-12, until: 2027-02-30}]}", "", "rules.warning_only[1].until:"},
		{"leniency with an unknown key", "rules: {warning_only: [{rule: BR-12, until: 2027-03-31, ente: x}]}", "", "ente"},
		{"leniency of the environment", "", "SINBAHUB_RULES_WARNING_ONLY=[{role: BR-12}]", "SINBAHUB_RULES_WARNING_ONLY"},
		{"unknown variable", "", "SINBAHUB_LISTN=x", "SINBAHUB_LISTN"},
		{"variable of the wrong type", "", "SINBAHUB_SISS_RATE=fast", "SINBAHUB_SISS_RATE"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := load(t, orEmpty(c.text), c.environ)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v does not name %q", err, c.want)
			}
		})
	}
	_, err := load(t, "{environment: STAGE, listen: here, log: {level: loud}}")
	for _, want := range []string{"environment:", "listen:", "log.level:"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("not all faults at once: %v lacks %q", err, want)
		}
	}
}

// The bounds themselves are good, and what is not set is what the documents say.
func TestReconciliationTakesEveryHourOfTheDayAndDaysOfAYear(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]config.Reconcile{
		"{}":                                     {Hour: 3, Days: 7, Rate: 20},
		"reconcile: {hour: 0, days: 1, rate: 1}": {Hour: 0, Days: 1, Rate: 1},
		"reconcile: {hour: 23, days: 366}":       {Hour: 23, Days: 366, Rate: 20},
	} {
		if c, err := load(t, text); err != nil || c.Reconcile != want {
			t.Errorf("%s: %+v, %v", text, c.Reconcile, err)
		}
	}
}

// The threshold of small numbers is five unless said otherwise; three is the least.
func TestSmallNumbersAreFiveUnlessSaidOtherwise(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{"{}": 5, "environment: TEST": 5, "privacy: {small_numbers: 3}": 3, "privacy: {small_numbers: 1000}": 1000} {
		if c, err := load(t, text); err != nil || c.Privacy.Least() != want {
			t.Errorf("%s: %d, %v", text, c.Privacy.Least(), err)
		}
	}
}

// orEmpty gives an empty YAML document for no text.
func orEmpty(text string) string {
	if text == "" {
		return "{}"
	}
	return text
}

func TestErrorsNeverQuoteAValue(t *testing.T) {
	t.Parallel()
	const secret = "s3cret-value"
	for _, text := range []string{
		"database: {max_conns: " + secret + "}",
		"basic_auth: " + secret,
		"database: [" + secret + "]",
		"database: {url: {a: " + secret + "}}",
		"{" + secret,
	} {
		_, err := load(t, text, "SINBAHUB_DATABASE_MAX_CONNS="+secret)
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%q: error %v", text, err)
		}
	}
}

func TestSecretsPrintAsAPlaceholder(t *testing.T) {
	t.Parallel()
	c := config.Default()
	c.Database.URL = config.NewSecret("postgres://hub:pa55@db/x")
	asYAML, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{fmt.Sprintf("%v %+v %#v %s", c, c, c, c.Database.URL), string(asYAML)} {
		if strings.Contains(shown, "pa55") {
			t.Errorf("secret shown: %s", shown)
		}
	}
	if c.Database.URL.Reveal() != "postgres://hub:pa55@db/x" || !config.NewSecret("").IsZero() {
		t.Error("a secret does not reveal what was put in")
	}
}
