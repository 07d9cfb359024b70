/*
 * One cause, one violation. For a document with a wrong child somewhere the children of every
 * element are laid beside what the schema asks for, the fewest changes that make them fit are told,
 * and made: what does not belong is taken out, what is out of order moved, what is missing stood in
 * for. Then libxml2 judges the values of all the rest, and the tree is put back as it was.
 */
#include "core.h"

#include <stdlib.h>
#include <string.h>

#include <libxml/tree.h>

static const xmlChar xsi[] = "http://www.w3.org/2001/XMLSchema-instance";

/* A change of the tree and how to take it back. */
enum change { TAKEN_OUT, PUT_IN, STOOD_IN, RENAMED, TRIMMED, HOLLOWED };
struct xs_edit {
	enum change change;
	xmlNodePtr node, parent, next;
	xmlNsPtr ns;
	xmlNodePtr children, last;
	xmlAttrPtr attributes;
};

/* What becomes of a child element. */
enum fate { KEPT, MOVED, FOREIGN, INSTEAD, TOO_MANY, STRAY };
struct kid {
	xmlNodePtr node;
	int particle, slot;
	enum fate fate;
	int length, before; /* of the longest chain in order that ends here */
};

static struct xs_edit *note(xs_repair *r, enum change change, xmlNodePtr node)
{
	struct xs_edit *e;

	if (r->len == r->cap) {
		size_t cap = r->cap == 0 ? 64 : 2 * r->cap;
		struct xs_edit *edits = realloc(r->edits, cap * sizeof *edits);
		if (edits == NULL) {
			r->no_memory = 1;
			return NULL;
		}
		r->edits = edits;
		r->cap = cap;
	}
	e = &r->edits[r->len++];
	*e = (struct xs_edit){.change = change, .node = node, .parent = node->parent, .next = node->next, .ns = node->ns};
	return e;
}

/* Unlike libxml2's own it merges no texts and looks at no namespaces. */
static void put_before(xmlNodePtr parent, xmlNodePtr next, xmlNodePtr node)
{
	node->parent = parent;
	node->next = next;
	node->prev = next == NULL ? parent->last : next->prev;
	if (node->prev == NULL)
		parent->children = node;
	else
		node->prev->next = node;
	if (next == NULL)
		parent->last = node;
	else
		next->prev = node;
}

static void take_out(xs_repair *r, xmlNodePtr node)
{
	if (note(r, TAKEN_OUT, node) != NULL)
		xmlUnlinkNode(node);
}

static void put_in(xs_repair *r, xmlNodePtr parent, xmlNodePtr next, xmlNodePtr node)
{
	if (node->parent == NULL && note(r, PUT_IN, node) != NULL)
		put_before(parent, next, node);
}

static void stand_in(xs_repair *r, xmlNodePtr parent, xmlNodePtr next, const xmlChar *name)
{
	xmlNodePtr node = xmlNewDocNode(parent->doc, r->ns, name, NULL);

	if (node == NULL || note(r, STOOD_IN, node) == NULL) {
		xmlFreeNode(node);
		r->no_memory = 1;
		return;
	}
	node->_private = r;
	put_before(parent, next, node);
}

void xs_repair_undo(xs_repair *r)
{
	while (r->len > 0) {
		struct xs_edit *e = &r->edits[--r->len];
		switch (e->change) {
		case TAKEN_OUT:
			put_before(e->parent, e->next, e->node);
			break;
		case PUT_IN:
			xmlUnlinkNode(e->node);
			break;
		case STOOD_IN:
			xmlUnlinkNode(e->node);
			xmlFreeNode(e->node);
			break;
		case RENAMED:
			e->node->ns = e->ns;
			break;
		case TRIMMED:
			xmlFreeNode(e->node->children);
			e->node->children = e->children;
			e->node->last = e->last;
			break;
		case HOLLOWED:
			e->node->children = e->children;
			e->node->last = e->last;
			e->node->properties = e->attributes;
			e->node->psvi = NULL;
			break;
		}
	}
	free(r->edits);
	r->edits = NULL;
	r->cap = 0;
}

static int same_uri(const xmlNs *a, const xmlNs *b)
{
	return xmlStrEqual(a == NULL ? NULL : a->href, b == NULL ? NULL : b->href);
}

/* Gives an element, and what is in the same namespace below it, that of the schema. */
static void adopt(xs_repair *r, xmlNodePtr apex)
{
	xmlNsPtr from = apex->ns;

	for (xmlNodePtr n = apex; n != NULL && !r->no_memory; n = xs_next_node(n, apex))
		if (n->type == XML_ELEMENT_NODE && same_uri(n->ns, from) && note(r, RENAMED, n) != NULL)
			n->ns = r->ns;
}

static int particle_of(const xs_type *t, const xmlChar *name)
{
	for (int i = 0; i < t->n_particles; i++)
		if (xmlStrEqual(t->particles[i].name, name))
			return i;
	return -1;
}

/*
 * The longest chain of children that stand in the schema's order is kept; of several equal ones,
 * the same each time.
 */
