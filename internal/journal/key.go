package journal

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// ErrKey says that a folder does not hold the journal's keys as MakeKey wrote them.
var ErrKey = errors.New("the journal's signing key is missing, open to others, or another journal's")

// Key signs the journal's checkpoints (Ed25519, C2SP signed-note) and knows all keys that ever did.
type Key struct {
	signer    note.Signer
	verifiers note.Verifiers
	public    []string
}

// The files of the n-th key of a folder.
const (
	privateName = "journal-%d.key"
	publicName  = "journal-%d.pub"
)

// MakeKey makes the next key of a journal in dir, which it makes too, and returns its number, from 1.
// Both files are synced before it returns; the private one is readable by its owner only.
func MakeKey(dir, origin string) (int, error) {
	private, public, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		return 0, fmt.Errorf("make journal key: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return 0, fmt.Errorf("make journal key: %w", err)
	}
	n := 1
	for ; ; n++ {
		// The private one first: its number is taken even if the other is never written.
		if err = writeKey(filepath.Join(dir, fmt.Sprintf(privateName, n)), private); !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	if err == nil {
		err = writeKey(filepath.Join(dir, fmt.Sprintf(publicName, n)), public)
	}
	if err != nil {
		return 0, fmt.Errorf("make journal key: %w", err)
	}
	if err := syncFolder(dir); err != nil {
		return 0, fmt.Errorf("make journal key: %w", err)
	}
	return n, nil
}

func writeKey(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the configured folder
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, text+"\n")
	return errors.Join(err, f.Sync(), f.Close())
}

// HasKey tells whether dir holds a key already.
func HasKey(dir string) bool {
	_, err := os.Lstat(filepath.Join(dir, fmt.Sprintf(privateName, 1)))
	return err == nil
}

// LoadKey reads the keys of a journal: the last one signs, all may have signed. Any fault is ErrKey.
func LoadKey(dir, origin string) (*Key, error) {
	k := &Key{}
	var known []note.Verifier
	for n := 1; ; n++ {
		private, err := readKey(filepath.Join(dir, fmt.Sprintf(privateName, n)))
		if errors.Is(err, fs.ErrNotExist) && n > 1 {
			break
		}
		if err != nil {
			return nil, ErrKey
		}
		public, err := readKey(filepath.Join(dir, fmt.Sprintf(publicName, n)))
		if err != nil {
			return nil, ErrKey
		}
		v, err := note.NewVerifier(public)
		if err != nil || v.Name() != origin {
			return nil, ErrKey
		}
		if k.signer, err = note.NewSigner(private); err != nil || k.signer.Name() != origin || k.signer.KeyHash() != v.KeyHash() {
			return nil, ErrKey
		}
		known, k.public = append(known, v), append(k.public, public)
	}
	k.verifiers = note.VerifierList(known...)
	return k, nil
}

// readKey reads one line of a file that only its owner may read.
func readKey(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if info.Mode().Perm()&0o077 != 0 || info.Size() > 1<<12 {
		return "", ErrKey
	}
	text, err := os.ReadFile(path) //nolint:gosec // the configured folder
	return strings.TrimSuffix(string(text), "\n"), err
}

// Public are all public keys in the form of C2SP signed-note verifier keys, in the order they were made.
func (k *Key) Public() []string { return k.public }

// Format prints a placeholder for every verb: a key is never shown.
func (*Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "journal key") }
