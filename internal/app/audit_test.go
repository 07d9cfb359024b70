package app_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/sinbahub/sinbahub/internal/app"
	"github.com/sinbahub/sinbahub/internal/codelist"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/sinba"
)

// ledger is a desk whose journal has a tree.
type ledger struct {
	*desk

	store  *postgres.Store
	key    *journal.Key
	public note.Verifier
	// began is the time of the first entry; each one is a millisecond later.
	began   time.Time
	entries []*journal.Entry
	// written is how many of them the database has.
	written int
	// padding makes what is sealed longer.
	padding int
	// messages and attempts are the rows with what was sealed.
	messages, attempts [][]any
}

func newLedger(tb testing.TB) *ledger {
	tb.Helper()
	l := &ledger{desk: newDesk(tb), began: time.Now().UTC().Add(-time.Hour).Truncate(time.Second)}
	l.cfg.Keys.Dir = tb.TempDir()
	if _, err := journal.MakeKey(l.cfg.JournalKeys(), l.cfg.JournalOrigin()); err != nil {
		tb.Fatal(err)
	}
	var err error
	if l.key, err = journal.LoadKey(l.cfg.JournalKeys(), l.cfg.JournalOrigin()); err != nil {
		tb.Fatal(err)
	}
	if l.public, err = note.NewVerifier(l.key.Public()[0]); err != nil {
		tb.Fatal(err)
	}
	if l.store, err = postgres.Open(tb.Context(), postgres.Config{DSN: l.cfg.Database.URL.Reveal()}); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(l.store.Close)
	return l
}

// at is the time of the n-th entry.
func (l *ledger) at(n int) time.Time { return l.began.Add(time.Duration(n) * time.Millisecond) }

// entry appends one that is not in the database yet.
func (l *ledger) entry(e journal.Entry) *journal.Entry {
	e.ID, e.Environment = uuid.Must(uuid.NewV7()), hub.Prod
	e.At = l.at(len(l.entries))
	l.entries = append(l.entries, &e)
	return &e
}

// accepted appends an acceptance with its sealed message.
func (l *ledger) accepted(participant, ente int32) *journal.Entry {
	sealed := []byte("sealed message " + rand.Text() + strings.Repeat("m", l.padding))
	e := l.entry(journal.Entry{
		Kind: journal.EventAccepted, Participant: participant, Ente: ente, Message: uuid.Must(uuid.NewV7()), Event: uuid.New(),
		Delivery: uuid.New(), Sealed: sha256.Sum256(sealed), Commitment: sha256.Sum256([]byte(rand.Text())),
		Evidence: journal.Evidence{Schema: "1.0", Rules: 2, Mapping: 1, Hub: "test"},
	})
	l.messages = append(l.messages, []any{e.Message, e.At, int16(1), participant, ente, uuid.New(), e.Sealed[:], sealed})
	return e
}

// settled appends the end of an attempt with what it sent.
func (l *ledger) settled(of *journal.Entry, state hub.DeliveryState) {
	sealed := []byte("sealed outbound " + rand.Text() + strings.Repeat("o", l.padding))
	e := l.entry(journal.Entry{
		Kind: journal.AttemptSettled, Participant: of.Participant, Ente: of.Ente, Message: of.Message, Event: of.Event,
		Delivery: of.Delivery, Attempt: 1, Outcome: string(state), Sealed: sha256.Sum256(sealed),
	})
	e.StartedAt, e.Mapping = e.At.Add(-time.Second), 1
	l.attempts = append(l.attempts, []any{e.Delivery, e.Attempt, e.StartedAt, time.Second, string(state), e.Outbound[:], uuid.New(), uuid.New(), sealed})
}

