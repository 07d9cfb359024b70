package pseudonym_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
)

// made is when the keys of the tests were made.
var made = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// keyDir makes the first keys of an environment.
func keyDir(tb testing.TB, env hub.Environment) string {
	tb.Helper()
	dir := filepath.Join(tb.TempDir(), "keys")
	if err := pseudonym.InitKeys(dir, env, made); err != nil {
		tb.Fatal(err)
	}
	return dir
}

// loadKeys reads them.
func loadKeys(tb testing.TB, dir string, env hub.Environment) *pseudonym.Keys {
	tb.Helper()
	keys, err := pseudonym.LoadKeys(dir, env)
	if err != nil {
		tb.Fatal(err)
	}
	return keys
}

// newKeys makes and reads keys.
func newKeys(tb testing.TB, env hub.Environment) *pseudonym.Keys {
	tb.Helper()
	return loadKeys(tb, keyDir(tb, env), env)
}

// rawKey reads the 32 bytes of a key file's HMAC key without the package under test: they end
// the serialised HmacPrfKey of Tink.
func rawKey(tb testing.TB, path string) []byte {
	tb.Helper()
	var file struct {
		Keyset struct {
			Key []struct {
				KeyData struct {
					Value string `json:"value"`
				} `json:"keyData"`
			} `json:"key"`
		} `json:"keyset"`
	}
	text, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	if err := json.Unmarshal(text, &file); err != nil {
		tb.Fatal(err)
	}
	b, err := base64.StdEncoding.DecodeString(file.Keyset.Key[0].KeyData.Value)
	if err != nil {
		tb.Fatal(err)
	}
	return b[len(b)-32:]
}

func TestInitKeysMakesPrivateFilesForEveryPurpose(t *testing.T) {
	t.Parallel()
	dir := keyDir(t, hub.Prod)
	got := map[string]string{}
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		name, _ := filepath.Rel(dir, path)
		got[name] = info.Mode().String()
		return err
	})
	want := map[string]string{
		".": "drwx------", "opener": "drwx------", "opener/seal-1.json": "-rw-------",
		"link-1.json": "-rw-------", "local-1.json": "-rw-------", "content-1.json": "-rw-------",
		"code-region-1.json": "-rw-------", "code-nation-1.json": "-rw-------", "seal-1.json": "-rw-------",
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Fatal(err, diff)
	}
	siblings, _ := os.ReadDir(filepath.Dir(dir))
	if len(siblings) != 1 {
		t.Errorf("left behind beside the keys: %v", siblings)
	}
	seen := map[string]string{}
	for name := range want {
		if strings.HasSuffix(name, ".json") && !strings.Contains(name, "seal") {
			key := string(rawKey(t, filepath.Join(dir, name)))
			if other := seen[key]; other != "" {
				t.Errorf("%s and %s hold the same key", name, other)
			}
			seen[key] = name
		}
	}
	public, _ := os.ReadFile(filepath.Join(dir, "seal-1.json"))
	if bytes.Contains(public, []byte("private_key")) {
		t.Error("the public file holds a private key")
	}
}

func TestInitKeysNeverOverwrites(t *testing.T) {
	t.Parallel()
	dir := keyDir(t, hub.Prod)
	before := rawKey(t, filepath.Join(dir, "link-1.json"))
	if pseudonym.InitKeys(dir, hub.Prod, made) == nil {
		t.Error("existing keys were accepted")
	}
	other := t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "note"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if pseudonym.InitKeys(other, hub.Prod, made) == nil {
		t.Error("a folder with something in it was accepted")
	}
	empty := t.TempDir()
	if err := pseudonym.InitKeys(empty, hub.Test, made); err != nil {
		t.Errorf("an empty folder: %v", err)
	}
	if !bytes.Equal(before, rawKey(t, filepath.Join(dir, "link-1.json"))) {
		t.Error("the link key changed")
	}
}

