// Package contract is the catalogue of operations of the public service SinbaEventi: the
// request and response of each, its action, and the published WSDL and schemas.
//
// It promises that what is served at ?wsdl and ?xsd= is what the validator enforces: both come
// from the same embedded files (packages wsdl and xsd).
package contract

import (
	"bytes"
	"errors"
	"strings"

	"github.com/sinbahub/sinbahub/wsdl"
	"github.com/sinbahub/sinbahub/xsd"
)

// Namespace is the contract's only namespace, of messages and WSDL alike.
const Namespace = "urn:sinba:eventi:v1"

// Path is where the service listens (ModI: /soap/<area>/v<major>/<Name>).
const Path = "/soap/sociale/v1/SinbaEventi"

// SchemaVersion is the version of the published schema, of messages that declare none, and of all
// that is not one message.
const SchemaVersion = "1.0"

// Name is an operation's name in the WSDL.
type Name string

// The operations of the port type.
const (
	InviaEvento     Name = "inviaEvento"
	InviaLotto      Name = "inviaLotto"
	VerificaEvento  Name = "verificaEvento"
	StatoEvento     Name = "statoEvento"
	RiepilogoEventi Name = "riepilogoEventi"
	Echo            Name = "echo"
)

// Operation is one unit of work of the WSDL.
type Operation struct {
	// Name as in the WSDL.
	Name Name
	// Request and Response are the local names of the body's child.
	Request, Response string
}

// Action is the operation's soapAction in both bindings.
func (o Operation) Action() string { return Namespace + "/" + string(o.Name) }

// Operations lists all of them in the order of the WSDL.
func Operations() []Operation {
	return []Operation{
		{InviaEvento, "InviaEventoRichiesta", "InviaEventoRisposta"},
		{InviaLotto, "InviaLottoRichiesta", "InviaLottoRisposta"},
		{VerificaEvento, "VerificaEventoRichiesta", "VerificaEventoRisposta"},
		{StatoEvento, "StatoEventoRichiesta", "StatoEventoRisposta"},
		{RiepilogoEventi, "RiepilogoEventiRichiesta", "RiepilogoEventiRisposta"},
		{Echo, "EchoRichiesta", "EchoRisposta"},
	}
}

// Catalogue answers what the contract says.
type Catalogue struct {
	byRequest      map[string]Operation
	wsdl, wsdl11   []byte
	schema         []byte
	schemaFileName string
}

// errContract means that the binary was built without its contract.
var errContract = errors.New("embedded contract is incomplete")

// New reads the embedded contract.
func New() (*Catalogue, error) {
	c := &Catalogue{byRequest: map[string]Operation{}, schemaFileName: xsd.SinbaEventi}
	for _, o := range Operations() {
		c.byRequest[o.Request] = o
	}
	for _, f := range []struct {
		into *[]byte
		read func() ([]byte, error)
	}{
		{&c.wsdl, func() ([]byte, error) { return wsdl.FS.ReadFile(wsdl.SinbaEventi) }},
		{&c.wsdl11, func() ([]byte, error) { return wsdl.FS.ReadFile(wsdl.SinbaEventi11) }},
		{&c.schema, func() ([]byte, error) { return xsd.FS.ReadFile(xsd.SinbaEventi) }},
	} {
		text, err := f.read()
		if err != nil || len(text) == 0 {
			return nil, errContract
		}
		*f.into = text
	}
	return c, nil
}

// ByRequest finds the operation whose request has this local name in the contract's namespace.
func (c *Catalogue) ByRequest(root string) (Operation, bool) {
	o, ok := c.byRequest[root]
	return o, ok
}

// AgreesWith tells whether an action that a sender named (SOAPAction, or the action parameter)
// fits the operation: the WSDL's action, or the bare operation or request name, which some
// stacks derive. An empty action always agrees.
func (o Operation) AgreesWith(action string) bool {
	return action == "" || action == o.Action() || action == string(o.Name) ||
		action == o.Request || action == Namespace+"/"+o.Request ||
		action == Namespace+"#"+string(o.Name) || action == Namespace+":"+string(o.Name)
}

// WSDL gives the service description with its own address filled in. soap11 asks for the one
// with the SOAP 1.1 port only, for stacks that stumble over a 1.2 port.
func (c *Catalogue) WSDL(address string, soap11 bool) []byte {
	text := c.wsdl
	if soap11 {
		text = c.wsdl11
	}
	return bytes.ReplaceAll(text, []byte("@BASE@"), []byte(escape(address)))
}

// XSD gives a published schema by its file name.
func (c *Catalogue) XSD(name string) ([]byte, bool) {
	if name != c.schemaFileName {
		return nil, false
	}
	return c.schema, true
}

// escape makes an address fit for an attribute value.
func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", `"`, "&quot;").Replace(s)
}
