package ticket

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
)

// Verb is what one person does to the hub itself, in the words of the command line.
type Verb string

// The verbs that a person signs.
const (
	DeliveryRetry     Verb = "delivery retry"
	DeliveryPark      Verb = "delivery park"
	DeliveryUnpark    Verb = "delivery unpark"
	DeliveryRedeliver Verb = "delivery redeliver"
	DeliveryRenew     Verb = "delivery renew"
	CodesRetry        Verb = "codes retry"
	MaintenanceOn     Verb = "maintenance on"
	MaintenanceOff    Verb = "maintenance off"
	RetentionRun      Verb = "retention run"
	KeysRotate        Verb = "keys rotate"
	KeysDestroy       Verb = "keys destroy"
	SubjectFind       Verb = "subject find"
	AuditExport       Verb = "audit export"
	PersonAdd         Verb = "person add"
	PersonRetire      Verb = "person retire"
	TicketRevoke      Verb = "ticket revoke"
)

// MayAct are the roles of which a person needs one to do a verb; none for what is no verb.
func MayAct(v Verb) []Role {
	switch v {
	case DeliveryRetry, DeliveryPark, DeliveryUnpark, DeliveryRedeliver, DeliveryRenew, CodesRetry, MaintenanceOn, MaintenanceOff, RetentionRun:
		return []Role{Operator}
	case KeysRotate, KeysDestroy, SubjectFind, PersonAdd, PersonRetire:
		return []Role{Operator, PrivacyOfficer}
	case AuditExport:
		return []Role{Auditor, PrivacyOfficer}
	case TicketRevoke:
		return Roles() // it only ever keeps something from being opened
	}
	return nil
}

// Why what somebody signed is not done.
var (
	ErrAction       = errors.New("this is no signed action: it must have exactly the lines that the command line signs")
	ErrActionHub    = errors.New("the action was signed for another hub or environment")
	ErrActionPerson = errors.New("no person of this name may sign here: they were never registered, or are retired (`sinbahub person list`)")
	ErrActionKey    = errors.New("this is not the key that the person is registered with: `sinbahub person list` shows the fingerprint of the right one")
	ErrActionRole   = errors.New("the person has no role that may do this")
)

// Action is what one person orders, and signs alone.
type Action struct {
	// ID is random: an action is done once in its hub and environment.
	ID uuid.UUID
	// Hub is the origin of the hub's journal, Environment its environment.
	Hub         string
	Environment hub.Environment
	Verb        Verb
	// On is what it works on, one line of up to 1,000 characters without anything of a child.
	On string
	// Person is who signs, Reason why.
	Person, Reason string
	// At is when, by the clock of the person's machine, in whole seconds.
	At time.Time
}

const (
	// actionHead is the first line: nobody can pass an action off as a ticket, nor the other way round.
	actionHead  = "sinbahub action v1"
	longestOn   = 1000
	mostAction  = 8 << 10
	actionLines = 8
)

// Text is what is signed.
func (a Action) Text() string {
	return actionHead + "\nid: " + a.ID.String() + "\nhub: " + a.Hub + "\nenvironment: " + a.Environment.String() + "\nverb: " + string(a.Verb) +
		"\non: " + a.On + "\nperson: " + a.Person + "\nreason: " + a.Reason + "\nat: " + a.At.Format(layoutSecond) + "\n"
}

// Check tells whether the fields can be an action's.
func (a Action) Check() error {
	switch {
	case a.ID == uuid.Nil, !goodHub(a.Hub), a.Environment != hub.Prod && a.Environment != hub.Test, !GoodName(a.Person),
		len(MayAct(a.Verb)) == 0, !goodLine(a.On, longestOn), !whole(a.At, time.Second):
		return ErrAction
	case !goodReason(a.Reason):
		return ErrReason
	}
	return nil
}

// Sign signs the action with its person's key.
func (a Action) Sign(key ed25519.PrivateKey) (SignedAction, error) {
	public, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return SignedAction{}, ErrKey
	}
	if err := a.Check(); err != nil {
		return SignedAction{}, err
	}
	g := Signature{Name: a.Person, ID: keyID(a.Person, public)}
	copy(g.Bytes[:], ed25519.Sign(key, []byte(a.Text())))
	return SignedAction{Action: a, Signature: g}, nil
}

// SignedAction is an action with the signature below it, a signed note as a ticket is.
type SignedAction struct {
	Action

	Signature Signature
}

// Bytes is the whole of it, as it is kept.
func (s SignedAction) Bytes() []byte { return []byte(s.Text() + "\n" + s.Signature.line()) }

// Digest is the SHA-256 of Bytes: the journal's Commitment of what was ordered.
func (s SignedAction) Digest() [32]byte { return sha256.Sum256(s.Bytes()) }

// ParseAction reads what Bytes wrote, and nothing else. It says nothing of whether the signature is good.
func ParseAction(file []byte) (SignedAction, error) {
	text, below, ok := strings.Cut(string(file), "\n\n")
	lines := strings.Split(text, "\n")
	if !ok || len(file) > mostAction || len(lines) != actionLines+1 || lines[0] != actionHead {
		return SignedAction{}, ErrAction
	}
	values := make([]string, actionLines)
	for i, line := range lines[1:] {
		_, values[i], _ = strings.Cut(line, ": ")
	}
	a := Action{Hub: values[1], Verb: Verb(values[3]), On: values[4], Person: values[5], Reason: values[6]}
	a.ID, _ = uuid.Parse(values[0])
	for _, env := range []hub.Environment{hub.Prod, hub.Test} {
		if env.String() == values[2] {
			a.Environment = env
		}
	}
	a.At, _ = time.Parse(layoutSecond, values[7])
	g, ok := parseLine(below)
	s := SignedAction{Action: a, Signature: g}
	// Whatever was read leniently is written otherwise.
	if !ok || a.Check() != nil || !bytes.Equal(s.Bytes(), file) {
		return SignedAction{}, ErrAction
	}
	return s, nil
}

// Verify checks everything but the time and that the action was not done before: it is for this hub, and
// signed by the person that it names, who has a role for it. The persons are those that may sign now.
func (s SignedAction) Verify(origin string, env hub.Environment, persons []Person) error {
	if err := s.Check(); err != nil {
		return err
	}
	if s.Hub != origin || s.Environment != env {
		return ErrActionHub
	}
	for _, p := range persons {
		if p.Name != s.Person {
			continue
		}
		if !s.Signature.good(p, s.Text()) {
			return ErrActionKey
		}
		if !p.has(MayAct(s.Verb)) {
			return fmt.Errorf("%w: %s is for %s", ErrActionRole, s.Verb, rolesText(MayAct(s.Verb)))
		}
		return nil
	}
	return ErrActionPerson
}

func rolesText(roles []Role) string {
	words := make([]string, len(roles))
	for i, r := range roles {
		words[i] = string(r)
	}
	return strings.Join(words, " or ")
}
