/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Victims for the tests of src/trace: forked processes that check themselves and tell by a shared board. */
#ifndef TESTS_TRACE_HELP_H
#define TESTS_TRACE_HELP_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct board {
	atomic_int ready, quit, failed;
	atomic_int got[65];             /* signals handled, by number */
	atomic_int order[64], norder;   /* si_value of queued ones, as they came */
	atomic_long loops;              /* how far the working threads have come */
	atomic_int threads_made;
	char why[200];
	int pipe[2], park;
	volatile uint8_t *area;         /* written to all the time by area_loop */
	size_t area_len;
};
extern struct board *board;

/* Forks a victim that runs body and exits 0 unless it failed; returns when it has set ready. */
pid_t victim_start(void (*body)(void));
/* Tells it to end; 0 or what its wait status was. */
int victim_end(pid_t pid);
void victim_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Runs a loop in which every general and vector register, the flags and the red zone hold known values, once. */
void regs_round(void);
void regs_loop(void);
/* Has the process a handler for sig? */
bool catches(int pid, int sig);
bool text_in_file(const char *path, const char *text);
uint64_t clock_ns(void);

/* trace_victims.c */
void in_read(void);
void in_nanosleep(void);
void in_poll(void);
void in_futex(void);
void in_epoll(void);
void in_sigsuspend(void);
void calls_loop(void);
void signals_loop(void);
void births_loop(void);
void in_vfork(void);
void forks_loop(void);
void rseq_loop(void);
extern char cs_start[], cs_end[], cs_abort[]; /* rseq_loop's critical section */

#endif
