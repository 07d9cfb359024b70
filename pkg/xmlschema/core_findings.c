/*
 * Collecting violations: numbers and nodes only. libxml2's messages quote the offending
 * value, so they are read here for one distinction and never carried further.
 */
#include "core.h"

#include <string.h>

#include <libxml/parser.h>
#include <libxml/xmlerror.h>

int xs_is_blank(unsigned char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/* A value that breaks its type. libxml2 often reports one value several times. */
static int is_value_code(int code)
{
	return code >= XML_SCHEMAV_VALUE && code <= XML_SCHEMAV_CVC_ENUMERATION_VALID &&
	       code != XML_SCHEMAV_CVC_TYPE_3_1_1 && code != XML_SCHEMAV_CVC_TYPE_3_1_2;
}

/* Says only that the value is wrong, not which facet it breaks. */
static int is_general_value_code(int code)
{
	return is_value_code(code) && code <= XML_SCHEMAV_CVC_FACET_VALID;
}

void xs_findings_add(xs_findings *f, int code, xmlNodePtr node, const xmlChar *child)
{
	/*
	 * One value, one finding. What is said of a value after something else was said of its
	 * element follows from that; only a facet is more precise than "not valid".
	 */
	if (is_value_code(code) && f->total > 0 && f->last_node == node) {
		xs_finding *last = &f->list[f->count - 1];
		if (f->total == (uint32_t)f->count && is_general_value_code(last->code))
			last->code = code;
		return;
	}
	/* libxml2 tells every piece of text between elements. */
	for (int i = 0; code == XML_SCHEMAV_CVC_COMPLEX_TYPE_2_3 && i < f->count; i++)
		if (f->list[i].node == node && f->list[i].code == code)
			return;
	f->last_node = node;
	f->total++;
	/* Half the room is left for values, which are found after all of the structure. */
	if (f->count >= (f->in_structure ? XS_MAX_COLLECTED / 2 : XS_MAX_COLLECTED))
		return;
	f->list[f->count++] = (xs_finding){.code = code, .node = node, .child = child};
}

const xs_finding *xs_findings_of(const xs_findings *f, xmlNodePtr node)
{
	for (int i = 0; i < f->count; i++)
		if (f->list[i].node == node && is_value_code(f->list[i].code))
			return &f->list[i];
	return NULL;
}

/* The rest of s after prefix, NULL if s does not begin with it. */
static const char *after(const char *s, const char *prefix)
{
	size_t n = strlen(prefix);

	return s != NULL && strncmp(s, prefix, n) == 0 ? s + n : NULL;
}

static const char *after_name(const char *s, const xmlNs *ns, const xmlChar *name)
{
	if (ns != NULL && ns->href != NULL)
		s = after(after(after(s, "{"), (const char *)ns->href), "}");
	return after(s, (const char *)name);
}

/*
 * A finding in an attribute comes with the element as its node; which attribute it is stands
 * only in the message: Element '{namespace}name', attribute '{namespace}name': ...
 */
static xmlNodePtr attribute_meant(xmlNodePtr element, const char *message)
{
	const char *rest = after_name(after(message, "Element '"), element->ns, element->name);

	rest = after(rest, "', attribute '");
	for (xmlAttrPtr a = element->properties; rest != NULL && a != NULL; a = a->next)
		if (after(after_name(rest, a->ns, a->name), "'") != NULL)
			return (xmlNodePtr)a;
	return element;
}

void xs_findings_collect(void *findings, xmlErrorPtr error)
{
	xs_findings *f = findings;
	xmlNodePtr node = error->node;
	int code = error->code;

	if (error->level == XML_ERR_WARNING)
		return;
	if (code == XML_ERR_NO_MEMORY) {
		f->no_memory = 1;
		return;
	}
	/*
	 * A child that is missing and a child that is not expected have one number. The first is
	 * reported at the parent, the second at the child; only the text tells which. libxml2's
	 * texts are not translated.
	 */
	if (code == XML_SCHEMAV_ELEMENT_CONTENT && error->message != NULL &&
	    strstr(error->message, "Missing child element(s)") != NULL)
		code = XS_MISSING_CHILD;
	if (code == XS_MISSING_CHILD && node != NULL && node->psvi != NULL) {
		/* It is told already, or it is an item of a lot that was hollowed out. */
		f->empty += node->psvi == f->hollow;
		return;
	}
	/* An element that stands in for one that is missing has no values. */
	if (node != NULL && node->_private != NULL)
		return;
	/* After xsi:nil was refused nobody looks for the children. */
	if (code == XS_MISSING_CHILD && f->total > 0 && f->last_node == node &&
	    xmlHasNsProp(node, (const xmlChar *)"nil", (const xmlChar *)"http://www.w3.org/2001/XMLSchema-instance") != NULL)
		return;
	f->broken_structure |= code == XML_SCHEMAV_ELEMENT_CONTENT || code == XS_MISSING_CHILD;
	if (node != NULL && node->type == XML_ELEMENT_NODE && error->message != NULL)
		node = attribute_meant(node, error->message);
	xs_findings_add(f, code, node, NULL);
}

/* The next node of the subtree in document order, NULL after the last. */
xmlNodePtr xs_next_node(xmlNodePtr node, xmlNodePtr apex)
{
	if (node->type == XML_ELEMENT_NODE && node->children != NULL)
		return node->children;
	while (node != apex && node->next == NULL)
		node = node->parent;
	return node == apex ? NULL : node->next;
}

static int has_split_value(xmlNodePtr element)
{
	int text = 0, split = 0;

	for (xmlNodePtr c = element->children; c != NULL; c = c->next) {
		if (c->type == XML_ELEMENT_NODE)
			return 0;
		if (c->type == XML_COMMENT_NODE || c->type == XML_PI_NODE)
			split = 1;
		else if (c->content != NULL && !xmlIsBlankNode(c))
			text = 1;
	}
	return text && split;
}

/*
 * A comment or processing instruction inside a value: one reader joins the pieces, another
 * stops at the first, and the two would see two people.
 */
void xs_findings_split_values(xs_findings *f, xmlNodePtr apex)
{
	for (xmlNodePtr n = apex; n != NULL; n = xs_next_node(n, apex))
		if (n->type == XML_ELEMENT_NODE && has_split_value(n))
			xs_findings_add(f, XS_SPLIT_VALUE, n, NULL);
}

/* Whether a refused value has white space around it that its sender should take away. */
static int has_blanks_around(xmlNodePtr node)
{
	xmlChar *value;
	int first, last, blank, len;

	for (xmlNodePtr c = node->children; c != NULL; c = c->next)
		if (c->type == XML_ELEMENT_NODE)
			return 0;
	value = xmlNodeGetContent(node);
	if (value == NULL)
		return 0;
	len = xmlStrlen(value);
	blank = 1;
	for (int i = 0; i < len && blank; i++)
		blank = xs_is_blank(value[i]);
	first = len > 0 && xs_is_blank(value[0]);
	last = len > 0 && xs_is_blank(value[len - 1]);
	xmlFree(value);
	return !blank && (first || last);
}

int xs_is_blank_around(const xs_finding *f)
{
	return is_value_code(f->code) && f->node != NULL && has_blanks_around(f->node);
}

/* What a value consists of and how many characters it has: all that is ever told of one. */
static void put_description(xs_buf *out, const xs_finding *f)
{
	xmlChar *value = NULL;
	unsigned kind = 0, length = 0;

	if ((is_value_code(f->code) || f->code == XS_BLANKS) && f->node != NULL)
		value = xmlNodeGetContent(f->node);
	if (value != NULL)
		kind = XS_DESCRIBED;
	for (const unsigned char *p = value; p != NULL && *p != 0; p++) {
		if ((*p & 0xC0) == 0x80)
			continue;
		length++;
		kind |= *p >= 0x80			? XS_OTHERS
			: xs_is_blank(*p)		? XS_SPACES
			: *p >= '0' && *p <= '9'	? XS_DIGITS
			: *p >= 'a' && *p <= 'z'	? XS_LOWER
			: *p >= 'A' && *p <= 'Z'	? XS_UPPER
							: XS_SIGNS;
	}
	xmlFree(value);
	xs_put_u8(out, kind);
	xs_put_u16(out, length > 0xFFFF ? 0xFFFF : length);
}

static unsigned at_most_16_bits(unsigned n) { return n > 0xFFFF ? 0xFFFF : n; }

static void put_short_name(xs_buf *out, const char *mark, const xmlChar *name)
{
	size_t len = strlen(mark) + strlen((const char *)name);

	/* No schema has such a name: the reader takes an empty one for unknown. */
	if (len > 255) {
		xs_put_u8(out, 0);
		return;
	}
	xs_put_u8(out, (unsigned)len);
	xs_put(out, mark, strlen(mark));
	xs_put(out, name, strlen((const char *)name));
}

static void put_step(xs_buf *out, xmlNodePtr element, xmlNodePtr apex)
{
	unsigned same = 1, all = 1;

	if (element != apex)
		for (xmlNodePtr s = element->prev; s != NULL; s = s->prev) {
			if (s->type != XML_ELEMENT_NODE)
				continue;
			all++;
			same += (unsigned)xmlStrEqual(s->name, element->name);
		}
	xs_put_u16(out, at_most_16_bits(same));
	xs_put_u16(out, at_most_16_bits(all));
	put_short_name(out, "", element->name);
}

/* The parser refuses documents deeper than 256 elements; u8 holds an attribute's step too. */
enum { MAX_DEPTH = 254 };

/* libxml2 counts the lines of elements to 65,535. */
enum { MAX_LINE = 65535 };

static long line_of(xmlNodePtr node, xmlNodePtr apex, int relative)
{
	long line = xmlGetLineNo(node), from;

	if (!relative)
		return line;
	from = xmlGetLineNo(apex);
	return line >= MAX_LINE || from < 1 || line < from ? 0 : line - from + 1;
}

static void put_finding(xs_buf *out, const xs_finding *f, xmlNodePtr apex, int relative)
{
	xmlNodePtr steps[256];
	xmlNodePtr attribute = NULL, node = f->node;
	int code = f->code, depth = 0;
	long line;

	if (node == NULL)
		node = apex;
	if (node->type == XML_ATTRIBUTE_NODE) {
		attribute = node;
		node = node->parent;
	}
	line = line_of(node, apex, relative);
	for (xmlNodePtr n = node; n != NULL && n->type == XML_ELEMENT_NODE && depth < 256; n = n->parent) {
		steps[depth++] = n;
		if (n == apex)
			break;
	}
	xs_put_u32(out, (uint32_t)code);
	xs_put_u32(out, line > 0 ? (uint32_t)line : 0);
	if (depth > MAX_DEPTH) {
		memmove(steps, steps + (depth - MAX_DEPTH), MAX_DEPTH * sizeof *steps);
		depth = MAX_DEPTH;
		attribute = NULL;
	}
	xs_put_u8(out, (unsigned)(depth + (attribute != NULL)));
	while (depth > 0)
		put_step(out, steps[--depth], apex);
	if (attribute != NULL) {
		xs_put_u16(out, 0);
		xs_put_u16(out, 0);
		put_short_name(out, "@", attribute->name);
	}
	put_description(out, f);
	put_short_name(out, "", f->child == NULL ? (const xmlChar *)"" : f->child);
}

/* Hangs each finding on its node, behind those that are there, and gives the first without one. */
static void hang(xs_findings *f, xmlNodePtr apex)
{
	for (int i = 0; i < f->count; i++) {
		xmlNodePtr node = f->list[i].node;
		int *link;

		/* Whatever is found is told, if need be of the whole. */
		if (node == NULL || (node->type != XML_ELEMENT_NODE && node->type != XML_ATTRIBUTE_NODE))
			node = f->list[i].node = apex;
		if (node->_private == NULL) {
			node->_private = &f->list[i];
			continue;
		}
		link = &((xs_finding *)node->_private)->next;
		while (*link != 0)
			link = &f->list[*link - 1].next;
		*link = i + 1;
	}
}

/* Writes what hangs on a node; 0 when no more shall be written. */
static int write_node(xs_findings *f, xmlNodePtr node, xmlNodePtr apex, int relative, xs_buf *out, unsigned *written)
{
	const xs_finding *next = node->_private;

	for (; next != NULL; next = next->next == 0 ? NULL : &f->list[next->next - 1]) {
		size_t last_good = out->len;
		if (*written == XS_MAX_FINDINGS)
			return 0;
		put_finding(out, next, apex, relative);
		if (out->failed && *written > 0) {
			out->len = last_good;
			out->failed = 0;
			return 0;
		}
		if (out->failed)
			return 0;
		++*written;
	}
	return 1;
}

/* Writes them in the document's order; when the room is used up the list ends, the total stays. */
void xs_findings_write(xs_findings *f, xmlNodePtr apex, int relative, xs_buf *out)
{
	size_t count_at;
	unsigned written = 0;
	int more = 1;

	xs_put_u32(out, f->total);
	count_at = out->len;
	xs_put_u8(out, 0);
	hang(f, apex);
	for (xmlNodePtr n = apex; n != NULL && more; n = xs_next_node(n, apex)) {
		if (n->type != XML_ELEMENT_NODE)
			continue;
		for (xmlAttrPtr a = n->properties; a != NULL && more; a = a->next)
			more = write_node(f, (xmlNodePtr)a, apex, relative, out, &written);
		if (more)
			more = write_node(f, n, apex, relative, out, &written);
	}
	if (!out->failed)
		out->data[count_at] = (unsigned char)written;
}
