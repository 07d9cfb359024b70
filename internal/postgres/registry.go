package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hub"
)

// Credential binds an API user to a participant.
type Credential struct {
	// User is the Basic user name.
	User string
	// PasswordSHA256 is the digest of a password of 256 random bits.
	PasswordSHA256 [32]byte
	// Participant is who it stands for, with the enti it may speak for.
	Participant hub.Participant
}

// Product is a certified Applicativo.
type Product struct {
	// Vendor is Fornitore.
	Vendor string
	// Name is Prodotto.
	Name string
	// Version is Versione; empty means any.
	Version string
	// Certificate is IdCertificazione; may be empty.
	Certificate string
	// ContractVersion it is certified for, as in "1".
	ContractVersion string
}

// Registry is who may talk to the hub in one environment, as of one moment.
type Registry struct {
	// Credentials of all participants, by their rows.
	Credentials []Credential
	// Enti are all of the environment, by their rows.
	Enti []hub.Ente
	// Products are certified.
	Products []Product
	// Named are the products each participant may name, by the participant's row.
	Named map[int32][]Product
}

// LoadRegistry reads the whole registry of an environment in one snapshot.
func (s *Store) LoadRegistry(ctx context.Context, env hub.Environment) (*Registry, error) {
	registry := &Registry{Named: map[int32][]Product{}}
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err := pgx.BeginTxFunc(ctx, s.pool, options, func(tx pgx.Tx) error {
		speaksFor, err := registry.loadEnti(ctx, tx, env)
		if err != nil {
			return err
		}
		if err := registry.loadProducts(ctx, tx, env); err != nil {
			return err
		}
		return registry.loadCredentials(ctx, tx, env, speaksFor)
	})
	if err != nil {
		return nil, fmt.Errorf("load the registry: %w", masked(err))
	}
	return registry, nil
}

const loadEntiSQL = `
SELECT e.id, e.code, e.zone, e.region,
  array(SELECT p.participant_id FROM hub.participant_ente p WHERE p.ente_id = e.id)
FROM hub.ente e
WHERE e.environment = $1
ORDER BY e.id`

// loadEnti reads all enti and returns them by the participants that may speak for them.
func (r *Registry) loadEnti(ctx context.Context, tx pgx.Tx, env hub.Environment) (map[int32][]hub.Ente, error) {
	speaksFor := map[int32][]hub.Ente{}
	rows, err := tx.Query(ctx, loadEntiSQL, env)
	if err != nil {
		return nil, err
	}
	var e hub.Ente
	var participants []int32
	_, err = pgx.ForEachRow(rows, []any{&e.ID, &e.Code, &e.Zone, &e.Region, &participants}, func() error {
		r.Enti = append(r.Enti, e)
		for _, id := range participants {
			speaksFor[id] = append(speaksFor[id], e)
		}
		return nil
	})
	return speaksFor, err
}

const loadProductsSQL = `
SELECT p.vendor, p.name, p.version, p.certificate, p.contract_version,
  array(SELECT n.participant_id FROM hub.participant_product n WHERE n.product_id = p.id)
FROM hub.product p
WHERE p.environment = $1
ORDER BY p.id`

func (r *Registry) loadProducts(ctx context.Context, tx pgx.Tx, env hub.Environment) error {
	rows, err := tx.Query(ctx, loadProductsSQL, env)
	if err != nil {
		return err
	}
	var p Product
	var participants []int32
	columns := []any{&p.Vendor, &p.Name, &p.Version, &p.Certificate, &p.ContractVersion, &participants}
	_, err = pgx.ForEachRow(rows, columns, func() error {
		r.Products = append(r.Products, p)
		for _, id := range participants {
			r.Named[id] = append(r.Named[id], p)
		}
		return nil
	})
	return err
}

//nolint:gosec // reads digests of passwords
const loadCredentialsSQL = `
SELECT id, name, api_user, password_sha256
FROM hub.participant
WHERE environment = $1
ORDER BY id`

func (r *Registry) loadCredentials(
	ctx context.Context, tx pgx.Tx, env hub.Environment, speaksFor map[int32][]hub.Ente,
) error {
	rows, err := tx.Query(ctx, loadCredentialsSQL, env)
	if err != nil {
		return err
	}
	var id int32
	var name, user string
	var digest []byte
	_, err = pgx.ForEachRow(rows, []any{&id, &name, &user, &digest}, func() error {
		r.Credentials = append(r.Credentials, Credential{
			User: user, PasswordSHA256: [32]byte(digest),
			Participant: hub.Participant{ID: id, Name: name, Environment: env, Enti: speaksFor[id]},
		})
		return nil
	})
	return err
}

const upsertEnteSQL = `
INSERT INTO hub.ente (environment, code, zone, region) VALUES ($1, $2, $3, $4)
ON CONFLICT (environment, code) DO UPDATE
  SET zone = excluded.zone, region = excluded.region, updated_at = hub.hub_now()
RETURNING id`

