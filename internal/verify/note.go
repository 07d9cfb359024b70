package verify

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// ring is the public keys that signatures are held against.
type ring struct {
	verifiers []note.Verifier
	given     bool
}

var errKeys = errors.New("not a list of public keys, one a line (NAME+ID+KEY)")

// parseRing reads public keys, one a line as golang.org/x/mod/sumdb/note writes them. Empty lines and
// those that begin with # do not count.
func parseRing(b []byte, given bool) (*ring, error) {
	k := &ring{given: given}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		v, err := note.NewVerifier(line)
		if err != nil {
			return nil, errKeys
		}
		same := func(o note.Verifier) bool { return o.Name() == v.Name() && o.KeyHash() == v.KeyHash() }
		if !slices.ContainsFunc(k.verifiers, same) {
			k.verifiers = append(k.verifiers, v)
		}
	}
	if len(k.verifiers) == 0 {
		return nil, errKeys
	}
	return k, nil
}

func (k *ring) facts() []KeyFacts {
	facts := make([]KeyFacts, 0, len(k.verifiers))
	for _, v := range k.verifiers {
		facts = append(facts, KeyFacts{Name: v.Name(), ID: fmt.Sprintf("%08x", v.KeyHash()), Given: k.given})
	}
	return facts
}

var (
	errNote     = errors.New("not a signed note")
	errNoSigner = errors.New("no signature on it is by a key at hand (of a journal whose key was rotated give all of /journal/keys as --key)")
	errForged   = errors.New("its signature is false")
)

// open gives the text of a signed note and the names of those keys of the ring that signed it. With
// errNoSigner and errForged the text is still given: it is what an unknown hand wrote.
func (k *ring) open(msg []byte) (n *note.Note, err error) {
	n, err = note.Open(msg, note.VerifierList(k.verifiers...))
	if err == nil {
		return n, nil
	}
	cut := bytes.LastIndex(msg, []byte("\n\n"))
	if cut < 0 {
		return nil, errNote
	}
	text := &note.Note{Text: string(msg[:cut+1])}
	if _, ok := errors.AsType[*note.UnverifiedNoteError](err); ok {
		return text, errNoSigner
	}
	return text, errForged
}

// strict tells whether a note's bytes are the only ones that say what it says: every signature known,
// and each written in the one way. Where nothing else covers the bytes this leaves none of them free.
func strict(n *note.Note, msg []byte) bool {
	b := []byte(n.Text + "\n")
	for _, s := range n.Sigs {
		if _, err := base64.StdEncoding.Strict().DecodeString(s.Base64); err != nil {
			return false
		}
		b = append(b, "— "+s.Name+" "+s.Base64+"\n"...)
	}
	return bytes.Equal(b, msg)
}

// signedBy tells whether a key of that name signed.
func signedBy(n *note.Note, name string) bool {
	for _, s := range n.Sigs {
		if s.Name == name {
			return true
		}
	}
	return false
}

// checkpoint is the journal's size and root at a time, as the hub signed them.
type checkpoint struct {
	origin string
	size   int64
	root   tlog.Hash
	at     time.Time
}

func (c checkpoint) String() string {
	return fmt.Sprintf("%d entries, root %s, %s", c.size, c.root, stamp(c.at))
}

var errCheckpoint = errors.New("not a checkpoint of the journal (origin, size, root, time)")

// checkpointTime is how a checkpoint writes its time.
const checkpointTime = "2006-01-02T15:04:05.000000Z"

// parseCheckpoint reads the text of a checkpoint (C2SP tlog-checkpoint): origin, size, root in base64,
// and the one extension line "time " with RFC 3339 in UTC with microseconds.
func parseCheckpoint(text string) (c checkpoint, err error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 5 || lines[4] != "" || lines[0] == "" || strings.ContainsAny(lines[0], " <>\t") {
		return c, errCheckpoint
	}
	c.origin = lines[0]
	var ok bool
	if c.size, ok = decimal(lines[1]); !ok || c.size > mostLeaves {
		return c, errCheckpoint
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return c, errCheckpoint
	}
	copy(c.root[:], root)
	at, found := strings.CutPrefix(lines[3], "time ")
	if c.at, err = time.Parse(checkpointTime, at); !found || err != nil || c.at.Format(checkpointTime) != at {
		return c, errCheckpoint
	}
	return c, nil
}

// decimal reads a number from 0 that is written in the one way.
func decimal(s string) (n int64, ok bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n >= 0 && strconv.FormatInt(n, 10) == s
}

// openCheckpoint opens and reads a checkpoint. With errNoSigner and errForged it is still given, if it
// can be read.
func (k *ring) openCheckpoint(msg []byte) (c checkpoint, err error) {
	n, signature := k.open(msg)
	if n == nil {
		return c, signature
	}
	if c, err = parseCheckpoint(n.Text); err != nil {
		return checkpoint{}, err
	}
	if signature == nil && !signedBy(n, c.origin) {
		signature = errNoSigner
	}
	return c, signature
}
