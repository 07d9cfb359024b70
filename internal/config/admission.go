package config

import (
	"errors"
	"path/filepath"
	"time"
)

// Admission says when the hub takes no further events. What is asked and what is repeated is still
// answered then. Each limit closes the door at its value and opens it again only well on the other
// side of it, so that it does not flap. All of it may change while serve runs.
type Admission struct {
	// Backlog closes the door of all instances when an event that could be sent (it is due, was never
	// tried, and no other of its case stands before it) waits for so long; it opens again below half of
	// that. A case that SISS keeps refusing or failing closes nothing. 0: never (default 168h, more than
	// twice the 72 h without SISS that the hub is tested with: to keep what SISS cannot take yet is what
	// it is for, but somebody should have decided by then).
	Backlog time.Duration `yaml:"backlog"`
	// Disk closes the door when the database's disk has fewer free bytes; it opens again at half as
	// many more. It is measured under the embedded cluster or under DiskPath, and without both not at
	// all. Below half of it serve is not ready. 0: never (default 536870912).
	Disk int `yaml:"disk"`
	// DiskPath is a folder on the disk of a database that is not embedded, if this machine sees it:
	// its data directory's mount, say (default: none).
	DiskPath string `yaml:"disk_path"`
	// DatabaseSize closes the door when the database takes so many bytes (pg_database_size, asked twice
	// a minute), for a server whose disk nobody here sees; it opens again a twentieth below. 0 (default):
	// any size.
	DatabaseSize int `yaml:"database_size"`
	// Memory closes this instance's door when serve itself holds so many bytes; it opens again at three
	// quarters. Serve's collector keeps it below 170 MiB while it can. 0: never (default 402653184).
	Memory int `yaml:"memory"`
}

func defaultAdmission() Admission {
	return Admission{Backlog: 7 * 24 * time.Hour, Disk: 512 << 20, Memory: 384 << 20}
}

// check says what could not work.
func (a Admission) check(say func(key string, err error)) {
	for _, n := range []struct {
		key   string
		value int64
	}{
		{"backlog", int64(a.Backlog)},
		{"disk", int64(a.Disk)},
		{"database_size", int64(a.DatabaseSize)},
		{"memory", int64(a.Memory)},
	} {
		if n.value < 0 {
			say("admission."+n.key, errNegative)
		}
	}
	// Serve alone takes some 40 MiB.
	if a.Memory > 0 && a.Memory < 64<<20 {
		say("admission.memory", errors.New("too small"))
	}
	if a.DiskPath != "" && !filepath.IsAbs(a.DiskPath) {
		say("admission.disk_path", errors.New("must be an absolute path"))
	}
}
