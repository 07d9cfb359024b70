package ticket_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/ticket"
)

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func must[T any](tb testing.TB) func(T, error) T {
	tb.Helper()
	return func(v T, err error) T {
		if err != nil {
			tb.Fatal(err)
		}
		return v
	}
}

// sshKey is an unencrypted OpenSSH private key and its public line, of a test's own; made by
// `ssh-keygen -t ed25519 -C prova` with an empty passphrase.
const (
	sshPrivate = `-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW
QyNTUxOQAAACBiSMYszmiI14zacFExTMbpzyhjfuHdctwNx9nimrI11gAAAIheZ4FEXmeB
RAAAAAtzc2gtZWQyNTUxOQAAACBiSMYszmiI14zacFExTMbpzyhjfuHdctwNx9nimrI11g
AAAED36u5kUYxYGqojAxu45MT6fjynLtajtJP09suZOfFJ9mJIxizOaIjXjNpwUTFMxunP
KGN+4d1y3A3H2eKasjXWAAAABXByb3Zh
-----END OPENSSH PRIVATE KEY-----
`
	sshPublic      = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJIxizOaIjXjNpwUTFMxunPKGN+4d1y3A3H2eKasjXW prova"
	sshFingerprint = "SHA256:dfcjDG/0kJ98FOlTcOLw8iXRVVESttmzVjGscWveWIs"
)

// The forms of keys that people have are read, and give the fingerprint that their own tool shows.
func TestKeysOfOpenSSHAndOpenSSL(t *testing.T) {
	t.Parallel()
	public := must[ed25519.PublicKey](t)(ticket.ParsePublic([]byte(sshPublic + "\n")))
	private := must[ed25519.PrivateKey](t)(ticket.ParsePrivate([]byte(sshPrivate)))
	if !public.Equal(private.Public()) || ticket.Fingerprint(public) != sshFingerprint {
		t.Errorf("%s", ticket.Fingerprint(public))
	}
	spki := must[[]byte](t)(x509.MarshalPKIXPublicKey(public))
	pkcs8 := must[[]byte](t)(x509.MarshalPKCS8PrivateKey(private))
	if got := must[ed25519.PublicKey](t)(ticket.ParsePublic(pemOf("PUBLIC KEY", spki))); !got.Equal(public) {
		t.Error("another key from PEM")
	}
	if got := must[ed25519.PrivateKey](t)(ticket.ParsePrivate(pemOf("PRIVATE KEY", pkcs8))); !got.Equal(private) {
		t.Error("another private key from PEM")
	}
	if got := must[ed25519.PublicKey](t)(ticket.ParsePublic([]byte(ticket.Line(public)))); !got.Equal(public) {
		t.Error("another key from its own line")
	}
}

