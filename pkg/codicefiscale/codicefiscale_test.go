package codicefiscale_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/pkg/codicefiscale"
)

// day is the reference for centuries in these tests.
func day() time.Time { return time.Date(2026, time.June, 1, 12, 0, 0, 0, time.UTC) }

func TestParseReadsDateSexAndPlace(t *testing.T) {
	t.Parallel()
	tests := []struct {
		code    string
		born    string
		sex     byte
		place   string
		omocode bool
	}{
		{"RSSMRA85T10A562S", "1985-12-10", 'M', "A562", false},
		{"MRTMTT91D08F205J", "1991-04-08", 'M', "F205", false},
		{"RCCMNL83S18D969H", "1983-11-18", 'M', "D969", false},
		{"BNCLCU12C15D612V", "2012-03-15", 'M', "D612", false},
		{"VRDGLI15P52G702U", "2015-09-12", 'F', "G702", false},
		{"XXXYYY10A01Z330A", "2010-01-01", 'M', "Z330", false},
		{"RSSMRA85T10A56NH", "1985-12-10", 'M', "A562", true},
		{"RSSMRA85T10A5SNT", "1985-12-10", 'M', "A562", true},
		{"RSSMRAURTMLARSNL", "1985-12-10", 'M', "A562", true},
	}
	for _, test := range tests {
		t.Run(test.code, func(t *testing.T) {
			t.Parallel()
			code, err := codicefiscale.Parse(test.code)
			if err != nil {
				t.Fatalf("Parse = %v", err)
			}
			y, m, d := code.Born(day())
			if born := fmt.Sprintf("%04d-%02d-%02d", y, m, d); born != test.born {
				t.Errorf("Born = %s, want %s", born, test.born)
			}
			if code.Sex() != test.sex {
				t.Errorf("Sex = %c, want %c", code.Sex(), test.sex)
			}
			if code.Place() != test.place {
				t.Errorf("Place = %s, want %s", code.Place(), test.place)
			}
			if code.Omocode() != test.omocode {
				t.Errorf("Omocode = %t, want %t", code.Omocode(), test.omocode)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		why  string
		code string
		want error
	}{
		{"empty", "", codicefiscale.ErrForm},
		{"short", "RSSMRA85T10A562", codicefiscale.ErrForm},
		{"long", "RSSMRA85T10A562SS", codicefiscale.ErrForm},
		{"lower case", "rssmra85t10a562s", codicefiscale.ErrForm},
		{"blank around", " RSSMRA85T10A562S", codicefiscale.ErrForm},
		{"digit among the letters", "R5SMRA85T10A562S", codicefiscale.ErrForm},
		{"month F", "RSSMRA85F10A562S", codicefiscale.ErrForm},
		{"place N", "RSSMRA85T10N562S", codicefiscale.ErrForm},
		{"letter that is no omocode", "RSSMRA8OT10A562S", codicefiscale.ErrForm},
		{"digit as check character", "RSSMRA85T10A5620", codicefiscale.ErrForm},
		{"sixteen bytes but a Greek letter", "RSSMRΑ85T10A562", codicefiscale.ErrForm},
		{"wrong check character", "RSSMRA85T10A562T", codicefiscale.ErrCheck},
		{"omocode with the base's check character", "RSSMRA85T10A56NS", codicefiscale.ErrCheck},
		{"day 0", "RSSMRA85T00A562S", codicefiscale.ErrDate},
		{"day 32", "RSSMRA85T32A562S", codicefiscale.ErrDate},
		{"day 40", "RSSMRA85T40A562S", codicefiscale.ErrDate},
		{"day 72", "RSSMRA85T72A562S", codicefiscale.ErrDate},
		{"31 April", "RSSMRA85D31A562S", codicefiscale.ErrDate},
		{"30 February", "RSSMRA84B30A562S", codicefiscale.ErrDate},
		{"29 February of an odd year", "RSSMRA85B29A562S", codicefiscale.ErrDate},
		{"29 February of a girl, odd year", "RSSMRA85B69A562S", codicefiscale.ErrDate},
	}
	for _, test := range tests {
		t.Run(test.why, func(t *testing.T) {
			t.Parallel()
			if _, err := codicefiscale.Parse(test.code); !errors.Is(err, test.want) {
				t.Errorf("Parse = %v, want %v", err, test.want)
			}
		})
	}
}

func TestBornChoosesLatestCenturyNotInTheFuture(t *testing.T) {
	t.Parallel()
	tests := []struct {
		first15, notAfter, want string
	}{
		{"RSSMRA26E31A562", "2026-06-01", "2026-05-31"},
		{"RSSMRA26H01A562", "2026-06-01", "2026-06-01"},
		{"RSSMRA26H02A562", "2026-06-01", "1926-06-02"},
		{"RSSMRA26L01A562", "2026-06-01", "1926-07-01"},
		{"RSSMRA27A01A562", "2026-06-01", "1927-01-01"},
		{"RSSMRA00B29A562", "2026-06-01", "2000-02-29"},
		{"RSSMRA00B29A562", "1999-12-31", "1600-02-29"}, // 1900, 1800 and 1700 had none
		{"RSSMRA99T71A562", "2000-01-01", "1999-12-31"},
	}
	for _, test := range tests {
		t.Run(test.first15+" by "+test.notAfter, func(t *testing.T) {
			t.Parallel()
			check, _ := codicefiscale.CheckCharacter(test.first15)
			code, err := codicefiscale.Parse(test.first15 + string(check))
			if err != nil {
				t.Fatalf("Parse = %v", err)
			}
			notAfter, err := time.Parse(time.DateOnly, test.notAfter)
			if err != nil {
				t.Fatal(err)
			}
			y, m, d := code.Born(notAfter)
			if got := fmt.Sprintf("%04d-%02d-%02d", y, m, d); got != test.want {
				t.Errorf("Born = %s, want %s", got, test.want)
			}
		})
	}
}

func TestZeroCodeSaysNothing(t *testing.T) {
	t.Parallel()
	var code codicefiscale.Code
	if y, m, d := code.Born(day()); y != 0 || m != 0 || d != 0 {
		t.Errorf("Born = %d %d %d, want zeroes", y, m, d)
	}
	if code.Place() != "" || code.Omocode() {
		t.Error("the zero code has a place or is an omocode")
	}
}

func TestCodePrintsPlaceholder(t *testing.T) {
	t.Parallel()
	code, err := codicefiscale.Parse("RSSMRA85T10A562S")
	if err != nil {
		t.Fatal(err)
	}
	hidden := struct{ code codicefiscale.Code }{code}
	asJSON, err := json.Marshal(map[string]any{"code": code})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		fmt.Sprint(code), fmt.Sprintf("%+v %#v %s %d", code, code, code, code),
		fmt.Sprintf("%v %+v %#v", hidden, hidden, hidden), string(asJSON),
	} {
		for _, mark := range []string{"A562", "85", "December", "true"} {
			if strings.Contains(text, mark) {
				t.Errorf("%q shows %q", text, mark)
			}
		}
	}
}

func TestErrorsCarryNothingOfTheirInput(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"RSSMRA85T10A562T", "RSSMRA85D31A562S", "rssmra85t10a562s"} {
		_, err := codicefiscale.Parse(code)
		if err == nil || strings.Contains(strings.ToUpper(err.Error()), "RSSMRA") {
			t.Errorf("Parse error = %v, want one without the code", err)
		}
	}
}

func TestCheckCharacterNeedsFifteenLettersAndDigits(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "RSSMRA85T10A56", "RSSMRA85T10A562S", "RSSMRA85T10a562", "RSSMRA85T10 562", "RSSMRA85T1ÀA56"} {
		if check, ok := codicefiscale.CheckCharacter(text); ok || check != 0 {
			t.Errorf("CheckCharacter(%q) = %q, %t, want nothing", text, check, ok)
		}
	}
}

