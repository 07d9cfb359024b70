package codicefiscale_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/pkg/codicefiscale"
)

// rows reads a table of the shared test material without its heading: vectors on which
// independent implementations were compared. It is not part of the project; without
// SINBAHUB_CORPORA the tests that need it are skipped.
func rows(t *testing.T, name string, atLeast int) [][]string {
	t.Helper()
	folder := os.Getenv("SINBAHUB_CORPORA")
	if folder == "" {
		t.Skip("SINBAHUB_CORPORA is not set: it names the folder with the shared test corpora")
	}
	text, err := os.ReadFile(filepath.Join(folder, "09-codice-fiscale", name))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")[1:]
	if len(lines) < atLeast {
		t.Fatalf("%s has %d rows, want at least %d", name, len(lines), atLeast)
	}
	table := make([][]string, len(lines))
	for i, line := range lines {
		table[i] = strings.Split(line, "\t")
	}
	return table
}

func TestCorpusAgreedCodesAreReadAsTheyWereMade(t *testing.T) {
	t.Parallel()
	for _, row := range rows(t, "cf_agreed.tsv", 641) {
		sex, born, place, text := row[2], row[3], row[4], row[5]
		code, err := codicefiscale.Parse(text)
		if err != nil {
			t.Errorf("Parse(%s) = %v", text, err)
			continue
		}
		bornAt, err := time.Parse(time.DateOnly, born)
		if err != nil {
			t.Fatal(err)
		}
		// The day of birth itself is the earliest that can ask, and settles the century.
		y, m, d := code.Born(bornAt)
		if got := fmt.Sprintf("%04d-%02d-%02d %c %s", y, m, d, code.Sex(), code.Place()); got != born+" "+sex+" "+place {
			t.Errorf("%s reads %s, want %s %s %s", text, got, born, sex, place)
		}
	}
}

func TestCorpusDisputedCodesAreAllWellFormed(t *testing.T) {
	t.Parallel()
	// Implementations differ on what these names give; each answer is a right code by itself.
	for _, row := range rows(t, "cf_disagree.tsv", 59) {
		for _, text := range row[5:] {
			if len(text) != 16 {
				continue // an implementation that gave up
			}
			if _, err := codicefiscale.Parse(text); err != nil {
				t.Errorf("Parse(%s) = %v", text, err)
			}
		}
	}
}

func TestCorpusInvalidCodesAreRefused(t *testing.T) {
	t.Parallel()
	for _, row := range rows(t, "cf_invalid.tsv", 352) {
		if _, err := codicefiscale.Parse(row[1]); err == nil {
			t.Errorf("Parse took %q (%s)", row[1], row[0])
		}
	}
}

func TestCorpusOmocodesAreReadLikeTheirBase(t *testing.T) {
	t.Parallel()
	for _, row := range rows(t, "cf_omocodia.tsv", 264) {
		base, err := codicefiscale.Parse(row[0])
		if err != nil {
			t.Errorf("Parse(%s) = %v", row[0], err)
			continue
		}
		omocode, err := codicefiscale.Parse(row[2])
		if err != nil {
			t.Errorf("Parse(%s) = %v", row[2], err)
			continue
		}
		letters, err := strconv.Atoi(row[1])
		if err != nil {
			t.Fatal(err)
		}
		if base.Omocode() || omocode.Omocode() != (letters != 0) {
			t.Errorf("%s, %s: Omocode = %t, %t", row[0], row[2], base.Omocode(), omocode.Omocode())
		}
		by, bm, bd := base.Born(day())
		oy, om, od := omocode.Born(day())
		if by != oy || bm != om || bd != od || base.Sex() != omocode.Sex() || base.Place() != omocode.Place() {
			t.Errorf("%s and %s do not read alike", row[0], row[2])
		}
		if !codicefiscale.LooksLike(row[2]) {
			t.Errorf("LooksLike(%s) is false", row[2])
		}
	}
}
