package delivery

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
	"github.com/sinbahub/sinbahub/internal/sinba"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// comunicaCodici is the operation that tells SISS which code becomes which.
const comunicaCodici = "comunicaCodici"

// TellConfig is what an operator decides about telling SISS of changed codes.
type TellConfig struct {
	// Environment whose codes are told.
	Environment hub.Environment
	// URL of SissRicezione, and CAFile with the certificates to trust for it, PEM [the system's].
	URL, CAFile string
	// Rate is the most requests of all kinds in a second that were agreed, 0 for none.
	Rate func() int
	// Deadline bounds one request [15 s], Lease how long a process that stood still keeps others from
	// going on [1 min], Poll how often to look [1 s], Retry the wait after a request that failed [5 s].
	Deadline, Lease, Poll, Retry time.Duration
}

// HolderTime is how long an instance counts as running that said nothing of its keys.
const HolderTime = 10 * time.Second

// Teller tells SISS which code continues which when the key of its codes is rotated (comunicaCodici,
// ROTAZIONE), and which two are of one child (UNIONE). A communication is a row with its IdComunicazione and subjects before it is sent, and every
// attempt has the same bytes: it is lost by no crash, and what SISS gets twice it knows by its id.
type Teller struct {
	cfg    TellConfig
	store  *postgres.Store
	keys   *pseudonym.Keys
	client *client
	slots  *slots
	log    *zap.Logger
	now    func() time.Time
}

// NewTeller reads the CA file.
func NewTeller(cfg TellConfig, parts Parts) (*Teller, error) {
	set(&cfg.Deadline, 15*time.Second)
	set(&cfg.Lease, time.Minute)
	set(&cfg.Poll, time.Second)
	set(&cfg.Retry, 5*time.Second)
	transport, err := newTransport(cfg.CAFile, 1)
	if err != nil {
		return nil, err
	}
	return &Teller{
		cfg: cfg, store: parts.Store, keys: parts.Keys, now: parts.Now, log: parts.Logger.Named("tell"),
		client: &client{url: cfg.URL, http: &http.Client{Transport: transport, CheckRedirect: noRedirect}, validator: parts.Validator},
		slots:  &slots{store: parts.Store, environment: cfg.Environment, rate: cfg.Rate, now: parts.Now},
	}, nil
}

// Run tells what there is to tell until ctx ends. It returns nil.
func (t *Teller) Run(ctx context.Context) error {
	defer t.client.http.CloseIdleConnections()
	for ctx.Err() == nil {
		if err := t.Round(ctx); err != nil && ctx.Err() == nil {
			t.log.Warn("codes not told yet", zap.Error(err))
		}
		pause(ctx, t.cfg.Poll)
	}
	return nil
}

// Round plans what is not planned and tells what is due, once.
func (t *Teller) Round(ctx context.Context) error {
	epoch, err := t.store.Telling(ctx, t.cfg.Environment)
	if err != nil {
		return err
	}
	if epoch == 0 {
		return t.tellDue(ctx)
	}
	// Asked before the plan: what was accepted under an earlier epoch until then is in it.
	h, err := t.store.KeyHolders(ctx, t.cfg.Environment, pseudonym.NameOfCodes(pseudonym.Nation), epoch, HolderTime)
	if err != nil {
		return err
	}
	for after := uuid.Nil; ; {
		n, last, err := t.store.PlanCodes(ctx, t.cfg.Environment, epoch, after)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		after = last
	}
	if err := t.tellDue(ctx); err != nil {
		return err
	}
	if h.Using < h.Running {
		return nil
	}
	done, err := t.store.AllTold(ctx, t.cfg.Environment, epoch)
	if done {
		t.log.Info("national endpoint knows all codes of the new epoch", zap.Int32("epoch", epoch))
	}
	return err
}

// tellDue tells what is due.
func (t *Teller) tellDue(ctx context.Context) error {
	for {
		m, err := t.store.ClaimCodes(ctx, t.cfg.Environment, t.cfg.Lease)
		if err != nil || m == nil {
			return err
		}
		if err := t.tell(ctx, m); err != nil {
			return err
		}
	}
}

