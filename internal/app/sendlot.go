package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"text/tabwriter"

	"github.com/sinbahub/sinbahub/pkg/client"
)

const (
	// filesAtOnce is how many files are in memory at a time: as many as a lot may have.
	filesAtOnce = 100
	// lotAttempts is how often what a lot could not settle is sent. Whoever sends one event by hand
	// decides that himself; of a hundred, a few that the hub asks for again should not be left.
	lotAttempts = 4
)

// sendLots sends the files in their order as lots and prints the outcome of each event as Send does.
// A lot has one sender. What is wrong with one file ends it behind the lot in which that file stood,
// whose other outcomes are printed.
func (s *sender) sendLots(ctx context.Context, out io.Writer, table *tabwriter.Writer, files []string) (refused bool, err error) {
	for some := range slices.Chunk(files, filesAtOnce) {
		batch, err := s.lots(some)
		for _, b := range batch {
			lost, sending := s.sendLot(ctx, out, table, b)
			refused = refused || lost
			if sending != nil {
				return refused, sending
			}
		}
		if err != nil {
			return refused, err
		}
	}
	return refused, nil
}

// sameSender are files that one client sends.
type sameSender struct {
	client    *client.Client
	files     []string
	documents [][]byte
}

// lots reads files and puts those of one sender that stand together into one batch. Beside an error
// there are the batches of the files before.
func (s *sender) lots(files []string) ([]sameSender, error) {
	var all []sameSender
	for _, file := range files {
		document, err := readDocument(file)
		if err != nil {
			return all, err
		}
		c, err := s.client(document)
		if err != nil {
			return all, err
		}
		if len(all) == 0 || all[len(all)-1].client != c {
			all = append(all, sameSender{client: c})
		}
		last := &all[len(all)-1]
		last.files, last.documents = append(last.files, file), append(last.documents, document)
	}
	return all, nil
}

// sendLot sends the files of one sender and prints what came of each. The error is that of the first
// file without an outcome.
func (s *sender) sendLot(ctx context.Context, out io.Writer, table *tabwriter.Writer, b sameSender) (refused bool, err error) {
	var errs []error
	for i, result := range b.client.InviaEventi(ctx, b.documents) {
		sent := receiptOf(result)
		if result.Err != nil {
			var err error
			if sent, err = sentOf(sent, result.Err); err != nil {
				errs = append(errs, fmt.Errorf("send %s: %w", filepath.Base(b.files[i]), err))
				continue
			}
		}
		sent.File = b.files[i]
		refused = refused || !sent.accepted()
		if err := printSent(out, table, s.options.JSON, sent); err != nil {
			return refused, err
		}
	}
	if len(errs) > 0 {
		return refused, errs[0]
	}
	return refused, nil
}

// receiptOf is what a result's receipt says, if it has one.
func receiptOf(r client.EventResult) Sent {
	if r.Receipt == nil {
		return Sent{}
	}
	return Sent{
		Status: http.StatusOK, Esito: r.Receipt.Esito, IDEvento: r.Receipt.IDEvento, IDRicevuta: r.Receipt.IDRicevuta,
		Anomalie: faultsOf(r.Receipt.Avvisi),
	}
}

// errLotVerify says that two options exclude each other.
var errLotVerify = errors.New("a lot is always sent: --verify asks about each event alone, without --lot")
