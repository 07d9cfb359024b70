package pseudonym

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/sinbahub/sinbahub/internal/hub"
)

// The names of the keys that are rotated, as fingerprints and the database have them.
const (
	// NameLink is the key of the link index.
	NameLink = string(PurposeLink)
	// NameSeal is the opener's key pair.
	NameSeal = string(PurposeSeal)
)

// NameOfCodes is the name of the key of a domain's codes.
func NameOfCodes(d Domain) string { return string(PurposeCode) + "-" + string(d) }

// EpochName is the name of one epoch of a key.
func EpochName(name string, epoch int32) string { return fmt.Sprintf("%s-%d", name, epoch) }

// MadeAt is when an epoch of a key was made, as its file in a folder says; zero if there is none that can be read.
func MadeAt(dir string, env hub.Environment, name string, epoch int32) time.Time {
	p, d, ok := purposeOf(name)
	if !ok {
		return time.Time{}
	}
	id := keyID{environment: env, purpose: p, domain: d, epoch: epoch}
	file, err := readKeyFile(filepath.Join(dir, id.name()), id)
	if err != nil {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339, file.CreatedAt)
	if err != nil {
		return time.Time{}
	}
	return at
}

// purposeOf is what a name says.
func purposeOf(name string) (p Purpose, d Domain, ok bool) {
	switch name {
	case NameLink:
		return PurposeLink, "", true
	case NameSeal:
		return PurposeSeal, "", true
	case NameOfCodes(Region):
		return PurposeCode, Region, true
	case NameOfCodes(Nation):
		return PurposeCode, Nation, true
	}
	return "", "", false
}

// errChanged says that a file holds another key than the one of its name that is in use.
var errChanged = errors.New("keys: a key file holds another key than before under the same name")

// Held lists the epochs held of each key that is rotated, ascending.
func (k *Keys) Held() map[string][]int32 {
	held := k.held.Load()
	all := map[string][]int32{NameLink: slices.Clone(held.linkEpochs), NameSeal: slices.Sorted(maps.Keys(held.openers))}
	for id := range held.codes {
		name := NameOfCodes(id.domain)
		all[name] = append(all[name], id.epoch)
		slices.Sort(all[name])
	}
	return all
}

// InUse is the epoch in use of each key that is rotated, but for the link index, of which the
// vault's own row decides.
func (k *Keys) InUse() map[string]int32 {
	held := k.held.Load()
	used := map[string]int32{NameSeal: held.opener.epoch}
	for d, epoch := range held.current {
		used[NameOfCodes(d)] = epoch
	}
	return used
}

// Reload reads the folder again: keys that came are held from now on, and not in use; keys that
// went are not held any more, unless they are in use, which is refused like every other fault.
// Nothing changes then. check is given the fingerprints before anything is held: the database may know
// another key under a name. It returns the names of what came.
func (k *Keys) Reload(dir string, check func(map[string][32]byte) error) (came []string, err error) {
	k.changing.Lock()
	defer k.changing.Unlock()
	set, err := readKeys(dir, k.environment)
	if err != nil {
		return nil, err
	}
	before, known := k.held.Load(), map[string]bool{}
	old := before.fingerprints()
	prints := set.fingerprints()
	for name, sum := range prints {
		if was, ok := old[name]; ok && !bytes.Equal(was[:], sum[:]) {
			return nil, errChanged
		}
		if _, ok := old[name]; !ok {
			came = append(came, name)
		}
		known[name] = true
	}
	for name, epoch := range k.InUse() {
		if !known[EpochName(name, epoch)] {
			return nil, keyError(dir, "lacks a key that is in use: "+EpochName(name, epoch))
		}
	}
	if err := check(prints); err != nil {
		return nil, err
	}
	set.current, set.opener = before.current, before.opener
	k.held.Store(set)
	slices.Sort(came)
	return came, nil
}

// Use says which epochs are in use from now on: of the codes of a domain, and of the opener's pair.
// What inUse does not name stays as it is. ErrUnknownEpoch, and no change, if one is not held.
func (k *Keys) Use(inUse map[string]int32) error {
	k.changing.Lock()
	defer k.changing.Unlock()
	set := *k.held.Load()
	set.current = maps.Clone(set.current)
	for name, epoch := range inUse {
		p, d, _ := purposeOf(name)
		switch p {
		case PurposeCode:
			if _, ok := set.codes[codeKey{d, epoch}]; !ok {
				return ErrUnknownEpoch
			}
			set.current[d] = epoch
		case PurposeSeal:
			public, ok := set.openers[epoch]
			if !ok {
				return ErrUnknownEpoch
			}
			set.opener = public
		case PurposeLink, PurposeLocal, PurposeContent:
		}
	}
	k.held.Store(&set)
	return nil
}

// AddNamed is AddEpoch by a key's name.
func AddNamed(dir string, env hub.Environment, name string, now time.Time) (int32, error) {
	p, d, ok := purposeOf(name)
	if !ok {
		return 0, keyError(dir, "has no key of that name that is rotated")
	}
	return AddEpoch(dir, env, p, d, now)
}

// DestroyFile removes the file of an epoch from a folder of keys, and what the opener has of it, and
// makes that durable. One that is not there is destroyed already.
func DestroyFile(dir, name string, epoch int32) error {
	p, d, ok := purposeOf(name)
	if !ok {
		return keyError(dir, "has no key of that name that is rotated")
	}
	file := keyID{purpose: p, domain: d, epoch: epoch}.name()
	for _, folder := range []string{filepath.Join(dir, openerFolder), dir} {
		path := filepath.Join(folder, file)
		if !exists(path) {
			continue
		}
		if err := os.Remove(path); err != nil {
			return err
		}
		if err := syncDir(folder); err != nil {
			return err
		}
	}
	return nil
}
