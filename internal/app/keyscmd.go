package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/delivery"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
	"github.com/sinbahub/sinbahub/internal/ticket"
)

// The faults of the commands of keys.
var (
	errKeyName  = errors.New("the keys that are rotated: link, code-region, code-nation, seal, journal")
	errNotYet   = errors.New("the rotation goes on with the same command")
	errLocked   = errors.New("somebody has rows of the vault locked; the rotation goes on with the same command and another ticket")
	errTelling  = errors.New("national endpoint refused the communication of codes: see the log; the same command tells them again")
	errInUse    = errors.New("this epoch is in use, or on its way to be: rotate the key first")
	errNeeded   = errors.New("rows depend on this epoch: see keys status")
	errNoEpoch  = errors.New("no such epoch of this key")
	errNoTicket = errors.New("the key is made and not used yet: name with --ticket one for what is left to do, rotate link EPOCH or reseal seal EPOCH, as keys status tells it; the opener must have been started since, with the new file")
	errNoTeller = errors.New("siss.url is not configured, so that SISS cannot be told which code becomes which: nothing was done; name the configuration of serve with --config, beside the demo --config var/demo.yaml")
)

// rotated are the names of keys that are rotated.
func rotated() []string {
	return []string{
		pseudonym.NameLink, pseudonym.NameOfCodes(pseudonym.Region), pseudonym.NameOfCodes(pseudonym.Nation), pseudonym.NameSeal, nameJournal,
	}
}

// KeyOptions say which key a command is about, who acts, and why.
type KeyOptions struct {
	// Name is the key's.
	Name string
	// Epoch is the one meant by destroy.
	Epoch int32
	// Who acts.
	Who Who
	// Ticket is the file of the ticket under which the opener works; link and seal need one.
	Ticket string
	// Wait is how long to wait for running instances, or for SISS, before the command ends. It can be given
	// again: it goes on.
	Wait time.Duration
	// JSON asks for JSON lines.
	JSON bool
}

// rotation is one run of keys rotate.
type rotation struct {
	cfg  config.Config
	o    KeyOptions
	op   *operator
	who  acting
	rows []postgres.KeyEpoch
	out  io.Writer
}

// openRotation connects, and has signed what is to be done.
func openRotation(ctx context.Context, cfg config.Config, o KeyOptions, verb ticket.Verb, on string, out io.Writer) (*rotation, error) {
	if !slices.Contains(rotated(), o.Name) {
		return nil, errKeyName
	}
	signer, err := newSigner(cfg, o.Who)
	if err != nil {
		return nil, err
	}
	op, err := openOperator(ctx, cfg, writing)
	if err != nil {
		return nil, err
	}
	who, err := signer.sign(ctx, op.store, verb, on)
	if err != nil {
		op.close()
		return nil, err
	}
	return &rotation{cfg: cfg, o: o, op: op, who: who, out: out}, nil
}

// RotateKey rotates a key while traffic flows: a new epoch is made, every running instance takes it in, and
// then it comes into use. What a run does not finish the next one goes on with.
func RotateKey(ctx context.Context, cfg config.Config, o KeyOptions, out io.Writer) error {
	if o.Name == pseudonym.NameOfCodes(pseudonym.Nation) && cfg.SISS.URL == "" {
		return errNoTeller // before there is a key that nobody can bring into use
	}
	r, err := openRotation(ctx, cfg, o, ticket.KeysRotate, "key "+o.Name, out)
	if err != nil {
		return err
	}
	defer r.op.close()
	epoch, state, err := r.coming(ctx)
	if err != nil {
		return err
	}
	if err := r.await(ctx, epoch, "hold the new key", func(h postgres.Holders) bool { return h.Holding == h.Running }); err != nil {
		return err
	}
	switch o.Name {
	case pseudonym.NameLink:
		return r.reindex(ctx, epoch)
	case pseudonym.NameOfCodes(pseudonym.Nation):
		err = r.tell(ctx, epoch, state)
	default:
		err = r.step(ctx, epoch, state, postgres.KeyActive)
	}
	if err != nil {
		return err
	}
	if err := r.await(ctx, epoch, "use the new key", func(h postgres.Holders) bool { return h.Using == h.Running }); err != nil {
		return err
	}
	switch o.Name {
	case pseudonym.NameOfCodes(pseudonym.Nation):
		err = r.awaitTold(ctx, epoch)
	case pseudonym.NameSeal:
		err = r.work(ctx, "reseal")
	}
	if err == nil {
		_, err = fmt.Fprintf(out, "%s: epoch %d is in use\n", o.Name, epoch)
	}
	return err
}

