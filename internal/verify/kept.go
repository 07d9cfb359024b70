package verify

import (
	"bytes"
	"encoding/hex"
	"time"
)

// KeptFacts say how an answer that a vendor kept stands to the bundle.
type KeptFacts struct {
	// File is the name that it was given under, Receipt its IdRicevuta.
	File    string `json:"file"`
	Receipt string `json:"receipt"`
	// Result is one of: agrees, contradicts, missing (its acceptance belongs into the bundle and is not
	// there), gone (only its hash is left) and elsewhere (it may be of another range or ente).
	Result string `json:"result"`
	// Leaf is the number of the acceptance, if it is known.
	Leaf *int64 `json:"leaf,omitempty"`
}

// keptAnswer is an answer of the hub that a vendor kept, about one event.
type keptAnswer struct {
	*answer

	message uuid
	// leaf is where the acceptance was met, or stands by the answer's own proof; -1 if neither.
	leaf   int64
	result string
}

// readAnswersOutside takes the answers of the hub in a document that was given: the checkpoints in their
// proofs, and what they say of their events.
func (c *claims) readAnswersOutside(d Document) {
	found, err := readAnswers(d)
	if err != nil {
		c.add(Unusable, d.Name, "neither a signed checkpoint nor a stored answer of the hub: %v", err)
		return
	}
	points := 0
	for i := range found {
		a := &found[i]
		if text, ok := a.one("Prova/Checkpoint"); ok {
			c.readPoint(d.Name, []byte(text))
			points++
		}
		text, _ := a.one("IdRicevuta")
		message, ok := parseUUID(text)
		if !ok {
			c.add(Unusable, d.Name, "its IdRicevuta cannot be read")
			continue
		}
		k := &keptAnswer{answer: a, message: message, leaf: -1, result: "elsewhere"}
		if text, ok := a.one("Prova/IndiceGiornale"); ok {
			if index, ok := decimal(text); ok {
				k.leaf = index
			}
		}
		c.ledger.kept[message] = append(c.ledger.kept[message], k)
		c.ledger.answers = append(c.ledger.answers, k)
	}
	if points == 0 {
		c.note("%s: no checkpoint is in it (a receipt has none, and a state only with its Prova): only what it says of its events is held against the bundle.", d.Name)
	}
}

// isDocument tells whether a file is XML rather than a note.
func isDocument(b []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")), " \t\r\n"), []byte("<"))
}

// agreements holds what an answer says of its event against the acceptance.
func (a *answer) agreements(l *leaf, agree func(path string, ok bool)) {
	ids := []struct {
		path string
		id   uuid
	}{{"IdRicevuta", l.message}, {"IdEvento", l.event}, {"IdRegistrazione", l.id}}
	for _, e := range ids {
		if text, ok := a.one(e.path); ok {
			u, valid := parseUUID(text)
			agree(e.path, valid && u == e.id)
		}
	}
	if text, ok := a.one("ImprontaMessaggio"); ok {
		agree("ImprontaMessaggio", text == hex.EncodeToString(l.commitment[:]))
	}
	if text, ok := a.one("DataOraRicezione"); ok {
		agree("DataOraRicezione", sameInstant(text, time.UnixMicro(l.at)))
	}
}

// takeKept holds an acceptance against the answers that were kept of its event.
func (l *ledger) takeKept(index int64, e *leaf) {
	for _, k := range l.kept[e.message] {
		if k.leaf >= 0 && k.leaf != index {
			l.rep.entry(Tampered, k.file, index, e.ids(), "its proof has the acceptance at leaf %d", k.leaf)
			k.result = "contradicts"
			continue
		}
		k.leaf, k.result = index, "agrees"
		k.agreements(e, func(path string, ok bool) {
			if !ok {
				l.rep.entry(Tampered, k.file, index, e.ids(), "%s is not that of the acceptance in the bundle", path)
				k.result = "contradicts"
			}
		})
	}
}

// judgeKept tells of the answers whose acceptance was not met.
func (in *inspection) judgeKept() {
	for _, k := range in.ledger.answers {
		if k.result == "elsewhere" && in.walked {
			k.result = in.whereabouts(k)
		}
		if k.result == "missing" {
			in.add(Incomplete, k.file, "the acceptance of message %s belongs into the bundle and is not there", k.message)
		}
		f := KeptFacts{File: k.file, Receipt: k.message.String(), Result: k.result}
		if k.leaf >= 0 {
			f.Leaf = &k.leaf
		}
		in.facts.Kept = append(in.facts.Kept, f)
	}
}

// whereabouts tells why an acceptance was not met.
func (in *inspection) whereabouts(k *keptAnswer) string {
	inside := k.leaf >= in.manifest.first && k.leaf < in.manifest.end
	if text, ok := k.one("DataOraRicezione"); k.leaf < 0 && ok {
		at, err := time.Parse(time.RFC3339Nano, text)
		// What came within a minute of either end may have its leaf on the other side of it.
		inside = err == nil && at.After(in.manifest.from.Add(time.Minute)) && at.Before(in.manifest.to) && at.Before(in.closing.at.Add(-time.Minute))
	}
	switch {
	case !inside || in.manifest.ente != "":
		return "elsewhere"
	case in.facts.Gone > 0 && (k.leaf < 0 || in.absent.has(k.leaf)):
		return "gone"
	}
	return "missing"
}

// has tells whether the entry of a leaf is absent.
func (a *absences) has(leaf int64) bool {
	for _, run := range a.entries {
		if run[0] <= leaf && leaf <= run[1] {
			return true
		}
	}
	return false
}
