package app

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sinbahub/sinbahub/pkg/codicefiscale"
)

// Reasons for which a text of an operator is not taken. None of them quotes it.
var (
	ErrReasonEmpty    = errors.New("the reason must not be empty")
	ErrReasonLong     = errors.New("the reason has more than 500 characters")
	ErrReasonSigns    = errors.New("the reason must be one line of Latin letters, digits and usual signs")
	ErrReasonIdentity = errors.New("the reason holds what looks like a codice fiscale, a provisional, STP or ENI code: say it without")
)

// longestReason is the most characters of a reason.
const longestReason = 500

// longestDigits is how many digits in a row a reason may have at most: a provisional code has one
// more.
const longestDigits = 10

// CheckReason tells whether a text that an operator gives (why it acts, what maintenance says) may
// be kept in the journal and told to others: one line of 1 to 500 characters without anything shaped
// like an identifier of a person. Codes are found in any case, and with blanks or signs between their
// characters; names cannot be found. The error never quotes the text.
func CheckReason(text string) error {
	switch {
	case strings.TrimSpace(text) == "":
		return ErrReasonEmpty
	case utf8.RuneCountInString(text) > longestReason:
		return ErrReasonLong
	case !utf8.ValidString(text) || strings.ContainsFunc(text, strange):
		return ErrReasonSigns
	case codicefiscale.LooksLike(text) || hasForeignCode(text) || hasProvisionalCode(text):
		return ErrReasonIdentity
	}
	return nil
}

// strange tells of a character that could hide a code from the look of it, or breaks a line:
// control characters, what has no width, letters and digits that only resemble ours.
func strange(r rune) bool {
	switch {
	case r < utf8.RuneSelf:
		return r < ' ' || r == '\x7f'
	case unicode.IsLetter(r):
		return !unicode.Is(unicode.Latin, r) || r >= '\u2000'
	case unicode.IsDigit(r) || unicode.IsNumber(r):
		return true
	}
	return r >= '\u2100' || !unicode.IsGraphic(r) || unicode.IsMark(r)
}

// hasForeignCode finds STP or ENI and thirteen digits, whatever signs stand between them.
func hasForeignCode(text string) bool {
	const prefix, digits = 3, 13
	squeezed := squeeze(text)
	for i := 0; i+prefix+digits <= len(squeezed); i++ {
		if kind := squeezed[i : i+prefix]; (kind == "STP" || kind == "ENI") && allDigits(squeezed[i+prefix:i+prefix+digits]) {
			return true
		}
	}
	return false
}

// squeeze gives the ASCII letters and digits, in upper case.
func squeeze(text string) string {
	return strings.Map(func(r rune) rune {
		if r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r)) {
			return unicode.ToUpper(r)
		}
		return -1
	}, text)
}

// hasProvisionalCode finds eleven or more digits in a row, right or wrong, and eleven that are right
// in groups with single blanks, dots, hyphens or slashes between them. Other groups of digits are
// dates, hours and telephone numbers.
func hasProvisionalCode(text string) bool {
	grouped := func(r rune) bool { return !unicode.IsDigit(r) && !strings.ContainsRune(" .-/", r) }
	for part := range strings.FieldsFuncSeq(text, grouped) {
		var all strings.Builder
		for digits := range strings.FieldsFuncSeq(part, func(r rune) bool { return !unicode.IsDigit(r) }) {
			if len(digits) > longestDigits {
				return true
			}
			all.WriteString(digits)
		}
		if codicefiscale.CheckProvisional(all.String()) == nil {
			return true
		}
	}
	return false
}

// allDigits tells whether a text of ASCII has nothing else.
func allDigits(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r < '0' || r > '9' })
}
