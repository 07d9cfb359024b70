package verify_test

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sinbahub/sinbahub/internal/verify"
)

const envelope = `<?xml version="1.0" encoding="UTF-8"?>
<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Header/><soap:Body>%s</soap:Body></soap:Envelope>`

// stateOf is an answer of statoEvento with the proof of an accepted event under the last checkpoint.
func (h *hub) stateOf(tb testing.TB, i int) string {
	tb.Helper()
	p := h.points[len(h.points)-1]
	leaves := h.leaves()[:p.size]
	proof, err := tlog.ProveRecord(p.size, int64(i), grow(tb, leaves))
	if err != nil {
		tb.Fatal(err)
	}
	var nodes strings.Builder
	for _, n := range proof {
		fmt.Fprintf(&nodes, "<NodoInclusione>%s</NodoInclusione>", n)
	}
	r := h.records[i]
	return fmt.Sprintf(`<StatoEventoRisposta xmlns="urn:sinba:eventi:v1"><IdEvento>%s</IdEvento><IdRicevuta>%s</IdRicevuta>`+
		`<Stato>CONFERMATO</Stato><DataOraStato>2026-03-01T09:00:00.000Z</DataOraStato><Tentativi>1</Tentativi>`+
		`<Anomalia><Codice>SINBA_303</Codice></Anomalia><Anomalia><Codice>SINBA_304</Codice></Anomalia>`+
		`<Prova><IndiceGiornale>%d</IndiceGiornale><Foglia>%s</Foglia>%s<Checkpoint>%s</Checkpoint></Prova></StatoEventoRisposta>`,
		strings.ToUpper(r.event.String()), r.message, i, base64.StdEncoding.EncodeToString(leaves[i]), nodes.String(), p.note)
}

// receiptOf is the answer of inviaEvento.
func (h *hub) receiptOf(i int) string {
	r := h.records[i]
	return fmt.Sprintf(`<p:InviaEventoRisposta xmlns:p="urn:sinba:eventi:v1"><p:IdRicevuta>%s</p:IdRicevuta><p:IdMessaggio>%s</p:IdMessaggio>`+
		`<p:IdEvento>%s</p:IdEvento><p:Esito>ACCETTATO</p:Esito><p:DataOraRicezione>%s</p:DataOraRicezione>`+
		`<p:ImprontaMessaggio>%s</p:ImprontaMessaggio><p:IdRegistrazione>%s</p:IdRegistrazione></p:InviaEventoRisposta>`,
		r.message, id{1}, r.event, r.at.Format("2006-01-02T15:04:05.000Z"), hex.EncodeToString(r.commitment[:]), r.id)
}