func TestCheckProvisional(t *testing.T) {
	t.Parallel()
	tests := []struct {
		code string
		want error
	}{
		{"00743110157", nil},
		{"80012345676", nil},
		{"01234567897", nil},
		{"00743110158", codicefiscale.ErrCheck},
		{"00743101157", codicefiscale.ErrCheck}, // two neighbours swapped
		{"0074311015", codicefiscale.ErrForm},
		{"007431101570", codicefiscale.ErrForm},
		{"0074311015A", codicefiscale.ErrForm},
		{" 0074311015", codicefiscale.ErrForm},
		{"", codicefiscale.ErrForm},
	}
	for _, test := range tests {
		if err := codicefiscale.CheckProvisional(test.code); !errors.Is(err, test.want) {
			t.Errorf("CheckProvisional(%q) = %v, want %v", test.code, err, test.want)
		}
	}
}

func TestCheckSTPAndENI(t *testing.T) {
	t.Parallel()
	tests := map[string]error{
		"0901010000123":  nil,
		"0101010000123":  nil,
		"2001010000123":  nil,
		"0411010000123":  nil, // Bolzano
		"0421010000123":  nil, // Trento
		"0431010000123":  codicefiscale.ErrRegion,
		"0001010000123":  codicefiscale.ErrRegion,
		"2101010000123":  codicefiscale.ErrRegion,
		"0911010000123":  codicefiscale.ErrRegion,
		"0171010000123":  codicefiscale.ErrRegion, // the SINBA number of Toscana
		"090101000012":   codicefiscale.ErrForm,
		"09010100001234": codicefiscale.ErrForm,
		"09010100001O3":  codicefiscale.ErrForm,
	}
	for digits, want := range tests {
		if err := codicefiscale.CheckSTP("STP" + digits); !errors.Is(err, want) {
			t.Errorf("CheckSTP(STP%s) = %v, want %v", digits, err, want)
		}
		if err := codicefiscale.CheckENI("ENI" + digits); !errors.Is(err, want) {
			t.Errorf("CheckENI(ENI%s) = %v, want %v", digits, err, want)
		}
		if err := codicefiscale.CheckSTP("ENI" + digits); !errors.Is(err, codicefiscale.ErrForm) {
			t.Errorf("CheckSTP(ENI%s) = %v, want ErrForm", digits, err)
		}
	}
}

