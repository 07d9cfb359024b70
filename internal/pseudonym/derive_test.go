package pseudonym_test

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"slices"
	"strconv"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/sinbahub/sinbahub/internal/pseudonym"
)

// A message's key is what crypto/hkdf gives, and nothing of it is left in the room of the next one.
func TestMessageKeysAreThoseOfHKDF(t *testing.T) {
	t.Parallel()
	draw := func(rt *rapid.T, name string, n int) []byte { return rapid.SliceOfN(rapid.Byte(), n, n).Draw(rt, name) }
	rapid.Check(t, func(rt *rapid.T) {
		epoch, secret := [64]byte(draw(rt, "epoch", 64)), [32]byte(draw(rt, "secret", 32))
		labels := make([]pseudonym.Label, 3)
		for i := range labels {
			labels[i] = pseudonym.Label{Kind: pseudonym.Kind(rapid.Uint8().Draw(rt, "kind")), Message: uuid.UUID(draw(rt, "message", 16))}
		}
		keys, left := pseudonym.MessageKeys(epoch, pseudonym.SecretOf(secret), labels...)
		for i, label := range labels {
			info := "sinbahub/seal/v1/" + strconv.Itoa(int(label.Kind))
			want, err := hkdf.Key(sha256.New, epoch[:], slices.Concat(secret[:], label.Message[:]), info, 32)
			if err != nil || !bytes.Equal(keys[i], want) {
				rt.Fatalf("key %d is another than that of HKDF: %v", i, err)
			}
		}
		if len(bytes.Trim(left, "\x00")) > 0 {
			rt.Fatal("something of a key is left")
		}
	})
}
