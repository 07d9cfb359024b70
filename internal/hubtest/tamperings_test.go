//go:build smoke

package hubtest_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/journal"
)

// battery tampers and counts.
type battery struct {
	*evidenceWorld

	t    *testing.T
	rand *rand.Rand
	// table is that of evidence.md, columns the ones that it can be tried on.
	table   map[string]standing
	columns []tamperable
	// thief has a signing key of his own under the journal's name.
	thief    config.Config
	thiefKey *journal.Key
	counts   map[string]int
	seen     map[string]int
	// touched are the columns that were changed or swapped, and the tables of rows.
	touched map[string]bool
	total   int
}

// tamperable is a column of a table that has rows.
type tamperable struct {
	table, name, kind string
	// key says that the column is part of a unique index.
	key bool
}

// trial is one tampering that was done.
type trial struct {
	// what is the line of the table that it is about, or its kind.
	what string
	want standing
	// tables were changed.
	tables []string
	// cfg is the configuration to export with, key what the auditor brings.
	cfg config.Config
	key *journal.Key
}

// whole are the ways to tamper with all of it, whose standing is rederived.
func (b *battery) whole() map[string]func(context.Context, pgx.Tx) error {
	return map[string]func(context.Context, pgx.Tx) error{
		"cut the tail":                       b.cutTail,
		"remove the last checkpoints":        b.forget,
		"restore yesterday":                  b.restore,
		"restore yesterday, hub's too":       b.restore,
		"recompute the tree":                 b.recompute,
		"recompute and sign, own key":        func(ctx context.Context, tx pgx.Tx) error { return b.resign(ctx, tx, b.thiefKey) },
		"recompute and sign, own key, alone": func(ctx context.Context, tx pgx.Tx) error { return b.resign(ctx, tx, b.thiefKey) },
		"recompute and sign, stolen key":     func(ctx context.Context, tx pgx.Tx) error { return b.resign(ctx, tx, b.key) },
		"fork":                               b.fork,
		"delete, and a false retirement":     b.coverUp,
	}
}

// single are the ways to tamper with something.
func (b *battery) single() map[string]func(context.Context, pgx.Tx, tamperable) error {
	return map[string]func(context.Context, pgx.Tx, tamperable) error{
		"change": b.change, "swap": b.swap, "remove": b.remove, "add": b.add, "empty": b.empty,
	}
}

// kinds are all ways.
func (b *battery) kinds() (all []string) {
	for kind := range b.whole() {
		all = append(all, kind)
	}
	for kind := range b.single() {
		all = append(all, kind)
	}
	slices.Sort(all)
	return all
}

func newBattery(t *testing.T, w *evidenceWorld, r *rand.Rand) *battery {
	t.Helper()
	b := &battery{evidenceWorld: w, t: t, rand: r, table: evidenceTable(t), counts: map[string]int{}, seen: map[string]int{}, touched: map[string]bool{}, thief: w.cfg}
	b.thief.Keys.Dir = t.TempDir()
	if _, err := journal.MakeKey(b.thief.JournalKeys(), b.thief.JournalOrigin()); err != nil {
		t.Fatal(err)
	}
	var err error
	if b.thiefKey, err = journal.LoadKey(b.thief.JournalKeys(), b.thief.JournalOrigin()); err != nil {
		t.Fatal(err)
	}
	for _, table := range w.names {
		if hubtest.Number(t, w.db, "SELECT count(*) FROM "+table) == 0 || strings.HasSuffix(table, "goose_version") {
			continue
		}
		rows, err := w.db.Query(t.Context(), `
			SELECT $1::text, a.attname::text, format_type(a.atttypid, NULL),
			  EXISTS (SELECT FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisunique AND a.attnum = ANY (i.indkey))
			FROM pg_attribute a WHERE a.attrelid = $1::text::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`, table)
		if err != nil {
			t.Fatal(err)
		}
		all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c tamperable, err error) {
			err = row.Scan(&c.table, &c.name, &c.kind, &c.key)
			return c, err
		})
		if err != nil {
			t.Fatal(err)
		}
		b.columns = append(b.columns, all...)
	}
	return b
}

