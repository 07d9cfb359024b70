/*
 * The short way of a valid document: validated and written in canonical form while it is parsed,
 * without a tree, which costs a quarter less.
 *
 * It knows one verdict, valid. At the first thing that is not plainly that (an error, a comment
 * or instruction, CDATA, an xsi attribute, an unexpected envelope) it declines, and the document
 * goes the long way through a tree (core_check.c), which finds every violation and its path. So
 * no finding is ever made here, and for every document both ways must give the same bytes: a test
 * holds them against each other.
 *
 * A lot has two judges: one of the frame, which sees every item empty, and one of each item.
 */
#include "core.h"

#include <stdlib.h>
#include <string.h>

#include <libxml/parser.h>
#include <libxml/xmlschemas.h>

xmlSchemaPtr xs_compiled(const xs_schema *schema);

static const char xsi[] = "http://www.w3.org/2001/XMLSchema-instance";

/* Where in the document the parser is. */
enum place { OUTSIDE, IN_ENVELOPE, IN_HEADER, IN_BODY, IN_FRAME, IN_SUBJECT, AFTER_SUBJECT, AFTER_BODY, END };

/* One that validates element by element. */
struct judge {
	xmlSchemaValidCtxtPtr validator;
	xmlSchemaSAXPlugPtr plug;
	xmlSAXHandlerPtr handler;
	void *data;
};

struct xs_stream {
	const xs_schema *schema;
	xmlParserCtxtPtr parser;
	struct judge judge, frame_judge;
	xs_writer writer, frame_writer;
	xs_buf header; /* the canonical Header, until the answer's head is written */
	xs_buf frame;  /* a lot's canonical frame, until its items are written */

	/* of the document at hand */
	int declined, mode;
	enum place place;
	int header_seen;
	unsigned soap;
	const char *soap_uri;
	size_t depth; /* open elements of header or subject */
	xs_buf *out;
	/* of a lot */
	int is_lot, emptying;
	size_t frame_depth, item_at;
	uint32_t items, empty;
};

/* Stopping frees the bytes that the event at hand points into: nothing of it is read after. */
static void decline(xs_stream *s)
{
	s->declined = 1;
	xmlStopParser(s->parser);
}

/* The version its contract has, from the subject's attribute; NULL without one. */
static const xs_attribute *version_attribute(const xs_writer *w)
{
	for (size_t i = 0; i < w->attributes_len; i++)
		if (w->attributes[i].uri == NULL && strcmp(w->attributes[i].name, "versione") == 0)
			return &w->attributes[i];
	return NULL;
}

static int plug_in(struct judge *j)
{
	j->handler = NULL;
	j->plug = xmlSchemaSAXPlug(j->validator, &j->handler, &j->data);
	return j->plug == NULL ? -1 : 0;
}

static void unplug(struct judge *j)
{
	if (j->plug != NULL)
		xmlSchemaSAXUnplug(j->plug);
	j->plug = NULL;
}

static void begin_subject(xs_stream *s, const char *name, const char *uri)
{
	const xs_attribute *version = version_attribute(&s->writer);

	if (!xs_has_name(s->schema, name, uri)) {
		decline(s);
		return;
	}
	s->is_lot = xs_is_lot(s->schema, name, s->mode);
	xs_write_head(s->out, s->is_lot ? XS_LOT : XS_VALID, s->soap, name,
		      version == NULL ? NULL : version->value, version == NULL ? 0 : version->len);
	xs_put_u32(s->out, (uint32_t)s->header.len);
	if (s->header.len > 0)
		xs_put(s->out, s->header.data, s->header.len);
	s->place = s->is_lot ? IN_FRAME : IN_SUBJECT;
	s->depth = 0;
	s->writer.out = s->out;
	if (plug_in(s->is_lot ? &s->frame_judge : &s->judge) != 0)
		decline(s);
}

/* Tells the frame's judge of an item without content, and begins the item. */
static void begin_item(xs_stream *s, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri)
{
	const xs_attribute *version = version_attribute(&s->writer);
	struct judge *frame = &s->frame_judge;

	frame->handler->startElementNs(frame->data, name, prefix, uri, 0, NULL, 0, 0, NULL);
	s->emptying = 1;
	frame->handler->endElementNs(frame->data, name, prefix, uri);
	s->emptying = 0;
	s->items++;
	xs_put_u8(s->out, XS_ITEM_VALID);
	xs_write_version(s->out, version == NULL ? NULL : version->value, version == NULL ? 0 : version->len);
	s->item_at = s->out->len;
	xs_put_u32(s->out, 0);
	s->place = IN_SUBJECT;
	s->depth = 0;
	if (s->declined || plug_in(&s->judge) != 0)
		decline(s);
}

