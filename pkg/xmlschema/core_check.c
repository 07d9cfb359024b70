/*
 * One document: parse, find the element, validate it, write the answer. Most are valid and take
 * the short way (core_stream.c); the long way by a tree is here.
 */
#include "core.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <libxml/parser.h>
#include <libxml/xmlschemas.h>

xmlSchemaPtr xs_compiled(const xs_schema *schema);

static const char soap11[] = "http://schemas.xmlsoap.org/soap/envelope/";
static const char soap12[] = "http://www.w3.org/2003/05/soap-envelope";

struct xs_checker {
	const xs_schema *schema;
	xs_stream *stream;
	xmlParserCtxtPtr parser;
	xmlSchemaValidCtxtPtr validator;
	xs_model *model; /* made for the first document that is not valid */
	int no_memory;   /* of the document at hand */
};

/* What is known of the document at hand. */
struct run {
	int status;
	int doctype;
	int *no_memory; /* the checker's */
	int broken;
	int line;
	unsigned soap;
	xmlNodePtr header, subject;
	xs_findings findings;
};

/* A document type is refused where it begins, before anything in it is read. */
static void refuse_doctype(void *ctx, const xmlChar *name, const xmlChar *id, const xmlChar *uri)
{
	xmlParserCtxtPtr parser = ctx;
	struct run *run = parser->_private;

	(void)name;
	(void)id;
	(void)uri;
	run->doctype = 1;
	xmlStopParser(parser);
}

/*
 * Unlike xmlStopParser it frees nothing: libxml2 2.9.14 goes on in its buffer after it has told an
 * error (xmlParseCharData sets the place behind a misplaced "]]>").
 */
void xs_stop_at_error(xmlParserCtxtPtr parser)
{
	parser->disableSAX = 1;
	parser->instate = XML_PARSER_EOF;
	if (parser->input != NULL)
		parser->input->cur = parser->input->end;
}

static void note_parser_error(void *ctx, xmlErrorPtr error)
{
	xmlParserCtxtPtr parser = ctx;
	struct run *run = parser->_private;

	if (error->code == XML_ERR_NO_MEMORY)
		*run->no_memory = 1;
	/* A value of xml:id is no matter of being well-formed. */
	if (error->level < XML_ERR_ERROR || error->domain == XML_FROM_VALID || error->domain == XML_FROM_DTD)
		return;
	if (!run->broken)
		run->line = error->line;
	run->broken = 1;
	xs_stop_at_error(parser);
}

/* The thread's own channel, for what libxml2 reports without a context. */
static void note_stray_error(void *no_memory, xmlErrorPtr error)
{
	if (error->code == XML_ERR_NO_MEMORY)
		*(int *)no_memory = 1;
}

static int renew(xs_checker *c)
{
	if (c->validator != NULL)
		xmlSchemaFreeValidCtxt(c->validator);
	if (c->parser != NULL)
		xmlFreeParserCtxt(c->parser);
	c->validator = NULL;
	c->parser = xmlNewParserCtxt();
	if (c->parser == NULL)
		return -1;
	c->parser->sax->internalSubset = refuse_doctype;
	c->parser->sax->externalSubset = refuse_doctype;
	c->parser->sax->serror = note_parser_error;
	c->validator = xmlSchemaNewValidCtxt(xs_compiled(c->schema));
	return c->validator == NULL ? -1 : 0;
}

xs_checker *xs_checker_new(const xs_schema *schema)
{
	xs_checker *c = calloc(1, sizeof *c);

	if (c == NULL)
		return NULL;
	c->schema = schema;
	c->stream = xs_stream_new(schema);
	if (c->stream == NULL || renew(c) != 0) {
		xs_checker_free(c);
		return NULL;
	}
	return c;
}

void xs_checker_free(xs_checker *c)
{
	if (c == NULL)
		return;
	xs_stream_free(c->stream);
	xs_model_free(c->model);
	if (c->validator != NULL)
		xmlSchemaFreeValidCtxt(c->validator);
	if (c->parser != NULL)
		xmlFreeParserCtxt(c->parser);
	free(c);
}

/*
 * Whether the bytes may be given to the parser as UTF-8. The encoding is settled here, so that
 * libxml2 never looks for a converter: that would open files, and a decoder is no place for a
 * stranger's bytes.
 */
