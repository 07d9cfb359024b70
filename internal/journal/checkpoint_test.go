package journal_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/sinbahub/sinbahub/internal/journal"
)

const origin = "sinbahub/PROVA"

func newKey(t *testing.T) (*journal.Key, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "journal")
	if _, err := journal.MakeKey(dir, origin); err != nil {
		t.Fatal(err)
	}
	key, err := journal.LoadKey(dir, origin)
	if err != nil {
		t.Fatal(err)
	}
	return key, dir
}

func TestCheckpointIsReadAsSigned(t *testing.T) {
	t.Parallel()
	key, _ := newKey(t)
	at := time.Date(2026, 11, 22, 13, 0, 0, 999, time.FixedZone("", 3600))
	signed, err := key.Sign(7, tlog.Hash{1}, at)
	if err != nil {
		t.Fatal(err)
	}
	got, err := key.Open(signed.Note)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(signed, got); diff != "" {
		t.Error(diff)
	}
	want := origin + "\n7\nAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\ntime 2026-11-22T12:00:00.000000Z\n\n— " + origin + " "
	if !strings.HasPrefix(signed.Note, want) {
		t.Errorf("%q", signed.Note)
	}
}

func TestCheckpointOfAnotherHandIsRefused(t *testing.T) {
	t.Parallel()
	key, _ := newKey(t)
	stranger, _ := newKey(t)
	good, err := key.Sign(7, tlog.Hash{1}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	other, err := stranger.Sign(7, tlog.Hash{1}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"another key":     other.Note,
		"another size":    strings.Replace(good.Note, "\n7\n", "\n8\n", 1),
		"nothing":         "",
		"no signature":    good.Note[:strings.Index(good.Note, "\n\n")+2],
		"a text":          signText(t, key, "hello\n"),
		"no time":         signText(t, key, origin+"\n7\n"+strings.Repeat("A", 43)+"=\n"),
		"another journal": signText(t, key, "x\n7\n"+strings.Repeat("A", 43)+"=\ntime 2026-11-22T12:00:00.000000Z\n"),
		"a sign":          signText(t, key, origin+"\n+7\n"+strings.Repeat("A", 43)+"=\ntime 2026-11-22T12:00:00.000000Z\n"),
		"short root":      signText(t, key, origin+"\n7\nAAAA\ntime 2026-11-22T12:00:00.000000Z\n"),
		"a huge size":     signText(t, key, origin+"\n9223372036854775807\n"+strings.Repeat("A", 43)+"=\ntime 2026-11-22T12:00:00.000000Z\n"),
		"a line more":     signText(t, key, origin+"\n7\n"+strings.Repeat("A", 43)+"=\ntime 2026-11-22T12:00:00.000000Z\nx\n"),
	} {
		if _, err := key.Open(text); !errors.Is(err, journal.ErrCheckpoint) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func signText(t *testing.T, key *journal.Key, text string) string {
	t.Helper()
	signed, err := key.SignText(text)
	if err != nil {
		t.Fatal(err)
	}
	return string(signed)
}

func TestCheckpointIsHeldAgainstALaterTree(t *testing.T) {
	t.Parallel()
	key, _ := newKey(t)
	var ref reference
	for i := range 300 {
		ref.add(t, tlog.RecordHash([]byte{byte(i), byte(i >> 8)}))
	}
	size, root := ref.size, ref.root(t)
	old, err := tlog.TreeHash(100, &ref)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		size int64
		root tlog.Hash
		want error
	}{
		"a beginning":            {100, old, nil},
		"the tree itself":        {size, root, nil},
		"nothing":                {0, tlog.Hash{}, nil},
		"another beginning":      {100, root, journal.ErrTree},
		"another of its size":    {size, old, journal.ErrTree},
		"more than there is now": {size + 1, root, journal.ErrTree},
	} {
		c, err := key.Sign(test.size, test.root, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Consistent(size, root, &ref); !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeysAreKeptWhenThereIsANewOne(t *testing.T) {
	t.Parallel()
	key, dir := newKey(t)
	first, err := key.Sign(1, tlog.Hash{}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if n, err := journal.MakeKey(dir, origin); err != nil || n != 2 {
		t.Fatal(n, err)
	}
	both, err := journal.LoadKey(dir, origin)
	if err != nil || len(both.Public()) != 2 {
		t.Fatal(err)
	}
	if err := both.Use(2); err != nil {
		t.Fatal(err)
	}
	second, err := both.Sign(2, tlog.Hash{}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := key.Open(second.Note); !errors.Is(err, journal.ErrCheckpoint) {
		t.Error("the new key signs with the old one")
	}
	for _, c := range []journal.Checkpoint{first, second} {
		if _, err := both.Open(c.Note); err != nil {
			t.Error(err)
		}
	}
}

func TestKeysAreRefused(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(t *testing.T, dir string){
		"missing":       func(t *testing.T, dir string) { t.Helper(); remove(t, filepath.Join(dir, "journal-1.key")) },
		"no public one": func(t *testing.T, dir string) { t.Helper(); remove(t, filepath.Join(dir, "journal-1.pub")) },
		"open to others": func(t *testing.T, dir string) {
			t.Helper()
			if err := os.Chmod(filepath.Join(dir, "journal-1.key"), 0o640); err != nil {
				t.Fatal(err)
			}
		},
		"two halves": func(t *testing.T, dir string) {
			t.Helper()
			_, other := newKey(t)
			if err := os.Rename(filepath.Join(other, "journal-1.pub"), filepath.Join(dir, "journal-1.pub")); err != nil {
				t.Fatal(err)
			}
		},
		"garbage": func(t *testing.T, dir string) {
			t.Helper()
			if err := os.WriteFile(filepath.Join(dir, "journal-1.key"), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		},
	} {
		_, dir := newKey(t)
		spoil(t, dir)
		if _, err := journal.LoadKey(dir, origin); !errors.Is(err, journal.ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, dir := newKey(t)
	if _, err := journal.LoadKey(dir, "another"); !errors.Is(err, journal.ErrKey) {
		t.Error("another journal's:", err)
	}
	if key, _ := newKey(t); strings.Contains(fmt.Sprintf("%v %+v %#v %s", key, key, key, key), "PRIVATE") {
		t.Error("the key shows")
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}