// directed tries each column that is evidence, whole rows of all tables that the export reads, and
// each way to tamper with the whole.
func (b *battery) directed() {
	tables := map[string]bool{}
	for _, c := range b.columns {
		if s := b.table[c.table+"."+c.name]; s != noEvidence {
			for _, kind := range []string{"change", "swap", "empty"} {
				if err := b.one(kind, c); err != nil && !errors.Is(err, errNothing) {
					b.t.Errorf("%s %s.%s: %v", kind, c.table, c.name, err)
				}
			}
		}
		if b.table[c.table+" (row removed)"] != 0 && !tables[c.table] {
			tables[c.table] = true
			for _, kind := range []string{"remove", "add"} {
				if err := b.one(kind, c); err != nil {
					b.t.Errorf("%s a row of %s: %v", kind, c.table, err)
				}
			}
		}
	}
	for kind := range b.whole() {
		if err := b.all(kind); err != nil {
			b.t.Errorf("%s: %v", kind, err)
		}
	}
}

// random tries something, anywhere.
func (b *battery) random() {
	const patient = 200
	for range patient {
		ways := b.single()
		kinds := slices.Sorted(maps.Keys(ways))
		c := b.columns[b.rand.IntN(len(b.columns))]
		if b.rand.IntN(2) == 0 && b.table[c.table+" (row removed)"] == 0 {
			continue // half of them where evidence is
		}
		var err error
		if b.rand.IntN(4) > 0 {
			err = b.one(kinds[b.rand.IntN(len(kinds))], c)
		} else {
			kinds = slices.Sorted(maps.Keys(b.whole()))
			err = b.all(kinds[b.rand.IntN(len(kinds))])
		}
		if err == nil {
			return
		}
	}
	b.t.Error("nothing at random could be done")
}

// one tampers with a column, or a row of its table.
func (b *battery) one(kind string, c tamperable) error {
	what := c.table + "." + c.name
	switch of, row := c.table, map[string]string{"remove": " (row removed)", "add": " (row added)"}[kind]; {
	case row != "" && b.table[of+row] != 0:
		what = of + row
	case row != "":
		if b.table[what] != noEvidence {
			return fmt.Errorf("the table says nothing of rows of %s", of)
		}
	}
	want := b.table[what]
	if want == 0 {
		return fmt.Errorf("%s is not in the table", what)
	}
	if kind == "empty" && want == inLeaf {
		want = asMissing
	}
	return b.try(trial{what: what, want: want, tables: []string{c.table}}, kind, func(ctx context.Context, tx pgx.Tx) error {
		return b.single()[kind](ctx, tx, c)
	})
}

// all tampers with the whole.
func (b *battery) all(kind string) error {
	r := trial{what: kind, want: rederived, tables: b.names}
	switch kind {
	case "restore yesterday, hub's too":
		r.cfg, r.key = b.away, b.key
	case "recompute and sign, own key":
		r.cfg, r.key = b.thief, b.key
	case "recompute and sign, own key, alone":
		// The auditor has no copy of the key; the one in the bundle is the thief's.
		r.cfg = b.thief
	}
	return b.try(r, kind, b.whole()[kind])
}

// try tampers, exports, verifies, holds the verdict against the table, and undoes it.
func (b *battery) try(r trial, kind string, do func(context.Context, pgx.Tx) error) error {
	ctx := b.t.Context()
	if r.cfg.Keys.Dir == "" {
		r.cfg, r.key = b.cfg, b.key
	}
	err := pgx.BeginFunc(ctx, b.db, func(tx pgx.Tx) error { return do(ctx, tx) })
	for range 30 {
		if other, ok := errors.AsType[*pgconn.PgError](err); !ok || other.Code != "23505" {
			break
		}
		// Another row has that key.
		err = pgx.BeginFunc(ctx, b.db, func(tx pgx.Tx) error { return do(ctx, tx) })
	}
	if err != nil {
		return err
	}
	verdict, report := b.judge(b.t, r.cfg, "", r.key)
	if strings.HasPrefix(verdict, saysGood) && strings.HasPrefix(r.what, "hub.journal_pair") {
		verdict, report = b.judge(b.t, r.cfg, hubtest.ChildEnte, r.key)
	}
	if r.want == byReplay && strings.HasPrefix(verdict, saysGood) {
		verdict += b.replay()
	}
	b.total++
	b.seen[kind]++
	b.touched[r.what] = true
	b.counts[fmt.Sprintf("%-36s %-14s %s", kind, r.want, verdict)]++
	if !r.want.holds(verdict) {
		findings := ""
		if report != nil {
			findings = fmt.Sprintf("%+v %+v", report.Findings, report.Notes)
		}
		b.t.Errorf("%s of %s, which is %s, gives the verdict %q: %s", kind, r.what, r.want, verdict, findings)
	}
	b.putBack(b.t, r.tables...)
	return nil
}

// String names a standing.
func (s standing) String() string {
	return [...]string{"", "in the leaf", "re-derived", "as missing", "by replay", "not evidence"}[s]
}

