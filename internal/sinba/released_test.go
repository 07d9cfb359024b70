package sinba_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"github.com/sinbahub/sinbahub/internal/sinba"
)

// Bundles of evidence have these texts: what was released says the same for ever.
func TestReleasedVersionsStayAsTheyAre(t *testing.T) {
	t.Parallel()
	for version, want := range map[int32]string{1: "2b7146495070410c", 2: "dfa2f92c196658e0"} {
		text, ok := sinba.RulesText(version)
		sum := sha256.Sum256(text)
		if got := hex.EncodeToString(sum[:8]); !ok || got != want {
			t.Errorf("rules %d are %s, were %s:\n%s", version, got, want, text)
		}
	}
	text, ok := sinba.Mapping(1)
	sum := sha256.Sum256(text)
	if got, want := hex.EncodeToString(sum[:8]), "114b090087e83b87"; !ok || got != want {
		t.Errorf("mapping 1 is %s, was %s", got, want)
	}
	first, _ := sinba.RulesText(1)
	second, _ := sinba.RulesText(2)
	if bytes.Contains(first, []byte("SINBA_302")) || !bytes.Contains(second, []byte("SINBA_302")) {
		t.Error("a rule stands in a version it is not of")
	}
}

func TestVersionsThatAreNotHereAreNotGiven(t *testing.T) {
	t.Parallel()
	for _, version := range []int32{-1, 0, sinba.RulesVersion + 1} {
		if _, ok := sinba.RulesText(version); ok {
			t.Errorf("rules %d are given", version)
		}
	}
	for _, version := range []int32{0, sinba.MappingVersion + 1} {
		if _, ok := sinba.Mapping(version); ok {
			t.Errorf("mapping %d is given", version)
		}
	}
}
