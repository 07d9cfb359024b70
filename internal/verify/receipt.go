package verify

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// ReceiptFacts say what the proof of one receipt shows.
type ReceiptFacts struct {
	// File is the document with the proof.
	File string `json:"file"`
	// Event and Receipt are IdEvento and IdRicevuta.
	Event   string `json:"event"`
	Receipt string `json:"receipt"`
	// Entry is the entry's id, the receipt's IdRegistrazione; At when the event was accepted.
	Entry string `json:"entry,omitempty"`
	At    string `json:"at,omitempty"`
	// Leaf is the entry's number in the journal, Number the one among those of its participant and ente.
	Leaf        int64 `json:"leaf"`
	Number      int64 `json:"number"`
	Participant int32 `json:"participant"`
	Ente        int32 `json:"ente"`
	// Size, Root and SignedAt are the checkpoint's.
	Size     int64  `json:"size"`
	Root     string `json:"root,omitempty"`
	SignedAt string `json:"signed_at,omitempty"`
	// Proven tells whether the entry was shown to be in the signed tree and to be the one of the event.
	Proven bool `json:"proven"`
	// Compared are the elements of the documents that agree with the entry.
	Compared []string `json:"compared"`
}

// namespace is that of the hub's answers.
const namespace = "urn:sinba:eventi:v1"

// answer is a receipt or a state as it stands in a document.
type answer struct {
	file  string
	state bool
	// texts are the contents of its elements, by their path below it.
	texts map[string][]string
}

// one gives the content of an element that may stand once.
func (a *answer) one(path string) (text string, ok bool) {
	if t := a.texts[path]; len(t) == 1 {
		return t[0], true
	}
	return "", false
}

var (
	errAnswer   = errors.New("not a well-formed XML document in UTF-8 without a document type")
	errNoAnswer = errors.New("no answer of inviaEvento, inviaLotto or statoEvento is in it")
	errDoubled  = errors.New("an element stands twice that may stand once")
)

// reading is where readAnswers is in a document.
type reading struct {
	file  string
	found []answer
	path  []string
	// start is how many elements are open around the answer at hand, -1 outside of answers.
	start int
	text  strings.Builder
}

// readAnswers finds the receipts and states in a SOAP envelope or a bare body.
func readAnswers(d Document) ([]answer, error) {
	r := reading{file: d.Name, start: -1}
	decoder := xml.NewDecoder(bytes.NewReader(d.Bytes))
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, errAnswer
		}
		switch t := token.(type) {
		case xml.Directive:
			return nil, errAnswer
		case xml.StartElement:
			r.begin(t.Name)
		case xml.CharData:
			r.text.Write(t)
		case xml.EndElement:
			r.end()
		}
	}
	if len(r.found) == 0 {
		return nil, errNoAnswer
	}
	for _, a := range r.found {
		for path, texts := range a.texts {
			if len(texts) > 1 && path != "Prova/NodoInclusione" && !strings.HasPrefix(path, "Anomalia") && !strings.HasPrefix(path, "Avviso") {
				return nil, errDoubled
			}
		}
	}
	return r.found, nil
}

func (r *reading) begin(name xml.Name) {
	local := name.Local
	if name.Space != namespace {
		local = "*" // no element of an answer is called that
	}
	if r.start < 0 && (local == "StatoEventoRisposta" || local == "InviaEventoRisposta" || local == "Ricevuta") {
		r.start = len(r.path)
		r.found = append(r.found, answer{file: r.file, state: local == "StatoEventoRisposta", texts: map[string][]string{}})
	}
	r.path = append(r.path, local)
	r.text.Reset()
}

func (r *reading) end() {
	switch below := len(r.path) - 1 - r.start; {
	case r.start < 0:
	case below == 0:
		r.start = -1
	default:
		a := r.found[len(r.found)-1]
		path := strings.Join(r.path[r.start+1:], "/")
		a.texts[path] = append(a.texts[path], strings.TrimSpace(r.text.String()))
	}
	r.path = r.path[:len(r.path)-1]
	r.text.Reset()
}

// Receipts verifies the proofs that answers of statoEvento carry, and holds the receipts against them.
func Receipts(key Document, receipts, states []Document) *Report {
	v := &receiptCheck{Report: newReport(), roots: map[int64]ReceiptFacts{}}
	var err error
	if v.ring, err = parseRing(key.Bytes, true); err != nil {
		v.add(Unusable, key.Name, "%v", errBadKey)
		return v.close()
	}
	proofs := v.documents(states, true)
	given := v.documents(receipts, false)
	v.ring.extend(key.Bytes)
	used := make([]bool, len(given))
	for i := range proofs {
		matching := []*answer{&proofs[i]}
		for j := range given {
			if sameEvent(&proofs[i], &given[j]) {
				used[j] = true
				matching = append(matching, &given[j])
			}
		}
		v.proof(&proofs[i], matching)
	}
	for j, ok := range used {
		if !ok {
			v.add(Incomplete, given[j].file, "no state that was given is of this receipt's event")
		}
	}
	if len(given) == 0 {
		v.note("No receipt was given: that the proof is of the content that was sent is not shown. Give the answer of inviaEvento with --receipt.")
	}
	if len(proofs) == 0 && v.Verdict == Good {
		v.add(Incomplete, "", "not one proof was there to verify")
	}
	return v.close()
}

// receiptCheck is the state of one verification of receipts.
type receiptCheck struct {
	*Report

	ring  *ring
	hash  hasher
	roots map[int64]ReceiptFacts
}

