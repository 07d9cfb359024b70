package replay

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/casefile"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
	"github.com/sinbahub/sinbahub/internal/sinba"
	"github.com/sinbahub/sinbahub/internal/validator"
)

// inputs are all that the way of one accepted event depends on.
type inputs struct {
	// plain is the message, or the event alone if it came in a lot.
	plain []byte
	// at is when it was received.
	at          time.Time
	schema      validator.Schema
	events      *sinba.Catalogue
	rules       int
	severities  *sinba.Severities
	participant string
	ente        string
	certified   func(vendor, name string) bool
	regionEpoch int32
	factsEpoch  int32
	subject     uuid.UUID
	file        uuid.UUID
	history     []casefile.Event
	state       casefile.State
}

// derived is what became of it.
type derived struct {
	event *sinba.Event
	// found are all findings. If one is GRAVE the event is refused, and nothing below is there.
	found    []hub.Violation
	content  []byte
	facts    []byte
	regional []byte
}

// refused tells whether any finding is GRAVE.
func (d *derived) refused() bool {
	return slices.ContainsFunc(d.found, func(v hub.Violation) bool { return v.Severity == hub.Grave })
}

// codes are those of the findings, each once.
func (d *derived) codes() []hub.Code {
	var codes []hub.Code
	for _, v := range d.found {
		if !slices.Contains(codes, v.Code) {
			codes = append(codes, v.Code)
		}
	}
	return codes
}

// outcome is what the receipt says.
func (d *derived) outcome() string {
	if len(d.found) > 0 {
		return hub.AcceptedWithWarnings.String()
	}
	return hub.Accepted.String()
}

// identityKind separates the stand-ins of identifiers inside a case from those of its local ids.
const identityKind = "Identificativo"

// errKey says that a key of a recorded epoch is not loaded.
var errKey = errors.New("key of the recorded epoch is not loaded")

// derive goes the way of an event from the validator to the acceptance (architecture, section 3, steps
// 3, 7, 8 and the judgement of 9) with what was recorded. What refuses the message is among the
// findings; an error says that nothing is known of it.
func derive(ctx context.Context, pool *validator.Pool, keys *pseudonym.Keys, in *inputs) (derived, error) {
	var d derived
	payload, root, found, err := validate(ctx, pool, in)
	if err != nil || len(found) > 0 {
		d.found = found
		return d, err
	}
	if d.event, err = in.events.Read(payload); err != nil {
		return d, err
	}
	rules := in.severities.Context(in.at, in.participant)
	rules.Version = in.rules
	warnings := in.events.Judge(d.event, rules)
	if product := d.event.Product(); !in.certified(product.Vendor, product.Name) {
		warnings = append(warnings, hub.Violation{Code: hub.CodeRule24, Severity: hub.Lieve, Rule: "BR-24", Path: root + "/Mittente/Applicativo"})
	}
	standIns, err := keys.Codes(pseudonym.Region, in.factsEpoch, uuid.Nil, in.file)
	if err != nil {
		return d, errKey
	}
	facts := in.events.Facts(d.event, standIns.Rekey)
	facts.Identity = standIns.Rekey(identityKind, string(in.identityOf(d.event, d.event.Subject()).Bytes()))
	if previous, ok := d.event.Previous(); ok {
		facts.Previous = standIns.Rekey(identityKind, string(in.identityOf(d.event, previous).Bytes()))
	}
	refersTo, _ := d.event.RefersTo()
	a := &postgres.Acceptance{
		Key: postgres.Key{Event: d.event.EventID()}, Type: d.event.Type(), Operation: d.event.Operation(), RefersTo: refersTo,
		Sequence: d.event.Sequence(), Facts: facts, Root: root, Rules: rules, Warnings: warnings,
	}
	if d.found = a.JudgeAt(in.state, in.history); d.refused() {
		return d, nil
	}
	codes, err := keys.Codes(pseudonym.Region, in.regionEpoch, in.subject, in.file)
	if err != nil {
		return d, errKey
	}
	d.facts = casefile.FactsBytes(&facts)
	d.content = d.event.Content()
	d.regional = in.events.Regional(d.event, sinba.RegionalCodes{Pseudonym: codes.Pseudonym(), Rekey: standIns.Rekey})
	return d, nil
}

// identityOf is who an identifier of the event stands for.
func (in *inputs) identityOf(ev *sinba.Event, id sinba.Identity) pseudonym.Identity {
	if id.Kind == sinba.NonIdentificato {
		return pseudonym.NewLocalIdentity(in.ente, ev.LocalSubject())
	}
	return pseudonym.NewIdentity(string(id.Kind), id.Value)
}

// singleRoot is the element that an event of a lot is judged as.
func singleRoot() string { return validator.EventLot().As }

// validate has the jail judge the message and gives the event's canonical bytes and the path of its
// root.
func validate(ctx context.Context, pool *validator.Pool, in *inputs) (payload []byte, root string, found []hub.Violation, err error) {
	doc, mode := in.plain, validator.Envelope
	item := validator.EventLot().Item
	alone, inLot := renamed(in.plain, item, singleRoot())
	if inLot {
		doc, mode = alone, validator.Bare
	}
	result, err := pool.Validate(ctx, in.schema, mode, doc)
	if err != nil {
		var refusal *hub.Error
		if errors.As(err, &refusal) && refusal.Kind != hub.Unavailable && refusal.Kind != hub.Internal {
			return nil, "", refusal.Public, nil
		}
		return nil, "", nil, err
	}
	if len(result.Violations) > 0 {
		return nil, "", result.Violations, nil
	}
	if inLot {
		payload, ok := renamed(result.Payload, singleRoot(), item)
		if !ok {
			return nil, "", nil, errRoot
		}
		return payload, "/" + item, nil, nil
	}
	return result.Payload, "/" + result.Root, nil, nil
}