/* Opens the envelope's parts: SOAP 1.1 section 4, SOAP 1.2 part 1 section 5. */
static void begin(xs_stream *s, const char *name, const char *uri)
{
	int is_soap = s->soap_uri != NULL && uri != NULL && strcmp(uri, s->soap_uri) == 0;

	if (s->place == IN_BODY || (s->place == OUTSIDE && s->mode != XS_ENVELOPE)) {
		begin_subject(s, name, uri);
	} else if (s->place == OUTSIDE && strcmp(name, "Envelope") == 0) {
		s->soap = xs_soap_version(uri);
		s->soap_uri = uri;
		s->place = IN_ENVELOPE;
		if (s->soap == 0)
			decline(s);
	} else if (s->place == IN_ENVELOPE && is_soap && strcmp(name, "Header") == 0 && !s->header_seen) {
		s->header_seen = 1;
		s->place = IN_HEADER;
		s->depth = 0;
		s->writer.out = &s->header;
	} else if (s->place == IN_ENVELOPE && is_soap && strcmp(name, "Body") == 0) {
		s->place = IN_BODY;
	} else {
		decline(s);
	}
}

/* libxml2 gives each attribute as five pointers. */
static int take_attributes(xs_stream *s, int n, const xmlChar **list)
{
	s->writer.attributes_len = 0;
	for (int i = 0; i < n; i++, list += 5) {
		const char *uri = (const char *)list[2], *value = (const char *)list[3];
		size_t len = (size_t)(list[4] - list[3]);
		xs_attribute *out = xs_write_attribute(&s->writer);
		/* An ampersand comes in a notation of libxml2's own. */
		if (out == NULL || (uri != NULL && strcmp(uri, xsi) == 0) || memchr(value, '&', len) != NULL)
			return -1;
		*out = (xs_attribute){.prefix = (const char *)list[1], .uri = uri,
				      .name = (const char *)list[0], .value = value, .len = len};
	}
	return 0;
}

/* The frame's elements come by the same way as the items'. */
static void give_attributes(xs_writer *from, xs_writer *to)
{
	xs_attribute *list = to->attributes;
	size_t cap = to->attributes_cap;

	to->attributes = from->attributes;
	to->attributes_len = from->attributes_len;
	to->attributes_cap = from->attributes_cap;
	from->attributes = list;
	from->attributes_len = 0;
	from->attributes_cap = cap;
}

static void on_start(void *ctx, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri, int n_ns,
		     const xmlChar **ns, int n_attributes, int n_defaulted, const xmlChar **attributes)
{
	xs_stream *s = ((xmlParserCtxtPtr)ctx)->_private;

	if (s->declined)
		return;
	if (take_attributes(s, n_attributes, attributes) != 0) {
		decline(s);
		return;
	}
	if (s->place == IN_FRAME && s->frame_depth == 1 && xs_is_item(s->schema, (const char *)name, (const char *)uri))
		begin_item(s, name, prefix, uri);
	else if (s->place != IN_HEADER && s->place != IN_SUBJECT && s->place != IN_FRAME)
		begin(s, (const char *)name, (const char *)uri);
	if (s->declined)
		return;
	if (s->place == IN_FRAME) {
		s->frame_depth++;
		s->frame_judge.handler->startElementNs(s->frame_judge.data, name, prefix, uri, n_ns, ns, n_attributes,
						       n_defaulted, attributes);
		give_attributes(&s->writer, &s->frame_writer);
		xs_write_start(&s->frame_writer, (const char *)prefix, (const char *)uri, (const char *)name);
	} else if (s->place == IN_HEADER || s->place == IN_SUBJECT) {
		/* The judge knows global elements only, so that an item bears the name of one. */
		const char *judged = s->is_lot && s->depth == 0 && s->place == IN_SUBJECT ? xs_lot_of(s->schema)->as
											    : (const char *)name;
		s->depth++;
		if (s->place == IN_SUBJECT)
			s->judge.handler->startElementNs(s->judge.data, (const xmlChar *)judged, prefix, uri, n_ns, ns,
							 n_attributes, n_defaulted, attributes);
		if (!s->declined && (s->place == IN_HEADER || s->mode != XS_JUDGE))
			xs_write_start(&s->writer, (const char *)prefix, (const char *)uri, (const char *)name);
	}
	if (s->declined)
		decline(s);
}

