//go:build e2e || smoke

package hubtest_test

import (
	"bytes"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/klauspost/compress/s2"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// canary sends marked messages and keeps the answers.
type canary struct {
	t       *testing.T
	hub     *hubtest.Hub
	db      *pgx.Conn
	sender  hubtest.Sender
	marks   *marks
	schema  *schema
	answers []answered
	// told is what the hub's commands printed.
	told []printed
	// before are the events that others needed to have happened.
	before int
	// temp has the temporary files of the hub's processes, if it is not below the hub's folder.
	temp string
	// binaries are those of the commands; empty for those of all tests. environ is added to what they get.
	binaries string
	environ  []string
	// searched are the bytes of files that were looked through.
	searched int
}

// answered is an answer and what was asked.
type answered struct {
	name string
	*hubtest.Answer
}

// TestE2ECanaryIdentitiesShowUpNowhere fills every field of messages of every kind, and whatever
// else of a request can carry text, with invented identities, has operators do what they can, with the
// same, and then looks for them everywhere: logs, metrics, answers, what operators are told, the journal,
// every column of every table, every file of the hub.
//
//nolint:tparallel // the search is tested when it has found nothing
func TestE2ECanaryIdentitiesShowUpNowhere(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	c := &canary{t: t, hub: h, db: h.Superuser(), sender: h.Sender(hubtest.ChildEnte), marks: &marks{}, schema: readSchema(t)}
	for _, p := range h.Run.Participants {
		c.marks.secrets = append(c.marks.secrets, h.Password(p))
	}
	accepted := c.sendAccepted()
	c.sendQuestions(accepted[0])
	c.sendRefused(accepted[0])
	c.sendWhileBroken()
	if t.Failed() {
		return
	}
	hubtest.AwaitDelivered(t, c.db, patience)
	c.checkThatThereIsSomethingToSearch(len(accepted) + c.before)
	c.operators()
	c.checkThatOperatorsLeftSomethingToSearch()
	if _, err := c.db.Exec(t.Context(), "CHECKPOINT"); err != nil {
		t.Fatal(err)
	}
	for _, l := range c.collect() {
		t.Errorf("%s: %s in %s", l.place, l.mark, l.around)
	}
	t.Run("the search finds what is planted", c.checkTheSearch)
}

// collect looks everywhere and gives what it found.
func (c *canary) collect() []leak {
	c.t.Helper()
	var leaks []leak
	for _, a := range c.answers {
		var head bytes.Buffer
		_ = a.Header.Write(&head)
		leaks = append(leaks, find("answer to "+a.name, append(head.Bytes(), a.Body...))...)
		leaks = append(leaks, findAny("answer to "+a.name, a.Body, c.marks.secrets)...)
	}
	for _, o := range c.told {
		leaks = append(leaks, find("told by "+o.name, o.text)...)
		leaks = append(leaks, findAny("told by "+o.name, o.text, c.marks.secrets)...)
		// By IdEvento an ente's product knows what an operator asks it about.
		if o.name != "delivery show" && o.name != "flusso --ente" {
			leaks = append(leaks, findIDs("told by "+o.name, o.text, c.marks.ids)...)
		}
	}
	metrics := c.hub.Metrics()
	leaks = append(leaks, find("metrics", metrics)...)
	leaks = append(leaks, append(findIDs("metrics", metrics, c.marks.ids), findAny("metrics", metrics, c.marks.secrets)...)...)
	leaks = append(leaks, c.searchTables()...)
	leaks = append(leaks, c.searchFiles()...)
	return append(leaks, c.searchNation()...)
}

// searchFiles looks into every file of the hub: logs, what the simulator took, and the
// database's own files with its write-ahead log, what serve remembers of the database. Ids that senders
// gave may be in the database.
func (c *canary) searchFiles() []leak {
	c.t.Helper()
	var leaks []leak
	for _, folder := range []string{c.hub.Var, c.temp} {
		if folder != "" {
			leaks = append(leaks, c.searchFolder(folder)...)
		}
	}
	return leaks
}

// searchFolder is searchFiles of one folder.
func (c *canary) searchFolder(folder string) []leak {
	c.t.Helper()
	var leaks []leak
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return nil //nolint:nilerr // a file of the database that went away
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return nil //nolint:nilerr // as above
		}
		c.searched += len(data)
		name, err := filepath.Rel(folder, path)
		leaks = append(leaks, find(name, data)...)
		if strings.HasSuffix(name, ".log") || strings.HasPrefix(name, "siss/") || strings.HasPrefix(name, "position/") {
			leaks = append(leaks, append(findIDs(name, data, c.marks.ids), findAny(name, data, c.marks.secrets)...)...)
		}
		if strings.HasPrefix(name, "position/") {
			leaks = append(leaks, findRaw(name, data, c.marks.ids)...)
		}
		return err
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return leaks
}