// write brings what was appended into the database, gives it leaves and signs a checkpoint, whose time it
// gives.
func (l *ledger) write(tb testing.TB) time.Time {
	tb.Helper()
	var entries, queue [][]any
	for _, e := range l.entries[l.written:] {
		entries = append(entries, []any{e.ID, e.At, int16(e.Kind), e.Message, e.Bytes()})
		queue = append(queue, []any{e.ID, e.At})
	}
	l.written = len(l.entries)
	l.load(tb, "journal_entry", entries, "id", "at", "kind", "message_id", "body")
	l.load(tb, "journal_queue", queue, "entry_id", "entry_at")
	l.load(tb, "message", l.messages, "id", "received_at", "environment", "participant_id", "ente_id", "seal_epoch", "digest", "sealed")
	l.load(tb, "attempt", l.attempts, "delivery_id", "number", "started_at", "took", "state", "digest", "lease", "seal_epoch", "sealed")
	l.messages, l.attempts = nil, nil
	for added := 1; added > 0; {
		var err error
		if _, added, err = l.store.Sequence(tb.Context(), 4096); err != nil {
			tb.Fatal(err)
		}
	}
	c, err := l.store.Checkpoint(tb.Context(), postgres.Notary{Sign: l.key.Sign, Open: l.key.Open}, postgres.CheckpointDue{})
	if err != nil {
		tb.Fatal(err)
	}
	return c.At
}

func (l *ledger) load(tb testing.TB, table string, rows [][]any, columns ...string) {
	tb.Helper()
	if _, err := l.admin.CopyFrom(tb.Context(), pgx.Identifier{"hub", table}, columns, pgx.CopyFromRows(rows)); err != nil {
		tb.Fatal(err)
	}
}

// traffic appends events of two enti, each with an attempt that ends in the given states in turn, and
// writes them.
func (l *ledger) traffic(tb testing.TB, events int, states ...hub.DeliveryState) time.Time {
	tb.Helper()
	for i := range events {
		accepted := l.accepted(1, 1+int32(i%2))
		if state := states[i%len(states)]; state != "" {
			l.settled(accepted, state)
		}
	}
	return l.write(tb)
}

