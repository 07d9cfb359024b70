// Package wsdl embeds the published service descriptions, so that a binary serves exactly the
// contract it implements.
//
// They are WSDL 1.1, document/literal. The text @BASE@ stands for the service's own address,
// which whoever serves them puts in its place.
package wsdl

import "embed"

// The names of the service descriptions in FS.
const (
	// SinbaEventi has a SOAP 1.1 and a SOAP 1.2 port.
	SinbaEventi = "SinbaEventi.wsdl"
	// SinbaEventi11 has the SOAP 1.1 port only, for stacks that stumble over the other.
	SinbaEventi11 = "SinbaEventi-1.1.wsdl"
	// SissRicezione is the national service, SOAP 1.2 only.
	SissRicezione = "SissRicezione.wsdl"
	// Base stands in the files for the service's own address.
	Base = "@BASE@"
)

// FS holds every service description under its name.
//
//go:embed *.wsdl
var FS embed.FS
