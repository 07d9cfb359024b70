package gateway_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/sinbahub/sinbahub/internal/gateway"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
)

// Whatever was asked before, in whatever order, a local id has the stand-in that the keys give.
func TestRememberedStandInsAreThoseOfTheKeys(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := pseudonym.InitKeys(dir, hub.Test, time.Now()); err != nil {
		t.Fatal(err)
	}
	keys, err := pseudonym.LoadKeys(dir, hub.Test)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		codes, err := keys.Codes(pseudonym.Region, keys.Epoch(pseudonym.Region), uuid.Nil, uuid.New())
		if err != nil {
			rt.Fatal(err)
		}
		rekey := gateway.StandIns(codes)
		for range rapid.IntRange(0, 40).Draw(rt, "times") {
			kind := rapid.SampledFrom([]string{"", "IdProgetto", "IdIntervento"}).Draw(rt, "kind")
			value := rapid.SampledFrom([]string{"", "1", "2", "IdProgetto", "P-1"}).Draw(rt, "value")
			if rekey(kind, value) != codes.Rekey(kind, value) {
				rt.Fatalf("%s %s has another stand-in than its own", kind, value)
			}
		}
	})
}

// What an exchange gives back holds nothing of its message.
func TestRoomIsOverwrittenBeforeItIsLentAgain(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 14, 16 << 10, 70_000} {
		left := gateway.Overwritten(strings.Repeat("x", size), strings.Repeat("y", size))
		if bytes.ContainsAny(left, "xy") {
			t.Errorf("something of %d bytes is still there", size)
		}
	}
}
