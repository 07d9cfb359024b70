package hub_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sinbahub/sinbahub/internal/hub"
)

// TestSentencesFitTheContract fills every sentence with the longest that can stand in it.
func TestSentencesFitTheContract(t *testing.T) {
	t.Parallel()
	codes := map[hub.Code]bool{}
	for _, text := range hub.Codes() {
		codes[text.Code] = true
	}
	longest := "CarattereInserimentoResidenziale" // the schema's longest name but two
	forms := []string{"2147483647", strings.Repeat("PROVVEDIMENTO_GIUDIZIARIO|", 40) + "A"}
	for _, form := range hub.Forms() {
		forms = append(forms, form.Type)
	}
	speaker := hub.NewSpeaker()
	seen := map[string]bool{}
	for _, sentence := range hub.Sentences() {
		if key := string(sentence.Code) + sentence.Reason; seen[key] || !codes[sentence.Code] || sentence.Reason == "" {
			t.Errorf("%s %q is told twice, or of no code", sentence.Code, sentence.Reason)
		} else {
			seen[key] = true
		}
		for _, form := range forms {
			for _, kind := range []hub.ValueKind{hub.Described, hub.Described | 63} {
				said := speaker.Say(hub.Violation{
					Code: sentence.Code, Reason: sentence.Reason, About: longest, Form: form, Next: longest + "|" + longest, Kind: kind, Length: 65535,
				})
				for _, text := range []string{said.IT, said.EN} {
					if n := utf8.RuneCountInString(text); n == 0 || n > 256 || strings.ContainsAny(text, "{}") {
						t.Errorf("%s %s of %s: %d characters: %s", sentence.Code, sentence.Reason, form, n, text)
					}
				}
			}
		}
	}
}

func TestListsThatAreTooLongTellHowMany(t *testing.T) {
	t.Parallel()
	v := hub.Violation{Code: hub.CodeSchemaEnumeration, Reason: "form", About: "Sesso", Form: "M|F", Kind: hub.Described | hub.LowerCase, Length: 1}
	if got, want := hub.NewSpeaker().Say(v), "`Sesso` must be one of M, F; found: 1 character: lower-case letters."; got.EN != want {
		t.Errorf("got %s", got.EN)
	}
	v.Form = strings.Repeat("VALORE|", 99) + "VALORE"
	if got := hub.NewSpeaker().Say(v).IT; !strings.Contains(got, "VALORE, … (100); trovato") || utf8.RuneCountInString(got) > 256 {
		t.Errorf("got %s", got)
	}
	if got := hub.NewSpeaker().Say(hub.Violation{Code: hub.CodeSchemaEnumeration, Reason: "?"}); got.EN != "The value is not in the list of allowed codes." {
		t.Errorf("an unknown reason says %s", got.EN)
	}
}

// TestEveryCodeIsProducedSomewhere looks for each code in the tests, the vectors and the corpora of
// the other packages, where it is wanted of an answer.
func TestEveryCodeIsProducedSomewhere(t *testing.T) {
	t.Parallel()
	table, err := os.ReadFile("codes.go")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{}
	for _, m := range regexp.MustCompile(`(Code\w+) +Code = "(SINBA_\d+)"`).FindAllStringSubmatch(string(table), -1) {
		names["hub."+m[1]] = m[2]
	}
	produced := map[string]bool{}
	// 402G is SINBA_402, GRAVE: the short form of the tests of the life cycle.
	word := regexp.MustCompile(`SINBA_\d{3}|hub\.Code\w+|\b\d{3}[GLI]\b`)
	err = filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			if entry != nil && (entry.Name() == ".git" || entry.Name() == "node_modules" || entry.Name() == "hub" || entry.Name() == "var") {
				return fs.SkipDir
			}
			return err
		}
		if !strings.HasSuffix(path, "_test.go") && !strings.HasSuffix(path, ".faults") && !strings.HasSuffix(path, ".txtar") && !strings.HasSuffix(path, "bad/README.md") {
			return nil
		}
		text, err := os.ReadFile(path)
		for _, found := range word.FindAllString(string(text), -1) {
			if code, isName := names[found]; isName {
				found = code
			} else if len(found) == len("402G") {
				found = "SINBA_" + found[:3]
			}
			produced[found] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range hub.Codes() {
		if !produced[string(text.Code)] {
			t.Errorf("no test wants %s", text.Code)
		}
	}
}
