package app

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sinbahub/sinbahub/internal/codelist"
	"github.com/sinbahub/sinbahub/internal/config"
)

// shownRows is how many rows of a kind of change are told without --all.
const shownRows = 20

// CheckReference tells what the lists of a folder would change against those in force, and changes
// nothing. Faults are all told and give ErrRefused.
func CheckReference(cfg config.Config, out io.Writer, dir string, all bool) error {
	_, err := checkReference(cfg, out, dir, all)
	return err
}

// checkReference gives the folder's own lists as they were checked, so that nothing else is loaded.
func checkReference(cfg config.Config, out io.Writer, dir string, all bool) (codelist.Files, error) {
	own, err := codelist.Read(os.DirFS(filepath.Clean(dir)))
	if err != nil {
		return nil, tellFaults(out, err)
	}
	after := codelist.Builtin().With(own)
	if _, err := codelist.Parse(after); err != nil {
		return nil, tellFaults(out, err)
	}
	before, err := readReference(cfg.Reference.Dir)
	if err == nil {
		_, err = codelist.Parse(before)
	}
	if err != nil {
		before = codelist.Builtin()
		say(out, "the lists of %s have faults; compared with those inside the binary\n", cfg.Reference.Dir)
	}
	say(out, "in force  %s\n", before.Version())
	say(out, "checked   %s\n", after.Version())
	for _, change := range codelist.Compare(before, after) {
		tellChange(out, &change, all)
	}
	return own, nil
}

// say prints; who cannot be printed to cannot be told so either.
func say(out io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(out, format, args...) }

// tellFaults prints every fault and gives ErrRefused, or an error that is none of content.
func tellFaults(out io.Writer, err error) error {
	var faults codelist.FaultsError
	if !errors.As(err, &faults) {
		return err
	}
	for _, fault := range faults {
		say(out, "%s\n", fault.String())
	}
	say(out, "%d faults: nothing of this folder can come into force\n", len(faults))
	return ErrRefused
}

// tellChange prints what becomes of one list.
func tellChange(out io.Writer, c *codelist.Change, all bool) {
	switch {
	case c.Before < 0 && c.After < 0:
		return
	case c.Same():
		say(out, "%-16s %d rows, unchanged\n", c.List, c.After)
		return
	case c.Before < 0:
		say(out, "%-16s new list of %d rows\n", c.List, c.After)
	case c.After < 0:
		say(out, "%-16s no longer a list (%d rows)\n", c.List, c.Before)
	default:
		say(out, "%-16s %d rows: %d added, %d removed, %d changed\n", c.List, c.After, len(c.Added), len(c.Removed), len(c.Changed))
	}
	changed := make([]string, 0, len(c.Changed))
	for _, pair := range c.Changed {
		changed = append(changed, pair[0]+"\n  > "+pair[1])
	}
	tellRows(out, "  + ", c.Added, all)
	tellRows(out, "  - ", c.Removed, all)
	tellRows(out, "  < ", changed, all)
}

func tellRows(out io.Writer, mark string, rows []string, all bool) {
	for i, row := range rows {
		if i == shownRows && !all {
			say(out, "%sand %d more (--all tells them)\n", mark, len(rows)-shownRows)
			return
		}
		say(out, "%s%s\n", mark, row)
	}
}

// LoadReference checks a folder like CheckReference and, without a fault, puts its lists in force
// for every serve that follows reference.dir: it copies them to a folder of their own beside it and
// makes reference.dir a symbolic link to that, in one step. What was in force before stays beside
// it and can be loaded again.
func LoadReference(cfg config.Config, out io.Writer, dir string, all bool) error {
	link := filepath.Clean(cfg.Reference.Dir)
	switch info, err := os.Lstat(link); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("look at reference.dir: %w", err)
	case info.Mode().Type() != fs.ModeSymlink:
		return errors.New("reference.dir is a folder that somebody keeps by hand: edit it, or move it away first")
	}
	own, err := checkReference(cfg, out, dir, all)
	if err != nil {
		return err
	}
	version := codelist.Builtin().With(own).Version()
	store := link + "." + version
	if err := storeReference(store, own); err != nil {
		return err
	}
	if err := swapLink(filepath.Base(store), link); err != nil {
		return err
	}
	say(out, "loaded    %s: a running serve takes it within ten seconds, or at once on SIGHUP\n", version)
	return nil
}

// storeReference writes lists into a folder that appears whole or not at all. A folder that is
// there already must hold the same.
func storeReference(store string, own codelist.Files) error {
	if _, err := os.Lstat(store); err == nil {
		there, err := codelist.Read(os.DirFS(store))
		if err != nil || there.Version() != own.Version() {
			return fmt.Errorf("%s is there and holds something else: move it away first", store)
		}
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(store), 0o755); err != nil { //nolint:gosec // lists are public
		return fmt.Errorf("make folder for reference data: %w", err)
	}
	draft, err := os.MkdirTemp(filepath.Dir(store), ".reference-*")
	if err != nil {
		return fmt.Errorf("make folder for reference data: %w", err)
	}
	defer os.RemoveAll(draft) //nolint:errcheck // renamed if all went well
	for name, text := range own {
		if err := writeDurably(filepath.Join(draft, name), text); err != nil {
			return fmt.Errorf("write reference data: %w", err)
		}
	}
	if err := os.Chmod(draft, 0o755); err != nil { //nolint:gosec // lists are public
		return fmt.Errorf("write reference data: %w", err)
	}
	if err := errors.Join(syncFolder(draft), os.Rename(draft, store), syncFolder(filepath.Dir(store))); err != nil {
		return fmt.Errorf("write reference data: %w", err)
	}
	return nil
}

// swapLink makes link point to target in one step.
func swapLink(target, link string) error {
	draft := link + ".new"
	if err := os.Remove(draft); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove an old draft: %w", err)
	}
	if err := os.Symlink(target, draft); err != nil {
		return fmt.Errorf("link reference data: %w", err)
	}
	if err := errors.Join(os.Rename(draft, link), syncFolder(filepath.Dir(link))); err != nil {
		return fmt.Errorf("link reference data: %w", err)
	}
	return nil
}

// writeDurably writes a file that everybody may read and waits until it is on disk.
func writeDurably(path string, text []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // lists are public
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	return errors.Join(err, file.Sync(), file.Close())
}

// syncFolder waits until a folder's names are on disk.
func syncFolder(path string) error {
	folder, err := os.Open(filepath.Clean(path))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// ConvertANPR turns the archive of municipalities of the Ministero dell'Interno into comuni.tsv,
// and refuses to write one with faults.
func ConvertANPR(out, faults io.Writer, path string) error {
	archive, err := os.Open(filepath.Clean(path))
	if err != nil {
		return fmt.Errorf("open the archive: %w", err)
	}
	defer archive.Close() //nolint:errcheck // only read
	text, err := codelist.FromANPR(archive)
	if err != nil {
		return fmt.Errorf("read the archive: %w", err)
	}
	if _, err := codelist.Parse(codelist.Files{codelist.Municipalities: text}); err != nil {
		return tellFaults(faults, err)
	}
	_, err = io.Copy(out, bytes.NewReader(text))
	return err
}
