package gateway_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/sinbahub/sinbahub/internal/gateway"
	"github.com/sinbahub/sinbahub/internal/hub"
)

func TestOneParticipantCannotTakeTheWholeDoor(t *testing.T) {
	t.Parallel()
	a := gateway.NewAdmission(10)
	for n := range 5 {
		if !a.Enter(1) {
			t.Fatalf("request %d of the share refused", n+1)
		}
	}
	if a.Enter(1) {
		t.Error("a request beyond the share was let in")
	}
	if !a.Enter(2) {
		t.Error("another participant was kept out")
	}
	a.Leave(1, 0)
	if !a.Enter(1) {
		t.Error("a place given back cannot be taken again")
	}
}

func TestOneParticipantCannotTakeAllTheMemory(t *testing.T) {
	t.Parallel()
	a := gateway.NewAdmission(10)
	for _, participant := range []int32{1, 2, 3} {
		a.Enter(participant)
	}
	half := int64(gateway.BodiesTotal / 2)
	if !a.Grow(1, half) || a.Grow(1, 1) {
		t.Error("a participant gets half of the room and no more")
	}
	if !a.Grow(2, half) || a.Grow(3, 1) {
		t.Error("all together get the whole room and no more")
	}
	for _, participant := range []int32{1, 2} {
		a.Leave(participant, half)
	}
	a.Leave(3, 0)
	if participants, left := a.Idle(); participants != 0 || left != gateway.BodiesTotal {
		t.Errorf("%d participants and %d bytes left after the last request", participants, left)
	}
}

// TestBodyTakesRoomOnlyAsItArrives: a body that only announces itself costs nothing.
func TestBodyTakesRoomOnlyAsItArrives(t *testing.T) {
	t.Parallel()
	var taken int64
	grow := func(n int64) bool {
		taken += n
		return true
	}
	if _, err := gateway.ReadBody(bytes.NewReader(nil), 2<<20, grow); err == nil || taken > 64<<10 {
		t.Errorf("an announced body of 2 MiB took %d bytes: %v", taken, err)
	}
	for _, size := range []int{0, 1, 16<<10 - 1, 16 << 10, 16<<10 + 1, 300_000, 2 << 20} {
		for _, length := range []int64{int64(size), -1} {
			taken = 0
			want := bytes.Repeat([]byte("è"), size)[:size]
			got, err := gateway.ReadBody(io.MultiReader(bytes.NewReader(want[:size/2]), bytes.NewReader(want[size/2:])), length, grow)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes of length %d: got %d, %v", size, length, len(got), err)
			}
			if taken > 2*int64(size)+32<<10 {
				t.Errorf("%d bytes of length %d took room for %d", size, length, taken)
			}
		}
	}
	var refusal *hub.Error
	if _, err := gateway.ReadBody(bytes.NewReader(make([]byte, 100_000)), -1, func(n int64) bool { return n < 20_000 }); !errors.As(err, &refusal) || refusal.Kind != hub.Overloaded {
		t.Errorf("a body without room: %v", err)
	}
}