static int is_utf8_labelled(const char *doc, size_t len)
{
	const char *end, *p;

	if (memchr(doc, 0, len) != NULL)
		return 0;
	if (len >= 3 && memcmp(doc, "\xEF\xBB\xBF", 3) == 0) {
		doc += 3;
		len -= 3;
	}
	/* The signatures of UTF-16 and EBCDIC; any other beginning the parser takes as UTF-8. */
	for (size_t i = 0; i < 4 && i < len && doc[0] != '<'; i++)
		if ((unsigned char)doc[i] >= 0x80)
			return 0;
	if (len < 5 || memcmp(doc, "<?xml", 5) != 0)
		return 1;
	end = memchr(doc, '>', len);
	if (end == NULL)
		return 1;
	for (p = doc + 5; p + 8 <= end; p++)
		if (memcmp(p, "encoding", 8) == 0)
			break;
	if (p + 8 > end)
		return 1;
	for (p += 8; p < end && strchr(" \t\r\n=", *p) != NULL; p++)
		;
	return end - p >= 7 && (*p == '"' || *p == '\'') && strncasecmp(p + 1, "UTF-8", 5) == 0 &&
	       p[6] == *p;
}

int xs_is_version_1_0(const xmlChar *version)
{
	return version == NULL || strcmp((const char *)version, "1.0") == 0;
}

unsigned xs_soap_version(const char *uri)
{
	if (uri == NULL)
		return 0;
	return strcmp(uri, soap11) == 0 ? 1 : strcmp(uri, soap12) == 0 ? 2 : 0;
}

/* What is settled before any parser sees the bytes. */
static int precheck(const char *doc, size_t len)
{
	if (!is_utf8_labelled(doc, len))
		return XS_WRONG_ENCODING;
	return len > INT32_MAX ? XS_TOO_LARGE : XS_VALID;
}

static xmlDocPtr parse(xs_checker *c, struct run *run, const char *doc, size_t len)
{
	xmlDocPtr tree;

	if ((c->parser == NULL || c->validator == NULL || xmlDictSize(c->parser->dict) > XS_MAX_NAMES) &&
	    renew(c) != 0) {
		run->status = XS_TOO_LARGE;
		return NULL;
	}
	c->parser->_private = run;
	tree = xmlCtxtReadMemory(c->parser, doc, (int)len, NULL, NULL, XS_PARSER_FLAGS);
	c->parser->_private = NULL;
	if (c->no_memory)
		run->status = XS_TOO_LARGE;
	else if (run->doctype || (tree != NULL && (tree->intSubset != NULL || tree->extSubset != NULL)))
		run->status = XS_DOCTYPE;
	else if (run->broken || tree == NULL || !c->parser->wellFormed || !c->parser->nsWellFormed ||
		 xmlDocGetRootElement(tree) == NULL || !xs_is_version_1_0(tree->version))
		run->status = XS_MALFORMED;
	return tree;
}

static const char *uri_of(xmlNodePtr element)
{
	return element->ns == NULL ? NULL : (const char *)element->ns->href;
}

static int is_soap(xmlNodePtr element, const char *name, unsigned soap)
{
	return strcmp((const char *)element->name, name) == 0 && xs_soap_version(uri_of(element)) == soap;
}

/* The element children of parent, at most two; -1 if there is text beside them or a third. */
static int element_children(xmlNodePtr parent, xmlNodePtr children[2])
{
	int n = 0;

	for (xmlNodePtr c = parent->children; c != NULL; c = c->next) {
		if (c->type == XML_COMMENT_NODE || c->type == XML_PI_NODE || xmlIsBlankNode(c))
			continue;
		if (c->type != XML_ELEMENT_NODE || n == 2)
			return -1;
		children[n++] = c;
	}
	return n;
}

/* Finds Header and the Body's only child: SOAP 1.1 section 4, SOAP 1.2 part 1 section 5. */
static int open_envelope(struct run *run, xmlNodePtr root)
{
	xmlNodePtr parts[2], body, none[2];
	int n;

	if (strcmp((const char *)root->name, "Envelope") != 0)
		return XS_NOT_SOAP;
	run->soap = xs_soap_version(uri_of(root));
	if (run->soap == 0)
		return XS_UNKNOWN_ENVELOPE;
	n = element_children(root, parts);
	if (n < 1 || !is_soap(parts[n - 1], "Body", run->soap))
		return XS_NOT_SOAP;
	body = parts[n - 1];
	if (n == 2) {
		if (!is_soap(parts[0], "Header", run->soap))
			return XS_NOT_SOAP;
		run->header = parts[0];
	}
	if (element_children(body, none) != 1)
		return XS_NOT_SOAP;
	run->subject = none[0];
	return XS_VALID;
}

