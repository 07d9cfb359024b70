package hubtest

import (
	"embed"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/pkg/codicefiscale"
)

// ChildEnte is the ente at which every Child is in care.
const ChildEnte = "SDS-PI"

// templates are the documents of a child's events with marks where they differ.
//
//go:embed testdata/apertura.xml testdata/segnalazione.xml
var templates embed.FS

// Child is the number of an invented child with one case at ChildEnte; two numbers below 169,000
// are two children.
type Child int

// Code is the child's codice fiscale, with its right check character.
func (c Child) Code() string {
	n := int(c)
	first := fmt.Sprintf("PV%cPR%c12C15D%03d", 'A'+n%26, 'A'+n/26%26, n%1000)
	check, _ := codicefiscale.CheckCharacter(first)
	return first + string(check)
}

// Case is the child's IdCartella.
func (c Child) Case() string { return fmt.Sprintf("2024/%06d", int(c)) }

// Event is the child's event of that number in its case: the first opens it, the others report
// something. Each call is another attempt to send the same event: all but the id of the message
// and the time of sending is the same.
func (c Child) Event(id uuid.UUID, sequence int) []byte {
	name := "testdata/segnalazione.xml"
	if sequence == 1 {
		name = "testdata/apertura.xml"
	}
	text, err := templates.ReadFile(name)
	if err != nil {
		panic(err) // embedded
	}
	return []byte(strings.NewReplacer(
		"@MESSAGGIO@", uuid.NewString(), "@EVENTO@", id.String(), "@PROGRESSIVO@", strconv.Itoa(sequence),
		"@ORA@", time.Now().UTC().Format("2006-01-02T15:04:05.000Z"),
		"@CF@", c.Code(), "@CARTELLA@", c.Case(), "@ASSISTITO@", fmt.Sprintf("A-%06d", int(c)),
	).Replace(string(text)))
}
