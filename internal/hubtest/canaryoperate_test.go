//go:build e2e || smoke

package hubtest_test

import (
	"cmp"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/siss"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// printed is what a command printed, on either stream.
type printed struct {
	name string
	text []byte
}

// run runs one of the hub's commands beside it, wants it to be done or refused, and keeps what it
// printed.
func (c *canary) run(done bool, args ...string) string {
	c.t.Helper()
	out, exit := c.tell(args...)
	if (exit == 0) != done {
		c.t.Errorf("%q: exit %d: %.500s", args[:2], exit, out)
	}
	return out
}

// tell runs one of the hub's commands, however it ends, and keeps what it printed.
func (c *canary) tell(args ...string) (out string, exit int) {
	c.t.Helper()
	cmd := exec.CommandContext(c.t.Context(), filepath.Join(cmp.Or(c.binaries, hubtest.Binaries(c.t)), "sinbahub"), args...)
	cmd.Env = append(c.hub.Environ(), "SINBAHUB_SISS_URL="+c.hub.Run.SissURL)
	cmd.Env = append(cmd.Env, c.environ...)
	text, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		c.t.Fatal(err)
	}
	c.told = append(c.told, printed{strings.Join(args[:min(2, len(args))], " "), text})
	return string(text), cmd.ProcessState.ExitCode()
}

// number asks the database.
func (c *canary) number(query string) int64 { return hubtest.Number(c.t, c.db, query) }

// await waits for so many deliveries in a state.
func (c *canary) await(state string, want int64) {
	c.t.Helper()
	hubtest.Await(c.t, patience, "deliveries become "+state, func() bool {
		return c.number("SELECT count(*) FROM hub.delivery WHERE state = '"+state+"'") >= want
	})
}

// accept has one more event accepted that holds every leaf of an opening.
func (c *canary) accept() {
	c.t.Helper()
	if a := c.send("AperturaCartella for operators", soap.V12, loud(c.full("AperturaCartella", "CodiceENI"))); a.Receipt == nil {
		c.t.Fatalf("%s", a.Body)
	}
}

// operators do what they can beside the running hub, and then while serve is stopped, with identities
// wherever a word of theirs is taken. It leaves the hub running, and rows in the tables of what they did.
func (c *canary) operators() {
	c.t.Helper()
	c.hub.MisbehaveSiss(siss.Faults{RefuseRatio: 1})
	c.accept()
	c.await("refused", 1)
	c.hub.MisbehaveSiss(siss.Faults{UnavailableRatio: 1})
	c.accept()
	c.await("retrying", 1)
	c.operateDeliveries()
	c.look()
	c.rotate()
	c.maintain()
	// Serve runs it too, but not before its hour.
	c.run(true, "retention", "run", "--reason", "prova")
	// What an event alone does not tell is missing from the flow, and the cases are named by their ids.
	c.run(false, "flusso", "--ente", "SDS-PI", "--riferimento", "2023-12-31", "-o", filepath.Join(c.t.TempDir(), "flusso.xml"))
	c.told = append(c.told, printed{"metrics before the stop", c.hub.Metrics()})
	c.reconcileAndAccept()
	c.hub.Up()
}

