/*
 * A worker that lies, dies or hangs when a document says so, and otherwise answers every
 * document with <EchoRichiesta>. It speaks the protocol of jail_serve.c, and has no jail.
 *
 * A document "RAW" | u8 flag | bytes has it write the bytes, of which the four from the fifth on
 * become the document's id, as in an honest frame. With the flag 'd' it then dies, with 'p' blanks
 * follow until the frame is as long as it says.
 */
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void get(void *to, size_t n)
{
	for (size_t done = 0; done < n;) {
		ssize_t r = read(3, (char *)to + done, n - done);
		if (r <= 0)
			_exit(0);
		done += (size_t)r;
	}
}

static void put(const void *from, size_t n)
{
	for (size_t done = 0; done < n;) {
		ssize_t w = write(3, (const char *)from + done, n - done);
		if (w <= 0)
			_exit(0);
		done += (size_t)w;
	}
}

/* id and answer, little endian as this machine is */
static void answer(uint32_t id, const char *body, uint32_t n)
{
	uint32_t len = n + 4;

	put(&len, 4);
	put(&id, 4);
	put(body, n);
}

#define ECHO "<EchoRichiesta></EchoRichiesta>"
#define VALID "\0\0\x0D" "EchoRichiesta" "\0" "\0\0\0\0" ECHO
#define SAY(id, body) answer(id, body, sizeof(body) - 1)

static int is(const char *doc, const char *what) { return strstr(doc, what) != NULL; }

static void raw(const char *doc, uint32_t n, uint32_t id)
{
	char *bytes = malloc(n);

	memcpy(bytes, doc + 4, n - 4);
	if (n - 4 >= 8)
		memcpy(bytes + 4, &id, 4);
	put(bytes, n - 4);
	if (doc[3] == 'd')
		_exit(0);
	if (doc[3] == 'p') {
		uint32_t len;
		memcpy(&len, bytes, 4);
		for (len -= n - 4 - 4; len > 0; len--)
			put(" ", 1);
	}
	free(bytes);
}

int main(void)
{
	for (;;) {
		uint32_t len, id;
		char head[3];
		char *doc;

		get(&len, 4);
		get(&id, 4);
		get(head, 3);
		doc = calloc(1, len);
		get(doc, len - 7);
		if (head[0] == 2)
			answer(0, "", 0);
		else if (head[0] == 1 || head[0] == 3)
			;
		else if (len >= 7 + 4 && memcmp(doc, "RAW", 3) == 0)
			raw(doc, len - 7, id);
		else if (is(doc, "ABORT"))
			raise(SIGKILL);
		else if (is(doc, "SEGV"))
			raise(SIGSEGV);
		else if (is(doc, "EXIT"))
			_exit(0);
		else if (is(doc, "LOOP"))
			for (;;)
				pause();
		else if (is(doc, "DEAF")) { /* answers this one and never reads again */
			SAY(id, VALID);
			for (;;)
				pause();
		} else if (is(doc, "HANG-UP")) { /* lives on behind a closed socket */
			close(3);
			for (;;)
				pause();
		} else if (is(doc, "FLOOD")) { /* talks unasked for ever */
			for (;;)
				SAY(id++, VALID);
		} else if (is(doc, "WRONG-ID"))
			SAY(id + 1, VALID);
		else if (is(doc, "TWICE")) {
			SAY(id, VALID);
			SAY(id + 1, VALID);
		} else if (is(doc, "GARBAGE"))
			SAY(id, "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF");
		else if (is(doc, "NAME"))
			SAY(id, "\0\0\x05" "Rossi" "\0" "\0\0\0\0" "<Rossi></Rossi>");
		else if (is(doc, "HEADER")) /* in a bare document */
			SAY(id, "\0\0\x0D" "EchoRichiesta" "\0" "\x13\0\0\0" "<s:Header></Header>" ECHO);
		else if (is(doc, "HALF")) {
			len = 1000;
			put(&len, 4);
			put(&id, 4);
			_exit(0);
		} else if (is(doc, "HUGE")) {
			len = 0x7FFFFFFF;
			put(&len, 4);
			put(&id, 4);
			for (;;)
				put("0123456789abcdef", 16);
		} else if (is(doc, "SHORT")) {
			len = 3;
			put(&len, 4);
			put(&id, 4);
		} else
			SAY(id, VALID);
		free(doc);
	}
}
