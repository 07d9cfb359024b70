/*
 * Exclusive XML Canonicalization 1.0 (W3C, 2002) of a subtree, without comments, and without
 * processing instructions, which the hub drops as it drops comments.
 *
 * libxml2's own xmlC14NExecute costs five times as much, because it works for arbitrary node
 * sets. This one relies on what the parser ensures: no document type, so no entities and no
 * default attributes, and every prefix declared. It is written to event by event, so that a tree
 * and a stream of the parser's events have one form. A test compares the two byte by byte, but for
 * namespace names with '&', which libxml2's writer does not escape.
 */
#include "core.h"

#include <stdlib.h>
#include <string.h>

static const char *or_empty(const char *s) { return s == NULL ? "" : s; }

static void put_string(xs_buf *out, const char *s) { xs_put(out, s, strlen(s)); }

static void put_name(xs_buf *out, const char *prefix, const char *name)
{
	if (prefix != NULL) {
		put_string(out, prefix);
		xs_put(out, ":", 1);
	}
	put_string(out, name);
}

/* What stands for c in a text (section 2.3 of Canonical XML) or an attribute; NULL: itself. */
static const char *escape_of(char c, int in_attribute)
{
	switch (c) {
	case '&':
		return "&amp;";
	case '<':
		return "&lt;";
	case '\r':
		return "&#xD;";
	case '>':
		return in_attribute ? NULL : "&gt;";
	case '"':
		return in_attribute ? "&quot;" : NULL;
	case '\t':
		return in_attribute ? "&#x9;" : NULL;
	case '\n':
		return in_attribute ? "&#xA;" : NULL;
	}
	return NULL;
}

static void put_escaped(xs_buf *out, const char *s, size_t len, int in_attribute)
{
	const char *plain = s, *end = s + len;

	for (; s < end; s++) {
		/* '>' is the largest of the characters above: almost everything skips the call. */
		const char *e = (unsigned char)*s > '>' ? NULL : escape_of(*s, in_attribute);
		if (e == NULL)
			continue;
		xs_put(out, plain, (size_t)(s - plain));
		put_string(out, e);
		plain = s + 1;
	}
	xs_put(out, plain, (size_t)(s - plain));
}

/*
 * A namespace's name. libxml2 keeps '&' in it as "&#38;", and its own canonical writer, which
 * does not escape names, writes that. The parser refuses names that are no URI.
 */
static void put_uri(xs_buf *out, const char *uri)
{
	for (; *uri != '\0'; uri++) {
		const char *e = escape_of(*uri, 1);
		if (strncmp(uri, "&#38;", 5) == 0)
			uri += 4;
		if (e != NULL)
			put_string(out, e);
		else
			xs_put(out, uri, 1);
	}
}

/* Notes that prefix is used here, unless an open element wrote the same namespace for it. */
static void use_namespace(xs_writer *w, const char *prefix, const char *uri)
{
	size_t i = w->ns_len;

	prefix = or_empty(prefix);
	uri = or_empty(uri);
	if (strcmp(prefix, "xml") == 0)
		return;
	while (i > 0 && strcmp(w->ns[i - 1].prefix, prefix) != 0)
		i--;
	if (strcmp(i == 0 ? "" : w->ns[i - 1].uri, uri) == 0)
		return;
	if (w->ns_len == w->ns_cap) {
		size_t cap = w->ns_cap == 0 ? 16 : 2 * w->ns_cap;
		struct xs_rendered *more = realloc(w->ns, cap * sizeof *more);
		if (more == NULL) {
			w->out->failed = 1;
			return;
		}
		w->ns = more;
		w->ns_cap = cap;
	}
	w->ns[w->ns_len].prefix = prefix;
	w->ns[w->ns_len].uri = uri;
	w->ns_len++;
}

static int attribute_order(const xs_attribute *a, const xs_attribute *b)
{
	int order = strcmp(or_empty(a->uri), or_empty(b->uri));

	return order != 0 ? order : strcmp(a->name, b->name);
}

/*
 * Both sorts are shell sorts: glibc's qsort may ask the system how much memory there is, and
 * the jail allows no such call.
 */
static void sort_namespaces(struct xs_rendered *list, size_t n)
{
	for (size_t gap = n / 2; gap > 0; gap /= 2)
		for (size_t i = gap; i < n; i++) {
			struct xs_rendered x = list[i];
			size_t j = i;
			for (; j >= gap && strcmp(list[j - gap].prefix, x.prefix) > 0; j -= gap)
				list[j] = list[j - gap];
			list[j] = x;
		}
}

static void sort_attributes(xs_attribute *list, size_t n)
{
	for (size_t gap = n / 2; gap > 0; gap /= 2)
		for (size_t i = gap; i < n; i++) {
			xs_attribute x = list[i];
			size_t j = i;
			for (; j >= gap && attribute_order(&list[j - gap], &x) > 0; j -= gap)
				list[j] = list[j - gap];
			list[j] = x;
		}
}

