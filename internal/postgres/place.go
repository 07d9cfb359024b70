package postgres

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap"
)

// socketPort names the socket file; no TCP port is opened.
const socketPort = 5432

// place is where a cluster lives and as whom.
type place struct {
	// dir is the configured folder: passwords, log, lock. It belongs to the hub's user.
	dir string
	// data is PostgreSQL's folder. It belongs to owner.
	data string
	// sockets is a short folder: paths of sockets over 107 bytes fail.
	sockets string
	// bin has the binaries of the data's major version.
	bin string
	// owner is the user the server runs as.
	owner owner
}

// owner is the server's user: this process's own, or postgres when this one is root, because
// PostgreSQL refuses to run as root.
type owner struct {
	uid, gid uint32
	drop     bool
}

func findOwner() (owner, error) {
	if os.Getuid() != 0 {
		return owner{uid: uint32(os.Getuid()), gid: uint32(os.Getgid())}, nil //nolint:gosec // ids are 32 bits
	}
	account, err := user.Lookup("postgres")
	if err != nil {
		return owner{}, errors.New("started as root, and there is no user postgres to run the database as: install postgresql")
	}
	uid, err := strconv.ParseUint(account.Uid, 10, 32)
	if err != nil {
		return owner{}, errors.New("user postgres has no numeric id")
	}
	gid, err := strconv.ParseUint(account.Gid, 10, 32)
	if err != nil {
		return owner{}, errors.New("user postgres has no numeric group")
	}
	return owner{uid: uint32(uid), gid: uint32(gid), drop: true}, nil
}

// credential makes a child run as the owner; nil if that is who we are.
func (o owner) credential() *syscall.Credential {
	if !o.drop {
		return nil
	}
	return &syscall.Credential{Uid: o.uid, Gid: o.gid}
}

// reaches asks the kernel whether the owner can enter a folder, by starting a program there:
// modes alone do not tell (ACLs, mounts).
func (o owner) reaches(ctx context.Context, dir string) bool {
	probe := exec.CommandContext(ctx, "/bin/true")
	probe.Dir = dir
	probe.SysProcAttr = &syscall.SysProcAttr{Credential: o.credential()}
	return probe.Run() == nil
}

// findPlace decides where the cluster of a folder is, and makes that folder.
func findPlace(ctx context.Context, cfg ClusterConfig, log *zap.Logger) (place, error) {
	dir, err := filepath.Abs(cfg.Dir)
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return place{}, fmt.Errorf("find the cluster's folder: %w", err)
	}
	who, err := findOwner()
	if err != nil {
		return place{}, err
	}
	sum := sha256.Sum256([]byte(dir))
	hash := hex.EncodeToString(sum[:])
	p := place{
		dir: dir, data: filepath.Join(dir, "data"), owner: who,
		sockets: filepath.Join("/tmp", "sinbahub-"+hash[:8]),
	}
	reached := who.reaches(ctx, dir)
	// Decided once: data that is somewhere stays there, whatever became of the modes.
	switch {
	case exists(filepath.Join(p.data, "PG_VERSION")) && !reached:
		return place{}, fmt.Errorf("the server's user can no longer enter %s", dir)
	case exists(filepath.Join(p.data, "PG_VERSION")):
	case !reached || exists(filepath.Join(dir, "mark")):
		if p.data, err = elsewhere(ctx, dir, hash, who, log); err != nil {
			return place{}, err
		}
		log.Info("the server's user cannot reach the folder; the data is elsewhere",
			zap.String("folder", dir), zap.String("data", p.data))
	}
	p.bin, err = findBinaries(cfg.Bin, p.data)
	return p, err
}

// fallbackRoot is where data goes that the server's user cannot reach in its own folder.
const fallbackRoot = "/var/lib/sinbahub"

// elsewhere is the data folder under fallbackRoot. A mark in both folders says that they belong
// together: if the configured folder was deleted and made again, what it left here is stopped and
// set aside, never taken over and never deleted.
func elsewhere(ctx context.Context, dir, hash string, who owner, log *zap.Logger) (string, error) {
	base := filepath.Join(fallbackRoot, hash[:16])
	mark, theirs := filepath.Join(dir, "mark"), filepath.Join(base, "mark")
	ours, err := os.ReadFile(filepath.Clean(mark))
	if errors.Is(err, fs.ErrNotExist) {
		ours = []byte(rand.Text() + "\n")
		err = os.WriteFile(mark, ours, 0o600)
	}
	if err != nil {
		return "", fmt.Errorf("mark the cluster's folder: %w", err)
	}
	found, err := os.ReadFile(filepath.Clean(theirs))
	if err == nil && !slices.Equal(found, ours) {
		if err := setAside(ctx, base, log); err != nil {
			return "", err
		}
	}
	for _, folder := range []string{fallbackRoot, base} {
		if err := makePassable(folder); err != nil {
			return "", err
		}
	}
	if err := os.WriteFile(theirs, ours, 0o600); err != nil { //nolint:gosec // as configured
		return "", fmt.Errorf("mark the data's folder: %w", err)
	}
	if err := os.Chown(base, int(who.uid), int(who.gid)); err != nil {
		return "", fmt.Errorf("give the data's folder to its user: %w", err)
	}
	return filepath.Join(base, "data"), nil
}

// exists tells whether a name can be seen.
func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// makePassable makes a missing folder that others may pass through, whatever the umask.
func makePassable(dir string) error {
	if exists(dir) {
		return nil
	}
	if err := os.MkdirAll(dir, 0o711); err != nil { //nolint:gosec // passable is what it is for
		return fmt.Errorf("make a folder: %w", err)
	}
	if err := os.Chmod(dir, 0o711); err != nil { //nolint:gosec // as above
		return fmt.Errorf("make a folder passable: %w", err)
	}
	return nil
}

