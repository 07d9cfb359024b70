package gateway

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/contract"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
	"github.com/sinbahub/sinbahub/internal/sinba"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// known is what the store says of an event before it is judged.
type known struct {
	key     postgres.Key
	content []byte // the content form, contract "Duplicates"
	mac     [32]byte
	index   [32]byte // of the case
	found   *postgres.Case
	repeat  *postgres.KeyRow // set if the event was accepted before with the same content
}

// claim keeps a second request with the same key out while this one is being accepted. Dry
// runs claim nothing. What was accepted between the look-up and here is found by the acceptance.
func (g *Gateway) claim(x *exchange, k *known) (release func(), err error) {
	if x.operation.Name == contract.VerificaEvento {
		return func() {}, nil
	}
	release, ok := g.accepting.begin(k.key)
	if !ok {
		g.metrics.duplicates.WithLabelValues("in_progress").Inc()
		return nil, &hub.Error{Kind: hub.Overloaded, RetryAfter: jittered(time.Second), Public: []hub.Violation{{
			Code: hub.CodeInProgress, Severity: hub.Grave, Path: "/" + x.operation.Request + "/Testata/IdEvento",
		}}}
	}
	return release, nil
}

func (g *Gateway) key(x *exchange) postgres.Key {
	return postgres.Key{Environment: g.cfg.Environment, Ente: x.ente.ID, Event: x.event.EventID()}
}

// lookUp is step 6: was this event accepted before, and which case is it about?
func (g *Gateway) lookUp(ctx context.Context, x *exchange) (*known, error) {
	defer g.metrics.step("look_up")()
	k := &known{key: g.key(x), content: x.event.Content()}
	k.mac = g.Keys.ContentMAC(k.content)
	k.index = g.Keys.CaseIndex(x.ente.Code, x.event.LocalCase())
	found, err := g.Store.Lookup(ctx, postgres.Query{Key: k.key, CaseIndex: k.index})
	if err != nil {
		return nil, err
	}
	k.found = found.Case
	if found.Key == nil {
		return k, nil
	}
	return k, g.compare(x, k, found.Key)
}

// compare tells a repetition from other content under a known id.
func (g *Gateway) compare(x *exchange, k *known, row *postgres.KeyRow) error {
	if subtle.ConstantTimeCompare(k.mac[:], row.ContentMAC[:]) != 1 {
		g.metrics.duplicates.WithLabelValues("conflict").Inc()
		return refuse(hub.Conflict, hub.CodeConflict, "/"+x.operation.Request+"/Testata/IdEvento")
	}
	g.metrics.duplicates.WithLabelValues("repeat").Inc()
	k.repeat = row
	return nil
}

// answerRepeat gives the first receipt again, with Esito DUPLICATO and this attempt's
// IdMessaggio.
func (g *Gateway) answerRepeat(ctx context.Context, x *exchange, k *known) ([]byte, error) {
	if x.operation.Name == contract.VerificaEvento {
		return g.report(x, hub.Duplicate.String(), k.repeat.Receipt.Warnings), nil
	}
	receipt, err := g.repeated(ctx, x, k.repeat)
	if err != nil {
		return nil, err
	}
	return soap.AppendEnvelope(nil, x.version, g.receiptBody(x, receipt)), nil
}

// repeated derives the salt again: from the subject's secret, and without one if the subject
// was erased.
func (g *Gateway) repeated(ctx context.Context, x *exchange, row *postgres.KeyRow) (told, error) {
	r := told{Receipt: row.Receipt, outcome: hub.Duplicate}
	x.outcome, x.message = r.outcome.String(), row.Receipt.ID
	secret, err := g.Vault.SecretOf(ctx, row.Subject)
	switch {
	case errors.Is(err, pseudonym.ErrNoSubject):
		return r, nil
	case err != nil:
		return told{}, err
	}
	salt := pseudonym.Salt(secret, row.Receipt.ID)
	r.salt = salt[:]
	return r, nil
}

// tries bounds how often an acceptance is prepared anew because another one was first with the
// same child or case. Each loss means that somebody else's acceptance succeeded.
const tries = 4

// acceptance is an event on its way through steps 8 and 9.
type acceptance struct {
	warnings []hub.Violation
	// resolved is the subject its identifier stands for.
	resolved pseudonym.Subject
	// newCase: there was no case when it was looked up.
	newCase                 bool
	receiptID, transmission uuid.UUID
}

// accept is steps 8 and 9.
func (g *Gateway) accept(ctx context.Context, x *exchange, k *known, warnings []hub.Violation) (told, error) {
	resolved, err := g.resolve(ctx, x)
	if err != nil {
		return told{}, err
	}
	a := acceptance{warnings, resolved, k.found == nil, uuid.Must(uuid.NewV7()), uuid.New()}
	if a.newCase {
		// What no new case takes does not reach the vault either.
		if err := g.judgeAsFirst(x, k, warnings); err != nil {
			return told{}, err
		}
	}
	for range tries {
		result, prepared, err := g.acceptOnce(ctx, x, k, &a)
		if err != nil {
			return told{}, err
		}
		switch result.Status {
		case postgres.StatusAccepted:
			return g.accepted(ctx, x, prepared, &result), nil
		case postgres.StatusDuplicate:
			if err := g.compare(x, k, result.Key); err != nil {
				return told{}, err
			}
			return g.repeated(ctx, x, result.Key)
		case postgres.StatusRefused:
			return told{}, invalid(result.Violations)
		case postgres.StatusCaseMoved:
			k.found = result.Case
		}
	}
	return told{}, &hub.Error{Kind: hub.Overloaded, Public: []hub.Violation{{Code: hub.CodeInProgress, Severity: hub.Grave, Path: "/"}}}
}

