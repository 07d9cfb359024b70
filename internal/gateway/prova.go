package gateway

import (
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// Where everybody reads the journal's last checkpoint and its public keys.
const (
	checkpointPath = "/journal/checkpoint"
	keysPath       = "/journal/keys"
)

// checkpoint is the last published one.
func (g *Gateway) checkpoint() journal.Checkpoint {
	if g.Checkpoint == nil {
		return journal.Checkpoint{}
	}
	return g.Checkpoint()
}

// appendProva writes ProvaType: that the receipt's entry stands in the journal. While it has no leaf
// below a published checkpoint, or if the proof cannot be made, there is none: the state is told
// nevertheless.
func (g *Gateway) appendProva(ctx context.Context, b []byte, registration uuid.UUID) []byte {
	c := g.checkpoint()
	if c.Note == "" {
		return b
	}
	proof, err := g.Store.Prove(ctx, registration, c)
	if err != nil {
		g.log.Error("proof not made", zap.Stringer("registration_id", registration), zap.Error(err))
		return b
	}
	if proof == nil {
		return b
	}
	b = append(b, "<Prova>"...)
	b = soap.AppendElement(b, "IndiceGiornale", strconv.FormatInt(proof.Index, 10))
	b = soap.AppendElement(b, "Foglia", base64.StdEncoding.EncodeToString(proof.Leaf))
	for _, h := range proof.Hashes {
		b = soap.AppendElement(b, "NodoInclusione", base64.StdEncoding.EncodeToString(h[:]))
	}
	b = soap.AppendElement(b, "Checkpoint", c.Note)
	return append(b, "</Prova>"...)
}

// describeJournal publishes the checkpoint (C2SP tlog-checkpoint) and the keys (C2SP signed-note).
func (g *Gateway) describeJournal(w http.ResponseWriter, r *http.Request) {
	text := g.checkpoint().Note
	if r.URL.Path == keysPath {
		text = strings.Join(append(append([]string(nil), g.JournalKeys()...), ""), "\n")
	}
	if text == "" {
		http.Error(w, "no checkpoint yet", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = io.WriteString(w, text)
}
