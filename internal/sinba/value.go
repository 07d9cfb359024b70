package sinba

import (
	"bytes"
	"math"
	"slices"
	"time"
)

// day is a calendar day as the number yyyymmdd, so that days compare as numbers; 0 is no day.
type day int32

// dayOf gives the day of an instant as seen in a place.
func dayOf(t time.Time, place *time.Location) day {
	y, m, d := t.In(place).Date()
	return day(y*10_000 + int(m)*100 + d) //nolint:gosec // years of the contract have four digits
}

func (d day) year() int { return int(d) / 10_000 }

func (d day) month() int { return int(d) / 100 % 100 }

func (d day) dayOfMonth() int { return int(d) % 100 }

// time is midnight UTC of the day, the zero time for no day.
func (d day) time() time.Time {
	if d == 0 {
		return time.Time{}
	}
	return time.Date(d.year(), time.Month(d.month()), d.dayOfMonth(), 0, 0, 0, 0, time.UTC)
}

// appendMonth writes YYYY-MM.
func (d day) appendMonth(to []byte) []byte {
	return appendDigits(append(appendDigits(to, d.year(), 4), '-'), d.month(), 2)
}

// appendDigits writes n with leading zeros, at most four digits.
func appendDigits(to []byte, n, width int) []byte {
	text := [4]byte{digit(n / 1000), digit(n / 100), digit(n / 10), digit(n)}
	return append(to, text[4-width:]...)
}

// digit is the last digit of n.
func digit(n int) byte { return "0123456789"[n%10] }

// has tells whether raw is in the enumeration.
func (t *simpleType) has(raw []byte) bool {
	return slices.Contains(t.enum, string(raw))
}

// trim cuts the white space that types other than strings collapse (XML Schema part 2, 4.3.6).
func trim(raw []byte) []byte {
	for len(raw) > 0 && raw[0] <= ' ' {
		raw = raw[1:]
	}
	for len(raw) > 0 && raw[len(raw)-1] <= ' ' {
		raw = raw[:len(raw)-1]
	}
	return raw
}

// isUUID tells whether raw is a UuidType.
func isUUID(raw []byte) bool {
	if len(raw) != 36 {
		return false
	}
	for i, b := range raw {
		switch i {
		case 8, 13, 18, 23:
			if b != '-' {
				return false
			}
		default:
			if (b < '0' || b > '9') && (b < 'a' || b > 'f') && (b < 'A' || b > 'F') {
				return false
			}
		}
	}
	return true
}

// digits reads n digits.
func digits(raw []byte, n int) (int, bool) {
	if len(raw) < n {
		return 0, false
	}
	v := 0
	for _, b := range raw[:n] {
		if b < '0' || b > '9' {
			return 0, false
		}
		v = v*10 + int(b-'0')
	}
	return v, true
}

// daysIn gives the days of a month.
func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// The lengths of YYYY-MM and YYYY-MM-DD.
const (
	monthLength = 7
	dayLength   = 10
)

// parseDate reads YYYY-MM-DD and gives what follows it.
func parseDate(raw []byte) (d day, rest []byte, ok bool) {
	if len(raw) < dayLength || raw[4] != '-' || raw[7] != '-' {
		return 0, nil, false
	}
	y, ok1 := digits(raw, 4)
	m, ok2 := digits(raw[5:], 2)
	dd, ok3 := digits(raw[8:], 2)
	if !ok1 || !ok2 || !ok3 || m < 1 || m > 12 || dd < 1 || dd > daysIn(y, m) {
		return 0, nil, false
	}
	return day(y*10_000 + m*100 + dd), raw[dayLength:], true //nolint:gosec // at most 99991231
}

// parseDay reads a GiornoType. Its zone, if any, is ignored (contract, "Dates may carry a zone").
func parseDay(raw []byte) (day, bool) {
	d, rest, ok := parseDate(trim(raw))
	if !ok {
		return 0, false
	}
	if len(rest) > 0 {
		if _, ok = parseZone(rest); !ok {
			return 0, false
		}
	}
	return d, true
}

// parseMonth reads YYYY-MM as the first day of that month.
func parseMonth(raw []byte) (day, bool) {
	if len(raw) != monthLength {
		return 0, false
	}
	var first [dayLength]byte
	copy(first[copy(first[:], raw):], "-01")
	d, _, ok := parseDate(first[:])
	return d, ok
}

