// Package xmlschema parses, validates and canonicalises a document with libxml2.
//
// It binds libxml2 directly (internal/adr/0001-libxml2-bound-directly.md). Documents are read
// without network, files, entities or document types; a document is judged by XML Schema 1.0
// (W3C, 2004), and what is valid is given back in Exclusive XML Canonicalization 1.0 (W3C,
// 2002), without comments and processing instructions. No result holds a value of a document
// but the canonical bytes themselves.
//
// The C half (core.h) is also the core of the jailed children of internal/validator. Bytes
// from strangers belong there; this package's own Check runs in the calling process, where an
// error of memory in libxml2 would be an error of that process.
package xmlschema

/*
#cgo pkg-config: libxml-2.0
#include <stdlib.h>
#include "core.h"

// A document to be checked, and the room of its answer.
typedef struct job {
	const char *doc;
	size_t len;
	xs_buf out;
} job;

static void check_each(xs_checker *checker, job *jobs, size_t n, int mode)
{
	for (size_t i = 0; i < n; i++)
		xs_check(checker, jobs[i].doc, jobs[i].len, mode, &jobs[i].out);
}
*/
import "C"

import (
	"errors"
	"runtime"
	"strconv"
	"sync"
	"unsafe"
)

// ErrClosed is returned by Check after Close.
var ErrClosed = errors.New("schema closed")

// ErrNoMemory is returned when C has no memory left.
var ErrNoMemory = errors.New("no memory for libxml2")

// CompileError says why a schema did not compile.
type CompileError struct {
	// Code is libxml2's number (xmlParserErrors); 1549 means that a file was missing.
	Code int
	// Line in whichever file of the schema, 0 if unknown.
	Line int
}

// Error gives number and line.
func (e *CompileError) Error() string {
	return "schema does not compile: libxml2 error " + strconv.Itoa(e.Code) + " in line " + strconv.Itoa(e.Line)
}

// Schema is a compiled XML Schema, safe for concurrent use.
type Schema struct {
	names Names

	// idle holds the checkers that are not in use, nil for one not made yet. Its capacity
	// bounds how many documents are checked at once: a cgo call holds an OS thread for as
	// long as it lasts. Who holds one of them may read schema, who holds all may free it.
	idle   chan *C.xs_checker
	schema *C.xs_schema // nil once closed
	close  sync.Once
}

// Compile compiles the schema main. What it includes or imports is looked for in files and
// nowhere else, by the names it uses; what is not found there is an error.
func Compile(main string, files map[string][]byte) (*Schema, error) {
	return CompileWithLot(main, files, Lot{})
}

// CompileWithLot is Compile for a schema some of whose documents are lots.
func CompileWithLot(main string, files map[string][]byte, lot Lot) (*Schema, error) {
	names, err := ReadNames(main, files)
	if err != nil {
		return nil, err
	}
	if names.Lot = lot; !names.LotKnown() {
		return nil, ErrFiles
	}
	compiled, err := compile(main, files)
	if err != nil {
		return nil, err
	}
	if err := setLot(compiled, lot); err != nil {
		C.xs_schema_free(compiled)
		return nil, err
	}
	s := &Schema{names: names, schema: compiled, idle: make(chan *C.xs_checker, runtime.GOMAXPROCS(0))}
	for range cap(s.idle) {
		s.idle <- nil
	}
	return s, nil
}

func compile(main string, files map[string][]byte) (*C.xs_schema, error) {
	C.xs_init()
	list := C.xs_files_new()
	if list == nil {
		return nil, ErrNoMemory
	}
	defer C.xs_files_free(list)
	for name, content := range files {
		if err := addFile(list, name, content); err != nil {
			return nil, err
		}
	}
	cMain := C.CString(main)
	defer C.free(unsafe.Pointer(cMain))
	var fault C.xs_fault
	compiled := C.xs_compile(list, cMain, &fault)
	if compiled == nil {
		return nil, &CompileError{Code: int(fault.code), Line: int(fault.line)}
	}
	return compiled, nil
}

