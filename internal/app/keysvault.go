package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/opener"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
	"github.com/sinbahub/sinbahub/internal/ticket"
)

// vaultCounts is a command's connection to the vault as the vault's role: it counts rows and deletes those
// of a key of the link index that nothing depends on.
type vaultCounts struct {
	pool  *pgxpool.Pool
	close func()
}

// openVaultCounts connects to the vault of a configuration.
func openVaultCounts(ctx context.Context, cfg config.Config) (*vaultCounts, error) {
	url := cfg.Database.VaultURL.Reveal()
	end := func() {}
	if cfg.Embedded() {
		cluster, err := borrowCluster(ctx, cfg.Var, reading)
		if err != nil {
			return nil, err
		}
		url = cluster.VaultDSN()
		if !cluster.Attached() {
			end = func() { _ = cluster.Stop(context.WithoutCancel(ctx)) }
		}
	}
	parsed, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, errors.New("database.vault_url is no PostgreSQL URL")
	}
	parsed.MaxConns = 1
	pool, err := pgxpool.NewWithConfig(ctx, parsed)
	if err == nil {
		err = postgres.CheckServer(ctx, pool)
	}
	for _, set := range migrations() {
		if err == nil {
			err = postgres.CheckVersion(ctx, pool, set)
		}
	}
	if err != nil {
		if pool != nil {
			pool.Close()
		}
		end()
		return nil, fmt.Errorf("check vault: %w", err)
	}
	return &vaultCounts{pool: pool, close: func() { pool.Close(); end() }}, nil
}

// link counts the identities that need an epoch of the link index.
func (v *vaultCounts) link(ctx context.Context, env hub.Environment, epoch int32) (int64, error) {
	return pseudonym.LinkDependents(ctx, v.pool, env, epoch)
}

// seal counts the epoch keys that are sealed to an epoch of the opener's pair.
func (v *vaultCounts) seal(ctx context.Context, env hub.Environment, epoch int32) (int64, error) {
	return pseudonym.SealDependents(ctx, v.pool, env, epoch)
}

// sealedBefore counts epoch keys that are sealed to earlier pairs.
func (r *rotation) sealedBefore(ctx context.Context, epoch int32) (n int64, err error) {
	v, err := openVaultCounts(ctx, r.cfg)
	if err != nil {
		return 0, err
	}
	defer v.close()
	for before := int32(1); before < epoch; before++ {
		one, err := v.seal(ctx, r.op.env, before)
		if err != nil {
			return 0, err
		}
		n += one
	}
	return n, nil
}

// session begins the opener's work on a key by the ticket that allows it, which is taken and journalled
// before anything is done.
func (r *rotation) session(ctx context.Context) (*opener.Client, *opener.Session, error) {
	if r.o.Ticket == "" {
		return nil, nil, errNoTicket
	}
	signed, err := readTicket(r.o.Ticket)
	if err != nil {
		return nil, nil, err
	}
	socket, err := OpenerSocket(r.cfg)
	if err != nil {
		return nil, nil, err
	}
	client := opener.NewClient(socket)
	session, err := client.Begin(ctx, string(signed.Bytes()))
	if err != nil {
		client.Close()
		return nil, nil, fmt.Errorf("begin the opener's work: %w", err)
	}
	return client, session, nil
}

// reindex has the opener index every known identity under a new key, and then makes that the one that
// decides. While it works both keys answer.
func (r *rotation) reindex(ctx context.Context, epoch int32) error {
	if err := r.work(ctx, "reindex"); err != nil {
		return err
	}
	if err := r.step(ctx, epoch, postgres.KeyMade, postgres.KeyActive); err != nil {
		return err
	}
	_, err := fmt.Fprintf(r.out, "%s: epoch %d is in use\n", r.o.Name, epoch)
	return err
}

