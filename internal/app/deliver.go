package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sinbahub/sinbahub/internal/delivery"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
	"github.com/sinbahub/sinbahub/internal/sinba"
	"github.com/sinbahub/sinbahub/xsd"
)

// buildDelivery makes the delivery where a national endpoint is configured. Its catalogue maps
// stored regional events, for which the registry's lists make no difference any more.
func (s *server) buildDelivery() error {
	if s.cfg.SISS.URL == "" {
		return nil
	}
	schema, err := xsd.FS.ReadFile(xsd.SinbaEventi)
	if err != nil {
		return fmt.Errorf("read schema: %w", err)
	}
	events, err := sinba.Load(schema, sinba.DefaultReference())
	if err != nil {
		return fmt.Errorf("load catalogue of events: %w", err)
	}
	s.delivery, err = delivery.New(delivery.Config{
		Environment: s.cfg.Env(), URL: s.cfg.SISS.URL, CAFile: s.cfg.SISS.CAFile,
		Workers: s.cfg.SISS.Workers, Rate: s.cfg.SISS.Rate, Deadline: s.cfg.SISS.Deadline, Lease: s.cfg.SISS.Lease,
	}, delivery.Parts{
		Store: s.stores.store, Keys: s.keys, Events: events, Validator: s.pool,
		Logger: s.log, Registerer: s.registry, Now: time.Now, Keep: s.keepSent, MaySend: s.keyring.maySend, Version: s.opts.Version,
	})
	if err != nil {
		return fmt.Errorf("build delivery: %w", err)
	}
	s.stores.store.HandTo(s.delivery)
	if err := s.buildTeller(); err != nil {
		return err
	}
	s.reconciler, err = newReconciler(s.cfg, "", delivery.Parts{
		Store: s.stores.store, Validator: s.pool, Logger: s.log, Registerer: s.registry, Now: time.Now,
	})
	return err
}

// wake tells the delivery of one accepted event.
func (s *server) wake() {
	if s.delivery != nil {
		s.delivery.Wake()
	}
}

// deliver runs the delivery until ctx ends.
func (s *server) deliver(ctx context.Context) error {
	if s.delivery == nil {
		return nil
	}
	return s.delivery.Run(ctx)
}

// keepSent seals a national event for the opener. It is readable for as long as the subject's secret is. Where the
// delivery began with its acceptance the secret is at hand.
func (s *server) keepSent(ctx context.Context, c *postgres.Claimed, national []byte) (postgres.Sealed, error) {
	owner, ok := c.Carried.(pseudonym.Subject)
	var err error
	if !ok {
		owner, err = s.stores.vault.SubjectOf(ctx, c.Subject)
	}
	if errors.Is(err, pseudonym.ErrNoSubject) {
		return postgres.Sealed{}, nil // erased: the event still goes out, and no copy could ever be opened
	}
	if err != nil {
		return postgres.Sealed{}, err
	}
	sealed, err := s.sealer.Seal(ctx, owner, pseudonym.Label{Kind: pseudonym.SealedOutbound, Message: c.ID}, national)
	if err != nil {
		return postgres.Sealed{}, err
	}
	return postgres.Sealed{Epoch: sealed.Epoch, Bytes: sealed.Bytes, Digest: sealed.Digest()}, nil
}
