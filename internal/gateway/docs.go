package gateway

import (
	"bytes"
	"html/template"
	"net/http"
	"strconv"

	"github.com/sinbahub/sinbahub/internal/contract"
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

// renderCodes makes the page once: its only input is the table in the code.
func renderCodes() []byte {
	var page bytes.Buffer
	if err := template.Must(template.New("codes").Parse(codesPage)).Execute(&page, hub.Codes()); err != nil {
		panic(err) // a constant template over a constant table
	}
	return page.Bytes()
}

// describeCodes shows the one table of codes.
func (g *Gateway) describeCodes(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	writeWhole(w, g.codesPage)
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
