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
	// Elsewhere tells whether the block wants the answer or the fault at an address of its own
	// (wsa:ReplyTo, wsa:FaultTo) and not where the request came from.
	Elsewhere bool
}

// The namespaces of WS-Addressing 1.0 and of its submission, which older stacks speak.
const (
	addressing     = "http://www.w3.org/2005/08/addressing"
	addressing2004 = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
)

// ReadHeader lists the blocks of a canonical Header element (the validator wrote it, so that
// encoding/xml is safe here). An empty header gives none.
func ReadHeader(canonical []byte, v Version) ([]Block, error) {
	if len(canonical) == 0 {
		return nil, nil
	}
	d := xml.NewDecoder(bytes.NewReader(canonical))
	var blocks []Block
	depth := 0
	address := false // inside the Address of the last block
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
			address = depth == 2 && t.Name.Local == "Address" && t.Name.Space == blocks[len(blocks)-1].Namespace
			depth++
		case xml.CharData:
			if last := len(blocks) - 1; address && isAnonymous(strings.TrimSpace(string(t))) {
				blocks[last].Elsewhere = false
			}
		case xml.EndElement:
			address = false
			depth--
		}
	}
}

func readBlock(t xml.StartElement, v Version) Block {
	b := Block{Namespace: t.Name.Space, Name: t.Name.Local, ForUs: true}
	if b.Namespace == addressing || b.Namespace == addressing2004 {
		b.Elsewhere = b.Name == "ReplyTo" || b.Name == "FaultTo" // until its address says otherwise
	}
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

// isAnonymous tells whether an address means the connection the request came by.
func isAnonymous(address string) bool {
	return address == addressing+"/anonymous" || address == addressing2004+"/role/anonymous"
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
