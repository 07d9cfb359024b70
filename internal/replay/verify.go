package replay

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"strconv"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/casefile"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
	"github.com/sinbahub/sinbahub/internal/sinba"
)

// job is one entry with all that its replay needs.
type job struct {
	row   postgres.JournalRow
	entry journal.Entry
	// unreadable says that entry could not be read.
	unreadable bool
	// stored is nil for what is there no more.
	stored *postgres.Stored
	// secret is zero if the subject's was destroyed.
	secret pseudonym.Secret
	// erasure is the entry that orders the erasure of a subject without a secret; nil if there is none.
	erasure *uuid.UUID
	// plain and origin are as the opener gave them.
	plain, origin Opened
}

// item begins the result of a job.
func (j *job) item() Item {
	i := Item{Entry: j.row.ID, Message: j.row.Message, Status: Equal}
	if j.row.Kind == journal.AttemptSettled {
		i.Delivery = &j.entry.Delivery
	}
	if !j.unreadable && j.entry.Event != uuid.Nil {
		i.Event = &j.entry.Event
	}
	return i
}

// forgotten is the status of an event whose subject has no secret.
func (j *job) forgotten() Status {
	if j.erasure == nil {
		return Lost
	}
	return Erased
}

// verifier replays entries with what was recorded.
type verifier struct {
	parts   *Parts
	library *library
}

// verify is the replay of one entry. An error says that nothing is known of it.
func (v *verifier) verify(ctx context.Context, j *job) (Item, error) {
	i := j.item()
	var err error
	switch {
	case j.unreadable || !j.sameRow():
		i.find(FoundEntry)
	case j.row.Kind == journal.AttemptSettled:
		v.verifyAttempt(&i, j)
	default:
		err = v.verifyAccepted(ctx, &i, j)
	}
	i.settle()
	return i, err
}

// lacks adds what is missing for an entry.
func (i *Item) lacks(of, version string, e *journal.Entry) {
	i.Lacks = append(i.Lacks, Lack{of, version, e.Hub})
}

// sameRow tells whether the columns by which the entry was found are its own.
func (j *job) sameRow() bool {
	return j.entry.ID == j.row.ID && j.entry.At.Equal(j.row.At) && j.entry.Kind == j.row.Kind && j.entry.Message == j.row.Message
}

// verifyAccepted is the replay of an acceptance.
func (v *verifier) verifyAccepted(ctx context.Context, i *Item, j *job) error {
	e, s := &j.entry, j.stored
	i.Before = !recorded(e)
	if s == nil || len(s.Sealed) == 0 {
		i.Status = Gone
		return nil
	}
	i.differ(FoundColumns, sameColumns(e, s))
	i.differ(FoundSealed, e.Sealed == s.SealedDigest && e.Sealed == sha256.Sum256(s.Sealed))
	switch {
	case j.secret.IsZero():
		i.Status, i.Erasure = j.forgotten(), j.erasure
		return nil
	case j.plain.Err != nil:
		i.Status = Unopened
		return nil //nolint:nilerr // that it does not open is a result
	}
	salt := v.salt(j)
	in := inputs{
		plain: j.plain.Plain, at: e.At, rules: int(s.RulesVersion), participant: v.parts.Participants[e.Participant],
		ente: v.parts.Enti[e.Ente].Code, regionEpoch: s.RegionEpoch, factsEpoch: s.FactsEpoch, subject: s.Subject, file: s.Case,
		history: s.History, state: casefile.Fold(s.History),
		certified: func(vendor, name string) bool { return v.parts.Certified(e.Participant, vendor, name) },
	}
	schema, reference, ok := v.versions(i, j, &in)
	if !ok {
		return nil
	}
	if recorded(e) {
		v.compareOrigin(i, j, &in)
		i.differ(FoundState, e.State == salted(salt, in.state.Bytes()))
		i.differ(FoundStored, e.Regional == salted(salt, s.Body))
	}
	var err error
	if in.events, err = v.library.events(schema, reference); err != nil {
		return err
	}
	d, err := derive(ctx, v.parts.Validator, v.parts.Keys, &in)
	switch {
	case errors.Is(err, errKey):
		i.lacks("key_epoch", strconv.Itoa(int(in.regionEpoch)), e)
		return nil
	case err != nil:
		return err
	}
	found := v.compareDerived(&d, j, salt)
	if len(found) > 0 && slices.ContainsFunc(found, func(f Finding) bool { return f == FoundRegional || f == FoundVerdict }) {
		// The registry of participants is not recorded, and it changes.
		again, err := v.underImplied(ctx, j, &in, schema, reference)
		if err != nil {
			return err
		}
		if other := v.compareDerived(&again, j, salt); len(other) < len(found) {
			found, i.Registry = other, true
		}
	}
	for _, f := range found {
		i.find(f)
	}
	v.compareSent(i, j, &in)
	return nil
}

