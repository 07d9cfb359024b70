package verify_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
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
	started                  time.Time
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
		zero, started := make([]byte, 32), int64(0)
		if !r.started.IsZero() {
			started = r.started.UnixMicro()
		}
		for _, f := range [][]byte{
			i64(started), zero, zero, zero, []byte(r.schema), i32(1), i32(2), []byte("ref"), []byte("hub"), i32(1), i32(1), r.origin,
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
	// closing is the number of the checkpoint that closes the range, from 1; 0 for the last one.
	closing int
	// first is the format before retirements came along.
	firstFormat bool
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
		r.sealed, r.schema, r.started = h.blob(40), "1.0.0", h.now
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

// retire adds an entry that a month of a class went, the one that the hub's first records are of, two years
// later.
func (h *hub) retire(class string, n int64, more ...string) *record {
	month := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	if h.now.Before(month.AddDate(2, 0, 0)) {
		h.now = h.now.AddDate(2, 0, 0)
	}
	codes := append([]string{fmt.Sprintf("%s:%d", class, n), "month:2026_03"}, more...)
	return h.add(&record{kind: 14, codes: codes, actor: "ada", reason: "policy: journal 12 months"})
}
