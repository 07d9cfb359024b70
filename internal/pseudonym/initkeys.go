package pseudonym

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hpke"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/prf"

	"github.com/sinbahub/sinbahub/internal/hub"
)

// openerFolder holds the opener's private keys inside the folder of keys. In production its
// content moves to the opener's own user.
const openerFolder = "opener"

// InitKeys makes the first keys of an environment: a folder dir (0700) with a file (0600) for
// each purpose, and dir/opener (0700) with the opener's private key. All or nothing: the files
// are written and synced in a folder beside dir, which then takes its name. An existing dir is
// refused unless it is empty; nothing is ever overwritten.
func InitKeys(dir string, env hub.Environment, now time.Time) error {
	if !validEnvironment(env) {
		return errEnvironment
	}
	dir = filepath.Clean(dir)
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(entries) > 0 {
		return keyError(dir, "is not empty: keys are never overwritten")
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return err
	}
	work, err := os.MkdirTemp(filepath.Dir(dir), ".keys-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	if err := writeFirstKeys(work, env, now); err != nil {
		return err
	}
	// rename(2) replaces an empty folder and fails on any other; os.Rename refuses both.
	if err := syscall.Rename(work, dir); err != nil {
		return keyError(dir, "cannot be made: "+err.Error())
	}
	return syncDir(filepath.Dir(dir))
}

// writeFirstKeys fills a fresh folder with epoch 1 of everything.
func writeFirstKeys(dir string, env hub.Environment, now time.Time) error {
	if err := os.Mkdir(filepath.Join(dir, openerFolder), 0o700); err != nil {
		return err
	}
	ids := []keyID{{purpose: PurposeLink}, {purpose: PurposeLocal}, {purpose: PurposeContent}, {purpose: PurposeSeal}}
	for _, d := range domains() {
		ids = append(ids, keyID{purpose: PurposeCode, domain: d})
	}
	for _, id := range ids {
		id.environment, id.epoch = env, 1
		if err := writeKey(dir, id, now); err != nil {
			return err
		}
	}
	return nil
}

// AddEpoch makes the next key of a domain's codes (PurposeCode), or the opener's next key pair
// (PurposeSeal, no domain), beside the earlier ones in a folder with a complete set, and
// returns its epoch. A new private half stands in dir/opener and goes where the others went. A
// running process goes on with what it uses until the database says otherwise (Keys.Use). A new key
// of the link index (PurposeLink, no domain) stands in dir/opener too: the opener hashes the known
// identities anew. Local and content keys are not rotated: what they were made of is not kept.
func AddEpoch(dir string, env hub.Environment, p Purpose, d Domain, now time.Time) (int32, error) {
	id := keyID{environment: env, purpose: p, domain: d}
	if !id.known() || p == PurposeLocal || p == PurposeContent {
		return 0, keyError(dir, "can only get a new epoch of codes, of the link index or of the seal")
	}
	keys, err := LoadKeys(dir, env)
	if err != nil {
		return 0, err
	}
	held := keys.held.Load()
	switch p {
	case PurposeCode:
		id.epoch = slices.Max(keys.Epochs(d)) + 1
		return id.epoch, writeKey(dir, id, now)
	case PurposeLink:
		id.epoch = slices.Max(held.linkEpochs) + 1
		if len(held.linkEpochs) == mostLinkKeys {
			return 0, keyError(dir, "has two keys of the link index: destroy one first")
		}
	case PurposeSeal:
		id.epoch = slices.Max(slices.Collect(maps.Keys(held.openers))) + 1
	case PurposeLocal, PurposeContent:
	}
	private := filepath.Join(dir, openerFolder)
	if err := os.Mkdir(private, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return 0, err
	}
	// The opener's file without the other is left of an attempt that did not end: its number is
	// spent.
	for exists(filepath.Join(private, id.name())) {
		id.epoch++
	}
	return id.epoch, writeKey(dir, id, now)
}

// exists tells whether something has this name.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// writeKey makes one key and its file. Of the opener's pair the private half is durable first,
// so that nothing can be sealed that nobody opens.
func writeKey(dir string, id keyID, now time.Time) error {
	file := keyFile{
		Environment: id.environment.String(), Purpose: id.purpose, Domain: id.domain, Epoch: id.epoch,
		CreatedAt: now.UTC().Format(time.RFC3339),
	}
	if id.purpose != PurposeSeal {
		var err error
		if file.Keyset, err = newKeyset(); err != nil {
			return err
		}
		if id.purpose == PurposeLink && id.epoch > 1 {
			if err := writeKeyFile(filepath.Join(dir, openerFolder, id.name()), &file); err != nil {
				return err
			}
		}
		return writeKeyFile(filepath.Join(dir, id.name()), &file)
	}
	pair, err := hpke.DHKEM(ecdh.X25519()).GenerateKey()
	if err != nil {
		return err
	}
	file.Suite, file.Public = sealSuite, pair.PublicKey().Bytes()
	private := file
	if private.Private, err = pair.Bytes(); err != nil {
		return err
	}
	if err := writeKeyFile(filepath.Join(dir, openerFolder, id.name()), &private); err != nil {
		return err
	}
	return writeKeyFile(filepath.Join(dir, id.name()), &file)
}

// newKeyset is a Tink keyset with one new HMAC-SHA-256 PRF key, as Tink's JSON.
func newKeyset() ([]byte, error) {
	handle, err := keyset.NewHandle(prf.HMACSHA256PRFKeyTemplate())
	if err != nil {
		return nil, errors.New("keys: no keyset could be made")
	}
	var b bytes.Buffer
	if insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&b)) != nil {
		return nil, errors.New("keys: no keyset could be written")
	}
	return b.Bytes(), nil
}

// writeKeyFile makes a file of mode 0600 appear whole or not at all, and durably. The hard link
// fails if the name is taken, where a rename would replace it.
func writeKeyFile(path string, file *keyFile) error {
	text, err := json.MarshalIndent(file, "", "  ") //nolint:gosec // the file is where the key belongs
	if err != nil {
		return err
	}
	defer clear(text)
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes the names in a folder durable.
func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // the folder is the operator's
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
