/*
 * Tries to leave the jail: argv[1] names what to try after it was closed. Ends with status 0
 * if it came back from that, and by SIGSYS if the filter held.
 */
#include "../jail_limits.c"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int try(const char *what)
{
	if (strcmp(what, "nothing") == 0) {
		free(malloc(8 << 20));
		return write(1, "", 0) == 0;
	}
	if (strcmp(what, "open") == 0)
		return open("/etc/passwd", O_RDONLY) >= 0;
	if (strcmp(what, "socket") == 0)
		return socket(AF_INET, SOCK_STREAM, 0) >= 0;
	if (strcmp(what, "fork") == 0)
		return fork() >= 0;
	if (strcmp(what, "exec") == 0)
		return execl("/bin/true", "true", (char *)NULL);
	if (strcmp(what, "kill") == 0)
		return (int)syscall(SYS_kill, 1, 0);
	if (strcmp(what, "ptrace") == 0)
		return (int)syscall(SYS_ptrace, 0, 0, 0, 0);
	if (strcmp(what, "mprotect") == 0)
		return mprotect(NULL, 4096, PROT_EXEC);
	if (strcmp(what, "executable memory") == 0)
		return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
	if (strcmp(what, "more limits") == 0) {
		struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
		return setrlimit(RLIMIT_AS, &all) == 0;
	}
	if (strcmp(what, "unshare") == 0)
		return (int)syscall(SYS_unshare, 0x10000000);
	if (strcmp(what, "mount") == 0)
		return (int)syscall(SYS_mount, "none", "/", "tmpfs", 0, "");
	if (strcmp(what, "datagram") == 0)
		return socket(AF_INET, SOCK_DGRAM, 0) >= 0;
	if (strcmp(what, "connect") == 0)
		return connect(1, NULL, 0);
	if (strcmp(what, "sendto") == 0)
		return sendto(1, "", 0, 0, NULL, 0) >= 0;
#if defined(__x86_64__)
	if (strcmp(what, "x32") == 0)
		return (int)syscall(0x40000000 + SYS_getpid);
	if (strcmp(what, "32 bit") == 0) {
		long result = 20; /* getpid of i386 is writev's number here */
		__asm__ volatile("int $0x80" : "+a"(result) : : "memory");
		return (int)result;
	}
#endif
	return 0;
}

int main(int argc, char **argv)
{
	/* As in a worker: glibc asks for a random number once, at its first malloc. */
	free(malloc(1));
	if (argc != 2 || jail_drop() != 0 || jail_limits() != 0 || jail_filter() != 0)
		_exit(1);
	try(argv[1]);
	_exit(0);
}
