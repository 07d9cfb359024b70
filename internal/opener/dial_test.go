package opener_test

import (
	"errors"
	"os"
	"testing"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/opener"
	"github.com/sinbahub/sinbahub/internal/ticket"
)

// TestADialledClientNeverConnectsAgain takes the socket away behind the first connection: everything it asks
// goes over that one, refusals too, and when the opener ends nothing answers any more, whoever comes after.
func TestADialledClientNeverConnectsAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	child := w.child()
	message := w.message(child, "as it came")
	client, err := opener.Dial(t.Context(), w.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := os.Rename(w.socket, w.socket+".away"); err != nil {
		t.Fatal(err)
	}
	if err := opener.NewClient(w.socket).Alive(t.Context()); !errors.Is(err, opener.ErrUnreachable) {
		t.Fatalf("the socket is still there: %v", err)
	}
	for range 3 {
		if err := client.Alive(t.Context()); err != nil {
			t.Fatal(err)
		}
		nobody := uuid.New()
		if _, err := client.Open(t.Context(), opener.Question{Ticket: sign(t, draft(ticket.Open, one(nobody))), ID: nobody}); !errors.Is(err, opener.ErrUnknown) {
			t.Fatal(err)
		}
		if a, err := client.Open(t.Context(), opener.Question{Ticket: sign(t, draft(ticket.Open, one(message))), ID: message}); err != nil || string(a.Plain) != "as it came" {
			t.Fatalf("%v %v", a, err)
		}
	}
	if err := os.Rename(w.socket+".away", w.socket); err != nil {
		t.Fatal(err)
	}
	w.stop()
	w.run(options{})
	if err := client.Alive(t.Context()); !errors.Is(err, opener.ErrUnreachable) {
		t.Errorf("it came back: %v", err)
	}
	if _, err := opener.Dial(t.Context(), w.socket+".none"); !errors.Is(err, opener.ErrUnreachable) {
		t.Errorf("no socket: %v", err)
	}
}
