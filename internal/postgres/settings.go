package postgres

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// settings are the hub's for its own server; CheckServer asks for the first block of any server.
func settings(sockets string) map[string]string {
	return map[string]string{ //nolint:gosec // names of settings, no password
		// durable
		"fsync":              "on",
		"full_page_writes":   "on",
		"synchronous_commit": "on",
		// no values in the log
		"log_statement":                     "none",
		"log_min_duration_statement":        "-1",
		"log_parameter_max_length":          "0",
		"log_parameter_max_length_on_error": "0",
		"log_error_verbosity":               "terse",
		// reachable by socket only
		"listen_addresses":        "",
		"unix_socket_directories": sockets,
		// who may come at all is the folder's mode to say: LetIn lets a group in beside the owner
		"unix_socket_permissions": "0777",
		"port":                    "5432",
		"password_encryption":     "scram-sha-256",
		// sized for one hub beside it: each checkpoint makes the next writes of every page twice as
		// long, so they are rare
		"max_connections":              "100",
		"shared_buffers":               "256MB",
		"checkpoint_timeout":           "15min",
		"checkpoint_completion_target": "0.9",
		"max_wal_size":                 "4GB",
		"wal_compression":              "off",
		"jit":                          "off",
		"timezone":                     "UTC",
		"log_timezone":                 "UTC",
		"log_destination":              "stderr",
		"logging_collector":            "off",
		"log_line_prefix":              "%m [%p] ",
		"log_checkpoints":              "off",
		"cluster_name":                 "sinbahub",
		// each delivery leaves two dead rows behind: look often
		"autovacuum_naptime": "10s",
		// the large tables only grow, and what is in their columns hardly changes: a look at 7,500 rows
		// whenever one has doubled is enough. By default it is 30,000 rows after every tenth part
		"autovacuum_analyze_scale_factor": "1",
		"default_statistics_target":       "25",
	}
}

// settingsFile is included at the end of postgresql.conf, so that it wins.
const settingsFile = "sinbahub.conf"

// writeSettings rewrites the hub's settings at every start, so that a newer hub brings its own.
func (c *Cluster) writeSettings(overrides map[string]string) error {
	all := settings(c.place.sockets)
	maps.Copy(all, overrides)
	var text strings.Builder
	text.WriteString("# written by sinbahub at every start; changes are lost\n")
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&text, "%s = '%s'\n", name, strings.ReplaceAll(all[name], "'", "''"))
	}
	if err := c.place.writeOwned(filepath.Join(c.place.data, settingsFile), text.String()); err != nil {
		return err
	}
	main := filepath.Join(c.place.data, "postgresql.conf")
	conf, err := os.ReadFile(filepath.Clean(main))
	if err != nil {
		return fmt.Errorf("read the server's configuration: %w", err)
	}
	include := "include '" + settingsFile + "'\n"
	if strings.HasSuffix(string(conf), include) {
		return nil
	}
	return c.place.writeOwned(main, string(conf)+include)
}

// passwords of the embedded cluster's roles, 26 characters of 130 random bits each.
type passwords struct{ superuser, app, vault, opener string }

// loadPasswords reads the passwords from files of mode 0600, making those that are missing.
func loadPasswords(dir string) (passwords, error) {
	var p passwords
	for name, word := range map[string]*string{
		"superuser.password": &p.superuser, "app.password": &p.app, "vault.password": &p.vault,
		"opener.password": &p.opener,
	} {
		text, err := loadPassword(filepath.Join(dir, name))
		if err != nil {
			return passwords{}, err
		}
		*word = text
	}
	return p, nil
}

func loadPassword(name string) (string, error) {
	text, err := os.ReadFile(filepath.Clean(name))
	if err == nil {
		return strings.TrimSpace(string(text)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read a password: %w", err)
	}
	word := rand.Text()
	fresh := name + ".new"
	if err := os.WriteFile(fresh, []byte(word+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("write a password: %w", err)
	}
	if err := os.Rename(fresh, name); err != nil {
		return "", fmt.Errorf("put a password in place: %w", err)
	}
	return word, nil
}
