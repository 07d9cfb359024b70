/*
 * Exclusive XML Canonicalization 1.0 (W3C, 2002) of a subtree, without comments, and without
 * processing instructions, which the hub drops as it drops comments.
 *
 * libxml2's own xmlC14NExecute costs five times as much, because it works for arbitrary node
 * sets. This one relies on what the parser ensures: no document type, so no entities and no
 * default attributes, and every prefix declared. A test compares the two byte by byte, but for
 * namespace names with '&', which libxml2's writer does not escape.
 */
#include "core.h"

#include <stdlib.h>
#include <string.h>

/* A namespace written by an element that is still open. prefix "" is the default namespace. */
struct rendered {
	const char *prefix, *uri;
};

struct writer {
	xs_buf *out;
	struct rendered *ns;
	size_t ns_len, ns_cap;
	xmlAttrPtr *attrs;
	size_t attrs_cap;
};

static const char *text_or_empty(const xmlChar *s) { return s == NULL ? "" : (const char *)s; }

static void put_string(xs_buf *out, const char *s) { xs_put(out, s, strlen(s)); }

static void put_name(xs_buf *out, const xmlNs *ns, const xmlChar *name)
{
	if (ns != NULL && ns->prefix != NULL) {
		put_string(out, (const char *)ns->prefix);
		xs_put(out, ":", 1);
	}
	put_string(out, (const char *)name);
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

static void put_escaped(xs_buf *out, const char *s, int in_attribute)
{
	const char *plain = s;

	if (s == NULL)
		return;
	for (; *s != '\0'; s++) {
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
static void use_namespace(struct writer *w, const xmlNs *ns)
{
	const char *prefix = text_or_empty(ns == NULL ? NULL : ns->prefix);
	const char *uri = text_or_empty(ns == NULL ? NULL : ns->href);
	size_t i = w->ns_len;

	if (strcmp(prefix, "xml") == 0)
		return;
	while (i > 0 && strcmp(w->ns[i - 1].prefix, prefix) != 0)
		i--;
	if (strcmp(i == 0 ? "" : w->ns[i - 1].uri, uri) == 0)
		return;
	if (w->ns_len == w->ns_cap) {
		size_t cap = w->ns_cap == 0 ? 16 : 2 * w->ns_cap;
		struct rendered *more = realloc(w->ns, cap * sizeof *more);
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

static int attribute_order(const xmlAttr *a, const xmlAttr *b)
{
	int order = strcmp(text_or_empty(a->ns == NULL ? NULL : a->ns->href),
			   text_or_empty(b->ns == NULL ? NULL : b->ns->href));

	return order != 0 ? order : strcmp((const char *)a->name, (const char *)b->name);
}

/*
 * Both sorts are shell sorts: glibc's qsort may ask the system how much memory there is, and
 * the jail allows no such call.
 */
static void sort_namespaces(struct rendered *list, size_t n)
{
	for (size_t gap = n / 2; gap > 0; gap /= 2)
		for (size_t i = gap; i < n; i++) {
			struct rendered x = list[i];
			size_t j = i;
			for (; j >= gap && strcmp(list[j - gap].prefix, x.prefix) > 0; j -= gap)
				list[j] = list[j - gap];
			list[j] = x;
		}
}

static void sort_attributes(xmlAttrPtr *list, size_t n)
{
	for (size_t gap = n / 2; gap > 0; gap /= 2)
		for (size_t i = gap; i < n; i++) {
			xmlAttrPtr x = list[i];
			size_t j = i;
			for (; j >= gap && attribute_order(list[j - gap], x) > 0; j -= gap)
				list[j] = list[j - gap];
			list[j] = x;
		}
}

static void put_namespaces(struct writer *w, size_t from)
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

/* Puts the element's attributes into w->attrs and gives their number. */
static size_t gather_attributes(struct writer *w, xmlNodePtr element)
{
	size_t n = 0;

	for (xmlAttrPtr a = element->properties; a != NULL; a = a->next) {
		if (n == w->attrs_cap) {
			size_t cap = w->attrs_cap == 0 ? 16 : 2 * w->attrs_cap;
			xmlAttrPtr *more = realloc(w->attrs, cap * sizeof(xmlAttrPtr));
			if (more == NULL) {
				w->out->failed = 1;
				return n;
			}
			w->attrs = more;
			w->attrs_cap = cap;
		}
		w->attrs[n++] = a;
	}
	return n;
}

/* The parser refuses documents deeper than 256 elements, which bounds the recursion. */
static void put_element(struct writer *w, xmlNodePtr element)
{
	size_t mark = w->ns_len;
	size_t n = gather_attributes(w, element);

	use_namespace(w, element->ns);
	for (size_t i = 0; i < n; i++)
		if (w->attrs[i]->ns != NULL)
			use_namespace(w, w->attrs[i]->ns);
	if (w->ns_len > mark)
		sort_namespaces(w->ns + mark, w->ns_len - mark);
	sort_attributes(w->attrs, n);

	xs_put(w->out, "<", 1);
	put_name(w->out, element->ns, element->name);
	put_namespaces(w, mark);
	for (size_t i = 0; i < n; i++) {
		xs_put(w->out, " ", 1);
		put_name(w->out, w->attrs[i]->ns, w->attrs[i]->name);
		xs_put(w->out, "=\"", 2);
		for (xmlNodePtr t = w->attrs[i]->children; t != NULL; t = t->next)
			put_escaped(w->out, (const char *)t->content, 1);
		xs_put(w->out, "\"", 1);
	}
	xs_put(w->out, ">", 1);

	for (xmlNodePtr c = element->children; c != NULL && !w->out->failed; c = c->next) {
		if (c->type == XML_ELEMENT_NODE)
			put_element(w, c);
		else if (c->type == XML_TEXT_NODE || c->type == XML_CDATA_SECTION_NODE)
			put_escaped(w->out, (const char *)c->content, 0);
	}

	xs_put(w->out, "</", 2);
	put_name(w->out, element->ns, element->name);
	xs_put(w->out, ">", 1);
	w->ns_len = mark;
}

void xs_canonical(xmlNodePtr apex, xs_buf *out)
{
	struct writer w = {.out = out};

	put_element(&w, apex);
	free(w.ns);
	free(w.attrs);
}
