// Package codicefiscale checks and decodes Italian personal codes.
//
// It knows the sixteen-character codice fiscale (D.M. 23-12-1976 n. 13813) with omocodia, the
// eleven-digit provisional code, and the STP and ENI codes of foreigners outside the national
// health service. It answers whether a code is right by itself, never whose it is: nothing here
// computes a code from a name, because implementations disagree on names beyond ASCII.
//
// An omocode is another person's code, not a spelling of its base form. It is decoded to read
// date, sex and place, and never folded.
//
// Errors are the sentinels below and carry nothing of their input.
package codicefiscale

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// The reasons for which a code is refused.
var (
	// ErrForm says that the length is wrong or a character stands where it cannot.
	ErrForm = errors.New("code has the wrong form")
	// ErrDate says that the birth date in the code is on no calendar.
	ErrDate = errors.New("code holds no calendar date")
	// ErrCheck says that the last character does not follow from the others.
	ErrCheck = errors.New("code has the wrong check character")
	// ErrRegion says that the region in an STP or ENI code is none of ISTAT's.
	ErrRegion = errors.New("code names no ISTAT region")
)

// length is that of a codice fiscale.
const length = 16

// shape says what may stand at each place of a codice fiscale: a letter (L), a digit or its
// omocodia letter (D), a month (M), the first letter of a belfiore code (B).
const shape = "LLLLLLDDMDDBDDDL"

// months are the twelve letters of the month, January first.
const months = "ABCDEHLMPRST"

// omocodes are the letters that stand for the digits 0 to 9 in an omocode.
const omocodes = "LMNPQRSTUV"

// oddValues are the values of A to Z at odd positions, counted from 1, written as 'A' + value.
// A digit counts as the letter of the same rank: 0 as A, 1 as B.
const oddValues = "BAFHJNPRTVCESULDGIMOQKWZYX"

// femaleShift is added to the day of birth of females.
const femaleShift = 40

// Code is a codice fiscale that was found right. It keeps what the code says, not its text, and
// prints as a placeholder: birth date, sex and place say much about a child. Codes cannot be
// compared: two of the same date, sex and place name two people.
type Code struct {
	_    [0]func()
	says *parts
}

// parts is what a codice fiscale says.
type parts struct {
	place   string
	year    int // of its century
	month   time.Month
	day     int
	female  bool
	omocode bool
}

// Parse checks a codice fiscale: its form (sixteen ASCII characters, upper case, no blanks), that
// its date exists in some century, and its check character. Omocodes are as good as base forms.
// The error is ErrForm, ErrDate or ErrCheck.
func Parse(code string) (Code, error) {
	if len(code) != length {
		return Code{}, ErrForm
	}
	for i := range length {
		if !fits(code[i], shape[i]) {
			return Code{}, ErrForm
		}
	}
	p, ok := decode(code)
	if !ok {
		return Code{}, ErrDate
	}
	if check, ok := CheckCharacter(code[:length-1]); !ok || check != code[length-1] {
		return Code{}, ErrCheck
	}
	return Code{says: &p}, nil
}

// Sex gives 'M' or 'F'.
func (c Code) Sex() byte {
	if c.parts().female {
		return 'F'
	}
	return 'M'
}

// Born gives the date of birth. A code holds two digits of the year: the century is the latest
// in which the date exists and is not after notAfter, read as a calendar day in its own location.
func (c Code) Born(notAfter time.Time) (year int, month time.Month, day int) {
	p := c.parts()
	if p.month == 0 {
		return 0, 0, 0
	}
	year = notAfter.Year()/100*100 + p.year
	for p.after(year, notAfter) || !exists(year, p.month, p.day) {
		year -= 100
	}
	return year, p.month, p.day
}

// Place gives the belfiore code of the place of birth with its digits decoded: a municipality
// such as D612, or a foreign state such as Z330. It may have ceased to exist since.
func (c Code) Place() string { return c.parts().place }

// Omocode tells whether a letter stands for a digit somewhere.
func (c Code) Omocode() bool { return c.parts().omocode }

// Format prints a placeholder for every verb and flag.
func (Code) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[redacted]") }

// MarshalText gives a placeholder, which also covers JSON and YAML.
func (Code) MarshalText() ([]byte, error) { return []byte("[redacted]"), nil }

// parts gives what the code says; the zero Code says nothing.
func (c Code) parts() parts {
	if c.says == nil {
		return parts{}
	}
	return *c.says
}

// after tells whether the date in the given year lies after the day of t.
func (p parts) after(year int, t time.Time) bool {
	y, m, d := t.Date()
	if year != y {
		return year > y
	}
	if p.month != m {
		return p.month > m
	}
	return p.day > d
}

// CheckCharacter computes the last character of a codice fiscale from the fifteen before it, as
// they are written, omocodia letters included. ok is false unless first15 is fifteen characters
// out of A-Z and 0-9.
func CheckCharacter(first15 string) (check byte, ok bool) {
	if len(first15) != length-1 {
		return 0, false
	}
	sum := 0
	for i := range len(first15) {
		rank, ok := rankOf(first15[i])
		if !ok {
			return 0, false
		}
		if i%2 == 0 { // an odd position, counted from 1
			rank = int(oddValues[rank] - 'A')
		}
		sum += rank
	}
	return 'A' + byte(sum%26), true
}

// rankOf gives 0 to 9 for a digit and 0 to 25 for a letter.
func rankOf(c byte) (rank int, ok bool) {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0'), true
	case c >= 'A' && c <= 'Z':
		return int(c - 'A'), true
	}
	return 0, false
}

// fits tells whether c may stand where the shape has class.
func fits(c, class byte) bool {
	switch class {
	case 'L':
		return c >= 'A' && c <= 'Z'
	case 'D':
		_, _, ok := digitOf(c)
		return ok
	case 'M':
		return rankIn(months, c) >= 0
	case 'B':
		return c >= 'A' && c <= 'M' || c == 'Z'
	}
	return false
}

// digitOf reads a digit or the omocodia letter that stands for it.
func digitOf(c byte) (digit int, omocode, ok bool) {
	if c >= '0' && c <= '9' {
		return int(c - '0'), false, true
	}
	digit = rankIn(omocodes, c)
	return digit, true, digit >= 0
}

// rankIn gives the place of c in list, or -1.
func rankIn(list string, c byte) int {
	for i := range len(list) {
		if list[i] == c {
			return i
		}
	}
	return -1
}

// decode reads a text that has the shape. ok is false if its date exists in no century.
func decode(code string) (p parts, ok bool) {
	plain := []byte(code)
	for i := range length {
		if shape[i] == 'D' {
			digit, omocode, _ := digitOf(code[i])
			plain[i] = "0123456789"[digit]
			p.omocode = p.omocode || omocode
		}
	}
	p.year = twoDigits(plain[6:])
	p.month = time.Month(rankIn(months, code[8]) + 1)
	p.day = twoDigits(plain[9:])
	if p.day > femaleShift {
		p.day -= femaleShift
		p.female = true
	}
	p.place = string(plain[11:15])
	// 2000 was a leap year as every fourth one was: what exists in any century exists in this.
	return p, exists(2000+p.year, p.month, p.day)
}

// twoDigits reads the number that text begins with.
func twoDigits(text []byte) int { return int(text[0]-'0')*10 + int(text[1]-'0') }

// exists tells whether the day is on the calendar.
func exists(year int, month time.Month, day int) bool {
	return day >= 1 && time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Day() == day
}