// alone keeps other commands from making keys in this machine's folder until end: two would make two of one
// epoch, or one too many.
func (r *rotation) alone(ctx context.Context) (end func(), err error) {
	folder, err := os.Open(r.cfg.Keys.Dir)
	if err != nil {
		return nil, fmt.Errorf("open the folder of keys: %w", err)
	}
	err = r.until(ctx, "other commands that make keys here have ended", func() (bool, string, error) {
		err := syscall.Flock(int(folder.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return false, "one is at work", nil
		}
		return err == nil, "", err
	})
	if err != nil {
		_ = folder.Close()
		return nil, err
	}
	return func() { _ = folder.Close() }, nil // and with it the lock ends
}

// coming is the epoch that comes into use: one of an earlier run, or a new one.
func (r *rotation) coming(ctx context.Context) (int32, postgres.KeyState, error) {
	end, err := r.alone(ctx)
	if err != nil {
		return 0, "", err
	}
	defer end()
	if r.rows, err = r.op.store.KeyEpochs(ctx, r.op.env); err != nil {
		return 0, "", err
	}
	highest := int32(1)
	for _, k := range r.rows {
		if k.Name != r.o.Name {
			continue
		}
		going := k.State == postgres.KeyMade || k.State == postgres.KeyTelling
		if k.State == postgres.KeyActive {
			if going, err = r.unfinished(ctx, k); err != nil {
				return 0, "", err
			}
		}
		if going {
			return k.Epoch, k.State, nil
		}
		highest = max(highest, k.Epoch)
	}
	held, err := r.heldHere()
	if err != nil {
		return 0, "", err
	}
	epoch := held[len(held)-1]
	// A file beyond what the database knows is of a run that ended between the two.
	if epoch <= highest {
		if epoch, err = r.makeKey(ctx); err != nil {
			return 0, "", err
		}
	}
	if r.o.Name == nameJournal {
		if err := r.finishJournalKey(ctx, epoch); err != nil {
			return 0, "", err
		}
	}
	if err := r.step(ctx, epoch, "", postgres.KeyMade); err != nil {
		return 0, "", err
	}
	_, _ = fmt.Fprintf(r.out, "%s: epoch %d is made\n", r.o.Name, epoch)
	return epoch, postgres.KeyMade, nil
}

// unfinished tells whether an active epoch still has work to do that its rotation ended before.
func (r *rotation) unfinished(ctx context.Context, k postgres.KeyEpoch) (bool, error) {
	switch k.Name {
	case pseudonym.NameOfCodes(pseudonym.Nation):
		return k.Epoch > 1 && k.ToldAt.IsZero(), nil
	case pseudonym.NameSeal:
		n, err := r.sealedBefore(ctx, k.Epoch)
		return n > 0, err
	}
	return false, nil
}

// heldHere lists the epochs of the key in this machine's folder, ascending.
func (r *rotation) heldHere() ([]int32, error) {
	if r.o.Name == nameJournal {
		return journalKeysHere(r.cfg)
	}
	keys, err := pseudonym.LoadKeys(r.cfg.Keys.Dir, r.op.env)
	if err != nil {
		return nil, fmt.Errorf("load keys: %w", err)
	}
	return keys.Held()[r.o.Name], nil
}

// makeKey makes the next epoch in this machine's folder.
func (r *rotation) makeKey(ctx context.Context) (int32, error) {
	if r.o.Name == nameJournal {
		return r.makeJournalKey(ctx)
	}
	epoch, err := pseudonym.AddNamed(r.cfg.Keys.Dir, r.op.env, r.o.Name, time.Now())
	if err != nil {
		return 0, fmt.Errorf("make key: %w", err)
	}
	return epoch, nil
}

// step takes an epoch a step further, with its entry.
func (r *rotation) step(ctx context.Context, epoch int32, from, to postgres.KeyState) error {
	if from == to {
		return nil
	}
	return r.op.store.StepKey(ctx, postgres.KeyStep{
		Environment: r.op.env, Name: r.o.Name, Epoch: epoch, From: from, To: to, FirstMade: r.madeAt(postgres.FirstEpoch),
		Entry: r.who.mark(journal.Entry{
			ID: uuid.Must(uuid.NewV7()), At: time.Now().UTC().Truncate(time.Microsecond), Kind: journal.KeyRotated, Environment: r.op.env,
			Outcome: string(to), Reason: r.o.Who.Reason,
			Codes: []hub.Code{hub.Code("key:" + r.o.Name), hub.Code("epoch:" + strconv.Itoa(int(epoch)))},
		}),
	})
}

// madeAt is when an epoch of the key was made, as its file here says; zero if none does.
func (r *rotation) madeAt(epoch int32) time.Time {
	if r.o.Name != nameJournal {
		return pseudonym.MadeAt(r.cfg.Keys.Dir, r.op.env, r.o.Name, epoch)
	}
	info, err := os.Stat(filepath.Join(r.cfg.JournalKeys(), pseudonym.EpochName(nameJournal, epoch)+".pub"))
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// poll is how often a waiting command looks.
const poll = 200 * time.Millisecond

// until looks until what it waits for is so, or the time is over.
func (r *rotation) until(ctx context.Context, what string, look func() (done bool, so string, err error)) error {
	ctx, cancel := context.WithTimeout(ctx, r.o.Wait)
	defer cancel()
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	for {
		done, so, err := look()
		if err != nil || done {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not all %s yet (%s): %w", what, so, errNotYet)
		case <-ticker.C:
		}
	}
}

// await waits for all running instances.
func (r *rotation) await(ctx context.Context, epoch int32, what string, enough func(postgres.Holders) bool) error {
	return r.until(ctx, "instances "+what, func() (bool, string, error) {
		h, err := r.op.store.KeyHolders(ctx, r.op.env, r.o.Name, epoch, delivery.HolderTime)
		so := fmt.Sprintf("%d running, %d hold it, %d use it; copy %s to every machine's folder of keys, for its owner only",
			h.Running, h.Holding, h.Using, pseudonym.EpochName(r.o.Name, epoch))
		return err == nil && enough(h), so, err
	})
}

// tell has SISS told which code becomes which, and then brings the new ones into use: codes that SISS does
// not take never hold up an event.
func (r *rotation) tell(ctx context.Context, epoch int32, state postgres.KeyState) error {
	if state == postgres.KeyMade {
		if err := r.step(ctx, epoch, postgres.KeyMade, postgres.KeyTelling); err != nil {
			return err
		}
		state = postgres.KeyTelling
	}
	if state != postgres.KeyTelling {
		return nil
	}
	if err := r.op.store.TellAgain(ctx, r.op.env, epoch); err != nil {
		return err
	}
	err := r.until(ctx, "codes told", func() (bool, string, error) {
		p, err := r.op.store.TellingProgress(ctx, r.op.env, epoch)
		if err == nil && p.Refused > 0 {
			return false, "", errTelling
		}
		left, err2 := r.op.store.CodesUnplanned(ctx, r.op.env, epoch)
		return err == nil && err2 == nil && p.Waiting == 0 && !left, fmt.Sprintf("%d told, %d waiting", p.Told, p.Waiting), errors.Join(err, err2)
	})
	if err != nil {
		return err
	}
	return r.step(ctx, epoch, postgres.KeyTelling, postgres.KeyActive)
}

// awaitTold waits until SISS knows the codes of those, too, who came in the meantime.
func (r *rotation) awaitTold(ctx context.Context, epoch int32) error {
	return r.until(ctx, "codes told", func() (bool, string, error) {
		rows, err := r.op.store.KeyEpochs(ctx, r.op.env)
		if err != nil {
			return false, "", err
		}
		told := slices.ContainsFunc(rows, func(k postgres.KeyEpoch) bool {
			return k.Name == r.o.Name && k.Epoch == epoch && !k.ToldAt.IsZero()
		})
		return told, "some children's came in between", nil
	})
}

// KeyLine is one epoch of a key as keys status tells it.
type KeyLine struct {
	Name  string `json:"key"`
	Epoch int32  `json:"epoch"`
	State string `json:"state"`
	// MadeAt and ActiveAt are zero for a key that never was rotated.
	MadeAt   time.Time `json:"made_at,omitzero"`
	ActiveAt time.Time `json:"active_at,omitzero"`
	// Running instances, and how many of them hold and use it.
	Running int `json:"instances"`
	Holding int `json:"holding"`
	Using   int `json:"using"`
	// Depends is what needs it, in words, with counts, of which each ends a little above
	// pseudonym.MostCounted; Rows their sum.
	Depends string `json:"depends"`
	Rows    int64  `json:"rows"`
	// Destroy says whether it may be destroyed, and else why not.
	Destroy string `json:"destroy"`
}

// KeyStatus tells of every epoch of every key that is rotated.
func KeyStatus(ctx context.Context, cfg config.Config, o KeyOptions, out io.Writer) error {
	if o.Name != "" && !slices.Contains(rotated(), o.Name) {
		return errKeyName
	}
	op, err := openOperator(ctx, cfg, reading)
	if err != nil {
		return err
	}
	defer op.close()
	rows, err := op.store.KeyEpochs(ctx, op.env)
	if err != nil {
		return err
	}
	v, err := openVaultCounts(ctx, cfg)
	if err != nil {
		return err
	}
	defer v.close()
	var lines []KeyLine
	for _, name := range rotated() {
		if o.Name != "" && o.Name != name {
			continue
		}
		known := slices.DeleteFunc(slices.Clone(rows), func(k postgres.KeyEpoch) bool { return k.Name != name })
		if len(known) == 0 {
			known = []postgres.KeyEpoch{{Name: name, Epoch: 1, State: postgres.KeyActive}}
		}
		for _, k := range known {
			line, err := op.keyLine(ctx, v, k)
			if err != nil {
				return err
			}
			lines = append(lines, line)
		}
	}
	return printKeys(out, lines, o.JSON)
}

// keyLine gathers what is known of an epoch.
func (op *operator) keyLine(ctx context.Context, v *vaultCounts, k postgres.KeyEpoch) (KeyLine, error) {
	line := KeyLine{Name: k.Name, Epoch: k.Epoch, State: string(k.State), MadeAt: k.MadeAt, ActiveAt: k.ActiveAt}
	h, err := op.store.KeyHolders(ctx, op.env, k.Name, k.Epoch, delivery.HolderTime)
	if err != nil {
		return line, err
	}
	line.Running, line.Holding, line.Using = h.Running, h.Holding, h.Using
	if k.Name == pseudonym.NameLink && k.State == postgres.KeyActive {
		line.Using = h.Holding // the vault's own row decides for all that hold it
	}
	if line.Depends, line.Rows, err = op.depends(ctx, v, k); err != nil {
		return line, err
	}
	switch {
	case k.State == postgres.KeyDestroyed:
		line.Destroy = "destroyed"
	case k.State != postgres.KeyFormer:
		line.Destroy = "no: it is in use, or will be"
	case line.Rows > 0 && k.Name != nameJournal:
		line.Destroy = "no: rows depend on it"
	default:
		line.Destroy = "yes"
	}
	return line, nil
}

// depends counts what needs an epoch.
func (op *operator) depends(ctx context.Context, v *vaultCounts, k postgres.KeyEpoch) (words string, rows int64, err error) {
	switch k.Name {
	case pseudonym.NameLink:
		n, err := v.link(ctx, op.env, k.Epoch)
		return someOf(n) + " identities not indexed under another key in use", n, err
	case pseudonym.NameSeal:
		n, err := v.seal(ctx, op.env, k.Epoch)
		return someOf(n) + " epoch keys sealed to it", n, err
	case nameJournal:
		return "checkpoints already signed; its public half stays published", 0, nil
	}
	d, err := op.store.CodesDependents(ctx, op.env, k.Name, k.Epoch, pseudonym.MostCounted+1)
	if k.Name == pseudonym.NameOfCodes(pseudonym.Region) {
		return fmt.Sprintf("%s events, %s cases", someOf(d.Events), someOf(d.Cases)), d.Events + d.Cases, err
	}
	words = fmt.Sprintf("%s deliveries, %s cases, %s pairs of codes told to SISS", someOf(d.Events), someOf(d.Cases), someOf(d.Codes))
	return words, d.Events + d.Cases + d.Codes, err
}

// someOf is a number that was counted up to one more than pseudonym.MostCounted.
func someOf(n int64) string {
	if n > pseudonym.MostCounted {
		return fmt.Sprintf("more than %d", pseudonym.MostCounted)
	}
	return strconv.FormatInt(n, 10)
}

// printKeys prints what is known of keys.
func printKeys(out io.Writer, lines []KeyLine, asJSON bool) error {
	if asJSON {
		encoder := json.NewEncoder(out)
		for i := range lines {
			if err := encoder.Encode(lines[i]); err != nil {
				return err
			}
		}
		return nil
	}
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "KEY\tEPOCH\tSTATE\tMADE\tIN USE SINCE\tHELD BY\tUSED BY\tNEEDED BY\tMAY BE DESTROYED")
	for _, l := range lines {
		_, _ = fmt.Fprintf(table, "%s\t%d\t%s\t%s\t%s\t%d of %d\t%d of %d\t%s\t%s\n", l.Name, l.Epoch, l.State, when(l.MadeAt), when(l.ActiveAt),
			l.Holding, l.Running, l.Using, l.Running, l.Depends, l.Destroy)
	}
	return table.Flush()
}

// when is a time as people read it.
func when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}