static int locate(xs_checker *c, struct run *run, xmlDocPtr tree, int mode)
{
	int status = XS_VALID;

	if (mode == XS_ENVELOPE)
		status = open_envelope(run, xmlDocGetRootElement(tree));
	else
		run->subject = xmlDocGetRootElement(tree);
	if (status == XS_VALID &&
	    !xs_has_name(c->schema, (const char *)run->subject->name, uri_of(run->subject))) {
		run->subject = NULL;
		status = XS_UNKNOWN_ROOT;
	}
	return status;
}

/* What libxml2 finds in the element as it stands; less than 0 if it fails itself. */
static int judge_as_is(xs_checker *c, xmlNodePtr subject, xs_findings *findings)
{
	int result;

	xmlSchemaSetValidStructuredErrors(c->validator, xs_findings_collect, findings);
	result = xmlSchemaValidateOneElement(c->validator, subject);
	return c->no_memory || findings->no_memory ? -1 : result;
}

/*
 * Blanks are told only where they are all that is wrong: the values they stand around are judged
 * again without them.
 */
static int settle_blanks(xs_checker *c, xmlNodePtr subject, xs_findings *findings)
{
	xs_repair trimmed = {0};
	xs_findings *again = NULL;
	int failed;

	for (int i = 0; i < findings->count; i++)
		if (xs_is_blank_around(&findings->list[i]))
			xs_repair_trim(&trimmed, findings->list[i].node);
	if (trimmed.len == 0)
		return trimmed.no_memory;
	again = calloc(1, sizeof *again);
	failed = again == NULL || trimmed.no_memory || judge_as_is(c, subject, again) < 0;
	xs_repair_undo(&trimmed);
	for (int i = 0; i < findings->count && !failed; i++) {
		xs_finding *f = &findings->list[i];
		const xs_finding *other;
		if (!xs_is_blank_around(f))
			continue;
		other = xs_findings_of(again, f->node);
		f->code = other == NULL ? XS_BLANKS : other->code;
	}
	free(again);
	return failed;
}

/* libxml2 passes over what follows a wrong child: the rest is judged in a tree that is repaired. */
static int judge_repaired(xs_checker *c, xmlNodePtr subject, xs_repair *repair)
{
	xs_findings *findings = repair->findings, *first;
	int failed;

	if (c->model == NULL)
		c->model = xs_model_new(c->schema);
	first = c->model == NULL ? NULL : malloc(sizeof *first);
	if (first == NULL)
		return -1;
	*first = *findings;
	memset(findings, 0, sizeof *findings);
	findings->hollow = first->hollow;
	xs_repair_structure(repair, c->model, subject);
	failed = repair->no_memory || judge_as_is(c, subject, findings) < 0;
	/* What libxml2 refused is never told as valid. */
	if (!failed && findings->total == 0)
		*findings = *first;
	free(first);
	return failed ? -1 : 0;
}

/* Finds all that is wrong and takes the changes back, those too that were made before. */
static int judge_and_undo(xs_checker *c, xmlNodePtr subject, xs_repair *repair)
{
	xs_findings *findings = repair->findings;
	int result = repair->no_memory ? -1 : judge_as_is(c, subject, findings), failed = result < 0;

	if (!failed && findings->broken_structure)
		failed = judge_repaired(c, subject, repair) != 0;
	if (!failed && findings->total > 0)
		failed = settle_blanks(c, subject, findings);
	if (!failed)
		xs_findings_split_values(findings, subject);
	xs_repair_undo(repair);
	/* No finding and yet not valid does not happen but for items that are hollow. */
	return failed || (result != 0 && findings->total == 0 && findings->empty == 0) ? -1 : 0;
}

int xs_judge(xs_checker *c, xmlNodePtr subject, xs_findings *findings)
{
	xs_repair repair = {.findings = findings};

	memset(findings, 0, sizeof *findings);
	return judge_and_undo(c, subject, &repair);
}

/* The frame of a lot: its items are judged one by one when the answer is written. */
static int validate_frame(xs_checker *c, struct run *run)
{
	xs_repair repair = {.findings = &run->findings};
	uint32_t items = xs_repair_hollow(&repair, c->schema, run->subject);

	if (judge_and_undo(c, run->subject, &repair) != 0)
		return XS_TOO_LARGE;
	if (run->findings.total > 0)
		return XS_INVALID;
	/* Nothing was found but that each item is empty; if it were otherwise it must not pass. */
	return items > 0 && run->findings.empty == items ? XS_LOT : XS_TOO_LARGE;
}