// sameColumns compares what stands in the columns of the event and its key with the entry.
func sameColumns(e *journal.Entry, s *postgres.Stored) bool {
	same := e.Message == s.Receipt && e.Event == s.ID && e.At.Equal(s.ReceivedAt) && e.Environment == s.Environment &&
		e.Participant == s.Participant && e.Ente == s.Ente && (s.Outcome == 0 || e.Outcome == s.Outcome.String() && e.Commitment == s.Commitment)
	if !recorded(e) {
		return same
	}
	return same && e.Schema == s.SchemaVersion && e.Rules == s.RulesVersion && e.Mapping == s.MappingVersion &&
		e.Reference == s.ReferenceVersion && e.RegionEpoch == s.RegionEpoch
}

// versions finds what was at work in this binary, or says what it lacks.
func (v *verifier) versions(i *Item, j *job, in *inputs) (schema, reference string, ok bool) {
	e, s := &j.entry, j.stored
	schema, reference = s.SchemaVersion, s.ReferenceVersion
	mapping := s.MappingVersion
	if recorded(e) {
		schema, reference, mapping = e.Schema, e.Reference, e.Mapping
		in.rules, in.regionEpoch = int(e.Rules), e.RegionEpoch
	}
	known, ok := v.parts.Schemas[schema]
	if !ok {
		i.lacks("schema", schema, e)
	}
	in.schema = known.Number
	if in.rules < firstRules || in.rules > sinba.RulesVersion {
		i.lacks("rules", strconv.Itoa(in.rules), e)
	}
	if mapping != sinba.MappingVersion {
		i.lacks("mapping", strconv.Itoa(int(mapping)), e)
	}
	if _, ok := v.parts.References[reference]; !ok {
		i.lacks("reference", reference, e)
	}
	if in.severities, ok = v.parts.ruleSet(e.Severities); !ok {
		i.lacks("severities", hexDigest(e.Severities), e)
	}
	return schema, reference, len(i.Lacks) == 0
}

// firstRules is the first version of the rules that judged cases as they are judged now.
const firstRules = 2

// originSize is that of a subject's and a case's id.
const originSize = 32

// compareOrigin takes the ids that the entry recorded, and holds those of the event's row against them.
func (v *verifier) compareOrigin(i *Item, j *job, in *inputs) {
	if j.origin.Err != nil || len(j.origin.Plain) != originSize {
		i.find(FoundOrigin)
		return
	}
	in.subject, in.file = uuid.UUID(j.origin.Plain[:16]), uuid.UUID(j.origin.Plain[16:])
	i.differ(FoundOrigin, in.subject == j.stored.Subject && in.file == j.stored.Case)
}

// salted is SHA-256(salt ‖ b).
func salted(salt [16]byte, b []byte) [32]byte {
	h := sha256.New()
	h.Write(salt[:])
	h.Write(b)
	return [32]byte(h.Sum(nil))
}

