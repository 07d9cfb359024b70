/*
 * What a schema's files say of the contents of elements, read a second time for documents that are
 * not valid: libxml2 tells the first child that is wrong and passes over all that follows it in the
 * same element. Only what the contracts use is understood: a sequence of elements and of choices
 * between elements, or one choice. Of anything else libxml2's own word is kept.
 */
#include "core.h"

#include <stdlib.h>
#include <string.h>

#include <libxml/parser.h>
#include <libxml/tree.h>

static const char schema_namespace[] = "http://www.w3.org/2001/XMLSchema";

/* The next element of XML Schema from n on among its siblings. */
static xmlNodePtr schema_element(xmlNodePtr n)
{
	while (n != NULL && (n->type != XML_ELEMENT_NODE || n->ns == NULL ||
			     strcmp((const char *)n->ns->href, schema_namespace) != 0))
		n = n->next;
	return n;
}

static int is_named(xmlNodePtr n, const char *name) { return strcmp((const char *)n->name, name) == 0; }

static int has_attribute(xmlNodePtr n, const char *name, const char *value)
{
	xmlChar *v = xmlGetNoNsProp(n, (const xmlChar *)name);
	int same = v != NULL && (value == NULL || strcmp((const char *)v, value) == 0);

	xmlFree(v);
	return same;
}

/* minOccurs or maxOccurs; 1 where it is absent. */
static int occurs(xmlNodePtr n, const char *name)
{
	xmlChar *v = xmlGetNoNsProp(n, (const xmlChar *)name);
	int count = v == NULL ? 1 : strcmp((const char *)v, "unbounded") == 0 ? INT32_MAX : atoi((const char *)v);

	xmlFree(v);
	return count;
}

/* One type for each xs:complexType, wherever it stands. */
static int find_types(xs_model *m, xmlNodePtr n)
{
	for (n = schema_element(n); n != NULL; n = schema_element(n->next)) {
		if (is_named(n, "complexType")) {
			xs_type *t = calloc(1, sizeof *t);
			if (t == NULL)
				return -1;
			t->declaration = n;
			t->next = m->types;
			m->types = t;
		}
		if (find_types(m, n->children) != 0)
			return -1;
	}
	return 0;
}

static xs_type *type_of(const xs_model *m, xmlNodePtr element)
{
	xmlNodePtr inner = schema_element(element->children);
	xmlChar *name = xmlGetNoNsProp(element, (const xmlChar *)"type");
	const char *local = name == NULL ? NULL : strrchr((const char *)name, ':');
	xs_type *t;

	while (inner != NULL && !is_named(inner, "complexType"))
		inner = schema_element(inner->next);
	local = local == NULL ? (const char *)name : local + 1;
	for (t = m->types; t != NULL; t = t->next)
		if (inner != NULL ? t->declaration == inner : local != NULL && has_attribute(t->declaration, "name", local))
			break;
	xmlFree(name);
	return t;
}

static int add_particle(const xs_model *m, xs_type *t, xmlNodePtr element)
{
	xs_particle *p = &t->particles[t->n_particles];

	if (t->n_particles == XS_MAX_PARTICLES || !is_named(element, "element"))
		return -1;
	p->name = xmlGetNoNsProp(element, (const xmlChar *)"name");
	if (p->name == NULL)
		return -1;
	t->n_particles++;
	p->type = type_of(m, element);
	p->slot = t->n_slots;
	return 0;
}

static int add_slot(xs_type *t, xmlNodePtr n)
{
	if (t->n_slots == XS_MAX_PARTICLES)
		return -1;
	t->slots[t->n_slots].least = occurs(n, "minOccurs");
	t->slots[t->n_slots].most = occurs(n, "maxOccurs");
	t->n_slots++;
	return 0;
}

/* A choice of elements, each of which stands once, is one slot. */
static int add_choice(const xs_model *m, xs_type *t, xmlNodePtr choice)
{
	for (xmlNodePtr n = schema_element(choice->children); n != NULL; n = schema_element(n->next))
		if (occurs(n, "minOccurs") != 1 || occurs(n, "maxOccurs") != 1 || add_particle(m, t, n) != 0)
			return -1;
	return add_slot(t, choice);
}

static int add_sequence(const xs_model *m, xs_type *t, xmlNodePtr sequence)
{
	if (occurs(sequence, "minOccurs") != 1 || occurs(sequence, "maxOccurs") != 1)
		return -1;
	for (xmlNodePtr n = schema_element(sequence->children); n != NULL; n = schema_element(n->next)) {
		if (is_named(n, "annotation"))
			continue;
		if (is_named(n, "choice") ? add_choice(m, t, n) != 0 : add_particle(m, t, n) != 0 || add_slot(t, n) != 0)
			return -1;
	}
	return 0;
}

/* A name that stands twice, or a part that is not known, leaves the type not understood. */
static void understand(const xs_model *m, xs_type *t)
{
	int groups = 0;

	for (xmlNodePtr n = schema_element(t->declaration->children); n != NULL; n = schema_element(n->next)) {
		if (is_named(n, "annotation") || is_named(n, "attribute"))
			continue;
		if (groups++ > 0 || has_attribute(t->declaration, "mixed", NULL) ||
		    (is_named(n, "sequence") ? add_sequence(m, t, n) : is_named(n, "choice") ? add_choice(m, t, n) : -1) != 0)
			return;
	}
	for (int i = 0; i < t->n_particles; i++)
		for (int j = 0; j < i; j++)
			if (xmlStrEqual(t->particles[i].name, t->particles[j].name))
				return;
	t->understood = groups == 1;
}

static int read_file(xs_model *m, const char *data, size_t len)
{
	xmlDocPtr doc = xmlReadMemory(data, (int)len, NULL, NULL, XS_PARSER_FLAGS);
	xmlNodePtr root = doc == NULL ? NULL : xmlDocGetRootElement(doc);

	if (root == NULL || m->n_docs == XS_MAX_DOCS || !has_attribute(root, "targetNamespace", m->namespace) ||
	    !has_attribute(root, "elementFormDefault", "qualified")) {
		xmlFreeDoc(doc);
		return 0;
	}
	m->docs[m->n_docs++] = doc;
	return find_types(m, root->children);
}

xs_model *xs_model_new(const xs_schema *schema)
{
	xs_model *m = calloc(1, sizeof *m);
	const char *data;
	size_t len;

	if (m == NULL)
		return NULL;
	m->namespace = xs_namespace(schema);
	for (int i = 0; m->namespace != NULL && (data = xs_schema_file(schema, i, &len)) != NULL; i++)
		if (read_file(m, data, len) != 0) {
			xs_model_free(m);
			return NULL;
		}
	for (xs_type *t = m->types; t != NULL; t = t->next)
		understand(m, t);
	return m;
}

const xs_type *xs_model_root(const xs_model *m, const xmlChar *name)
{
	for (int i = 0; i < m->n_docs; i++) {
		xmlNodePtr n = schema_element(xmlDocGetRootElement(m->docs[i])->children);
		for (; n != NULL; n = schema_element(n->next))
			if (is_named(n, "element") && has_attribute(n, "name", (const char *)name))
				return type_of(m, n);
	}
	return NULL;
}

void xs_model_free(xs_model *m)
{
	if (m == NULL)
		return;
	while (m->types != NULL) {
		xs_type *t = m->types;
		m->types = t->next;
		for (int i = 0; i < t->n_particles; i++)
			xmlFree(t->particles[i].name);
		free(t);
	}
	for (int i = 0; i < m->n_docs; i++)
		xmlFreeDoc(m->docs[i]);
	free(m);
}
