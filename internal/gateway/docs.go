package gateway

import (
	"bytes"
	"html/template"
	"net/http"
	"strconv"
	"strings"

	"github.com/sinbahub/sinbahub/internal/contract"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/sinba"
)

// codesPath is where every violation's Riferimento leads.
const codesPath = "/docs/codici"

// codesPage is the table of codes for people, in one language.
const codesPage = `<!DOCTYPE html>
<html lang="{{.Lang}}"><head><meta charset="utf-8"><title>{{.Title}}</title>
<style>body{font-family:sans-serif;margin:2rem;max-width:80rem}table{border-collapse:collapse}
td,th{border:1px solid #bbb;padding:.4rem .6rem;text-align:left;vertical-align:top}
ul{margin:.4rem 0 0;padding-left:1.2rem}:target{background:#ffd}</style></head><body>
<h1>{{.Title}}</h1>
<p>{{.Families}}</p>
<p><a href="?lang={{.OtherLang}}" hreflang="{{.OtherLang}}" lang="{{.OtherLang}}">{{.Other}}</a></p>
<table><thead><tr>{{range .Columns}}<th>{{.}}</th>{{end}}</tr></thead><tbody>
{{range .Rows}}<tr id="{{.Code}}"><td><code>{{.Code}}</code></td><td>{{.Text}}{{if .Sentences}}<ul>{{range .Sentences}}<li>{{.}}</li>{{end}}</ul>{{end}}</td><td>{{.Severity}}</td><td>{{.Rule}}</td><td>{{.Looks}}</td><td>{{.Source}}</td><td>{{.Since}}</td></tr>
{{end}}</tbody></table>
<h2>{{.FormsTitle}}</h2>
<table><thead><tr>{{range .FormColumns}}<th>{{.}}</th>{{end}}</tr></thead><tbody>
{{range .Forms}}<tr><td><code>{{.Type}}</code></td><td>{{.Text}}</td></tr>
{{end}}</tbody></table></body></html>
`

// codesWords is what the page says in a language, and its rows.
type codesWords struct {
	Lang, Title, Families, OtherLang, Other, FormsTitle string
	Columns, FormColumns                                []string
	Rows                                                []codeRow
	Forms                                               []formRow
}

// codeRow is one code with its sentences and, if a rule gives it, what the table of rules says.
type codeRow struct {
	Code                                 hub.Code
	Text                                 string
	Sentences                            []string
	Severity, Rule, Looks, Source, Since string
}

// formRow is the form of one type's values.
type formRow struct{ Type, Text string }

// Languages of the page of codes.
const (
	languageIT = "it"
	languageEN = "en"
)

// renderCodes makes the page of each language once: its only input is the tables in the code.
func renderCodes() map[string][]byte {
	page := template.Must(template.New("codes").Parse(codesPage))
	pages := map[string][]byte{}
	for _, words := range []codesWords{
		{
			Lang: languageIT, Title: "Codici delle anomalie S.In.Ba.", OtherLang: languageEN, Other: "In English", FormsTitle: "Forme dei valori",
			Families: "0xx trasporto e busta, 1xx identità di messaggio e mittente, 2xx schema, 3xx regole (SINBA_3nn = BR-nn), 4xx ciclo di vita, 5xx guasti del servizio (nulla è stato memorizzato: ripetere l'invio).",
			Columns:  []string{"Codice", "Significato", "Rilevanza", "Regola", "Dove guarda", "Fonte", "Da"}, FormColumns: []string{"Tipo", "Forma"},
		},
		{
			Lang: languageEN, Title: "S.In.Ba. violation codes", OtherLang: languageIT, Other: "In italiano", FormsTitle: "Forms of values",
			Families: "0xx transport and envelope, 1xx identity of message and sender, 2xx schema, 3xx rules (SINBA_3nn = BR-nn), 4xx life cycle, 5xx the service's own trouble (nothing was stored: send again).",
			Columns:  []string{"Code", "Meaning", "Severity", "Rule", "Looks at", "Source", "Since"}, FormColumns: []string{"Type", "Form"},
		},
	} {
		words.fill()
		var text bytes.Buffer
		if err := page.Execute(&text, words); err != nil {
			panic(err) // a constant template over constant tables
		}
		pages[words.Lang] = text.Bytes()
	}
	return pages
}

// fill takes the rows from the tables.
func (w *codesWords) fill() {
	choose := func(it, en string) string {
		if w.Lang == languageEN {
			return en
		}
		return it
	}
	rules := map[hub.Code]sinba.Rule{}
	for _, rule := range sinba.Rules() {
		if first, ok := rules[rule.Code]; ok { // a later version looks at more
			first.Looks += "; " + rule.Looks
			rule = first
		}
		rules[rule.Code] = rule
	}
	ellipsis := strings.NewReplacer("{}", "…", "{form}", "…", "{next}", "…", "{found}", "…", "{length}", "…")
	for _, code := range hub.Codes() {
		row := codeRow{Code: code.Code, Text: choose(code.IT, code.EN)}
		if number, is := strings.CutPrefix(string(code.Code), "SINBA_3"); is {
			row.Rule = "BR-" + number
		} else if !strings.HasPrefix(string(code.Code), "SINBA_4") { // those are as the case is
			row.Severity = hub.Grave.String()
		}
		for _, sentence := range hub.Sentences() {
			if sentence.Code == code.Code {
				row.Sentences = append(row.Sentences, ellipsis.Replace(choose(sentence.IT, sentence.EN)))
			}
		}
		if rule, ok := rules[code.Code]; ok {
			row.Severity, row.Rule, row.Looks, row.Source = rule.Severity.String(), rule.Name(), rule.Looks, rule.Source
			row.Since = "v" + strconv.Itoa(rule.Since)
		}
		w.Rows = append(w.Rows, row)
	}
	for _, form := range hub.Forms() {
		w.Forms = append(w.Forms, formRow{form.Type, choose(form.IT, form.EN)})
	}
}

// describeCodes shows the one table of codes, in Italian unless asked otherwise.
func (g *Gateway) describeCodes(w http.ResponseWriter, r *http.Request) {
	page, ok := g.codesPages[r.URL.Query().Get("lang")]
	if !ok {
		page = g.codesPages[languageIT]
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	writeWhole(w, page)
}

// writeWhole sends a document with its length, so that HTTP/1.0 keeps its connection too.
func writeWhole(w http.ResponseWriter, text []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	_, _ = w.Write(text) //nolint:gosec // of ours: embedded, and an address in it is escaped
}

// describe answers ?wsdl, ?wsdl=1.1 and ?xsd=NAME.
func (g *Gateway) describe(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	address := g.base(r) + contract.Path
	w.Header().Set("X-Content-Type-Options", "nosniff")
	switch {
	case query.Has("wsdl") || query.Has("WSDL"):
		w.Header().Set("Content-Type", "text/xml; charset=utf-8")
		writeWhole(w, g.Contract.WSDL(address, query.Get("wsdl") == "1.1"))
	case query.Has("xsd"):
		text, ok := g.Contract.XSD(query.Get("xsd"))
		if !ok {
			http.Error(w, "no such schema", http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "text/xml; charset=utf-8")
		writeWhole(w, text)
	default:
		w.Header().Set("X-Sinba-Codice", string(hub.CodeMethod))
		notAllowed(w, http.MethodPost, "POST a SOAP message; the WSDL is at ?wsdl")
	}
}

// notAllowed answers a method that is of no use here.
func notAllowed(w http.ResponseWriter, allow, text string) {
	w.Header().Set("Allow", allow)
	http.Error(w, text, http.StatusMethodNotAllowed)
}
