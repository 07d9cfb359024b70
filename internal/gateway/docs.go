package gateway

import (
	"html/template"
	"net/http"

	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/hub"
)

// codesPath is where every violation's Riferimento leads.
const codesPath = "/docs/codici"

// codesPage is the table of codes for people.
const codesPage = `<!DOCTYPE html>
<html lang="it"><head><meta charset="utf-8"><title>S.In.Ba. - codici</title>
<style>body{font-family:sans-serif;margin:2rem;max-width:70rem}table{border-collapse:collapse}
td,th{border:1px solid #bbb;padding:.4rem .6rem;text-align:left;vertical-align:top}
:target{background:#ffd}</style></head><body>
<h1>Codici delle anomalie S.In.Ba. <span lang="en">/ violation codes</span></h1>
<p>0xx trasporto e busta, 1xx identità di messaggio e mittente, 2xx schema, 3xx regole (SINBA_3nn = BR-nn), 4xx ciclo di vita, 5xx guasti del servizio (nulla è stato memorizzato: ripetere l'invio).</p>
<table><thead><tr><th>Codice</th><th>Significato</th><th lang="en">Meaning</th></tr></thead><tbody>
{{range .}}<tr id="{{.Code}}"><td><code>{{.Code}}</code></td><td>{{.IT}}</td><td lang="en">{{.EN}}</td></tr>
{{end}}</tbody></table></body></html>
`

// serveCodes shows the one table of codes.
func (g *Gateway) serveCodes(w http.ResponseWriter, _ *http.Request) {
	page, err := template.New("codes").Parse(codesPage)
	if err != nil {
		g.log.Error("codes page", zap.Error(err))
		http.Error(w, "", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	if err := page.Execute(w, hub.Codes()); err != nil {
		g.log.Info("codes page not delivered")
	}
}
