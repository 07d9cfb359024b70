/*
 * The C core under a sanitizer, driven by core_test.go. Frames come on standard input:
 * u8 kind | u32 len | bytes.
 *   'f' name NUL content   a file of the schema, the first one is the main file
 *   'l' root NUL item NUL as NUL   what a lot is
 *   'd' document           checks it in every mode by both ways, whose answers must be equal;
 *                          prints status numbers "e b" and how many modes took the short way
 *   'c' document           compares xs_canonical with xmlC14NExecute for every element
 * Whatever goes wrong ends the program with a message and status 1.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libxml/c14n.h>
#include <libxml/parser.h>

#include "../core.h"

static unsigned char *read_frame(int *kind, size_t *len)
{
	unsigned char head[5], *data;

	if (fread(head, 1, sizeof head, stdin) != sizeof head)
		return NULL;
	*kind = head[0];
	*len = xs_get_u32(head + 1);
	/* Exactly as long as the document, so that the sanitizer sees one byte too many. */
	data = malloc(*len == 0 ? 1 : *len);
	if (data == NULL || fread(data, 1, *len, stdin) != *len)
		exit(1);
	return data;
}

/* Visible is the subtree without processing instructions, which the core drops. */
static int visible(void *apex, xmlNodePtr node, xmlNodePtr parent)
{
	if (node->type == XML_PI_NODE)
		return 0;
	if (node->type == XML_NAMESPACE_DECL)
		node = parent;
	for (; node != NULL; node = node->parent)
		if (node == apex)
			return 1;
	return 0;
}

static void compare_at(xmlDocPtr doc, xmlNodePtr apex)
{
	xmlOutputBufferPtr want = xmlAllocOutputBuffer(NULL);
	xs_buf have = {.max = (size_t)1 << 24};

	if (xmlC14NExecute(doc, visible, apex, XML_C14N_EXCLUSIVE_1_0, NULL, 0, want) < 0) {
		fprintf(stderr, "reference failed\n");
		exit(1);
	}
	xs_canonical(apex, &have);
	if (have.failed || have.len != xmlOutputBufferGetSize(want) ||
	    memcmp(have.data, xmlOutputBufferGetContent(want), have.len) != 0) {
		fprintf(stderr, "different\nhave %.*s\nwant %s\n", (int)have.len, (char *)have.data,
			(const char *)xmlOutputBufferGetContent(want));
		exit(1);
	}
	free(have.data);
	xmlOutputBufferClose(want);
}

static int compare_all(xmlDocPtr doc, xmlNodePtr element)
{
	int n = 1;

	compare_at(doc, element);
	for (xmlNodePtr c = element->children; c != NULL; c = c->next)
		if (c->type == XML_ELEMENT_NODE)
			n += compare_all(doc, c);
	return n;
}

static int compare(const unsigned char *bytes, size_t len)
{
	xmlParserCtxtPtr parser = xmlNewParserCtxt();
	xmlDocPtr doc = xmlCtxtReadMemory(parser, (const char *)bytes, (int)len, NULL, NULL, XML_PARSE_NONET);
	int n = 0;

	if (doc != NULL && parser->nsWellFormed && doc->intSubset == NULL)
		n = compare_all(doc, xmlDocGetRootElement(doc));
	xmlFreeDoc(doc);
	xmlFreeParserCtxt(parser);
	return n;
}

/* Little room every other time, so that running out of it is tried as well. */
static xs_buf room_for(size_t len)
{
	return (xs_buf){.max = XS_LEAST_ANSWER + len % 2 * (4 * len + 65536)};
}

static int check(xs_checker *checker, const unsigned char *bytes, size_t len, int mode)
{
	xs_buf out = room_for(len), by_tree = room_for(len);
	int status;

	xs_check(checker, (const char *)bytes, len, mode, &out);
	if (out.failed || out.len < XS_LEAST_ANSWER || out.len > out.max) {
		fprintf(stderr, "no answer\n");
		exit(1);
	}
	xs_check_by_tree(checker, (const char *)bytes, len, mode, &by_tree);
	if (out.len != by_tree.len || memcmp(out.data, by_tree.data, out.len) != 0) {
		fprintf(stderr, "two ways, two answers: mode %d, status %d and %d\n%.*s\n", mode, out.data[0],
			by_tree.data[0], (int)len, (const char *)bytes);
		exit(1);
	}
	status = out.data[0];
	free(out.data);
	free(by_tree.data);
	return status;
}

/* How many modes of the document go the short way. */
static int short_ways(xs_stream *stream, const unsigned char *bytes, size_t len)
{
	int n = 0;

	for (int mode = XS_ENVELOPE; mode <= XS_JUDGE; mode++) {
		xs_buf out = {.max = 4 * len + 65536};
		n += memchr(bytes, 0, len) == NULL && xs_stream_check(stream, (const char *)bytes, len, mode, &out);
		free(out.data);
	}
	return n;
}

int main(void)
{
	xs_files *files = xs_files_new();
	xs_schema *schema = NULL;
	xs_checker *checker = NULL;
	xs_stream *stream = NULL;
	char *main_file = NULL, *lot[3] = {NULL};
	unsigned char *data;
	size_t len;
	int kind;

	xs_init();
	while ((data = read_frame(&kind, &len)) != NULL) {
		if (kind == 'f') {
			size_t n = strlen((char *)data) + 1;
			if (main_file == NULL)
				main_file = strdup((char *)data);
			xs_files_add(files, (char *)data, data + n, len - n);
		} else if (kind == 'l') {
			const char *name = (char *)data;
			for (int i = 0; i < 3; i++, name += strlen(name) + 1)
				lot[i] = strdup(name);
		} else if (kind == 'c') {
			printf("%d\n", compare(data, len));
		} else {
			xs_fault fault;
			if (schema == NULL) {
				schema = xs_compile(files, main_file, &fault);
				if (schema == NULL)
					return 1;
				if (lot[0] != NULL && xs_set_lot(schema, lot[0], lot[1], lot[2]) != 0)
					return 1;
				checker = xs_checker_new(schema);
				stream = xs_stream_new(schema);
			}
			if (checker == NULL || stream == NULL)
				return 1;
			printf("%d ", check(checker, data, len, XS_ENVELOPE));
			printf("%d ", check(checker, data, len, XS_BARE));
			check(checker, data, len, XS_JUDGE);
			printf("%d\n", short_ways(stream, data, len));
		}
		free(data);
	}
	xs_stream_free(stream);
	xs_checker_free(checker);
	xs_schema_free(schema);
	xs_files_free(files);
	free(main_file);
	for (int i = 0; i < 3; i++)
		free(lot[i]);
	xmlCleanupParser();
	return 0;
}
