/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * SIGSEGV is the program's own business. Variants:
 *	barrier   pages are protected and a handler opens them, as virtual machines do, all through the window
 *	jump      null pointers are caught with siglongjmp
 *	blocked   SIGSEGV is blocked while pages are written; it must stay blocked
 *	contended threads count in the same words, so that they meet at the same page, before the stop and after
 *	ignored   SIGSEGV is ignored while pages are written; it must stay ignored
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include "victim.h"

enum { PAGE = 4096, PAGES = 512 };
static char *mem;
static volatile uint64_t faults;
static volatile bool stop;
static sigjmp_buf back;

static void open_page(int sig, siginfo_t *si, void *ctx)
{
	char *at = si->si_addr;
	(void)sig;
	(void)ctx;
	if (at < mem || at >= mem + PAGES * PAGE)
		victim_fail("a fault at %p, which is not ours", (void *)at);
	if (si->si_code != SEGV_ACCERR)
		victim_fail("si_code %d at %p", si->si_code, (void *)at);
	faults++;
	mprotect((void *)((uintptr_t)at & ~(uintptr_t)(PAGE - 1)), PAGE, PROT_READ | PROT_WRITE);
}

static void barrier(void)
{
	uint64_t gen = 1;
	memset(mem, 0, PAGES * PAGE);
	for (; !victim_told(); gen++) {
		uint64_t before = faults;
		mprotect(mem, PAGES * PAGE, gen % 2 ? PROT_NONE : PROT_READ);
		for (size_t i = 0; i < PAGES; i++) {
			volatile uint64_t *w = (uint64_t *)(mem + i * PAGE);
			if (*w + 1 != gen)
				victim_fail("page %zu holds %lu, not %lu", i, *w, gen - 1);
			*w = gen;
		}
		if (faults - before != PAGES)
			victim_fail("%lu faults for %d pages in round %lu", faults - before, PAGES, gen);
	}
}

static void jump(int sig, siginfo_t *si, void *ctx)
{
	(void)sig;
	(void)ctx;
	if (si->si_addr != (void *)16)
		victim_fail("a fault at %p instead of 16", si->si_addr);
	siglongjmp(back, 1);
}

static void jumps(void)
{
	while (!victim_told()) {
		const uint64_t goal = faults + 100;
		while (faults < goal) {
			if (!sigsetjmp(back, 1)) {
				*(volatile char *)16 = 1;
				victim_fail("wrote to address 16");
			}
			faults++;
		}
	}
}

static void write_pages(void)
{
	for (uint64_t gen = 1; !victim_told(); gen++) {
		for (size_t i = 0; i < PAGES; i++)
			*(volatile uint64_t *)(mem + i * PAGE) = gen;
		for (size_t i = 0; i < PAGES; i++)
			if (*(volatile uint64_t *)(mem + i * PAGE) != gen)
				victim_fail("page %zu lost its write", i);
	}
}

enum { THREADS = 4, WORDS = 4 };
static uint64_t added[THREADS];

static void *count_on(void *arg)
{
	uint64_t *mine = arg;
	for (; !stop; ++*mine)
		__atomic_add_fetch((uint64_t *)(mem + *mine % WORDS * 32 * PAGE), 1, __ATOMIC_RELAXED);
	return NULL;
}

static void contend(void)
{
	pthread_t t[THREADS];
	uint64_t in_memory = 0, in_all = 0;
	memset(mem, 0, PAGES * PAGE);
	for (int i = 0; i < THREADS; i++)
		victim_check(!pthread_create(&t[i], NULL, count_on, &added[i]));
	while (!victim_told())
		victim_sleep_ms(1);
	stop = true;
	for (int i = 0; i < THREADS; i++) {
		victim_check(!pthread_join(t[i], NULL));
		in_all += added[i];
	}
	for (int i = 0; i < WORDS; i++)
		in_memory += *(uint64_t *)(mem + i * 32 * PAGE);
	if (in_memory != in_all)
		victim_fail("counted %lu, not %lu", in_memory, in_all);
}

int main(int argc, char **argv)
{
	struct sigaction sa = {.sa_flags = SA_SIGINFO}, now;
	sigset_t set;
	victim_init(argc, argv);
	mem = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	victim_check(mem != MAP_FAILED);
	memset(mem, 1, PAGES * PAGE);
	sigemptyset(&set);
	sigaddset(&set, SIGSEGV);
	if (victim_is("barrier")) {
		sa.sa_sigaction = open_page;
	} else if (victim_is("jump")) {
		sa.sa_sigaction = jump;
	} else if (victim_is("blocked")) {
		sa.sa_sigaction = open_page;
		victim_check(!sigprocmask(SIG_BLOCK, &set, NULL));
	} else if (victim_is("contended")) {
		sa.sa_handler = SIG_DFL;
	} else {
		sa.sa_handler = SIG_IGN;
		sa.sa_flags = SA_RESTART;
	}
	sigaddset(&sa.sa_mask, SIGUSR1);
	victim_check(!sigaction(SIGSEGV, &sa, NULL));
	victim_ready();
	if (victim_is("barrier"))
		barrier();
	else if (victim_is("jump"))
		jumps();
	else if (victim_is("contended"))
		contend();
	else
		write_pages();
	victim_check(!sigaction(SIGSEGV, NULL, &now));
	victim_check(now.sa_sigaction == sa.sa_sigaction);
	victim_check((now.sa_flags & ~0x04000000) == sa.sa_flags && sigismember(&now.sa_mask, SIGUSR1));
	sigset_t mask;
	victim_check(!sigprocmask(SIG_BLOCK, NULL, &mask));
	victim_check(sigismember(&mask, SIGSEGV) == victim_is("blocked"));
	victim_pass();
}
