package app

import (
	"errors"
	"time"
)

// errRange is for ends of a range that are no times, or in the wrong order.
var errRange = errors.New("--from and --to are days like 2026-03-01 or instants like 2026-03-01T08:00:00Z, the first before the last")

// readRange reads a range as an operator writes it. A day begins at its midnight in Italy and ends with the
// next one.
func readRange(from, to string) (begin, end time.Time, err error) {
	if begin, err = readTime(from, 0); err != nil {
		return begin, end, err
	}
	if end, err = readTime(to, 1); err != nil {
		return begin, end, err
	}
	if !begin.Before(end) {
		return begin, end, errRange
	}
	return begin, end, nil
}

// readTime reads one end of a range, for a day its midnight some days later.
func readTime(text string, later int) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at.UTC().Truncate(time.Microsecond), nil
	}
	rome, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		return time.Time{}, errors.New("time zone Europe/Rome not found")
	}
	day, err := time.ParseInLocation(time.DateOnly, text, rome)
	if err != nil {
		return time.Time{}, errRange
	}
	return day.AddDate(0, 0, later).UTC(), nil
}
