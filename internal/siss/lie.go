package siss

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Lies are orders to tell otherwise than the file of received transmissions, until the next start:
// as a national endpoint does that lost a table or got a transmission from elsewhere.
type Lies struct {
	// Forget are transmissions that it then never received.
	Forget []uuid.UUID `json:"forget,omitempty"`
	// Invent are transmissions that nobody sent.
	Invent []Invention `json:"invent,omitempty"`
}

// Invention is a transmission that nobody sent.
type Invention struct {
	// ID is its IdTrasmissione; one that is known already is left as it is.
	ID uuid.UUID `json:"id_trasmissione"`
	// Type is its TipoEvento.
	Type string `json:"tipo_evento"`
	// At is when it was received.
	At time.Time `json:"ricevuto_at"`
	// Refused says that it was not accepted.
	Refused bool `json:"refused,omitempty"`
}

// Lie makes the simulator lie from now on, as a POST to LiesURL does.
func (s *Simulator) Lie(l Lies) {
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	for _, id := range l.Forget {
		delete(s.ledger.byID, id)
		for key, all := range s.ledger.accepted {
			s.ledger.accepted[key] = slices.DeleteFunc(all, func(known uuid.UUID) bool { return known == id })
			if len(s.ledger.accepted[key]) == 0 {
				delete(s.ledger.accepted, key)
			}
		}
	}
	for _, i := range l.Invent {
		if _, known := s.ledger.byID[i.ID]; !known {
			s.ledger.remember(transmission{id: i.ID, tipo: i.Type, refuse: i.Refused}, i.At)
		}
	}
}

// LiesURL is the address that takes Lies as JSON.
func (s *Simulator) LiesURL() string { return "http://" + s.control.Addr().String() + "/lies" }

// takeLies answers POST /lies.
func (s *Simulator) takeLies(w http.ResponseWriter, r *http.Request) {
	var l Lies
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.Lie(l)
	_, _ = w.Write([]byte("{}\n"))
}
