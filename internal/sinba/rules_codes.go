package sinba

import (
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/pkg/codicefiscale"
)

// judgeCodes is BR-20: no code or text that a vendor fills freely holds what looks like a codice
// fiscale, omocodes and lower case included. Codes are kept and shown where identities must not be.
// Which leaves these are follows from the schema (isCode).
func judgeCodes(j *judgement) {
	for i := range j.elems {
		if !j.traits(i).code || j.elems[i].to-j.elems[i].from < shortest {
			continue
		}
		if codicefiscale.LooksLike(j.value(i)) {
			j.because("code", hub.Grave, i)
		}
	}
}

// shortest is the length of a codice fiscale: nothing shorter can hold one.
const shortest = 16