// row finds a row at random that a verdict could be about: entries that have a leaf, attempts that have
// something sealed, numbers of the ente whose bundle is made.
func (b *battery) row(ctx context.Context, tx pgx.Tx, c tamperable, more string) (place string, err error) {
	where := map[string]string{
		"hub.journal_entry": "EXISTS (SELECT FROM hub.journal_leaf l WHERE l.entry_id = t.id)",
		"hub.attempt":       "t.sealed IS NOT NULL",
		"hub.journal_pair":  fmt.Sprintf("t.ente_id = %d", b.ente),
	}[c.table]
	if where == "" {
		where = "true"
	}
	err = tx.QueryRow(ctx, fmt.Sprintf(`SELECT format('tableoid = %%s AND ctid = %%L', t.tableoid, t.ctid) FROM %s t
		WHERE t.%q IS NOT NULL AND %s%s ORDER BY md5(t.ctid::text || t.tableoid::text || '%d') LIMIT 1`, c.table, c.name, where, more, b.rand.Int64())).Scan(&place)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", errNothing
	}
	return place, err
}

// other is an expression for another value of a column.
func (b *battery) other(c tamperable) string {
	name, n := fmt.Sprintf("%q", c.name), b.rand.IntN(1<<20)
	switch c.kind {
	case "bytea":
		if b.rand.IntN(4) == 0 {
			return fmt.Sprintf(`CASE WHEN octet_length(%[1]s) < 2 THEN '\x00ff'::bytea ELSE substr(%[1]s, 1, octet_length(%[1]s) - 1) END`, name)
		}
		return fmt.Sprintf(`CASE WHEN octet_length(%[1]s) = 0 THEN '\x00'::bytea ELSE
			set_byte(%[1]s, %[2]d %% octet_length(%[1]s), get_byte(%[1]s, %[2]d %% octet_length(%[1]s)) # %[3]d) END`, name, n, 1+b.rand.IntN(255))
	case "smallint", "integer", "bigint", "date":
		most := 9
		if c.key && c.kind != "smallint" {
			most = 1000 // past those that are there
		}
		return fmt.Sprintf("%s + %d", name, 1+b.rand.IntN(most))
	case "uuid":
		return "gen_random_uuid()"
	case "timestamp with time zone", "interval":
		return fmt.Sprintf("%s + interval '%d microseconds'", name, 1+b.rand.IntN(2)*n)
	case "boolean":
		return "NOT " + name
	case "text":
		return fmt.Sprintf(`CASE WHEN %[1]s = '' THEN 'x' ELSE overlay(%[1]s PLACING
			CASE WHEN substr(%[1]s, 1 + %[2]d %% length(%[1]s), 1) = 'x' THEN 'y' ELSE 'x' END FROM 1 + %[2]d %% length(%[1]s) FOR 1) END`, name, n)
	case "jsonb":
		return `'["altro"]'::jsonb`
	}
	return "NULL"
}

// must is a statement that has to change rows.
func must(ctx context.Context, tx pgx.Tx, statement string, args ...any) error {
	tag, err := tx.Exec(ctx, statement, args...)
	if err != nil {
		return err
	}
	if tag.RowsAffected() == 0 {
		return errNothing
	}
	return nil
}

func (b *battery) change(ctx context.Context, tx pgx.Tx, c tamperable) error {
	place, err := b.row(ctx, tx, c, "")
	if err != nil {
		return err
	}
	return must(ctx, tx, fmt.Sprintf("UPDATE %s SET %q = %s WHERE %s", c.table, c.name, b.other(c), place))
}

// empty leaves nothing of sealed bytes.
func (b *battery) empty(ctx context.Context, tx pgx.Tx, c tamperable) error {
	if c.name != "sealed" {
		return errNothing
	}
	place, err := b.row(ctx, tx, c, "")
	if err != nil {
		return err
	}
	return must(ctx, tx, fmt.Sprintf("UPDATE %s SET sealed = '' WHERE %s", c.table, place))
}

// swap takes the rows out and puts them back, so that unique columns can be swapped, too.
func (b *battery) swap(ctx context.Context, tx pgx.Tx, c tamperable) error {
	one, err := b.row(ctx, tx, c, "")
	if err != nil {
		return err
	}
	two, err := b.row(ctx, tx, c, fmt.Sprintf(" AND t.%[1]q <> (SELECT o.%[1]q FROM %[2]s o WHERE %[3]s)", c.name, c.table, one))
	if err != nil {
		return err
	}
	for _, statement := range []string{
		fmt.Sprintf("CREATE TEMP TABLE taken ON COMMIT DROP AS SELECT t.* FROM %s t WHERE (%s) OR (%s)", c.table, one, two), //nolint:unqueryvet // of any table, all columns
		fmt.Sprintf("DELETE FROM %s WHERE (%s) OR (%s)", c.table, one, two),
		fmt.Sprintf("UPDATE taken SET %[1]q = (SELECT o.%[1]q FROM taken o WHERE o.%[1]q <> taken.%[1]q)", c.name),
		fmt.Sprintf("INSERT INTO %s OVERRIDING SYSTEM VALUE TABLE taken", c.table),
	} {
		if err := must(ctx, tx, statement); err != nil {
			return err
		}
	}
	return nil
}

