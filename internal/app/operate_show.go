package app

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/postgres"
)

// showLine is all of a delivery as JSON.
type showLine struct {
	listLine

	Environment   string      `json:"environment"`
	Event         uuid.UUID   `json:"event_id"`
	Operation     string      `json:"operation"`
	Registration  uuid.UUID   `json:"registration_id"`
	Protocol      string      `json:"protocol,omitempty"`
	Spared        int32       `json:"spared"`
	Tries         []tryLine   `json:"tries"`
	Waiting       []otherLine `json:"waiting"`
	Transmissions []otherLine `json:"transmissions"`
	Corrections   []uuid.UUID `json:"corrections"`
	Acts          []actLine   `json:"acts"`
}

// tryLine is an attempt in JSON.
type tryLine struct {
	Number       int32     `json:"number"`
	StartedAt    time.Time `json:"started_at"`
	Milliseconds int64     `json:"took_ms"`
	State        string    `json:"state"`
	Codes        []string  `json:"codes"`
	Sent         bool      `json:"sent"`
}

// actLine is what an operator did, in JSON.
type actLine struct {
	Entry    uuid.UUID `json:"entry_id"`
	At       time.Time `json:"at"`
	Verb     string    `json:"verb"`
	Delivery uuid.UUID `json:"delivery_id"`
	Actor    string    `json:"actor"`
	Reason   string    `json:"reason"`
}

func shownLine(d *postgres.ShownDelivery) showLine {
	line := showLine{
		listLine: newListLine(&d.ListedDelivery), Environment: d.Environment.String(), Event: d.Event, Operation: d.Operation,
		Registration: d.Registration, Protocol: d.Protocol, Spared: d.Spared, Corrections: notNil(d.Corrections),
		Tries: []tryLine{}, Waiting: []otherLine{}, Transmissions: []otherLine{}, Acts: []actLine{},
	}
	for _, t := range d.Tries {
		line.Tries = append(line.Tries, tryLine{t.Number, t.StartedAt, t.Took.Milliseconds(), string(t.State), notNil(t.Codes), t.Sent})
	}
	for _, w := range d.Followers {
		line.Waiting = append(line.Waiting, newOtherLine(w))
	}
	for _, t := range d.Transmissions {
		line.Transmissions = append(line.Transmissions, newOtherLine(t))
	}
	for _, e := range d.Acts {
		line.Acts = append(line.Acts, actLine{e.ID, e.At, e.Outcome, e.Delivery, e.Actor, e.Reason})
	}
	return line
}

// printShown prints a delivery for people.
func printShown(out io.Writer, d *postgres.ShownDelivery) error {
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	row := func(name, format string, values ...any) {
		_, _ = fmt.Fprintf(table, name+"\t"+format+"\n", values...)
	}
	state := string(d.State) + " since " + d.ChangedAt.Format(time.RFC3339)
	if d.Held {
		state += ", an attempt is under way until " + d.DueAt.Format(time.RFC3339) + " at the latest"
	} else if !d.DueAt.IsZero() {
		state += ", due " + d.DueAt.Format(time.RFC3339)
	}
	row("delivery (IdTrasmissione)", "%s", d.ID)
	row("receipt (IdRicevuta)", "%s", d.Message)
	row("event (IdEvento)", "%s", d.Event)
	row("registration (journal)", "%s", d.Registration)
	row("ente", "%s (%s)", d.Ente, d.Environment)
	row("type", "%s %s", d.Type, d.Operation)
	row("received", "%s, %s ago", d.ReceivedAt.Format(time.RFC3339), age(d.Age))
	row("state", "%s", state)
	row("protocol", "%s", dash(d.Protocol))
	row("attempts", "%d, of which %d do not count against the budget", d.Attempts, d.Spared)
	row("codes", "%s", dash(strings.Join(d.Codes, " ")))
	row("waits behind", "%s", behindWords(d.Behind))
	for _, w := range d.Followers {
		row("waits behind this", "%s", neighbourWords(w))
	}
	for _, t := range d.Transmissions {
		row("sent as well as", "%s", neighbourWords(t))
	}
	for _, c := range d.Corrections {
		row("corrected or annulled by", "%s", c)
	}
	for _, t := range d.Tries {
		row("attempt", "%d %s %s %s %s", t.Number, t.StartedAt.Format(time.RFC3339), t.Took.Truncate(time.Millisecond), t.State, strings.Join(t.Codes, " "))
	}
	for _, e := range d.Acts {
		row("operator", "%s %s %s %s: %s", e.At.Format(time.RFC3339), e.Actor, e.Outcome, e.Delivery, e.Reason)
	}
	return table.Flush()
}
