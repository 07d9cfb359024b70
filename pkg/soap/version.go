package soap

// Version is the version of SOAP that a message speaks. An answer speaks the version of its
// request (contract, "Service SinbaEventi"). The zero value stands for no SOAP message at all.
type Version uint8

// The versions of SOAP: the envelope's namespace decides, whatever the media type says.
const (
	// V11 is SOAP 1.1, namespace http://schemas.xmlsoap.org/soap/envelope/.
	V11 Version = 1
	// V12 is SOAP 1.2, namespace http://www.w3.org/2003/05/soap-envelope.
	V12 Version = 2
)