static void keep_longest_chain(struct kid *kids, int n, const xs_type *t)
{
	int ends[XS_MAX_PARTICLES], last = -1;

	for (int s = 0; s < t->n_slots; s++)
		ends[s] = -1;
	for (int i = 0; i < n; i++) {
		struct kid *k = &kids[i];
		if (k->fate != KEPT)
			continue;
		k->before = -1;
		k->length = 1;
		for (int s = 0; s <= k->slot; s++)
			if (ends[s] >= 0 && kids[ends[s]].length >= k->length) {
				k->before = ends[s];
				k->length = kids[ends[s]].length + 1;
			}
		k->fate = MOVED;
		if (ends[k->slot] < 0 || kids[ends[k->slot]].length < k->length)
			ends[k->slot] = i;
	}
	for (int s = 0; s < t->n_slots; s++)
		if (ends[s] >= 0 && (last < 0 || kids[ends[s]].length > kids[last].length))
			last = ends[s];
	for (; last >= 0; last = kids[last].before)
		kids[last].fate = KEPT;
}

/* Counts the children of each slot, and finds those that are more than may be. */
static void count_kids(xs_repair *r, struct kid *kids, int n, const xs_type *t, int *counts)
{
	int told[XS_MAX_PARTICLES] = {0};

	for (int pass = KEPT; pass <= FOREIGN; pass++)
		for (int i = 0; i < n; i++) {
			struct kid *k = &kids[i];
			if ((int)k->fate != pass)
				continue;
			if (counts[k->slot] < t->slots[k->slot].most) {
				counts[k->slot]++;
				if (pass == MOVED)
					xs_findings_add(r->findings, XS_MISPLACED, k->node, NULL);
				else if (pass == FOREIGN)
					xs_findings_add(r->findings, XS_NAMESPACE, k->node, NULL);
				continue;
			}
			k->fate = pass == FOREIGN ? STRAY : TOO_MANY;
			if (k->fate == TOO_MANY && told[k->slot]++ == 0)
				xs_findings_add(r->findings, XS_TOO_MANY, k->node, NULL);
		}
}

/* A child that nothing here is called like stands for one that is missing just there. */
static void tell_strays(xs_repair *r, struct kid *kids, int n, const xs_type *t, int *counts)
{
	int slot = 0, after = -1;

	for (int i = 0; i < n; i++) {
		const xmlChar *instead = NULL;
		int next = t->n_slots;

		if (kids[i].fate == KEPT)
			slot = kids[i].slot;
		if (kids[i].fate != STRAY)
			continue;
		if (after < i)
			for (after = i + 1; after < n && kids[after].fate != KEPT;)
				after++;
		if (after < n)
			next = kids[after].slot + 1;
		for (int s = slot; s < next && instead == NULL; s++)
			if (counts[s] < t->slots[s].least) {
				counts[s]++;
				kids[i].slot = s;
				kids[i].fate = INSTEAD;
				for (int p = 0; p < t->n_particles && instead == NULL; p++)
					if (t->particles[p].slot == s)
						instead = t->particles[p].name;
			}
		xs_findings_add(r->findings, XML_SCHEMAV_ELEMENT_CONTENT, kids[i].node, instead);
	}
}

static const xmlChar *first_of_slot(const xs_type *t, int slot)
{
	for (int p = 0; p < t->n_particles; p++)
		if (t->particles[p].slot == slot)
			return t->particles[p].name;
	return NULL;
}

static int has_text(xmlNodePtr element)
{
	for (xmlNodePtr c = element->children; c != NULL; c = c->next)
		if ((c->type == XML_TEXT_NODE || c->type == XML_CDATA_SECTION_NODE) && !xmlIsBlankNode(c))
			return 1;
	return 0;
}

/* An element with nothing in it is one violation, and none if its text is told. */
static void tell_missing(xs_repair *r, xmlNodePtr parent, int n, const xs_type *t, const int *counts)
{
	int missing = 0;

	for (int s = 0; s < t->n_slots; s++)
		missing += counts[s] < t->slots[s].least;
	if (missing == 0 || (n == 0 && has_text(parent)))
		return;
	if (n == 0 && missing > 1) {
		xs_findings_add(r->findings, XS_MISSING_CHILD, parent, NULL);
		return;
	}
	for (int s = 0; s < t->n_slots; s++)
		if (counts[s] < t->slots[s].least)
			xs_findings_add(r->findings, XS_MISSING_CHILD, parent, first_of_slot(t, s));
}

