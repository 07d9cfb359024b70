package opener

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
)

// Request names one thing to open in a batch.
type Request struct {
	// Message is IdRicevuta: the message as it came, if nothing else is named.
	Message uuid.UUID `json:"message"`
	// Delivery is IdTrasmissione: what was sent for it.
	Delivery uuid.UUID `json:"delivery"`
	// Attempt is the number of the attempt whose bytes are meant; 0 is the last one that was kept.
	Attempt int32 `json:"attempt,omitempty"`
	// Origin is an envelope of a journal's entry: for which subject and case it stands. It says its
	// message itself, and Message, if given, must be that.
	Origin []byte `json:"origin,omitempty"`
}

// Opened is what became of a Request.
type Opened struct {
	// Plain is what was sealed: for an Origin the ids of subject and case, 16 bytes each.
	Plain []byte
	// Err is one of ErrUnknown, ErrGone, ErrErased, ErrNoKey, ErrDamaged, ErrOutside, ErrMalformed and
	// ErrUnavailable, which alone may pass.
	Err error
}

// lookPatience bounds the look-ups of one round trip, waiting for a connection included.
const lookPatience = 15 * time.Second

// found is a request on its way.
type found struct {
	row  hub.SealedRow
	kind pseudonym.Kind
	// label is the id that the envelope must be sealed under.
	label uuid.UUID

	plain  []byte
	schema string
	err    error
}

// id is what the journal knows a request by.
func (r Request) id() uuid.UUID {
	if r.Delivery != uuid.Nil {
		return r.Delivery
	}
	return r.Message
}

// sent is the key of a delivery's bytes.
func (r Request) sent() hub.SentKey { return hub.SentKey{Delivery: r.Delivery, Attempt: r.Attempt} }

// settle checks a request, and reads from an origin which message it belongs to.
func (r Request) settle() (Request, error) {
	if r.Attempt < 0 || r.Attempt > 0 && r.Delivery == uuid.Nil {
		return r, ErrMalformed
	}
	if len(r.Origin) == 0 {
		if (r.Message == uuid.Nil) == (r.Delivery == uuid.Nil) {
			return r, ErrMalformed
		}
		return r, nil
	}
	head, err := pseudonym.ParseHeader(r.Origin)
	if err != nil || head.Kind != pseudonym.SealedOrigin || head.Message == uuid.Nil || r.Delivery != uuid.Nil ||
		r.Message != uuid.Nil && r.Message != head.Message {
		return r, ErrMalformed
	}
	r.Message = head.Message
	return r, nil
}

// resolve looks up what was asked for, in the order asked. Nothing is opened.
func (o *Opener) resolve(ctx context.Context, asked []Request) []found {
	ctx, cancel := context.WithTimeout(ctx, lookPatience)
	defer cancel()
	all := make([]found, len(asked))
	settled := slices.Clone(asked)
	var messages, origins []uuid.UUID
	var sent []hub.SentKey
	for i := range settled {
		r := &settled[i]
		if *r, all[i].err = r.settle(); all[i].err != nil {
			continue
		}
		switch {
		case len(r.Origin) > 0:
			origins = append(origins, r.Message)
		case r.Delivery != uuid.Nil:
			sent = append(sent, r.sent())
		default:
			messages = append(messages, r.Message)
		}
	}
	ofMessages, err1 := look(ctx, messages, o.cfg.Environment, o.Store.SealedMessages)
	ofOrigins, err2 := look(ctx, origins, o.cfg.Environment, o.Store.SealedOrigins)
	ofSent, err3 := look(ctx, sent, o.cfg.Environment, o.Store.SealedSent)
	for i, r := range settled {
		switch {
		case all[i].err != nil:
		case len(r.Origin) > 0:
			take(&all[i], ofOrigins, r.Message, r.Message, pseudonym.SealedOrigin, err2)
			all[i].row.Bytes = r.Origin
		case r.Delivery != uuid.Nil:
			take(&all[i], ofSent, r.sent(), r.Delivery, pseudonym.SealedOutbound, err3)
		default:
			take(&all[i], ofMessages, r.Message, r.Message, pseudonym.SealedMessage, err1)
		}
		if all[i].err == nil && len(all[i].row.Bytes) == 0 {
			all[i].err = ErrGone
		}
	}
	o.tell(err1, err2, err3)
	return all
}

