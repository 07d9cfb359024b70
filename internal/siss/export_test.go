package siss

// What only the tests of this package need of its inside.
var (
	Standalone = standalone
	TypeOf     = typeOf
	Text       = text
	AppendJSON = appendJSON
)
