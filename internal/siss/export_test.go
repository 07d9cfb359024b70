package siss

// What only the tests of this package need of its inside.
var (
	TypeOf     = typeOf
	Text       = text
	AppendJSON = appendJSON
)

// Standalone is appendStandalone in room of its own.
func Standalone(whole []byte) []byte { return appendStandalone(nil, whole) }