// setAside stops a server whose folder is gone and renames its data.
func setAside(ctx context.Context, base string, log *zap.Logger) error {
	data := filepath.Join(base, "data")
	if pid := runningPID(data); pid != 0 {
		orphan := &Cluster{place: place{data: data}, log: log}
		orphan.pid.Store(int64(pid))
		if err := orphan.Stop(ctx); err != nil {
			return err
		}
	}
	aside := base + ".orphan-" + strconv.FormatInt(time.Now().Unix(), 10)
	log.Warn("data of a deleted folder set aside", zap.String("from", base), zap.String("to", aside))
	if err := os.Rename(base, aside); err != nil {
		return fmt.Errorf("set the data of a deleted folder aside: %w", err)
	}
	return nil
}

// makeOwned makes a folder that only the server's user may enter.
func (p place) makeOwned(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("make a folder for the server: %w", err)
	}
	if err := os.Chown(dir, int(p.owner.uid), int(p.owner.gid)); err != nil {
		return fmt.Errorf("give a folder to the server's user: %w", err)
	}
	return nil
}

// writeOwned writes a file that only the server's user may read, over what was there.
func (p place) writeOwned(name, text string) error {
	fresh := name + ".new"
	if err := os.WriteFile(fresh, []byte(text), 0o600); err != nil { //nolint:gosec // as configured
		return fmt.Errorf("write a file for the server: %w", err)
	}
	if err := os.Chown(fresh, int(p.owner.uid), int(p.owner.gid)); err != nil {
		return fmt.Errorf("give a file to the server's user: %w", err)
	}
	if err := os.Rename(fresh, name); err != nil {
		return fmt.Errorf("put a file for the server in place: %w", err)
	}
	return nil
}

// makeSockets makes the folder of the sockets, or checks the one that is there: /tmp belongs to
// everybody, so another user's folder of this name is refused, not used.
func (p place) makeSockets() error {
	err := p.makeOwned(p.sockets)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(p.sockets)
	if err != nil {
		return fmt.Errorf("look at the sockets' folder: %w", err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	closed := info.Mode() == fs.ModeDir|0o700 || info.Mode() == fs.ModeDir|passable
	if !ok || !closed || stat.Uid != p.owner.uid {
		return fmt.Errorf("sockets' folder %s belongs to somebody else", p.sockets)
	}
	return nil
}

// passable is the mode of a sockets' folder through which a group may pass, which finds nothing there but
// a door with a password.
const passable = 0o710

// LetIn lets a process of another user than the server's and the hub's reach the server, by its group:
// the sockets' folder is closed to everybody else. Only root can do it, and only root needs it.
func (c *Cluster) LetIn(gid int) error {
	if os.Geteuid() != 0 {
		return nil
	}
	if err := os.Chown(c.place.sockets, int(c.place.owner.uid), gid); err != nil {
		return fmt.Errorf("let a group reach the sockets: %w", err)
	}
	// A server that an older hub started closed the socket, too.
	socket := filepath.Join(c.place.sockets, ".s.PGSQL."+strconv.Itoa(socketPort))
	if err := os.Chmod(socket, 0o777); err != nil { //nolint:gosec // the folder is closed
		return fmt.Errorf("let a group reach the sockets: %w", err)
	}
	if err := os.Chmod(c.place.sockets, passable); err != nil {
		return fmt.Errorf("let a group reach the sockets: %w", err)
	}
	return nil
}

// findBinaries chooses a version: the data's if there is data, else the newest installed.
func findBinaries(configured, data string) (string, error) {
	if configured != "" {
		return configured, nil
	}
	want := "*"
	if version, err := os.ReadFile(filepath.Clean(filepath.Join(data, "PG_VERSION"))); err == nil {
		want = strings.TrimSpace(string(version))
	}
	found, err := filepath.Glob(filepath.Join("/usr/lib/postgresql", want, "bin", "postgres"))
	if err != nil || len(found) == 0 {
		return "", errors.New("no PostgreSQL server of the right version found under /usr/lib/postgresql: install postgresql")
	}
	slices.SortFunc(found, func(a, b string) int { return major(a) - major(b) })
	return filepath.Dir(found[len(found)-1]), nil
}

// major is the version in /usr/lib/postgresql/15/bin/postgres.
func major(path string) int {
	n, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
	if err != nil {
		return 0
	}
	return n
}

// lockFolder makes the configured folder and holds a lock on it, so that two starts take turns.
// The folder is passable for others, since the server's user must get through it; what is
// secret in it has its own mode.
func lockFolder(ctx context.Context, dir string) (unlock func(), err error) {
	if err := makePassable(dir); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Clean(filepath.Join(dir, "lock")), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the cluster's lock: %w", err)
	}
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = file.Close() }, nil
		}
		if waited := pause(ctx, 20*time.Millisecond); !errors.Is(err, syscall.EWOULDBLOCK) || waited != nil {
			_ = file.Close()
			return nil, errors.New("lock the cluster's folder: another start holds it")
		}
	}
}

// syncFolder makes names in a folder durable.
func syncFolder(dir string) error {
	d, err := os.Open(filepath.Clean(dir))
	if err != nil {
		return fmt.Errorf("open a folder to sync: %w", err)
	}
	defer func() { _ = d.Close() }()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync a folder: %w", err)
	}
	return nil
}
