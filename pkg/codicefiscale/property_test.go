package codicefiscale_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sinbahub/sinbahub/pkg/codicefiscale"
)

// drawnCode is a code made from parts that are known.
type drawnCode struct {
	text  string
	born  time.Time
	sex   byte
	place string
}

// drawCode draws a code of somebody born in the hundred years before day, with any of the 128
// choices of omocodia letters.
func drawCode(t *rapid.T) drawnCode {
	drawn := drawnCode{
		born:  day().AddDate(0, 0, -rapid.IntRange(0, 36524).Draw(t, "days before")),
		sex:   rapid.SampledFrom([]byte("MF")).Draw(t, "sex"),
		place: rapid.StringMatching(`[A-MZ][0-9]{3}`).Draw(t, "place"),
	}
	dayOf := drawn.born.Day()
	if drawn.sex == 'F' {
		dayOf += 40
	}
	text := []byte(rapid.StringMatching(`[A-Z]{6}`).Draw(t, "names") +
		fmt.Sprintf("%02d%c%02d%s", drawn.born.Year()%100, "ABCDEHLMPRST"[drawn.born.Month()-1], dayOf, drawn.place))
	letters := rapid.IntRange(0, 127).Draw(t, "omocodia")
	for bit, at := range []int{6, 7, 9, 10, 12, 13, 14} {
		if letters&(1<<bit) != 0 {
			text[at] = "LMNPQRSTUV"[text[at]-'0']
		}
	}
	check, ok := codicefiscale.CheckCharacter(string(text))
	if !ok {
		t.Fatalf("CheckCharacter(%s) is not ok", text)
	}
	drawn.text = string(text) + string(check)
	return drawn
}

func TestPropertyParseReadsWhatWasWritten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		drawn := drawCode(t)
		code, err := codicefiscale.Parse(drawn.text)
		if err != nil {
			t.Fatalf("Parse(%s) = %v", drawn.text, err)
		}
		y, m, d := code.Born(day())
		if wy, wm, wd := drawn.born.Date(); y != wy || m != wm || d != wd {
			t.Errorf("%s: Born = %d-%d-%d, want %d-%d-%d", drawn.text, y, m, d, wy, wm, wd)
		}
		if code.Sex() != drawn.sex || code.Place() != drawn.place {
			t.Errorf("%s: Sex, Place = %c, %s, want %c, %s", drawn.text, code.Sex(), code.Place(), drawn.sex, drawn.place)
		}
		if want := strings.ContainsAny(drawn.text[6:8]+drawn.text[9:11]+drawn.text[12:15], "LMNPQRSTUV"); code.Omocode() != want {
			t.Errorf("%s: Omocode = %t, want %t", drawn.text, code.Omocode(), want)
		}
	})
}

func TestPropertyEveryOtherCheckCharacterIsRefused(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := drawCode(t).text
		for c := byte('A'); c <= 'Z'; c++ {
			_, err := codicefiscale.Parse(text[:15] + string(c))
			if right := c == text[15]; right != (err == nil) {
				t.Errorf("%s with check character %c: %v", text, c, err)
			}
		}
	})
}

func TestPropertyCodeIsFoundInAnySurroundings(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := drawCode(t).text
		if rapid.Bool().Draw(t, "lower") {
			text = strings.ToLower(text)
		}
		around := rapid.String()
		if whole := around.Draw(t, "before") + text + around.Draw(t, "after"); !codicefiscale.LooksLike(whole) {
			t.Errorf("LooksLike(%q) is false", whole)
		}
	})
}

func TestPropertyProvisionalHasOneRightCheckDigit(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		first := rapid.StringMatching(`[0-9]{10}`).Draw(t, "digits")
		right := 0
		for c := '0'; c <= '9'; c++ {
			if codicefiscale.CheckProvisional(first+string(c)) == nil {
				right++
			}
		}
		if right != 1 {
			t.Errorf("%s has %d right check digits", first, right)
		}
	})
}

// FuzzParse holds that Parse takes no text that the contract's pattern refuses
// (xsd/sinba-eventi-v1.xsd, CodiceFiscaleType), and that what it takes is also found by LooksLike.
func FuzzParse(f *testing.F) {
	pattern := regexp.MustCompile(`^[A-Z]{6}[0-9LMNPQRSTUV]{2}[ABCDEHLMPRST][0-9LMNPQRSTUV]{2}[A-MZ][0-9LMNPQRSTUV]{3}[A-Z]$`)
	for _, seed := range []string{
		"", "RSSMRA85T10A562S", "RSSMRAURTMLARSNL", "RSSMRA00B29A562S", "VRDGLI15P52G702U",
		"rssmra85t10a562s", "00743110157", "STP0901010000123", "RSSMRA85T10A562S\x00", "RSS-MRA-85T10-A562S",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		code, err := codicefiscale.Parse(text)
		looks := codicefiscale.LooksLike(text)
		if pattern.MatchString(text) && !looks {
			t.Errorf("%q has the shape and is not found", text)
		}
		if err != nil {
			return
		}
		if !pattern.MatchString(text) {
			t.Errorf("%q is taken against the pattern", text)
		}
		if year, month, dayOf := code.Born(day()); time.Date(year, month, dayOf, 0, 0, 0, 0, time.UTC).Day() != dayOf {
			t.Errorf("%q is born on no calendar day", text)
		}
	})
}
