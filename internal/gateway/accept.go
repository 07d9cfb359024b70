package gateway

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/contract"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
	"github.com/sinbahub/sinbahub/internal/sinba"
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
func (g *Gateway) claim(x *exchange, events []*sent) []*sent {
	if x.operation.Name == contract.VerificaEvento {
		return events
	}
	for _, e := range events {
		if x.claims[e.known.key] != nil {
			continue // of an earlier event of the same lot, which was refused
		}
		release, ok := g.accepting.begin(e.known.key)
		if !ok {
			g.metrics.duplicates.WithLabelValues("in_progress").Inc()
			e.refusal = inProgress(e.root + "/Testata/IdEvento")
			continue
		}
		if x.claims == nil {
			x.claims = map[postgres.Key]func(){}
		}
		x.claims[e.known.key] = release
	}
	return standing(events)
}

// inProgress asks to come back shortly.
func inProgress(path string) *hub.Error {
	return &hub.Error{Kind: hub.Overloaded, RetryAfter: jittered(time.Second), Public: []hub.Violation{{
		Code: hub.CodeInProgress, Severity: hub.Grave, Path: path,
	}}}
}

// release lets others accept what this request claimed.
func (g *Gateway) release(x *exchange) {
	for _, release := range x.claims {
		release()
	}
}

// lookUp is step 6: was this event accepted before, and which case is it about?
func (g *Gateway) lookUp(ctx context.Context, x *exchange, events []*sent) []*sent {
	defer g.metrics.step("look_up")()
	queries := make([]postgres.Query, len(events))
	for i, e := range events {
		key := postgres.Key{Environment: g.cfg.Environment, Ente: e.ente.ID, Event: e.id}
		k := &known{key: key, content: x.contentOf(e)}
		k.mac = g.Keys.ContentMAC(k.content)
		k.index = g.Keys.CaseIndex(e.ente.Code, e.event.LocalCase())
		e.known, queries[i] = k, postgres.Query{Key: key, CaseIndex: k.index}
	}
	found, err := g.Store.LookupAll(ctx, queries)
	for i, e := range events {
		if err != nil {
			e.refuse(err)
			continue
		}
		e.known.found = found[i].Case
		if row := found[i].Key; row != nil {
			g.compare(e, row)
		}
	}
	return standing(events)
}

// contentOf is the content form of an event: of a request's only one in the exchange's room.
func (x *exchange) contentOf(e *sent) []byte {
	if len(x.events) > 1 || x.room == nil {
		return e.event.Content()
	}
	x.room.content = e.event.AppendContent(x.room.content[:0])
	return x.room.content
}

// compare tells a repetition from other content under a known id.
func (g *Gateway) compare(e *sent, row *postgres.KeyRow) {
	if subtle.ConstantTimeCompare(e.known.mac[:], row.ContentMAC[:]) != 1 {
		g.metrics.duplicates.WithLabelValues("conflict").Inc()
		e.refusal = refuse(hub.Conflict, hub.CodeConflict, e.root+"/Testata/IdEvento")
		return
	}
	g.metrics.duplicates.WithLabelValues("repeat").Inc()
	e.known.repeat = row
}

// answerRepeats gives the first receipt again to what was accepted before, with Esito DUPLICATO and
// this attempt's IdMessaggio. The salts are derived again: from the subjects' secrets, and without
// one if the subject was erased.
func (g *Gateway) answerRepeats(ctx context.Context, x *exchange, events []*sent) []*sent {
	var repeated []*sent
	var subjects []uuid.UUID
	for _, e := range events {
		switch {
		case e.known.repeat == nil:
		case x.operation.Name == contract.VerificaEvento:
			e.report = &report{hub.Duplicate.String(), e.known.repeat.Receipt.Warnings}
		default:
			repeated, subjects = append(repeated, e), append(subjects, e.known.repeat.Subject)
		}
	}
	if len(repeated) == 0 {
		return standing(events)
	}
	secrets, err := g.Vault.SecretsOf(ctx, subjects)
	for i, e := range repeated {
		if err != nil {
			e.refuse(err)
			continue
		}
		e.receipt = &told{Receipt: e.known.repeat.Receipt, outcome: hub.Duplicate}
		if !secrets[i].IsZero() {
			salt := g.Keys.SaltOf(secrets[i], e.receipt.ID, e.known.content, e.receipt.Commitment)
			e.receipt.salt = salt[:]
		}
	}
	return standing(events)
}

