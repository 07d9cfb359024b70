package verify_test

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/sinbahub/sinbahub/internal/verify"
)

// This is a hub as far as a bundle shows one, written from the description of the formats and sharing
// nothing with the verifier but x/mod.

type id [16]byte

func (u id) String() string {
	h := hex.EncodeToString(u[:])
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}

// record is an entry and what belongs to it.
type record struct {
	id                       id
	at                       time.Time
	kind                     byte
	participant, ente        int32
	message, event, delivery id
	outcome                  string
	codes                    []string
	sealed                   []byte // the bytes themselves
	commitment               [32]byte
	severities               [32]byte
	actor, reason            string
	other                    id
	schema                   string
	origin                   []byte

	gone, unsealed bool   // the body, the sealed bytes went by retention
	seq            int64  // 0: the next one of its pair
	raw            []byte // instead of the entry's bytes
	suffix         []byte // instead of the right one
}

func field(b, f []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(f))), f...)
}

func (r *record) bytes() []byte {
	if r.raw != nil {
		return r.raw
	}
	digest := func(b []byte) []byte {
		if b == nil {
			return make([]byte, 32)
		}
		d := sha256.Sum256(b)
		return d[:]
	}
	i32 := func(n int32) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }
	i64 := func(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }
	version := byte(1)
	switch {
	case r.schema != "" || r.origin != nil:
		version = 5
	case r.other != id{}:
		version = 4
	case r.actor+r.reason != "":
		version = 3
	case r.severities != [32]byte{}:
		version = 2
	}
	var codes []byte
	for _, c := range r.codes {
		codes = field(codes, []byte(c))
	}
	b := []byte{version}
	for _, f := range [][]byte{
		r.id[:], i64(r.at.UnixMicro()),
		{r.kind},
		{1},
		i32(r.participant), i32(r.ente), r.message[:], r.event[:],
		r.delivery[:], i32(1), []byte(r.outcome), codes, i32(0), digest(r.sealed), r.commitment[:],
	} {
		b = field(b, f)
	}
	if version >= 2 {
		b = field(b, r.severities[:])
	}
	if version >= 3 {
		b = field(field(b, []byte(r.actor)), []byte(r.reason))
	}
	if version >= 4 {
		b = field(b, r.other[:])
	}
	if version >= 5 {
		zero := make([]byte, 32)
		for _, f := range [][]byte{
			i64(0), zero, zero, zero, []byte(r.schema), i32(1), i32(2), []byte("ref"), []byte("hub"), i32(1), i32(1), r.origin,
		} {
			b = field(b, f)
		}
	}
	return b
}

// hub is a journal that grows.
type hub struct {
	random  *rand.Rand
	records []*record
	now     time.Time
	signer  note.Signer
	vkey    string
	origin  string
	points  []point
	// early says that the export found no checkpoint at or after the end of its range.
	early bool
}

// point is a checkpoint that was persisted.
type point struct {
	size int64
	root tlog.Hash
	at   time.Time
	note []byte
}

const origin = "sinbahub/TEST"

func newKey(tb testing.TB, seed uint64, name string) (note.Signer, string) {
	tb.Helper()
	skey, vkey, err := note.GenerateKey(rand.NewChaCha8([32]byte{byte(seed), 7}), name)
	if err != nil {
		tb.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		tb.Fatal(err)
	}
	return signer, vkey
}

func newHub(tb testing.TB, seed uint64) *hub {
	tb.Helper()
	h := &hub{random: rand.New(rand.NewPCG(seed, 2)), now: time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC), origin: origin}
	h.signer, h.vkey = newKey(tb, seed, origin)
	return h
}

func (h *hub) id() (u id) {
	for i := range u {
		u[i] = byte(h.random.Uint32())
	}
	return u
}

func (h *hub) blob(most int) []byte {
	b := make([]byte, 1+h.random.IntN(most))
	for i := range b {
		b[i] = byte(h.random.Uint32())
	}
	return b
}

// add appends a record a little later than the last one.
func (h *hub) add(r *record) *record {
	h.now = h.now.Add(time.Duration(1+h.random.IntN(2000)) * time.Millisecond)
	r.id, r.at = h.id(), h.now
	h.records = append(h.records, r)
	return r
}

