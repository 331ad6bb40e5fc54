/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the victims of test_trace.c do, each a process that checks itself. See trace_help.h. */
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "tests/unit/trace_help.h"

void in_read(void)
{
	char c = 0;
	if (pipe(board->pipe))
		victim_fail("pipe");
	board->ready = 1;
	if (read(board->pipe[0], &c, 1) != 1 || c != 'x')
		victim_fail("read: %s", strerror(errno));
}

void in_nanosleep(void)
{
	struct timespec ts = { 0, 800000000 };
	board->ready = 1;
	const uint64_t from = clock_ns();
	if (nanosleep(&ts, NULL))
		victim_fail("nanosleep: %s", strerror(errno));
	const uint64_t took = clock_ns() - from;
	if (took < 800000000 || took > 9000000000)
		victim_fail("slept %llu ns", (unsigned long long)took);
}

void in_poll(void)
{
	board->ready = 1;
	const uint64_t from = clock_ns();
	const int r = poll(NULL, 0, 800);
	const uint64_t took = clock_ns() - from;
	if (r || took < 800000000 || took > 9000000000)
		victim_fail("poll: %d after %llu ns", r, (unsigned long long)took);
}

void in_futex(void)
{
	struct timespec ts = { 0, 800000000 };
	int word = 1;
	board->ready = 1;
	const uint64_t from = clock_ns();
	const long r = syscall(SYS_futex, &word, FUTEX_WAIT, 1, &ts, NULL, 0);
	const uint64_t took = clock_ns() - from;
	if (r != -1 || errno != ETIMEDOUT || took < 800000000 || took > 9000000000)
		victim_fail("futex: %ld (%s) after %llu ns", r, strerror(errno), (unsigned long long)took);
}

void in_epoll(void)
{
	struct epoll_event ev = { .events = EPOLLIN };
	if (pipe(board->pipe))
		victim_fail("pipe");
	const int ep = epoll_create1(0);
	epoll_ctl(ep, EPOLL_CTL_ADD, board->pipe[0], &ev);
	board->ready = 1;
	const int r = epoll_wait(ep, &ev, 1, -1);
	if (r != 1)
		victim_fail("epoll_wait: %d %s", r, strerror(errno));
}

static void count(int sig, siginfo_t *info, void *uc)
{
	(void)uc;
	board->got[sig]++;
	if (info->si_code == SI_QUEUE && board->norder < 64)
		board->order[board->norder++] = info->si_value.sival_int;
}

static void handle(int sig)
{
	struct sigaction sa = { .sa_sigaction = count, .sa_flags = SA_SIGINFO | SA_RESTART };
	sigaction(sig, &sa, NULL);
}

void in_sigsuspend(void)
{
	sigset_t usr1, none;
	handle(SIGUSR1);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigprocmask(SIG_BLOCK, &usr1, NULL);
	sigemptyset(&none);
	board->ready = 1;
	sigsuspend(&none);
	sigset_t now;
	sigprocmask(SIG_SETMASK, NULL, &now);
	if (board->got[SIGUSR1] != 1 || !sigismember(&now, SIGUSR1))
		victim_fail("sigsuspend: %d signals, mask %d", board->got[SIGUSR1], sigismember(&now, SIGUSR1));
}

void calls_loop(void)
{
	board->ready = 1;
	const pid_t pid = getpid();
	while (!board->quit) {
		if (syscall(SYS_getpid) != pid)
			victim_fail("getpid is wrong");
		board->loops++;
	}
}

void signals_loop(void)
{
	handle(SIGUSR1);
	handle(SIGRTMIN + 1);
	regs_loop();
}

static void *short_life(void *arg)
{
	for (int i = 0; i < 200; i++)
		if (syscall(SYS_getpid) != getpid())
			victim_fail("getpid is wrong");
	return arg;
}

void births_loop(void)
{
	board->ready = 1;
	while (!board->quit) {
		pthread_t th[8];
		for (int i = 0; i < 8; i++)
			if (pthread_create(&th[i], NULL, short_life, NULL))
				victim_fail("pthread_create");
		for (int i = 0; i < 8; i++)
			pthread_join(th[i], NULL);
		board->threads_made += 8;
	}
}

void in_vfork(void)
{
	if (pipe(board->pipe))
		victim_fail("pipe");
	board->ready = 1;
	while (!board->park)
		usleep(1000);
	const pid_t child = vfork();
	if (child == 0) {
		char c;
		while (read(board->pipe[0], &c, 1) < 0)
			;
		_exit(0);
	}
	int status = -1;
	if (waitpid(child, &status, 0) != child || status)
		victim_fail("vfork child: %#x", (unsigned)status);
}

void forks_loop(void)
{
	board->ready = 1;
	while (!board->quit) {
		const pid_t child = board->loops & 1 ? fork() : vfork();
		if (child == 0) {
			execl("/bin/true", "true", NULL);
			_exit(9);
		}
		int status = -1;
		if (waitpid(child, &status, 0) != child || status)
			victim_fail("child: %#x", (unsigned)status);
		board->loops++;
	}
}

/* A restartable sequence that takes a while, again and again: it must never be gone on with after it was left. */
void rseq_loop(void)
{
	board->ready = 1;
	while (!board->quit) {
		__asm__ volatile(
			"	.pushsection .data.rel, \"aw\"\n"
			"	.balign 32\n"
			"77:	.long 0, 0\n"
			"	.quad cs_start, cs_end - cs_start, cs_abort\n"
			"	.popsection\n"
			"	lea 77b(%%rip), %%rax\n"
			"	mov %%rax, %%fs:8(%0)\n"
			"	.globl cs_start, cs_end, cs_abort\n"
			"cs_start:\n"
			"	mov $100000, %%ecx\n"
			"1:	dec %%ecx\n"
			"	jnz 1b\n"
			"cs_end:\n"
			"	jmp 2f\n"
			"	.byte 0x0f, 0xb9, 0x3d\n"
			"	.long 0x53053053\n"
			"cs_abort:\n"
			"	nop\n"
			"2:\n"
			: : "r"(__rseq_offset) : "rax", "rcx", "memory", "cc");
		board->loops++;
	}
}