// export exports a range and gives the bundle's bytes.
func (l *ledger) export(t *testing.T, o app.AuditOptions) []byte {
	t.Helper()
	if o.Out == "" {
		o.Out = filepath.Join(t.TempDir(), "bundle.zip")
	}
	o.Reason, o.Actor, o.Progress = "richiesta dell'auditor", "ada", io.Discard
	if err := app.ExportEvidence(t.Context(), l.cfg, o, io.Discard); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(o.Out)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// opened is a bundle that was taken apart.
type opened struct {
	names    []string
	members  map[string][]byte
	manifest map[string]string
	tree     tlog.Tree
}

// open takes a bundle apart and holds what every one must have: the manifest's signature, the members'
// digests, their order, and no metadata.
func (l *ledger) open(t *testing.T, data []byte) *opened {
	t.Helper()
	reader, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	b := &opened{members: map[string][]byte{}, manifest: map[string]string{}}
	var again bytes.Buffer
	writer := zip.NewWriter(&again)
	for _, file := range reader.File {
		content, err := file.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(content)
		if err != nil {
			t.Fatal(err)
		}
		if file.Method != zip.Store || len(file.Extra) > 0 || file.Flags != 8 || file.ModifiedDate != 0x21 || file.ModifiedTime != 0 {
			t.Fatalf("%s has metadata: %+v", file.Name, file.FileHeader)
		}
		b.names, b.members[file.Name] = append(b.names, file.Name), text
		to, err := writer.CreateHeader(&zip.FileHeader{Name: file.Name, ModifiedDate: 0x21}) //nolint:staticcheck // Modified brings a field
		if err != nil {
			t.Fatal(err)
		}
		if _, err := to.Write(text); err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.Close(); err != nil || !bytes.Equal(again.Bytes(), data) {
		t.Fatalf("the container written again from its members differs: %v", err)
	}
	last := len(b.names) - 1
	if !slices.IsSorted(b.names[:last]) || b.names[last] != "MANIFEST" {
		t.Fatalf("members out of order: %v", b.names)
	}
	signed, err := note.Open(b.members["MANIFEST"], note.VerifierList(l.public))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(signed.Text, "\n"), "\n")
	if lines[0] != "sinba-evidence/v1" {
		t.Fatalf("manifest begins with %q", lines[0])
	}
	var listed []string
	for _, line := range lines[1:] {
		words := strings.SplitN(line, " ", 3)
		if len(words[0]) != 64 {
			b.manifest[words[0]] = strings.Join(words[1:], " ")
			continue
		}
		name := words[2]
		sum := sha256.Sum256(b.members[name])
		if words[0] != hex.EncodeToString(sum[:]) || words[1] != strconv.Itoa(len(b.members[name])) {
			t.Errorf("manifest is wrong about %s", name)
		}
		listed = append(listed, name)
	}
	if diff := cmp.Diff(b.names[:last], listed); diff != "" {
		t.Errorf("members that the manifest does not list alike: %s", diff)
	}
	b.readCheckpoint(t, l.public)
	return b
}

func (b *opened) readCheckpoint(t *testing.T, public note.Verifier) {
	t.Helper()
	signed, err := note.Open(b.members["checkpoint"], note.VerifierList(public))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(signed.Text, "\n")
	b.tree.N, err = strconv.ParseInt(lines[1], 10, 64)
	if err != nil || b.manifest["size"] != lines[1] || b.manifest["end"] != lines[1] {
		t.Fatalf("size %q in the checkpoint, %q and %q in the manifest", lines[1], b.manifest["size"], b.manifest["end"])
	}
	if b.tree.Hash, err = tlog.ParseHash(lines[2]); err != nil {
		t.Fatal(err)
	}
}

// path is that of a leaf's tile.
func (b *opened) path(number int64) string {
	tile := tlog.Tile{H: 8, L: 0, N: number, W: int(min(256, b.tree.N-number*256))}
	return strings.TrimPrefix(tile.Path(), "tile/8/0/")
}

// records reads length-prefixed records.
func records(t *testing.T, data []byte, prefix int) (all [][]byte) {
	t.Helper()
	for len(data) > 0 {
		size := 0
		for _, digit := range data[:prefix] {
			size = size<<8 | int(digit)
		}
		all, data = append(all, data[prefix:prefix+size]), data[prefix+size:]
	}
	return all
}

// leaves checks every leaf of a bundle for all against the checkpoint, and its sealed bytes, and gives
// their data.
func (b *opened) leaves(t *testing.T) [][]byte {
	t.Helper()
	reader := tlog.TileHashReader(b.tree, tileFiles{b})
	first, err := strconv.ParseInt(b.manifest["first"], 10, 64)
	if err != nil || first%256 != 0 {
		t.Fatalf("first leaf %q", b.manifest["first"])
	}
	var all [][]byte
	for number := first / 256; number*256 < b.tree.N; number++ {
		entries := records(t, b.members["tile/entries/"+b.path(number)], 2)
		sealed := records(t, b.members["sealed/"+b.path(number)], 4)
		if want := int(min(256, b.tree.N-number*256)); len(entries) != want || len(sealed) != want {
			t.Fatalf("%d entries and %d sealed in %s, want %d", len(entries), len(sealed), b.path(number), want)
		}
		for i, data := range entries {
			n := number*256 + int64(i)
			hash, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, n)})
			if err != nil {
				t.Fatal(err)
			}
			if len(data) > 0 && tlog.RecordHash(data) != hash[0] {
				t.Errorf("leaf %d is not what the tree has", n)
			}
			checkSealed(t, data, sealed[i])
		}
		all = append(all, entries...)
	}
	return all
}

func checkSealed(t *testing.T, data, sealed []byte) {
	t.Helper()
	if len(data) == 0 {
		return
	}
	e, err := journal.Parse(data[:len(data)-16])
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(sealed); e.Sealed != [32]byte{} && sum != e.Sealed || e.Sealed == [32]byte{} && len(sealed) > 0 {
		t.Errorf("sealed bytes of %s (kind %d) are not what the entry says: %d bytes", e.ID, e.Kind, len(sealed))
	}
}

// tileFiles reads tiles from a bundle.
type tileFiles struct{ b *opened }

func (tileFiles) Height() int                         { return 8 }
func (tileFiles) SaveTiles(_ []tlog.Tile, _ [][]byte) {}

func (f tileFiles) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	all := make([][]byte, len(tiles))
	for i, tile := range tiles {
		name := "tile/" + strings.TrimPrefix(tile.Path(), "tile/8/")
		data, ok := f.b.members[name]
		if !ok {
			return nil, errors.New("no member " + name)
		}
		all[i] = data
	}
	return all, nil
}

