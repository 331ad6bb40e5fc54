/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Engine `uffd`, the pager: a thread that serves faults on write-protected memory, from the first page armed on. A
 * thread that waits for it sits in the kernel and cannot reach its ptrace stop, so it may never wait for the tracer.
 *
 *	registered   with the userfaultfd: may be write-protected
 *	opened       written before T, since it was protected
 *
 * After T it copies before it opens, and gives back (unregisters) from the top of memory downwards what is copied: small
 * pieces, as each one holds the mmap lock.
 */
#ifndef CKPT_CAPTURE_PAGER_H
#define CKPT_CAPTURE_PAGER_H

#include "capture/session.h"

struct pager {
	struct capture *c;
	int fd, wake;                   /* the userfaultfd; an eventfd that ends the pager's sleep */
	bool holes;                     /* pages that are not there yet can be protected, too (WP_UNPOPULATED, kernel 6.4) */
	pthread_t thread;
	bool started;
	pthread_mutex_t lock;           /* of all below; priority-inheriting */
	struct ranges registered, opened;
	bool after_stop;
	_Atomic bool quit;
};

/* Can this kernel do it: 0, or -1 with *e. Whether the process may is found out by remote_userfaultfd. */
int pager_supported(struct err *e);
/* fd: a fresh userfaultfd of the process; the pager's from now on, also on failure. Starts the thread. */
int pager_start(struct pager *g, struct capture *c, int fd, struct err *e);
/* Ends the thread and closes the userfaultfd: what is still protected is the program's again. Harmless when not started. */
void pager_stop(struct pager *g);
/* Registers [start, end) of one mapping; what the kernel cannot register stays out. True: it is registered. */
bool pager_register(struct pager *g, uint64_t start, uint64_t end);
/* Write-protects [start, end), registered; a piece at a time. False: not all of it is there any more. */
bool pager_protect(struct pager *g, uint64_t start, uint64_t end);
/* The program must be able to write [start, end) without waiting: copied first when T has passed, else noted as opened. */
int pager_open(struct pager *g, uint64_t start, uint64_t end, struct err *e);
/* The program changes what is mapped there: no longer ours. */
void pager_forget(struct pager *g, uint64_t start, uint64_t end);
/* Unregisters [start, end), which must be copied when T has passed: for a call that wants the mapping in one piece. */
void pager_drop(struct pager *g, uint64_t start, uint64_t end);
/* What was opened since the last call is moved to out. after_stop: from now on pages are copied. */
void pager_take_opened(struct pager *g, bool after_stop, struct ranges *out);
/* Something was copied in the background: the pager may give more back. */
void pager_wake(struct pager *g);
/* Everything is given back. */
bool pager_done(struct pager *g);

#endif
