package config

import (
	"errors"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"github.com/sinbahub/sinbahub/internal/hub"
)

// Journal says how the journal is sealed.
type Journal struct {
	// Origin names the journal in its checkpoints and is the name of its signing keys: a name without
	// blanks and plus signs that no other journal has, such as a domain and a path. It cannot be changed
	// once there are checkpoints (default sinbahub/PROD or sinbahub/TEST).
	Origin string `yaml:"origin"`
	// Every is after what time a checkpoint is signed although few entries came (default 60s).
	Every time.Duration `yaml:"every"`
	// Entries are after how many a checkpoint is signed before that (default 256).
	Entries int `yaml:"entries"`
	// Stale closes the door when for so long no checkpoint could be signed that holds all entries: what
	// the hub does meanwhile could be changed without trace. From 60 s on it is said in the log. 0: never
	// (default 4h).
	Stale time.Duration `yaml:"stale"`
	// Witness is the folder where published checkpoints are kept beside the database, so that one which
	// was restored from a backup is noticed (default: journal/<environment> in the var folder).
	Witness string `yaml:"witness"`
}

func defaultJournal() Journal {
	return Journal{Every: time.Minute, Entries: 256, Stale: 4 * time.Hour}
}

// check says what could not work.
func (j Journal) check(say func(key string, err error)) {
	if strings.ContainsFunc(j.Origin, func(r rune) bool { return unicode.IsSpace(r) || r == '+' || !unicode.IsPrint(r) }) {
		say("journal.origin", errors.New("must have no blanks and no plus sign"))
	}
	if j.Every < time.Second || j.Every > time.Hour {
		say("journal.every", errors.New("must be from 1s to 1h"))
	}
	if j.Entries < 1 {
		say("journal.entries", errNegative)
	}
	if j.Stale < 0 {
		say("journal.stale", errNegative)
	}
	if j.Witness != "" && !filepath.IsAbs(j.Witness) {
		say("journal.witness", errors.New("must be an absolute path"))
	}
}

// JournalOrigin is the name of the journal of the configured environment.
func (c Config) JournalOrigin() string {
	if c.Journal.Origin != "" {
		return c.Journal.Origin
	}
	if c.Env() == hub.Test {
		return "sinbahub/TEST"
	}
	return "sinbahub/PROD"
}

// JournalKeys is the folder of the journal's signing keys.
func (c Config) JournalKeys() string { return filepath.Join(c.Keys.Dir, "journal") }

// JournalWitness is the folder of the checkpoints kept beside the database.
func (c Config) JournalWitness() string {
	if c.Journal.Witness != "" {
		return c.Journal.Witness
	}
	return filepath.Join(c.Var, "journal", c.Env().String())
}