// work runs a session of the opener to its end.
func (r *rotation) work(ctx context.Context, purpose string) (err error) {
	client, session, err := r.session(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	defer func() { err = errors.Join(err, session.End(context.WithoutCancel(ctx))) }()
	total, said := 0, 0
	var waiting time.Time
	for {
		done, more, err := session.Work(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", purpose, err)
		}
		if done > 0 {
			waiting = time.Time{}
		} else if more {
			if waiting, err = r.pause(ctx, waiting); err != nil {
				return fmt.Errorf("%s, %d done: %w", purpose, total, err)
			}
		}
		const every = 10_000
		if total += done; total-said >= every {
			said = total
			_, _ = fmt.Fprintf(r.out, "%s: %d done\n", purpose, total)
		}
		if !more {
			_, err := fmt.Fprintf(r.out, "%s: %d in all\n", purpose, total)
			return err
		}
	}
}

// pause waits a moment for rows that somebody has locked, but since some time not longer than the command may
// wait. It gives since when.
func (r *rotation) pause(ctx context.Context, since time.Time) (time.Time, error) {
	if since.IsZero() {
		since = time.Now()
	}
	if time.Since(since) > r.o.Wait {
		return since, errLocked
	}
	timer := time.NewTimer(poll)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return since, ctx.Err()
	case <-timer.C:
		return since, nil
	}
}

// DestroyKey destroys an epoch that nothing depends on any more: its rows, and its files on this machine. On
// another machine the same command destroys that one's files.
func DestroyKey(ctx context.Context, cfg config.Config, o KeyOptions, out io.Writer) error {
	r, err := openRotation(ctx, cfg, o, ticket.KeysDestroy, fmt.Sprintf("key %s epoch %d", o.Name, o.Epoch), out)
	if err != nil {
		return err
	}
	defer r.op.close()
	rows, err := r.op.store.KeyEpochs(ctx, r.op.env)
	if err != nil {
		return err
	}
	var meant *postgres.KeyEpoch
	for i := range rows {
		if rows[i].Name == o.Name && rows[i].Epoch == o.Epoch {
			meant = &rows[i]
		}
	}
	switch {
	case meant == nil && o.Epoch == 1:
		return errInUse
	case meant == nil:
		return errNoEpoch
	case meant.State != postgres.KeyFormer && meant.State != postgres.KeyDestroyed:
		return errInUse
	}
	if meant.State == postgres.KeyFormer {
		if err := r.release(ctx, *meant); err != nil {
			return err
		}
		if err := r.step(ctx, o.Epoch, postgres.KeyFormer, postgres.KeyDestroyed); err != nil {
			return err
		}
	}
	if err := r.removeFiles(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s: epoch %d is destroyed here\n", o.Name, o.Epoch)
	return err
}

// release refuses while rows depend on an epoch.
func (r *rotation) release(ctx context.Context, k postgres.KeyEpoch) error {
	v, err := openVaultCounts(ctx, r.cfg)
	if err != nil {
		return err
	}
	defer v.close()
	words, n, err := r.op.depends(ctx, v, k)
	if err != nil {
		return err
	}
	if n > 0 {
		return fmt.Errorf("%s: %w", words, errNeeded)
	}
	switch k.Name {
	case pseudonym.NameLink:
		return pseudonym.DeleteLinks(ctx, v.pool, r.op.env, k.Epoch)
	case pseudonym.NameSeal:
		return pseudonym.ClosePair(ctx, v.pool, r.op.env, k.Epoch)
	}
	return nil
}

// removeFiles removes the files of an epoch on this machine.
func (r *rotation) removeFiles() error {
	if r.o.Name == nameJournal {
		return journal.DestroyKey(r.cfg.JournalKeys(), r.o.Epoch)
	}
	if err := pseudonym.DestroyFile(r.cfg.Keys.Dir, r.o.Name, r.o.Epoch); err != nil {
		return fmt.Errorf("destroy key: %w", err)
	}
	return nil
}
