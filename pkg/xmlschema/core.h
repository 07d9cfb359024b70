/*
 * The C half of pkg/xmlschema. It is linked once and used twice: by the binding in this
 * package, and by the jailed child of internal/validator, where no Go runs at all.
 *
 * It takes bytes nobody vouches for. What it promises: no network, no file, no entity, no
 * document type; memory freed on every path; no value of the document in any finding; nothing
 * printed; every answer within the room the caller gave.
 */
#ifndef XS_CORE_H
#define XS_CORE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <libxml/parser.h>
#include <libxml/tree.h>

/* A buffer that grows up to max. After a failure it takes nothing more and says so. */
typedef struct xs_buf {
	unsigned char *data;
	size_t len, cap, max;
	int failed;
} xs_buf;

void xs_put_slowly(xs_buf *b, const void *data, size_t len);

/* Inline, because canonical XML is written in pieces of a few bytes. */
static inline void xs_put(xs_buf *b, const void *data, size_t len)
{
	size_t end = b->cap < b->max ? b->cap : b->max;

	if (b->failed || b->len >= end || end - b->len < len) {
		xs_put_slowly(b, data, len);
		return;
	}
	memcpy(b->data + b->len, data, len);
	b->len += len;
}

void xs_put_u8(xs_buf *b, unsigned v);
void xs_put_u16(xs_buf *b, unsigned v);
void xs_put_u32(xs_buf *b, uint32_t v);
void xs_set_u32(unsigned char *p, uint32_t v);
uint32_t xs_get_u32(const unsigned char *p);

/* The files of one schema, by the names they include each other with. */
typedef struct xs_files xs_files;
xs_files *xs_files_new(void);
int xs_files_add(xs_files *files, const char *name, const void *data, size_t len);
void xs_files_free(xs_files *files);

/* Why a schema did not compile: libxml2's number and the line, in whichever file. */
typedef struct xs_fault {
	int code, line;
} xs_fault;

typedef struct xs_schema xs_schema;
xs_schema *xs_compile(const xs_files *files, const char *main_file, xs_fault *fault);
const char *xs_namespace(const xs_schema *schema);
int xs_has_name(const xs_schema *schema, const char *name, const char *uri); /* a global element */
const char *xs_schema_file(const xs_schema *schema, int i, size_t *len); /* NULL after the last */
void xs_schema_free(xs_schema *schema);

/*
 * A lot: documents with the root `root` are a frame around elements `item`, each of which is judged
 * alone, as if it were the global element `as`. All are in the schema's namespace. NULL: no lots.
 */
typedef struct xs_lot {
	const char *root, *item, *as;
} xs_lot;
int xs_set_lot(xs_schema *schema, const char *root, const char *item, const char *as); /* 0 if it held */
const xs_lot *xs_lot_of(const xs_schema *schema);
int xs_is_lot(const xs_schema *schema, const char *name, int mode);
int xs_is_item(const xs_schema *schema, const char *name, const char *uri);

/* Initialises libxml2 and silences it, once per process. Call it before anything else. */
void xs_init(void);

/* The modes and outcomes; the same numbers as in verdict.go. */
enum { XS_ENVELOPE = 0, XS_BARE = 1, XS_JUDGE = 2 };
enum {
	XS_VALID = 0,
	XS_INVALID = 1,
	XS_MALFORMED = 2,
	XS_DOCTYPE = 3,
	XS_NOT_SOAP = 4,
	XS_UNKNOWN_ROOT = 5,
	XS_TOO_LARGE = 6,
	XS_UNKNOWN_ENVELOPE = 7,
	XS_WRONG_ENCODING = 8,
	XS_LOT = 9,
};
enum { XS_ITEM_END = 0, XS_ITEM_VALID = 1, XS_ITEM_INVALID = 2 };
enum {
	XS_SPLIT_VALUE = 100001,
	XS_BLANKS = 100002,
	XS_MISSING_CHILD = 100003,
	XS_MISPLACED = 100004,
	XS_TOO_MANY = 100005,
	XS_NAMESPACE = 100006,
};

/* What one thread needs to check documents one after the other. */
typedef struct xs_checker xs_checker;
xs_checker *xs_checker_new(const xs_schema *schema);
void xs_checker_free(xs_checker *checker);

