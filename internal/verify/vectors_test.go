package verify_test

import (
	"encoding/json"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sinbahub/sinbahub/internal/verify"
)

// vector is a proof of the public vectors for RFC 6962, of inclusion or of consistency.
type vector struct {
	LeafIdx  uint64 `json:"leafIdx"`
	TreeSize uint64 `json:"treeSize"`
	Root     []byte `json:"root"`
	LeafHash []byte `json:"leafHash"`

	Size1 uint64 `json:"size1"`
	Size2 uint64 `json:"size2"`
	Root1 []byte `json:"root1"`
	Root2 []byte `json:"root2"`

	Proof   [][]byte `json:"proof"`
	WantErr bool     `json:"wantErr"`
}

func TestProofsOfThePublicVectors(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("SINBAHUB_CORPORA")
	if dir == "" {
		t.Skip("SINBAHUB_CORPORA is not set: no public test vectors")
	}
	dir = filepath.Join(dir, "12-crypto-vectors", "merkle-rfc6962")
	good, bad := 0, 0
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".json" {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var v vector
		if err := json.Unmarshal(b, &v); err != nil {
			return err
		}
		ok := v.holds(strings.Contains(path, "inclusion"))
		if ok == v.WantErr {
			t.Errorf("%s: holds %t", strings.TrimPrefix(path, dir), ok)
		}
		if v.WantErr {
			bad++
		} else {
			good++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if good < 10 || bad < 150 {
		t.Errorf("only %d good and %d bad vectors were there", good, bad)
	}
}

// holds tells whether the verifier takes the proof. A hash longer than 32 bytes, or a number beyond
// 63 bits, never reaches its checks: it reads no other.
func (v *vector) holds(inclusion bool) bool {
	hash := func(b []byte) (h tlog.Hash, ok bool) {
		copy(h[:], b) // one vector has a short text for its roots, which only have to be equal
		return h, 0 < len(b) && len(b) <= len(h)
	}
	for _, n := range []uint64{v.LeafIdx, v.TreeSize, v.Size1, v.Size2} {
		if n > math.MaxInt64 {
			return false
		}
	}
	var proof []tlog.Hash
	for _, p := range v.Proof {
		h, ok := hash(p)
		if !ok {
			return false
		}
		proof = append(proof, h)
	}
	first, second := v.Root1, v.Root2
	if inclusion {
		first, second = v.LeafHash, v.Root
	}
	a, ok := hash(first)
	b, also := hash(second)
	if !ok || !also {
		return false
	}
	if inclusion {
		return verify.CheckInclusion(proof, int64(v.TreeSize), b, int64(v.LeafIdx), a) == nil
	}
	return verify.CheckConsistency(proof, int64(v.Size2), b, int64(v.Size1), a) == nil
}