// tell makes one attempt.
func (t *Teller) tell(ctx context.Context, m *postgres.CodeMessage) error {
	began := t.now()
	request, err := t.request(m)
	told := postgres.ToldCodes{Message: m, State: "pending", RetryIn: t.cfg.Retry}
	if err != nil {
		// Not loaded here: another instance, or this one a moment later, has the key.
		told.Codes = reasonKey
	} else {
		v := ClassifyCodes(m.ID, t.ask(ctx, request, began))
		told.Codes = strings.Join(v.Codes, " ")
		switch v.Result {
		case Delivered:
			told.State, told.RetryIn = "told", 0
		case Refused:
			told.State, told.RetryIn = "refused", 0
			t.log.Error("national endpoint refuses codes; they are told again by an operator only (sinbahub codes retry)", zap.Stringer("message_id", m.ID), zap.Strings("codes", v.Codes))
		case Retry, Uncertain, Parked:
		}
	}
	told.Entry = journal.Entry{
		ID: uuid.Must(uuid.NewV7()), At: t.now().UTC().Truncate(time.Microsecond), Kind: journal.CodesTold, Environment: t.cfg.Environment,
		Delivery: m.ID, Attempt: m.Attempts, Outcome: told.State, Count: int32(len(m.Changes)), //nolint:gosec // at most MostChanges
	}
	for code := range strings.FieldsSeq(told.Codes) {
		told.Entry.Codes = append(told.Entry.Codes, hub.Code(code))
	}
	// What SISS answered is written even if the order to stop came meanwhile.
	settling, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.cfg.Deadline)
	defer cancel()
	if err := t.store.SettleCodes(settling, told); err != nil {
		return err
	}
	if told.State == "pending" {
		return ErrSilent
	}
	return nil
}

// ask sends one request at the agreed rate, and none whose lease may be over.
func (t *Teller) ask(ctx context.Context, request []byte, began time.Time) Answer {
	once, cancel := context.WithTimeout(ctx, t.cfg.Deadline)
	defer cancel()
	if t.slots.take(once, t.now().Add(t.cfg.Deadline)) != nil {
		return Answer{}
	}
	return t.client.call(once, comunicaCodici, request, func() bool { return t.now().Sub(began) < t.cfg.Lease })
}

// request is ComunicazioneCodiciType.
func (t *Teller) request(m *postgres.CodeMessage) ([]byte, error) {
	const pairSize = 120
	b := make([]byte, 0, 256+pairSize*len(m.Changes))
	b = append(b, `<ComunicaCodiciRichiesta xmlns="`+sinba.NamespaceNational+`">`...)
	b = soap.AppendElement(b, "IdComunicazione", m.ID.String())
	b = soap.AppendElement(b, "Motivo", m.Motive)
	for _, c := range m.Changes {
		before, err := t.keys.Code(pseudonym.Nation, c.From, c.Subject)
		if err != nil {
			return nil, err
		}
		after, err := t.keys.Code(pseudonym.Nation, c.To, c.Next)
		if err != nil {
			return nil, err
		}
		b = append(b, `<Coppia>`...)
		b = soap.AppendElement(b, "Precedente", before)
		b = soap.AppendElement(b, "Nuovo", after)
		b = append(b, `</Coppia>`...)
	}
	return append(b, `</ComunicaCodiciRichiesta>`...), nil
}

// ClassifyCodes judges the answer to comunicaCodici. What is not clear is asked again with the same id.
func ClassifyCodes(id uuid.UUID, a Answer) Verdict {
	if v, done := common(id, a, "ComunicaCodiciRisposta"); done {
		return v
	}
	switch {
	case (a.Esito == "ACCETTATO" || a.Esito == "GIA_RICEVUTO") && len(a.Codes) == 0:
		return Verdict{Result: Delivered, Answered: true}
	case a.Esito == "RIFIUTATO" && len(a.Codes) > 0:
		return Verdict{Result: Refused, Codes: a.Codes, Answered: true}
	}
	return Verdict{Result: Uncertain, Codes: []string{reasonContradicts}}
}

// maySend asks before an event with a code of an epoch leaves.
func (d *Dispatcher) maySend(ctx context.Context, subject uuid.UUID, epoch int32) (bool, error) {
	if d.mayGo == nil {
		return true, nil
	}
	return d.mayGo(ctx, subject, epoch)
}
