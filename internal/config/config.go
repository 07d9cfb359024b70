// Package config reads the one YAML file and its environment overrides, checked at once.
//
// Unknown keys are errors, all faults are reported together, secrets come by file path or as
// Secret, and zero configuration works: the embedded default of a private PostgreSQL cluster
// under var/ and ports of the system's choosing on loopback.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/sinbahub/sinbahub/internal/hub"
)

var (
	errSecret   = errors.New("secret must be a text")
	errFile     = errors.New("configuration file is no valid YAML of the known keys")
	errNegative = errors.New("must not be negative")
)

// Config is everything an operator can set. The YAML keys are the tags; the environment
// variable of database.url is SINBAHUB_DATABASE_URL, and so on.
type Config struct {
	// Environment is PROD (default) or TEST: keys, store and national endpoint of its own.
	Environment string `yaml:"environment"`
	// Var is the folder for what the hub keeps on disk: embedded cluster, keys, sockets
	// (default var).
	Var string `yaml:"var"`
	// Listen is the SOAP listener's host:port (default 127.0.0.1:0, a free port).
	Listen string `yaml:"listen"`
	// AdminListen is the listener for metrics and health (default 127.0.0.1:0).
	AdminListen string `yaml:"admin_listen"`
	// PublicURL is the address clients see, without a path (default: from each request's host).
	PublicURL string    `yaml:"public_url"`
	Database  Database  `yaml:"database"`
	Keys      Keys      `yaml:"keys"`
	SISS      SISS      `yaml:"siss"`
	Jail      Jail      `yaml:"jail"`
	Limits    Limits    `yaml:"limits"`
	Admission Admission `yaml:"admission"`
	Log       Log       `yaml:"log"`
	Reference Reference `yaml:"reference"`
	Rules     Rules     `yaml:"rules"`
	Reconcile Reconcile `yaml:"reconcile"`
	Retention Retention `yaml:"retention"`
	Journal   Journal   `yaml:"journal"`
	Opener    Opener    `yaml:"opener"`
	Operator  Operator  `yaml:"operator"`
	Privacy   Privacy   `yaml:"privacy"`
	// BasicAuth allows HTTP Basic on the SOAP listener. Only the demo's configuration sets it,
	// and only a loopback listener takes it (default false).
	BasicAuth bool `yaml:"basic_auth"`
}

// Database says where the rows are.
type Database struct {
	// URL of the hub's role. Empty (default): a private cluster under var/.
	URL Secret `yaml:"url"`
	// VaultURL of the vault's role; needed if URL is set.
	VaultURL Secret `yaml:"vault_url"`
	// MaxConns bounds each of the two pools (default 12).
	MaxConns int `yaml:"max_conns"`
}

// Keys says where the keysets are.
type Keys struct {
	// Dir holds the keysets, readable by their owner only (default VAR/keys).
	Dir string `yaml:"dir"`
}

// SISS is the national endpoint.
type SISS struct {
	// URL of SissRicezione. Empty: accept and keep, deliver nothing.
	URL string `yaml:"url"`
	// CAFile has the certificates to trust for it, PEM (default: the system's).
	CAFile string `yaml:"ca_file"`
	// Workers is how many deliveries run at once (default 64).
	Workers int `yaml:"workers"`
	// Rate is the agreed most calls per second about events, of all instances on one database
	// together; 0 (default) paces against the door only.
	Rate int `yaml:"rate"`
	// Deadline bounds one attempt, asking and sending together (default 60s).
	Deadline time.Duration `yaml:"deadline"`
	// Lease is how long an instance holds what it delivers without another taking it up; it must be
	// longer than Deadline (default 90s).
	Lease time.Duration `yaml:"lease"`
}

// The modes of the jail.
const (
	JailAuto    = "auto"
	JailRequire = "require"
)

// Jail bounds the validator's workers.
type Jail struct {
	// Workers is how many processes (default: one a core).
	Workers int `yaml:"workers"`
	// Deadline for one document, after which its worker is killed (default 2s).
	Deadline time.Duration `yaml:"deadline"`
	// Mode is auto (default: a worker runs with the walls the system allows it, log and metrics
	// say which it refuses) or require (no worker runs with less than all of them).
	Mode string `yaml:"mode"`
}

// Reference says where the dated lists are that codes of an event are held against. How to change
// them: deploy/docs/reference.md.
type Reference struct {
	// Dir holds lists that take the place of those in the binary, and those that it has not:
	// comuni.tsv, nazioni.tsv, prestazioni.tsv, nomenclatore.tsv, strutture.tsv (default
	// VAR/reference; no such folder: only the lists in the binary). A running serve follows it.
	Dir string `yaml:"dir"`
}

// Log says how much is told.
type Log struct {
	// Level is debug, info (default), warn or error.
	Level string `yaml:"level"`
}

