package pseudonym_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/s2"

	"github.com/sinbahub/sinbahub/internal/hub"
)

// hexBytes is a hexadecimal string in JSON.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

// wycheproof is the part of the vector files that is used here.
type wycheproof struct {
	TestGroups []struct {
		KeySize int `json:"keySize"`
		TagSize int `json:"tagSize"`
		IVSize  int `json:"ivSize"`
		Tests   []struct {
			TCID    int      `json:"tcId"`
			Key     hexBytes `json:"key"`
			Msg     hexBytes `json:"msg"`
			Tag     hexBytes `json:"tag"`
			IV      hexBytes `json:"iv"`
			AAD     hexBytes `json:"aad"`
			CT      hexBytes `json:"ct"`
			IKM     hexBytes `json:"ikm"`
			Salt    hexBytes `json:"salt"`
			Info    hexBytes `json:"info"`
			Size    int      `json:"size"`
			OKM     hexBytes `json:"okm"`
			Result  string   `json:"result"`
			Comment string   `json:"comment"`
		} `json:"tests"`
	} `json:"testGroups"`
}

func readVectors(t *testing.T, name string) (v wycheproof) {
	t.Helper()
	if err := json.Unmarshal(corpus(t, "12-crypto-vectors/wycheproof/"+name), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestContentMACMatchesWycheproof puts each vector's key into a key file, so that the whole way
// from the file to the MAC is under test.
func TestContentMACMatchesWycheproof(t *testing.T) {
	t.Parallel()
	vectors := readVectors(t, "hmac_sha256_test.json")
	checked := 0
	for _, g := range vectors.TestGroups {
		if g.KeySize != 256 || g.TagSize != 256 {
			continue // only keys of 32 bytes and whole MACs are used
		}
		for _, v := range g.Tests {
			dir := keyDir(t, hub.Prod)
			// The serialised HmacPrfKey of Tink: parameters (hash SHA-256), then the key.
			proto := append([]byte{0x12, 0x02, 0x08, 0x03, 0x1a, 0x20}, v.Key...)
			edit(t, filepath.Join(dir, "content-1.json"), func(f map[string]any) {
				data := f["keyset"].(map[string]any)["key"].([]any)[0].(map[string]any)["keyData"].(map[string]any)
				data["value"] = base64.StdEncoding.EncodeToString(proto)
			})
			got := loadKeys(t, dir, hub.Prod).ContentMAC(v.Msg)
			if bytes.Equal(got[:], v.Tag) != (v.Result == "valid") {
				t.Errorf("vector %d (%s) is not %s", v.TCID, v.Comment, v.Result)
			}
			checked++
		}
	}
	if checked != 81 {
		t.Errorf("%d vectors checked, want 81", checked)
	}
}

// TestHKDFMatchesWycheproof checks the primitive that openByHand, the envelope's second
// implementation, relies on.
func TestHKDFMatchesWycheproof(t *testing.T) {
	t.Parallel()
	checked := 0
	for _, g := range readVectors(t, "hkdf_sha256_test.json").TestGroups {
		for _, v := range g.Tests {
			okm, err := hkdf.Key(sha256.New, v.IKM, v.Salt, string(v.Info), v.Size)
			if (err == nil && bytes.Equal(okm, v.OKM)) != (v.Result != "invalid") {
				t.Errorf("vector %d (%s) is not %s", v.TCID, v.Comment, v.Result)
			}
			checked++
		}
	}
	if checked == 0 {
		t.Error("no vectors")
	}
}

// TestGCMMatchesWycheproof checks AES-256-GCM as it is used: nonces of 12 bytes, whole tags.
func TestGCMMatchesWycheproof(t *testing.T) {
	t.Parallel()
	checked := 0
	for _, g := range readVectors(t, "aes_gcm_test.json").TestGroups {
		if g.KeySize != 256 || g.IVSize != 96 || g.TagSize != 128 {
			continue
		}
		for _, v := range g.Tests {
			block, err := aes.NewCipher(v.Key)
			if err != nil {
				t.Fatal(err)
			}
			aead, err := cipher.NewGCMWithRandomNonce(block)
			if err != nil {
				t.Fatal(err)
			}
			whole := bytes.Join([][]byte{v.IV, v.CT, v.Tag}, nil)
			plain, err := aead.Open(nil, nil, whole, v.AAD)
			if (err == nil && bytes.Equal(plain, v.Msg)) != (v.Result == "valid") {
				t.Errorf("vector %d (%s) is not %s", v.TCID, v.Comment, v.Result)
			}
			checked++
		}
	}
	if checked != 66 {
		t.Errorf("%d vectors checked, want 66", checked)
	}
}

// dictionary is the one of packing 1.
func dictionary(t *testing.T) *s2.Dict {
	t.Helper()
	text, err := os.ReadFile("dictionary/1.txt")
	if err != nil {
		t.Fatal(err)
	}
	return s2.MakeDict(text, nil)
}

// TestDictionaryNeverChanges: what was packed with it could not be opened any more.
func TestDictionaryNeverChanges(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("dictionary/1.txt")
	if err != nil {
		t.Fatal(err)
	}
	const want = "de05f0fddce0fbeea50654308e90d45c00003757dc09a80180242183384d0343"
	if got := fmt.Sprintf("%x", sha256.Sum256(text)); got != want {
		t.Errorf("dictionary/1.txt has the SHA-256 %s", got)
	}
}

// openByHand is a second implementation of envelope version 1, from its description and with
// the standard library alone. It gives the packing and the packed plaintext.
func openByHand(t *testing.T, epochKey, secret []byte, env byte, subject [16]byte, envelope []byte) (byte, []byte) {
	t.Helper()
	n := int(envelope[3])
	head, rest := envelope[:4+n+32], envelope[4+n+32:]
	message := head[4+n+16:]
	key, err := hkdf.Key(sha256.New, epochKey, append(bytes.Clone(secret), message...), "sinbahub/seal/v1/"+string(rune('0'+head[1])), 32)
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	aad := append(append(bytes.Clone(head), env), subject[:]...)
	plain, err := aead.Open(nil, rest[:12], rest[12:], aad)
	if err != nil {
		t.Fatal(err)
	}
	return head[2], plain
}
