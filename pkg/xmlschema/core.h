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
int xs_has_element(const xs_schema *schema, xmlNodePtr node);
void xs_schema_free(xs_schema *schema);

/* Initialises libxml2 and silences it, once per process. Call it before anything else. */
void xs_init(void);

/* The modes and outcomes; the same numbers as in verdict.go. */
enum { XS_ENVELOPE = 0, XS_BARE = 1 };
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
};
enum { XS_SPLIT_VALUE = 100001, XS_BLANKS = 100002, XS_MISSING_CHILD = 100003 };

/* What one thread needs to check documents one after the other. */
typedef struct xs_checker xs_checker;
xs_checker *xs_checker_new(const xs_schema *schema);
void xs_checker_free(xs_checker *checker);

/*
 * Checks one document and appends the answer to out; verdict.go's Decode reads it:
 *   u8 status | u8 soap | u8 n, n bytes root | u8 n, n bytes version | u32 n, n bytes header | rest
 *   rest, valid:     the canonical payload
 *   rest, invalid:   u32 total | u8 count | count findings
 *   rest, malformed: u32 line
 *   finding: u32 code | u32 line | u8 depth | depth steps from the validated element on
 *   step:    u16 position among siblings of that name | u16 position among all | u8 n, n bytes name
 * All numbers are little endian. out->max is never passed: then the answer is XS_TOO_LARGE.
 */
void xs_check(xs_checker *checker, const char *doc, size_t len, int mode, xs_buf *out);

/* How many bytes the answer XS_TOO_LARGE takes: the least out->max must leave. */
enum { XS_LEAST_ANSWER = 8 };

/* The longest version an element may declare. */
enum { XS_MAX_VERSION = 8 };

/* Exclusive C14N 1.0 of the subtree, without comments and processing instructions. */
void xs_canonical(xmlNodePtr apex, xs_buf *out);

/* The violations of one document. Nodes belong to its tree. */
enum { XS_MAX_FINDINGS = 100 };
typedef struct xs_finding {
	int code;
	xmlNodePtr node;
} xs_finding;
typedef struct xs_findings {
	xs_finding list[XS_MAX_FINDINGS];
	int count;
	uint32_t total;
	int no_memory;
	xmlNodePtr last_node;
} xs_findings;

void xs_findings_collect(void *findings, xmlErrorPtr error);
void xs_findings_split_values(xs_findings *findings, xmlNodePtr apex);
void xs_findings_write(xs_findings *findings, xmlNodePtr apex, xs_buf *out);

#endif