static int validate(xs_checker *c, struct run *run)
{
	if (xs_judge(c, run->subject, &run->findings) != 0)
		return XS_TOO_LARGE;
	return run->findings.total > 0 ? XS_INVALID : XS_VALID;
}

/*
 * The version of its contract that the element declares. It decides before the schema does, so it
 * is told for invalid documents too: digits and points only, "?" for anything else.
 */
void xs_write_version(xs_buf *out, const char *version, size_t len)
{
	size_t plain = 0;

	if (version == NULL) {
		xs_put_u8(out, 0);
		return;
	}
	while (plain < len && version[plain] != '\0' && strchr("0123456789.", version[plain]) != NULL)
		plain++;
	if (len == 0 || len > XS_MAX_VERSION || plain != len) {
		xs_put_u8(out, 1);
		xs_put(out, "?", 1);
	} else {
		xs_put_u8(out, (unsigned)len);
		xs_put(out, version, len);
	}
}

void xs_write_head(xs_buf *out, int status, unsigned soap, const char *root, const char *version, size_t len)
{
	size_t n = root == NULL ? 0 : strlen(root);

	if (n > 255)
		n = 0;
	xs_put_u8(out, (unsigned)status);
	xs_put_u8(out, soap);
	xs_put_u8(out, (unsigned)n);
	if (n > 0)
		xs_put(out, root, n);
	xs_write_version(out, version, len);
}

static void write_answer(xs_checker *c, struct run *run, int mode, xs_buf *out)
{
	size_t start = out->len, header_at, header_len;
	xmlChar *version = NULL;
	const char *root = NULL;

	if (run->subject != NULL) {
		version = xmlGetNoNsProp(run->subject, (const xmlChar *)"versione");
		root = (const char *)run->subject->name;
	}
	xs_write_head(out, run->status, run->soap, root, (const char *)version,
		      version == NULL ? 0 : strlen((const char *)version));
	xmlFree(version);
	header_at = out->len;
	xs_put_u32(out, 0);
	if (run->header != NULL)
		xs_canonical(run->header, out);
	if (!out->failed) {
		header_len = out->len - header_at - 4;
		xs_set_u32(out->data + header_at, (uint32_t)header_len);
	}
	if (run->status == XS_VALID && mode != XS_JUDGE)
		xs_canonical(run->subject, out);
	else if (run->status == XS_INVALID)
		xs_findings_write(&run->findings, run->subject, 0, out);
	else if (run->status == XS_LOT && xs_write_items(c, c->schema, run->subject, out) != 0)
		out->failed = 1;
	else if (run->status == XS_MALFORMED)
		xs_put_u32(out, (uint32_t)(run->line > 0 ? run->line : 0));
	if (out->failed) {
		static const unsigned char too_large[XS_LEAST_ANSWER] = {XS_TOO_LARGE};
		out->len = start;
		out->failed = 0;
		xs_put(out, too_large, sizeof too_large);
	}
}

void xs_check_by_tree(xs_checker *c, const char *doc, size_t len, int mode, xs_buf *out)
{
	struct run run = {.status = XS_VALID, .no_memory = &c->no_memory};
	xmlDocPtr tree = NULL;

	c->no_memory = 0;
	xmlSetStructuredErrorFunc(&c->no_memory, note_stray_error);
	run.status = precheck(doc, len);
	if (run.status == XS_VALID)
		tree = parse(c, &run, doc, len);
	if (run.status == XS_VALID)
		run.status = locate(c, &run, tree, mode);
	if (run.status == XS_VALID)
		run.status = xs_is_lot(c->schema, (const char *)run.subject->name, mode) ? validate_frame(c, &run)
											 : validate(c, &run);
	write_answer(c, &run, mode, out);
	if (tree != NULL)
		xmlFreeDoc(tree);
	xmlSetStructuredErrorFunc(NULL, NULL);
}

void xs_check(xs_checker *c, const char *doc, size_t len, int mode, xs_buf *out)
{
	int ignored = 0, done;

	xmlSetStructuredErrorFunc(&ignored, note_stray_error);
	done = precheck(doc, len) == XS_VALID && xs_stream_check(c->stream, doc, len, mode, out);
	xmlSetStructuredErrorFunc(NULL, NULL);
	if (!done)
		xs_check_by_tree(c, doc, len, mode, out);
}
