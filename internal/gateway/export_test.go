package gateway

import (
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap/zapcore"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// Treatment is a row of the table of kinds, for tests.
type Treatment struct {
	Fault  soap.FaultCode
	Status int
	Label  string
	Level  zapcore.Level
}

// Treatments is the table of kinds.
func Treatments() map[hub.Kind]Treatment {
	table := map[hub.Kind]Treatment{}
	for kind, t := range treatments() {
		table[kind] = Treatment{t.fault, t.status, t.label, t.level}
	}
	return table
}

// FaultMessage writes a fault as the door does.
func FaultMessage(v soap.Version, base string, transaction uuid.UUID, at time.Time, err error) []byte {
	g := &Gateway{codes: map[hub.Code]hub.Text{}, treatments: treatments()}
	for _, text := range hub.Codes() {
		g.codes[text.Code] = text
	}
	return g.faultMessage(v, base, transaction, at, asRefusal(err))
}

// ReadBody reads a request's body as the door does.
var ReadBody = readBody

// MaxTold is how many violations one answer lists.
const MaxTold = maxTold