func TestLooksLike(t *testing.T) {
	t.Parallel()
	tests := []struct {
		why  string
		text string
		want bool
	}{
		{"a code", "RSSMRA85T10A562S", true},
		{"lower case", "rssmra85t10a562s", true},
		{"mixed case", "RssMra85t10A562s", true},
		{"an omocode", "RSSMRAURTMLARSNL", true},
		{"a mistyped code", "RSSMRA85T10A562T", true},
		{"a mistyped code with an impossible day", "RSSMRA85T00A562T", true},
		{"behind a prefix", "CF:RSSMRA85T10A562T", true},
		{"between slashes", "2024/RSSMRA85T10A562T/1", true},
		{"after an accented letter", "èRSSMRA85T10A562T", true},
		{"glued to letters and digits", "CART01RSSMRA85T10A562S2024", true},
		{"broken up", "RSS-MRA-85T10-A562S", true},
		{"broken up, lower case, with a prefix", "x.rss.mra.85t10.a562s", true},
		{"spelled with blanks", "RSS MRA 85T10 A562S", true},
		{"empty", "", false},
		{"fifteen characters", "RSSMRA85T10A562", false},
		{"a glued text with the wrong check character", "CART01RSSMRA85T10A562T2024", false},
		{"a local code", "2024/00001-bb3b", false},
		{"another local code", "A-00001-3031", false},
		{"a UUID", "5790f82e-c1d3-4cff-aa3a-f4d46b0a18e8", false},
		{"a key of 32 hexadecimal digits", "5790F82EC1D34CFFAA3AF4D46B0A18E8", false},
		{"sixteen letters", "PROGETTOQUADROAB", false},
		{"eleven digits", "00743110157", false},
		{"an STP code", "STP0901010000123", false},
	}
	for _, test := range tests {
		t.Run(test.why, func(t *testing.T) {
			t.Parallel()
			if got := codicefiscale.LooksLike(test.text); got != test.want {
				t.Errorf("LooksLike(%q) = %t, want %t", test.text, got, test.want)
			}
		})
	}
}
