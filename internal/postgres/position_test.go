package postgres_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// owner is the number of the account that a file belongs to.
func owner(t *testing.T, name string) uint32 {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		t.Fatal("no owner")
	}
	return stat.Uid
}

// A position that root's command makes in the folder of a serve that is not root does not keep that
// serve from starting again.
func TestPositionsBelongToTheOwnerOfTheirFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const nobody = 65534
	if err := os.Chown(dir, nobody, nobody); err != nil && os.Geteuid() == 0 {
		t.Fatal(err)
	}
	openGuard(t, dir)
	openGuard(t, dir)
	for _, name := range []string{"0", "1"} {
		if got, want := owner(t, filepath.Join(dir, name)), owner(t, dir); got != want {
			t.Errorf("position %s belongs to %d, its folder to %d", name, got, want)
		}
	}
}
