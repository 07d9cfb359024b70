package postgres_test

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.uber.org/zap/zaptest"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/sinba"
)

// open gives a running store over a database, stopped with the test.
func open(tb testing.TB, db hubtest.DB) *postgres.Store {
	tb.Helper()
	return openWith(tb, postgres.Config{DSN: db.App})
}

func openWith(tb testing.TB, cfg postgres.Config) *postgres.Store {
	tb.Helper()
	if cfg.Logger == nil {
		cfg.Logger = zaptest.NewLogger(tb)
	}
	store, err := postgres.Open(tb.Context(), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(tb.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = store.Run(ctx)
	}()
	tb.Cleanup(func() {
		stop()
		<-done
		store.Close()
	})
	return store
}

// superuser gives a connection that may look at everything.
func superuser(tb testing.TB, db hubtest.DB) *pgx.Conn {
	tb.Helper()
	return connect(tb, db.Superuser)
}

func connect(tb testing.TB, dsn string) *pgx.Conn {
	tb.Helper()
	conn, err := pgx.Connect(tb.Context(), dsn)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close(context.WithoutCancel(tb.Context())) })
	return conn
}

func randomDigest() (d [32]byte) {
	_, _ = rand.Read(d[:])
	return d
}

func v7() uuid.UUID { return uuid.Must(uuid.NewV7()) }

// addEnte writes the ente that a test's events belong to.
func addEnte(tb testing.TB, store *postgres.Store) hub.Ente {
	tb.Helper()
	ente, err := store.UpsertEnte(tb.Context(), hub.Prod, hub.Ente{Code: "ENTE-1", Zone: "ZONA-1", Region: "17"})
	if err != nil {
		tb.Fatal(err)
	}
	return ente
}

// acceptance is a complete one of a new event in a new case.
func acceptance(ente int32) *postgres.Acceptance {
	now := time.Now().UTC().Truncate(time.Microsecond)
	id := v7()
	a := &postgres.Acceptance{
		Key:            postgres.Key{Environment: hub.Prod, Ente: ente, Event: uuid.New()},
		Participant:    1,
		ReceiptID:      id,
		ReceivedAt:     now,
		ContentMAC:     randomDigest(),
		Commitment:     randomDigest(),
		Subject:        uuid.New(),
		Case:           postgres.AcceptedCase{ID: uuid.New(), Index: randomDigest(), SealedIDs: []byte("sealed"), FactsEpoch: 1, NationEpoch: 2, New: true},
		Type:           sinba.AperturaCartella,
		Operation:      sinba.Inserimento,
		Sequence:       1,
		SchemaVersion:  "1.0",
		MappingVersion: 1,
		RulesVersion:   1,
		RegionEpoch:    1,
		NationEpoch:    3,
		Sealed:         postgres.Sealed{Epoch: uuid.New(), Bytes: []byte("sealed message"), Digest: randomDigest()},
		Body:           []byte("<EventoRegionale/>"),
		TransmissionID: uuid.New(),
	}
	a.Entry = journal.Entry{
		ID: v7(), At: now, Kind: journal.EventAccepted, Environment: hub.Prod, Participant: 1,
		Ente: ente, Message: id, Event: a.Key.Event,
		Sealed: a.Sealed.Digest, Commitment: a.Commitment,
	}
	return a
}

// follow is an acceptance of another event in the same case.
func follow(first *postgres.Acceptance, sequence int32) *postgres.Acceptance {
	a := acceptance(first.Key.Ente)
	a.Subject = first.Subject
	a.Case = first.Case
	a.Case.New = false
	a.Type, a.Sequence = sinba.Segnalazione, sequence
	return a
}

// accept accepts and fails the test on anything but StatusAccepted.
func accept(tb testing.TB, store *postgres.Store, a *postgres.Acceptance) {
	tb.Helper()
	result, err := store.Accept(tb.Context(), a)
	if err != nil {
		tb.Fatal(err)
	}
	if result.Status != postgres.StatusAccepted {
		tb.Fatalf("status %d, want accepted", result.Status)
	}
}