func TestBundleProvesEveryEntryOfItsRange(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	l.traffic(t, 300, hub.Delivered, hub.Refused)
	from := l.traffic(t, 400, hub.Delivered, hub.Dead, hub.Retrying, "", hub.Parked, hub.Uncertain)
	want := len(l.entries)
	to := l.traffic(t, 400, hub.Delivered, hub.Dead, hub.Retrying, "", hub.Parked, hub.Uncertain)
	l.traffic(t, 50, hub.Delivered)
	b := l.open(t, l.export(t, app.AuditOptions{From: from.Format(time.RFC3339Nano), To: to.Format(time.RFC3339Nano)}))
	all := b.leaves(t)
	first, _ := strconv.Atoi(b.manifest["first"])
	if first != want/256*256 || first+len(all) != int(b.tree.N) {
		t.Errorf("leaves %d to %d, want from the tile of %d to %d", first, first+len(all), want, b.tree.N)
	}
	for i, data := range all {
		if e := l.entries[first+i]; !bytes.HasPrefix(data, e.Bytes()) {
			t.Fatalf("leaf %d has another entry", first+i)
		}
	}
	if diff := cmp.Diff(l.wantOpen(first, int(b.tree.N)), string(b.members["open"])); diff != "" {
		t.Error("open events:", diff)
	}
	rules, _ := sinba.RulesText(2)
	mapping, _ := sinba.Mapping(1)
	for name, text := range map[string][]byte{"rules/2.txt": rules, "mapping/1/foglie.tsv": mapping} {
		if len(text) == 0 || !bytes.Equal(b.members[name], text) {
			t.Errorf("%s is not what judged", name)
		}
	}
	for _, name := range []string{"README.txt", "keys/journal.pub", "xsd/sinba-eventi-v1.xsd"} {
		if len(b.members[name]) == 0 {
			t.Errorf("no member %s", name)
		}
	}
	if _, ok := b.members["versions-missing"]; ok {
		t.Error("versions are said to be missing")
	}
}

// wantOpen is the list of open events by another way: the first of its message, no final one behind it.
func (l *ledger) wantOpen(first, end int) string {
	var text strings.Builder
	for i := end - 1; i >= first; i-- {
		e := l.entries[i]
		if e.Kind != journal.EventAccepted {
			continue
		}
		state := "pending"
		for _, later := range l.entries[i:end] {
			if later.Message == e.Message && later.Kind == journal.AttemptSettled {
				state = later.Outcome
			}
		}
		if state == "pending" || state == "retrying" || state == "uncertain" {
			fmt.Fprintf(&text, "%s %s %s\n", e.Message, e.Delivery, state)
		}
	}
	return text.String()
}

func TestBundleOfTheSameRangeHasTheSameBytes(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	l.traffic(t, 100, hub.Delivered)
	to := l.traffic(t, 300, hub.Delivered, "")
	for _, ente := range []string{"", "ENTE-1"} {
		o := app.AuditOptions{From: l.began.Format(time.RFC3339Nano), To: to.Format(time.RFC3339Nano), Ente: ente}
		before := l.export(t, o)
		l.traffic(t, 200, hub.Delivered, hub.Retrying)
		if !bytes.Equal(before, l.export(t, o)) {
			t.Errorf("ente %q: another bundle after more traffic", ente)
		}
	}
}

func TestExportIsJournalledWithItsManifest(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	to := l.traffic(t, 10, hub.Delivered)
	b := l.open(t, l.export(t, app.AuditOptions{From: l.began.Format(time.RFC3339), To: to.Format(time.RFC3339Nano)}))
	var body []byte
	if err := l.admin.QueryRow(t.Context(), `SELECT e.body FROM hub.journal_entry e JOIN hub.journal_queue q ON q.entry_id = e.id
		WHERE e.kind = $1`, journal.EvidenceExported).Scan(&body); err != nil {
		t.Fatal(err)
	}
	e, err := journal.Parse(body)
	if err != nil {
		t.Fatal(err)
	}
	if e.Commitment != sha256.Sum256(b.members["MANIFEST"]) || e.Actor != "ada" || e.Reason != "richiesta dell'auditor" {
		t.Errorf("entry %+v", e)
	}
	if want := []hub.Code{hub.Code("from:" + b.manifest["from"]), hub.Code("to:" + b.manifest["to"])}; !slices.Equal(want, e.Codes) {
		t.Errorf("codes %v, want %v", e.Codes, want)
	}
}