static void put_namespaces(xs_writer *w, size_t from)
{
	for (size_t i = from; i < w->ns_len; i++) {
		xs_put(w->out, " xmlns", 6);
		if (w->ns[i].prefix[0] != '\0') {
			xs_put(w->out, ":", 1);
			put_string(w->out, w->ns[i].prefix);
		}
		xs_put(w->out, "=\"", 2);
		put_uri(w->out, w->ns[i].uri);
		xs_put(w->out, "\"", 1);
	}
}

xs_attribute *xs_write_attribute(xs_writer *w)
{
	if (w->attributes_len == w->attributes_cap) {
		size_t cap = w->attributes_cap == 0 ? 16 : 2 * w->attributes_cap;
		xs_attribute *more = realloc(w->attributes, cap * sizeof *more);
		if (more == NULL) {
			w->out->failed = 1;
			return NULL;
		}
		w->attributes = more;
		w->attributes_cap = cap;
	}
	return &w->attributes[w->attributes_len++];
}

static void put_attribute(xs_buf *out, const xs_attribute *a)
{
	xs_put(out, " ", 1);
	put_name(out, a->prefix, a->name);
	xs_put(out, "=\"", 2);
	if (a->value != NULL)
		put_escaped(out, a->value, a->len, 1);
	for (xmlNodePtr t = a->pieces; t != NULL; t = t->next)
		if (t->content != NULL)
			put_escaped(out, (const char *)t->content, strlen((const char *)t->content), 1);
	xs_put(out, "\"", 1);
}

void xs_write_start(xs_writer *w, const char *prefix, const char *uri, const char *name)
{
	size_t mark = w->ns_len, n = w->attributes_len;

	w->attributes_len = 0;
	if (w->depth == XS_MAX_DEPTH) {
		w->out->failed = 1;
		return;
	}
	w->marks[w->depth++] = mark;
	use_namespace(w, prefix, uri);
	for (size_t i = 0; i < n; i++)
		if (w->attributes[i].uri != NULL)
			use_namespace(w, w->attributes[i].prefix, w->attributes[i].uri);
	if (w->ns_len > mark)
		sort_namespaces(w->ns + mark, w->ns_len - mark);
	sort_attributes(w->attributes, n);

	xs_put(w->out, "<", 1);
	put_name(w->out, prefix, name);
	put_namespaces(w, mark);
	for (size_t i = 0; i < n; i++)
		put_attribute(w->out, &w->attributes[i]);
	xs_put(w->out, ">", 1);
}

void xs_write_text(xs_writer *w, const char *text, size_t len)
{
	put_escaped(w->out, text, len, 0);
}

void xs_write_end(xs_writer *w, const char *prefix, const char *name)
{
	xs_put(w->out, "</", 2);
	put_name(w->out, prefix, name);
	xs_put(w->out, ">", 1);
	if (w->depth > 0)
		w->ns_len = w->marks[--w->depth];
}

void xs_writer_free(xs_writer *w)
{
	free(w->ns);
	free(w->attributes);
}

static const char *prefix_of(const xmlNs *ns) { return ns == NULL ? NULL : (const char *)ns->prefix; }

static const char *uri_of(const xmlNs *ns) { return ns == NULL ? NULL : (const char *)ns->href; }

/*
 * The parser refuses documents deeper than 256 elements, which bounds the recursion. lot is not
 * NULL for the frame of one: the items among its children are left out.
 */
static void put_tree(xs_writer *w, xmlNodePtr element, const xs_schema *lot)
{
	const char *prefix = prefix_of(element->ns), *name = (const char *)element->name;

	for (xmlAttrPtr a = element->properties; a != NULL; a = a->next) {
		xs_attribute *out = xs_write_attribute(w);
		if (out == NULL)
			return;
		*out = (xs_attribute){.prefix = prefix_of(a->ns), .uri = uri_of(a->ns),
				      .name = (const char *)a->name, .pieces = a->children};
	}
	xs_write_start(w, prefix, uri_of(element->ns), name);
	for (xmlNodePtr c = element->children; c != NULL && !w->out->failed; c = c->next) {
		if (c->type == XML_ELEMENT_NODE &&
		    (lot == NULL || !xs_is_item(lot, (const char *)c->name, uri_of(c->ns))))
			put_tree(w, c, NULL);
		else if ((c->type == XML_TEXT_NODE || c->type == XML_CDATA_SECTION_NODE) && c->content != NULL)
			xs_write_text(w, (const char *)c->content, strlen((const char *)c->content));
	}
	xs_write_end(w, prefix, name);
}

void xs_canonical(xmlNodePtr apex, xs_buf *out)
{
	xs_writer w = {.out = out};

	put_tree(&w, apex, NULL);
	xs_writer_free(&w);
}

void xs_canonical_frame(const xs_schema *schema, xmlNodePtr apex, xs_buf *out)
{
	xs_writer w = {.out = out};

	put_tree(&w, apex, schema);
	xs_writer_free(&w);
}