func TestInitKeysRaceHasOneWinner(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "keys")
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for range 8 {
		wg.Go(func() {
			if pseudonym.InitKeys(dir, hub.Prod, made) == nil {
				mu.Lock()
				won++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if won != 1 {
		t.Errorf("%d callers made the keys", won)
	}
	loadKeys(t, dir, hub.Prod)
}

func TestLoadKeysTellsNoneFromDamaged(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{t.TempDir(), filepath.Join(t.TempDir(), "missing")} {
		if _, err := pseudonym.LoadKeys(dir, hub.Prod); !errors.Is(err, pseudonym.ErrNoKeys) {
			t.Errorf("%v", err)
		}
	}
}

// edit rewrites a key file's JSON.
func edit(t *testing.T, path string, change func(map[string]any)) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var file map[string]any
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	change(file)
	if text, err = json.Marshal(file); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestLoadKeysRefuses(t *testing.T) {
	t.Parallel()
	set := func(field string, value any) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			edit(t, filepath.Join(dir, "link-1.json"), func(f map[string]any) { f[field] = value })
		}
	}
	mode := func(name string, m os.FileMode) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			if err := os.Chmod(filepath.Join(dir, name), m); err != nil {
				t.Fatal(err)
			}
		}
	}
	remove := func(name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	move := func(from, to string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			if err := os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)); err != nil {
				t.Fatal(err)
			}
		}
	}
	copyFile := func(from, to string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			text, _ := os.ReadFile(filepath.Join(dir, from))
			if err := os.WriteFile(filepath.Join(dir, to), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	cases := map[string]struct {
		harm func(*testing.T, string)
		says string
	}{
		"file readable by group":    {mode("link-1.json", 0o640), "group or others"},
		"file readable by others":   {mode("local-1.json", 0o604), "group or others"},
		"file writable by others":   {mode("content-1.json", 0o602), "group or others"},
		"public key readable":       {mode("seal-1.json", 0o644), "group or others"},
		"folder writable by group":  {mode(".", 0o720), "group or others"},
		"folder writable by others": {mode(".", 0o702), "group or others"},
		"no link key":               {remove("link-1.json"), "no key for link"},
		"no local key":              {remove("local-1.json"), "no key for local"},
		"no content key":            {remove("content-1.json"), "no key for content"},
		"no region's codes":         {remove("code-region-1.json"), "codes of region"},
		"no nation's codes":         {remove("code-nation-1.json"), "codes of nation"},
		"no opener":                 {remove("seal-1.json"), "public key"},
		"other environment":         {set("environment", "TEST"), "another environment"},
		"other purpose":             {set("purpose", "local"), "another purpose"},
		"other domain":              {set("domain", "region"), "another domain"},
		"other epoch":               {set("epoch", 2), "another epoch"},
		"unknown field":             {set("note", "x"), "not a key file"},
		"no keyset":                 {set("keyset", nil), "exactly one key"},
		"empty keyset":              {set("keyset", map[string]any{"primaryKeyId": 1, "key": []any{}}), "exactly one key"},
		"swapped purposes":          {move("link-1.json", "local-2.json"), "another purpose"},
		"nation's key for region": {func(t *testing.T, dir string) {
			t.Helper()
			move("code-nation-1.json", "code-region-1.json")(t, dir)
		}, "another domain"},
		"renamed epoch":            {move("code-nation-1.json", "code-nation-7.json"), "another epoch"},
		"unknown file":             {copyFile("link-1.json", "links-1.json"), "not the name"},
		"epoch with leading zero":  {copyFile("code-nation-1.json", "code-nation-01.json"), "not the name"},
		"epoch zero":               {copyFile("code-nation-1.json", "code-nation-0.json"), "not the name"},
		"unknown domain":           {copyFile("code-nation-1.json", "code-moon-1.json"), "not the name"},
		"link with a domain":       {copyFile("link-1.json", "link-region-1.json"), "not the name"},
		"code without a domain":    {copyFile("link-1.json", "code-1.json"), "not the name"},
		"private key in its place": {copyFile("opener/seal-1.json", "seal-1.json"), "public key"},
		"folder in its place": {func(t *testing.T, dir string) {
			t.Helper()
			remove("link-1.json")(t, dir)
			if err := os.Mkdir(filepath.Join(dir, "link-1.json"), 0o700); err != nil {
				t.Fatal(err)
			}
		}, "regular file"},
		"two epochs of the local key": {func(t *testing.T, dir string) {
			t.Helper()
			copyFile("local-1.json", "local-2.json")(t, dir)
			edit(t, filepath.Join(dir, "local-2.json"), func(f map[string]any) { f["epoch"] = 2 })
		}, "second epoch"},
		"three epochs of the link key": {func(t *testing.T, dir string) {
			t.Helper()
			for _, epoch := range []int{2, 3} {
				name := fmt.Sprintf("link-%d.json", epoch)
				copyFile("link-1.json", name)(t, dir)
				edit(t, filepath.Join(dir, name), func(f map[string]any) { f["epoch"] = epoch })
			}
		}, "third key"},
		"two keys in a keyset": {func(t *testing.T, dir string) {
			t.Helper()
			edit(t, filepath.Join(dir, "link-1.json"), func(f map[string]any) {
				set := f["keyset"].(map[string]any)
				first := set["key"].([]any)[0].(map[string]any)
				second := maps.Clone(first)
				second["keyId"] = 12345
				set["key"] = []any{first, second}
			})
		}, "exactly one key"},
		"disabled key": {func(t *testing.T, dir string) {
			t.Helper()
			edit(t, filepath.Join(dir, "link-1.json"), func(f map[string]any) {
				f["keyset"].(map[string]any)["key"].([]any)[0].(map[string]any)["status"] = "DISABLED"
			})
		}, "does not hold"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := keyDir(t, hub.Prod)
			loadKeys(t, dir, hub.Prod)
			c.harm(t, dir)
			keys, err := pseudonym.LoadKeys(dir, hub.Prod)
			if err == nil || !strings.Contains(err.Error(), c.says) || keys != nil {
				t.Fatalf("%v, want %q", err, c.says)
			}
		})
	}
}

