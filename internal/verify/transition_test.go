package verify_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/sinbahub/sinbahub/internal/verify"
)

// transition is the line by which two keys say that they are one journal's.
func transition(tb testing.TB, before, after string, by ...note.Signer) string {
	tb.Helper()
	text := strings.Join([]string{"sinbahub journal key transition v1", origin, before, after, "time 2026-03-01T08:00:00.000000Z", ""}, "\n")
	b, err := note.Sign(&note.Note{Text: text}, by...)
	if err != nil {
		tb.Fatal(err)
	}
	return "# transition " + base64.StdEncoding.EncodeToString(b) + "\n"
}

// TestBundleAcrossARotationIsGoodByEitherKey has a journal whose key was rotated twice. Whoever holds one of
// the three keys, from before or after, trusts the others by what two of them signed, and nobody else's.
func TestBundleAcrossARotationIsGoodByEitherKey(t *testing.T) {
	t.Parallel()
	h := newHub(t, 41)
	first, firstKey := h.signer, h.vkey
	second, secondKey := newKey(t, 42, origin)
	third, thirdKey := newKey(t, 43, origin)
	stranger, strangerKey := newKey(t, 44, origin)
	fill := func() { h.live(120).checkpoint(t) }
	fill()
	h.signer = second
	fill()
	h.signer = third
	fill()
	lines := transition(t, firstKey, secondKey, first, second) + transition(t, secondKey, thirdKey, second, third)
	good := func(name, keys, given string, want verify.Code) {
		t.Helper()
		b := h.export(t, 0)
		b.members["keys/journal.pub"] = []byte(keys)
		var options verify.BundleOptions
		if given != "" {
			options.Key = &verify.Document{Name: "key", Bytes: []byte(given + "\n")}
		}
		if r := inspect(b.pack(t), options); r.Verdict != want {
			t.Errorf("%s: %s", name, show(r))
		}
	}
	all := firstKey + "\n" + secondKey + "\n" + thirdKey + "\n" + lines
	good("no key given", all, "", verify.Good)
	for name, key := range map[string]string{"first": firstKey, "second": secondKey, "third": thirdKey} {
		good("only the "+name+" key given", all, key, verify.Good)
	}
	good("a stranger's key", all, strangerKey, verify.Tampered)
	good("without the transitions", firstKey+"\n"+secondKey+"\n"+thirdKey+"\n", firstKey, verify.Tampered)
	// A journal of the third key only, so that one forged line would be enough.
	h = newHub(t, 45)
	h.signer = third
	fill()
	for name, forged := range map[string]string{
		"signed by the new key only":         transition(t, strangerKey, thirdKey, third),
		"signed by the old key only":         transition(t, strangerKey, thirdKey, stranger),
		"signed by another than it names":    transition(t, strangerKey, thirdKey, stranger, second),
		"twice by one":                       transition(t, strangerKey, strangerKey, stranger),
		"of a key that only names the other": transition(t, firstKey, thirdKey, stranger, third),
	} {
		good("a transition "+name, all[:len(all)-len(lines)]+forged, strangerKey, verify.Tampered)
	}
	good("garbage", all+"# transition AAAA\n# transition !\n# transition \n", firstKey, verify.Good)
}