// tries bounds how often an acceptance is prepared anew because another one was first with the
// same child or case. Each loss means that somebody else's acceptance succeeded.
const tries = 4

// child is whom one or more events of a request are about.
type child struct {
	identity pseudonym.Identity
	index    pseudonym.LinkIndex
	// opens says that it is the child of a new case: its subject is to be reserved, and confirmed once its event is
	// accepted.
	opens bool
	// subject is who stands for it, if known says so.
	subject pseudonym.Subject
	known   bool
}

// opening is a case that this request opens: its events of one case make one case.
type opening struct {
	id uuid.UUID
	// child is whose case it is; its subject may change as long as the case is not accepted.
	child *child
	// factsEpoch and nationEpoch are the case's epochs, the same for all its events.
	factsEpoch, nationEpoch int32
}

// accept is steps 8 and 9. The events are taken in their order: those that stand are accepted
// together, and one that is refused, or only asks, asks its case when those before it are in it.
func (g *Gateway) accept(ctx context.Context, x *exchange, events []*sent) {
	g.resolve(ctx, events)
	openings := map[[32]byte]*opening{}
	var together []*sent
	for _, e := range standing(events) {
		alone := x.operation.Name == contract.VerificaEvento || refuses(e.found)
		if !alone {
			var err error
			if alone, err = g.joinCase(x, e, openings); err != nil {
				e.refuse(err)
				continue
			}
		}
		if !alone {
			together = append(together, e)
			continue
		}
		g.acceptTogether(ctx, x, together, openings)
		together = nil
		g.settleAlone(ctx, x, e, openings)
	}
	g.acceptTogether(ctx, x, together, openings)
}

// acceptTogether accepts events of one run.
func (g *Gateway) acceptTogether(ctx context.Context, x *exchange, events []*sent, openings map[[32]byte]*opening) {
	for range tries {
		if events = standing(events); len(events) == 0 {
			return
		}
		if err := g.reserve(ctx, events); err != nil {
			for _, e := range events {
				x.drop(e, err)
			}
			return
		}
		g.pseudonymise(ctx, x, events, openings)
		// From here on no direct identifier exists outside sealed bytes.
		g.commit(ctx, x, events, openings)
	}
	for _, e := range standing(events) {
		x.drop(e, &hub.Error{Kind: hub.Overloaded, Public: []hub.Violation{{Code: hub.CodeInProgress, Severity: hub.Grave, Path: "/"}}})
	}
}

// identity is who the event is about.
func (e *sent) identity() pseudonym.Identity {
	return e.identityOf(e.event.Subject())
}

// identityOf is who an identifier of the event stands for.
func (e *sent) identityOf(id sinba.Identity) pseudonym.Identity {
	if id.Kind == sinba.NonIdentificato {
		return pseudonym.NewLocalIdentity(e.ente.Code, e.event.LocalSubject())
	}
	return pseudonym.NewIdentity(string(id.Kind), id.Value)
}

// resolve says which events are about one child, and whose it is where the case is known: the case's own subject,
// whatever the event's identifier stands for.
func (g *Gateway) resolve(ctx context.Context, events []*sent) {
	if len(events) == 0 {
		return
	}
	defer g.metrics.step("resolve")()
	var fresh, own []*child
	var subjects []uuid.UUID
	for _, e := range events {
		e.receiptID, e.transmissionID = uuid.Must(uuid.NewV7()), uuid.New()
		e.named = e.identity()
		if found := e.known.found; found != nil {
			at := slices.Index(subjects, found.Subject)
			if at < 0 {
				at = len(subjects)
				own, subjects = append(own, &child{known: true}), append(subjects, found.Subject)
			}
			e.child = own[at]
			continue
		}
		index := g.Keys.LinkIndex(e.named)
		at := slices.IndexFunc(fresh, func(c *child) bool { return c.index == index })
		if at < 0 {
			at = len(fresh)
			fresh = append(fresh, &child{identity: e.named, index: index, opens: true})
		}
		e.child = fresh[at]
	}
	held, err := g.Vault.SubjectsOf(ctx, subjects)
	if err != nil {
		refuseAll(events, err)
		return
	}
	for i := range held {
		own[i].subject = held[i]
	}
}