func TestReceipts(t *testing.T) {
	t.Parallel()
	h := grown(t)
	i := leafOf(t, h, 300, func(r *record) bool { return r.kind == 1 })
	next := leafOf(t, h, i+1, func(r *record) bool { return r.kind == 1 })
	other := leafOf(t, h, 0, func(r *record) bool { return r.kind == 3 })
	h.records[i].at = h.records[i].at.Add(789456) // microseconds that the receipt does not show
	h.points = h.points[:2]
	h.checkpoint(t)
	state, receipt := h.stateOf(t, i), h.receiptOf(i)
	strange, strangeKey := newKey(t, 94, origin)
	lot := `<InviaLottoRisposta xmlns="urn:sinba:eventi:v1"><IdLotto>x</IdLotto><EsitoEvento><Posizione>1</Posizione>` + inner(h.receiptOf(next)) +
		`</EsitoEvento><EsitoEvento><Posizione>2</Posizione>` + inner(receipt) + `</EsitoEvento></InviaLottoRisposta>`
	swap := func(s, old, with string) string {
		if !strings.Contains(s, old) {
			t.Fatalf("%q is not there", old)
		}
		return strings.Replace(s, old, with, 1)
	}
	for _, c := range []struct {
		name            string
		code            verify.Code
		receipt, states string
	}{
		{"a state alone", verify.Good, "", state},
		{"a state and its receipt", verify.Good, receipt, state},
		{"both in envelopes", verify.Good, fmt.Sprintf(envelope, receipt), fmt.Sprintf(envelope, state)},
		{"a receipt of a lot, and both states", verify.Good, lot, state + "\x00" + h.stateOf(t, next)},
		{"blanks in the proof, and line ends of another system", verify.Good, receipt, strings.ReplaceAll(swap(state, "<Foglia>", "<Foglia>\n  "), "\n", "\r\n")},
		{"a receipt of another event", verify.Incomplete, h.receiptOf(next), state},
		{"a state without proof", verify.Incomplete, receipt, swap(state, "<Prova>"+between(state, "<Prova>", "</Prova>")+"</Prova>", "")},
		{"the leaf changed", verify.Tampered, receipt, swap(state, "<Foglia>B", "<Foglia>C")},
		{"the leaf of another event with its proof", verify.Tampered, receipt, swapProof(state, h.stateOf(t, next))},
		{"the leaf of an attempt for the event", verify.Tampered, "", h.stateOf(t, other)},
		{"another index", verify.Tampered, "", swap(state, fmt.Sprintf("<IndiceGiornale>%d<", i), fmt.Sprintf("<IndiceGiornale>%d<", i^1))},
		{"an index that is none", verify.Tampered, "", swap(state, fmt.Sprintf("<IndiceGiornale>%d<", i), "<IndiceGiornale>-1<")},
		{"a node less", verify.Tampered, "", swap(state, "<NodoInclusione>"+between(state, "<NodoInclusione>", "<")+"</NodoInclusione>", "")},
		{"a node more", verify.Tampered, "", swap(state, "<NodoInclusione>", "<NodoInclusione>"+between(state, "<NodoInclusione>", "<")+"</NodoInclusione><NodoInclusione>")},
		{"a node that is none", verify.Tampered, "", swap(state, "<NodoInclusione>", "<NodoInclusione>AAAA")},
		{"the size in the checkpoint", verify.Tampered, "", swap(state, "\n700\n", "\n701\n")},
		{"a checkpoint of another key", verify.Tampered, "", swap(state, string(h.points[2].note), string(signPoint(t, strange, origin, 700, h.points[2].root, h.points[2].at).note))},
		{"another IdRicevuta", verify.Tampered, "", swap(state, h.records[i].message.String(), h.records[next].message.String())},
		{"another IdRegistrazione", verify.Tampered, swap(receipt, h.records[i].id.String(), h.records[next].id.String()), state},
		{"another ImprontaMessaggio", verify.Tampered, swap(receipt, hex.EncodeToString(h.records[i].commitment[:]), hex.EncodeToString(h.records[next].commitment[:])), state},
		{"another DataOraRicezione", verify.Tampered, swap(receipt, h.records[i].at.Format("T15:04:05.000Z"), h.records[i].at.Add(1e6).Format("T15:04:05.000Z")), state},
		{"another IdEvento in the receipt", verify.Tampered, swap(receipt, h.records[i].event.String(), h.records[next].event.String()), state},
		{"an element twice", verify.Unusable, "", swap(state, "<Stato>", "<IdEvento>x</IdEvento><Stato>")},
		{"a document type", verify.Unusable, "", "<!DOCTYPE x [<!ENTITY a 'b'>]>" + state},
		{"no XML", verify.Unusable, "", "hello"},
		{"nothing", verify.Unusable, "", ""},
		{"a fault", verify.Unusable, "", fmt.Sprintf(envelope, "<soap:Fault/>")},
		{"another namespace", verify.Unusable, "", swap(state, "urn:sinba:eventi:v1", "urn:sinba:eventi:v2")},
		{"a receipt where the state belongs", verify.Unusable, "", receipt},
		{"a state where the receipt belongs", verify.Unusable, state, state},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var receipts, states []verify.Document
			if c.receipt != "" {
				receipts = append(receipts, document("receipt", []byte(c.receipt)))
			}
			for s := range strings.SplitSeq(c.states, "\x00") {
				states = append(states, document("state", []byte(s)))
			}
			r := verify.Receipts(document("key", []byte(h.vkey)), receipts, states)
			if r.Verdict != c.code {
				t.Errorf("want %s: %s", c.code, show(r))
			}
			proven := func(f verify.ReceiptFacts) bool { return f.Proven }
			if c.code == verify.Good && (len(r.Receipts) != len(states) || !slices.ContainsFunc(r.Receipts, proven)) {
				t.Errorf("nothing was proven: %s", show(r))
			}
			if c.code == verify.Good && c.receipt != "" && !slices.Contains(r.Receipts[0].Compared, "ImprontaMessaggio") {
				t.Errorf("the receipt was not compared: %s", show(r))
			}
		})
	}
	if r := verify.Receipts(document("key", []byte(strangeKey)), nil, []verify.Document{document("state", []byte(state))}); r.Verdict != verify.Tampered {
		t.Errorf("under another key: %s", show(r))
	}
	if r := verify.Receipts(document("key", nil), nil, []verify.Document{document("state", []byte(state))}); r.Verdict != verify.Unusable {
		t.Errorf("without a key: %s", show(r))
	}
	if r := verify.Receipts(document("key", []byte(h.vkey)), nil, nil); r.Verdict == verify.Good {
		t.Errorf("without a state: %s", show(r))
	}
}

// Two vendors who were shown two histories of one size need nothing but each other's answers.
func TestReceiptsOfAFork(t *testing.T) {
	t.Parallel()
	a, b := newHub(t, 21).live(40), newHub(t, 22).live(40)
	b.signer = a.signer
	a.checkpoint(t)
	b.checkpoint(t)
	accepted := func(r *record) bool { return r.kind == 1 }
	states := []verify.Document{
		document("one", []byte(a.stateOf(t, leafOf(t, a, 0, accepted)))), document("two", []byte(b.stateOf(t, leafOf(t, b, 0, accepted)))),
	}
	for _, s := range states {
		if r := verify.Receipts(document("key", []byte(a.vkey)), nil, []verify.Document{s}); r.Verdict != verify.Good {
			t.Errorf("%s alone: %s", s.Name, show(r))
		}
	}
	if r := verify.Receipts(document("key", []byte(a.vkey)), nil, states); r.Verdict != verify.Tampered || !found(r, verify.Tampered, "two", -1) {
		t.Errorf("both: %s", show(r))
	}
}

// inner is a receipt as it stands in a lot's answer.
func inner(receipt string) string {
	return strings.ReplaceAll(receipt, "InviaEventoRisposta", "Ricevuta")
}

// between is what stands between two texts.
func between(s, from, to string) string {
	_, s, _ = strings.Cut(s, from)
	s, _, _ = strings.Cut(s, to)
	return s
}

// swapProof gives a state the proof of another.
func swapProof(state, other string) string {
	return strings.Replace(state, between(state, "<Prova>", "</Prova>"), between(other, "<Prova>", "</Prova>"), 1)
}
