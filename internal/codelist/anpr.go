package codelist

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strings"
	"time"
)

// What FromANPR cannot read.
var (
	errNoCSV     = errors.New("the archive is no CSV file")
	errNoArchive = errors.New("the archive lacks a column of ANPR_archivio_comuni.csv")
)

// anprColumns are the columns of the archive that are read, in the order of anprRow.
var anprColumns = [...]string{ //nolint:gochecknoglobals // a constant
	"CODISTAT", "CODCATASTALE", "DATAISTITUZIONE", "DATACESSAZIONE", "SIGLAPROVINCIA", "IDREGIONE", "IDPROVINCIAISTAT", "DENOMINAZIONE_IT",
}

// FromANPR turns the archive of municipalities of the Ministero dell'Interno
// (ANPR_archivio_comuni.csv) into comuni.tsv: sorted by ISTAT code and date, with the regions of
// the SINBA list, successive rows joined where nothing but the name changed. What comes out is to
// be checked like any other list.
func FromANPR(archive io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(archive, maxFile+1))
	if err != nil {
		return nil, errRead
	}
	records, err := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(text, []byte("\ufeff")))).ReadAll()
	if err != nil || len(records) == 0 {
		return nil, errNoCSV
	}
	var at [len(anprColumns)]int
	for i, name := range anprColumns {
		if at[i] = slices.Index(records[0], name); at[i] < 0 {
			return nil, errNoArchive
		}
	}
	rows := make([][]string, 0, len(records))
	for _, record := range records[1:] {
		row := make([]string, len(at))
		for i := range at {
			row[i] = strings.TrimSpace(record[at[i]])
		}
		rows = append(rows, anprRow(row))
	}
	slices.SortFunc(rows, func(a, b []string) int {
		return cmp.Or(strings.Compare(a[0], b[0]), strings.Compare(a[2], b[2]), slices.Compare(a, b))
	})
	var out bytes.Buffer
	out.WriteString(header(Municipalities) + "\n")
	for i := 0; i < len(rows); {
		row := rows[i]
		for i++; i < len(rows) && follows(row, rows[i]); i++ {
			row[3], row[6] = rows[i][3], rows[i][6]
		}
		out.WriteString(strings.Join(row, "\t") + "\n")
	}
	return out.Bytes(), nil
}

// anprRow brings a record into the columns of comuni.tsv. The archive writes 9999-12-31 for no end
// and ND for no belfiore code.
func anprRow(record []string) []string {
	istat, belfiore, from, to, province, name := record[0], record[1], record[2], record[3], record[4], record[7]
	if belfiore == "ND" {
		belfiore = ""
	}
	if to == "9999-12-31" {
		to = ""
	}
	return []string{istat, belfiore, from, to, province, regionOfISTAT(record[5], record[6]), name}
}

// follows tells whether b begins the day after a ends and says the same but for the name.
func follows(a, b []string) bool {
	if a[0] != b[0] || a[1] != b[1] || a[4] != b[4] || a[5] != b[5] {
		return false
	}
	end, known := parseDate(a[3])
	begin, _ := parseDate(b[2])
	return known && end != 0 && begin == next(end)
}

// next is the day after a date.
func next(d Date) Date {
	if d >= forever {
		return forever
	}
	return dateOf(time.Date(int(d)/10_000, time.Month(int(d)/100%100), int(d)%100+1, 0, 0, 0, 0, time.UTC))
}