func setLot(schema *C.xs_schema, lot Lot) error {
	if lot == (Lot{}) {
		return nil
	}
	root, item, as := C.CString(lot.Root), C.CString(lot.Item), C.CString(lot.As)
	defer C.free(unsafe.Pointer(root))
	defer C.free(unsafe.Pointer(item))
	defer C.free(unsafe.Pointer(as))
	if C.xs_set_lot(schema, root, item, as) != 0 {
		return ErrNoMemory
	}
	return nil
}

func addFile(list *C.xs_files, name string, content []byte) error {
	cName := C.CString(name)
	defer C.free(unsafe.Pointer(cName))
	if C.xs_files_add(list, cName, unsafe.Pointer(unsafe.SliceData(content)), C.size_t(len(content))) != 0 {
		return ErrNoMemory
	}
	return nil
}

// Check parses doc and validates it. Whatever doc is, the answer is a verdict; an error means
// that the schema was closed or that there is no memory.
func (s *Schema) Check(doc []byte, mode Mode) (Verdict, error) {
	checked := s.CheckAll([][]byte{doc}, mode)[0]
	return checked.Verdict, checked.Err
}

// Checked is what Check gives for one document.
type Checked struct {
	Verdict Verdict
	Err     error
}

// CheckAll is Check for many documents, one after the other in a single call of C, with a result for
// each in their order. Go gives the processor of a call that lasts 20 us or more to another
// thread and has to find one again afterwards: documents that are checked together share that.
func (s *Schema) CheckAll(docs [][]byte, mode Mode) []Checked {
	results := make([]Checked, len(docs))
	if err := s.checkAll(docs, mode, results); err != nil {
		for i := range results {
			results[i] = Checked{Err: err}
		}
	}
	return results
}

func (s *Schema) checkAll(docs [][]byte, mode Mode, results []Checked) error {
	checker := <-s.idle
	defer func() { s.idle <- checker }()
	if s.schema == nil {
		return ErrClosed
	}
	if checker == nil {
		if checker = C.xs_checker_new(s.schema); checker == nil {
			return ErrNoMemory
		}
	}
	// Memory of Go that C sees may hold pointers to other memory of Go only if that is pinned (cmd/cgo,
	// "Passing pointers").
	var pinned runtime.Pinner
	defer pinned.Unpin()
	jobs := make([]C.job, len(docs))
	for i, doc := range docs {
		jobs[i].out.max = C.size_t(AnswerRoom(len(doc)))
		if len(doc) == 0 {
			continue
		}
		first := unsafe.SliceData(doc)
		pinned.Pin(first)
		jobs[i].doc, jobs[i].len = (*C.char)(unsafe.Pointer(first)), C.size_t(len(doc))
	}
	defer func() {
		for i := range jobs {
			C.free(unsafe.Pointer(jobs[i].out.data))
		}
	}()
	C.check_each(checker, unsafe.SliceData(jobs), C.size_t(len(jobs)), C.int(mode))
	for i := range jobs {
		r, out := &results[i], &jobs[i].out
		if out.data == nil {
			r.Err = ErrNoMemory
			continue
		}
		answer := C.GoBytes(unsafe.Pointer(out.data), C.int(out.len))
		C.free(unsafe.Pointer(out.data))
		out.data = nil
		r.Verdict, r.Err = Decode(answer, mode, s.names)
	}
	return nil
}

// Close frees the schema after waiting for the checks under way. Check fails from then on.
func (s *Schema) Close() error {
	s.close.Do(func() {
		for range cap(s.idle) {
			C.xs_checker_free(<-s.idle)
		}
		C.xs_schema_free(s.schema)
		s.schema = nil
		for range cap(s.idle) {
			s.idle <- nil
		}
	})
	return nil
}
