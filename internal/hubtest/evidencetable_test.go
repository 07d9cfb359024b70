package hubtest_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hubtest"
)

// standing is what deploy/docs/evidence.md says of a column: what comes of its change.
type standing int

// The standings.
const (
	// inLeaf and rederived: the bundle's verdict is not good, or the export refuses.
	inLeaf standing = iota + 1
	rederived
	// asMissing: the same, and the verdict names the leaf of which something is missing, unless it shows
	// what is there to be wrong.
	asMissing
	// byReplay: a replay tells, so that the bundle's verdict may stay good.
	byReplay
	// noEvidence: nothing may tell.
	noEvidence
)

// standings are the words that a cell begins with, the longer ones of two first.
func standings() []struct {
	words string
	is    standing
} {
	return []struct {
		words string
		is    standing
	}{
		{"in the leaf", inLeaf},
		{"re-derived by `sinbaverify bundle`, as missing", asMissing},
		{"re-derived by `sinbaverify bundle`", rederived},
		{"re-derived by `sinbahub replay verify`", byReplay},
		{"not evidence: ", noEvidence},
	}
}

// evidenceTable reads the table: by `table.column`, and by `table (row removed)` and `table (row added)`.
func evidenceTable(tb testing.TB) map[string]standing {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join(hubtest.Root(), "deploy", "docs", "evidence.md"))
	if err != nil {
		tb.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "\n| column | what it is to a verdict |\n|---|---|\n")
	if !found {
		tb.Fatal("there is no table in evidence.md")
	}
	name := regexp.MustCompile("`([a-z_0-9]+\\.[a-z_0-9]+(?:\\.[a-z_0-9]+| \\(row (?:removed|added)\\)))`")
	all := map[string]standing{}
	for line := range strings.Lines(rest) {
		if !strings.HasPrefix(line, "| `") {
			break
		}
		cells := strings.Split(strings.Trim(line, "|\n "), " | ")
		if len(cells) != 2 {
			tb.Fatalf("a line is not two cells: %s", line)
		}
		i := slices.IndexFunc(standings(), func(s struct {
			words string
			is    standing
		},
		) bool {
			return strings.HasPrefix(cells[1], s.words)
		})
		if i < 0 {
			tb.Fatalf("a cell begins with none of the words: %s", line)
		}
		names := name.FindAllStringSubmatch(cells[0], -1)
		if len(names) != strings.Count(cells[0], "`")/2 {
			tb.Fatalf("a name is not read: %s", cells[0])
		}
		for _, n := range names {
			if all[n[1]] != 0 {
				tb.Errorf("%s stands there twice", n[1])
			}
			all[n[1]] = standings()[i].is
		}
	}
	return all
}

// columnsSQL lists the columns of all tables that are not parts of another one.
const columnsSQL = `
SELECT c.table_schema || '.' || c.table_name || '.' || c.column_name
FROM information_schema.columns c
JOIN pg_class t ON t.oid = format('%I.%I', c.table_schema, c.table_name)::regclass
WHERE c.table_schema NOT IN ('pg_catalog', 'information_schema') AND t.relkind IN ('r', 'p') AND NOT t.relispartition
ORDER BY 1`

// TestEvidenceTableHasEveryColumn: the table of evidence.md has all columns that there are and no others.
func TestEvidenceTableHasEveryColumn(t *testing.T) {
	t.Parallel()
	conn, err := pgx.Connect(t.Context(), hubtest.Database(t).Superuser)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	rows, err := conn.Query(t.Context(), columnsSQL)
	if err != nil {
		t.Fatal(err)
	}
	columns, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(columns) < 200 {
		t.Fatalf("%d columns: %v", len(columns), err)
	}
	table := evidenceTable(t)
	tables := map[string]bool{}
	for _, column := range columns {
		if table[column] == 0 {
			t.Errorf("evidence.md does not say what %s is", column)
		}
		tables[column[:strings.LastIndexByte(column, '.')]] = true
	}
	for _, name := range slices.Sorted(maps.Keys(table)) {
		of, _, row := strings.Cut(name, " (")
		if !row && !slices.Contains(columns, name) || row && !tables[of] {
			t.Errorf("evidence.md tells of %s, and there is none", name)
		}
	}
}
