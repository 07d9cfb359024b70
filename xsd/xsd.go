// Package xsd embeds the published schemas, so that a binary carries exactly what it enforces.
//
// The files are XSD 1.0. sinba-eventi-v1.xsd is the contract towards the enti's systems;
// siss-ricezione-v1.xsd, which includes evento-nazionale-v1.xsd, is the one towards the
// national endpoint; soap-fault-v1.2.xsd, which imports it, is for reading its faults.
package xsd

import "embed"

// The names of the schemas in FS, as ?xsd= serves them.
const (
	// SinbaEventi is the event contract, namespace urn:sinba:eventi:v1.
	SinbaEventi = "sinba-eventi-v1.xsd"
	// SissRicezione is the national service, namespace urn:sinba:siss:v1.
	SissRicezione = "siss-ricezione-v1.xsd"
	// EventoNazionale is the national event, included by SissRicezione and in its namespace.
	EventoNazionale = "evento-nazionale-v1.xsd"
	// FlussoSinba is the national SINBA flow, namespace http://inps.it/Casellario: a mirror of our own,
	// since the official file is not public. The file says what in it is inferred.
	FlussoSinba = "flusso-sinba-v1.xsd"
	// SoapFault is a SOAP 1.2 Fault with ErroreSiss, in the envelope's namespace.
	SoapFault = "soap-fault-v1.2.xsd"
)

// FS holds every schema under its name.
//
//go:embed *.xsd
var FS embed.FS
