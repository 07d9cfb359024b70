package app_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/sinbahub/sinbahub/internal/app"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
)

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