func TestEnteBundleProvesItsEntriesAndNoOthers(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	from := l.traffic(t, 300, hub.Delivered)
	to := l.traffic(t, 300, hub.Delivered, "", hub.Delivered)
	l.traffic(t, 10, hub.Delivered)
	b := l.open(t, l.export(t, app.AuditOptions{From: from.Format(time.RFC3339Nano), To: to.Format(time.RFC3339Nano), Ente: "ENTE-1"}))
	if b.manifest["ente"] != "ENTE-1 1" {
		t.Errorf("manifest is of ente %q", b.manifest["ente"])
	}
	first, _ := strconv.Atoi(b.manifest["first"])
	var want []int64
	last := int64(0)
	for i, e := range l.entries[:b.tree.N] {
		if e.Ente != 1 {
			continue
		}
		last++
		if i >= first {
			want = append(want, int64(i))
		}
	}
	sealed := records(t, b.members["ente/sealed/000000"], 4)
	data := b.members["ente/leaves/000000"]
	var got []int64
	for len(data) > 0 {
		index, size := int64(binary.BigEndian.Uint64(data)), int(binary.BigEndian.Uint16(data[8:]))
		leaf, hashes := data[10:10+size], data[11+size:]
		proof := make(tlog.RecordProof, data[10+size])
		for i := range proof {
			proof[i] = tlog.Hash(hashes[i*32 : i*32+32])
		}
		data = hashes[len(proof)*32:]
		if err := tlog.CheckRecord(proof, b.tree.N, b.tree.Hash, index, tlog.RecordHash(leaf)); err != nil {
			t.Errorf("leaf %d: %v", index, err)
		}
		checkSealed(t, leaf, sealed[len(got)])
		got = append(got, index)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("leaves of the ente:", diff)
	}
	if text := fmt.Sprintf("1 1 %d\n", last); string(b.members["ente/sequences"]) != text {
		t.Errorf("sequences %q, want %q", b.members["ente/sequences"], text)
	}
	for name := range b.members {
		if strings.HasPrefix(name, "tile/") || strings.HasPrefix(name, "sealed/") {
			t.Errorf("member %s tells of other enti", name)
		}
	}
	for line := range strings.Lines(string(b.members["open"])) {
		message := uuid.MustParse(line[:36])
		if slices.ContainsFunc(l.entries, func(e *journal.Entry) bool { return e.Message == message && e.Ente != 1 }) {
			t.Error("an event of another ente is listed as open")
		}
	}
	if len(b.members["open"]) == 0 {
		t.Error("no open event")
	}
}

func TestEnteBundleNeverHoldsEntriesForThePrivacyOfficer(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	l.accepted(1, 1)
	secret := l.entry(journal.Entry{Kind: journal.OthersHistory, Participant: 1, Ente: 1, Message: uuid.New(), Other: uuid.New()})
	secret.At = secret.At.AddDate(0, 0, -1) // these come a day late
	to := l.write(t)
	// even if the database says that it is the ente's
	l.exec(t, "UPDATE hub.journal_leaf SET participant_id = 1, ente_id = 1, seq = 2 WHERE entry_id = $1", secret.ID)
	bundle := l.export(t, app.AuditOptions{From: l.began.Format(time.RFC3339), To: to.Format(time.RFC3339Nano), Ente: "ENTE-1"})
	if bytes.Contains(bundle, secret.Message[:]) || bytes.Contains(bundle, secret.Other[:]) {
		t.Error("an entry for the privacy officer went to an ente")
	}
	if !bytes.Contains(bundle, l.entries[0].Message[:]) {
		t.Error("the ente's own entry is not there")
	}
}

// An ente's bundle says how far its sequence went, also where its last leaves were deleted: a verifier
// then misses them.
func TestEnteBundleMissesItsDeletedTail(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	from := l.traffic(t, 20, hub.Delivered)
	to := l.traffic(t, 20, hub.Delivered)
	o := app.AuditOptions{From: from.Format(time.RFC3339Nano), To: to.Format(time.RFC3339Nano), Ente: "ENTE-1"}
	want := l.open(t, l.export(t, o)).members["ente/sequences"]
	l.exec(t, `DELETE FROM hub.journal_leaf WHERE leaf_index IN (
		SELECT leaf_index FROM hub.journal_leaf WHERE ente_id = 1 ORDER BY leaf_index DESC LIMIT 5)`)
	if got := l.open(t, l.export(t, o)).members["ente/sequences"]; string(got) != string(want) {
		t.Errorf("sequences %q, want %q", got, want)
	}
}