// prepared is an acceptance as it was committed.
type prepared struct {
	*postgres.Acceptance

	subject pseudonym.Subject
	// confirm: the subject was reserved for it.
	confirm bool
}

// acceptOnce prepares an acceptance and commits it. The zero status asks for another try: another
// acceptance was first with the same child.
func (g *Gateway) acceptOnce(ctx context.Context, x *exchange, k *known, a *acceptance) (postgres.AcceptResult, prepared, error) {
	var p prepared
	who, err := g.childOf(ctx, x, k, a.resolved)
	if err != nil {
		return postgres.AcceptResult{}, p, err
	}
	if who.is == otherChild {
		return postgres.AcceptResult{}, p, g.refuseOtherChild(ctx, x, k, a.warnings)
	}
	p.subject = who.subject
	if p.Acceptance, err = g.pseudonymise(ctx, x, k, p.subject, a.receiptID); err != nil {
		return postgres.AcceptResult{}, p, err
	}
	p.Warnings, p.TransmissionID = a.warnings, a.transmission
	// From here on no direct identifier exists outside sealed bytes.
	// Whether another ente knows the child must not show in the time either: a new case of this
	// ente takes the same trips to the vault whoever the child is.
	p.confirm = who.is == ownChild && (a.newCase || p.subject.New || p.subject.Pending)
	switch {
	case p.confirm:
		winner, err := g.reserve(ctx, x, p.subject)
		if err != nil {
			return postgres.AcceptResult{}, p, err
		}
		if winner.ID != p.subject.ID {
			a.resolved = winner
			return postgres.AcceptResult{}, p, nil
		}
		p.subject = winner
	case who.is == renamed:
		if err := g.rename(ctx, x, p.Acceptance, p.subject); err != nil {
			return postgres.AcceptResult{}, p, err
		}
	}
	result, err := g.commit(ctx, p.Acceptance)
	return result, p, err
}

// identity is who the event is about, as the vault knows it.
func identity(x *exchange) pseudonym.Identity {
	return identityOf(x, x.event.Subject())
}

// identityOf is who an identifier of the event stands for.
func identityOf(x *exchange, id sinba.Identity) pseudonym.Identity {
	if id.Kind == sinba.NonIdentificato {
		return pseudonym.NewLocalIdentity(x.ente.Code, x.event.LocalSubject())
	}
	return pseudonym.NewIdentity(string(id.Kind), id.Value)
}

// resolve finds the subject by looking up; an unknown one is random and only in memory.
func (g *Gateway) resolve(ctx context.Context, x *exchange) (pseudonym.Subject, error) {
	defer g.metrics.step("resolve")()
	return g.Vault.Resolve(ctx, g.Keys.LinkIndex(identity(x)))
}

// reserve writes a subject as pending, in its own short transaction, with the way back sealed.
func (g *Gateway) reserve(ctx context.Context, x *exchange, subject pseudonym.Subject) (pseudonym.Subject, error) {
	defer g.metrics.step("reserve")()
	id := identity(x)
	sealed, err := g.Sealer.Seal(ctx, subject, pseudonym.Label{Kind: pseudonym.SealedIdentity, Message: subject.ID, Schema: contract.SchemaVersion}, id.Bytes())
	if err != nil {
		return pseudonym.Subject{}, err
	}
	return g.Vault.Reserve(ctx, g.Keys.LinkIndex(id), subject, sealed.Bytes)
}

