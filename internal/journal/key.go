package journal

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/mod/sumdb/note"
)

// ErrKey says that a folder does not hold the journal's keys as MakeKey wrote them.
var ErrKey = errors.New("the journal's signing key is missing, open to others, or another journal's")

// Key signs the journal's checkpoints (Ed25519, C2SP signed-note) and knows all keys that ever did. Which one
// signs may change while it is used. Safe for concurrent use.
type Key struct {
	dir, origin string
	held        atomic.Pointer[keys]
}

// keys are what a folder holds. They never change.
type keys struct {
	signers     map[int32]note.Signer
	signer      note.Signer
	using       int32
	verifiers   note.Verifiers
	public      []string
	transitions []string
}

// The files of the n-th key of a folder.
const (
	privateName    = "journal-%d.key"
	publicName     = "journal-%d.pub"
	transitionName = "journal-%d.transition"
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
	_, err := os.Lstat(filepath.Join(dir, fmt.Sprintf(publicName, 1)))
	if err != nil {
		_, err = os.Lstat(filepath.Join(dir, fmt.Sprintf(privateName, 1)))
	}
	return err == nil
}

// LoadKey reads the keys of a journal: the first one that is there whole signs until Use says otherwise, all
// may have signed. Any fault is ErrKey.
func LoadKey(dir, origin string) (*Key, error) {
	k := &Key{dir: dir, origin: origin}
	held, err := readKeys(dir, origin)
	if err != nil {
		return nil, err
	}
	for _, n := range slices.Sorted(maps.Keys(held.signers)) {
		held.signer, held.using = held.signers[n], n
		break
	}
	k.held.Store(held)
	return k, nil
}

// readKeys reads a folder. A public half stays when the private one was destroyed; a private half alone is
// left of a making that did not end, and its number is spent.
func readKeys(dir, origin string) (*keys, error) {
	k := &keys{signers: map[int32]note.Signer{}}
	var known []note.Verifier
	for n := int32(1); ; n++ {
		private, errPrivate := readKey(filepath.Join(dir, fmt.Sprintf(privateName, n)))
		public, errPublic := readKey(filepath.Join(dir, fmt.Sprintf(publicName, n)))
		missing := errors.Is(errPrivate, fs.ErrNotExist)
		switch {
		case missing && errors.Is(errPublic, fs.ErrNotExist):
			if len(k.signers) == 0 {
				return nil, ErrKey
			}
			k.verifiers = note.VerifierList(known...)
			return k, nil
		case n > 1 && errPrivate == nil && errors.Is(errPublic, fs.ErrNotExist):
			continue
		case errPrivate != nil && !missing || errPublic != nil:
			return nil, ErrKey
		}
		v, err := note.NewVerifier(public)
		if err != nil || v.Name() != origin {
			return nil, ErrKey
		}
		if !missing {
			signer, err := note.NewSigner(private)
			if err != nil || signer.Name() != origin || signer.KeyHash() != v.KeyHash() {
				return nil, ErrKey
			}
			k.signers[n] = signer
		}
		known, k.public = append(known, v), append(k.public, public)
		if transition, err := readKey(filepath.Join(dir, fmt.Sprintf(transitionName, n))); err == nil {
			k.transitions = append(k.transitions, transition)
		}
	}
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
func (k *Key) Public() []string { return k.held.Load().public }

// Format prints a placeholder for every verb: a key is never shown.
func (*Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "journal key") }