func TestBundleKeepsThePlaceOfWhatHasGone(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	to := l.traffic(t, 128, hub.Delivered)
	l.exec(t, "DELETE FROM hub.journal_entry WHERE id = $1", l.entries[7].ID)
	l.exec(t, "DELETE FROM hub.message WHERE id = $1", l.entries[10].Message)
	l.exec(t, "UPDATE hub.attempt SET sealed = NULL, seal_epoch = NULL WHERE delivery_id = $1", l.entries[20].Delivery)
	l.exec(t, "DELETE FROM hub.journal_leaf WHERE leaf_index IN (30, 255)") // which retention never does
	b := l.open(t, l.export(t, app.AuditOptions{From: l.began.Format(time.RFC3339), To: to.Format(time.RFC3339Nano)}))
	entries := records(t, b.members["tile/entries/"+b.path(0)], 2)
	sealed := records(t, b.members["sealed/"+b.path(0)], 4)
	if len(entries) != 256 || len(sealed) != 256 {
		t.Fatalf("%d entries, %d sealed", len(entries), len(sealed))
	}
	for i, data := range entries {
		if gone := i == 7 || i == 30 || i == 255; gone != (len(data) == 0) {
			t.Errorf("leaf %d has %d bytes", i, len(data))
		}
	}
	for i, data := range sealed {
		if gone := slices.Contains([]int{7, 10, 21, 30, 255}, i); gone != (len(data) == 0) {
			t.Errorf("sealed bytes of leaf %d: %d", i, len(data))
		}
	}
}

func TestBundleNamesVersionsThatAreMissing(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	reference := codelist.Builtin().Version()
	for _, v := range []journal.Evidence{
		{Schema: "1.0", Rules: 1, Mapping: 1, Reference: reference},
		{Schema: "2.0", Rules: 99, Mapping: 10, Reference: "0123456789ab"},
		{Schema: "1.0", Rules: 2, Mapping: 9},
	} {
		l.accepted(1, 1).Evidence = v
	}
	to := l.write(t)
	b := l.open(t, l.export(t, app.AuditOptions{From: l.began.Format(time.RFC3339), To: to.Format(time.RFC3339Nano)}))
	const want = "mapping 10\nmapping 9\nreference 0123456789ab\nrules 99\nschema 2.0\n"
	if diff := cmp.Diff(want, string(b.members["versions-missing"])); diff != "" {
		t.Error(diff)
	}
	for _, name := range []string{"mapping/1/foglie.tsv", "rules/1.txt", "rules/2.txt", "reference/" + reference} {
		if len(b.members[name]) == 0 {
			t.Errorf("no member %s", name)
		}
	}
	if text := string(b.members["reference/"+reference]); strings.Count(text, "\n") != len(codelist.Builtin()) {
		t.Errorf("digests of the lists: %q", text)
	}
}

func TestBundleHasTheCheckpointsOfItsRange(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	var at []time.Time
	for range 5 {
		at = append(at, l.traffic(t, 3, hub.Delivered))
	}
	late := time.Now().Add(time.Hour)
	for name, test := range map[string]struct {
		from, to    time.Time
		first, last int
	}{
		"both ends":          {at[1], at[3], 1, 3},
		"closed later":       {at[1].Add(time.Microsecond), at[2].Add(time.Microsecond), 2, 3},
		"one":                {at[1], at[1].Add(time.Microsecond), 1, 2},
		"not closed yet":     {at[3], late, 3, 4},
		"before all of them": {l.began.Add(-time.Hour), l.began, 0, 0},
	} {
		b := l.open(t, l.export(t, app.AuditOptions{From: test.from.Format(time.RFC3339Nano), To: test.to.Format(time.RFC3339Nano)}))
		var want strings.Builder
		for n := test.first; n <= test.last; n++ {
			text := l.note(t, at[n])
			fmt.Fprintf(&want, "%d\n%s", len(text), text)
		}
		if diff := cmp.Diff(want.String(), string(b.members["checkpoints"])); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if string(b.members["checkpoint"]) != l.note(t, at[test.last]) {
			t.Errorf("%s: closed by another checkpoint", name)
		}
		end := test.to
		if test.to.Equal(late) {
			end = at[4] // as far as it goes
		}
		if got := b.manifest["to"]; got != end.Format(time.RFC3339Nano) {
			t.Errorf("%s: ends %s, want %s", name, got, end)
		}
	}
}

