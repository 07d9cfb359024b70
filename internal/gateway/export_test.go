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

// CauseOf is what the log shows of an error.
func CauseOf(err error) string { return asRefusal(err).Err.Error() }

// ReadBody reads a request's body as the door does.
var ReadBody = readBody

// MaxTold is how many violations one answer lists.
const MaxTold = maxTold

// Admission is the door's admission, for tests.
type Admission struct{ a *admission }

// NewAdmission makes one for so many exchanges.
func NewAdmission(exchanges int) Admission { return Admission{newAdmission(exchanges)} }

// Enter, Grow and Leave are the admission's own.
func (a Admission) Enter(participant int32) bool          { return a.a.enter(participant) }
func (a Admission) Grow(participant int32, n int64) bool  { return a.a.grow(participant, n) }
func (a Admission) Leave(participant int32, held int64)   { a.a.leave(participant, held) }
func (a Admission) Idle() (participants int, bytes int64) { return len(a.a.loads), a.a.total }

// BodiesTotal is how many bytes of bodies may be under way.
const BodiesTotal = bodiesTotal
