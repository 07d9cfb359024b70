package replay

import (
	"encoding/csv"
	"errors"
	"fmt"
	"html/template"
	"io"
	"strconv"
	"strings"
)

// Presented is a report with what its reader must know.
type Presented struct {
	*WhatIfReport

	// Title says what was tried, Scope of which messages, Made when and by which version.
	Title, Scope, Made string
	// Figure writes a number of messages; nil writes it as it is. Who publishes small numbers about
	// children has to hide some of them: this is the one place where numbers become text.
	Figure func(int64) string
}

// figure is Figure or its default.
func (p *Presented) figure(n int64) string {
	if p.Figure != nil {
		return p.Figure(n)
	}
	return strconv.FormatInt(n, 10)
}

// CSV writes the lines, one for each participant, product, effect and place, with a head line.
func (p *Presented) CSV(out io.Writer) error {
	w := csv.NewWriter(out)
	fault := w.Write([]string{"participant", "product", "effect", "part", "code", "rule", "path", "change", "messages"})
	for i := range p.Senders {
		t := &p.Senders[i]
		for _, sum := range t.sums() {
			fault = errors.Join(fault, w.Write([]string{cell(t.Participant), cell(t.Product), "total", sum.name, "", "", "", "", p.figure(sum.n)}))
		}
	}
	for _, l := range p.Lines {
		fault = errors.Join(fault, w.Write([]string{
			cell(l.Participant), cell(l.Product), string(l.Effect), cell(l.Part), cell(string(l.Code)), cell(l.Rule), cell(l.Path), l.Change, p.figure(l.Messages),
		}))
	}
	w.Flush()
	if err := errors.Join(fault, w.Error()); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// sum is one of a sender's numbers.
type sum struct {
	name string
	n    int64
}

// sums are all of them.
func (t *Tally) sums() []sum {
	return []sum{
		{"messages", t.Messages},
		{string(Unchanged), t.Unchanged},
		{string(NewlyFails), t.Fails},
		{string(ComesOutDifferent), t.Different},
		{string(NotTried), t.NotTried},
		{"refused", t.Refused},
		{string(MayNewlyPass), t.MayPass},
	}
}

// cell keeps a spreadsheet from taking a text for a formula.
func cell(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) && text != "-" {
		return "'" + text
	}
	return text
}

// page is the report for people: one file, nothing loaded from elsewhere, no script.
const pageText = `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{{.Title}}</title><style>
body{font-family:sans-serif;margin:2em;color:#17324d}table{border-collapse:collapse;margin:1em 0}
th,td{border:1px solid #c5cedb;padding:.3em .6em;text-align:left;vertical-align:top}td.n,th.n{text-align:right}
th{background:#eef2f7}caption{text-align:left;font-weight:bold;padding:.3em 0}.newly_fails{background:#fde8e8}.may_newly_pass{background:#e9f7ec}
</style></head><body>
<h1>{{.Title}}</h1><p>{{.Scope}}</p><p>{{.Made}}</p>
<p>Each message was judged in its case as it was. “May newly pass” is an upper bound: of what was refused only the codes are kept.</p>
<table><caption>Participants and products</caption>
<tr><th>Participant</th><th>Product</th><th class="n">Messages</th><th class="n">Unchanged</th><th class="n">Newly fail</th><th class="n">Come out different</th><th class="n">Not tried</th><th class="n">Refused</th><th class="n">May newly pass</th></tr>
{{range .Senders}}<tr><td>{{.Participant}}</td><td>{{.Product}}</td>{{range sums .}}<td class="n">{{.}}</td>{{end}}</tr>
{{end}}</table>
<table><caption>What happens</caption>
<tr><th>Participant</th><th>Product</th><th>Effect</th><th>Part</th><th>Code</th><th>Rule</th><th>Path</th><th>Change</th><th class="n">Messages</th></tr>
{{range .Lines}}<tr class="{{.Effect}}"><td>{{.Participant}}</td><td>{{.Product}}</td><td>{{.Effect}}</td><td>{{.Part}}</td><td>{{.Code}}</td><td>{{.Rule}}</td><td>{{.Path}}</td><td>{{.Change}}</td><td class="n">{{figure .Messages}}</td></tr>
{{end}}</table>
</body></html>
`

// HTML writes the report as one page that needs nothing else.
func (p *Presented) HTML(out io.Writer) error {
	page, err := template.New("what-if").Funcs(template.FuncMap{
		"figure": p.figure,
		"sums": func(t Tally) (all []string) {
			for _, s := range t.sums() {
				all = append(all, p.figure(s.n))
			}
			return all
		},
	}).Parse(pageText)
	if err == nil {
		err = page.Execute(out, p)
	}
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}
