package validator

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"go.uber.org/zap"
)

// Part is one wall of the jail, a label of hub_validator_jail_parts. The parent looks from
// outside whether it stands; a wall it cannot look at counts as missing.
type Part string

// The parts. The first six need rights that many containers do not have; the others any Linux
// gives, and a worker that does not get them ends before it sees a document.
const (
	// OwnUser: another user than the hub's, or a user namespace of its own.
	OwnUser Part = "user"
	// NoCapabilities: none, in any set.
	NoCapabilities Part = "capabilities"
	// OwnNetwork: a network namespace of its own, in which nothing is up.
	OwnNetwork Part = "network_namespace"
	// OwnIPC: System V memory and message queues of its own.
	OwnIPC Part = "ipc_namespace"
	// OwnUTS: a host name of its own.
	OwnUTS Part = "uts_namespace"
	// EmptyRoot: a mount namespace of its own whose root is an empty read-only folder.
	EmptyRoot Part = "empty_root"
	// NoNewPrivileges: no_new_privs.
	NoNewPrivileges Part = "no_new_privs"
	// NoDump: nobody but root can look into its memory, and it leaves no core file.
	NoDump Part = "no_dump"
	// Limits: 256 MB of address space, four descriptors, no file, no process.
	Limits Part = "limits"
	// Filter: a filter allows eight system calls (jail_limits.c).
	Filter Part = "seccomp"
)

// Parts lists all parts in the order they are named in messages.
func Parts() []Part {
	return []Part{
		OwnUser, NoCapabilities, OwnNetwork, OwnIPC, OwnUTS, EmptyRoot, NoNewPrivileges, NoDump, Limits, Filter,
	}
}

// JailError says that a worker has not the whole jail, and what is missing of it.
type JailError struct {
	Missing []Part
}

// Error names the parts.
func (e *JailError) Error() string {
	return "validator: the system refuses parts of the jail: " + strings.Join(names(e.Missing), ", ")
}

func names(parts []Part) []string {
	all := make([]string, len(parts))
	for i, p := range parts {
		all[i] = string(p)
	}
	return all
}

// refusedBy gives the parts that a worker ended for want of, by its exit status (jail.h).
func refusedBy(status int) []Part {
	switch status {
	case 23:
		return []Part{Limits}
	case 24:
		return []Part{Filter}
	case 26:
		return []Part{NoCapabilities, NoNewPrivileges, NoDump}
	}
	return nil
}

// inspect looks at a worker that has closed its jail and tells which parts it lacks. It has
// seen no document yet, so that what the kernel says of it is all that has to be believed.
func inspect(pid int) []Part {
	w := watched{dir: filepath.Join("/proc", strconv.Itoa(pid))}
	w.status, _ = os.ReadFile(filepath.Join(w.dir, "status"))
	w.limits, _ = os.ReadFile(filepath.Join(w.dir, "limits"))
	return slices.DeleteFunc(Parts(), w.has)
}

// watched is what the kernel tells of a worker.
type watched struct {
	dir            string
	status, limits []byte
}

func (w watched) has(p Part) bool {
	switch p {
	case OwnUser:
		return w.ownUser()
	case NoCapabilities:
		return w.holds("CapInh", none) && w.holds("CapPrm", none) && w.holds("CapEff", none) && w.holds("CapAmb", none)
	case OwnNetwork:
		return w.apart("net")
	case OwnIPC:
		return w.apart("ipc")
	case OwnUTS:
		return w.apart("uts")
	case EmptyRoot:
		return w.apart("mnt") && w.emptyRoot()
	case NoNewPrivileges:
		return w.holds("NoNewPrivs", "1")
	case NoDump:
		return w.noDump()
	case Limits:
		return w.limitsHold()
	case Filter:
		return w.holds("Seccomp", "2")
	}
	return false
}

// none is a set of capabilities without one.
const none = "0000000000000000"

// holds tells whether status has the value for a key.
func (w watched) holds(key, value string) bool {
	found := w.field(w.status, key+":")
	return len(found) == 1 && found[0] == value
}

// field gives the words behind the beginning of a line.
func (watched) field(text []byte, start string) []string {
	for line := range bytes.Lines(text) {
		if rest, ok := bytes.CutPrefix(line, []byte(start)); ok {
			return strings.Fields(string(rest))
		}
	}
	return nil
}

// apart tells whether the worker is in another namespace of a kind than the hub.
func (w watched) apart(kind string) bool {
	ours, err1 := os.Readlink("/proc/self/ns/" + kind)
	theirs, err2 := os.Readlink(filepath.Join(w.dir, "ns", kind))
	return err1 == nil && err2 == nil && ours != theirs
}

func (w watched) ownUser() bool {
	uids := w.field(w.status, "Uid:")
	if len(uids) != 4 {
		return false
	}
	return !slices.Contains(uids, strconv.Itoa(os.Getuid())) && !slices.Contains(uids, strconv.Itoa(os.Geteuid())) || w.apart("user")
}

// emptyRoot also wants the root to be all that is mounted: the old one may not lie below it.
func (w watched) emptyRoot() bool {
	mounts, err := os.ReadFile(filepath.Join(w.dir, "mountinfo"))
	if err != nil || bytes.Count(mounts, []byte("\n")) != 1 {
		return false
	}
	root := filepath.Join(w.dir, "root") + "/"
	entries, err := os.ReadDir(root)
	if err != nil || len(entries) != 0 {
		return false
	}
	var fs syscall.Statfs_t
	const readOnly = 1 // ST_RDONLY
	return syscall.Statfs(root, &fs) == nil && fs.Flags&readOnly != 0
}

// noDump: the kernel gives the files below /proc of a process that must not be dumped to root,
// and not to the process's own user (proc(5), "dumpable"). For a worker that is root this shows
// nothing, so that the part counts as missing.
func (w watched) noDump() bool {
	info, err := os.Stat(filepath.Join(w.dir, "status"))
	if err != nil {
		return false
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	uids := w.field(w.status, "Uid:")
	return ok && len(uids) == 4 && strconv.FormatUint(uint64(owner.Uid), 10) != uids[1]
}

// limitsHold compares the limits with those that jail_limits.c asks for; less is as good.
func (w watched) limitsHold() bool {
	for name, most := range map[string]uint64{
		"Max address space": 256 << 20, "Max open files": 4,
		"Max file size": 0, "Max core file size": 0, "Max processes": 0,
	} {
		found := w.field(w.limits, name)
		if len(found) < 2 {
			return false
		}
		for _, text := range found[:2] { // soft and hard
			if n, err := strconv.ParseUint(text, 10, 64); err != nil || n > most {
				return false
			}
		}
	}
	return true
}

// admit decides whether a worker that has closed its jail may serve, and tells the operator what
// its jail lacks: in the metric always, in the log when it changes.
func (p *Pool) admit(missing []Part) error {
	for _, part := range Parts() {
		standing := 1.0
		if slices.Contains(missing, part) {
			standing = 0
		}
		p.parts.WithLabelValues(string(part)).Set(standing)
	}
	if p.cfg.RequireJail && len(missing) > 0 {
		return &JailError{Missing: missing}
	}
	text := strings.Join(names(missing), " ")
	if before := p.missing.Swap(&text); before != nil && *before == text || before == nil && text == "" {
		return nil
	}
	if text == "" {
		p.log.Info("the validator's jail is complete again")
		return nil
	}
	p.log.Warn("the system refuses parts of the validator's jail", zap.Strings("missing", names(missing)))
	return nil
}