// compareDerived holds what was derived against what was recorded.
func (v *verifier) compareDerived(d *derived, j *job, salt [16]byte) []Finding {
	e, s := &j.entry, j.stored
	i := Item{}
	if d.refused() {
		return []Finding{FoundVerdict}
	}
	i.differ(FoundVerdict, e.Outcome == d.outcome() && slices.Equal(e.Codes, d.codes()))
	if !recorded(e) {
		salt = v.parts.Keys.SaltOf(j.secret, s.Receipt, d.content, e.Commitment)
	}
	i.differ(FoundCommitment, e.Commitment == pseudonym.Commitment(salt, d.content))
	i.differ(FoundFacts, bytes.Equal(d.facts, s.FactsBytes))
	if recorded(e) {
		i.differ(FoundRegional, e.Regional == salted(salt, d.regional))
	} else {
		i.differ(FoundRegional, bytes.Equal(d.regional, s.Body))
	}
	i.differ(FoundColumns, sameEvent(d.event, s))
	return i.Findings
}

// sameEvent compares what stands in the event's columns with what the message says.
func sameEvent(ev *sinba.Event, s *postgres.Stored) bool {
	refersTo, _ := ev.RefersTo()
	return ev.EventID() == s.ID && ev.Type() == s.Type && ev.Operation() == s.Operation && ev.Sequence() == s.Sequence && refersTo == s.RefersTo
}

// salt is the one of an entry's digests, found by that of the stored event, which entries of the first layouts
// do not have.
func (v *verifier) salt(j *job) [16]byte {
	return v.parts.Keys.SaltOf(j.secret, j.stored.Receipt, j.stored.Body, j.entry.Regional)
}

// underImplied derives again under the registry as it must have been.
func (v *verifier) underImplied(ctx context.Context, j *job, in *inputs, schema, reference string) (derived, error) {
	events, err := v.library.implied(schema, reference, j.stored.Body, nil)
	if err != nil {
		return derived{}, nil //nolint:nilerr // a stored event that cannot be read implies nothing
	}
	other := *in
	other.events = events
	certified := !slices.Contains(j.entry.Codes, "SINBA_324")
	other.certified = func(string, string) bool { return certified }
	return derive(ctx, v.parts.Validator, v.parts.Keys, &other)
}

// compareSent derives the national event of every attempt that has one, and holds it against the
// attempt's row.
func (v *verifier) compareSent(i *Item, j *job, in *inputs) {
	e, s := &j.entry, j.stored
	var made [32]byte
	var epoch int32
	for _, a := range s.Sent {
		if a.NationEpoch != epoch {
			event, err := national(in.events, v.parts.Keys, s.Body, a.NationEpoch, s.IDsEpoch, in.subject, in.file)
			if errors.Is(err, errKey) {
				i.lacks("key_epoch", strconv.Itoa(int(a.NationEpoch)), e)
				return
			}
			if err != nil {
				i.find(FoundNational)
				return
			}
			made, epoch = sha256.Sum256(event), a.NationEpoch
		}
		i.differ(FoundNational, a.Digest == made)
	}
}

// verifyAttempt is the replay of an attempt: the national event of the stored regional one.
func (v *verifier) verifyAttempt(i *Item, j *job) {
	e, s := &j.entry, j.stored
	if s == nil {
		i.Status = Gone
		return
	}
	i.Before = e.Hub == ""
	at := slices.IndexFunc(s.Sent, func(a postgres.SentAttempt) bool { return a.Delivery == e.Delivery && a.Number == e.Attempt })
	switch {
	case e.Outbound == [32]byte{}:
		// Nothing was sent, or it is older than the evidence: the row is compared with its acceptance.
		i.differ(FoundColumns, i.Before || at < 0)
		return
	case e.Mapping != sinba.MappingVersion:
		i.lacks("mapping", strconv.Itoa(int(e.Mapping)), e)
		return
	}
	// The row may be gone before the entry.
	i.differ(FoundColumns, at < 0 || s.Sent[at].Digest == e.Outbound)
	// No list enters the national event, so that the schema's version is enough.
	known, ok := v.parts.Schemas[s.SchemaVersion]
	if !ok {
		i.lacks("schema", s.SchemaVersion, e)
		return
	}
	event, err := national(known.Events, v.parts.Keys, s.Body, e.NationEpoch, s.IDsEpoch, s.Subject, s.Case)
	if errors.Is(err, errKey) {
		i.lacks("key_epoch", strconv.Itoa(int(e.NationEpoch)), e)
		return
	}
	i.differ(FoundNational, err == nil && sha256.Sum256(event) == e.Outbound)
}