// What is no such key is told as what it is, and never quoted.
func TestOtherKeysAreRefused(t *testing.T) {
	t.Parallel()
	curve := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	pkcs8 := must[[]byte](t)(x509.MarshalPKCS8PrivateKey(anna().private))
	spki := pemOf("PUBLIC KEY", must[[]byte](t)(x509.MarshalPKIXPublicKey(anna().Key)))
	for name, test := range map[string]struct {
		file []byte
		want error
	}{
		"nothing":            {nil, ticket.ErrKey},
		"text":               {[]byte("anna's key"), ticket.ErrKey},
		"a private key":      {pemOf("PRIVATE KEY", pkcs8), ticket.ErrPrivate},
		"an OpenSSH private": {[]byte(sshPrivate), ticket.ErrPrivate},
		"a curve's":          {pemOf("PUBLIC KEY", must[[]byte](t)(x509.MarshalPKIXPublicKey(&curve.PublicKey))), ticket.ErrKeyKind},
		"an RSA line":        {[]byte("ssh-rsa AAAAB3NzaC1yc2E= x"), ticket.ErrKeyKind},
		"a security key":     {[]byte("sk-ssh-ed25519@openssh.com AAAA x"), ticket.ErrKeyKind},
		"a certificate":      {pemOf("CERTIFICATE", pkcs8), ticket.ErrKey},
		"two keys":           {append(bytes.Clone(spki), spki...), ticket.ErrSeveral},
		"two lines":          {[]byte(sshPublic + "\n" + sshPublic), ticket.ErrSeveral},
		"cut off":            {[]byte(sshPublic[:40]), ticket.ErrKey},
		"damaged PEM":        {pemOf("PUBLIC KEY", []byte("x")), ticket.ErrKey},
	} {
		if key, err := ticket.ParsePublic(test.file); !errors.Is(err, test.want) || key != nil {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	for name, test := range map[string]struct {
		file []byte
		want error
	}{
		"nothing":       {nil, ticket.ErrKey},
		"a public key":  {spki, ticket.ErrPublic},
		"a public line": {[]byte(sshPublic), ticket.ErrPublic},
		"a curve's":     {pemOf("PRIVATE KEY", must[[]byte](t)(x509.MarshalPKCS8PrivateKey(curve))), ticket.ErrKeyKind},
		"protected":     {pemOf("ENCRYPTED PRIVATE KEY", pkcs8), ticket.ErrEncrypted},
		"damaged":       {pemOf("PRIVATE KEY", []byte("x")), ticket.ErrKey},
		"damaged ssh":   {pemOf("OPENSSH PRIVATE KEY", []byte("openssh-key-v1\x00\x00\x00\x00\xff")), ticket.ErrKey},
	} {
		if key, err := ticket.ParsePrivate(test.file); !errors.Is(err, test.want) || key != nil {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}

// A key under which a signature needs no private key is nobody's.
func TestWeakKeysAreRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"0100000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000080",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	} {
		key, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ticket.ParsePublic([]byte(ticket.Line(key))); !errors.Is(err, ticket.ErrWeak) {
			t.Errorf("%s: %v", text, err)
		}
	}
	// Under the identity, R = identity and S = 0 sign everything: the reason for the list, and for looking
	// again at the use.
	identity := make([]byte, ed25519.PublicKeySize)
	identity[0] = 1
	forged := slices.Concat(identity, make([]byte, 32))
	if !ed25519.Verify(identity, []byte("anything"), forged) {
		t.Fatal("the forgery is none: this test proves nothing")
	}
	weak := bruno().Person
	weak.Key = identity
	s := signedAs(t, signed(t, fresh(), anna()), "bruno", bruno())
	named := ticket.Signature{Name: "bruno", ID: noteID(t, "bruno", identity)}
	copy(named.Bytes[:], forged)
	s.Signatures[1] = named
	if err := s.Verify(origin, hub.Prod, []ticket.Person{anna().Person, weak}); !errors.Is(err, ticket.ErrApproval) {
		t.Errorf("a forged signature: %v", err)
	}
}

// With no tool of ours but the text: openssl signs, and the line is put below it.
func TestOpenSSLSigns(t *testing.T) {
	t.Parallel()
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Fatal("openssl is part of the build machine (deploy/deps.sh)")
	}
	dir := t.TempDir()
	write := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key := write("key", pemOf("PRIVATE KEY", must[[]byte](t)(x509.MarshalPKCS8PrivateKey(bruno().private))))
	half := signed(t, fresh(), anna())
	text := write("text", []byte(half.Text()))
	cmd := exec.CommandContext(t.Context(), openssl, "pkeyutl", "-sign", "-rawin", "-inkey", key, "-in", text)
	signature, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	id := noteID(t, "bruno", bruno().Key)
	line := "\u2014 bruno " + base64.StdEncoding.EncodeToString(append(id[:], signature...)) + "\n"
	whole, err := ticket.Parse(append(half.Bytes(), line...))
	if err != nil {
		t.Fatal(err)
	}
	if err := whole.Verify(origin, hub.Prod, registered()); err != nil {
		t.Error(err)
	}
}

// noteID is the id of a key as C2SP signed-note has it, taken from what Sign writes.
func noteID(tb testing.TB, name string, key ed25519.PublicKey) (id [4]byte) {
	tb.Helper()
	text := must[string](tb)(note.NewEd25519VerifierKey(name, key))
	parts := strings.SplitN(text, "+", 3)
	copy(id[:], must[[]byte](tb)(hex.DecodeString(parts[1])))
	return id
}