// note is the checkpoint that was signed at a time.
func (l *ledger) note(t *testing.T, at time.Time) (text string) {
	t.Helper()
	if err := l.admin.QueryRow(t.Context(), "SELECT note FROM hub.journal_checkpoint WHERE at = $1", at).Scan(&text); err != nil {
		t.Fatal(err)
	}
	return text
}

// Whoever can change the database must not choose by its columns what a range shows.
func TestExportTakesItsRangeFromSignedCheckpoints(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	from := l.traffic(t, 10, hub.Delivered).Add(time.Microsecond)
	l.traffic(t, 280, hub.Delivered)
	to := l.traffic(t, 20, hub.Delivered)
	for name, change := range map[string]string{
		"a size":           "UPDATE hub.journal_checkpoint SET size = size + 1000000000 WHERE size = 20",
		"a closing size":   "UPDATE hub.journal_checkpoint SET size = size + 1000000000 WHERE size = 620",
		"a time":           "UPDATE hub.journal_checkpoint SET at = '" + from.Format(time.RFC3339Nano) + "' WHERE size = 580",
		"another's text":   "UPDATE hub.journal_checkpoint SET note = (SELECT note FROM hub.journal_checkpoint WHERE size = 20) WHERE size = 620",
		"a text":           "UPDATE hub.journal_checkpoint SET note = replace(note, '620', '621') WHERE size = 620",
		"the text is gone": "UPDATE hub.journal_checkpoint SET note = '' WHERE size = 20",
	} {
		l.exec(t, "CREATE TABLE kept AS SELECT id, size, root, at, note FROM hub.journal_checkpoint")
		l.exec(t, change)
		if n := l.changed(t); n != 1 {
			t.Fatalf("%s: %d rows changed", name, n)
		}
		o := app.AuditOptions{
			From: from.Format(time.RFC3339Nano), To: to.Format(time.RFC3339Nano), Out: filepath.Join(t.TempDir(), "new.zip"),
			Actor: "ada", Reason: "prova", Progress: io.Discard,
		}
		if err := app.ExportEvidence(t.Context(), l.cfg, o, io.Discard); err == nil {
			t.Errorf("exported although %s was changed", name)
		}
		l.exec(t, "DELETE FROM hub.journal_checkpoint")
		l.exec(t, "INSERT INTO hub.journal_checkpoint (id, size, root, at, note) OVERRIDING SYSTEM VALUE SELECT id, size, root, at, note FROM kept")
		l.exec(t, "DROP TABLE kept")
	}
}

