// Package journal defines the entries of the append-only record of what the hub did: their
// meaning and their canonical bytes.
//
// An entry holds ids, codes and digests, never content: neither a leaf of an event nor an
// identifier of a child. Its bytes are versioned, length-prefixed and unique for each entry, so
// that the Merkle tree over them (RFC 6962) proves exactly what stands here.
package journal

import (
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
)

// Kind says what happened. A number is never given another meaning.
type Kind uint8

// The kinds of entry.
const (
	// EventAccepted is written in the transaction that accepts an event; its id is the receipt's
	// IdRegistrazione.
	EventAccepted Kind = 1
	// RequestRefused is a refusal of a request, or a count of them in one minute.
	RequestRefused Kind = 2
	// AttemptSettled is the end of one attempt to deliver, whatever came of it.
	AttemptSettled Kind = 3
	// SubjectsJoined says that two subjects were found to be one child; Message is the event that said
	// so, the nil id if that is not known. The subjects stand in the vault, beside the entry's id. It is
	// for the privacy officer: no ente is ever given it, nor a proof with it.
	SubjectsJoined Kind = 4
	// OthersHistory is what two enti's events together say of a child, and neither alone: Codes has the
	// rule, Message is the later event and Other the earlier one. For the privacy officer, as above.
	OthersHistory Kind = 5
	// Reconciled is the end of one comparison of a day with SISS: Outcome says how it ended, Count how
	// many events differ, Codes have the Italian day, then kind:number for each kind of difference.
	Reconciled Kind = 6
	// MaintenanceChanged is a maintenance that an operator began, changed (Outcome on) or ended (off).
	MaintenanceChanged Kind = 7
	// ConfigurationChanged is a configuration that came into force when serve started (Outcome started)
	// or while it ran (reloaded). Commitment is the SHA-256 of all of it but the secrets, Reason the
	// keys that changed.
	ConfigurationChanged Kind = 8
	// OperatorActed is what an operator did to a delivery: Outcome is the verb, Actor and Reason say who
	// and why. It stands in the transaction that did it.
	OperatorActed Kind = 9
	// MessageOpened is a person's look at what was sealed: written before it is opened. Outcome says what
	// was asked for, Message is whose, Actor and Reason who and why. With a code ticket:id it was under a
	// ticket, and Actor is the registered person who signed the request; without one it is older than
	// tickets, and Actor is an account.
	MessageOpened Kind = 10
	// JournalRestored is an operator's word that the database is one restored from a backup: Reason has
	// the last checkpoint known before (size and root), Count nothing.
	JournalRestored Kind = 11
	// EvidenceExported is a bundle given to an auditor: Codes have its range (from:instant, to:instant),
	// Ente the only ente meant, Commitment is the SHA-256 of its manifest, Actor and Reason say who and why.
	EvidenceExported Kind = 12
	// MessagesReplayed is a replay: Outcome is verify or what-if and how it ended, Count how many messages.
	MessagesReplayed Kind = 13
	// RecordsRetired is a step of retention: Codes have class:number, then month:2026_01 for a class that
	// goes by months, or leaf:7 and leaf:7-9 for entries that went one by one; Reason is the policy.
	RecordsRetired Kind = 14
	// PersonChanged is a person who may sign tickets: Outcome is added, trusted (by the opener) or retired;
	// Codes have person:name, role:word for each role and key:fingerprint. Actor and Other are of who did it.
	PersonChanged Kind = 15
	// SubjectReidentified is the way back from one pseudonym, written before it is told. It names neither
	// the subject nor the pseudonym: Commitment is the SHA-256 of the ticket, which does. Actor is the
	// person who requested it, Codes have the rest as MessageOpened has under a ticket.
	SubjectReidentified Kind = 16
	// TicketRefused is a try with a ticket that was not good for it: Outcome says why, Codes have the user
	// and, if it could be read, the ticket's id and purpose. What it says of people is not proven.
	TicketRefused Kind = 17
	// TicketRevoked is a ticket taken back: Commitment is its SHA-256, Codes have its id.
	TicketRevoked Kind = 18
	// KeyRotated is a step of an epoch of a key, written with it: Outcome is the state it comes into, Codes
	// have key:name and epoch:number, Actor and Reason say who and why.
	KeyRotated Kind = 20
	// CodesTold is an attempt to tell SISS which codes continue which: Delivery is IdComunicazione, Count how
	// many pairs it has, Outcome told, refused or pending. The subjects stand in the database only.
	CodesTold Kind = 21
	// SubjectErased orders that a child be forgotten: Count says how many of its cases lost what leads to
	// them, Codes have subjects:number and backups_clean:day, the day from which no backup of the vault holds
	// the child any more, and ticket:id and approved:name; Commitment is the ticket's digest. Who it was stands
	// nowhere; Other is the order before, if something had come in between. Actor and Reason are the ticket's.
	SubjectErased Kind = 25
	// SubjectLooked is a person's look at what the hub holds of a child, or leave to erase it, written before
	// anything is shown or destroyed: Outcome is find (from an identity to its code), report, erase or unjoin. The
	// last three are the opener's, which took a ticket for it: Actor and Reason are the ticket's, Commitment is its
	// digest, and Codes have uid:number, ticket:id and approved:name.
	SubjectLooked Kind = 26
	// SubjectsSeparated says that a subject was taken apart from those that it was joined to: Count is how many
	// these were; Actor, Reason, Commitment and Codes are as of SubjectErased. The subjects stand in the vault.
	SubjectsSeparated Kind = 27
	// ActionSigned is the order to do something that opens nothing, written before any of it is done: Outcome
	// is the verb, Actor the registered person who signed, Reason why, Commitment the SHA-256 of what was
	// signed, Codes have action:id. What was done are entries of other kinds, whose Other is this one's ID.
	ActionSigned Kind = 28
	// CodesRetried is a communication of codes that SISS refused and an operator has it told again: Delivery is
	// IdComunicazione, Outcome retry, Actor and Reason say who and why. It stands in the transaction that did it.
	CodesRetried Kind = 29
)

