package app

import (
	"io"
	"strconv"
	"strings"

	"github.com/sinbahub/sinbahub/internal/replay"
)

// tellLedger prints what came of holding rows and entries against each other.
func tellLedger(out io.Writer, l *replay.Ledger) {
	for i := range l.Rows {
		tellRow(out, &l.Rows[i])
	}
	if n := l.Found - int64(len(l.Rows)); n > 0 {
		say(out, "and %d more rows\n", n)
	}
	say(out, "acceptances, attempts and acts of operators held against their rows: %d, %d, %d; rows that are not what the journal says: %d\n",
		l.Accepted, l.Attempts, l.Acts, l.Found)
	if l.Gone > 0 {
		say(out, "rows or entries that were not there to be compared, being past their time (retention): %d\n", l.Gone)
	}
	if l.Accepted+l.Attempts+l.Acts == 0 && l.Entries > 0 {
		say(out, "no message was accepted or sent in this range: all of its entries (%d) are of other kinds\n", l.Entries)
	}
}

// tellRow prints one row that is not what the journal says.
func tellRow(out io.Writer, r *replay.LedgerRow) {
	var text strings.Builder
	name := func(what string, id interface{ String() string }) {
		text.WriteString(" " + what + " " + id.String())
	}
	if r.Message != nil {
		name("message", r.Message)
	}
	if r.Event != nil {
		name("event", r.Event)
	}
	if r.Delivery != nil {
		name("delivery", r.Delivery)
	}
	if r.Entry != nil {
		name("entry", r.Entry)
	}
	attempt := ""
	if r.Attempt != 0 {
		attempt = " attempt " + strconv.Itoa(int(r.Attempt))
	}
	say(out, "row%s%s: %s\n", text.String(), attempt, strings.Join(r.Columns, ", "))
}
