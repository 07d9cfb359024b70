package sinba_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sinbahub/sinbahub/internal/sinba"
)

// benchDocument is a CARICAMENTO_INIZIALE of about 8 KB.
func benchDocument(tb testing.TB) []byte {
	tb.Helper()
	doc := sample(tb, "caricamento-iniziale")
	from, to := strings.Index(doc, "<Intervento>"), strings.Index(doc, "</Intervento>")+len("</Intervento>")
	for len(doc) < 8_000 {
		doc = doc[:to] + doc[from:to] + doc[to:]
	}
	return []byte(doc)
}

func BenchmarkRead(b *testing.B) {
	c, doc := load(b), benchDocument(b)
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Read(doc); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkContent(b *testing.B) {
	c, doc := load(b), benchDocument(b)
	ev, err := c.Read(doc)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		_ = ev.Content()
	}
}

// BenchmarkJudge has the rules of each version side by side, on an event of usual size and on a big
// one.
func BenchmarkJudge(b *testing.B) {
	for name, doc := range map[string][]byte{"PresaInCarico": []byte(sample(b, "presa-in-carico")), "Fotografia8KB": benchDocument(b)} {
		for version := 1; version <= sinba.RulesVersion; version++ {
			b.Run(fmt.Sprintf("%s/rules%d", name, version), func(b *testing.B) {
				c := load(b)
				ev, err := c.Read(doc)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				for b.Loop() {
					_ = c.Judge(ev, sinba.RuleContext{Now: received, Version: version})
				}
			})
		}
	}
}

// cheapCodes stand for the pseudonym store, without the price of its HMACs.
func cheapCodes() (sinba.RegionalCodes, sinba.NationalCodes) {
	rekey := func(string, string) string { return "AAAAAAAAAAAAAAAAAAAA" }
	return sinba.RegionalCodes{Pseudonym: "BBBBBBBBBBBBBBBBBBBB", Rekey: rekey},
		sinba.NationalCodes{Beneficiary: "CCCCCCCCCCCCCCCCCCCC", Rekey: rekey}
}

func BenchmarkRegional(b *testing.B) {
	c, doc := load(b), benchDocument(b)
	ev, err := c.Read(doc)
	if err != nil {
		b.Fatal(err)
	}
	codes, _ := cheapCodes()
	b.ReportAllocs()
	for b.Loop() {
		_ = c.Regional(ev, codes)
	}
}

func BenchmarkNational(b *testing.B) {
	c, doc := load(b), benchDocument(b)
	ev, err := c.Read(doc)
	if err != nil {
		b.Fatal(err)
	}
	regional, national := cheapCodes()
	stored := c.Regional(ev, regional)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.National(stored, national); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAccept is all that this package does for one accepted event.
func BenchmarkAccept(b *testing.B) {
	c, doc := load(b), benchDocument(b)
	codes, _ := cheapCodes()
	b.ReportAllocs()
	for b.Loop() {
		ev, err := c.Read(doc)
		if err != nil {
			b.Fatal(err)
		}
		_ = ev.Content()
		_ = c.Judge(ev, sinba.RuleContext{Now: received})
		_ = c.Regional(ev, codes)
	}
}
