package gateway

import (
	"context"
	"io"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap/zapcore"

	"github.com/sinbahub/sinbahub/internal/contract"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
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
	g := &Gateway{speaker: hub.NewSpeaker(), treatments: treatments()}
	return g.faultMessage(v, base, transaction, at, asRefusal(err))
}

// CauseOf is what the log shows of an error.
func CauseOf(err error) string { return asRefusal(err).Err.Error() }

// ReadBody reads a request's body as the door does.
func ReadBody(body io.Reader, length int64, grow func(n int64) *hub.Error) ([]byte, error) {
	return readBody(body, length, new([firstRead]byte), grow)
}

// StandIns gives what remembers the stand-ins of a case's local ids.
func StandIns(codes pseudonym.Codes) func(kind, value string) string {
	return (&standIns{codes: codes}).rekey
}

// Overwritten puts a body and a content form into an exchange's room and gives all that is left of both
// when it is given back.
func Overwritten(body, content string) []byte {
	s := &scratch{content: []byte(content)}
	kept := s.content[:cap(s.content)]
	s.overwrite(copy(s.body[:], body))
	return append(s.body[:], kept...)
}

// MaxTold is how many violations one answer lists.
const MaxTold = maxTold

// Admission is the door's admission, for tests.
type Admission struct{ a *admission }

// NewAdmission makes one.
func NewAdmission(limits Limits) Admission { return Admission{newAdmission(limits)} }

// Enter takes a request's place and tells the quota's limit, remaining and reset.
func (a Admission) Enter(participant int32, now time.Time) (limit, remaining int, reset time.Duration, reason string) {
	q, reason := a.a.enter(participant, now)
	return q.limit, q.remaining, q.reset, reason
}

// Grow, Leave and Stranger are the admission's own.
func (a Admission) Grow(participant int32, n int64) string { return a.a.grow(participant, n) }
func (a Admission) Leave(participant int32, held int64)    { a.a.leave(participant, held) }
func (a Admission) Stranger(now time.Time) bool            { return a.a.stranger(now) }
func (a Admission) Idle() (participants int, bytes int64)  { return len(a.a.loads), a.a.room }

// Turns are those to inspect documents, for tests.
type Turns struct{ t *turns }

// ErrImpatient is what Begin gives up with.
var ErrImpatient = errImpatient

// NewTurns makes them.
func NewTurns(exchanges, processors int) Turns { return Turns{newTurns(exchanges, processors)} }

// Begin waits for a turn; end ends it.
func (t Turns) Begin(ctx context.Context, participant int32, bytes int) (end func(good bool), err error) {
	own, err := t.t.begin(ctx, participant, bytes)
	return own.end, err
}

// Waiting is how many of a participant's documents wait.
func (t Turns) Waiting(participant int32) (n int) {
	t.t.mu.Lock()
	defer t.t.mu.Unlock()
	for _, g := range t.t.gates[participant] {
		n += len(g.waiting)
	}
	return n
}

// AskState reads a question about an event's state as a participant asks it.
func AskState(participant *hub.Participant, payload []byte) error {
	g := &Gateway{cfg: Config{Environment: participant.Environment}}
	x := &exchange{participant: participant, operation: contract.Operation{Request: "StatoEventoRichiesta"}}
	x.verdict.Payload = payload
	_, err := g.readStato(x)
	return err
}

// FindingsOf are those that the state of an event tells.
var FindingsOf = findings

// Spared tells what a closed door says before it reads a body of a length.
func Spared(c Closure, length int64) error {
	g := &Gateway{metrics: newMetrics(prometheus.NewRegistry())}
	return g.spare(&exchange{closure: &c}, length)
}

// RefusalOf is what the sender of something new is told.
func RefusalOf(c Closure) *hub.Error { return c.refusal() }
