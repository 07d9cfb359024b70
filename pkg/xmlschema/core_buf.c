/*
 * A growing buffer with an upper bound, and little-endian numbers in it.
 */
#include "core.h"

#include <stdlib.h>
#include <string.h>

static int grow(xs_buf *b, size_t len)
{
	size_t cap = b->cap == 0 ? 4096 : b->cap;
	unsigned char *data;

	/* The buffer may be larger than max, from an earlier and larger answer. */
	if (b->failed || len > b->max || b->len > b->max - len) {
		b->failed = 1;
		return -1;
	}
	while (cap < b->len + len)
		cap *= 2;
	data = realloc(b->data, cap);
	if (data == NULL) {
		b->failed = 1;
		return -1;
	}
	b->data = data;
	b->cap = cap;
	return 0;
}

void xs_put_slowly(xs_buf *b, const void *data, size_t len)
{
	if (b->failed || len == 0 || grow(b, len) != 0)
		return;
	memcpy(b->data + b->len, data, len);
	b->len += len;
}

void xs_put_u8(xs_buf *b, unsigned v)
{
	unsigned char c = (unsigned char)v;

	xs_put(b, &c, 1);
}

void xs_put_u16(xs_buf *b, unsigned v)
{
	unsigned char c[2] = {(unsigned char)v, (unsigned char)(v >> 8)};

	xs_put(b, c, sizeof c);
}

void xs_set_u32(unsigned char *p, uint32_t v)
{
	p[0] = (unsigned char)v;
	p[1] = (unsigned char)(v >> 8);
	p[2] = (unsigned char)(v >> 16);
	p[3] = (unsigned char)(v >> 24);
}

void xs_put_u32(xs_buf *b, uint32_t v)
{
	unsigned char c[4];

	xs_set_u32(c, v);
	xs_put(b, c, sizeof c);
}

uint32_t xs_get_u32(const unsigned char *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