// parseZone reads Z or ±hh:mm as an offset in seconds east of UTC.
func parseZone(raw []byte) (int, bool) {
	if string(raw) == "Z" {
		return 0, true
	}
	if len(raw) != 6 || raw[3] != ':' || raw[0] != '+' && raw[0] != '-' {
		return 0, false
	}
	h, ok1 := digits(raw[1:], 2)
	m, ok2 := digits(raw[4:], 2)
	if !ok1 || !ok2 || h > 14 || m > 59 || h == 14 && m > 0 {
		return 0, false
	}
	offset := h*3600 + m*60
	if raw[0] == '-' {
		offset = -offset
	}
	return offset, true
}

// parseInstant reads a DataOraTzType, in UTC.
func parseInstant(raw []byte) (time.Time, bool) {
	d, rest, ok := parseDate(trim(raw))
	if !ok || len(rest) < 10 || rest[0] != 'T' || rest[3] != ':' || rest[6] != ':' {
		return time.Time{}, false
	}
	h, ok1 := digits(rest[1:], 2)
	m, ok2 := digits(rest[4:], 2)
	s, ok3 := digits(rest[7:], 2)
	if !ok1 || !ok2 || !ok3 || h > 23 || m > 59 || s > 59 {
		return time.Time{}, false
	}
	rest = rest[9:]
	nanos := 0
	if len(rest) > 0 && rest[0] == '.' {
		n := 1
		unit := 100_000_000
		for ; n < len(rest) && rest[n] >= '0' && rest[n] <= '9'; n++ {
			nanos += int(rest[n]-'0') * unit
			unit /= 10
		}
		if n == 1 || n > 10 {
			return time.Time{}, false
		}
		rest = rest[n:]
	}
	offset, ok := parseZone(rest)
	if !ok {
		return time.Time{}, false
	}
	t := time.Date(d.year(), time.Month(d.month()), d.dayOfMonth(), h, m, s, nanos, time.UTC)
	return t.Add(-time.Duration(offset) * time.Second), true
}

// number splits an xs:int or xs:decimal into sign, whole digits without leading zeros and
// fraction digits without trailing zeros.
func number(raw []byte) (negative bool, whole, fraction []byte, ok bool) {
	raw = trim(raw)
	if len(raw) > 0 && (raw[0] == '+' || raw[0] == '-') {
		negative = raw[0] == '-'
		raw = raw[1:]
	}
	whole, fraction, _ = bytes.Cut(raw, []byte("."))
	if len(whole)+len(fraction) == 0 {
		return false, nil, nil, false
	}
	for _, part := range [2][]byte{whole, fraction} {
		for _, b := range part {
			if b < '0' || b > '9' {
				return false, nil, nil, false
			}
		}
	}
	whole = bytes.TrimLeft(whole, "0")
	fraction = bytes.TrimRight(fraction, "0")
	return negative && len(whole)+len(fraction) > 0, whole, fraction, true
}

// parseInt reads an xs:int.
func parseInt(raw []byte) (int32, bool) {
	if bytes.IndexByte(raw, '.') >= 0 {
		return 0, false
	}
	negative, whole, _, ok := number(raw)
	if !ok || len(whole) > 10 {
		return 0, false
	}
	v, _ := digits(whole, len(whole))
	if negative {
		v = -v
	}
	if v < math.MinInt32 || v > math.MaxInt32 {
		return 0, false
	}
	return int32(v), true
}

// appendNumber writes a number by value: no sign for zero, no leading or trailing zeros.
func appendNumber(to, raw []byte) []byte {
	negative, whole, fraction, _ := number(raw)
	if negative {
		to = append(to, '-')
	}
	if len(whole) == 0 {
		to = append(to, '0')
	}
	to = append(to, whole...)
	if len(fraction) > 0 {
		to = append(append(to, '.'), fraction...)
	}
	return to
}

// appendInstant writes an instant in UTC as RFC 3339, without trailing zeros of the second.
func appendInstant(to, raw []byte) []byte {
	t, _ := parseInstant(raw)
	return t.AppendFormat(to, time.RFC3339Nano)
}

// appendLower writes ASCII in lower case.
func appendLower(to, raw []byte) []byte {
	for _, b := range raw {
		if 'A' <= b && b <= 'Z' {
			b += 'a' - 'A'
		}
		to = append(to, b)
	}
	return to
}

// appendTyped writes the value of a leaf that Read checked, two spellings of one value alike
// (contract, "Duplicates"). Texts and enumerations are themselves.
func (t *simpleType) appendTyped(to, raw []byte) []byte {
	switch t.kind {
	case kindDate:
		return append(to, trim(raw)[:dayLength]...)
	case kindInstant:
		return appendInstant(to, raw)
	case kindInt, kindDecimal:
		return appendNumber(to, raw)
	case kindUUID:
		return appendLower(to, raw)
	case kindText, kindEnum:
	}
	text, _ := decode(raw)
	return append(to, text...)
}