// errRoot says that the validator gave another element than it was given.
var errRoot = errors.New("the validator's element is not the one that was judged")

// renamed gives a canonical document with its root renamed; false if the root has another name. Of
// canonical bytes the root's tags are the first and the last.
func renamed(doc []byte, from, to string) ([]byte, bool) {
	if len(doc) == 0 || doc[0] != '<' {
		return nil, false
	}
	end := bytes.IndexAny(doc, " >")
	if end < 0 {
		return nil, false
	}
	prefix, local, ok := strings.Cut(string(doc[1:end]), ":")
	if !ok {
		prefix, local = "", prefix
	} else {
		prefix += ":"
	}
	last := "</" + prefix + from + ">"
	if local != from || !bytes.HasSuffix(doc, []byte(last)) {
		return nil, false
	}
	out := make([]byte, 0, len(doc)+2*max(0, len(to)-len(from)))
	out = append(append(out, "<"+prefix+to...), doc[end:len(doc)-len(last)]...)
	return append(out, "</"+prefix+to+">"...), true
}

// national makes the event that leaves from a regional one.
func national(events *sinba.Catalogue, keys *pseudonym.Keys, regional []byte, epoch, idsEpoch int32, subject, file uuid.UUID) ([]byte, error) {
	codes, err := keys.Codes(pseudonym.Nation, epoch, subject, file)
	if err != nil {
		return nil, errKey
	}
	ids, err := keys.Codes(pseudonym.Nation, idsEpoch, subject, file)
	if err != nil {
		return nil, errKey
	}
	return events.National(regional, sinba.NationalCodes{Beneficiary: codes.Pseudonym(), Rekey: ids.Rekey})
}

// library has the catalogue for each version that was asked for.
type library struct {
	parts *Parts

	mu   sync.Mutex
	made map[[2]string]*sinba.Catalogue
}

func newLibrary(parts *Parts) *library {
	return &library{parts: parts, made: map[[2]string]*sinba.Catalogue{}}
}

// events gives the catalogue of a schema's version under a reference version; nil for one that this
// binary lacks.
func (l *library) events(schema, reference string) (*sinba.Catalogue, error) {
	lists, ok := l.parts.References[reference]
	if !ok {
		return nil, nil //nolint:nilnil // not to have it is an answer
	}
	return l.make(schema, reference, lists)
}

// impliedMost bounds how many registries of the past are kept ready.
const impliedMost = 1000

// implied gives the catalogue under the registry as it must have been for a stored regional event: a
// code that was kept was in it, and one that became `altro` was not.
// Other lists may take the place of those of the reference version.
func (l *library) implied(schema, reference string, regional []byte, other *sinba.Reference) (*sinba.Catalogue, error) {
	lists := l.parts.References[reference]
	if other != nil {
		// No version is so called: what was made under the recorded lists is not what is tried.
		lists, reference = *other, "tried"
	}
	doc, err := sinba.Leaves(regional)
	if err != nil {
		return nil, err
	}
	lists.Enti, lists.Zones, lists.Vendors, lists.Products = nil, nil, nil, nil
	lists.ProductVersions, lists.Certificates = nil, nil
	for _, leaf := range doc.Leaves {
		name := leaf.Path[strings.LastIndexByte(leaf.Path, '/')+1:]
		name, _, _ = strings.Cut(name, "[")
		into := map[string]*[]string{
			"CodiceEnte": &lists.Enti, "CodiceEnteControparte": &lists.Enti, "CodiceZona": &lists.Zones, "Fornitore": &lists.Vendors,
			"Prodotto": &lists.Products, "Versione": &lists.ProductVersions, "IdCertificazione": &lists.Certificates,
		}[name]
		if into != nil && leaf.Value != "altro" && leaf.Value != "" {
			*into = append(*into, leaf.Value)
		}
	}
	var key strings.Builder
	key.WriteString(reference)
	for _, list := range [][]string{lists.Enti, lists.Zones, lists.Vendors, lists.Products, lists.ProductVersions, lists.Certificates} {
		key.WriteString("\n" + strconv.Itoa(len(list)) + "\n" + strings.Join(list, "\n"))
	}
	return l.make(schema, key.String(), lists)
}

func (l *library) make(schema, name string, lists sinba.Reference) (*sinba.Catalogue, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := [2]string{schema, name}
	if made := l.made[key]; made != nil {
		return made, nil
	}
	made, err := l.parts.Schemas[schema].Events.WithReference(lists)
	if err != nil {
		return nil, err
	}
	if len(l.made) > impliedMost {
		clear(l.made)
	}
	l.made[key] = made
	return made, nil
}

// ruleSet gives the severities of a digest; false for one that this binary was not given.
func (p *Parts) ruleSet(digest [32]byte) (*sinba.Severities, bool) {
	if digest == ([32]byte{}) {
		return nil, true
	}
	s, ok := p.Severities[digest]
	return s, ok
}

// recorded tells whether an entry has the evidence that a replay needs.
func recorded(e *journal.Entry) bool { return e.Regional != [32]byte{} }
