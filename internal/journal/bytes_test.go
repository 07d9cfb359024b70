package journal_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
)

func draw(t *rapid.T) journal.Entry {
	id := func(label string) uuid.UUID {
		return uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, label))
	}
	digest := func(label string) [32]byte {
		return [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, label))
	}
	var codes []hub.Code
	for _, c := range rapid.SliceOfN(rapid.StringN(0, 12, 40), 0, 4).Draw(t, "codes") {
		codes = append(codes, hub.Code(c))
	}
	var severities [32]byte
	if rapid.Bool().Draw(t, "softened") {
		severities = digest("severities")
	}
	var actor, reason string
	if rapid.Bool().Draw(t, "acted") {
		actor, reason = rapid.String().Draw(t, "actor"), rapid.String().Draw(t, "reason")
	}
	var other uuid.UUID
	if rapid.Bool().Draw(t, "paired") {
		other = id("other")
	}
	return journal.Entry{
		ID:          id("id"),
		At:          time.UnixMicro(rapid.Int64Range(-1<<50, 1<<52).Draw(t, "at")).UTC(),
		Kind:        journal.Kind(rapid.Byte().Draw(t, "kind")),
		Environment: hub.Environment(rapid.Byte().Draw(t, "environment")),
		Participant: rapid.Int32().Draw(t, "participant"),
		Ente:        rapid.Int32().Draw(t, "ente"),
		Message:     id("message"),
		Event:       id("event"),
		Delivery:    id("delivery"),
		Attempt:     rapid.Int32().Draw(t, "attempt"),
		Outcome:     rapid.String().Draw(t, "outcome"),
		Codes:       codes,
		Count:       rapid.Int32().Draw(t, "count"),
		Sealed:      digest("sealed"),
		Commitment:  digest("commitment"),
		Severities:  severities,
		Actor:       actor,
		Reason:      reason,
		Other:       other,
		Evidence:    drawEvidence(t),
	}
}

func drawEvidence(t *rapid.T) (v journal.Evidence) {
	if !rapid.Bool().Draw(t, "evidence") {
		return v
	}
	digest := rapid.SliceOfN(rapid.Byte(), 32, 32)
	v = journal.Evidence{
		Outbound: [32]byte(digest.Draw(t, "outbound")), Regional: [32]byte(digest.Draw(t, "regional")),
		State: [32]byte(digest.Draw(t, "state")), Schema: rapid.String().Draw(t, "schema"),
		Rules: rapid.Int32().Draw(t, "rules"), Mapping: rapid.Int32().Draw(t, "mapping"),
		Reference: rapid.String().Draw(t, "reference"), Hub: rapid.String().Draw(t, "hub"),
		RegionEpoch: rapid.Int32().Draw(t, "region"), NationEpoch: rapid.Int32().Draw(t, "nation"),
	}
	if rapid.Bool().Draw(t, "started") {
		v.StartedAt = time.UnixMicro(rapid.Int64Range(1, 1<<52).Draw(t, "started at")).UTC()
	}
	if rapid.Bool().Draw(t, "origin") {
		v.Origin = rapid.SliceOfN(rapid.Byte(), 1, 90).Draw(t, "sealed origin")
	}
	return v
}