/* An item, or the document's only subject. */
static void end_subject(xs_stream *s)
{
	if (xmlSchemaIsValid(s->judge.validator) != 1)
		s->declined = 1;
	unplug(&s->judge);
	if (s->is_lot && !s->out->failed)
		xs_set_u32(s->out->data + s->item_at, (uint32_t)(s->out->len - s->item_at - 4));
	s->place = s->is_lot ? IN_FRAME : s->mode == XS_ENVELOPE ? AFTER_SUBJECT : END;
}

static void end_frame(xs_stream *s)
{
	/* Nothing was found but that each item is empty. */
	if (s->items == 0 || s->empty != s->items)
		s->declined = 1;
	unplug(&s->frame_judge);
	xs_put_u8(s->out, XS_ITEM_END);
	if (s->frame.len > 0)
		xs_put(s->out, s->frame.data, s->frame.len);
	s->place = s->mode == XS_ENVELOPE ? AFTER_SUBJECT : END;
}

/* The judge's name for an element that ends. */
static const xmlChar *judged_name(const xs_stream *s, const xmlChar *name)
{
	return s->is_lot && s->depth == 1 ? (const xmlChar *)xs_lot_of(s->schema)->as : name;
}

static void on_end(void *ctx, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri)
{
	xs_stream *s = ((xmlParserCtxtPtr)ctx)->_private;

	if (s->declined)
		return;
	switch (s->place) {
	case IN_HEADER:
		xs_write_end(&s->writer, (const char *)prefix, (const char *)name);
		if (--s->depth == 0)
			s->place = IN_ENVELOPE;
		break;
	case IN_SUBJECT:
		s->judge.handler->endElementNs(s->judge.data, judged_name(s, name), prefix, uri);
		if (s->declined) {
			decline(s);
			return;
		}
		if (s->mode != XS_JUDGE)
			xs_write_end(&s->writer, (const char *)prefix, (const char *)name);
		if (--s->depth == 0)
			end_subject(s);
		break;
	case IN_FRAME:
		s->frame_judge.handler->endElementNs(s->frame_judge.data, name, prefix, uri);
		xs_write_end(&s->frame_writer, (const char *)prefix, (const char *)name);
		if (--s->frame_depth == 0)
			end_frame(s);
		if (s->declined)
			decline(s);
		break;
	case AFTER_SUBJECT:
		s->place = AFTER_BODY;
		break;
	case AFTER_BODY:
		s->place = END;
		break;
	default:
		decline(s);
	}
}

static int is_blank(const xmlChar *text, int len)
{
	for (int i = 0; i < len; i++)
		if (text[i] != ' ' && text[i] != '\t' && text[i] != '\n' && text[i] != '\r')
			return 0;
	return 1;
}

static void on_text(void *ctx, const xmlChar *text, int len)
{
	xs_stream *s = ((xmlParserCtxtPtr)ctx)->_private;

	if (s->declined)
		return;
	if (s->place == IN_SUBJECT)
		s->judge.handler->characters(s->judge.data, text, len);
	else if (s->place == IN_FRAME)
		s->frame_judge.handler->characters(s->frame_judge.data, text, len);
	if (s->declined)
		decline(s);
	else if (s->place == IN_FRAME)
		xs_write_text(&s->frame_writer, (const char *)text, (size_t)len);
	else if (s->place == IN_HEADER || (s->place == IN_SUBJECT && s->mode != XS_JUDGE))
		xs_write_text(&s->writer, (const char *)text, (size_t)len);
	else if (s->place != IN_SUBJECT && !is_blank(text, len))
		decline(s);
}

static void on_cdata(void *ctx, const xmlChar *text, int len)
{
	(void)text;
	(void)len;
	decline(((xmlParserCtxtPtr)ctx)->_private);
}

static void on_name(void *ctx, const xmlChar *name)
{
	(void)name;
	decline(((xmlParserCtxtPtr)ctx)->_private);
}

static void on_instruction(void *ctx, const xmlChar *target, const xmlChar *data)
{
	(void)target;
	(void)data;
	decline(((xmlParserCtxtPtr)ctx)->_private);
}

static void on_doctype(void *ctx, const xmlChar *name, const xmlChar *id, const xmlChar *uri)
{
	(void)name;
	(void)id;
	(void)uri;
	decline(((xmlParserCtxtPtr)ctx)->_private);
}

