//go:build e2e

package hubtest_test

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
)

// mask replaces what differs from run to run; the same value gets the same placeholder throughout
// an archive.
type mask struct {
	base  string
	given string // what stands in the requests stays
	seen  map[string]string
	count map[string]int
}

func newMask(soapURL string, recorded *archive) *mask {
	base, _, _ := strings.Cut(soapURL, "/soap/")
	m := &mask{base: base, seen: map[string]string{}, count: map[string]int{}}
	for _, s := range recorded.sections {
		if strings.HasSuffix(s.name, "-request") {
			m.given += strings.ToLower(s.text)
		}
	}
	return m
}

func (m *mask) apply(text string) string {
	text = strings.ReplaceAll(text, m.base, "{HUB}")
	text = regexp.MustCompile(`<(DataOra|DataOraRicezione|DataOraStato)>[^<]+<`).ReplaceAllString(text, "<$1>{TIME}<")
	text = regexp.MustCompile(`<Giorno>[^<]+<`).ReplaceAllString(text, "<Giorno>{TODAY}<")
	text = regexp.MustCompile(`<VersioneServizio>[^<]+<`).ReplaceAllString(text, "<VersioneServizio>{VERSION}<")
	for _, kind := range []struct{ name, pattern string }{
		{"UUID", `\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b`},
		{"DIGEST", `\b[0-9a-f]{64}\b`},
		{"SALT", `\b[0-9a-f]{32}\b`},
		{"PROTOCOL", `\bSISS-[A-Z2-7]{16}\b`},
		{"CODE", `\b[A-Z2-7]{20}\b`},
	} {
		text = regexp.MustCompile(kind.pattern).ReplaceAllStringFunc(text, func(value string) string {
			if strings.Contains(m.given, strings.ToLower(value)) {
				return value
			}
			if m.seen[value] == "" {
				m.count[kind.name]++
				m.seen[value] = fmt.Sprintf("{%s-%d}", kind.name, m.count[kind.name])
			}
			return m.seen[value]
		})
	}
	return text
}

// archive is a text archive: a comment and named sections, each begun by a line "-- name --".
type archive struct {
	comment  string
	sections []section
}

type section struct{ name, text string }

func (a *archive) add(name, text string) {
	if text = strings.TrimRight(text, "\n"); text != "" {
		text += "\n"
	}
	a.sections = append(a.sections, section{name, text})
}

func parseArchive(text []byte) *archive {
	a := &archive{}
	mark := regexp.MustCompile(`(?m)^-- (\S+) --\n`)
	at := mark.FindAllSubmatchIndex(text, -1)
	end := func(i int) int {
		if i < len(at) {
			return at[i][0]
		}
		return len(text)
	}
	a.comment = string(text[:end(0)])
	for i, m := range at {
		a.add(string(text[m[2]:m[3]]), string(text[m[1]:end(i+1)]))
	}
	return a
}

func (a *archive) format() []byte {
	out := bytes.NewBufferString(a.comment)
	for _, s := range a.sections {
		fmt.Fprintf(out, "-- %s --\n%s", s.name, s.text)
	}
	return out.Bytes()
}