func (h *hub) accept(participant, ente int32) *record {
	return h.add(&record{
		kind: 1, participant: participant, ente: ente, message: h.id(), event: h.id(), delivery: h.id(), sealed: h.blob(60),
		commitment: sha256.Sum256(h.blob(9)), schema: "1.0.0", origin: h.blob(20),
	})
}

func (h *hub) attempt(a *record, outcome string) *record {
	r := &record{kind: 3, participant: a.participant, ente: a.ente, message: a.message, event: a.event, delivery: a.delivery, outcome: outcome}
	if outcome != "retrying" {
		r.sealed, r.schema = h.blob(40), "1.0.0"
	}
	return h.add(r)
}

// live adds so many records of all sorts; open events stay open. Enti are 10 and 20.
func (h *hub) live(n int) *hub {
	var open []*record
	for len(h.records) < n {
		switch k := h.random.IntN(10); {
		case k < 4:
			open = append(open, h.accept(int32(1+h.random.IntN(2)), int32(10*(1+h.random.IntN(2)))))
		case k < 8 && len(open) > 0:
			i := h.random.IntN(len(open))
			outcome := []string{"delivered", "refused", "dead", "parked", "retrying", "delivered"}[h.random.IntN(6)]
			h.attempt(open[i], outcome)
			if outcome != "retrying" {
				open = slices.Delete(open, i, i+1)
			}
		case k == 8:
			h.add(&record{kind: 2, participant: 1, ente: 10, codes: []string{"SINBA_303", ""}})
		default:
			h.add(&record{kind: 7, outcome: "on", actor: "op", reason: "why"})
		}
	}
	return h
}

// suffixed gives the leaves' data; a gone one has its data too, because its hash stays.
func (h *hub) leaves() [][]byte {
	next := map[[2]int32]int64{}
	leaves := make([][]byte, 0, len(h.records))
	for _, r := range h.records {
		pair := [2]int32{r.participant, r.ente}
		if next[pair]++; r.seq != 0 {
			next[pair] = r.seq
		}
		b := r.bytes()
		b = binary.BigEndian.AppendUint32(slices.Clip(b), uint32(r.participant))
		b = binary.BigEndian.AppendUint32(b, uint32(r.ente))
		b = binary.BigEndian.AppendUint64(b, uint64(next[pair]))
		if r.suffix != nil {
			b = append(b[:len(b)-16], r.suffix...)
		}
		leaves = append(leaves, b)
	}
	return leaves
}

// stored is a tree's hashes as tlog numbers them.
type stored []tlog.Hash

func (s stored) ReadHashes(indexes []int64) (hashes []tlog.Hash, err error) {
	for _, x := range indexes {
		hashes = append(hashes, s[x])
	}
	return hashes, nil
}

func grow(tb testing.TB, leaves [][]byte) stored {
	tb.Helper()
	var s stored
	for i, l := range leaves {
		more, err := tlog.StoredHashesForRecordHash(int64(i), tlog.RecordHash(l), s)
		if err != nil {
			tb.Fatal(err)
		}
		s = append(s, more...)
	}
	return s
}

