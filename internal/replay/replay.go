// Package replay runs stored messages again: to show that they give what was recorded (Verify), or to
// tell what they would give under another schema, rule set or mapping (WhatIf).
//
// It starts from the sealed message, which only the opener can open, and from the journal's entry of
// its acceptance. What ran between the validator and the transaction then runs here, as pure functions
// of what was recorded: the versions of schema, rules, mapping and reference data, the severities, the
// time of receipt, the epochs of the codes' keys, the subject's and the case's random ids, and the
// state of the case before the event, which is the fold of the events before it. Equal input gives
// equal bytes. Nothing is sent, stored or changed, but for the entries that say that there was a
// replay. No value of a message is ever in a result: paths, codes, kinds and counts only.
package replay

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
	"github.com/sinbahub/sinbahub/internal/sinba"
	"github.com/sinbahub/sinbahub/internal/validator"
)

// Sealed names one thing to open: the message of an IdRicevuta, or the origin that its entry has.
type Sealed struct {
	// Message is IdRicevuta.
	Message uuid.UUID
	// Origin is the entry's sealed origin; empty for the message itself.
	Origin []byte
}

// Opened is what was asked to be opened, or why it does not open. Err holds no content.
type Opened struct {
	Plain []byte
	Err   error
}

// Opener opens what is sealed. It answers each of asked, in their order; its own error says that
// nothing more can be opened.
type Opener interface {
	Open(ctx context.Context, asked []Sealed) ([]Opened, error)
}

// Schema is a version of the contract that this binary has.
type Schema struct {
	// Number is the validator's.
	Number validator.Schema
	// Events reads, judges and maps its events, under any reference data.
	Events *sinba.Catalogue
}

// Parts are what a replay works with.
type Parts struct {
	Environment hub.Environment
	Store       *postgres.Store
	Vault       *pseudonym.Vault
	Keys        *pseudonym.Keys
	Validator   *validator.Pool
	Opener      Opener
	// Schemas are the contract's by version.
	Schemas map[string]Schema
	// References are the dated lists by version, each with the registry's closed lists as they are now.
	References map[string]sinba.Reference
	// Severities are the known configurations of the rules by digest; that of zeroes is always known.
	Severities map[[32]byte]*sinba.Severities
	// Participants and Enti are the registry's by row.
	Participants map[int32]string
	Enti         map[int32]hub.Ente
	// Certified tells whether a participant may name a product (BR-24).
	Certified func(participant int32, vendor, name string) bool
	// Now is the clock of the entries that say that there was a replay.
	Now func() time.Time
}

// Status is what became of the replay of one entry.
type Status string

// The statuses.
const (
	// Equal is what gave the recorded bytes and verdict.
	Equal Status = "equal"
	// Different is what did not; Item.Findings say in what.
	Different Status = "different"
	// Missing is what this binary lacks a version or key of; Item.Lacks say of what.
	Missing Status = "missing_version"
	// Gone is what retention took.
	Gone Status = "gone"
	// Erased is what nobody can open any more, since the subject's secret was destroyed by an order that the
	// journal has: Item.Erasure names it.
	Erased Status = "erased"
	// Lost is what nobody can open any more, although no entry of the journal orders it: the subject's secret
	// is not there.
	Lost Status = "secret_missing"
	// Unopened is what the opener did not open although the secret is there.
	Unopened Status = "not_opened"
)

// Statuses lists all of them in the order in which they are told.
func Statuses() []Status { return []Status{Equal, Different, Missing, Gone, Erased, Lost, Unopened} }

// Finding names a part in which an entry and its replay differ.
type Finding string

// The findings.
const (
	// FoundEntry is an entry that is not readable, or not that of its columns.
	FoundEntry Finding = "entry"
	// FoundColumns are columns of the event or its key that are not the entry's.
	FoundColumns Finding = "columns"
	// FoundSealed are sealed bytes that are not those of the entry.
	FoundSealed Finding = "sealed_message"
	// FoundOrigin are subject or case that are not those of the entry's origin.
	FoundOrigin Finding = "origin"
	// FoundCommitment is a content that is not the receipt's.
	FoundCommitment Finding = "commitment"
	// FoundVerdict is another outcome, or other codes.
	FoundVerdict Finding = "verdict"
	// FoundState is another state of the case before the event.
	FoundState Finding = "case_state"
	// FoundFacts are other facts than the case was told.
	FoundFacts Finding = "facts"
	// FoundStored is a stored regional event that is not the entry's.
	FoundStored Finding = "stored_regional_event"
	// FoundRegional is another regional event than was recorded.
	FoundRegional Finding = "regional_event"
	// FoundNational is another national event than was sent.
	FoundNational Finding = "national_event"
)

// Lack is a version or key that was recorded and is not in this binary or its configuration.
type Lack struct {
	// Of is schema, rules, mapping, reference, severities or key_epoch.
	Of string `json:"of"`
	// Version is which.
	Version string `json:"version"`
	// Hub is the version of the hub that recorded it, and so has it; empty if it is not known.
	Hub string `json:"hub,omitempty"`
}

// Item is the result for one entry.
type Item struct {
	// Entry is its id: IdRegistrazione of an accepted event.
	Entry uuid.UUID `json:"entry"`
	// Message is IdRicevuta.
	Message uuid.UUID `json:"message"`
	// Event is the vendor's IdEvento, absent if the entry does not say.
	Event *uuid.UUID `json:"event,omitempty"`
	// Delivery is set for an attempt.
	Delivery *uuid.UUID `json:"delivery,omitempty"`
	Status   Status     `json:"status"`
	Findings []Finding  `json:"findings,omitempty"`
	// Lacks are what is missing.
	Lacks []Lack `json:"lacks,omitempty"`
	// Erasure is the entry that orders the erasure of the child, of what is erased.
	Erasure *uuid.UUID `json:"erasure,omitempty"`
	// Before says that the entry is older than the evidence, so that the stored columns were all there
	// was to compare with.
	Before bool `json:"before_evidence,omitempty"`
	// Registry says that it is equal under the registry as it must have been then, which is not what it
	// is now: the registry is not recorded with an event.
	Registry bool `json:"other_registry,omitempty"`
}

// find adds a finding once.
func (i *Item) find(f Finding) {
	if !slices.Contains(i.Findings, f) {
		i.Findings = append(i.Findings, f)
	}
}

// differ adds a finding if a thing is not as it was recorded.
func (i *Item) differ(f Finding, same bool) {
	if !same {
		i.find(f)
	}
}

// settle gives the status its last word: a difference that was seen outweighs all that was not.
func (i *Item) settle() {
	switch {
	case len(i.Findings) > 0:
		i.Status = Different
	case i.Status == Equal && len(i.Lacks) > 0:
		i.Status = Missing
	}
}
