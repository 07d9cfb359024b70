package siss

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
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
}

func openCommunications(path string, now func() time.Time) (*communications, error) {
	c := &communications{now: now, byID: make(map[uuid.UUID][sha256.Size]byte)}
	var err error
	c.file, err = openLines(path, func(line []byte) error {
		var one communication
		if json.Unmarshal(line, &one) != nil {
			return errLine
		}
		c.byID[one.ID] = one.content()
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
	one.At = c.now().UTC()
	line, err := json.Marshal(one)
	if err != nil {
		return verdict{}, fmt.Errorf("encode communication: %w", err)
	}
	if err := c.file.add(append(line, '\n')); err != nil {
		return verdict{}, err
	}
	c.byID[one.ID] = one.content()
	return verdict{esito: accepted}, nil
}

func (c *communications) close() error { return c.file.close() }
