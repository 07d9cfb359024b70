package pseudonym_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/hpke"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
)

// victimDir is the variable that makes the test program a victim, with the folder of its keys.
const victimDir = "PSEUDONYM_VICTIM_KEYS"

// victim is a process like serve that an attacker takes over: it seals under two epochs, tells
// what the database would hold, and stands still. TestMain runs it.
func victim() {
	keys, err := pseudonym.LoadKeys(os.Getenv(victimDir), hub.Prod)
	if err != nil {
		os.Exit(1)
	}
	out := json.NewEncoder(os.Stdout)
	c := &clock{at: made}
	sealer := pseudonym.NewSealer(keys, func(_ context.Context, k pseudonym.SealedEpochKey) error {
		return out.Encode(told{k.ID, k.Opener, k.Bytes})
	}, c.now)
	for _, seals := range []int{250, 1} {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range seals {
					if _, err := sealer.Seal(context.Background(), pseudonym.NewSubject(), label(), make([]byte, 5000)); err != nil {
						os.Exit(1)
					}
				}
			})
		}
		wg.Wait()
		c.add(pseudonym.EpochLength)
	}
	c.add(-pseudonym.EpochLength)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// told is a record of an epoch key on a victim's output.
type told struct {
	ID     uuid.UUID `json:"id"`
	Opener int32     `json:"opener"`
	Bytes  []byte    `json:"bytes"`
}

// TestMemoryHoldsNoEarlierEpochKey reads the whole memory of a process that seals: the epoch key
// in use is there, which shows that the search works, the one before is nowhere.
func TestMemoryHoldsNoEarlierEpochKey(t *testing.T) {
	t.Parallel()
	dir := keyDir(t, hub.Prod)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), victimDir+"="+dir)
	stdin, _ := cmd.StdinPipe()
	stdout, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stdin.Close(); _ = cmd.Wait() }()
	dec := json.NewDecoder(bufio.NewReader(stdout))
	var keys [2][]byte
	for i := range keys {
		var r told
		if err := dec.Decode(&r); err != nil {
			t.Fatal(err)
		}
		keys[i] = openByStandard(t, dir, pseudonym.SealedEpochKey{ID: r.ID, Opener: r.Opener, Bytes: r.Bytes})
	}
	// The second record is written before that epoch's seals; wait until the process stands.
	waitStill(t, cmd.Process.Pid)
	found := countInMemory(t, cmd.Process.Pid, [][]byte{keys[0][:32], keys[1][:32]})
	if found[1] == 0 {
		t.Fatal("the current epoch key was not found: the search does not work")
	}
	if found[0] != 0 {
		t.Errorf("the earlier epoch key is still in memory %d times", found[0])
	}
	t.Logf("current epoch key found %d times, the earlier one %d times", found[1], found[0])
}

// openByStandard opens a sealed epoch key with the standard library alone.
func openByStandard(t *testing.T, dir string, record pseudonym.SealedEpochKey) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "opener", "seal-1.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Private string `json:"private_key"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	raw, _ := base64.StdEncoding.DecodeString(file.Private)
	private, err := hpke.DHKEM(ecdh.X25519()).NewPrivateKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	info := "sinbahub/epoch/v1/" + long("PROD") + long(strconv.Itoa(int(record.Opener))) + long(record.ID.String())
	key, err := hpke.Open(private, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte(info), record.Bytes)
	if err != nil || len(key) != 64 {
		t.Fatal("epoch key does not open", err)
	}
	return key
}

// waitStill waits until the process uses no more CPU time.
func waitStill(t *testing.T, pid int) {
	t.Helper()
	var last string
	for {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			t.Fatal(err)
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')'):]))
		now := fields[11] + " " + fields[12]
		if now == last {
			return
		}
		last = now
		_ = exec.Command("sleep", "0.3").Run()
	}
}

// countInMemory counts how often each pattern stands in the readable memory of a process.
func countInMemory(t *testing.T, pid int, patterns [][]byte) []int {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Skipf("memory of a child cannot be read here: %v", err)
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Skipf("memory of a child cannot be read here: %v", err)
	}
	defer func() { _ = mem.Close() }()
	counts := make([]int, len(patterns))
	for line := range strings.SplitSeq(strings.TrimSpace(string(maps)), "\n") {
		var from, to int64
		var rights string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &rights); err != nil || !strings.HasPrefix(rights, "rw") {
			continue
		}
		text := make([]byte, to-from)
		n, _ := mem.ReadAt(text, from)
		for i, p := range patterns {
			counts[i] += bytes.Count(text[:n], p)
		}
	}
	return counts
}