// reserve finds the subjects of the children that are not known yet, in one short transaction of their own: that
// of a child which the vault does not know is random, and becomes a pending row with the way back sealed. All that belongs
// to others is the same whoever the child is, in this trip as in the answer: whether another ente knows the child
// must not show in the time either.
func (g *Gateway) reserve(ctx context.Context, events []*sent) error {
	var asked []pseudonym.Reservation
	var of []*child
	for _, e := range events {
		c := e.child
		if c.known || slices.Contains(of, c) {
			continue
		}
		subject := pseudonym.NewSubject()
		label := pseudonym.Label{Kind: pseudonym.SealedIdentity, Message: subject.ID, Schema: contract.SchemaVersion}
		sealed, err := g.Sealer.Seal(ctx, subject, label, c.identity.Bytes())
		if err != nil {
			return err
		}
		asked, of = append(asked, pseudonym.Reservation{Index: c.index, Subject: subject, SealedIdentity: sealed.Bytes}), append(of, c)
	}
	if len(asked) == 0 {
		return nil
	}
	defer g.metrics.step("reserve")()
	counting, err := g.Vault.ReserveAll(ctx, asked)
	if err != nil {
		return err
	}
	for i, c := range of {
		c.subject, c.known = counting[i], true
	}
	return nil
}

// refuseAll ends the way of all events for one cause.
func refuseAll(events []*sent, err error) {
	for _, e := range events {
		if !e.ended() {
			e.refuse(err)
		}
	}
}

// pseudonymise is step 8 for the events that are not prepared yet.
func (g *Gateway) pseudonymise(ctx context.Context, x *exchange, events []*sent, openings map[[32]byte]*opening) {
	defer g.metrics.step("pseudonymise")()
	for _, e := range events {
		if e.prepared != nil {
			continue
		}
		if err := g.prepare(ctx, x, e, openings); err != nil {
			x.drop(e, err)
		}
	}
}

// prepare makes the regional event by the table and seals the message. All of it is a function of
// the event, the subject and the case.
func (g *Gateway) prepare(ctx context.Context, x *exchange, e *sent, openings map[[32]byte]*opening) error {
	subject, k, receiptID := e.child.subject, e.known, e.receiptID
	epoch := g.Keys.Epoch(pseudonym.Region)
	file := g.assumedCase(e, openings)
	a, err := g.takeCandidate(x, e, file)
	if err != nil {
		return err
	}
	codes, err := g.Keys.Codes(pseudonym.Region, epoch, subject.ID, file.ID)
	if err != nil {
		return hub.NewError(hub.Internal, hub.CodeInternal, err)
	}
	a.Body = x.catalogue().Regional(e.event, sinba.RegionalCodes{Pseudonym: codes.Pseudonym(), Rekey: a.ids.rekey})
	sealed, err := g.Sealer.Seal(ctx, subject, pseudonym.Label{Kind: pseudonym.SealedMessage, Message: receiptID, Schema: x.schema}, e.sealed)
	if err != nil {
		return err
	}
	if file.New {
		ids, err := g.Sealer.Seal(ctx, subject, pseudonym.Label{Kind: pseudonym.SealedCase, Message: file.ID, Schema: contract.SchemaVersion},
			[]byte(e.event.LocalCase().Reveal()+"\x1f"+e.event.LocalSubject().Reveal()))
		if err != nil {
			return err
		}
		a.Case.SealedIDs = ids.Bytes
	}
	origin, err := g.Sealer.Seal(ctx, subject, pseudonym.Label{Kind: pseudonym.SealedOrigin, Message: receiptID},
		slices.Concat(subject.ID[:], file.ID[:]))
	if err != nil {
		return err
	}
	digest := sha256.Sum256(sealed.Bytes)
	a.EnteCode, a.Region = e.ente.Code, e.ente.Region
	a.Carried = subject
	a.Participant, a.ReceiptID, a.ReceivedAt = x.participant.ID, receiptID, x.receivedAt.UTC().Truncate(time.Microsecond)
	a.ContentMAC, a.Subject, a.TransmissionID = k.mac, subject.ID, e.transmissionID
	a.Salt = g.Keys.Salt(subject.Secret(), receiptID)
	a.Commitment = pseudonym.Commitment(a.Salt, k.content)
	a.SchemaVersion, a.MappingVersion, a.RulesVersion = x.schema, sinba.MappingVersion, sinba.RulesVersion
	a.ReferenceVersion = x.catalogue().ReferenceVersion()
	a.RegionEpoch, a.NationEpoch = epoch, g.Keys.Epoch(pseudonym.Nation)
	a.Sealed = postgres.Sealed{Epoch: sealed.Epoch, Bytes: sealed.Bytes, Digest: digest}
	a.Entry = journal.Entry{
		ID: uuid.Must(uuid.NewV7()), At: a.ReceivedAt, Kind: journal.EventAccepted, Environment: g.cfg.Environment,
		Participant: x.participant.ID, Ente: e.ente.ID, Message: receiptID, Event: k.key.Event, Delivery: e.transmissionID,
		Sealed: digest, Commitment: a.Commitment, Severities: x.reference.Severities.Digest(),
		Evidence: journal.Evidence{
			Regional: pseudonym.Commitment(a.Salt, a.Body), Schema: a.SchemaVersion, Rules: a.RulesVersion,
			Mapping: a.MappingVersion, Reference: a.ReferenceVersion, Hub: g.cfg.Version,
			RegionEpoch: a.RegionEpoch, NationEpoch: a.NationEpoch, Origin: origin.Bytes,
		},
	}
	e.prepared = a.Acceptance
	return nil
}

