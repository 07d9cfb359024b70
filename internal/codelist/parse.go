package codelist

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Fault is one thing wrong in one file. It never repeats a value: a wrong file may hold anything.
type Fault struct {
	File string
	// Line counts from 1; 0 means the whole file.
	Line int
	Text string
}

// String gives file:line: text.
func (f Fault) String() string {
	if f.Line == 0 {
		return f.File + ": " + f.Text
	}
	return f.File + ":" + strconv.Itoa(f.Line) + ": " + f.Text
}

// FaultsError is everything wrong in the files of a set, by file and line.
type FaultsError []Fault

// Error gives the first and how many there are.
func (f FaultsError) Error() string {
	if len(f) == 1 {
		return f[0].String()
	}
	return f[0].String() + " (and " + strconv.Itoa(len(f)-1) + " more faults)"
}

// maxLine bounds a line of a list in bytes.
const maxLine = 1000

// row is one line of a list.
type row struct {
	line   int
	key    string
	from   Date
	to     Date
	fields []string
}

// parser reads one file.
type parser struct {
	list   string
	faults FaultsError
}

func (p *parser) say(line int, text string) { p.faults = append(p.faults, Fault{p.list, line, text}) }

// parse reads a list and gives all its faults. What is said once for the whole file (byte order
// mark, CR LF) does not hide what else is wrong.
func parse(list string, text []byte) ([]row, FaultsError) {
	p := parser{list: list}
	if len(text) == 0 {
		p.say(0, "the file is empty")
		return nil, p.faults
	}
	if rest, marked := bytes.CutPrefix(text, []byte("\ufeff")); marked {
		p.say(1, "begins with a byte order mark: save as UTF-8 without one")
		text = rest
	}
	text, whole := bytes.CutSuffix(text, []byte("\n"))
	lines := bytes.Split(text, []byte("\n"))
	if !whole {
		p.say(len(lines), "does not end with a line feed: the file may be cut off")
	}
	lines = p.cutReturns(lines)
	if want := header(list); string(lines[0]) != want {
		p.say(1, "the header must be: "+strings.ReplaceAll(want, "\t", " <tab> "))
		return nil, p.faults
	}
	all := columns(list)
	rows := make([]row, 0, len(lines)-1)
	for i, line := range lines[1:] {
		if r, ok := p.row(all, i+2, line); ok {
			rows = append(rows, r)
		}
	}
	if len(lines) == 1 {
		p.say(0, "has a header and no row")
	}
	p.overlaps(rows)
	slices.SortStableFunc(p.faults, func(a, b Fault) int { return cmp.Compare(a.Line, b.Line) })
	return rows, p.faults
}

// cutReturns removes carriage returns at the ends of lines and tells of them once.
func (p *parser) cutReturns(lines [][]byte) [][]byte {
	told := false
	for i, line := range lines {
		cut, found := bytes.CutSuffix(line, []byte("\r"))
		if found && !told {
			p.say(i+1, "ends with CR LF, as other lines may: save with LF only")
			told = true
		}
		lines[i] = cut
	}
	return lines
}

// row reads one line. A line whose columns cannot be told has one fault and no row.
func (p *parser) row(all []column, at int, line []byte) (row, bool) {
	switch {
	case len(line) == 0:
		p.say(at, "is empty")
		return row{}, false
	case len(line) > maxLine:
		p.say(at, "is longer than "+strconv.Itoa(maxLine)+" bytes")
		return row{}, false
	case !utf8.Valid(line):
		p.say(at, "is not UTF-8")
		return row{}, false
	}
	fields := strings.Split(string(line), "\t")
	if len(fields) != len(all) {
		p.say(at, "has "+strconv.Itoa(len(fields))+" columns instead of "+strconv.Itoa(len(all)))
		return row{}, false
	}
	good := true
	for i := range all {
		if text := all[i].check(fields[i]); text != "" {
			p.say(at, all[i].name+" "+text)
			good = false
		}
	}
	if !good {
		return row{}, false
	}
	r := row{line: at, fields: fields, key: keyOf(p.list, fields)}
	if r.key == "" {
		p.say(at, "has neither iso nor belfiore")
		return row{}, false
	}
	r.from, _ = parseDate(fields[2])
	if p.list != Municipalities && p.list != States {
		r.from, _ = parseDate(fields[1])
	}
	r.to = p.until(fields)
	if r.from > r.to {
		p.say(at, "a is before da")
		return row{}, false
	}
	p.trap(&r)
	return r, true
}

// until gives the last day of a row.
func (p *parser) until(fields []string) Date {
	text := fields[2]
	if p.list == Municipalities || p.list == States {
		text = fields[3]
	}
	if text == "" {
		return forever
	}
	d, _ := parseDate(text)
	return d
}

// trap is the classic silent error: ISTAT's number of a region where the SINBA list's belongs. The
// province of a code that is still in use, or was since 2012, tells the region; before, provinces
// moved between regions.
func (p *parser) trap(r *row) {
	const since = 20120101
	if p.list != Municipalities || r.to < since || r.fields[5] == "" {
		return
	}
	if region, ok := RegionOfProvince([]byte(r.fields[0])); ok && region != r.fields[5] {
		p.say(r.line, "regione is not the one of this province in the SINBA list (Toscana is 17, Liguria 09)")
	}
}

// overlaps finds rows with one key that are valid at the same time.
func (p *parser) overlaps(rows []row) {
	sorted := make([]*row, len(rows))
	for i := range rows {
		sorted[i] = &rows[i]
	}
	slices.SortFunc(sorted, func(a, b *row) int {
		return cmp.Or(strings.Compare(a.key, b.key), cmp.Compare(a.from, b.from), cmp.Compare(a.line, b.line))
	})
	var last *row // of this key, the one that ends latest
	for _, r := range sorted {
		switch {
		case last == nil || last.key != r.key:
			last = r
			continue
		case r.from <= last.to:
			first, second := last, r
			if first.line > second.line {
				first, second = second, first
			}
			text := "is valid at the same time as line "
			if slices.Equal(first.fields, second.fields) {
				text = "is the same as line "
			}
			p.say(second.line, text+strconv.Itoa(first.line))
		}
		if r.to > last.to {
			last = r
		}
	}
}

// parseDate reads an empty text as no date, or a day of the calendar written YYYY-MM-DD.
func parseDate(text string) (Date, bool) {
	if text == "" {
		return 0, true
	}
	if len(text) != len(time.DateOnly) || text[4] != '-' || text[7] != '-' {
		return 0, false
	}
	y, year := number([]byte(text[:4]), 4)
	m, month := number([]byte(text[5:7]), 2)
	d, day := number([]byte(text[8:]), 2)
	date := Date(y*10_000 + m*100 + d) //nolint:gosec // eight digits
	good := year && month && day && y > 0 && dateOf(time.Date(int(y), time.Month(m), int(d), 0, 0, 0, 0, time.UTC)) == date
	return date, good
}

// dateOf gives the day of a time.
func dateOf(t time.Time) Date {
	return Date(t.Year()*10_000 + int(t.Month())*100 + t.Day()) //nolint:gosec // years have four digits
}
