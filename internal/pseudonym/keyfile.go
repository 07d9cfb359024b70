package pseudonym

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hpke"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/insecuresecretdataaccess"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/prf/hmacprf"

	"github.com/sinbahub/sinbahub/internal/hub"
)

const (
	// keySuffix ends the name of every key file.
	keySuffix = ".json"
	// maxKeyFile bounds what is read of a file that should hold one key.
	maxKeyFile = 64 << 10
	// sealSuite names the algorithms of the opener's key pair (RFC 9180, section 7).
	sealSuite = "DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM"
)

// errEnvironment is a mistake of the caller.
var errEnvironment = errors.New("keys: environment is neither PROD nor TEST")

// keyError names a file or folder and what is wrong with it, and never what stands in it.
func keyError(path, reason string) error {
	return errors.New("keys: " + path + " " + reason)
}

// validEnvironment tells whether e is one of the contract's.
func validEnvironment(e hub.Environment) bool { return e == hub.Prod || e == hub.Test }

// domains lists those whose codes need a key.
func domains() []Domain { return []Domain{Region, Nation} }

// keyID is what a key is for. The file's name says purpose, domain and epoch; the file repeats
// them with the environment, so that a file copied to a wrong place is refused.
type keyID struct {
	environment hub.Environment
	purpose     Purpose
	domain      Domain
	epoch       int32
}

// name is the file's name: purpose[-domain]-epoch.json.
func (id keyID) name() string {
	parts := []string{string(id.purpose)}
	if id.domain != "" {
		parts = append(parts, string(id.domain))
	}
	return strings.Join(append(parts, strconv.Itoa(int(id.epoch))), "-") + keySuffix
}

// parseKeyName reads a file's name; ok is false unless name gives the same text again.
func parseKeyName(name string) (id keyID, ok bool) {
	parts := strings.Split(strings.TrimSuffix(name, keySuffix), "-")
	epoch, err := strconv.ParseInt(parts[len(parts)-1], 10, 32)
	if err != nil || epoch < 1 || len(parts) < 2 || len(parts) > 3 {
		return keyID{}, false
	}
	id = keyID{purpose: Purpose(parts[0]), epoch: int32(epoch)}
	if len(parts) == 3 {
		id.domain = Domain(parts[1])
	}
	return id, id.known() && id.name() == name
}

// known tells whether purpose and domain are ours.
func (id keyID) known() bool {
	switch id.purpose {
	case PurposeLink, PurposeLocal, PurposeContent, PurposeSeal:
		return id.domain == ""
	case PurposeCode:
		return id.domain == Region || id.domain == Nation
	}
	return false
}

// keyFile is the content of a key file: a Tink keyset with one HMAC-SHA-256 PRF key, or one
// half of the opener's key pair.
type keyFile struct {
	Environment string          `json:"environment"`
	Purpose     Purpose         `json:"purpose"`
	Domain      Domain          `json:"domain,omitempty"`
	Epoch       int32           `json:"epoch"`
	CreatedAt   string          `json:"created_at"`
	Suite       string          `json:"suite,omitempty"`
	Public      []byte          `json:"public_key,omitempty"`
	Private     []byte          `json:"private_key,omitempty"`
	Keyset      json.RawMessage `json:"keyset,omitempty"`
}

// readKeyFile reads a file that only its owner, this process's user, may read, and that says it
// is the key asked for. The checks are made on the opened file: a symbolic link to elsewhere is
// good, and nothing can be swapped in between.
func readKeyFile(path string, want keyID) (*keyFile, error) {
	f, err := os.Open(path) //nolint:gosec // the folder is the operator's
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	if err := checkOwnerOnly(f, path); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	if err != nil {
		return nil, err
	}
	defer clear(text)
	var file keyFile
	if jsonReader(text).Decode(&file) != nil {
		return nil, keyError(path, "is not a key file")
	}
	switch {
	case file.Environment != want.environment.String():
		return nil, keyError(path, "belongs to another environment than "+want.environment.String())
	case file.Purpose != want.purpose:
		return nil, keyError(path, "holds a key of another purpose than its name says")
	case file.Domain != want.domain:
		return nil, keyError(path, "holds a key of another domain than its name says")
	case file.Epoch != want.epoch:
		return nil, keyError(path, "holds a key of another epoch than its name says")
	}
	return &file, nil
}

// jsonReader reads documents of known fields only.
func jsonReader(text []byte) *json.Decoder {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	return dec
}

// checkOwnerOnly refuses what is no regular file of this process's user alone.
func checkOwnerOnly(f *os.File, path string) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return keyError(path, "is not a regular file")
	}
	if info.Mode().Perm()&0o077 != 0 {
		return keyError(path, "can be read by group or others: it must have mode 0600")
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); !ok || int(stat.Uid) != os.Geteuid() {
		return keyError(path, "belongs to another user than the one this program runs as")
	}
	return nil
}

// mac is the file's HMAC key. Exactly one: a PRF's output carries no key id, so a keyset with
// several would leave open which one made a code; rotation is a new file with the next epoch.
func (f *keyFile) mac(path string) (macKey, error) {
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(f.Keyset)))
	if err != nil || handle.Len() != 1 {
		return macKey{}, keyError(path, "does not hold a keyset with exactly one key")
	}
	entry, err := handle.Primary()
	if err != nil {
		return macKey{}, keyError(path, "does not hold an enabled key")
	}
	params, ok := entry.Key().Parameters().(*hmacprf.Parameters)
	if !ok || params.HashType() != hmacprf.SHA256 || params.KeySizeInBytes() != secretSize {
		return macKey{}, keyError(path, "does not hold an HMAC-SHA-256 key of 32 bytes")
	}
	key, ok := entry.Key().(*hmacprf.Key)
	if !ok {
		return macKey{}, keyError(path, "does not hold a usable key")
	}
	return newMACKey(key.KeyBytes().Data(insecuresecretdataaccess.Token{})), nil
}

// public is the file's public key of the opener.
func (f *keyFile) public(path string) (hpke.PublicKey, error) {
	if f.Suite != sealSuite || len(f.Private) != 0 {
		return nil, keyError(path, "does not hold a public key of the suite "+sealSuite)
	}
	key, err := hpke.DHKEM(ecdh.X25519()).NewPublicKey(f.Public)
	if err != nil {
		return nil, keyError(path, "does not hold an X25519 public key")
	}
	return key, nil
}

// private is the file's private key of the opener.
func (f *keyFile) private(path string) (hpke.PrivateKey, error) {
	if f.Suite != sealSuite {
		return nil, keyError(path, "does not hold a private key of the suite "+sealSuite)
	}
	key, err := hpke.DHKEM(ecdh.X25519()).NewPrivateKey(f.Private)
	if err != nil || !bytes.Equal(key.PublicKey().Bytes(), f.Public) {
		return nil, keyError(path, "does not hold an X25519 key pair")
	}
	return key, nil
}