// commit is the only point of no return. What lost its case to another acceptance is left standing,
// to be pseudonymised anew.
func (g *Gateway) commit(ctx context.Context, x *exchange, events []*sent, openings map[[32]byte]*opening) {
	defer g.metrics.step("accept")()
	events = standing(events)
	all := make([]*postgres.Acceptance, len(events))
	for i, e := range events {
		all[i] = e.prepared
	}
	var confirmed, known []*sent
	for i, result := range g.Store.AcceptAll(ctx, all) {
		e := events[i]
		switch {
		case result.Err != nil:
			x.drop(e, result.Err)
		case result.Value.Status == postgres.StatusAccepted:
			e.found = result.Value.Violations
			confirmed = append(confirmed, e)
		case result.Value.Status == postgres.StatusRefused:
			e.refusal = x.refusalOf(e, result.Value.Violations)
		case result.Value.Status == postgres.StatusDuplicate:
			if g.compare(e, result.Value.Key); e.refusal == nil {
				known = append(known, e)
			}
		case result.Value.Status == postgres.StatusCaseMoved:
			g.moved(ctx, x, e, result.Value.Case, openings)
		}
	}
	g.accepted(ctx, x, confirmed)
	g.answerRepeats(ctx, x, known)
}

// accepted makes the receipts of committed events.
func (g *Gateway) accepted(ctx context.Context, x *exchange, events []*sent) {
	if len(events) == 0 {
		return
	}
	var pending []pseudonym.Subject
	for _, e := range events {
		if own := e.child.subject; e.child.opens && own.Pending && !slices.ContainsFunc(pending, func(s pseudonym.Subject) bool { return s.ID == own.ID }) {
			pending = append(pending, own)
		}
		a, outcome := e.prepared, outcomeOf(e.found)
		salt := a.Salt
		e.receipt = &told{
			Receipt: hub.Receipt{
				ID: a.ReceiptID, Event: a.Key.Event, Outcome: outcome, ReceivedAt: a.ReceivedAt,
				Commitment: a.Commitment, Registration: a.Entry.ID, Warnings: e.found,
			},
			outcome: outcome, salt: salt[:],
		}
	}
	g.confirmLater(context.WithoutCancel(ctx), x.id, pending)
	for range events {
		if g.Accepted != nil {
			g.Accepted() // once for each: the delivery's pace follows their number
		}
	}
}
