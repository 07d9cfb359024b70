package pseudonym

import (
	"crypto/hpke"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/sinbahub/sinbahub/internal/hub"
)

// ErrNoKeys is returned by LoadKeys when the folder does not exist or holds no key file at all,
// so that a first start can be told from a damaged set.
var ErrNoKeys = errors.New("keys: none in this folder")

// Purpose is what a key is for. Two purposes never share a key.
type Purpose string

// The purposes of key files.
const (
	// PurposeLink indexes identities.
	PurposeLink Purpose = "link"
	// PurposeLocal indexes an ente's own ids of cases.
	PurposeLocal Purpose = "local"
	// PurposeContent compares repeated messages.
	PurposeContent Purpose = "content"
	// PurposeCode makes the codes and re-keyed ids of one domain.
	PurposeCode Purpose = "code"
	// PurposeSeal is the opener's public key.
	PurposeSeal Purpose = "seal"
)

// mostLinkKeys is how many keys of the link index there are at once: one in use, one on its way in
// or out.
const mostLinkKeys = 2

// Keys are the keys that serve holds: they index, compare and make codes, and seal for the
// opener. None of them opens anything. Which epoch is in use may change while they are used
// (Reload, Use). Safe for concurrent use; prints as a placeholder.
type Keys struct {
	environment hub.Environment
	held        atomic.Pointer[keySet]
	// changing is held by whoever replaces what is held.
	changing sync.Mutex
}

// keySet is what is held at a moment. It never changes.
type keySet struct {
	link       map[int32]macKey
	linkEpochs []int32
	localEpoch int32
	local      macKey
	cursor     macKey
	salt       macKey
	content    macKey
	codes      map[codeKey]macKey
	current    map[Domain]int32
	openers    map[int32]openerPublic
	opener     openerPublic
}

// codeKey names one key of codes.
type codeKey struct {
	domain Domain
	epoch  int32
}

// openerPublic is a public key of the opener and its epoch.
type openerPublic struct {
	key   hpke.PublicKey
	epoch int32
}

// LoadKeys reads the keys of one environment from a folder that InitKeys made. It refuses the
// folder when anybody else may write in it; a file that group or others may read, that another
// user owns, whose content says another environment, purpose, domain or epoch than it is asked
// for, or that it does not know; a missing key; several epochs of a key that is not rotated (local,
// content); and more than two of the link index. Of each purpose the highest epoch is in use until
// Use says otherwise. It never looks into opener/.
func LoadKeys(dir string, env hub.Environment) (*Keys, error) {
	set, err := readKeys(dir, env)
	if err != nil {
		return nil, err
	}
	k := &Keys{environment: env}
	k.held.Store(set)
	return k, nil
}

// readKeys reads what a folder holds.
func readKeys(dir string, env hub.Environment) (*keySet, error) {
	if !validEnvironment(env) {
		return nil, errEnvironment
	}
	names, err := keyFiles(dir)
	if err != nil {
		return nil, err
	}
	k := &keySet{link: map[int32]macKey{}, codes: map[codeKey]macKey{}, current: map[Domain]int32{}, openers: map[int32]openerPublic{}}
	for _, name := range names {
		if err := k.load(dir, name, env); err != nil {
			return nil, err
		}
	}
	if err := k.complete(dir); err != nil {
		return nil, err
	}
	k.linkEpochs = slices.Sorted(maps.Keys(k.link))
	k.cursor, k.salt = cursorKey(k.local), saltKey(k.local)
	return k, nil
}

// Environment is the one these keys belong to.
func (k *Keys) Environment() hub.Environment { return k.environment }

// fingerprintText is what a fingerprint is the HMAC of.
const fingerprintText = "sinbahub/fingerprint/v1"

// Fingerprints tells each key apart from any other without saying anything about it, so that a
// database can remember with which keys it was written. The opener's public keys stand as their
// SHA-256.
func (k *Keys) Fingerprints() map[string][32]byte { return k.held.Load().fingerprints() }