func TestLoadKeysRefusesForeignOwner(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	dir := keyDir(t, hub.Prod)
	if err := os.Chown(filepath.Join(dir, "link-1.json"), 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if _, err := pseudonym.LoadKeys(dir, hub.Prod); err == nil || !strings.Contains(err.Error(), "another user") {
		t.Fatal(err)
	}
}

func TestLoadKeysFollowsLinksToPrivateFiles(t *testing.T) {
	t.Parallel()
	dir, elsewhere := keyDir(t, hub.Prod), t.TempDir()
	target := filepath.Join(elsewhere, "k")
	if err := os.Rename(filepath.Join(dir, "link-1.json"), target); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, filepath.Join(dir, "link-1.json")); err != nil {
		t.Fatal(err)
	}
	loadKeys(t, dir, hub.Prod)
	if err := os.Chmod(target, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := pseudonym.LoadKeys(dir, hub.Prod); err == nil {
		t.Error("a link to a readable file was accepted")
	}
}

func TestLoadKeysWorksWithoutTheOpenersFolder(t *testing.T) {
	t.Parallel()
	dir := keyDir(t, hub.Prod)
	if err := os.RemoveAll(filepath.Join(dir, "opener")); err != nil {
		t.Fatal(err)
	}
	loadKeys(t, dir, hub.Prod)
}

func TestLoadOpenerKeysRefuses(t *testing.T) {
	t.Parallel()
	dir := keyDir(t, hub.Prod)
	opener := filepath.Join(dir, "opener")
	if _, err := pseudonym.LoadOpenerKeys(opener, hub.Prod); err != nil {
		t.Fatal(err)
	}
	if _, err := pseudonym.LoadOpenerKeys(opener, hub.Test); err == nil {
		t.Error("another environment's keys were accepted")
	}
	if _, err := pseudonym.LoadOpenerKeys(dir, hub.Prod); err == nil {
		t.Error("the folder of serve was accepted")
	}
	other := keyDir(t, hub.Prod)
	edit(t, filepath.Join(opener, "seal-1.json"), func(f map[string]any) {
		edit(t, filepath.Join(other, "seal-1.json"), func(g map[string]any) { f["public_key"] = g["public_key"] })
	})
	if _, err := pseudonym.LoadOpenerKeys(opener, hub.Prod); err == nil {
		t.Error("halves of two pairs were accepted")
	}
}

func TestAddEpochKeepsEarlierCodes(t *testing.T) {
	t.Parallel()
	dir := keyDir(t, hub.Prod)
	subject := uuid.New()
	before, err := loadKeys(t, dir, hub.Prod).Code(pseudonym.Nation, 1, subject)
	if err != nil {
		t.Fatal(err)
	}
	epoch, err := pseudonym.AddEpoch(dir, hub.Prod, pseudonym.PurposeCode, pseudonym.Nation, made)
	if err != nil || epoch != 2 {
		t.Fatal(epoch, err)
	}
	keys := loadKeys(t, dir, hub.Prod)
	if keys.Epoch(pseudonym.Nation) != 2 || keys.Epoch(pseudonym.Region) != 1 {
		t.Error("the current epoch is not the highest of its domain")
	}
	if diff := cmp.Diff([]int32{1, 2}, keys.Epochs(pseudonym.Nation)); diff != "" {
		t.Error(diff)
	}
	old, err := keys.Code(pseudonym.Nation, 1, subject)
	if err != nil || old != before {
		t.Error("a code of epoch 1 changed", err)
	}
	fresh, err := keys.Code(pseudonym.Nation, 2, subject)
	if err != nil || fresh == before {
		t.Error("epoch 2 gives the code of epoch 1", err)
	}
	if _, err := keys.Code(pseudonym.Nation, 3, subject); !errors.Is(err, pseudonym.ErrUnknownEpoch) {
		t.Error(err)
	}
	for _, p := range []pseudonym.Purpose{pseudonym.PurposeLocal, pseudonym.PurposeContent, "x"} {
		if _, err := pseudonym.AddEpoch(dir, hub.Prod, p, "", made); err == nil {
			t.Errorf("%s was rotated", p)
		}
	}
	if epoch, err = pseudonym.AddEpoch(dir, hub.Prod, pseudonym.PurposeSeal, "", made); err != nil || epoch != 2 {
		t.Error(epoch, err)
	}
	loadKeys(t, dir, hub.Prod)
}

func TestAddEpochOfTheSealSkipsAnUnfinishedPair(t *testing.T) {
	t.Parallel()
	dir := keyDir(t, hub.Prod)
	if err := os.WriteFile(filepath.Join(dir, "opener", "seal-2.json"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if epoch, err := pseudonym.AddEpoch(dir, hub.Prod, pseudonym.PurposeSeal, "", made); err != nil || epoch != 3 {
		t.Error(epoch, err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "opener", "seal-2.json")); err != nil || string(text) != "half" {
		t.Error("a private key was overwritten", err)
	}
	// The private keys went to another machine.
	if err := os.RemoveAll(filepath.Join(dir, "opener")); err != nil {
		t.Fatal(err)
	}
	if epoch, err := pseudonym.AddEpoch(dir, hub.Prod, pseudonym.PurposeSeal, "", made); err != nil || epoch != 4 {
		t.Error(epoch, err)
	}
	if info, err := os.Stat(filepath.Join(dir, "opener")); err != nil || info.Mode().Perm() != 0o700 {
		t.Error("the folder of private keys is not private", err)
	}
}

func TestSecretsPrintAsPlaceholder(t *testing.T) {
	t.Parallel()
	dir := keyDir(t, hub.Prod)
	keys := loadKeys(t, dir, hub.Prod)
	opener, err := pseudonym.LoadOpenerKeys(filepath.Join(dir, "opener"), hub.Prod)
	if err != nil {
		t.Fatal(err)
	}
	subject := pseudonym.NewSubject()
	secret := subject.Secret()
	var recorded pseudonym.SealedEpochKey
	sealer := pseudonym.NewSealer(keys, func(_ context.Context, k pseudonym.SealedEpochKey) error { recorded = k; return nil }, time.Now)
	if _, err := sealer.Seal(t.Context(), subject, pseudonym.Label{}, nil); err != nil {
		t.Fatal(err)
	}
	epoch, err := opener.EpochKey(recorded)
	if err != nil {
		t.Fatal(err)
	}
	identity := pseudonym.NewIdentity("CF", hub.NewIdentifier("canary"))
	codes, _ := keys.Codes(pseudonym.Region, 1, subject.ID, uuid.Nil)
	raw := rawKey(t, filepath.Join(dir, "code-region-1.json"))
	// What must not show: the key in the forms that printing gives it, the id, the identity.
	forbidden := []string{
		hex.EncodeToString(raw)[:12], strings.Trim(fmt.Sprintf("%d", raw), "[]")[:20], fmt.Sprintf("%#v", raw)[7:40], string(raw),
		base64.StdEncoding.EncodeToString(raw)[:12], subject.ID.String(), fmt.Sprint([16]byte(subject.ID)), "canary",
	}
	type outer struct {
		a pseudonym.Secret
		b pseudonym.Subject
		c *pseudonym.Keys
		d *pseudonym.Sealer
		e pseudonym.EpochKey
		f *pseudonym.OpenerKeys
		g pseudonym.Identity
	}
	values := map[string]any{
		"secret": secret, "subject": subject, "keys": keys, "sealer": sealer, "epoch key": epoch, "opener keys": opener,
		"identity": identity, "codes": codes, "pointer": &subject,
		"exported": struct {
			S pseudonym.Secret
			U pseudonym.Subject
			K *pseudonym.Keys
			I pseudonym.Identity
		}{secret, subject, keys, identity},
	}
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		v := values[name]
		texts := []string{
			fmt.Sprint(v), fmt.Sprintf("%v", v), fmt.Sprintf("%+v", v), fmt.Sprintf("%#v", v),
			fmt.Sprintf("%s", v), fmt.Sprintf("%q", v), fmt.Sprintf("%x", v), fmt.Sprintf("%d", v),
		}
		if b, err := json.Marshal(v); err == nil {
			texts = append(texts, string(b))
		}
		for _, text := range texts {
			if name != "exported" && !strings.Contains(text, "[redacted]") && text != "{}" {
				t.Errorf("%s prints as %q", name, text)
			}
			for _, f := range forbidden {
				if strings.Contains(text, f) {
					t.Errorf("%s shows %q", name, f)
				}
			}
		}
	}
	// Unexported fields are printed without asking their types: only addresses may show, and the
	// subject's id, which is no identity.
	text := fmt.Sprintf("%v %+v %#v", outer{a: secret}, outer{b: subject, c: keys, g: identity}, outer{d: sealer, e: epoch, f: opener})
	for _, f := range append(forbidden[:5:5], "canary") {
		if strings.Contains(text, f) {
			t.Errorf("an unexported field shows %q", f)
		}
	}
}