// Default is the configuration that works with nothing set.
func Default() Config {
	return Config{
		Environment: "PROD", Var: "var", Listen: "127.0.0.1:0", AdminListen: "127.0.0.1:0",
		Database: Database{MaxConns: 12},
		SISS:     SISS{Workers: 64, Deadline: time.Minute, Lease: 90 * time.Second},
		Jail:     Jail{Deadline: 2 * time.Second, Mode: JailAuto},
		Limits:   defaultLimits(), Admission: defaultAdmission(), Reconcile: defaultReconcile(), Opener: defaultOpener(),
		Retention: defaultRetention(),
		Journal:   defaultJournal(),
		Privacy:   defaultPrivacy(),
		Log:       Log{Level: "info"},
	}
}

// Load reads the file (none if path is empty), then the environment given as KEY=value lines,
// and checks everything. The error joins every fault found.
func Load(path string, environ []string) (Config, error) {
	c := Default()
	if path != "" {
		text, err := os.ReadFile(filepath.Clean(path))
		if err != nil {
			return Config{}, fmt.Errorf("read configuration: %w", err)
		}
		d := yaml.NewDecoder(bytes.NewReader(text))
		d.KnownFields(true)
		if err := d.Decode(&c); err != nil {
			return Config{}, explain(err)
		}
	}
	if err := errors.Join(override(&c, environ), c.check()); err != nil {
		return Config{}, err
	}
	if c.Keys.Dir == "" {
		c.Keys.Dir = filepath.Join(c.Var, "keys")
	}
	if c.Reference.Dir == "" {
		c.Reference.Dir = filepath.Join(c.Var, "reference")
	}
	return c, nil
}

// explain keeps the lines and keys of a YAML error but not the values, which may be secret.
func explain(err error) error {
	var typeError *yaml.TypeError
	if !errors.As(err, &typeError) {
		rest, _ := strings.CutPrefix(err.Error(), "yaml: line ")
		line, _, _ := strings.Cut(rest, ":")
		if n, err := strconv.Atoi(line); err == nil {
			return fmt.Errorf("%w: near line %d", errFile, n)
		}
		return errFile
	}
	faults := []error{errFile}
	for _, text := range typeError.Errors {
		where, rest, _ := strings.Cut(text, ": ")
		if !strings.HasPrefix(rest, "field ") {
			rest = "value of the wrong type"
		}
		faults = append(faults, fmt.Errorf("%s: %s", where, rest))
	}
	return errors.Join(faults...)
}

// Env is the checked environment.
func (c Config) Env() hub.Environment {
	e, _ := hub.ParseEnvironment(c.Environment)
	return e
}

// Embedded tells whether the hub runs its own PostgreSQL cluster.
func (c Config) Embedded() bool { return c.Database.URL.IsZero() }

// check finds every fault at once.
func (c Config) check() error {
	var faults []error
	say := func(key string, err error) {
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", key, err))
		}
	}
	if _, ok := hub.ParseEnvironment(c.Environment); !ok {
		say("environment", errors.New("must be PROD or TEST"))
	}
	if c.Var == "" {
		say("var", errors.New("must not be empty"))
	}
	say("listen", checkListen(c.Listen))
	say("admin_listen", checkListen(c.AdminListen))
	say("public_url", checkPublicURL(c.PublicURL))
	say("siss.url", checkURL(c.SISS.URL))
	if c.Database.URL.IsZero() != c.Database.VaultURL.IsZero() {
		say("database", errors.New("url and vault_url go together"))
	}
	if c.BasicAuth && !loopback(c.Listen) {
		say("basic_auth", errors.New("only with a loopback listener"))
	}
	switch c.Log.Level {
	case "debug", "info", "warn", "error":
	default:
		say("log.level", errors.New("must be debug, info, warn or error"))
	}
	if c.Jail.Mode != JailAuto && c.Jail.Mode != JailRequire {
		say("jail.mode", errors.New("must be auto or require"))
	}
	for _, n := range []struct {
		key   string
		value int
	}{
		{"database.max_conns", c.Database.MaxConns - 2},
		{"siss.workers", c.SISS.Workers - 1},
		{"siss.rate", c.SISS.Rate},
		{"jail.workers", c.Jail.Workers},
	} {
		if n.value < 0 {
			say(n.key, errors.New("too small"))
		}
	}
	if c.Jail.Deadline <= 0 {
		say("jail.deadline", errNegative)
	}
	if c.SISS.Deadline <= 0 || c.SISS.Lease <= c.SISS.Deadline {
		say("siss.lease", errors.New("must be longer than siss.deadline, which must be above 0"))
	}
	c.Limits.check(say)
	c.Admission.check(say)
	c.Rules.check(say)
	c.Reconcile.check(say)
	c.Retention.check(say)
	c.Journal.check(say)
	c.Opener.check(say)
	c.Privacy.check(say)
	return errors.Join(faults...)
}

func checkListen(address string) error {
	if _, _, err := net.SplitHostPort(address); err != nil {
		return errors.New("must be host:port")
	}
	return nil
}

func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// checkPublicURL wants an address without a path, because the service's own is put behind it, and
// without a credential, because it stands in the WSDL.
func checkPublicURL(text string) error {
	if err := checkURL(text); err != nil || text == "" {
		return err
	}
	if u, err := url.Parse(text); err != nil || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("must be scheme and host only, like https://hub.example")
	}
	return nil
}

func checkURL(text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return errors.New("must be an http or https address")
	}
	return nil
}
