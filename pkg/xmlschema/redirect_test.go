package xmlschema_test

import (
	"os"
	"syscall"
	"testing"
)

// redirect points descriptor 2, which C writes to, to f until restore is called.
func redirect(t *testing.T, f *os.File) (restore func()) {
	t.Helper()
	old, err := syscall.Dup(2)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Dup3(int(f.Fd()), 2, 0); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := syscall.Dup3(old, 2, 0); err != nil {
			t.Fatal(err)
		}
		_ = syscall.Close(old)
	}
}
