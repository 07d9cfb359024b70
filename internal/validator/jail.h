/*
 * The child of internal/validator: the program a worker runs instead of the hub's.
 */
#ifndef VALIDATOR_JAIL_H
#define VALIDATOR_JAIL_H

/* Exit statuses of a worker, for the parent (jail.go, refusedBy) and its log. */
enum {
	JAIL_DONE = 0,        /* the parent closed the socket */
	JAIL_PROTOCOL = 20,   /* the parent's bytes make no sense */
	JAIL_NO_SCHEMA = 21,  /* a schema does not compile */
	JAIL_NO_MEMORY = 22,  /* no memory for an answer */
	JAIL_NO_LIMITS = 23,  /* the system refused a limit */
	JAIL_NO_FILTER = 24,  /* the system refused the filter of system calls */
	JAIL_SOCKET = 25,     /* reading or writing failed */
	JAIL_NO_DROP = 26,    /* the system refused to take rights away */
};

/* The descriptor of the socket to the parent. */
enum { JAIL_FD = 3 };

/*
 * Puts up the walls that a system may refuse: namespaces, an empty root. What was refused the
 * parent finds out by looking (jail.go). It needs the rights jail_drop takes.
 */
void jail_walls(void);

/* Gives up every right there is. 0 if that held. */
int jail_drop(void);

/* Gives up all memory, descriptors and files but what a document needs. 0 if that held. */
int jail_limits(void);

/* Gives up all system calls but eight. Nothing but documents may follow. 0 if it held. */
int jail_filter(void);

/* Serves the parent for ever. */
_Noreturn void jail_serve(void);

#endif