// Entry is one record. A zero field means that it does not apply to the kind.
type Entry struct {
	// ID is a UUIDv7, made by the writer.
	ID uuid.UUID
	// At is when it happened by the writer's clock; its bytes hold whole microseconds.
	At time.Time
	// Kind says what happened.
	Kind Kind
	// Environment is where.
	Environment hub.Environment
	// Participant is the registry's row of who asked, 0 if not known.
	Participant int32
	// Ente is the registry's row of the ente spoken for, 0 if not known.
	Ente int32
	// Message is IdRicevuta, the id of the stored message and event.
	Message uuid.UUID
	// Event is IdEvento, the vendor's key.
	Event uuid.UUID
	// Delivery is IdTrasmissione.
	Delivery uuid.UUID
	// Attempt is the number of the attempt, from 1.
	Attempt int32
	// Outcome is a word of a closed list: an hub.Outcome, a hub.DeliveryState, an operation.
	Outcome string
	// Codes are the stable codes of what was found, in order, without repetition.
	Codes []hub.Code
	// Count is how many alike this entry stands for; 0 means one.
	Count int32
	// Sealed is the SHA-256 of the sealed message's bytes.
	Sealed [32]byte
	// Commitment is the receipt's ImprontaMessaggio, SHA-256(salt ‖ content form).
	Commitment [32]byte
	// Severities is the digest of the severity configuration that an accepted event was judged
	// under, all zeroes for the released table of its rules' version.
	Severities [32]byte
	// Actor is who acted on the hub itself: a registered person who signed for it, or account:name, an account
	// on the hub's machine, which nothing proves. Older entries have the account without the word.
	Actor string
	// Reason is why, in the actor's words; whoever writes it must have refused identities in it.
	Reason string
	// Other is IdRicevuta of a second event that the entry is about; of what a person did by a verb, the ID of
	// the entry of what they signed for it (ActionSigned).
	Other uuid.UUID
	// Evidence is what a replay needs and its result is compared with.
	Evidence
}

// Evidence is what was at work when an event was judged, made or sent, and what came of it. Zero fields
// do not apply.
type Evidence struct {
	// StartedAt is when an attempt began, by the writer's clock; its bytes hold whole microseconds, and
	// the zero time stands as 0.
	StartedAt time.Time
	// Outbound is the SHA-256 of the national event as sent; Entry.Sealed is then that of the same bytes
	// sealed, if they were kept.
	Outbound [32]byte
	// Regional is SHA-256(the receipt's salt ‖ the regional event): the salt goes with the subject, and
	// then nobody can try contents against it.
	Regional [32]byte
	// State is SHA-256(the receipt's salt ‖ the case's state before the event), as casefile.State.Bytes.
	State [32]byte
	// Schema is the schema's version that the message was held against.
	Schema string
	// Rules is the version of the rules.
	Rules int32
	// Mapping is the version of foglie.tsv.
	Mapping int32
	// Reference is the version of the reference data, empty for none.
	Reference string
	// Hub is the version of the binary.
	Hub string
	// RegionEpoch and NationEpoch are the epochs of the keys of the codes.
	RegionEpoch, NationEpoch int32
	// Origin is a sealed envelope (pseudonym.SealedOrigin) with the subject's and the case's random id,
	// 16 bytes each. It opens for the opener only, and no more once the subject's secret is destroyed.
	Origin []byte
}