func sign(tb testing.TB, signer note.Signer, text string) []byte {
	tb.Helper()
	b, err := note.Sign(&note.Note{Text: text}, signer)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func signPoint(tb testing.TB, signer note.Signer, origin string, size int64, root tlog.Hash, at time.Time) point {
	tb.Helper()
	text := fmt.Sprintf("%s\n%d\n%s\ntime %s\n", origin, size, base64.StdEncoding.EncodeToString(root[:]), at.UTC().Format("2006-01-02T15:04:05.000000Z"))
	return point{size: size, root: root, at: at, note: sign(tb, signer, text)}
}

// checkpoint persists a checkpoint of the journal as it is.
func (h *hub) checkpoint(tb testing.TB) point {
	tb.Helper()
	return h.pointAt(tb, grow(tb, h.leaves()), int64(len(h.records)))
}

func (h *hub) pointAt(tb testing.TB, tree stored, size int64) point {
	tb.Helper()
	h.now = h.now.Add(time.Second)
	root, err := tlog.TreeHash(size, tree)
	if err != nil {
		tb.Fatal(err)
	}
	p := signPoint(tb, h.signer, h.origin, size, root, h.now)
	h.points = append(h.points, p)
	return p
}

// bundle is the members of a bundle before they are packed.
type bundle struct {
	members     map[string][]byte
	head        string // of the manifest
	signer      note.Signer
	first, size int64
	// packing
	mangle func(names []string) []string
	header func(h *zip.FileHeader)
	note   func(manifest []byte) []byte
}

func path(number int64, width int) string {
	p := fmt.Sprintf("%03d", number%1000)
	for n := number / 1000; n > 0; n /= 1000 {
		p = fmt.Sprintf("x%03d/%s", n%1000, p)
	}
	if width < 256 {
		p += fmt.Sprintf(".p/%d", width)
	}
	return p
}

// export makes the bundle of the leaves from first on (a multiple of 256), closed by the last checkpoint.
func (h *hub) export(tb testing.TB, first int64) *bundle {
	tb.Helper()
	return h.exportRows(tb, first, 0)
}

// exportRows makes the bundle for one ente, or a full one for 0.
func (h *hub) exportRows(tb testing.TB, first int64, ente int32) *bundle {
	tb.Helper()
	closing := h.points[len(h.points)-1]
	leaves := h.leaves()[:closing.size]
	tree := grow(tb, leaves)
	b := &bundle{members: map[string][]byte{}, signer: h.signer, first: first, size: closing.size}
	from := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	to := closing.at.Add(-time.Microsecond)
	if h.early {
		to = closing.at
	}
	var points []point
	for _, p := range h.points {
		if p.size < first {
			from = p.at.Add(time.Microsecond)
		} else {
			points = append(points, p)
		}
	}
	b.head = fmt.Sprintf("sinba-evidence/v1\norigin %s\nfrom %s\nto %s\nfirst %d\nend %d\nsize %d\n",
		h.origin, from.Format(time.RFC3339Nano), to.Format(time.RFC3339Nano), first, closing.size, closing.size)
	b.members["README.txt"] = []byte("read me\n")
	b.members["keys/journal.pub"] = []byte(h.vkey + "\n")
	b.members["checkpoint"] = closing.note
	for _, p := range points {
		b.members["checkpoints"] = fmt.Appendf(b.members["checkpoints"], "%d\n%s", len(p.note), p.note)
	}
	if ente != 0 {
		b.head += fmt.Sprintf("ente E-%d %d\n", ente, ente)
		h.enteMembers(tb, b, leaves, tree, ente)
	} else {
		h.tileMembers(b, leaves, tree)
	}
	b.members["open"] = h.open(first, closing.size, ente)
	return b
}

func (h *hub) open(first, size int64, ente int32) []byte {
	last := map[id]string{}
	for _, r := range h.records[first:size] {
		if r.kind == 3 && !r.gone {
			last[r.message] = r.outcome
		}
	}
	open := []byte{}
	for _, r := range h.records[first:size] {
		if r.kind != 1 || r.gone || ente != 0 && r.ente != ente {
			continue
		}
		switch last[r.message] {
		case "":
			open = fmt.Appendf(open, "%s %s pending\n", r.message, r.delivery)
		case "retrying":
			open = fmt.Appendf(open, "%s %s retrying\n", r.message, r.delivery)
		}
	}
	return open
}

func (h *hub) tileMembers(b *bundle, leaves [][]byte, tree stored) {
	for level := 0; b.size>>(8*level) > 0; level++ {
		count := b.size >> (8 * level)
		for n := int64(0); n*256 < count; n++ {
			if level == 0 && n < b.first/256 {
				continue
			}
			width := int(min(256, count-n*256))
			var tile, entries, sealed []byte
			for i := n * 256; i < n*256+int64(width); i++ {
				hash := tree[tlog.StoredHashIndex(8*level, i)]
				tile = append(tile, hash[:]...)
				if level > 0 {
					continue
				}
				data, seal := leaves[i], h.records[i].sealed
				if h.records[i].gone {
					data, seal = nil, nil
				}
				if h.records[i].unsealed {
					seal = nil
				}
				entries = append(binary.BigEndian.AppendUint16(entries, uint16(len(data))), data...)
				sealed = append(binary.BigEndian.AppendUint32(sealed, uint32(len(seal))), seal...)
			}
			b.members[fmt.Sprintf("tile/%d/%s", level, path(n, width))] = tile
			if level == 0 {
				b.members["tile/entries/"+path(n, width)] = entries
				b.members["sealed/"+path(n, width)] = sealed
			}
		}
	}
}

func (h *hub) enteMembers(tb testing.TB, b *bundle, leaves [][]byte, tree stored, ente int32) {
	tb.Helper()
	last := map[int32]int64{}
	n := 0
	for i, r := range h.records[:b.size] {
		if r.ente != ente {
			continue
		}
		last[r.participant] = int64(binary.BigEndian.Uint64(leaves[i][len(leaves[i])-8:]))
		if int64(i) < b.first {
			continue
		}
		proof, err := tlog.ProveRecord(b.size, int64(i), tree)
		if err != nil {
			tb.Fatal(err)
		}
		data, seal := leaves[i], r.sealed
		if r.gone {
			data, seal = nil, nil
		}
		name := fmt.Sprintf("ente/leaves/%06d", n/4096)
		rec := binary.BigEndian.AppendUint64(b.members[name], uint64(i))
		rec = append(binary.BigEndian.AppendUint16(rec, uint16(len(data))), data...)
		rec = append(rec, byte(len(proof)))
		for _, p := range proof {
			rec = append(rec, p[:]...)
		}
		b.members[name] = rec
		name = fmt.Sprintf("ente/sealed/%06d", n/4096)
		b.members[name] = append(binary.BigEndian.AppendUint32(b.members[name], uint32(len(seal))), seal...)
		n++
	}
	var text []byte
	for _, p := range slices.Sorted(maps.Keys(last)) {
		text = fmt.Appendf(text, "%d %d %d\n", p, ente, last[p])
	}
	b.members["ente/sequences"] = text
}

// manifest signs what is there now.
func (b *bundle) manifest(tb testing.TB) []byte {
	tb.Helper()
	text := []byte(b.head)
	for _, name := range slices.Sorted(maps.Keys(b.members)) {
		text = fmt.Appendf(text, "%x %d %s\n", sha256.Sum256(b.members[name]), len(b.members[name]), name)
	}
	return sign(tb, b.signer, string(text))
}

// seal freezes the manifest: what changes behind it was not signed.
func (b *bundle) seal(tb testing.TB) *bundle {
	tb.Helper()
	signed := b.manifest(tb)
	b.note = func([]byte) []byte { return signed }
	return b
}

// pack writes the container.
func (b *bundle) pack(tb testing.TB) []byte {
	tb.Helper()
	names := slices.Sorted(maps.Keys(b.members))
	manifest := b.manifest(tb)
	if b.note != nil {
		manifest = b.note(manifest)
	}
	if names = append(names, "MANIFEST"); b.mangle != nil {
		names = b.mangle(names)
	}
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, name := range names {
		header := &zip.FileHeader{Name: name, Method: zip.Store, ModifiedDate: 1<<5 | 1} //nolint:staticcheck // Modified brings an extra field
		if b.header != nil {
			b.header(header)
		}
		content := b.members[name]
		if name == "MANIFEST" {
			content = manifest
		}
		w, err := z.CreateHeader(header)
		if err != nil {
			tb.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			tb.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

// inspect verifies a container.
func inspect(file []byte, options verify.BundleOptions) *verify.Report {
	return verify.Bundle(bytes.NewReader(file), int64(len(file)), options)
}

// found tells whether a report has a finding of that verdict about a member, or one in that folder, and a
// leaf; no name is any member, -1 is no leaf, -2 any.
func found(r *verify.Report, code verify.Code, member string, leaf int64) bool {
	return slices.ContainsFunc(r.Findings, func(f verify.Finding) bool {
		at := int64(-1)
		if f.Leaf != nil {
			at = *f.Leaf
		}
		return f.Code == code && (member == "" || f.Member == member || strings.HasPrefix(f.Member, member+"/")) && (leaf == -2 || leaf == at)
	})
}

// show is a report as people see it, cut to what a failing test needs.
func show(r *verify.Report) string {
	var b strings.Builder
	_ = r.Text(&b)
	s := b.String()
	return s[:min(len(s), 1500)]
}