func (b *battery) remove(ctx context.Context, tx pgx.Tx, c tamperable) error {
	place, err := b.row(ctx, tx, c, "")
	if err != nil {
		return err
	}
	return must(ctx, tx, fmt.Sprintf("DELETE FROM %s WHERE %s", c.table, place))
}

// add copies a row under other keys.
func (b *battery) add(ctx context.Context, tx pgx.Tx, c tamperable) error {
	place, err := b.row(ctx, tx, c, "")
	if err != nil {
		return err
	}
	var set []string
	for _, k := range b.columns {
		if k.table != c.table || !k.key {
			continue
		}
		value := b.other(k)
		if k.kind == "bigint" || k.kind == "integer" {
			value = fmt.Sprintf("%q + %d", k.name, 100000+b.rand.IntN(1000))
		}
		set = append(set, fmt.Sprintf("%q = %s", k.name, value))
	}
	for _, statement := range []string{
		fmt.Sprintf("CREATE TEMP TABLE taken ON COMMIT DROP AS SELECT t.* FROM %s t WHERE %s", c.table, place), //nolint:unqueryvet // of any table, all columns
		"UPDATE taken SET " + strings.Join(set, ", "),
		fmt.Sprintf("INSERT INTO %s OVERRIDING SYSTEM VALUE TABLE taken", c.table),
	} {
		if err := must(ctx, tx, statement); err != nil {
			return err
		}
	}
	return nil
}

// restore gives every table the rows of yesterday.
func (b *battery) restore(ctx context.Context, tx pgx.Tx) error {
	for _, name := range b.names {
		if _, err := tx.Exec(ctx, "DELETE FROM "+name); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, fmt.Sprintf("INSERT INTO %s OVERRIDING SYSTEM VALUE TABLE %s", name, copyOf("yesterday", name))); err != nil {
			return err
		}
	}
	return nil
}

// cutTail takes the last leaves away with all that belongs to them.
func (b *battery) cutTail(ctx context.Context, tx pgx.Tx) error {
	size := 1 + b.rand.Int64N(b.outside.Size-1)
	for _, statement := range []string{
		`DELETE FROM hub.message m USING hub.journal_entry e JOIN hub.journal_leaf l ON l.entry_id = e.id
			WHERE l.leaf_index >= $1 AND e.kind = 1 AND m.id = e.message_id`,
		"DELETE FROM hub.journal_entry e USING hub.journal_leaf l WHERE l.leaf_index >= $1 AND l.entry_id = e.id",
		"DELETE FROM hub.journal_leaf WHERE leaf_index >= $1",
		"DELETE FROM hub.journal_checkpoint WHERE size > $1",
		`UPDATE hub.journal_pair p SET leaves = (SELECT max(l.seq) FROM hub.journal_leaf l WHERE l.participant_id = p.participant_id AND l.ente_id = p.ente_id)
			WHERE $1 > 0 AND EXISTS (SELECT FROM hub.journal_leaf l WHERE l.participant_id = p.participant_id AND l.ente_id = p.ente_id)`,
	} {
		if _, err := tx.Exec(ctx, statement, size); err != nil {
			return err
		}
	}
	_, err := grow(ctx, tx)
	return err
}

// forget takes away checkpoints from the end, and nothing else.
func (b *battery) forget(ctx context.Context, tx pgx.Tx) error {
	return must(ctx, tx, "DELETE FROM hub.journal_checkpoint WHERE size > $1", b.rand.Int64N(b.outside.Size))
}

// recompute changes an entry and makes the tree fit.
func (b *battery) recompute(ctx context.Context, tx pgx.Tx) error {
	if err := b.forge(ctx, tx); err != nil {
		return err
	}
	_, err := grow(ctx, tx)
	return err
}

