package gateway_test

import (
	"encoding/xml"
	"errors"
	"html"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/sinba"
)

// TestCodesPageHasEveryCodeInBothLanguages reads /docs/codici as a browser does.
func TestCodesPageHasEveryCodeInBothLanguages(t *testing.T) {
	t.Parallel()
	e, _ := newEntrance(t, limits())
	c := e.dial()
	for query, lang := range map[string]string{"": "it", "?lang=it": "it", "?lang=en": "en", "?lang=de": "it", "?lang=<x>": "it"} {
		c.send("GET /docs/codici" + strings.NewReplacer("<", "%3C", ">", "%3E").Replace(query) + " HTTP/1.1\r\nHost: hub\r\n\r\n")
		reply, page := c.answer()
		if reply.StatusCode != http.StatusOK || reply.Header.Get("Content-Security-Policy") != "default-src 'none'; style-src 'unsafe-inline'" {
			t.Fatalf("%s: %d %v", query, reply.StatusCode, reply.Header)
		}
		ids := anchors(t, page, lang)
		text := html.UnescapeString(page)
		for _, code := range hub.Codes() {
			said := code.IT
			if lang == "en" {
				said = code.EN
			}
			if n := len(slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return id != string(code.Code) })); n != 1 || !strings.Contains(text, said) {
				t.Errorf("%s: %s stands %d times, or without its text", query, code.Code, n)
			}
		}
		for _, sentence := range hub.Sentences() {
			said := sentence.IT
			if lang == "en" {
				said = sentence.EN
			}
			for _, part := range strings.FieldsFunc(said, func(r rune) bool { return r == '{' || r == '}' }) {
				if len(part) > 8 && !strings.Contains(text, part) {
					t.Errorf("%s: %s without %q", query, sentence.Code, part)
				}
			}
		}
		for _, rule := range sinba.Rules() {
			if !strings.Contains(text, "<td>"+rule.Name()+"</td><td>") || !strings.Contains(text, rule.Looks) || !strings.Contains(text, rule.Source+"</td>") {
				t.Errorf("%s: rule %s of %s is not told", query, rule.Name(), rule.Code)
			}
		}
	}
}

// anchors fails the test if the page's tags are not balanced or its language is another, and gives
// its ids.
func anchors(t *testing.T, page, lang string) (ids []string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(strings.Replace(strings.TrimPrefix(page, "<!DOCTYPE html>"), `<meta charset="utf-8">`, "", 1)))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return ids
		}
		if err != nil {
			t.Fatal(err)
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		for _, a := range start.Attr {
			if a.Name.Local == "id" {
				ids = append(ids, a.Value)
			}
			if start.Name.Local == "html" && a.Value != lang {
				t.Errorf("language %s, want %s", a.Value, lang)
			}
		}
	}
}
