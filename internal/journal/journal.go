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
	// was asked for, Message is whose, Actor and Reason who and why.
	MessageOpened Kind = 10
	// JournalRestored is an operator's word that the database is one restored from a backup: Reason has
	// the last checkpoint known before (size and root), Count nothing.
	JournalRestored Kind = 11
	// EvidenceExported is a bundle given to an auditor: Codes have its range (from:instant, to:instant),
	// Ente the only ente meant, Commitment is the SHA-256 of its manifest, Actor and Reason say who and why.
	EvidenceExported Kind = 12
	// MessagesReplayed is a replay: Outcome is verify or what-if and how it ended, Count how many messages.
	MessagesReplayed Kind = 13
	// RecordsRetired is a run of retention: Codes have class:number for each class, Reason the policy.
	RecordsRetired Kind = 14
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
	// Actor is who acted on the hub itself: the name of an operator's account on its machine.
	Actor string
	// Reason is why, in the actor's words; whoever writes it must have refused identities in it.
	Reason string
	// Other is IdRicevuta of a second event that the entry is about.
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