// searchNation looks at what left the hub: no day, no UUID but the transmission's, no amount.
func (c *canary) searchNation() []leak {
	c.t.Helper()
	var leaks []leak
	fine := regexp.MustCompile(`\d{4}-\d{2}-\d{2}|[0-9a-fA-F]{8}-[0-9a-fA-F]{4}|8675[.]31|SDS-PI`)
	for _, r := range c.hub.Received() {
		if found := fine.FindString(r.Event); found != "" {
			leaks = append(leaks, leak{"national event", found, r.Event})
		}
	}
	return leaks
}

// searchTables looks into every column of every table of every schema of ours, as bytes and
// unpacked. The vault's columns are searched like all others: what is sealed shows nothing.
func (c *canary) searchTables() []leak {
	c.t.Helper()
	var leaks []leak
	for _, column := range c.columns() {
		for _, cell := range c.cells(column) {
			leaks = append(leaks, find(column.String(), cell)...)
			if text := uns2Block(cell); text != nil {
				leaks = append(leaks, find(column.String()+" unpacked", text)...)
			}
		}
	}
	return leaks
}

// column is a column of a table with rows of its own, or of a view of what the server is doing.
type column struct{ Schema, Table, Name, Type string }

func (c column) String() string { return c.Schema + "." + c.Table + "." + c.Name }

func (c *canary) columns() []column {
	c.t.Helper()
	rows, err := c.db.Query(c.t.Context(), `
SELECT n.nspname, t.relname, a.attname, format_type(a.atttypid, NULL)
FROM pg_attribute a
JOIN pg_class t ON t.oid = a.attrelid
JOIN pg_namespace n ON n.oid = t.relnamespace
WHERE a.attnum > 0 AND NOT a.attisdropped
  AND (t.relkind IN ('r', 'm', 'S', 'v') AND n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema'
    OR n.nspname = 'pg_catalog' AND t.relname IN ('pg_stat_activity', 'pg_stats'))`)
	if err != nil {
		c.t.Fatal(err)
	}
	columns, err := pgx.CollectRows(rows, pgx.RowToStructByPos[column])
	if err != nil {
		c.t.Fatal(err)
	}
	return columns
}

// cells gives a column's values: bytes as they are, everything else as text.
func (c *canary) cells(col column) [][]byte {
	c.t.Helper()
	name := pgx.Identifier{col.Name}.Sanitize()
	if col.Type != "bytea" {
		name = "convert_to(" + name + "::text, 'UTF8')"
	}
	rows, err := c.db.Query(c.t.Context(), "SELECT "+name+" FROM "+pgx.Identifier{col.Schema, col.Table}.Sanitize())
	if err != nil {
		c.t.Fatal(err)
	}
	cells, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		c.t.Fatalf("%s: %v", col, err)
	}
	return cells
}

// checkThatThereIsSomethingToSearch makes sure that an empty search is no empty place.
func (c *canary) checkThatThereIsSomethingToSearch(accepted int) {
	c.t.Helper()
	if got := hubtest.Number(c.t, c.db, "SELECT count(*) FROM hub.event"); int(got) != accepted {
		c.t.Errorf("%d events stored, %d accepted", got, accepted)
	}
	if got := len(c.hub.Received()); got != accepted {
		c.t.Errorf("%d events at the simulator, %d accepted", got, accepted)
	}
	for file, want := range map[string]string{"log/serve.log": `"exchange"`, "postgres/postgres.log": "ERROR", "log/siss-sim.log": "started"} {
		text, err := os.ReadFile(filepath.Join(c.hub.Var, file))
		if err != nil || !bytes.Contains(text, []byte(want)) {
			c.t.Errorf("%s does not hold %s: %v", file, want, err)
		}
	}
	if wal, err := filepath.Glob(filepath.Join(c.hub.Var, "postgres/data/pg_wal/0*")); err != nil || len(wal) == 0 {
		c.t.Errorf("the database's files are not below the hub's folder: %v", err)
	}
	unpacked := 0
	for _, cell := range c.cells(column{"hub", "event", "body", "bytea"}) {
		if text, err := s2.Decode(nil, cell); err == nil && bytes.Contains(text, []byte("<EventoRegionale")) {
			unpacked++
		}
	}
	if unpacked != accepted {
		c.t.Errorf("%d of %d stored events can be read", unpacked, accepted)
	}
}

