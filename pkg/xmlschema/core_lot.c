/*
 * The items of a lot by a tree: each is judged as if it were a document of its own.
 */
#include "core.h"

#include <string.h>

/* UuidType, by which an item that does not conform can still be told apart. */
enum { ID_LENGTH = 36 };

static const char *uri_of(xmlNodePtr element)
{
	return element->ns == NULL ? NULL : (const char *)element->ns->href;
}

static int is_item(const xs_schema *schema, xmlNodePtr node)
{
	return node->type == XML_ELEMENT_NODE && xs_is_item(schema, (const char *)node->name, uri_of(node));
}

/* The judge knows global elements only, so that an item bears the name of one meanwhile. */
static int judge(xs_checker *checker, const xs_schema *schema, xmlNodePtr item, xs_findings *findings)
{
	const xmlChar *name = item->name;
	int result;

	item->name = (const xmlChar *)xs_lot_of(schema)->as;
	result = xs_judge(checker, item, findings);
	item->name = name;
	return result;
}

static void write_item_version(xmlNodePtr item, xs_buf *out)
{
	xmlChar *version = xmlGetNoNsProp(item, (const xmlChar *)"versione");

	xs_write_version(out, (const char *)version, version == NULL ? 0 : strlen((const char *)version));
	xmlFree(version);
}

static xmlNodePtr child_named(xmlNodePtr parent, const char *name)
{
	xmlNodePtr n = parent == NULL ? NULL : parent->children;

	while (n != NULL && (n->type != XML_ELEMENT_NODE || strcmp((const char *)n->name, name) != 0 || n->ns == NULL ||
			     !xmlStrEqual(n->ns->href, parent->ns->href)))
		n = n->next;
	return n;
}

/* Testata/IdEvento, if it has the form of an identifier: it tells a sender which item is meant. */
static void write_id(xmlNodePtr item, xs_buf *out)
{
	xmlNodePtr id = child_named(child_named(item, "Testata"), "IdEvento");
	xmlNodePtr text = id == NULL ? NULL : id->children;
	size_t n = 0;

	if (text != NULL && text->type == XML_TEXT_NODE && text->next == NULL && text->content != NULL) {
		const char *s = (const char *)text->content;
		while (n <= ID_LENGTH && s[n] != '\0' && strchr("0123456789abcdefABCDEF-", s[n]) != NULL)
			n++;
		if (s[n] != '\0' || n != ID_LENGTH)
			n = 0;
	}
	xs_put_u8(out, (unsigned)n);
	if (n > 0)
		xs_put(out, text->content, n);
}

static void write_valid(xmlNodePtr item, xs_buf *out)
{
	size_t at;

	xs_put_u8(out, XS_ITEM_VALID);
	write_item_version(item, out);
	at = out->len;
	xs_put_u32(out, 0);
	xs_canonical(item, out);
	if (!out->failed)
		xs_set_u32(out->data + at, (uint32_t)(out->len - at - 4));
}

/* Its findings take no more than this item's share of the room that is left. */
static void write_invalid(xs_findings *findings, xmlNodePtr item, size_t left, xs_buf *out)
{
	size_t max = out->max;

	xs_put_u8(out, XS_ITEM_INVALID);
	write_item_version(item, out);
	write_id(item, out);
	if (out->failed)
		return;
	out->max = out->len + (max - out->len) / (left + 1);
	xs_findings_write(findings, item, 1, out);
	out->max = max;
}

int xs_write_items(xs_checker *checker, const xs_schema *schema, xmlNodePtr root, xs_buf *out)
{
	xs_findings findings;
	size_t left = 0;

	for (xmlNodePtr n = root->children; n != NULL; n = n->next)
		left += (size_t)is_item(schema, n);
	for (xmlNodePtr n = root->children; n != NULL && !out->failed; n = n->next) {
		if (!is_item(schema, n))
			continue;
		if (judge(checker, schema, n, &findings) != 0)
			return -1;
		if (findings.total == 0)
			write_valid(n, out);
		else
			write_invalid(&findings, n, left, out);
		left--;
	}
	xs_put_u8(out, XS_ITEM_END);
	xs_canonical_frame(schema, root, out);
	return 0;
}
