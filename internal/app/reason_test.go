package app_test

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sinbahub/sinbahub/internal/app"
)

func TestReasonWithAnIdentifierIsRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text string
		want error
	}{
		"plain":                   {"Aggiornamento del database, ripresa prevista alle 14:30 del 22.11.2026 (tel. 055 4383 9999)", nil},
		"English":                 {"Upgrade of PostgreSQL – back at 2026-11-22T14:30Z, it's planned; €0", nil},
		"an event's id":           {"doppione di 018f4a3c-7d1e-7c3a-9b1f-0a1b2c3d4e5f segnalato dal fornitore", nil},
		"accents":                 {"già rifiutato: perché l'ente l'ha chiesto", nil},
		"five hundred":            {strings.Repeat("è", 500), nil},
		"empty":                   {"", app.ErrReasonEmpty},
		"blanks":                  {" \u00a0 ", app.ErrReasonEmpty},
		"too long":                {strings.Repeat("è", 501), app.ErrReasonLong},
		"two lines":               {"a\nb", app.ErrReasonSigns},
		"a tab":                   {"a\tb", app.ErrReasonSigns},
		"an escape":               {"a\x1b[31mb", app.ErrReasonSigns},
		"a nought":                {"a\x00b", app.ErrReasonSigns},
		"a deletion":              {"RSSMRA85M01H501\x7fQ", app.ErrReasonSigns},
		"nothing wide":            {"RSSMRA85\u200bM01H501Q", app.ErrReasonSigns},
		"wide letters":            {"ＲＳＳMRA85M01H501Q", app.ErrReasonSigns},
		"raised digits":           {"provvisorio ¹²³⁴⁵⁶⁷⁸⁹⁰³", app.ErrReasonSigns},
		"digits in circles":       {"①②③④⑤⑥⑦⑧⑨⓪③", app.ErrReasonSigns},
		"pictures":                {"attenzione ⚠", app.ErrReasonSigns},
		"an accent of its own":    {"RSSMRA85M01H501\u0301Q", app.ErrReasonSigns},
		"reversed":                {"\u202eQ105H10M58ARMSSR", app.ErrReasonSigns},
		"Cyrillic letters":        {"RSSMRА85M01H501Q", app.ErrReasonSigns},
		"Arabic digits":           {"provvisorio ١٢٣٤٥٦٧٨٩٠١", app.ErrReasonSigns},
		"codice fiscale":          {"caso di RSSMRA85M01H501Q, urgente", app.ErrReasonIdentity},
		"in lower case":           {"caso di rssmra85m01h501q", app.ErrReasonIdentity},
		"with blanks":             {"RSS MRA 85M01 H501 Q", app.ErrReasonIdentity},
		"wrong check character":   {"RSSMRA85M01H501A", app.ErrReasonIdentity},
		"STP":                     {"codice STP0900010000001 errato", app.ErrReasonIdentity},
		"STP with signs":          {"stp 090-001-000.0001", app.ErrReasonIdentity},
		"STP in a sentence":       {"codice stp 090-001-000.0001 errato", app.ErrReasonIdentity},
		"twelve digits after STP": {"STP 0900-0100-0000", nil},
		"ten digits":              {"chiamare 0554383999", nil},
		"ENI":                     {"eni0900010000001", app.ErrReasonIdentity},
		"ENI of no region":        {"ENI 999 0010000001", app.ErrReasonIdentity},
		"provisional":             {"provvisorio 12345678903", app.ErrReasonIdentity},
		"provisional, wrong":      {"provvisorio 12345678901.", app.ErrReasonIdentity},
		"provisional, in groups":  {"provvisorio 123 456 789-03", app.ErrReasonIdentity},
		"provisional, by dots":    {"123.456.789.03", app.ErrReasonIdentity},
		"provisional, by slash":   {"123456/78903", app.ErrReasonIdentity},
		"two numbers":             {"eventi 12345678, 903", nil},
		"glued to a word":         {"cf12345678901x", app.ErrReasonIdentity},
		"not UTF-8":               {"a\xff", app.ErrReasonSigns},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := app.CheckReason(test.text); !errors.Is(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

// What a reason may say around a code does not hide it.
func TestReasonHidesNoIdentifierBehindItsSurroundings(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		code := rapid.SampledFrom([]string{"RSSMRA85M01H501Q", "STP0900010000001", "ENI0900010000001", "12345678903", "98765432100"}).Draw(t, "code")
		around := rapid.StringMatching(`([a-z,.:()' ]{0,20}[,:()])?`)
		if rapid.Bool().Draw(t, "lower") {
			code = strings.ToLower(code)
		}
		if text := around.Draw(t, "before") + " " + code + " " + around.Draw(t, "after"); !errors.Is(app.CheckReason(text), app.ErrReasonIdentity) {
			t.Errorf("%q was taken", text)
		}
	})
}
