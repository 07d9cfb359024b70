package journal

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// A transition is a note that the key before and the key after sign, both: who trusts one may trust the other
// as a key of the same journal. Its text has five lines: this word, the origin, the public key before, the
// one after, and "time" with the moment it was made.
const transitionWord = "sinbahub journal key transition v1"

// TransitionMark begins the line that publishes a transition beside the public keys, in base64. Who does not
// know it takes the line for a comment.
const TransitionMark = "# transition "

// MakeNextKey makes the next key of a journal that has one, and the transition to it from the one that signs,
// all durable before it returns.
func (k *Key) MakeNextKey(now time.Time) (int32, error) {
	n, err := MakeKey(k.dir, k.origin)
	if err != nil {
		return 0, err
	}
	return int32(n), k.makeTransition(int32(n), now) //nolint:gosec // a number of a file
}

// makeTransition writes the transition to a key, unless it is there.
func (k *Key) makeTransition(n int32, now time.Time) error {
	path := filepath.Join(k.dir, fmt.Sprintf(transitionName, n))
	if _, err := os.Lstat(path); err == nil {
		return nil
	}
	next, err := readKeys(k.dir, k.origin)
	if err != nil {
		return err
	}
	held := k.held.Load()
	after := next.signers[n]
	if after == nil {
		return ErrKey
	}
	text := strings.Join([]string{
		transitionWord, k.origin, publicOf(held, held.signer), publicOf(next, after), timeWord + now.UTC().Format(timeLayout), "",
	}, "\n")
	signed, err := note.Sign(&note.Note{Text: text}, held.signer, after)
	if err != nil {
		return ErrKey
	}
	if err := writeKey(path+".new", base64.StdEncoding.EncodeToString(signed)); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("write transition of journal keys: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("write transition of journal keys: %w", err)
	}
	return syncFolder(k.dir)
}

// publicOf finds the public half of a signer.
func publicOf(k *keys, signer note.Signer) string {
	for _, public := range k.public {
		if v, err := note.NewVerifier(public); err == nil && v.KeyHash() == signer.KeyHash() {
			return public
		}
	}
	return ""
}

// Published are the lines by which the keys are published: each public key, also of a private one that was
// destroyed, and the transitions between them.
func (k *Key) Published() []string {
	held := k.held.Load()
	lines := slices.Clone(held.public)
	for _, t := range held.transitions {
		lines = append(lines, TransitionMark+t)
	}
	return lines
}

// Held lists the keys that can sign, ascending.
func (k *Key) Held() []int32 { return slices.Sorted(maps.Keys(k.held.Load().signers)) }

// InUse is the key that signs.
func (k *Key) InUse() int32 { return k.held.Load().using }

// Look reads the folder again. The key that signs stays; ErrKey, and no change, if it is not there.
func (k *Key) Look() error {
	next, err := readKeys(k.dir, k.origin)
	if err != nil {
		return err
	}
	before := k.held.Load()
	signer := next.signers[before.using]
	if signer == nil || signer.KeyHash() != before.signer.KeyHash() {
		return ErrKey
	}
	next.signer, next.using = signer, before.using
	k.held.Store(next)
	return nil
}

// Use makes a key sign from now on. ErrKey if it is not held.
func (k *Key) Use(n int32) error {
	next := *k.held.Load()
	if next.signers[n] == nil {
		return ErrKey
	}
	next.signer, next.using = next.signers[n], n
	k.held.Store(&next)
	return nil
}

// DestroyKey removes a private half; the public one stays. One that is not there is destroyed already.
func DestroyKey(dir string, n int32) error {
	err := os.Remove(filepath.Join(dir, fmt.Sprintf(privateName, n)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("destroy journal key: %w", err)
	}
	return syncFolder(dir)
}

// Transit writes the transition from the key that signs to another one, unless it is there: a making of keys
// may have ended before it.
func (k *Key) Transit(n int32, now time.Time) error {
	if n == k.InUse() {
		return nil
	}
	return k.makeTransition(n, now)
}