/* Makes the children fit, slot by slot from the first, each before what is kept of a later one. */
static void arrange(xs_repair *r, xmlNodePtr parent, struct kid *kids, int n, const xs_type *t)
{
	for (int i = 0; i < n; i++)
		if (kids[i].fate != KEPT)
			take_out(r, kids[i].node);
	for (int s = 0; s < t->n_slots && !r->no_memory; s++) {
		xmlNodePtr next = NULL;
		int there = 0;

		for (int i = n - 1; i >= 0; i--) {
			if (kids[i].fate == KEPT && kids[i].slot > s)
				next = kids[i].node;
			there += kids[i].slot == s && (kids[i].fate == KEPT || kids[i].fate == MOVED || kids[i].fate == FOREIGN);
		}
		for (int i = 0; i < n; i++) {
			if (kids[i].slot != s || (kids[i].fate != MOVED && kids[i].fate != FOREIGN))
				continue;
			put_in(r, parent, next, kids[i].node);
			if (kids[i].fate == FOREIGN)
				adopt(r, kids[i].node);
		}
		/* What is missing at the end needs no stand-in: nothing follows that would be passed over. */
		if (there < t->slots[s].least && next == NULL)
			parent->psvi = r;
		for (; there < t->slots[s].least && next != NULL && !r->no_memory; there++)
			stand_in(r, parent, next, first_of_slot(t, s));
	}
}

static struct kid *list_kids(xs_repair *r, xmlNodePtr parent, const xs_type *t, int *n)
{
	struct kid *kids;
	int count = 0;

	for (xmlNodePtr c = parent->children; c != NULL; c = c->next)
		count += c->type == XML_ELEMENT_NODE;
	kids = calloc((size_t)count + 1, sizeof *kids);
	if (kids == NULL) {
		r->no_memory = 1;
		return NULL;
	}
	*n = 0;
	for (xmlNodePtr c = parent->children; c != NULL; c = c->next) {
		struct kid *k = &kids[*n];
		if (c->type != XML_ELEMENT_NODE)
			continue;
		k->node = c;
		k->particle = particle_of(t, c->name);
		k->slot = k->particle < 0 ? -1 : t->particles[k->particle].slot;
		k->fate = k->particle < 0 ? STRAY : same_uri(c->ns, r->ns) ? KEPT : FOREIGN;
		++*n;
	}
	return kids;
}

static void repair(xs_repair *r, xmlNodePtr element, const xs_type *t, int depth)
{
	int counts[XS_MAX_PARTICLES] = {0}, n;
	struct kid *kids;

	/* An item of a lot has its own turn. */
	if (r->findings->hollow != NULL && element->psvi == r->findings->hollow)
		return;
	/* With another type, or none of its own content, the element is libxml2's to judge. */
	if (t == NULL || !t->understood || depth > XS_MAX_REPAIRED || xmlHasNsProp(element, (const xmlChar *)"type", xsi) != NULL ||
	    xmlHasNsProp(element, (const xmlChar *)"nil", xsi) != NULL)
		return;
	kids = list_kids(r, element, t, &n);
	if (kids == NULL)
		return;
	keep_longest_chain(kids, n, t);
	count_kids(r, kids, n, t, counts);
	tell_strays(r, kids, n, t, counts);
	tell_missing(r, element, n, t, counts);
	arrange(r, element, kids, n, t);
	for (int i = 0; i < n && !r->no_memory; i++)
		if (kids[i].fate == KEPT || kids[i].fate == MOVED || kids[i].fate == FOREIGN)
			repair(r, kids[i].node, t->particles[kids[i].particle].type, depth + 1);
	free(kids);
}

void xs_repair_structure(xs_repair *r, const xs_model *m, xmlNodePtr subject)
{
	r->ns = subject->ns;
	r->findings->in_structure = 1;
	repair(r, subject, xs_model_root(m, subject->name), 0);
	r->findings->in_structure = 0;
}

void xs_repair_trim(xs_repair *r, xmlNodePtr node)
{
	xmlChar *value = xmlNodeGetContent(node);
	int from = 0, to = xmlStrlen(value);
	xmlNodePtr text;
	struct xs_edit *e;

	while (from < to && xs_is_blank(value[from]))
		from++;
	while (to > from && xs_is_blank(value[to - 1]))
		to--;
	text = value == NULL ? NULL : xmlNewTextLen(value + from, to - from);
	xmlFree(value);
	e = text == NULL ? NULL : note(r, TRIMMED, node);
	if (e == NULL) {
		xmlFreeNode(text);
		r->no_memory = 1;
		return;
	}
	e->children = node->children;
	e->last = node->last;
	text->doc = node->doc;
	text->parent = node;
	node->children = node->last = text;
}

uint32_t xs_repair_hollow(xs_repair *r, const xs_schema *schema, xmlNodePtr lot)
{
	uint32_t items = 0;

	r->findings->hollow = lot;
	for (xmlNodePtr n = lot->children; n != NULL; n = n->next) {
		struct xs_edit *e;

		if (n->type != XML_ELEMENT_NODE ||
		    !xs_is_item(schema, (const char *)n->name, n->ns == NULL ? NULL : (const char *)n->ns->href))
			continue;
		e = note(r, HOLLOWED, n);
		if (e == NULL)
			break;
		e->children = n->children;
		e->last = n->last;
		e->attributes = n->properties;
		n->children = n->last = NULL;
		n->properties = NULL;
		n->psvi = lot;
		items++;
	}
	return items;
}
