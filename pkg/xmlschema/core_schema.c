/*
 * Compiling a schema from files in memory, and the process-wide settings of libxml2.
 */
#include "core.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <libxml/parser.h>
#include <libxml/xmlschemas.h>
#include <libxml/xmlschemastypes.h>
#include <libxml/schemasInternals.h>

struct xs_file {
	char *name;
	char *data;
	size_t len;
	struct xs_file *next;
};

struct xs_files {
	struct xs_file *first;
};

struct xs_schema {
	xmlSchemaPtr compiled;
	xs_files *files; /* for core_model.c */
	xs_lot lot; /* root NULL: none */
};

/* What the loader may hand out on this thread, and whether it was asked for anything else. */
static __thread const xs_files *current_files;
static __thread int asked_for_more;

xs_files *xs_files_new(void) { return calloc(1, sizeof(xs_files)); }

static void file_free(struct xs_file *f)
{
	free(f->name);
	free(f->data);
	free(f);
}

int xs_files_add(xs_files *files, const char *name, const void *data, size_t len)
{
	struct xs_file *f = calloc(1, sizeof *f);

	if (f == NULL)
		return -1;
	f->name = strdup(name);
	f->data = malloc(len + 1);
	f->len = len;
	if (f->name == NULL || f->data == NULL) {
		file_free(f);
		return -1;
	}
	memcpy(f->data, data, len);
	f->next = files->first;
	files->first = f;
	return 0;
}

void xs_files_free(xs_files *files)
{
	if (files == NULL)
		return;
	while (files->first != NULL) {
		struct xs_file *f = files->first;
		files->first = f->next;
		file_free(f);
	}
	free(files);
}

/*
 * The only way libxml2 gets at anything outside the bytes it was given. While a schema
 * compiles it serves that schema's files; at any other time it serves nothing, so that no
 * document can make libxml2 open a file or an address.
 */
static xmlParserInputPtr load(const char *url, const char *id, xmlParserCtxtPtr parser)
{
	const struct xs_file *f = current_files == NULL ? NULL : current_files->first;
	xmlParserInputBufferPtr bytes;
	xmlParserInputPtr input;

	(void)id;
	while (f != NULL && (url == NULL || strcmp(f->name, url) != 0))
		f = f->next;
	if (f == NULL) {
		asked_for_more = 1;
		return NULL;
	}
	bytes = xmlParserInputBufferCreateMem(f->data, (int)f->len, XML_CHAR_ENCODING_NONE);
	if (bytes == NULL)
		return NULL;
	input = xmlNewIOInputStream(parser, bytes, XML_CHAR_ENCODING_NONE);
	if (input == NULL) {
		xmlFreeParserInputBuffer(bytes);
		return NULL;
	}
	input->filename = (char *)xmlStrdup((const xmlChar *)url);
	return input;
}

/* libxml2 prints document text when it runs out of memory, whatever the parser's options. */
static void silent(void *ctx, const char *format, ...)
{
	(void)ctx;
	(void)format;
}

static void init_once(void)
{
	xmlInitParser();
	xmlSchemaInitTypes();
	xmlSetExternalEntityLoader(load);
	xmlSetGenericErrorFunc(NULL, silent);
	xmlThrDefSetGenericErrorFunc(NULL, silent);
}

void xs_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, init_once);
}

static void note_fault(void *arg, xmlErrorPtr error)
{
	xs_fault *fault = arg;

	if (error->level == XML_ERR_WARNING || fault->code != 0)
		return;
	fault->code = error->code;
	fault->line = error->line;
}

static xs_files *copy(const xs_files *files)
{
	xs_files *all = xs_files_new();

	for (const struct xs_file *f = files->first; all != NULL && f != NULL; f = f->next)
		if (xs_files_add(all, f->name, f->data, f->len) != 0) {
			xs_files_free(all);
			return NULL;
		}
	return all;
}

const char *xs_schema_file(const xs_schema *schema, int i, size_t *len)
{
	const struct xs_file *f = schema->files->first;

	for (; f != NULL && i > 0; i--)
		f = f->next;
	if (f == NULL)
		return NULL;
	*len = f->len;
	return f->data;
}

xs_schema *xs_compile(const xs_files *files, const char *main_file, xs_fault *fault)
{
	xs_schema *schema = calloc(1, sizeof *schema);
	xmlSchemaParserCtxtPtr parser;

	fault->code = fault->line = 0;
	if (schema == NULL)
		return NULL;
	current_files = files;
	asked_for_more = 0;
	/* Also for this thread: what the XML parser itself says goes here, not to stderr. */
	xmlSetStructuredErrorFunc(fault, note_fault);
	parser = xmlSchemaNewParserCtxt(main_file);
	if (parser != NULL) {
		xmlSchemaSetParserStructuredErrors(parser, note_fault, fault);
		schema->compiled = xmlSchemaParse(parser);
		xmlSchemaFreeParserCtxt(parser);
	}
	xmlSetStructuredErrorFunc(NULL, NULL);
	current_files = NULL;
	/* An import that is not found is only a warning to libxml2; here nothing may be missing. */
	if (asked_for_more && fault->code == 0)
		fault->code = XML_IO_LOAD_ERROR;
	schema->files = copy(files);
	if (schema->compiled == NULL || schema->files == NULL || fault->code != 0) {
		xs_schema_free(schema);
		return NULL;
	}
	return schema;
}

const char *xs_namespace(const xs_schema *schema)
{
	return (const char *)schema->compiled->targetNamespace;
}

int xs_has_name(const xs_schema *schema, const char *name, const char *uri)
{
	return xmlStrEqual(schema->compiled->targetNamespace, (const xmlChar *)uri) &&
	       xmlHashLookup(schema->compiled->elemDecl, (const xmlChar *)name) != NULL;
}

int xs_set_lot(xs_schema *schema, const char *root, const char *item, const char *as)
{
	schema->lot.root = strdup(root);
	schema->lot.item = strdup(item);
	schema->lot.as = strdup(as);
	return schema->lot.root == NULL || schema->lot.item == NULL || schema->lot.as == NULL ? -1 : 0;
}

const xs_lot *xs_lot_of(const xs_schema *schema) { return &schema->lot; }

/* Who only wants a verdict of the whole gets it of the whole. */
int xs_is_lot(const xs_schema *schema, const char *name, int mode)
{
	return schema->lot.root != NULL && mode != XS_JUDGE && strcmp(schema->lot.root, name) == 0;
}

int xs_is_item(const xs_schema *schema, const char *name, const char *uri)
{
	return strcmp(schema->lot.item, name) == 0 &&
	       xmlStrEqual(schema->compiled->targetNamespace, (const xmlChar *)uri);
}

/* For the checker: its validation contexts are made from the compiled schema. */
xmlSchemaPtr xs_compiled(const xs_schema *schema) { return schema->compiled; }

void xs_schema_free(xs_schema *schema)
{
	if (schema == NULL)
		return;
	if (schema->compiled != NULL)
		xmlSchemaFree(schema->compiled);
	xs_files_free(schema->files);
	free((char *)schema->lot.root);
	free((char *)schema->lot.item);
	free((char *)schema->lot.as);
	free(schema);
}
