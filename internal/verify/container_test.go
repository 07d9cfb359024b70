package verify_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"testing"

	"github.com/sinbahub/sinbahub/internal/verify"
)

// small is a hub and a bundle of it with everything in it and few bytes.
func small(tb testing.TB) (h *hub, file []byte) {
	tb.Helper()
	h = newHub(tb, 3)
	a := h.accept(1, 10)
	h.checkpoint(tb)
	h.attempt(a, "delivered")
	h.accept(1, 10)
	h.checkpoint(tb)
	return h, h.export(tb, 0).pack(tb)
}

// No byte is free: whichever changes, in a member or in the container around it, the bundle is not good.
func TestBundleWithAnyByteChangedIsNotGood(t *testing.T) {
	t.Parallel()
	_, file := small(t)
	if r := inspect(file, verify.BundleOptions{}); r.Verdict != verify.Good {
		t.Fatal(show(r))
	}
	// Of the manifest's signature, which nothing else covers, every bit.
	signature := bytes.LastIndex(file, []byte("\n\n— "))
	end := signature + bytes.Index(file[signature:], []byte("PK"))
	verdicts := map[verify.Code]int{}
	for i := range file {
		flips := []byte{1 << (i % 8)}
		if i > signature && i < end {
			flips = []byte{1, 2, 4, 8, 16, 32, 64, 128}
		}
		for _, flip := range flips {
			file[i] ^= flip
			r := inspect(file, verify.BundleOptions{})
			file[i] ^= flip
			if verdicts[r.Verdict]++; r.Verdict == verify.Good {
				t.Errorf("byte %d of %d changed by %#x: good", i, len(file), flip)
			}
		}
	}
	t.Logf("%d bytes: %v", len(file), verdicts)
}

func TestBundleCutOrLongerIsNotGood(t *testing.T) {
	t.Parallel()
	_, file := small(t)
	for n := range file {
		if r := inspect(file[:n], verify.BundleOptions{}); r.Verdict == verify.Good {
			t.Errorf("cut to %d bytes: good", n)
		}
	}
	for name, more := range map[string][]byte{
		"a byte behind it": append(bytes.Clone(file), 0),
		"a byte before it": append([]byte{0}, file...),
		"twice":            append(bytes.Clone(file), file...),
	} {
		if r := inspect(more, verify.BundleOptions{}); r.Verdict == verify.Good {
			t.Errorf("%s: good", name)
		}
	}
}

// The container is written anew without archive/zip, so that it stays what it is: here both write the same,
// up to where 32 and 16 bits do not do.
func TestContainerIsThatOfArchiveZip(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		members int
		offset  int64 // of the first member
	}{
		{"one", 1, 0},
		{"several", 40, 0},
		{"as many as 16 bits have, less one", 65534, 0},
		{"as many as 16 bits have", 65535, 0},
		{"more than 16 bits have", 65540, 0},
		{"members on both sides of 32 bits", 40, 1<<32 - 900},
		{"members behind 32 bits", 3, 1 << 32},
	} {
		var want bytes.Buffer
		z := zip.NewWriter(&want)
		z.SetOffset(c.offset)
		var members []verify.Member
		for i := range c.members {
			name := fmt.Sprintf("m/%06d", i)
			content := []byte(name)[:i%8]
			w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store, ModifiedDate: 1<<5 | 1}) //nolint:staticcheck // Modified brings an extra field
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(content); err != nil {
				t.Fatal(err)
			}
			members = append(members, verify.Member{Name: name, Content: content})
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		if got := verify.Container(members, c.offset); !bytes.Equal(got, want.Bytes()) {
			t.Errorf("%s: %d bytes, want %d", c.name, len(got), want.Len())
		}
	}
}
