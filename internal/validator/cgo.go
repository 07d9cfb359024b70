package validator

/*
#cgo CFLAGS: -I${SRCDIR}/../../pkg/xmlschema
#cgo pkg-config: libxml-2.0
*/
import "C"
