//go:build e2e

package hubtest_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// TestE2EDeepSearchFindsEveryForm holds the search of the canaries against each form in which a mark may
// stand, alone, among other bytes and in a form of another, and against texts without any.
func TestE2EDeepSearchFindsEveryForm(t *testing.T) {
	t.Parallel()
	packer, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	each := func(format string) func(string) string {
		return func(text string) string {
			var out strings.Builder
			for _, r := range text {
				fmt.Fprintf(&out, format, r)
			}
			return out.String()
		}
	}
	forms := map[string]func(string) string{
		"plain": func(s string) string { return s }, "upper": strings.ToUpper, "lower": strings.ToLower,
		"hex": func(s string) string { return hex.EncodeToString([]byte(s)) }, "hex from a half": func(s string) string { return "a" + hex.EncodeToString([]byte(s)) },
		"URL": each("%%%02x"), "JSON": each(`\u%04x`), "Go": each(`\x%02x`), "XML": each("&#x%x;"), "XML decimal": each("&#%d;"), "UTF-16": each("%c\x00"),
		"s2": func(s string) string {
			return string(s2.Encode(nil, []byte(strings.Repeat("lorem ipsum ", 30)+hex.EncodeToString([]byte(s)))))
		},
		"zstd": func(s string) string { return string(packer.EncodeAll([]byte(strings.Repeat(s, 9)), nil)) },
		"gzip": func(s string) string {
			var out bytes.Buffer
			w := gzip.NewWriter(&out)
			_, _ = w.Write([]byte(strings.Repeat("lorem ipsum ", 30) + s))
			_ = w.Close()
			return out.String()
		},
	}
	for lead := range 3 {
		forms[fmt.Sprintf("base64 from %d", lead)] = func(s string) string { return base64.StdEncoding.EncodeToString([]byte("???"[:lead] + s)) }
		forms[fmt.Sprintf("base64url from %d", lead)] = func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte("???"[:lead] + s)) }
	}
	for name, form := range forms {
		for _, mark := range []string{"Zqxjvk", signNumber} {
			for around, text := range map[string]string{
				"alone": form(mark), "among others": "100% \\ & &#; %zz \\u12 " + form(mark) + " %4",
				"in base64": base64.StdEncoding.EncodeToString([]byte(form(mark))), "in hex": hex.EncodeToString([]byte(form(mark))),
			} {
				if name == "s2" && around == "among others" {
					continue // a block has no sign of where it begins
				}
				if len(findDeep("here", []byte(text))) == 0 {
					t.Errorf("%s, %s: %s not found in %.80q", name, around, mark, text)
				}
			}
		}
		if leaks := findDeep("here", []byte(form("lorem ipsum 86753094 zqxjv"))); len(leaks) > 0 {
			t.Errorf("%s: found %v where nothing is", name, leaks)
		}
	}
}
