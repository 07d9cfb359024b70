package app

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// participantsFile is what `participant load` reads: enti, certified products, participants.
type participantsFile struct {
	Enti []struct {
		Codice string `yaml:"codice"`
		Zona   string `yaml:"zona"`
		// Regione in the SINBA list (Toscana is 17).
		Regione string `yaml:"regione"`
	} `yaml:"enti"`
	Prodotti []struct {
		Fornitore string `yaml:"fornitore"`
		Prodotto  string `yaml:"prodotto"`
		// Versioni that may stand in stored events; any version is certified.
		Versioni []string `yaml:"versioni"`
	} `yaml:"prodotti"`
	Partecipanti []struct {
		Nome   string   `yaml:"nome"`
		Utente string   `yaml:"utente"`
		Enti   []string `yaml:"enti"`
	} `yaml:"partecipanti"`
}

// readParticipants reads the file; unknown keys are errors.
func readParticipants(path string) (participantsFile, error) {
	text, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return participantsFile{}, fmt.Errorf("read participants: %w", err)
	}
	var file participantsFile
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil {
		return participantsFile{}, fmt.Errorf("read participants: %w", err)
	}
	return file, nil
}

// LoadParticipants writes the file's enti, products and participants into the registry of the
// configured database. Each participant without a password file gets one.
func LoadParticipants(ctx context.Context, cfg config.Config, path, passwords string) error {
	file, err := readParticipants(path)
	if err != nil {
		return err
	}
	return withStore(ctx, cfg, writing, func(store *postgres.Store) error {
		return writeRegistry(ctx, store, cfg.Env(), file, passwords)
	})
}

// writeRegistry upserts everything of the file.
func writeRegistry(ctx context.Context, store *postgres.Store, env hub.Environment, file participantsFile, passwords string) error {
	if err := os.MkdirAll(passwords, 0o700); err != nil {
		return fmt.Errorf("make password folder: %w", err)
	}
	for _, e := range file.Enti {
		if _, err := store.UpsertEnte(ctx, env, hub.Ente{Code: e.Codice, Zone: e.Zona, Region: e.Regione}); err != nil {
			return fmt.Errorf("write ente: %w", err)
		}
	}
	var products []postgres.Product
	for _, p := range file.Prodotti {
		for _, version := range append([]string{""}, p.Versioni...) {
			product := postgres.Product{Vendor: p.Fornitore, Name: p.Prodotto, Version: version, ContractVersion: "1"}
			if err := store.UpsertProduct(ctx, env, product); err != nil {
				return fmt.Errorf("write product: %w", err)
			}
			products = append(products, product)
		}
	}
	for _, p := range file.Partecipanti {
		digest, err := passwordOf(filepath.Join(passwords, p.Nome+".password"))
		if err != nil {
			return err
		}
		if _, err := store.UpsertParticipant(ctx, postgres.ParticipantSpec{
			Environment: env, Name: p.Nome, User: p.Utente, PasswordSHA256: digest, Enti: p.Enti, Products: products,
		}); err != nil {
			return fmt.Errorf("write participant: %w", err)
		}
	}
	return nil
}

// passwordOf gives the digest of a password file, making a password of 256 random bits first
// if there is none.
func passwordOf(path string) ([sha256.Size]byte, error) {
	text, err := os.ReadFile(filepath.Clean(path))
	if errors.Is(err, fs.ErrNotExist) {
		random := make([]byte, 32)
		_, _ = rand.Read(random)
		text = []byte(hex.EncodeToString(random))
		err = writeOwnerFile(path, append(text, '\n'))
	}
	if err != nil {
		return [sha256.Size]byte{}, fmt.Errorf("password file: %w", err)
	}
	return sha256.Sum256(bytes.TrimSpace(text)), nil
}

// Migrate brings the configured database, or the embedded one, to this binary's version.
func Migrate(ctx context.Context, cfg config.Config, adminURLFile string, out io.Writer) error {
	log, _ := newLogger(cfg.Log.Level, out, "")
	if cfg.Embedded() {
		cluster, err := startCluster(ctx, cfg.Var, log)
		if err != nil {
			return err
		}
		if cluster.Attached() {
			return nil // another process runs on it
		}
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		return cluster.Stop(stopping)
	}
	if adminURLFile == "" {
		return errors.New("name --admin-url-file: the hub's own role may not migrate")
	}
	url, err := readPassword(adminURLFile)
	if err != nil {
		return err
	}
	appPassword, err := passwordIn(cfg.Database.URL)
	if err != nil {
		return err
	}
	vaultPassword, err := passwordIn(cfg.Database.VaultURL)
	if err != nil {
		return err
	}
	var openerPassword string
	if !cfg.Opener.DatabaseURL.IsZero() {
		if openerPassword, err = passwordIn(cfg.Opener.DatabaseURL); err != nil {
			return err
		}
	}
	return postgres.Migrate(ctx, postgres.MigrateConfig{
		DSN: url, AppPassword: appPassword, VaultPassword: vaultPassword, OpenerPassword: openerPassword,
		Sets: migrations(), Logger: log,
	})
}
