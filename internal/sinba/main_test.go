package sinba_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/sinba"
	"github.com/sinbahub/sinbahub/xsd"
)

// update rewrites the generated files instead of comparing them.
var update = flag.Bool("update", false, "rewrite generated files")

// received is the time at which the tests judge; every sample lies before it.
var received = time.Date(2025, time.March, 1, 12, 0, 0, 0, time.UTC)

// schemaFile gives the event schema.
func schemaFile(tb testing.TB) []byte {
	tb.Helper()
	file, err := xsd.FS.ReadFile(xsd.SinbaEventi)
	if err != nil {
		tb.Fatal(err)
	}
	return file
}

// reference has the public facts and what the samples' participant would be registered with.
func reference() sinba.Reference {
	ref := sinba.DefaultReference()
	ref.Enti = []string{"SDS-PI", "SDS-LU"}
	ref.Zones = []string{"Z15"}
	ref.Vendors = []string{"Alias2k"}
	ref.Products = []string{"Gesocial"}
	ref.ProductVersions = []string{"5.1"}
	ref.Services = []string{"A1.20"}
	return ref
}

// catalogue is loaded once for all tests: it is never changed.
var catalogue = sync.OnceValues(func() (*sinba.Catalogue, error) {
	file, err := xsd.FS.ReadFile(xsd.SinbaEventi)
	if err != nil {
		return nil, err
	}
	return sinba.Load(file, reference())
})

// load gives the catalogue.
func load(tb testing.TB) *sinba.Catalogue {
	tb.Helper()
	c, err := catalogue()
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// samples gives the contract's sample events by name. They are canonical as they stand.
func samples(tb testing.TB) map[string][]byte {
	tb.Helper()
	files, err := filepath.Glob("testdata/esempi/*.xml")
	if err != nil || len(files) == 0 {
		tb.Fatal("no samples", err)
	}
	all := make(map[string][]byte, len(files))
	for _, file := range files {
		doc, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		all[strings.TrimSuffix(filepath.Base(file), ".xml")] = bytes.TrimSpace(doc)
	}
	return all
}

// sample gives one of them.
func sample(tb testing.TB, name string) string {
	tb.Helper()
	doc, ok := samples(tb)[name]
	if !ok {
		tb.Fatal("no sample", name)
	}
	return string(doc)
}

// read reads an event that must be readable.
func read(tb testing.TB, doc string) *sinba.Event {
	tb.Helper()
	ev, err := load(tb).Read([]byte(doc))
	if err != nil {
		tb.Fatal(err)
	}
	return ev
}

// change replaces the one occurrence of old in doc.
func change(tb testing.TB, doc, old, with string) string {
	tb.Helper()
	if n := strings.Count(doc, old); n != 1 {
		tb.Fatalf("%d occurrences of %q", n, old)
	}
	return strings.Replace(doc, old, with, 1)
}

// set gives the (only) element of a name another text, or removes the element for the empty text.
func set(tb testing.TB, doc, name, text string) string {
	tb.Helper()
	from := strings.Index(doc, "<"+name+">")
	to := strings.Index(doc, "</"+name+">")
	if from < 0 || to < 0 || strings.Count(doc, "<"+name+">") != 1 {
		tb.Fatalf("not one element %s", name)
	}
	end := to + len("</"+name+">")
	if text == "" {
		return doc[:from] + doc[end:]
	}
	return doc[:from] + "<" + name + ">" + text + doc[to:]
}

// codes are stand-ins that show what they stand for.
func regionalCodes() sinba.RegionalCodes {
	return sinba.RegionalCodes{Pseudonym: "PSEUDONIMOREGIONALEA", Rekey: func(kind, value string) string {
		return fakeCode("R" + kind + value)
	}}
}

// nationalCodes are those of the national domain.
func nationalCodes() sinba.NationalCodes {
	return sinba.NationalCodes{Beneficiary: "CODICENAZIONALEAAAAA", Rekey: func(kind, value string) string {
		return fakeCode("N" + kind + value)
	}}
}

// fakeCode gives 20 characters of base32 for a text, different for different texts.
func fakeCode(s string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	h := uint64(14695981039346656037)
	code := make([]byte, 20)
	for i := range code {
		for _, b := range []byte(s) {
			h = (h ^ uint64(b)) * 1099511628211
		}
		code[i] = alphabet[h>>59]
	}
	return string(code)
}
