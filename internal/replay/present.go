package replay

import (
	"encoding/csv"
	"errors"
	"fmt"
	"html/template"
	"io"
	"strings"
)

// Presented is a report with what its reader must know.
type Presented struct {
	*WhatIfReport

	// Title says what was tried, Scope of which messages, Made when and by which version.
	Title, Scope, Made string
	// Least is the number from which a count of messages is told (privacy.small_numbers); 0 is the usual one.
	Least int64
}

// CSV writes the lines, one for each participant, product, effect and place, with a head line.
func (p *Presented) CSV(out io.Writer) error {
	w := csv.NewWriter(out)
	fault := w.Write([]string{"participant", "product", "effect", "part", "code", "rule", "path", "change", "messages"})
	told := p.tell()
	for i := range p.Senders {
		t := &p.Senders[i]
		for k, name := range sumNames() {
			fault = errors.Join(fault, w.Write([]string{cell(t.Participant), cell(t.Product), "total", name, "", "", "", "", told.sums[i][k]}))
		}
	}
	for i, l := range p.Lines {
		fault = errors.Join(fault, w.Write([]string{
			cell(l.Participant), cell(l.Product), string(l.Effect), cell(l.Part), cell(string(l.Code)), cell(l.Rule), cell(l.Path), l.Change, told.lines[i],
		}))
	}
	w.Flush()
	if err := errors.Join(fault, w.Error()); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
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
<p>A number that could tell of a child is a dash: one from 1 to {{least}}, and those it could be computed from.</p>
<p>Each message was judged in its case as it was. “May newly pass” is an upper bound: of what was refused only the codes are kept.</p>
<table><caption>Participants and products</caption>
<tr><th>Participant</th><th>Product</th><th class="n">Messages</th><th class="n">Unchanged</th><th class="n">Newly fail</th><th class="n">Come out different</th><th class="n">Not tried</th><th class="n">Refused</th><th class="n">May newly pass</th></tr>
{{range $i, $s := .Senders}}<tr><td>{{$s.Participant}}</td><td>{{$s.Product}}</td>{{range sums $i}}<td class="n">{{.}}</td>{{end}}</tr>
{{end}}</table>
<table><caption>What happens</caption>
<tr><th>Participant</th><th>Product</th><th>Effect</th><th>Part</th><th>Code</th><th>Rule</th><th>Path</th><th>Change</th><th class="n">Messages</th></tr>
{{range $i, $l := .Lines}}{{with $l}}<tr class="{{.Effect}}"><td>{{.Participant}}</td><td>{{.Product}}</td><td>{{.Effect}}</td><td>{{.Part}}</td><td>{{.Code}}</td><td>{{.Rule}}</td><td>{{.Path}}</td><td>{{.Change}}</td><td class="n">{{figure $i}}</td></tr>
{{end}}{{end}}</table>
</body></html>
`

// HTML writes the report as one page that needs nothing else.
func (p *Presented) HTML(out io.Writer) error {
	told := p.tell()
	page, err := template.New("what-if").Funcs(template.FuncMap{
		"figure": func(i int) string { return told.lines[i] },
		"sums":   func(i int) []string { return told.sums[i] },
		"least":  func() int64 { return p.least() - 1 },
	}).Parse(pageText)
	if err == nil {
		err = page.Execute(out, p)
	}
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}