// look asks the store, if there is anything to ask for.
func look[K comparable](
	ctx context.Context, asked []K, env hub.Environment,
	ask func(context.Context, hub.Environment, []K) (map[K]hub.SealedRow, error),
) (map[K]hub.SealedRow, error) {
	if len(asked) == 0 {
		return nil, nil
	}
	return ask(ctx, env, asked)
}

// take is what the store said of a key, whose envelope must be sealed under label.
func take[K comparable](f *found, rows map[K]hub.SealedRow, key K, label uuid.UUID, kind pseudonym.Kind, err error) {
	row, ok := rows[key]
	switch {
	case err != nil:
		f.err = ErrUnavailable
	case !ok:
		f.err = ErrUnknown
	default:
		f.row, f.kind, f.label = row, kind, label
	}
}

// tell logs what the databases answered instead of rows.
func (o *Opener) tell(errs ...error) {
	for _, err := range errs {
		if err != nil {
			o.Logger.Warn("look-up failed", zap.Error(err))
		}
	}
}

// unseal opens what was found, and forgets the keys.
func (o *Opener) unseal(ctx context.Context, all []found) {
	subjects, epochs := map[uuid.UUID]bool{}, map[uuid.UUID]bool{}
	heads := make([]pseudonym.Header, len(all))
	for i := range all {
		f := &all[i]
		if f.err != nil {
			continue
		}
		head, err := pseudonym.ParseHeader(f.row.Bytes)
		if err != nil || head.Kind != f.kind || head.Message != f.label {
			f.err = ErrDamaged
			continue
		}
		heads[i], subjects[f.row.Subject], epochs[head.Epoch] = head, true, true
	}
	if len(subjects) == 0 {
		return
	}
	secrets, err := o.Vault.Secrets(ctx, slices.Collect(maps.Keys(subjects)))
	keys, err2 := o.epochKeys(ctx, slices.Collect(maps.Keys(epochs)))
	o.tell(err, err2)
	for i := range all {
		if f := &all[i]; f.err == nil {
			f.open(heads[i].Epoch, secrets, keys, err != nil || err2 != nil)
		}
	}
	for _, key := range keys {
		key.Forget()
	}
}

// open opens one envelope, or tells why not.
func (f *found) open(epoch uuid.UUID, secrets map[uuid.UUID]pseudonym.Secret, keys map[uuid.UUID]pseudonym.EpochKey, failed bool) {
	if failed {
		f.err = ErrUnavailable
		return
	}
	secret, ok := secrets[f.row.Subject]
	if !ok {
		f.err = ErrErased
		return
	}
	key, ok := keys[epoch]
	if !ok {
		f.err = ErrNoKey
		return
	}
	label, plain, err := key.Open(f.row.Subject, secret, f.row.Bytes)
	if err != nil {
		f.err = ErrDamaged
		return
	}
	f.plain, f.schema = plain, label.Schema
}

// epochKeys opens epoch keys. One that is not there, or whose key pair we have not, is left out. One that
// does not open is, too: it was changed in the vault.
func (o *Opener) epochKeys(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]pseudonym.EpochKey, error) {
	sealed, err := o.Vault.EpochKeys(ctx, ids)
	if err != nil {
		return nil, err
	}
	keys := make(map[uuid.UUID]pseudonym.EpochKey, len(sealed))
	for id, s := range sealed {
		if key, err := o.Keys.EpochKey(s); err == nil {
			keys[id] = key
		}
	}
	return keys, nil
}
