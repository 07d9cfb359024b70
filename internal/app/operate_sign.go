package app

import (
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/ticket"
)

// verbOf is how a verb on deliveries is signed.
func verbOf(v Verb) ticket.Verb {
	switch v {
	case VerbRetry:
		return ticket.DeliveryRetry
	case VerbPark:
		return ticket.DeliveryPark
	case VerbUnpark:
		return ticket.DeliveryUnpark
	case VerbRedeliver:
		return ticket.DeliveryRedeliver
	case VerbRenew:
		return ticket.DeliveryRenew
	}
	return ""
}

// namedIDs are the ids as who named them signs them: a few one by one, more by the digest of their
// list, each with a line feed, in the order in which they were named.
func namedIDs(ids []uuid.UUID) string {
	const few = 20
	if len(ids) <= few {
		words := make([]string, len(ids))
		for i, id := range ids {
			words[i] = id.String()
		}
		return strings.Join(words, " ")
	}
	sum := sha256.New()
	for _, id := range ids {
		_, _ = sum.Write([]byte(id.String() + "\n"))
	}
	return fmt.Sprintf("%d ids with the SHA-256 %x", len(ids), sum.Sum(nil))
}

// words are the filter that found so many deliveries, as who named it signs it. Nothing of a child can be in it:
// a value that is no ente's, no type and no code finds nothing, and nothing is signed.
func (f DeliveryFilter) words(found int) string {
	words := []string{fmt.Sprintf("%d found", found)}
	if len(f.States) > 0 {
		words = append(words, "state="+strings.Join(f.States, ","))
	}
	for _, value := range [][2]string{{"ente", f.Ente}, {"type", f.Type}, {"code", f.Code}} {
		if value[1] != "" {
			words = append(words, value[0]+"="+value[1])
		}
	}
	if f.Older > 0 {
		words = append(words, "older="+f.Older.String())
	}
	if f.Newer > 0 {
		words = append(words, "newer="+f.Newer.String())
	}
	return strings.Join(words, " ")
}
