package soap

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
)

// ErrHeader says that canonical header bytes could not be read: encoding/xml knows the names of
// XML 1.0's second edition only.
var ErrHeader = errors.New("canonical header unreadable")

// Block is one header block of a request, as far as its addressing goes.
type Block struct {
	// Namespace and Name are the block's QName. They are content: never log or return them.
	Namespace, Name string
	// MustUnderstand is the sender's demand.
	MustUnderstand bool
	// ForUs tells whether the block is addressed to the ultimate receiver or the next node.
	ForUs bool
}

// ReadHeader lists the blocks of a canonical Header element (the validator wrote it, so that
// encoding/xml is safe here). An empty header gives none.
func ReadHeader(canonical []byte, v Version) ([]Block, error) {
	if len(canonical) == 0 {
		return nil, nil
	}
	d := xml.NewDecoder(bytes.NewReader(canonical))
	var blocks []Block
	depth := 0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return blocks, nil
		}
		if err != nil {
			return nil, ErrHeader
		}
		switch t := token.(type) {
		case xml.StartElement:
			if depth == 1 {
				blocks = append(blocks, readBlock(t, v))
			}
			depth++
		case xml.EndElement:
			depth--
		}
	}
}

func readBlock(t xml.StartElement, v Version) Block {
	b := Block{Namespace: t.Name.Space, Name: t.Name.Local, ForUs: true}
	for _, a := range t.Attr {
		if a.Name.Space != v.Namespace() {
			continue
		}
		switch a.Name.Local {
		case "mustUnderstand":
			value := strings.TrimSpace(a.Value) // xs:boolean collapses blanks
			b.MustUnderstand = value == "1" || value == "true"
		case "actor", "role":
			b.ForUs = forUs(strings.TrimSpace(a.Value))
		}
	}
	return b
}

// forUs tells whether an actor (1.1) or role (1.2) means this node, which is always the
// ultimate receiver (SOAP 1.1 section 4.2.2, SOAP 1.2 section 2.2).
func forUs(actor string) bool {
	switch actor {
	case "", "http://schemas.xmlsoap.org/soap/actor/next",
		Namespace12 + "/role/next", Namespace12 + "/role/ultimateReceiver":
		return true
	}
	return false
}
