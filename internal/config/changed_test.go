package config_test

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sinbahub/sinbahub/internal/config"
)

// loadText loads a configuration file of this text.
func loadText(t *testing.T, text string, environ ...string) (config.Config, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "hub.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return config.Load(file, environ)
}

func mustLoad(t *testing.T, text string) config.Config {
	t.Helper()
	cfg, err := loadText(t, text)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestChangedTellsWhatARunningServeCanFollow(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		before, after string
		now, later    []string
	}{
		"nothing": {"log: {level: info}", "{}", nil, nil},
		"what can change": {
			"{}", "{log: {level: debug}, rules: {warning_only: [{rule: BR-12, until: 2027-03-31}]}, siss: {rate: 7}, " +
				"limits: {rate: 3, drain: 5s}, admission: {backlog: 1h, memory: 100000000}}",
			[]string{"siss.rate", "limits.rate", "limits.drain", "admission.backlog", "admission.memory", "log.level", "rules.warning_only"},
			nil,
		},
		"what cannot": {
			"{}", "{environment: TEST, listen: '127.0.0.1:7', keys: {dir: /k}, siss: {url: 'http://a'}, limits: {exchanges: 3}, " +
				"database: {url: 'postgres://u:p@h/d', vault_url: 'postgres://u:p@h/d'}}",
			nil,
			[]string{"environment", "listen", "database.url", "database.vault_url", "keys.dir", "siss.url", "limits.exchanges"},
		},
		"both":             {"{}", "{log: {level: debug}, basic_auth: true}", []string{"log.level"}, []string{"basic_auth"}},
		"a longer name":    {"{}", "{limits: {rate: 1, drain_delay: 2s}}", []string{"limits.rate", "limits.drain_delay"}, nil},
		"another password": {"database: {url: 'postgres://u:p@h/d', vault_url: 'x://v'}", "database: {url: 'postgres://u:q@h/d', vault_url: 'x://v'}", nil, []string{"database.url"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now, later := config.Changed(mustLoad(t, test.before), mustLoad(t, test.after))
			if diff := cmp.Diff([][]string{test.now, test.later}, [][]string{now, later}); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// liveKeys are those that a running serve follows, as deploy/docs/operations.md lists them. Whatever is
// not here is in the hands of something that was made at the start.
func liveKeys() []string {
	return []string{
		"siss.rate", "limits.body_memory", "limits.rate", "limits.burst", "limits.stranger_rate", "limits.drain",
		"limits.drain_delay", "admission.backlog", "admission.disk", "admission.disk_path", "admission.database_size",
		"admission.memory", "log.level", "rules.cut_off", "rules.warning_only",
		"retention.hour", "retention.messages_months", "retention.attempts_months", "retention.journal_months",
		"retention.refusals_days", "retention.cases_years", "retention.reconciliations_months",
		"retention.vault_backups_days", "operator.person", "operator.key_file",
	}
}

// Every key is told apart from every other and by its digest, so that no change goes unnoticed, and
// those that can change while serve runs are these and no others.
func TestChangedSeesEveryKey(t *testing.T) {
	t.Parallel()
	base := config.Default()
	seen := 0
	var running []string
	var change func(v reflect.Value, section string, cfg *config.Config)
	change = func(v reflect.Value, section string, cfg *config.Config) {
		for i := range v.NumField() {
			key := section + v.Type().Field(i).Tag.Get("yaml")
			field := v.Field(i)
			if field.Kind() == reflect.Struct && field.Type() != reflect.TypeFor[config.Secret]() {
				change(field, key+".", cfg)
				continue
			}
			old := reflect.New(field.Type()).Elem()
			old.Set(field)
			field.Set(other(t, field))
			now, later := config.Changed(base, *cfg)
			if all := append(slices.Clone(now), later...); !slices.Equal(all, []string{key}) {
				t.Errorf("%s: told of %q", key, all)
			}
			running = append(running, now...)
			if cfg.Digest() == base.Digest() {
				t.Errorf("%s: the same digest", key)
			}
			field.Set(old)
			seen++
		}
	}
	cfg := config.Default()
	change(reflect.ValueOf(&cfg).Elem(), "", &cfg)
	if seen < 40 {
		t.Errorf("only %d keys", seen)
	}
	if diff := cmp.Diff(liveKeys(), running); diff != "" {
		t.Error(diff)
	}
}

// other is another value than a key has.
func other(t *testing.T, field reflect.Value) reflect.Value {
	t.Helper()
	switch v := field.Interface().(type) {
	case string:
		return reflect.ValueOf(v + "x")
	case int:
		return reflect.ValueOf(v + 1)
	case bool:
		return reflect.ValueOf(!v)
	case time.Duration:
		return reflect.ValueOf(v + time.Second)
	case config.Secret:
		return reflect.ValueOf(config.NewSecret("x"))
	case []string:
		return reflect.ValueOf(append(slices.Clone(v), "/x"))
	case []int:
		return reflect.ValueOf([]int{7})
	case []config.WarningOnly:
		return reflect.ValueOf([]config.WarningOnly{{Rule: "BR-12"}})
	}
	t.Fatalf("no other %s", field.Type())
	return reflect.Value{}
}

// A digest goes into the journal: two passwords must not make two.
func TestDigestTellsNothingOfASecret(t *testing.T) {
	t.Parallel()
	one := mustLoad(t, "database: {url: 'postgres://u:p@h/d', vault_url: 'postgres://v:p@h/d'}")
	two := mustLoad(t, "database: {url: 'postgres://u:q@h/d', vault_url: 'postgres://v:q@h/d'}")
	if one.Digest() != two.Digest() {
		t.Error("the digest depends on a password")
	}
}

// TestOldestConfigurationStillLoads reads the file that the first hub's demo wrote, and one with every
// key which that hub knew: what is new has its default, and nothing old is refused.
func TestOldestConfigurationStillLoads(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"first-demo.yaml", "first-every-key.yaml"} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		cfg, err := loadText(t, string(text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if want := config.Default(); cfg.Admission != want.Admission || cfg.Limits.DrainDelay != want.Limits.DrainDelay {
			t.Errorf("%s: %+v", name, cfg)
		}
		if name == "first-every-key.yaml" && strings.Count(string(text), ":") < 20 {
			t.Errorf("%s has lost its keys", name)
		}
	}
}