// changed is how many checkpoints are not as they were kept.
func (l *ledger) changed(t *testing.T) (n int) {
	t.Helper()
	if err := l.admin.QueryRow(t.Context(), `SELECT count(*) FROM hub.journal_checkpoint c
		WHERE (c.id, c.size, c.at, c.note) NOT IN (SELECT k.id, k.size, k.at, k.note FROM kept k)`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestExportRefuses(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	to := l.traffic(t, 10, hub.Delivered)
	l.exec(t, "INSERT INTO hub.ente (environment, code, zone, region) VALUES (1, 'ENTE-3', 'ZONA-1', '17')")
	folder := t.TempDir()
	there := filepath.Join(folder, "there.zip")
	if err := os.WriteFile(there, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := app.AuditOptions{
		From: l.began.Format(time.RFC3339), To: to.Format(time.RFC3339Nano), Out: filepath.Join(folder, "new.zip"),
		Actor: "ada", Reason: "richiesta dell'auditor", Progress: io.Discard,
	}
	for name, change := range map[string]func(*app.AuditOptions){
		"a file that is there": func(o *app.AuditOptions) { o.Out = there },
		"no reason":            func(o *app.AuditOptions) { o.Reason = " " },
		"a reason that names":  func(o *app.AuditOptions) { o.Reason = "chiesto per RSSMRA85T10A562S" },
		"an unknown ente":      func(o *app.AuditOptions) { o.Ente = "ENTE-9" },
		"a range turned round": func(o *app.AuditOptions) { o.From, o.To = o.To, o.From },
		"no range":             func(o *app.AuditOptions) { o.From = "yesterday" },
		"a range to come":      func(o *app.AuditOptions) { o.From, o.To = "2099-01-01", "2099-12-31" },
		"a folder that is not": func(o *app.AuditOptions) { o.Out = filepath.Join(folder, "none", "new.zip") },
		"an ente of which nothing came": func(o *app.AuditOptions) {
			o.Ente = "ENTE-3"
		},
	} {
		o := good
		change(&o)
		if err := app.ExportEvidence(t.Context(), l.cfg, o, io.Discard); err == nil {
			t.Errorf("%s: exported", name)
		}
	}
	names, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(there); len(names) != 1 || string(text) != "mine" {
		t.Errorf("the folder has %v, the file %q", names, text)
	}
	var n int
	if err := l.admin.QueryRow(t.Context(), "SELECT count(*) FROM hub.journal_queue").Scan(&n); err != nil || n > 0 {
		t.Errorf("%d exports journalled that were refused (%v)", n, err)
	}
	good.Out, good.Force = there, true
	if err := app.ExportEvidence(t.Context(), l.cfg, good, io.Discard); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(there)
	if err != nil || info.Mode() != 0o600 || info.Size() < 1000 {
		t.Errorf("--force wrote %v (%v)", info, err)
	}
}

func TestExportShowsHowFarItIs(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	to := l.traffic(t, 400, hub.Delivered)
	for _, ente := range []string{"", "ENTE-1"} {
		var shown, said bytes.Buffer
		if err := app.ExportEvidence(t.Context(), l.cfg, app.AuditOptions{
			From: l.began.Format(time.RFC3339), To: to.Format(time.RFC3339Nano), Ente: ente, Out: filepath.Join(t.TempDir(), "new.zip"),
			Actor: "ada", Reason: "prova", Interactive: true, Progress: &shown,
		}, &said); err != nil {
			t.Fatal(err)
		}
		steps := strings.Split(shown.String(), "\r")
		if len(steps) < 5 || len(steps) > 210 || !strings.HasSuffix(shown.String(), "] 100 %\n") {
			t.Errorf("%d steps of progress, the last %q", len(steps), steps[len(steps)-1])
		}
		before := 0
		for _, step := range steps[1:] {
			var percent int
			if _, err := fmt.Sscanf(step[strings.Index(step, "]")+1:], " %d %%", &percent); err != nil || percent > 100 || percent < before {
				t.Errorf("progress %q after %d %%", step, before)
			}
			before = percent
		}
		if !strings.Contains(said.String(), "MANIFEST ") {
			t.Errorf("told %q", said.String())
		}
	}
}

// stopper ends a context when it is written to.
type stopper struct{ stop context.CancelFunc }

func (s stopper) Write(p []byte) (int, error) {
	s.stop()
	return len(p), nil
}

func TestInterruptedExportLeavesNothing(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	to := l.traffic(t, 400, hub.Delivered)
	folder := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := app.ExportEvidence(ctx, l.cfg, app.AuditOptions{
		From: l.began.Format(time.RFC3339), To: to.Format(time.RFC3339Nano), Out: filepath.Join(folder, "new.zip"),
		Actor: "ada", Reason: "richiesta dell'auditor", Interactive: true, Progress: stopper{cancel},
	}, io.Discard)
	if err == nil {
		t.Error("an interrupted export ended well")
	}
	if names, err := os.ReadDir(folder); err != nil || len(names) > 0 {
		t.Errorf("left behind: %v (%v)", names, err)
	}
	var n int
	if err := l.admin.QueryRow(t.Context(), "SELECT count(*) FROM hub.journal_queue").Scan(&n); err != nil || n > 0 {
		t.Errorf("%d exports journalled that were not made (%v)", n, err)
	}
}