// UpsertEnte writes an ente by its code and returns it with its row. Its ID is not read.
func (s *Store) UpsertEnte(ctx context.Context, env hub.Environment, e hub.Ente) (hub.Ente, error) {
	err := s.pool.QueryRow(ctx, upsertEnteSQL, env, e.Code, e.Zone, e.Region).Scan(&e.ID)
	if err != nil {
		return hub.Ente{}, fmt.Errorf("write an ente: %w", masked(err))
	}
	return e, nil
}

const upsertProductSQL = `
INSERT INTO hub.product (environment, vendor, name, version, certificate, contract_version)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (environment, vendor, name, version, contract_version) DO UPDATE
  SET certificate = excluded.certificate`

// UpsertProduct writes a certified product.
func (s *Store) UpsertProduct(ctx context.Context, env hub.Environment, p Product) error {
	_, err := s.pool.Exec(ctx, upsertProductSQL,
		env, p.Vendor, p.Name, p.Version, p.Certificate, p.ContractVersion)
	if err != nil {
		return fmt.Errorf("write a product: %w", masked(err))
	}
	return nil
}

// ParticipantSpec describes a participant to be written.
type ParticipantSpec struct {
	// Environment its credential opens.
	Environment hub.Environment
	// Name labels logs and metrics: [a-z0-9._-], at most 40, unique in its environment.
	Name string
	// User is the name of its credential, unique in its environment.
	User string
	// PasswordSHA256 is the digest of its password.
	PasswordSHA256 [32]byte
	// Enti are the codes it may speak for; they must exist.
	Enti []string
	// Products are those it may name; they must exist.
	Products []Product
}

// errNotInRegistry says that a participant names an ente or product the registry lacks.
var errNotInRegistry = errors.New("an ente or product of the participant is not in the registry")

// UpsertParticipant writes a participant by its name and replaces its credential, enti and
// products by those given.
func (s *Store) UpsertParticipant(ctx context.Context, p ParticipantSpec) (hub.Participant, error) {
	written := hub.Participant{Name: p.Name, Environment: p.Environment}
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		var err error
		if written.ID, err = writeParticipant(ctx, tx, p); err != nil {
			return err
		}
		if written.Enti, err = replaceEnti(ctx, tx, written.ID, p); err != nil {
			return err
		}
		return replaceProducts(ctx, tx, written.ID, p)
	})
	if err != nil {
		return hub.Participant{}, fmt.Errorf("write a participant: %w", masked(err))
	}
	return written, nil
}

const writeParticipantSQL = `
INSERT INTO hub.participant (environment, name, api_user, password_sha256) VALUES ($1, $2, $3, $4)
ON CONFLICT (environment, name) DO UPDATE
  SET api_user = excluded.api_user, password_sha256 = excluded.password_sha256,
    updated_at = hub.hub_now()
RETURNING id`

func writeParticipant(ctx context.Context, tx pgx.Tx, p ParticipantSpec) (id int32, err error) {
	err = tx.QueryRow(ctx, writeParticipantSQL, p.Environment, p.Name, p.User, p.PasswordSHA256[:]).Scan(&id)
	return id, err
}

const removeEntiSQL = `
DELETE FROM hub.participant_ente WHERE participant_id = $1`

const addEntiSQL = `
WITH given AS (
  INSERT INTO hub.participant_ente (participant_id, ente_id, environment)
  SELECT $1, e.id, e.environment FROM hub.ente e WHERE e.environment = $2 AND e.code = ANY ($3)
  RETURNING ente_id
)
SELECT e.id, e.code, e.zone, e.region
FROM hub.ente e JOIN given ON given.ente_id = e.id
ORDER BY e.id`

func replaceEnti(ctx context.Context, tx pgx.Tx, id int32, p ParticipantSpec) ([]hub.Ente, error) {
	if _, err := tx.Exec(ctx, removeEntiSQL, id); err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, addEntiSQL, id, p.Environment, p.Enti)
	if err != nil {
		return nil, err
	}
	enti, err := pgx.CollectRows(rows, pgx.RowToStructByPos[hub.Ente])
	if err == nil && len(enti) != len(p.Enti) {
		err = errNotInRegistry
	}
	return enti, err
}

const removeProductsSQL = `
DELETE FROM hub.participant_product WHERE participant_id = $1`

const addProductSQL = `
INSERT INTO hub.participant_product (participant_id, product_id, environment)
SELECT $1, p.id, p.environment FROM hub.product p
WHERE p.environment = $2 AND p.vendor = $3 AND p.name = $4 AND p.version = $5
  AND p.contract_version = $6`

func replaceProducts(ctx context.Context, tx pgx.Tx, id int32, p ParticipantSpec) error {
	if _, err := tx.Exec(ctx, removeProductsSQL, id); err != nil {
		return err
	}
	for _, product := range p.Products {
		tag, err := tx.Exec(ctx, addProductSQL, id, p.Environment,
			product.Vendor, product.Name, product.Version, product.ContractVersion)
		if err != nil {
			return err
		}
		if tag.RowsAffected() != 1 {
			return errNotInRegistry
		}
	}
	return nil
}
