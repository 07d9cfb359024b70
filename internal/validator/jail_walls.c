/*
 * The walls that need rights many containers do not have: namespaces of its own, in which a
 * worker has no network, no System V memory, and no file. The filter of system calls denies all
 * that too; these hold should it ever have a hole. Each wall is tried by itself, and the parent
 * looks from outside which of them stand.
 *
 * There is no namespace of processes: its first process is deaf to signals from outside but
 * SIGKILL, and without kill, ptrace and /proc the filter leaves nothing for it to hide.
 */
#define _GNU_SOURCE
#include "jail.h"

#include <sched.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * Changes the root to an empty folder that cannot be written, and lets go of the old one. /dev
 * serves as the place to mount it, because the parent has just opened a file there.
 */
static void empty_root(void)
{
	const unsigned long nothing = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;

	/* Nothing done here may reach the mounts of the hub. */
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
	    mount("none", "/dev", "tmpfs", nothing, "size=4k,nr_inodes=1,mode=555") != 0 ||
	    chdir("/dev") != 0)
		return;
	/* The old root comes to lie upon the new one, and "." is still the new one below it. */
	if (syscall(SYS_pivot_root, ".", ".") == 0)
		(void)umount2(".", MNT_DETACH);
	else if (chroot(".") != 0) /* the root of an initramfs cannot be pivoted */
		return;
	(void)!chdir("/");
}

void jail_walls(void)
{
	(void)unshare(CLONE_NEWNET);
	(void)unshare(CLONE_NEWIPC);
	(void)unshare(CLONE_NEWUTS);
	if (unshare(CLONE_NEWNS) == 0)
		empty_root();
}
