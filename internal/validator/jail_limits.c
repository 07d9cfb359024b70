/*
 * What a worker gives up. A worker reads what strangers wrote with a library that says of
 * itself that it is not made for that; so whoever takes it over must find nothing: no file, no
 * socket, no other process, no more memory than a document needs.
 */
#define _GNU_SOURCE
#include "jail.h"

#include <stddef.h>

#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

int jail_drop(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};

	/* Descriptors above the socket: Go closes its own on exec, a library's might stay open. */
	syscall(SYS_close_range, JAIL_FD + 1, ~0U, 0);
	/* First of all nobody else of this user may look into it: only its rights denied that so far. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return -1;
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 || syscall(SYS_capset, &head, none) != 0)
		return -1;
	return 0;
}

/* Allows at most so much, or less where the hub itself may not have so much. */
static int limit(int what, rlim_t most)
{
	struct rlimit l;

	if (getrlimit(what, &l) != 0)
		return -1;
	if (l.rlim_max > most)
		l.rlim_max = most;
	l.rlim_cur = l.rlim_max;
	return setrlimit(what, &l);
}

/* The numbers are those that the parent looks for (jail.go, limitsHold). */
int jail_limits(void)
{
	/* Processor time is not limited here: that limit counts over the whole life. */
	if (limit(RLIMIT_AS, 256UL << 20) != 0 || limit(RLIMIT_NOFILE, JAIL_FD + 1) != 0 ||
	    limit(RLIMIT_FSIZE, 0) != 0 || limit(RLIMIT_CORE, 0) != 0 || limit(RLIMIT_NPROC, 0) != 0)
		return -1;
	return 0;
}

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "the filter of system calls is written for x86-64 and arm64"
#endif

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define KILL BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
/* Allows one call; the next statement is for all others. */
#define ALLOW_CALL(name) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_##name, 0, 1), ALLOW

/*
 * Reading and writing what is open, memory that cannot be executed, and the end. The numbers
 * of another architecture (int 0x80) or of x32 are other calls: the first is refused by the
 * architecture, the second because its numbers are none of these.
 */
int jail_filter(void)
{
	struct sock_filter program[] = {
		LOAD(arch),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0),
		KILL,
		LOAD(nr),
		ALLOW_CALL(read),
		ALLOW_CALL(write),
		ALLOW_CALL(brk),
		ALLOW_CALL(munmap),
		ALLOW_CALL(mremap),
		ALLOW_CALL(madvise),
		ALLOW_CALL(exit_group),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_mmap, 1, 0),
		KILL,
		LOAD(args[2]), /* the low half: both architectures are little endian */
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1),
		KILL,
		ALLOW,
	};
	struct sock_fprog filter = {
		.len = sizeof program / sizeof program[0],
		.filter = program,
	};

	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
}
