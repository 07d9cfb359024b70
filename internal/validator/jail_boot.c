/*
 * Where a worker begins. The parent starts its own binary again with one hidden argument, and
 * this constructor takes the process over before Go's runtime starts (as runc's nsexec does):
 * one thread, a small address space, no goroutine that could need a system call the filter
 * denies. In any other process it does nothing.
 */
#include "jail.h"

#include <string.h>
#include <unistd.h>

#include "core.h"

__attribute__((constructor)) static void boot(int argc, char **argv)
{
	if (argc != 2 || strcmp(argv[1], "xml-validator") != 0)
		return;
	jail_walls();
	if (jail_drop() != 0)
		_exit(JAIL_NO_DROP);
	if (jail_limits() != 0)
		_exit(JAIL_NO_LIMITS);
	xs_init();
	jail_serve();
}