static void on_parser_error(void *ctx, xmlErrorPtr error)
{
	xs_stream *s = ((xmlParserCtxtPtr)ctx)->_private;

	if (error->level < XML_ERR_ERROR)
		return;
	s->declined = 1;
	xs_stop_at_error(s->parser);
}

static void on_violation(void *ctx, xmlErrorPtr error)
{
	xs_stream *s = ctx;

	if (s->emptying && error->code == XML_SCHEMAV_ELEMENT_CONTENT) {
		s->empty++;
		return;
	}
	/* It is raised inside an event, whose handler declines. */
	if (error->level >= XML_ERR_ERROR)
		s->declined = 1;
}

static void take_handlers(xmlSAXHandlerPtr sax)
{
	memset(sax, 0, sizeof *sax);
	sax->initialized = XML_SAX2_MAGIC;
	sax->internalSubset = on_doctype;
	sax->externalSubset = on_doctype;
	sax->startElementNs = on_start;
	sax->endElementNs = on_end;
	sax->characters = on_text;
	sax->ignorableWhitespace = on_text;
	sax->cdataBlock = on_cdata;
	sax->comment = on_name;
	sax->reference = on_name;
	sax->processingInstruction = on_instruction;
	sax->serror = on_parser_error;
}

static void drop_libxml2(xs_stream *s)
{
	if (s->judge.validator != NULL)
		xmlSchemaFreeValidCtxt(s->judge.validator);
	if (s->frame_judge.validator != NULL)
		xmlSchemaFreeValidCtxt(s->frame_judge.validator);
	if (s->parser != NULL)
		xmlFreeParserCtxt(s->parser);
	s->judge.validator = s->frame_judge.validator = NULL;
	s->parser = NULL;
}

static int renew(xs_stream *s)
{
	drop_libxml2(s);
	s->parser = xmlNewParserCtxt();
	s->judge.validator = xmlSchemaNewValidCtxt(xs_compiled(s->schema));
	s->frame_judge.validator = xmlSchemaNewValidCtxt(xs_compiled(s->schema));
	if (s->parser == NULL || s->judge.validator == NULL || s->frame_judge.validator == NULL) {
		drop_libxml2(s);
		return -1;
	}
	take_handlers(s->parser->sax);
	xmlSchemaSetValidStructuredErrors(s->judge.validator, on_violation, s);
	xmlSchemaSetValidStructuredErrors(s->frame_judge.validator, on_violation, s);
	return 0;
}

xs_stream *xs_stream_new(const xs_schema *schema)
{
	xs_stream *s = calloc(1, sizeof *s);

	if (s != NULL)
		s->schema = schema;
	return s;
}

void xs_stream_free(xs_stream *s)
{
	if (s == NULL)
		return;
	drop_libxml2(s);
	xs_writer_free(&s->writer);
	xs_writer_free(&s->frame_writer);
	free(s->header.data);
	free(s->frame.data);
	free(s);
}

static void begin_document(xs_stream *s, size_t len, int mode, xs_buf *out)
{
	s->declined = 0;
	s->mode = mode;
	s->place = OUTSIDE;
	s->header_seen = 0;
	s->soap = 0;
	s->soap_uri = NULL;
	s->out = out;
	s->writer.ns_len = s->writer.depth = s->writer.attributes_len = 0;
	s->is_lot = s->emptying = 0;
	s->frame_depth = 0;
	s->items = s->empty = 0;
	s->frame_writer.ns_len = s->frame_writer.depth = s->frame_writer.attributes_len = 0;
	s->frame_writer.out = &s->frame;
	s->header.len = s->frame.len = 0;
	s->header.failed = s->frame.failed = 0;
	s->header.max = s->frame.max = 4 * len + (64 << 10);
}

int xs_stream_check(xs_stream *s, const char *doc, size_t len, int mode, xs_buf *out)
{
	size_t start = out->len;
	int done;

	if ((s->parser == NULL || xmlDictSize(s->parser->dict) > XS_MAX_NAMES) && renew(s) != 0)
		return 0;
	begin_document(s, len, mode, out);
	/* The parser is reset by reading; only _private must be there before. */
	s->parser->_private = s;
	xmlCtxtReadMemory(s->parser, doc, (int)len, NULL, NULL, XS_PARSER_FLAGS);
	unplug(&s->judge);
	unplug(&s->frame_judge);
	done = !s->declined && s->place == END && s->parser->wellFormed && s->parser->nsWellFormed &&
	       xs_is_version_1_0(s->parser->version) && !out->failed && !s->header.failed && !s->frame.failed;
	if (!done) {
		out->len = start;
		out->failed = 0;
	}
	return done;
}