// operateDeliveries lists, shows and sends again, and names people where a reason, an account, an id or
// a filter is asked for.
func (c *canary) operateDeliveries() {
	c.t.Helper()
	var refused uuid.UUID
	if err := c.db.QueryRow(c.t.Context(), "SELECT id FROM hub.delivery WHERE state = 'refused'").Scan(&refused); err != nil {
		c.t.Fatal(err)
	}
	id := refused.String()
	for _, asJSON := range [][]string{nil, {"--json"}} {
		c.run(true, append([]string{"delivery", "list", "--limit", "1000", "--state", "delivered", "--state", "refused", "--state", "retrying"}, asJSON...)...)
		c.run(true, append([]string{"delivery", "list", "--count"}, asJSON...)...)
		c.run(true, append([]string{"delivery", "show", id}, asJSON...)...)
		for _, flag := range []string{"--ente", "--type", "--code"} {
			c.run(true, append([]string{"delivery", "list", flag, c.marks.code()}, asJSON...)...)
		}
		c.run(false, append([]string{"delivery", "list", "--after", c.marks.code()}, asJSON...)...)
		c.run(false, append([]string{"delivery", "list", "--state", c.marks.code()}, asJSON...)...)
		c.run(false, append([]string{"delivery", "show", c.marks.code()}, asJSON...)...)
		c.run(true, append([]string{"codes", "list", "--state", "told"}, asJSON...)...)
		c.run(false, append([]string{"codes", "retry", c.marks.code(), "--reason", "prova"}, asJSON...)...)
		c.run(false, append([]string{"delivery", "retry", c.marks.code(), "--reason", "prova"}, asJSON...)...)
		for _, reason := range []string{c.marks.code(), c.marks.provisional(), c.marks.foreign("STP"), c.marks.foreign("ENI")} {
			c.run(false, append([]string{"delivery", "redeliver", id, "--new-id", "--reason", "per " + reason}, asJSON...)...)
			c.run(false, append([]string{"delivery", "redeliver", id, "--new-id", "--reason", "prova", "--as", reason, "--key", "x"}, asJSON...)...)
		}
	}
	c.run(true, "delivery", "park", "--state", "retrying", "--reason", "SISS non risponde", "--yes")
	c.run(true, "delivery", "list")
	c.hub.MisbehaveSiss(siss.Faults{})
	c.run(true, "delivery", "unpark", "--state", "parked", "--reason", "SISS risponde", "--yes")
	c.run(true, "delivery", "redeliver", id, "--new-id", "--reason", "SISS ha corretto la regola 300")
	hubtest.Await(c.t, patience, "what was sent again is delivered", func() bool {
		return c.number("SELECT count(*) FROM hub.delivery WHERE state NOT IN ('delivered', 'refused')") == 0
	})
	c.run(true, "delivery", "show", id)
	c.run(true, "delivery", "show", id, "--json")
}

// look opens a message under a ticket, into a file that is its reader's alone, and names people in what is
// asked for one and for a child.
func (c *canary) look() {
	c.t.Helper()
	people := c.hub.People(c.t)
	var receipt uuid.UUID
	if err := c.db.QueryRow(c.t.Context(), "SELECT id FROM hub.event ORDER BY received_at LIMIT 1").Scan(&receipt); err != nil {
		c.t.Fatal(err)
	}
	folder := c.t.TempDir()
	for _, text := range []string{c.marks.code(), c.marks.provisional(), c.marks.foreign("STP"), c.marks.foreign("ENI")} {
		c.run(false, "ticket", "new", "--as", hubtest.Anna, "--reason", "fascicolo "+text, "-o", filepath.Join(folder, "refused"), "open", receipt.String())
		c.run(false, "ticket", "new", "--as", hubtest.Anna, "--reason", "verifica", "-o", filepath.Join(folder, "refused"), "open", text)
		c.run(false, "ticket", "new", "--as", hubtest.Anna, "--reason", "verifica", "-o", filepath.Join(folder, "refused"), "report", "nation", text)
		c.run(false, "subject", "report", text, "--ticket", filepath.Join(folder, "none"))
		c.run(false, "subject", "erase", text, "--dry-run")
		c.run(false, "subject", "find", "--reason", "fascicolo "+text)
	}
	opened := filepath.Join(folder, "opened")
	c.run(true, "open", "--ticket", people.Ticket("verifica di un reclamo", "open", receipt.String()), "-o", opened)
	if !written(opened) {
		c.t.Error("nothing was opened")
	}
}

// rotate gives the nation's codes another key, of which SISS is told, and names people where a reason, an
// account or a key is asked for.
func (c *canary) rotate() {
	c.t.Helper()
	config := filepath.Join(c.hub.Var, "demo.yaml")
	for _, text := range []string{c.marks.code(), c.marks.provisional(), c.marks.foreign("STP"), c.marks.foreign("ENI")} {
		c.run(false, "keys", "rotate", "code-nation", "--reason", "fascicolo "+text, "--config", config)
		c.run(false, "keys", "rotate", "code-nation", "--reason", "scadenza", "--as", text, "--key", "x", "--config", config)
		c.run(false, "keys", "rotate", text, "--reason", "scadenza", "--config", config)
		c.run(false, "keys", "destroy", "code-nation", "1", "--reason", "fascicolo "+text, "--config", config)
	}
	c.run(true, "keys", "rotate", "code-nation", "--reason", "scadenza annuale", "--wait", "60s", "--config", config)
	c.run(true, "keys", "status", "--config", config)
	c.accept() // under the new code
}

