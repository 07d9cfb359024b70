package siss

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/google/uuid"
)

// communication is one request of comunicaCodici and a line of its file.
type communication struct {
	ID     uuid.UUID `json:"id_comunicazione"`
	At     time.Time `json:"ricevuto_at"`
	Motivo string    `json:"motivo"`
	Coppie []pair    `json:"coppie"`
}

// pair says that what was known under one IDBeneficiario is now known under another.
type pair struct {
	Precedente string `json:"precedente"`
	Nuovo      string `json:"nuovo"`
}

// content is what a repeat is compared by.
func (c communication) content() [sha256.Size]byte {
	text := []byte(c.Motivo + "\n")
	for _, p := range c.Coppie {
		text = append(text, p.Precedente+" "+p.Nuovo+"\n"...)
	}
	return sha256.Sum256(text)
}

// communications remembers what comunicaCodici brought, in memory and in a file. These are
// rare: each is written and fsynced alone.
type communications struct {
	now func() time.Time

	mu   sync.Mutex
	file *lineFile
	byID map[uuid.UUID][sha256.Size]byte
	// became is which code continues which, of rotations.
	became map[string]string
	// joined are the pairs that are one child until they are separated, as they were told.
	joined map[pair]bool
}

// The reasons of a communication (codMotivoComunicazione). The pairs of a rotation are codes of one child, for
// ever: what still comes under the old one belongs to the new one. Those of a join go on side by side.
const (
	rotation   = "ROTAZIONE"
	separation = "SEPARAZIONE"
)

// apply takes pairs in; false if they contradict what is known, and then it takes none. Codes of which no event
// came contradict nothing: a communication may come before the first one, as that of a rotation must.
func (c *communications) apply(one communication) bool {
	if one.Motivo == rotation {
		return c.rotate(one)
	}
	// Each pair as its children are known now: it may have been told in earlier codes, and either way round.
	now := func(p pair) pair {
		p = pair{c.latest(p.Precedente), c.latest(p.Nuovo)}
		if p.Precedente > p.Nuovo {
			p.Precedente, p.Nuovo = p.Nuovo, p.Precedente
		}
		return p
	}
	after := make(map[pair]bool, len(c.joined)+len(one.Coppie))
	for p := range c.joined {
		after[now(p)] = true
	}
	for _, told := range one.Coppie {
		p := now(told)
		switch {
		case p.Precedente == p.Nuovo: // one child already, and never two
			return false
		case one.Motivo != separation:
			after[p] = true
		case !after[p]:
			return false
		default:
			delete(after, p)
		}
	}
	c.joined = after
	return true
}

// rotate is apply of a rotation: a contradiction is a code that becomes two others, or itself, or two codes that
// become one.
func (c *communications) rotate(one communication) bool {
	after := maps.Clone(c.became)
	from := make(map[string]string, len(after))
	for old, next := range after {
		from[next] = old
	}
	for _, p := range one.Coppie {
		next, known := after[p.Precedente]
		if known && next == p.Nuovo {
			continue
		}
		_, taken := from[p.Nuovo]
		if p.Precedente == p.Nuovo || known || taken || after[p.Nuovo] != "" {
			return false
		}
		after[p.Precedente], from[p.Nuovo] = p.Nuovo, p.Precedente
	}
	c.became = after
	return true
}

// current is the code under which a child is known now.
func (c *communications) current(code string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.latest(code)
}

// latest is current of who holds the lock.
func (c *communications) latest(code string) string {
	for next := c.became[code]; next != ""; next = c.became[code] {
		code = next
	}
	return code
}

func openCommunications(path string, now func() time.Time) (*communications, error) {
	c := &communications{now: now, byID: make(map[uuid.UUID][sha256.Size]byte), became: make(map[string]string), joined: make(map[pair]bool)}
	var err error
	c.file, err = openLines(path, func(line []byte) error {
		var one communication
		if json.Unmarshal(line, &one) != nil {
			return errLine
		}
		c.byID[one.ID] = one.content()
		c.apply(one)
		return nil
	})
	return c, err
}

// put takes one communication; it is durable when put returns.
func (c *communications) put(one communication) (verdict, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if first, known := c.byID[one.ID]; known {
		if first != one.content() {
			return verdict{esito: refused, conflict: true}, nil
		}
		return verdict{esito: repeated}, nil
	}
	became, joined := c.became, c.joined
	if !c.apply(one) {
		return verdict{esito: refused, contradicts: true}, nil
	}
	one.At = c.now().UTC()
	line, err := json.Marshal(one)
	if err != nil {
		return verdict{}, fmt.Errorf("encode communication: %w", err)
	}
	if err := c.file.add(append(line, '\n')); err != nil {
		c.became, c.joined = became, joined
		return verdict{}, err
	}
	c.byID[one.ID] = one.content()
	return verdict{esito: accepted}, nil
}

func (c *communications) close() error { return c.file.close() }
