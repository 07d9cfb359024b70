package ticket

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
)

// Why a file is not taken for a key. None quotes it.
var (
	ErrKey       = errors.New("this is no Ed25519 key: give one that `openssl genpkey -algorithm ed25519` or `ssh-keygen -t ed25519` makes")
	ErrKeyKind   = errors.New("this key is of another kind: only Ed25519 keys sign tickets (`openssl genpkey -algorithm ed25519`, `ssh-keygen -t ed25519`)")
	ErrPrivate   = errors.New("this is a private key, which its owner must not give away: give the public one (`openssl pkey -in FILE -pubout`, or the file that ends in .pub)")
	ErrPublic    = errors.New("this is a public key: signing needs the private one")
	ErrEncrypted = errors.New("this key is protected by a passphrase: say --key - and pipe it in (`openssl pkey -in FILE | …`; an OpenSSH key can be copied and `ssh-keygen -p -m PKCS8` run on the copy)")
	ErrSeveral   = errors.New("the file holds more than one key")
	ErrWeak      = errors.New("under this key anybody can sign anything: it is of small order")
)

// sshKind is the only kind of OpenSSH key that is taken (RFC 8709).
const sshKind = "ssh-ed25519"

// ParsePublic reads a public key: PEM with SubjectPublicKeyInfo (RFC 8410), or a line of OpenSSH.
func ParsePublic(file []byte) (ed25519.PublicKey, error) {
	file = bytes.TrimSpace(file)
	var key ed25519.PublicKey
	var err error
	if bytes.HasPrefix(file, []byte("-----BEGIN")) {
		key, err = pemPublic(file)
	} else {
		key, err = sshPublic(string(file))
	}
	if err == nil && weak(key) {
		return nil, ErrWeak
	}
	return key, err
}

func pemPublic(file []byte) (ed25519.PublicKey, error) {
	block, rest := pem.Decode(file)
	switch {
	case block == nil:
		return nil, ErrKey
	case len(bytes.TrimSpace(rest)) > 0:
		return nil, ErrSeveral
	case strings.HasSuffix(block.Type, "PRIVATE KEY"):
		clear(block.Bytes)
		return nil, ErrPrivate
	case block.Type != "PUBLIC KEY":
		return nil, ErrKey
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, ErrKey // never the parser's words
	}
	key, ok := parsed.(ed25519.PublicKey)
	if !ok {
		return nil, ErrKeyKind
	}
	return key, nil
}

func sshPublic(line string) (ed25519.PublicKey, error) {
	if strings.Contains(line, "\n") {
		return nil, ErrSeveral
	}
	words := strings.Fields(line)
	if len(words) < 2 || !strings.HasPrefix(words[0], "ssh-") && !strings.HasPrefix(words[0], "ecdsa-") && !strings.HasPrefix(words[0], "sk-") {
		return nil, ErrKey
	}
	if words[0] != sshKind {
		return nil, ErrKeyKind
	}
	blob, err := base64.StdEncoding.Strict().DecodeString(words[1])
	if err != nil {
		return nil, ErrKey
	}
	r := sshReader{rest: blob}
	kind, key := r.field(), r.field()
	if r.bad || len(r.rest) > 0 || string(kind) != sshKind || len(key) != ed25519.PublicKeySize {
		return nil, ErrKey
	}
	return ed25519.PublicKey(key), nil
}

// ParsePrivate reads a private key without a passphrase: PEM with PKCS #8 (RFC 8410), or OpenSSH's own form.
func ParsePrivate(file []byte) (ed25519.PrivateKey, error) {
	file = bytes.TrimSpace(file)
	if bytes.HasPrefix(file, []byte("ssh-")) {
		return nil, ErrPublic
	}
	block, rest := pem.Decode(file)
	if block == nil {
		return nil, ErrKey
	}
	defer clear(block.Bytes)
	if len(bytes.TrimSpace(rest)) > 0 {
		return nil, ErrSeveral
	}
	switch block.Type {
	case "PUBLIC KEY":
		return nil, ErrPublic
	case "ENCRYPTED PRIVATE KEY":
		return nil, ErrEncrypted
	case "OPENSSH PRIVATE KEY":
		return sshPrivate(block.Bytes)
	case "PRIVATE KEY":
	case "RSA PRIVATE KEY", "EC PRIVATE KEY":
		return nil, ErrKeyKind
	default:
		return nil, ErrKey
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, ErrKey
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, ErrKeyKind
	}
	return key, nil
}

// sshPrivate reads openssh-key-v1 (openssh-portable, PROTOCOL.key).
func sshPrivate(blob []byte) (ed25519.PrivateKey, error) {
	rest, ok := bytes.CutPrefix(blob, []byte("openssh-key-v1\x00"))
	if !ok {
		return nil, ErrKey
	}
	r := sshReader{rest: rest}
	cipher := r.field()
	_, _ = r.field(), r.field() // how a key comes from the passphrase
	many := r.number()
	_ = r.field()
	secret := sshReader{rest: r.field()}
	if r.bad || len(r.rest) > 0 {
		return nil, ErrKey
	}
	if string(cipher) != "none" {
		return nil, ErrEncrypted
	}
	if many != 1 {
		return nil, ErrSeveral
	}
	first, second := secret.number(), secret.number()
	kind := secret.field()
	if !secret.bad && string(kind) != sshKind {
		return nil, ErrKeyKind
	}
	public, private := secret.field(), secret.field()
	_ = secret.field()
	if secret.bad || first != second || len(private) != ed25519.PrivateKeySize {
		return nil, ErrKey
	}
	key := ed25519.NewKeyFromSeed(private[:ed25519.SeedSize])
	if !bytes.Equal(key[ed25519.SeedSize:], public) {
		return nil, ErrKey
	}
	return key, nil
}

// sshReader takes strings and numbers off the front (RFC 4251, section 5); after the first that does not
// fit, bad is set.
type sshReader struct {
	rest []byte
	bad  bool
}

func (r *sshReader) number() uint32 {
	if len(r.rest) < 4 {
		r.rest, r.bad = nil, true
		return 0
	}
	n := binary.BigEndian.Uint32(r.rest)
	r.rest = r.rest[4:]
	return n
}

func (r *sshReader) field() []byte {
	n := r.number()
	if int64(n) > int64(len(r.rest)) {
		r.rest, r.bad = nil, true
		return nil
	}
	f := r.rest[:n]
	r.rest = r.rest[n:]
	return f
}

// Line is a public key as a line of OpenSSH, which ParsePublic reads.
func Line(key ed25519.PublicKey) string {
	return sshKind + " " + base64.StdEncoding.EncodeToString(sshBlob(key))
}

func sshBlob(key ed25519.PublicKey) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(sshKind)))
	b = append(b, sshKind...)
	b = binary.BigEndian.AppendUint32(b, ed25519.PublicKeySize)
	return append(b, key...)
}

// Fingerprint is what people compare by telephone or on paper: what `ssh-keygen -l` shows of the key.
func Fingerprint(key ed25519.PublicKey) string {
	sum := sha256.Sum256(sshBlob(key))
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}

// weak tells whether a key is one of the points whose order is 8 or less, in any of their spellings, under
// which a signature can be made without a private key. The list is that of libsodium
// (ge25519_has_small_order), without the sign's bit.
func weak(key ed25519.PublicKey) bool {
	bare := slices.Clone(key)
	bare[len(bare)-1] &= 0x7f
	return slices.Contains([]string{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	}, hex.EncodeToString(bare))
}