/*
 * Checks one document and appends the answer to out; verdict.go's Decode reads it:
 *   u8 status | u8 soap | u8 n, n bytes root | u8 n, n bytes version | u32 n, n bytes header | rest
 *   rest, valid:     the canonical payload; nothing if only judged
 *   rest, invalid:   u32 total | u8 count | count findings
 *   rest, malformed: u32 line
 *   rest, lot:       for each item in order, by the u8 before it, then u8 0 and the canonical frame,
 *                    which is the root without its items:
 *     1, valid:      u8 n, n bytes version | u32 n, n bytes canonical item
 *     2, invalid:    u8 n, n bytes version | u8 n, n bytes id | u32 total | u8 count | count findings
 *   finding: u32 code | u32 line | u8 depth | depth steps from the validated element on
 *            | u8 kind | u16 length | u8 n, n bytes name of the child that is missing there, or meant
 *   step:    u16 position among siblings of that name | u16 position among all | u8 n, n bytes name
 * All numbers are little endian. out->max is never passed: then the answer is XS_TOO_LARGE.
 */
void xs_check(xs_checker *checker, const char *doc, size_t len, int mode, xs_buf *out);

/* The same by a tree for every document, as xs_check does for those that are not plainly valid. */
void xs_check_by_tree(xs_checker *checker, const char *doc, size_t len, int mode, xs_buf *out);

/*
 * The short way: 1 if the document is plainly valid and its answer appended to out; 0, and out as
 * it was, for every other document. doc must be labelled UTF-8.
 */
typedef struct xs_stream xs_stream;
xs_stream *xs_stream_new(const xs_schema *schema);
void xs_stream_free(xs_stream *stream);
int xs_stream_check(xs_stream *stream, const char *doc, size_t len, int mode, xs_buf *out);

/*
 * The parser's flags: no network, and nothing else. Never XML_PARSE_NOENT, DTDLOAD, DTDATTR,
 * DTDVALID, XINCLUDE, RECOVER or HUGE: each of them lets a document reach beyond itself.
 */
enum { XS_PARSER_FLAGS = XML_PARSE_NONET };

/* A parser keeps every name it ever saw; with more than these it is replaced. */
enum { XS_MAX_NAMES = 20000 };

/* 1 for SOAP 1.1's namespace, 2 for SOAP 1.2's, 0 for any other. */
unsigned xs_soap_version(const char *uri);

/*
 * SOAP is XML 1.0. libxml2 reads 1.1 as if it were 1.0, which it is not: line ends and allowed
 * characters differ, so that sender and hub would read two messages. NULL: none declared.
 */
int xs_is_version_1_0(const xmlChar *version);

/*
 * For handlers of the parser's errors: nothing more is read. Left alone, libxml2 reads on behind an
 * error, takes up at places of its own choosing and reports the next million: most of a second for
 * 2 MiB of "&a;", ten for hyphens in comments. The last call of an error's handler, at every error.
 */
void xs_stop_at_error(xmlParserCtxtPtr parser);

/* The answer up to the header's length. version is the subject's attribute, NULL without one. */
void xs_write_head(xs_buf *out, int status, unsigned soap, const char *root, const char *version, size_t len);

/* What an element declares as its version: digits and points, "?" for anything else. */
void xs_write_version(xs_buf *out, const char *version, size_t len);

/* The items of a lot whose frame is right, then the frame. 0 if it was done. */
int xs_write_items(xs_checker *checker, const xs_schema *schema, xmlNodePtr root, xs_buf *out);

/* How many bytes the answer XS_TOO_LARGE takes: the least out->max must leave. */
enum { XS_LEAST_ANSWER = 8 };

/* The longest version an element may declare. */
enum { XS_MAX_VERSION = 8 };

/*
 * Exclusive C14N 1.0 of the subtree, without comments and processing instructions; the second
 * without a lot's items.
 */
void xs_canonical(xmlNodePtr apex, xs_buf *out);
void xs_canonical_frame(const xs_schema *schema, xmlNodePtr apex, xs_buf *out);

/* The parser's own bound, and room for its last element. */
enum { XS_MAX_DEPTH = 260 };

/* A namespace written by an element that is still open. prefix "" is the default namespace. */
struct xs_rendered {
	const char *prefix, *uri;
};

/* An attribute. Its value is len bytes at value, or the texts of pieces. */
typedef struct xs_attribute {
	const char *prefix, *uri, *name; /* prefix and uri NULL: no namespace */
	const char *value;
	size_t len;
	xmlNodePtr pieces;
} xs_attribute;

/*
 * Writes the same form event by event: an element's attributes, its start, its content, its end.
 * The names given must live until the element's end. Begin with everything zero but out.
 */
