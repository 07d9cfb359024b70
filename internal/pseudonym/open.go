package pseudonym

import (
	"crypto/hpke"
	"fmt"
	"io"
	"path/filepath"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
)

// OpenerKeys are the private keys of the opener, by epoch. Nothing that serves the network may
// hold them. They print as a placeholder.
type OpenerKeys struct {
	environment hub.Environment
	keys        map[int32]hpke.PrivateKey
	// link are the keys of the link index under which identities are indexed anew.
	link   map[int32]macKey
	packer *packer
}

// LoadOpenerKeys reads the opener's private keys of one environment, and the keys of the link
// index that identities are indexed anew under, from the folder that InitKeys called opener, with the same refusals as LoadKeys.
func LoadOpenerKeys(dir string, env hub.Environment) (*OpenerKeys, error) {
	if !validEnvironment(env) {
		return nil, errEnvironment
	}
	names, err := keyFiles(dir)
	if err != nil {
		return nil, err
	}
	o := newOpenerKeys(env)
	for _, name := range names {
		path := filepath.Join(dir, name)
		id, ok := parseKeyName(name)
		if !ok || id.purpose != PurposeSeal && id.purpose != PurposeLink {
			return nil, keyError(path, "is not the name of an opener's key file")
		}
		id.environment = env
		file, err := readKeyFile(path, id)
		if err != nil {
			return nil, err
		}
		if id.purpose == PurposeLink {
			o.link[id.epoch], err = file.mac(path)
		} else {
			o.keys[id.epoch], err = file.private(path)
		}
		if err != nil {
			return nil, err
		}
	}
	return o, nil
}

func newOpenerKeys(env hub.Environment) *OpenerKeys {
	return &OpenerKeys{environment: env, keys: map[int32]hpke.PrivateKey{}, link: map[int32]macKey{}, packer: newPacker()}
}

// Format prints a placeholder for every verb and flag.
func (*OpenerKeys) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText gives a placeholder, which also covers JSON.
func (*OpenerKeys) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// EpochKey is an opened epoch key. It prints as a placeholder.
type EpochKey struct {
	environment hub.Environment
	id          uuid.UUID
	key         *epochBytes
	packer      *packer
}

// EpochKey opens a stored epoch key. ErrUnknownEpoch if the opener has no key of that epoch,
// ErrSealed if it does not open.
func (o *OpenerKeys) EpochKey(sealed SealedEpochKey) (EpochKey, error) {
	private, ok := o.keys[sealed.Opener]
	if !ok {
		return EpochKey{}, ErrUnknownEpoch
	}
	info := epochKeyInfo(o.environment, sealed.Opener, sealed.ID)
	plain, err := hpke.Open(private, hpke.HKDFSHA256(), hpke.AES256GCM(), info, sealed.Bytes)
	if err != nil || len(plain) != epochSize {
		return EpochKey{}, ErrSealed
	}
	return EpochKey{environment: o.environment, id: sealed.ID, key: (*epochBytes)(plain), packer: o.packer}, nil
}

// Forget overwrites the key; nothing opens with it any more.
func (k EpochKey) Forget() {
	if k.key != nil {
		clear(k.key[:])
	}
}

// Format prints a placeholder for every verb and flag.
func (EpochKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText gives a placeholder, which also covers JSON.
func (EpochKey) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Open opens an envelope that was sealed for a subject. The label it returns was authenticated;
// compare it with what was asked for. Every failure is ErrSealed.
func (k EpochKey) Open(subject uuid.UUID, secret Secret, envelope []byte) (Label, []byte, error) {
	h, err := ParseHeader(envelope)
	if err != nil || h.Epoch != k.id || secret.IsZero() || k.key == nil {
		return Label{}, nil, ErrSealed
	}
	aead, err := messageCipher(newKeyDeriver(), k.key, secret, h.Label)
	if err != nil {
		return Label{}, nil, err
	}
	aad := additional(envelope[:h.size], k.environment, subject)
	plain, err := aead.Open(nil, nil, envelope[h.size:], aad)
	if err != nil {
		return Label{}, nil, ErrSealed
	}
	if plain, err = k.packer.unpack(h.packing, plain); err != nil {
		return Label{}, nil, err
	}
	return h.Label, plain, nil
}
