package gateway_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/gateway"
	"github.com/sinbahub/sinbahub/internal/hub"
)

// noon is when tests begin.
func noon() time.Time { return time.Date(2024, 4, 8, 12, 0, 0, 0, time.UTC) }

func limits() gateway.Limits {
	return gateway.Limits{Exchanges: 10, BodyMemory: 64 << 20, StrangerRate: 5}
}

func enter(a gateway.Admission, participant int32) string {
	_, _, _, reason := a.Enter(participant, noon())
	return reason
}

func TestOneParticipantCannotTakeTheWholeDoor(t *testing.T) {
	t.Parallel()
	a := gateway.NewAdmission(limits())
	for n := range 5 {
		if reason := enter(a, 1); reason != "" {
			t.Fatalf("request %d of the share refused: %s", n+1, reason)
		}
	}
	if enter(a, 1) != "share" {
		t.Error("a request beyond the share was let in")
	}
	if enter(a, 2) != "" {
		t.Error("another participant was kept out")
	}
	a.Leave(1, 0)
	if enter(a, 1) != "" {
		t.Error("a place given back cannot be taken again")
	}
}

// TestOneParticipantCannotTakeAllTheMemory: who is over its own half is told so, who finds no room
// because of all the others as well.
func TestOneParticipantCannotTakeAllTheMemory(t *testing.T) {
	t.Parallel()
	a := gateway.NewAdmission(limits())
	for _, participant := range []int32{1, 2, 3} {
		enter(a, participant)
	}
	half := int64(32 << 20)
	if a.Grow(1, half) != "" || a.Grow(1, 1) != "share" {
		t.Error("a participant gets half of the room and no more")
	}
	if a.Grow(2, half) != "" || a.Grow(3, 1) != "memory" {
		t.Error("all together get the whole room and no more")
	}
	for _, participant := range []int32{1, 2} {
		a.Leave(participant, half)
	}
	a.Leave(3, 0)
	if participants, left := a.Idle(); participants != 0 || left != 2*half {
		t.Errorf("%d participants and %d bytes left after the last request", participants, left)
	}
}

// TestRateOfOneParticipantLeavesTheOthersAlone takes a burst, waits, and looks at what is told.
func TestRateOfOneParticipantLeavesTheOthersAlone(t *testing.T) {
	t.Parallel()
	l := limits()
	l.Rate, l.Burst = 2, 3
	a := gateway.NewAdmission(l)
	now := noon()
	try := func(participant int32) (remaining int, reset time.Duration, reason string) {
		limit, remaining, reset, reason := a.Enter(participant, now)
		if limit != 2 {
			t.Errorf("the limit told is %d", limit)
		}
		if reason == "" {
			a.Leave(participant, 0)
		}
		return remaining, reset, reason
	}
	for _, want := range []int{2, 1, 0} {
		if remaining, _, reason := try(1); remaining != want || reason != "" {
			t.Fatalf("%d remaining, %q; want %d", remaining, reason, want)
		}
	}
	if remaining, reset, reason := try(1); reason != "rate_limit" || remaining != 0 || reset != 500*time.Millisecond {
		t.Errorf("beyond the burst: %q, %d remaining, next after %v", reason, remaining, reset)
	}
	if _, _, reason := try(2); reason != "" {
		t.Errorf("another participant: %q", reason)
	}
	now = now.Add(500 * time.Millisecond)
	if _, _, reason := try(1); reason != "" {
		t.Errorf("after the time told: %q", reason)
	}
	if _, _, reason := try(1); reason != "rate_limit" {
		t.Errorf("twice after the time for one: %q", reason)
	}
	now = now.Add(time.Hour)
	for range 3 {
		if _, _, reason := try(1); reason != "" {
			t.Errorf("the burst is not whole again: %q", reason)
		}
	}
	if _, _, reason := try(1); reason != "rate_limit" {
		t.Errorf("a long wait gave more than the burst: %q", reason)
	}
}

func TestStrangersHaveARateOfTheirOwn(t *testing.T) {
	t.Parallel()
	a := gateway.NewAdmission(limits())
	for n := range 10 {
		if !a.Stranger(noon()) {
			t.Fatalf("request %d refused", n+1)
		}
	}
	if a.Stranger(noon()) {
		t.Error("more than the burst")
	}
	if enter(a, 1) != "" {
		t.Error("strangers keep a participant out")
	}
	if !a.Stranger(noon().Add(time.Second)) {
		t.Error("strangers are kept out for good")
	}
}

// TestBodyTakesRoomOnlyAsItArrives: a body that only announces itself costs nothing.
func TestBodyTakesRoomOnlyAsItArrives(t *testing.T) {
	t.Parallel()
	var taken int64
	grow := func(n int64) *hub.Error {
		taken += n
		return nil
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
	full := func(n int64) *hub.Error {
		if n < 20_000 {
			return nil
		}
		return hub.NewError(hub.Overloaded, hub.CodeOverloaded, nil)
	}
	var refusal *hub.Error
	if _, err := gateway.ReadBody(bytes.NewReader(make([]byte, 100_000)), -1, full); !errors.As(err, &refusal) || refusal.Kind != hub.Overloaded {
		t.Errorf("a body without room: %v", err)
	}
}
