package xmlschema_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/sinbahub/sinbahub/pkg/xmlschema"
)

const (
	soap11 = "http://schemas.xmlsoap.org/soap/envelope/"
	soap12 = "http://www.w3.org/2003/05/soap-envelope"
)

// eventSchema compiles the event contract.
func eventSchema(tb testing.TB) *xmlschema.Schema {
	tb.Helper()
	return compile(tb, "sinba-eventi-v1.xsd", map[string][]byte{
		"sinba-eventi-v1.xsd": read(tb, "../../xsd/sinba-eventi-v1.xsd"),
	})
}

func compile(tb testing.TB, main string, files map[string][]byte) *xmlschema.Schema {
	tb.Helper()
	s, err := xmlschema.Compile(main, files)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

// small compiles a schema without a file of its own: body stands inside xs:schema, whose
// target namespace is urn:t.
func small(tb testing.TB, body string) *xmlschema.Schema {
	tb.Helper()
	return compile(tb, "small.xsd", map[string][]byte{"small.xsd": schemaOf(body)})
}

func schemaOf(body string) []byte {
	return []byte(`<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns="urn:t" targetNamespace="urn:t" elementFormDefault="qualified">` +
		body + `</xs:schema>`)
}

func read(tb testing.TB, path string) []byte {
	tb.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// samples gives the contract's sample events by file name.
func samples(tb testing.TB) map[string][]byte {
	tb.Helper()
	paths, err := filepath.Glob("testdata/esempi/*.xml")
	if err != nil || len(paths) == 0 {
		tb.Fatal("no samples")
	}
	all := map[string][]byte{}
	for _, p := range paths {
		all[filepath.Base(p)] = read(tb, p)
	}
	return all
}

// envelope wraps an event in a SOAP message with a Header.
func envelope(namespace string, event []byte) []byte {
	return bytes.Join([][]byte{
		[]byte(`<?xml version="1.0" encoding="UTF-8"?><s:Envelope xmlns:s="` + namespace + `"><s:Header><h:Id xmlns:h="urn:h">1</h:Id></s:Header><s:Body>`),
		event,
		[]byte(`</s:Body></s:Envelope>`),
	}, nil)
}

// check fails the test if there is no verdict.
func check(tb testing.TB, s *xmlschema.Schema, doc []byte, mode xmlschema.Mode) xmlschema.Verdict {
	tb.Helper()
	v, err := s.Check(doc, mode)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}
