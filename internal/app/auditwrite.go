package app

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/sinbahub/sinbahub/internal/contract"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/sinba"
	"github.com/sinbahub/sinbahub/xsd"
)

// auditReadme is what an auditor reads first.
//
//go:embed auditreadme.txt
var auditReadme []byte

// write writes all members in the order of their names and gives the manifest's digest.
func (a *audit) write(ctx context.Context) (digest [32]byte, err error) {
	for _, step := range []func(context.Context) error{
		a.writeFirst, a.writeEnte, a.writeWords, a.writeTree, a.writeLast,
	} {
		if err := step(ctx); err != nil {
			return digest, err
		}
		if err := ctx.Err(); err != nil {
			return digest, err
		}
	}
	a.bar.done()
	return a.b.finish(a.head(), a.key)
}

// writeFirst writes what does not depend on the entries.
func (a *audit) writeFirst(ctx context.Context) error {
	if err := a.b.put("README.txt", auditReadme); err != nil {
		return err
	}
	if err := a.b.put("checkpoint", []byte(a.closing.Note)); err != nil {
		return err
	}
	return a.writeCheckpoints(ctx)
}

// writeWords writes the keys, what is open, and the words that judged: schemas, tables and rules.
func (a *audit) writeWords(ctx context.Context) error {
	if err := a.b.put("keys/journal.pub", []byte(strings.Join(a.key.Published(), "\n")+"\n")); err != nil {
		return err
	}
	if err := a.writeKnown(); err != nil {
		return err
	}
	for _, version := range a.named.numbers(a.named.mappings) {
		if text, ok := sinba.Mapping(version); !ok {
			a.named.miss("mapping", strconv.Itoa(int(version)))
		} else if err := a.b.put(fmt.Sprintf("mapping/%d/foglie.tsv", version), text); err != nil {
			return err
		}
	}
	if err := a.writeOpen(); err != nil {
		return err
	}
	if err := a.writeReference(); err != nil {
		return err
	}
	if err := a.writeRetired(ctx); err != nil {
		return err
	}
	for _, version := range a.named.numbers(a.named.rules) {
		if text, ok := sinba.RulesText(version); !ok {
			a.named.miss("rules", strconv.Itoa(int(version)))
		} else if err := a.b.put(fmt.Sprintf("rules/%d.txt", version), text); err != nil {
			return err
		}
	}
	return nil
}

// writeReference writes the digests of the dated lists, of which only those now in force are known.
func (a *audit) writeReference() error {
	files, err := readReference(a.cfg.Reference.Dir)
	if err != nil {
		return err
	}
	for _, version := range slices.Sorted(maps.Keys(a.named.references)) {
		if version != files.Version() {
			a.named.miss("reference", version)
			continue
		}
		var text strings.Builder
		for _, name := range slices.Sorted(maps.Keys(files)) {
			sum := sha256.Sum256(files[name])
			fmt.Fprintf(&text, "%s %d %s\n", hex.EncodeToString(sum[:]), len(files[name]), name)
		}
		if err := a.b.put("reference/"+version, []byte(text.String())); err != nil {
			return err
		}
	}
	return nil
}

// writeLast writes what this binary lacks, and its schemas.
func (a *audit) writeLast(context.Context) error {
	for version := range a.named.schemas {
		if version != contract.SchemaVersion {
			a.named.miss("schema", version)
		}
	}
	if len(a.named.missing) > 0 {
		slices.Sort(a.named.missing)
		if err := a.b.put("versions-missing", []byte(strings.Join(a.named.missing, ""))); err != nil {
			return err
		}
	}
	names, err := fs.Glob(xsd.FS, "*.xsd")
	if err != nil {
		return fmt.Errorf("list schemas: %w", err)
	}
	slices.Sort(names)
	for _, name := range names {
		text, err := xsd.FS.ReadFile(name)
		if err != nil {
			return fmt.Errorf("read schema: %w", err)
		}
		if err := a.b.put("xsd/"+name, text); err != nil {
			return err
		}
	}
	return nil
}

// versions are those that entries name, and which of them this binary lacks.
type versions struct {
	schemas, references map[string]bool
	mappings, rules     map[int32]bool
	missing             []string
}

func newVersions() versions {
	return versions{
		schemas: map[string]bool{}, references: map[string]bool{}, mappings: map[int32]bool{}, rules: map[int32]bool{},
	}
}

// note takes what an entry names.
func (v *versions) note(e *journal.Entry) {
	if e.Schema != "" {
		v.schemas[e.Schema] = true
	}
	if e.Reference != "" {
		v.references[e.Reference] = true
	}
	if e.Mapping != 0 {
		v.mappings[e.Mapping] = true
	}
	if e.Rules != 0 {
		v.rules[e.Rules] = true
	}
}

// numbers gives versions in the order of their names.
func (*versions) numbers(of map[int32]bool) []int32 {
	return slices.SortedFunc(maps.Keys(of), func(a, b int32) int {
		return strings.Compare(strconv.Itoa(int(a)), strconv.Itoa(int(b)))
	})
}

// miss notes a version that this binary lacks.
func (v *versions) miss(of, version string) { v.missing = append(v.missing, of+" "+version+"\n") }