// resign is recompute, and every checkpoint signed anew.
func (b *battery) resign(ctx context.Context, tx pgx.Tx, key *journal.Key) error {
	if err := b.forge(ctx, tx); err != nil {
		return err
	}
	tree, err := grow(ctx, tx)
	if err != nil {
		return err
	}
	rows, err := tx.Query(ctx, "SELECT c.id, c.size, c.at FROM hub.journal_checkpoint c")
	if err != nil {
		return err
	}
	type signed struct {
		ID, Size int64
		At       time.Time
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[signed])
	if err != nil {
		return err
	}
	for _, c := range all {
		root, err := tlog.TreeHash(c.Size, tree)
		if err != nil {
			return err
		}
		made, err := key.Sign(c.Size, root, c.At)
		if err != nil {
			return err
		}
		if err := must(ctx, tx, "UPDATE hub.journal_checkpoint SET root = $2, note = $3 WHERE id = $1", c.ID, root[:], made.Note); err != nil {
			return err
		}
	}
	return nil
}

// fork signs, with the journal's own key, another head for a size that has one.
func (b *battery) fork(ctx context.Context, tx pgx.Tx) error {
	var size int64
	var at time.Time
	err := tx.QueryRow(ctx, "SELECT c.size, c.at FROM hub.journal_checkpoint c WHERE c.at < $1 AND c.size > 0 ORDER BY md5(c.id::text || $2::text) LIMIT 1",
		b.outside.At, strconv.FormatInt(b.rand.Int64(), 10)).Scan(&size, &at)
	if err != nil {
		return err
	}
	root := tlog.RecordHash(fmt.Append(nil, b.rand.Int64()))
	made, err := b.key.Sign(size, root, at.Add(time.Microsecond))
	if err != nil {
		return err
	}
	return must(ctx, tx, "INSERT INTO hub.journal_checkpoint (size, root, at, note) VALUES ($1, $2, $3, $4)", size, root[:], made.At, made.Note)
}

// forge makes an entry say something else, in the one right form.
func (b *battery) forge(ctx context.Context, tx pgx.Tx) error {
	place, err := b.row(ctx, tx, tamperable{table: "hub.journal_entry", name: "body"}, "")
	if err != nil {
		return err
	}
	var body []byte
	if err := tx.QueryRow(ctx, "SELECT body FROM hub.journal_entry WHERE "+place).Scan(&body); err != nil {
		return err
	}
	e, err := journal.Parse(body)
	if err != nil {
		return err
	}
	e.Commitment[b.rand.IntN(len(e.Commitment))] ^= byte(1 + b.rand.IntN(255))
	return must(ctx, tx, "UPDATE hub.journal_entry SET body = $1 WHERE "+place, e.Bytes())
}

// treeHashes are the hashes of a tree by tlog's numbers.
type treeHashes []tlog.Hash

// ReadHashes gives some.
func (s treeHashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	all := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		all[i] = s[index]
	}
	return all, nil
}

// grow makes tiles and head anew from the entries that there are.
func grow(ctx context.Context, tx pgx.Tx) (tree treeHashes, err error) {
	rows, err := tx.Query(ctx, `SELECT l.participant_id, l.ente_id, l.seq, e.body
		FROM hub.journal_leaf l JOIN hub.journal_entry e ON e.id = l.entry_id ORDER BY l.leaf_index`)
	if err != nil {
		return nil, err
	}
	leaves, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (l journal.Leaf, err error) {
		err = row.Scan(&l.Participant, &l.Ente, &l.Seq, &l.Entry)
		return l, err
	})
	if err != nil {
		return nil, err
	}
	for i, l := range leaves {
		more, err := tlog.StoredHashes(int64(i), l.Bytes(), tree)
		if err != nil {
			return nil, err
		}
		tree = append(tree, more...)
	}
	if _, err := tx.Exec(ctx, "DELETE FROM hub.journal_tile"); err != nil {
		return nil, err
	}
	size := int64(len(leaves))
	for level := 0; size>>(level*journal.TileHeight) > 0; level++ {
		count := size >> (level * journal.TileHeight)
		for first := int64(0); first < count; first += journal.TileWidth {
			var hashes []byte
			for n := first; n < min(count, first+journal.TileWidth); n++ {
				hash := tree[tlog.StoredHashIndex(level*journal.TileHeight, n)]
				hashes = append(hashes, hash[:]...)
			}
			if err := must(ctx, tx, "INSERT INTO hub.journal_tile (level, number, hashes) VALUES ($1, $2, $3)", level, first/journal.TileWidth, hashes); err != nil {
				return nil, err
			}
		}
	}
	root, err := tlog.TreeHash(size, tree)
	if err != nil {
		return nil, err
	}
	return tree, must(ctx, tx, "UPDATE hub.journal_head SET size = $1, root = $2", size, root[:])
}