// documents reads the answers of one sort from files.
func (v *receiptCheck) documents(files []Document, states bool) (answers []answer) {
	for _, d := range files {
		found, err := readAnswers(d)
		if err != nil {
			v.add(Unusable, d.Name, "%v", err)
			continue
		}
		before := len(answers)
		for _, a := range found {
			if a.state == states {
				answers = append(answers, a)
			}
		}
		if len(answers) == before {
			v.add(Unusable, d.Name, "%v", errNoAnswer)
		}
	}
	return answers
}

// sameEvent tells whether two answers are about one event.
func sameEvent(a, b *answer) bool {
	for _, path := range []string{"IdRicevuta", "IdEvento"} {
		x, ok := a.one(path)
		y, also := b.one(path)
		if ok && also && strings.EqualFold(x, y) {
			return true
		}
	}
	return false
}

// proof verifies one proof and compares the entry with the answers about its event.
func (v *receiptCheck) proof(state *answer, answers []*answer) {
	f := ReceiptFacts{File: state.file, Compared: []string{}}
	f.Event, _ = state.one("IdEvento")
	f.Receipt, _ = state.one("IdRicevuta")
	f.Event, f.Receipt = shownID(f.Event), shownID(f.Receipt)
	defer func() { v.Receipts = append(v.Receipts, f) }()
	note, ok := state.one("Prova/Checkpoint")
	if !ok {
		v.add(Incomplete, state.file, "it carries no proof: the entry had no leaf yet; ask statoEvento again")
		return
	}
	c, err := v.ring.openCheckpoint(tidyNote([]byte(note)))
	if err != nil {
		v.add(Tampered, state.file, "the checkpoint: %v", err)
		return
	}
	f.Size, f.Root, f.SignedAt = c.size, c.root.String(), stamp(c.at)
	if other, known := v.roots[c.size]; known && other.Root != f.Root {
		v.add(Tampered, state.file, "a fork: its checkpoint and the one in %s are both of %d entries, with roots %s and %s", other.File, c.size, f.Root, other.Root)
	}
	v.roots[c.size] = f
	var l leaf
	if !v.included(state, c, &f, &l) {
		return
	}
	f.Proven = true
	for _, a := range answers {
		v.compare(a, &l, &f)
	}
}

// included verifies that the leaf is in the tree and reads it.
func (v *receiptCheck) included(state *answer, c checkpoint, f *ReceiptFacts, l *leaf) bool {
	index, _ := state.one("Prova/IndiceGiornale")
	data, _ := state.one("Prova/Foglia")
	var ok, also bool
	var raw []byte
	f.Leaf, ok = decimal(index)
	if raw, also = unbase64(data); !ok || !also {
		v.add(Tampered, state.file, "the proof cannot be read")
		return false
	}
	var proof []tlog.Hash
	for _, node := range state.texts["Prova/NodoInclusione"] {
		h, ok := unbase64(node)
		if !ok || len(h) != tlog.HashSize {
			v.leaf(Tampered, state.file, f.Leaf, "the proof cannot be read")
			return false
		}
		proof = append(proof, tlog.Hash(h))
	}
	if err := checkInclusion(proof, c.size, c.root, f.Leaf, v.hash.leaf(raw)); err != nil {
		v.leaf(Tampered, state.file, f.Leaf, "%v", err)
		return false
	}
	switch err := parseLeaf(raw, l); {
	case errors.Is(err, errLayout):
		v.leaf(Incomplete, state.file, f.Leaf, "%v", err)
		return false
	case err != nil:
		v.leaf(Tampered, state.file, f.Leaf, "%v", err)
		return false
	case l.kind != kindAccepted:
		v.entry(Tampered, state.file, f.Leaf, l.ids(), "the entry is not of an accepted event")
		return false
	}
	f.Entry, f.At = l.id.String(), stamp(time.UnixMicro(l.at))
	f.Number, f.Participant, f.Ente = l.seq, l.participant, l.ente
	return true
}

// compare holds what an answer says against the entry.
func (v *receiptCheck) compare(a *answer, l *leaf, f *ReceiptFacts) {
	a.agreements(l, func(path string, ok bool) { v.agree(a, path, ok, f) })
}

func (v *receiptCheck) agree(a *answer, path string, ok bool, f *ReceiptFacts) {
	if ok {
		if !slices.Contains(f.Compared, path) { // both answers have it
			f.Compared = append(f.Compared, path)
		}
		return
	}
	f.Proven = false
	v.entry(Tampered, a.file, f.Leaf, IDs{Entry: f.Entry}, "%s is not that of the entry", path)
}

// sameInstant tells whether a time as answers write it is the entry's, cut to as many digits.
func sameInstant(text string, at time.Time) bool {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return false
	}
	digits := 0
	if _, fraction, ok := strings.Cut(text, "."); ok {
		for digits < len(fraction) && fraction[digits] >= '0' && fraction[digits] <= '9' {
			digits++
		}
	}
	unit := time.Second
	for range min(digits, 9) {
		unit /= 10
	}
	return t.Equal(at.Truncate(unit))
}

// unbase64 reads xs:base64Binary, in which blanks may stand.
func unbase64(s string) ([]byte, bool) {
	b, err := base64.StdEncoding.Strict().DecodeString(strings.Join(strings.Fields(s), ""))
	return b, err == nil && len(b) > 0
}

// shownID is an id of a document if it is one, and empty otherwise.
func shownID(s string) string {
	u, ok := parseUUID(s)
	if !ok {
		return ""
	}
	return u.String()
}