typedef struct xs_writer {
	xs_buf *out;
	struct xs_rendered *ns;
	size_t ns_len, ns_cap;
	xs_attribute *attributes;
	size_t attributes_len, attributes_cap;
	size_t marks[XS_MAX_DEPTH];
	size_t depth;
} xs_writer;
xs_attribute *xs_write_attribute(xs_writer *writer); /* the next one, for the caller to fill; or NULL */
void xs_write_start(xs_writer *writer, const char *prefix, const char *uri, const char *name);
void xs_write_text(xs_writer *writer, const char *text, size_t len);
void xs_write_end(xs_writer *writer, const char *prefix, const char *name);
void xs_writer_free(xs_writer *writer);

/* The contents of elements: core_model.c. A slot is an element of a sequence, or a choice in one. */
enum { XS_MAX_PARTICLES = 48, XS_MAX_DOCS = 8, XS_MAX_REPAIRED = 64 };
typedef struct xs_type xs_type;
typedef struct xs_particle {
	xmlChar *name;
	const xs_type *type; /* NULL: simple, or not found */
	int slot;
} xs_particle;
struct xs_type {
	xmlNodePtr declaration;
	xs_particle particles[XS_MAX_PARTICLES];
	struct {
		int least, most;
	} slots[XS_MAX_PARTICLES];
	int n_particles, n_slots, understood;
	xs_type *next;
};
typedef struct xs_model {
	const char *namespace;
	xmlDocPtr docs[XS_MAX_DOCS];
	int n_docs;
	xs_type *types;
} xs_model;
xs_model *xs_model_new(const xs_schema *schema);
const xs_type *xs_model_root(const xs_model *model, const xmlChar *name);
void xs_model_free(xs_model *model);

/*
 * The violations of one document. Nodes belong to its tree. More are collected than are written,
 * because they are found in several passes and written in the document's order.
 */
enum { XS_MAX_FINDINGS = 100, XS_MAX_COLLECTED = 1000 };
typedef struct xs_finding {
	int code, next; /* next: of the same node, from 1 */
	xmlNodePtr node;
	const xmlChar *child; /* of the model, or NULL */
} xs_finding;
typedef struct xs_findings {
	xs_finding list[XS_MAX_COLLECTED];
	int count;
	uint32_t total;
	int no_memory;
	int broken_structure; /* libxml2 passed over some of the document */
	int in_structure;     /* core_repair.c is telling it */
	xmlNodePtr last_node;
	xmlNodePtr hollow; /* a lot whose items are hollow, or NULL */
	uint32_t empty;    /* and how many of them were found to be so */
} xs_findings;

/* What a value is made of; the highest bit says that there is one. */
enum {
	XS_LOWER = 1,
	XS_UPPER = 2,
	XS_DIGITS = 4,
	XS_SIGNS = 8,
	XS_SPACES = 16,
	XS_OTHERS = 32,
	XS_DESCRIBED = 128,
};

int xs_is_blank(unsigned char c);
xmlNodePtr xs_next_node(xmlNodePtr node, xmlNodePtr apex); /* in document order, NULL after the last */
void xs_findings_add(xs_findings *findings, int code, xmlNodePtr node, const xmlChar *child);
void xs_findings_collect(void *findings, xmlErrorPtr error);
void xs_findings_split_values(xs_findings *findings, xmlNodePtr apex);
int xs_is_blank_around(const xs_finding *finding); /* a value refused that has blanks around it */
const xs_finding *xs_findings_of(const xs_findings *findings, xmlNodePtr node);
/* relative: lines count from the one in which the apex begins, and are 0 where that is not known. */
void xs_findings_write(xs_findings *findings, xmlNodePtr apex, int relative, xs_buf *out);

/*
 * Changes of a tree that are told and taken back: core_repair.c. Begin with only findings set. While
 * they stand, a node's _private marks a stand-in, its psvi an element whose missing children are told
 * or, if it is the lot, an item of that lot.
 */
typedef struct xs_repair {
	xs_findings *findings;
	xmlNsPtr ns;
	struct xs_edit *edits;
	size_t len, cap;
	int no_memory;
} xs_repair;
void xs_repair_structure(xs_repair *repair, const xs_model *model, xmlNodePtr subject);
void xs_repair_trim(xs_repair *repair, xmlNodePtr node);
/*
 * Makes every item of a lot empty, so that what is found in the lot is the frame's. Gives the number
 * of items. Not told.
 */
uint32_t xs_repair_hollow(xs_repair *repair, const xs_schema *schema, xmlNodePtr lot);
void xs_repair_undo(xs_repair *repair);

/*
 * All that is wrong with an element, in new findings; the tree is as before. Less than 0 if it cannot
 * be told.
 */
int xs_judge(xs_checker *checker, xmlNodePtr subject, xs_findings *findings);

#endif
