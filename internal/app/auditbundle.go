package app

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"

	"github.com/sinbahub/sinbahub/internal/journal"
)

// bundle writes the container of evidence: a zip whose bytes follow from its members alone, so that a
// verifier can write it again and compare. Members are stored as they are, in the order of their names,
// with one date for all, and neither attributes, extra fields nor comments.
type bundle struct {
	to *zip.Writer
	// listed are the members so far as the manifest tells them.
	listed strings.Builder
	// name is the member under way or the last one, and the others are what is known of it.
	name string
	data io.Writer
	size int64
	sum  hash.Hash
}

// manifestName is the member that signs for all others, and the last one.
const manifestName = "MANIFEST"

// errMemberOrder says that members do not come in the order of their names: a defect of the caller.
var errMemberOrder = errors.New("members of a bundle are out of order")

func newBundle(to io.Writer) *bundle { return &bundle{to: zip.NewWriter(to), sum: sha256.New()} }

// begin begins the next member, which Write fills.
func (b *bundle) begin(name string) error {
	if name <= b.name || name == manifestName {
		return errMemberOrder
	}
	return b.create(name)
}

// create writes a member's header.
func (b *bundle) create(name string) (err error) {
	// Modified would bring an extra field with the time in it.
	const firstDay = 1<<5 | 1                                                                               // 1980-01-01, the first that MS-DOS knows
	b.data, err = b.to.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store, ModifiedDate: firstDay}) //nolint:staticcheck // see above
	if err != nil {
		return fmt.Errorf("write the bundle: %w", err)
	}
	b.name, b.size = name, 0
	b.sum.Reset()
	return nil
}

// Write appends to the member under way.
func (b *bundle) Write(p []byte) (int, error) {
	_, _ = b.sum.Write(p)
	b.size += int64(len(p))
	n, err := b.data.Write(p)
	if err != nil {
		return n, fmt.Errorf("write the bundle: %w", err)
	}
	return n, nil
}

// end lists the member under way.
func (b *bundle) end() {
	b.listed.WriteString(hex.EncodeToString(b.sum.Sum(nil)))
	fmt.Fprintf(&b.listed, " %d %s\n", b.size, b.name)
}

// put writes the next member from memory.
func (b *bundle) put(name string, data []byte) error { return b.copy(name, bytes.NewReader(data)) }

// copy writes the next member.
func (b *bundle) copy(name string, from io.Reader) error {
	if err := b.begin(name); err != nil {
		return err
	}
	if _, err := io.Copy(b, from); err != nil {
		return err
	}
	b.end()
	return nil
}

// finish signs for the members with head before them, ends the container and gives the manifest's digest.
func (b *bundle) finish(head string, key *journal.Key) (digest [sha256.Size]byte, err error) {
	signed, err := key.SignText(head + b.listed.String())
	if err != nil {
		return digest, fmt.Errorf("sign the manifest: %w", err)
	}
	if err := b.create(manifestName); err != nil {
		return digest, err
	}
	if _, err := b.Write(signed); err != nil {
		return digest, err
	}
	if err := b.to.Close(); err != nil {
		return digest, fmt.Errorf("write the bundle: %w", err)
	}
	return sha256.Sum256(signed), nil
}