func (k *keySet) fingerprints() map[string][32]byte {
	all := map[string][32]byte{
		fmt.Sprintf("%s-%d", PurposeLocal, k.localEpoch): k.local.sum([]byte(fingerprintText)),
		string(PurposeContent):                           k.content.sum([]byte(fingerprintText)),
	}
	for epoch, key := range k.link {
		all[EpochName(NameLink, epoch)] = key.sum([]byte(fingerprintText))
	}
	for epoch, key := range k.openers {
		all[EpochName(NameSeal, epoch)] = sha256.Sum256(key.key.Bytes())
	}
	for id, key := range k.codes {
		all[EpochName(NameOfCodes(id.domain), id.epoch)] = key.sum([]byte(fingerprintText))
	}
	return all
}

// Format prints a placeholder for every verb and flag.
func (*Keys) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText gives a placeholder, which also covers JSON.
func (*Keys) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// keyFiles lists the names of the key files in a folder that only its owner may change.
func keyFiles(dir string) ([]string, error) {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoKeys
	}
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, keyError(dir, "is not a folder")
	}
	if info.Mode().Perm()&0o022 != 0 {
		return nil, keyError(dir, "can be changed by group or others")
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), keySuffix) {
			names = append(names, e.Name())
		}
	}
	if len(names) == 0 {
		return nil, ErrNoKeys
	}
	return names, nil
}

// load takes one key file in.
func (k *keySet) load(dir, name string, env hub.Environment) error {
	path := filepath.Join(dir, name)
	id, ok := parseKeyName(name)
	if !ok {
		return keyError(path, "is not the name of a key file")
	}
	id.environment = env
	file, err := readKeyFile(path, id)
	if err != nil {
		return err
	}
	if id.purpose == PurposeSeal {
		return k.loadOpener(path, id, file)
	}
	key, err := file.mac(path)
	if err != nil {
		return err
	}
	switch id.purpose {
	case PurposeLink:
		if len(k.link) == mostLinkKeys {
			return keyError(path, "is a third key of the link index: destroy one first")
		}
		k.link[id.epoch] = key
	case PurposeLocal:
		if k.local.hashes != nil {
			return keyError(path, "is a second epoch of a key that is not rotated")
		}
		k.local, k.localEpoch = key, id.epoch
	case PurposeContent:
		if k.content.hashes != nil {
			return keyError(path, "is a second epoch of a key that is not rotated")
		}
		k.content = key
	case PurposeCode:
		k.codes[codeKey{id.domain, id.epoch}] = key
		k.current[id.domain] = max(k.current[id.domain], id.epoch)
	case PurposeSeal:
	}
	return nil
}

// loadOpener keeps a public key of the opener.
func (k *keySet) loadOpener(path string, id keyID, file *keyFile) error {
	public, err := file.public(path)
	if err != nil {
		return err
	}
	k.openers[id.epoch] = openerPublic{public, id.epoch}
	if id.epoch > k.opener.epoch {
		k.opener = k.openers[id.epoch]
	}
	return nil
}

// complete tells which key is missing.
func (k *keySet) complete(dir string) error {
	missing := func(p Purpose) error { return keyError(dir, "has no key for "+string(p)) }
	switch {
	case len(k.link) == 0:
		return missing(PurposeLink)
	case k.local.hashes == nil:
		return missing(PurposeLocal)
	case k.content.hashes == nil:
		return missing(PurposeContent)
	}
	for _, d := range domains() {
		if k.current[d] == 0 {
			return keyError(dir, "has no key for the codes of "+string(d))
		}
	}
	if k.opener.epoch == 0 {
		return keyError(dir, "has no public key of the opener")
	}
	return nil
}

// Epochs lists a domain's loaded epochs, ascending.
func (k *Keys) Epochs(d Domain) []int32 {
	var epochs []int32
	for key := range k.held.Load().codes {
		if key.domain == d {
			epochs = append(epochs, key.epoch)
		}
	}
	slices.Sort(epochs)
	return epochs
}