// maintain closes the door with a text that is told to senders, and leaves it closed.
func (c *canary) maintain() {
	c.t.Helper()
	for _, text := range []string{c.marks.code(), c.marks.provisional(), c.marks.foreign("STP"), c.marks.foreign("ENI")} {
		c.run(false, "maintenance", "on", "--text", "fascicolo "+text)
		c.run(false, "maintenance", "on", "--text", "chiusura", "--reason", "fascicolo "+text)
		c.run(false, "maintenance", "on", "--text", "chiusura", "--as", text, "--key", "x")
		c.run(false, "maintenance", "on", "--text", "chiusura", "--until", text)
		c.run(false, "maintenance", "off", "--reason", "fascicolo "+text)
	}
	c.run(true, "maintenance", "on", "--text", "Aggiornamento del database", "--until", "9h")
	c.run(true, "maintenance", "show")
	waitForMetric(c.t, c.hub, `hub_admission_closed{reason="maintenance"} 1`)
	if a := c.send("event in maintenance", soap.V12, loud(c.full("AperturaCartella", "CodiceFiscale"))); a.Fault == nil {
		c.t.Errorf("accepted in maintenance: %s", a.Body)
	}
}

// reconcileAndAccept stops serve, compares the day as if it were over, with one delivery lost at SISS
// and one invented, and takes the database for the right one.
func (c *canary) reconcileAndAccept() {
	c.t.Helper()
	rome, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		c.t.Fatal(err)
	}
	day := time.Now().In(rome).Format(time.DateOnly)
	c.run(false, "reconcile", "--day", day)
	c.hub.Terminate()
	hubtest.Await(c.t, patience, "serve ends", func() bool { return !c.hub.Alive() })
	clock := func(set string) {
		c.t.Helper()
		if _, err := c.db.Exec(c.t.Context(), `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I `+set+`', current_database()); END $$`); err != nil {
			c.t.Fatal(err)
		}
	}
	clock("SET hub.clock_offset = ''1 day 10 minutes''")
	c.run(true, "reconcile", "--day", day)
	c.hub.LieAtSiss(siss.Lies{
		Forget: []uuid.UUID{uuid.MustParse(c.hub.Received()[0].ID)},
		Invent: []siss.Invention{{ID: uuid.New(), Type: "INTERVENTO", At: time.Now()}},
	})
	c.run(false, "reconcile", "--day", day)
	c.run(false, "reconcile", "--day", day, "--json")
	clock("RESET hub.clock_offset")
	// What is accepted now is all that is known from then on.
	for _, l := range c.searchFiles() {
		c.t.Errorf("%s: %s in %s", l.place, l.mark, l.around)
	}
	for _, reason := range []string{c.marks.code(), c.marks.foreign("STP")} {
		c.run(false, "accept-database", "--reason", "perso il fascicolo "+reason)
	}
	c.run(true, "accept-database", "--reason", "prova di ripristino")
}

// checkThatOperatorsLeftSomethingToSearch makes sure that every table that can hold more than ids, numbers
// and times has rows, of all that the hub and its vault have, and that there are the files that serve
// keeps about the database.
func (c *canary) checkThatOperatorsLeftSomethingToSearch() {
	c.t.Helper()
	rows, err := c.db.Query(c.t.Context(), `
SELECT DISTINCT n.nspname, t.relname
FROM pg_class t
JOIN pg_namespace n ON n.oid = t.relnamespace AND n.nspname IN ('hub', 'vault')
JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE t.relkind IN ('r', 'p') AND NOT t.relispartition
  AND a.atttypid NOT IN ('uuid'::regtype, 'smallint'::regtype, 'integer'::regtype, 'bigint'::regtype, 'boolean'::regtype,
    'timestamptz'::regtype, 'date'::regtype, 'interval'::regtype)`)
	if err != nil {
		c.t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowToStructByPos[struct{ Schema, Name string }])
	if err != nil || len(tables) < 10 {
		c.t.Fatalf("%d tables, %v", len(tables), err)
	}
	for _, table := range tables {
		// What was received around midnight, and joins (TestE2EAnswersSayNothingOfOtherEnti makes them): by a CHECK
		// the words of their only text are EventType's and the motives of a communication. And claims, which last for
		// seconds: their bytes are an index of the link.
		if table.Name == "reconciliation_near" || table.Name == "code_join" || table.Name == "subject_claim" {
			continue
		}
		if c.number("SELECT count(*) FROM "+pgx.Identifier{table.Schema, table.Name}.Sanitize()) == 0 {
			c.t.Errorf("nothing stands in %s.%s", table.Schema, table.Name)
		}
	}
	files, err := filepath.Glob(filepath.Join(c.hub.Var, "position", "PROD", "*"))
	if err != nil || len(files) == 0 {
		c.t.Errorf("no file tells how far the database was: %v", err)
	}
}