// checkTheSearch plants marks and wants each found where it is.
func (c *canary) checkTheSearch(t *testing.T) {
	planted := strings.Repeat("lorem ipsum ", 20) + c.marks.text("Cognome") + strings.Repeat(" dolor sit amet", 20)
	packed := s2.Encode(nil, []byte(strings.Repeat("<a>b</a>", 20)+c.marks.code()+strings.Repeat("<a>b</a>", 20)))
	for _, statement := range []string{
		"CREATE SCHEMA scratch",
		"CREATE TABLE scratch.canary (as_text text, as_bytes bytea, packed bytea, as_json jsonb, as_hex text, as_base64 text, clean text)",
	} {
		if _, err := c.db.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	_, err := c.db.Exec(t.Context(), `
INSERT INTO scratch.canary VALUES ($1, convert_to($1, 'UTF8'), $2, jsonb_build_object('a', jsonb_build_array($3::text)),
  encode(convert_to($1, 'UTF8'), 'hex'), replace(encode(convert_to($1, 'UTF8'), 'base64'), E'\n', ''), 'clean')`,
		planted, packed, c.marks.foreign("STP"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, l := range c.searchTables() {
		found[l.place] = true
	}
	for name, want := range map[string]bool{
		"as_text": true, "as_bytes": true, "packed unpacked": true, "as_json": true, "as_hex": true, "as_base64": true, "clean": false,
	} {
		if found["scratch.canary."+name] != want {
			t.Errorf("column %s: found %v", name, !want)
		}
	}
	if err := os.WriteFile(filepath.Join(c.hub.Var, "log", "planted.log"), []byte("a\x00"+c.marks.ids[0]+"\n"+c.marks.provisional()), 0o600); err != nil {
		t.Fatal(err)
	}
	if leaks := c.searchFiles(); len(leaks) < 2 {
		t.Errorf("found in files: %v", leaks)
	}
	id := uuid.MustParse(c.marks.ids[0])
	if err := os.WriteFile(filepath.Join(c.hub.Var, "position", "PROD", "planted"), append([]byte("position"), id[:]...), 0o600); err != nil {
		t.Fatal(err)
	}
	if leaks := c.searchFiles(); !slices.ContainsFunc(leaks, func(l leak) bool { return strings.HasSuffix(l.place, "planted") }) {
		t.Errorf("found in files: %v", leaks)
	}
	for _, text := range []string{
		"name=ZqXjVk", c.marks.code(), c.marks.provisional(), c.marks.foreign("ENI"), "<CAP>" + markedCAP + "</CAP>", `"` + markedCatasto + `"`, markedBirth,
	} {
		if len(find("here", []byte("before "+text+" after"))) == 0 {
			t.Errorf("not found: %s", text)
		}
	}
}

// send posts a document and keeps the answer.
func (c *canary) send(name string, v soap.Version, document []byte) *hubtest.Answer {
	c.t.Helper()
	return c.post(name, v, soap.AppendEnvelope(nil, v, document), nil)
}

// post posts a body with changed headers and keeps the answer.
func (c *canary) post(name string, v soap.Version, body []byte, change func(*http.Request)) *hubtest.Answer {
	c.t.Helper()
	r, err := c.sender.Request(c.t.Context(), v, body)
	if err != nil {
		c.t.Fatal(err)
	}
	if change != nil {
		change(r)
	}
	a, err := c.sender.Do(r)
	if err != nil {
		c.t.Fatalf("%s: %v", name, err)
	}
	c.answers = append(c.answers, answered{name, a})
	return a
}

// full writes an event that holds every leaf there is for a kind of body and of identity.
func (c *canary) full(body, identity string, leave ...string) *element {
	w := &writer{
		schema: c.schema, value: c.marks.value,
		choose: func(path string, _ []string) string {
			if path == "/Dettaglio" {
				return body
			}
			if strings.HasSuffix(path, "/IdentificativoPrecedente") {
				return "CodiceFiscale"
			}
			return identity
		},
		leave: func(path string) bool {
			if path == "/Testata/IdEventoRiferito" && body != "Annullamento" {
				return true // an insertion names no other event (BR-02)
			}
			for _, end := range leave {
				if strings.HasSuffix(path, end) {
					return true
				}
			}
			return false
		},
	}
	document := w.document()
	return document.with(func(path, text string) string {
		switch {
		case path == "/Testata/TipoEvento":
			return eventTypeOf(body)
		case path == "/Testata/TipoOperazione" && body == "Annullamento":
			return "A"
		case strings.HasSuffix(path, "/ComposizioneFamiglia[2]"):
			return "2" // members are distinct (BR-11)
		}
		return text
	})
}

// eventTypeOf is the TipoEvento of a body: ANNULLAMENTO is an operation.
func eventTypeOf(body string) string {
	switch body {
	case "Annullamento":
		return "INTERVENTO"
	case "Fotografia":
		return "CARICAMENTO_INIZIALE"
	}
	return strings.ToUpper(regexp.MustCompile(`(.)([A-Z])`).ReplaceAllString(body, "${1}_$2"))
}