// pseudonymise is step 8: the regional event by the table, the message sealed. All of it is a
// function of the event, the subject and the case.
func (g *Gateway) pseudonymise(ctx context.Context, x *exchange, k *known, subject pseudonym.Subject, receiptID uuid.UUID) (*postgres.Acceptance, error) {
	defer g.metrics.step("pseudonymise")()
	epoch := g.Keys.Epoch(pseudonym.Region)
	file := postgres.AcceptedCase{ID: uuid.New(), Index: k.index, IndexEpoch: g.Keys.LocalEpoch(), FactsEpoch: epoch, New: true}
	if k.found != nil {
		file.ID, file.FactsEpoch, file.New = k.found.ID, k.found.FactsEpoch, false
	}
	codes, err := g.Keys.Codes(pseudonym.Region, epoch, subject.ID, file.ID)
	if err != nil {
		return nil, hub.NewError(hub.Internal, hub.CodeInternal, err)
	}
	body := x.reference.Events.Regional(x.event, sinba.RegionalCodes{Pseudonym: codes.Pseudonym(), Rekey: codes.Rekey})

	sealed, err := g.Sealer.Seal(ctx, subject, pseudonym.Label{Kind: pseudonym.SealedMessage, Message: receiptID, Schema: contract.SchemaVersion}, x.body)
	if err != nil {
		return nil, err
	}
	if file.New {
		ids, err := g.Sealer.Seal(ctx, subject, pseudonym.Label{Kind: pseudonym.SealedCase, Message: file.ID, Schema: contract.SchemaVersion},
			[]byte(x.event.LocalCase().Reveal()+"\x1f"+x.event.LocalSubject().Reveal()))
		if err != nil {
			return nil, err
		}
		file.SealedIDs = ids.Bytes
	}
	candidate, err := g.candidate(x, k, file)
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(sealed.Bytes)
	a := candidate
	a.Participant, a.ReceiptID, a.ReceivedAt = x.participant.ID, receiptID, x.receivedAt.UTC().Truncate(time.Microsecond)
	a.ContentMAC, a.Subject = k.mac, subject.ID
	a.Commitment = pseudonym.Commitment(pseudonym.Salt(subject.Secret(), receiptID), k.content)
	a.SchemaVersion, a.MappingVersion, a.RulesVersion = contract.SchemaVersion, sinba.MappingVersion, sinba.RulesVersion
	a.ReferenceVersion = x.reference.Events.ReferenceVersion()
	a.RegionEpoch, a.NationEpoch = epoch, g.Keys.Epoch(pseudonym.Nation)
	a.Sealed, a.Body = postgres.Sealed{Epoch: sealed.Epoch, Bytes: sealed.Bytes, Digest: digest}, body
	a.Entry = journal.Entry{
		ID: uuid.Must(uuid.NewV7()), At: a.ReceivedAt, Kind: journal.EventAccepted, Environment: g.cfg.Environment,
		Participant: x.participant.ID, Ente: x.ente.ID, Message: receiptID, Event: k.key.Event,
		Sealed: digest, Commitment: a.Commitment, Severities: x.reference.Severities.Digest(),
	}
	return a, nil
}

// commit is the only point of no return.
func (g *Gateway) commit(ctx context.Context, a *postgres.Acceptance) (postgres.AcceptResult, error) {
	defer g.metrics.step("accept")()
	a.Entry.Delivery = a.TransmissionID
	return g.Store.Accept(ctx, a)
}

// accepted makes the receipt of a committed event. Confirming the subject may fail: the sweep
// then finds that it has an event.
func (g *Gateway) accepted(ctx context.Context, x *exchange, p prepared, result *postgres.AcceptResult) told {
	if p.confirm {
		g.confirm(context.WithoutCancel(ctx), x, p.subject)
	}
	if g.Accepted != nil {
		g.Accepted()
	}
	outcome := result.Outcome()
	x.outcome, x.message = outcome.String(), p.ReceiptID
	salt := pseudonym.Salt(p.subject.Secret(), p.ReceiptID)
	return told{
		Receipt: hub.Receipt{
			ID: p.ReceiptID, Event: p.Key.Event, Outcome: outcome, ReceivedAt: p.ReceivedAt,
			Commitment: p.Commitment, Registration: p.Entry.ID, Warnings: result.Violations,
		},
		outcome: outcome, salt: salt[:],
	}
}

// confirm makes the subject of an accepted event stay. It cannot fail the sender any more.
func (g *Gateway) confirm(ctx context.Context, x *exchange, subject pseudonym.Subject) {
	err := g.Vault.Confirm(ctx, subject)
	switch {
	case errors.Is(err, pseudonym.ErrSplit):
		// The event is safe, but the privacy officer must join the two subjects of one child.
		g.metrics.splits.Inc()
		g.log.Error("two subjects stand for one identity", zap.String("exchange_id", x.id.String()))
	case err != nil:
		g.log.Warn("subject not confirmed yet", zap.String("exchange_id", x.id.String()))
	}
}

// journalPatience is how long a refusal waits for its journal entry: a sender is not to be kept
// waiting by a database that its refusal does not need.
const journalPatience = 2 * time.Second

// recordRefusal journals a refusal of a known participant, without content. What cannot be
// journalled is still refused, since nothing was accepted, and counted.
func (g *Gateway) recordRefusal(ctx context.Context, x *exchange, refusal *hub.Error) {
	if refusal.Kind == hub.Overloaded || refusal.Kind == hub.Unavailable {
		return
	}
	entry := journal.Entry{
		ID: uuid.Must(uuid.NewV7()), At: x.receivedAt.UTC().Truncate(time.Microsecond), Kind: journal.RequestRefused,
		Environment: g.cfg.Environment, Participant: x.participant.ID, Ente: x.ente.ID, Outcome: string(x.operation.Name),
	}
	seen := map[hub.Code]bool{}
	for _, v := range refusal.Public {
		if !seen[v.Code] {
			seen[v.Code] = true
			entry.Codes = append(entry.Codes, v.Code)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, journalPatience)
	defer cancel()
	if err := g.Store.Journal(ctx, entry); err != nil {
		g.metrics.unjournalled.Inc()
		g.log.Warn("refusal not journalled", zap.String("exchange_id", x.id.String()))
	}
}
