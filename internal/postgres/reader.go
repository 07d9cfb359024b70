package postgres

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// The statements that read for one participant run as RoleReader, who sees the rows of the enti it may
// speak for: row-level security as a second line behind the conditions on ente_id that each of them has.
// Lookups and acceptances serve many participants in one statement and stay with RoleApp
// (internal/adr/0023-row-level-security.md).
const (
	beReaderSQL = `SET LOCAL ROLE hub_reader`
	// Until the end of the transaction; the connection then sees nothing as hub_reader.
	readEntiSQL = `SELECT set_config('hub.enti', $1, true)`
)

// readAs makes what follows in a transaction see nothing but these enti.
func readAs(trip *pgx.Batch, enti []int32) {
	trip.Queue(beReaderSQL)
	trip.Queue(readEntiSQL, entiArray(enti))
}

// entiArray is the text of an array of integers.
func entiArray(enti []int32) string {
	var text strings.Builder
	text.WriteByte('{')
	for i, ente := range enti {
		if i > 0 {
			text.WriteByte(',')
		}
		text.WriteString(strconv.Itoa(int(ente)))
	}
	text.WriteByte('}')
	return text.String()
}

// readRow reads one row for a participant, in one trip and a transaction of its own.
func readRow[T any](ctx context.Context, s *Store, enti []int32, scan func(pgx.Row) (T, error), sql string, args ...any) (row T, err error) {
	var found error
	err = s.withConn(ctx, func(conn *pgx.Conn) error {
		var trip pgx.Batch
		trip.Queue("BEGIN READ ONLY")
		readAs(&trip, enti)
		trip.Queue(sql, args...)
		trip.Queue("COMMIT")
		answers := conn.SendBatch(ctx, &trip)
		for range 3 {
			if _, err := answers.Exec(); err != nil {
				_ = answers.Close()
				return err
			}
		}
		// No row is an answer, after which the transaction ends as after any other.
		row, found = scan(answers.QueryRow())
		if found != nil && !errors.Is(found, pgx.ErrNoRows) {
			_ = answers.Close()
			return found
		}
		return answers.Close()
	})
	if err == nil {
		err = found
	}
	return row, err
}