func TestParseReadsWhatBytesWrote(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		e := draw(t)
		got, err := journal.Parse(e.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(e, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

// Whatever is not refused has exactly one form, so a changed byte is another entry or none.
func TestParseTakesCanonicalBytesOnly(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := draw(t).Bytes()
		at := rapid.IntRange(0, len(b)-1).Draw(t, "at")
		b[at] ^= byte(rapid.IntRange(1, 255).Draw(t, "change"))
		e, err := journal.Parse(b)
		if err == nil && !bytes.Equal(e.Bytes(), b) {
			t.Fatalf("byte %d: accepted bytes that Bytes does not write", at)
		}
	})
}

func TestParseRefusesOtherLengths(t *testing.T) {
	t.Parallel()
	first := journal.Entry{Outcome: "accepted", Codes: []hub.Code{"SINBA_303"}}
	second, third, fourth := first, first, first
	second.Severities = [32]byte{1}
	third.Actor = "ada"
	fourth.Other = uuid.New()
	for _, e := range []journal.Entry{first, second, third, fourth} {
		full := e.Bytes()
		for n := range full {
			if _, err := journal.Parse(full[:n]); !errors.Is(err, journal.ErrFormat) {
				t.Fatalf("version %d cut to %d bytes: %v", full[0], n, err)
			}
		}
		if _, err := journal.Parse(append(full, 0)); !errors.Is(err, journal.ErrFormat) {
			t.Fatalf("version %d, one byte more: %v", full[0], err)
		}
	}
}

// The bytes are evidence for years: this is what version 1 looks like for ever.
func TestBytesOfVersionOneAreFixed(t *testing.T) {
	t.Parallel()
	e := journal.Entry{
		ID:          uuid.MustParse("01890a5d-ac96-774b-bcce-b302099a8057"),
		At:          time.Date(2026, 3, 1, 8, 30, 0, 123456000, time.UTC),
		Kind:        journal.EventAccepted,
		Environment: hub.Prod,
		Participant: 3,
		Ente:        math.MaxInt32,
		Message:     uuid.MustParse("01890a5d-ac96-774b-bcce-b302099a8058"),
		Event:       uuid.MustParse("6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
		Delivery:    uuid.MustParse("01890a5d-ac96-774b-bcce-b302099a8059"),
		Attempt:     -1,
		Outcome:     "ACCETTATO",
		Codes:       []hub.Code{"SINBA_303", "SINBA_306"},
		Count:       1,
		Sealed:      [32]byte{0: 0xaa, 31: 0xbb},
		Commitment:  [32]byte{0: 0xcc, 31: 0xdd},
	}
	const want = "" +
		"01" +
		"0000001001890a5dac96774bbcceb302099a8057" +
		"00000008" + "00064bf246ac3440" +
		"0000000101" +
		"0000000101" +
		"0000000400000003" +
		"000000047fffffff" +
		"0000001001890a5dac96774bbcceb302099a8058" +
		"000000106ba7b8109dad11d180b400c04fd430c8" +
		"0000001001890a5dac96774bbcceb302099a8059" +
		"00000004ffffffff" +
		"00000009" + "4143434554544154" + "4f" +
		"0000001a" + "0000000953494e42415f333033" + "0000000953494e42415f333036" +
		"0000000400000001" +
		"00000020aa000000000000000000000000000000000000000000000000000000000000bb" +
		"00000020cc000000000000000000000000000000000000000000000000000000000000dd"
	if diff := cmp.Diff(want, hex.EncodeToString(e.Bytes())); diff != "" {
		t.Error(diff)
	}
	// Version 2 has one field more, which is never zero.
	e.Severities = [32]byte{0: 0xee, 31: 0xff}
	last := "00000020ee000000000000000000000000000000000000000000000000000000000000ff"
	second := "02" + want[2:] + last
	if diff := cmp.Diff(second, hex.EncodeToString(e.Bytes())); diff != "" {
		t.Error(diff)
	}
	zero, _ := hex.DecodeString("02" + want[2:] + "00000020" + strings.Repeat("00", 32))
	if _, err := journal.Parse(zero); !errors.Is(err, journal.ErrFormat) {
		t.Error("version 2 with an empty field:", err)
	}
	// Version 3 has two more, which are never both empty.
	e.Actor, e.Reason = "ada", "chiesto da SISS"
	third := "03" + want[2:] + last + "00000003" + "616461" + "0000000f" + "6368696573746f2064612053495353"
	if diff := cmp.Diff(third, hex.EncodeToString(e.Bytes())); diff != "" {
		t.Error(diff)
	}
	empty, _ := hex.DecodeString("03" + want[2:] + last + strings.Repeat("0", 16))
	if _, err := journal.Parse(empty); !errors.Is(err, journal.ErrFormat) {
		t.Error("version 3 without actor and reason:", err)
	}
	// Version 4 has one more, which is never zero, behind all of these even where they are empty.
	e.Severities, e.Actor, e.Reason = [32]byte{}, "", ""
	e.Other = uuid.MustParse("01890a5d-ac96-774b-bcce-b302099a805a")
	before := "04" + want[2:] + "00000020" + strings.Repeat("00", 32) + "00000000" + "00000000"
	if diff := cmp.Diff(before+"00000010"+"01890a5dac96774bbcceb302099a805a", hex.EncodeToString(e.Bytes())); diff != "" {
		t.Error(diff)
	}
	for name, other := range map[string]string{"short": "0000000f" + strings.Repeat("5a", 15), "long": "00000011" + strings.Repeat("5a", 17), "none": "00000000"} {
		b, _ := hex.DecodeString(before + other)
		if _, err := journal.Parse(b); !errors.Is(err, journal.ErrFormat) {
			t.Errorf("version 4 with a field too %s: %v", name, err)
		}
	}
	nobody, _ := hex.DecodeString(before + "00000010" + strings.Repeat("00", 16))
	if _, err := journal.Parse(nobody); !errors.Is(err, journal.ErrFormat) {
		t.Error("version 4 with an empty field:", err)
	}
	// Version 5 has a group more, of which something is never empty.
	e.Evidence = journal.Evidence{
		StartedAt: time.UnixMicro(1).UTC(), Outbound: [32]byte{31: 1}, Regional: [32]byte{31: 2}, State: [32]byte{31: 3},
		Schema: "1.1", Rules: 4, Mapping: 5, Reference: "r6", Hub: "v7", RegionEpoch: 8, NationEpoch: 9, Origin: []byte{0xaa},
	}
	zeroes := strings.Repeat("00", 31)
	fifth := "05" + before[2:] + "0000001001890a5dac96774bbcceb302099a805a" +
		"000000080000000000000001" + "00000020" + zeroes + "01" + "00000020" + zeroes + "02" + "00000020" + zeroes + "03" +
		"00000003312e31" + "0000000400000004" + "0000000400000005" + "000000027236" + "000000027637" +
		"0000000400000008" + "0000000400000009" + "00000001aa"
	if diff := cmp.Diff(fifth, hex.EncodeToString(e.Bytes())); diff != "" {
		t.Error(diff)
	}
	yearOne, _ := hex.DecodeString(strings.Replace(fifth, "000000080000000000000001", "00000008ff23400100d44000", 1))
	if _, err := journal.Parse(yearOne); !errors.Is(err, journal.ErrFormat) {
		t.Error("version 5 with the zero time in another way:", err)
	}
	e.Evidence = journal.Evidence{}
	none, _ := hex.DecodeString("05" + hex.EncodeToString(e.Bytes())[2:] + "000000080000000000000000" +
		strings.Repeat("00000020"+strings.Repeat("00", 32), 3) + "00000000" + "0000000400000000" + "0000000400000000" +
		"00000000" + "00000000" + "0000000400000000" + "0000000400000000" + "00000000")
	if _, err := journal.Parse(none); !errors.Is(err, journal.ErrFormat) {
		t.Error("version 5 with nothing in it:", err)
	}
}
