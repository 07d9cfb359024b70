/*
 * The loop of a worker: read what is there, answer every whole frame in order, write once.
 *
 *   request: u32 len | u32 id | u8 op | u8 schema | u8 mode | body
 *   answer:  u32 len | u32 id | answer of xs_check (core.h)
 *
 * len counts what follows it; numbers are little endian. First come the schemas (op file),
 * then lots (op lot), then op seal, answered when they are compiled and the filter stands, then documents.
 */
#include "jail.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core.h"

enum { OP_CHECK = 0, OP_FILE = 1, OP_SEAL = 2, OP_LOT = 3 };
enum { MAX_SCHEMAS = 8 };
enum { REQUEST_HEAD = 7 };          /* id, op, schema, mode */
enum { MAX_REQUEST = 8 << 20 };     /* far above what the parent sends */
enum { READ_ROOM = 256 << 10 };     /* what one read may bring: many documents */
enum { FLUSH_AT = 64 << 10 };       /* answers are written when so many bytes wait */
enum { KEEP_ROOM = 1 << 20 };       /* a larger buffer is given back after its document */

struct contract {
	xs_files *files;
	char *main_file;
	char *lot[3]; /* root, item, as: xs_set_lot; NULL without lots */
	xs_schema *schema;
	xs_checker *checker;
};

struct jail {
	struct contract contracts[MAX_SCHEMAS];
	int sealed;
	xs_buf in, out;
};

static void flush(struct jail *j)
{
	size_t done = 0;

	while (done < j->out.len) {
		ssize_t n = write(JAIL_FD, j->out.data + done, j->out.len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			_exit(JAIL_SOCKET);
		done += (size_t)n;
	}
	j->out.len = 0;
}

/* body: u8 n | n bytes name | content. mode 1 marks the main file. */
static void take_file(struct contract *c, int is_main, const unsigned char *body, size_t len)
{
	char name[256];
	size_t n = len == 0 ? 0 : body[0];

	if (n == 0 || len < 1 + n)
		_exit(JAIL_PROTOCOL);
	memcpy(name, body + 1, n);
	name[n] = '\0';
	if (c->files == NULL)
		c->files = xs_files_new();
	if (c->files == NULL || xs_files_add(c->files, name, body + 1 + n, len - 1 - n) != 0)
		_exit(JAIL_NO_MEMORY);
	if (is_main)
		c->main_file = strdup(name);
}

/* body: three times u8 n | n bytes name. */
static void take_lot(struct contract *c, const unsigned char *body, size_t len)
{
	for (int i = 0; i < 3; i++) {
		size_t n = len == 0 ? 0 : body[0];
		if (n == 0 || len < 1 + n)
			_exit(JAIL_PROTOCOL);
		c->lot[i] = strndup((const char *)body + 1, n);
		if (c->lot[i] == NULL)
			_exit(JAIL_NO_MEMORY);
		body += 1 + n;
		len -= 1 + n;
	}
}

static void seal(struct jail *j)
{
	xs_fault fault;

	for (int i = 0; i < MAX_SCHEMAS; i++) {
		struct contract *c = &j->contracts[i];
		if (c->files == NULL)
			continue;
		if (c->main_file == NULL)
			_exit(JAIL_PROTOCOL);
		c->schema = xs_compile(c->files, c->main_file, &fault);
		if (c->schema == NULL)
			_exit(JAIL_NO_SCHEMA);
		if (c->lot[2] != NULL && xs_set_lot(c->schema, c->lot[0], c->lot[1], c->lot[2]) != 0)
			_exit(JAIL_NO_MEMORY);
		c->checker = xs_checker_new(c->schema);
		if (c->checker == NULL)
			_exit(JAIL_NO_MEMORY);
		xs_files_free(c->files);
		c->files = NULL;
	}
	if (jail_filter() != 0)
		_exit(JAIL_NO_FILTER);
	j->sealed = 1;
}

static void answer(struct jail *j, const unsigned char *frame, size_t len)
{
	struct contract *c = &j->contracts[frame[5] % MAX_SCHEMAS];
	const unsigned char *body = frame + REQUEST_HEAD;
	size_t start = j->out.len;

	len -= REQUEST_HEAD;
	/* The same room as in decode.go, AnswerRoom. */
	j->out.max = start + 8 + 4 * len + (64 << 10);
	xs_put_u32(&j->out, 0);
	xs_put(&j->out, frame, 4);
	if (frame[4] == OP_SEAL && !j->sealed)
		seal(j);
	else if (frame[4] == OP_CHECK && c->checker != NULL)
		xs_check(c->checker, (const char *)body, len, frame[6], &j->out);
	else
		_exit(JAIL_PROTOCOL);
	if (j->out.failed)
		_exit(JAIL_NO_MEMORY);
	xs_set_u32(j->out.data + start, (uint32_t)(j->out.len - start - 4));
}

static void handle(struct jail *j, const unsigned char *frame, size_t len)
{
	if (frame[4] == OP_FILE && !j->sealed)
		take_file(&j->contracts[frame[5] % MAX_SCHEMAS], frame[6] == 1, frame + REQUEST_HEAD,
			  len - REQUEST_HEAD);
	else if (frame[4] == OP_LOT && !j->sealed)
		take_lot(&j->contracts[frame[5] % MAX_SCHEMAS], frame + REQUEST_HEAD, len - REQUEST_HEAD);
	else
		answer(j, frame, len);
}

/* Handles every whole frame and gives how many bytes the frame begun after them needs. */
static size_t handle_all(struct jail *j)
{
	size_t at = 0, need = 4;

	while (j->in.len - at >= 4) {
		size_t len = xs_get_u32(j->in.data + at);
		if (len < REQUEST_HEAD || len > MAX_REQUEST)
			_exit(JAIL_PROTOCOL);
		need = 4 + len;
		if (j->in.len - at < need)
			break;
		handle(j, j->in.data + at + 4, len);
		at += need;
		need = 4;
		if (j->out.len >= FLUSH_AT)
			flush(j);
	}
	memmove(j->in.data, j->in.data + at, j->in.len - at);
	j->in.len -= at;
	return need;
}

static void make_room(xs_buf *b, size_t room)
{
	unsigned char *data;

	if (room < READ_ROOM)
		room = READ_ROOM;
	if (b->cap >= room && (b->cap <= KEEP_ROOM || room > KEEP_ROOM))
		return;
	data = realloc(b->data, room);
	if (data == NULL)
		_exit(JAIL_NO_MEMORY);
	b->data = data;
	b->cap = room;
}

_Noreturn void jail_serve(void)
{
	static struct jail j;

	make_room(&j.in, READ_ROOM);
	for (;;) {
		ssize_t n = read(JAIL_FD, j.in.data + j.in.len, j.in.cap - j.in.len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0)
			_exit(JAIL_DONE);
		if (n < 0)
			_exit(JAIL_SOCKET);
		j.in.len += (size_t)n;
		make_room(&j.in, handle_all(&j));
		flush(&j);
		if (j.out.cap > KEEP_ROOM) {
			free(j.out.data);
			j.out = (xs_buf){0};
		}
	}
}
