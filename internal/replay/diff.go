package replay

import (
	"bytes"
	"slices"
	"strings"

	"github.com/sinbahub/sinbahub/internal/sinba"
)

// Change is how a leaf of one canonical document differs from another's, by its path without
// positions. It never says a value.
type Change struct {
	Path string
	// Kind is added, removed, changed, or form for a document that differs in no leaf.
	Kind string
}

// The kinds of changes.
const (
	added   = "added"
	removed = "removed"
	changed = "changed"
	form    = "form"
)

// diff compares two canonical documents leaf by leaf and gives each change once, in the order of
// paths. Leaves with the same path and position are each other's.
func diff(before, after []byte) []Change {
	if bytes.Equal(before, after) {
		return nil
	}
	was, is := leavesOf(before), leavesOf(after)
	var all []Change
	note := func(path, kind string) {
		if c := (Change{plainPath(path), kind}); !slices.Contains(all, c) {
			all = append(all, c)
		}
	}
	for path, value := range was {
		now, stands := is[path]
		switch {
		case !stands:
			note(path, removed)
		case now != value:
			note(path, changed)
		}
	}
	for path := range is {
		if _, stood := was[path]; !stood {
			note(path, added)
		}
	}
	if len(all) == 0 {
		note("/", form)
	}
	slices.SortFunc(all, func(a, b Change) int {
		return strings.Compare(a.Path+" "+a.Kind, b.Path+" "+b.Kind)
	})
	return all
}

// leavesOf are the values of a canonical document by their paths; none of one that cannot be read.
func leavesOf(doc []byte) map[string]string {
	all := map[string]string{}
	if read, err := sinba.Leaves(doc); err == nil {
		for _, leaf := range read.Leaves {
			all[leaf.Path] = leaf.Value
		}
	}
	return all
}

// plainPath takes the positions out of a path.
func plainPath(path string) string {
	var out strings.Builder
	for {
		before, rest, ok := strings.Cut(path, "[")
		out.WriteString(before)
		if !ok {
			return out.String()
		}
		_, path, _ = strings.Cut(rest, "]")
	}
}
