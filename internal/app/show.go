package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/sinbahub/sinbahub/pkg/client"
)

// show sends the samples and the bad ones, and waits until the good ones are confirmed.
func (d *demo) show(ctx context.Context) error {
	samples, err := documents(demoSamples)
	if err != nil {
		return err
	}
	bad, err := documents(demoBadSamples)
	if err != nil {
		return err
	}
	s, err := newSender(SendOptions{Var: d.varDir})
	if err != nil {
		return err
	}
	d.say("\n%d sample events through the SOAP door:", len(samples))
	sent, err := d.sendAll(ctx, s, samples)
	if err != nil {
		return err
	}
	if err := d.showConfirmed(ctx, s, sent); err != nil {
		return err
	}
	d.say("%d bad documents, refused with every mistake of the schema, or else of the rules, at once:", len(bad))
	table := tabwriter.NewWriter(d.out, 0, 8, 2, ' ', 0)
	for _, file := range bad {
		refused, err := s.send(ctx, file)
		if err != nil {
			return err
		}
		if err := printSent(d.out, table, false, refused); err != nil {
			return err
		}
	}
	return table.Flush()
}

// documents lists the XML files of a folder in their order.
func documents(dir string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && filepath.Ext(path) == ".xml" {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read samples (run it from the project's folder): %w", err)
	}
	slices.Sort(files)
	return files, nil
}

func (d *demo) sendAll(ctx context.Context, s *sender, files []string) ([]Sent, error) {
	all := make([]Sent, 0, len(files))
	for _, file := range files {
		sent, err := s.send(ctx, file)
		if err != nil {
			return nil, err
		}
		all = append(all, sent)
	}
	return all, nil
}

// confirmPatience is how long the demo waits for the deliveries.
const confirmPatience = 20 * time.Second

// showConfirmed asks statoEvento for each until SISS has it, and prints one line each.
func (d *demo) showConfirmed(ctx context.Context, s *sender, sent []Sent) error {
	ctx, cancel := context.WithTimeout(ctx, confirmPatience)
	defer cancel()
	table := tabwriter.NewWriter(d.out, 0, 8, 2, ' ', 0)
	var notes strings.Builder
	for _, one := range sent {
		stato, protocollo := "-", ""
		var err error
		if one.IDRicevuta != "" {
			if stato, protocollo, err = d.confirmed(ctx, s, one); err != nil {
				return errors.Join(err, table.Flush())
			}
		}
		if _, err := fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", filepath.Base(one.File), one.Esito, stato, protocollo); err != nil {
			return err
		}
		for _, a := range one.Anomalie {
			if _, err := fmt.Fprintf(&notes, "%s: %s %s  %s: %s\n", filepath.Base(one.File), a.Codice, a.Rilevanza, a.Posizione, a.Descrizione); err != nil {
				return err
			}
		}
		if one.Esito == "DUPLICATO" && notes.Len() == 0 {
			notes.WriteString("DUPLICATO: sent before from this folder; `make down` and remove var/ to start anew.\n")
		}
	}
	err := table.Flush()
	d.say("%s", notes.String())
	return err
}

// confirmed polls statoEvento until the state is final or the patience ends.
func (d *demo) confirmed(ctx context.Context, s *sender, one Sent) (stato, protocollo string, err error) {
	document, err := readDocument(one.File)
	if err != nil {
		return "", "", err
	}
	c, err := s.client(document)
	if err != nil {
		return "", "", err
	}
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		state, err := c.StatoEvento(ctx, client.StateQuery{CodiceEnte: enteOf(document), IDRicevuta: one.IDRicevuta})
		if err != nil {
			return "", "", fmt.Errorf("ask statoEvento: %w", err)
		}
		switch state.Stato {
		case "MEMORIZZATO", "IN_INOLTRO":
		default:
			return state.Stato, state.ProtocolloNazionale, nil
		}
		select {
		case <-ctx.Done():
			return state.Stato, "", nil
		case <-ticker.C:
		}
	}
}

// enteOf finds the CodiceEnte of an event document, whatever its prefix, to choose who sends it.
func enteOf(document []byte) string {
	_, rest, _ := bytes.Cut(document, []byte("CodiceEnte>"))
	code, _, _ := bytes.Cut(rest, []byte("</"))
	return string(code)
}
