/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Signal handlers on an alternate stack. Variant "inside": the checkpoint comes while a handler is running there; otherwise
 * handlers come and go all the time. The alternate stack must be the same afterwards. */
#include <pthread.h>
#include <signal.h>
#include "victim.h"

enum { STACK = 64 << 10 };
static char *stack;
static volatile uint64_t hits;
static volatile bool stop, inside;

static void handler(int sig, siginfo_t *si, void *ctx)
{
	char here[2048];
	stack_t now;
	(void)si;
	(void)ctx;
	memset(here, sig, sizeof(here));
	if (here < stack || here >= stack + STACK)
		victim_fail("the handler ran at %p, its stack is at %p", (void *)here, (void *)stack);
	sigaltstack(NULL, &now);
	if (now.ss_sp != stack || now.ss_flags != SS_ONSTACK)
		victim_fail("inside the handler: alternate stack %p, flags %d", now.ss_sp, now.ss_flags);
	hits++;
	while (inside && !victim_told())
		victim_sleep_ms(1);
}

static void *poke(void *arg)
{
	while (!stop) {
		pthread_kill(*(pthread_t *)arg, SIGUSR2);
		victim_sleep_ms(1);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	victim_init(argc, argv);
	stack = malloc(STACK);
	stack_t ss = {.ss_sp = stack, .ss_size = STACK};
	victim_check(!sigaltstack(&ss, NULL));
	struct sigaction sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
	victim_check(!sigaction(SIGUSR2, &sa, NULL));
	pthread_t t, self = pthread_self();
	victim_ready();
	if (victim_is("inside")) {
		inside = true;
		raise(SIGUSR2);
		victim_check(hits == 1);
	} else {
		victim_check(!pthread_create(&t, NULL, poke, &self));
		victim_wait();
		uint64_t before = hits;
		victim_sleep_ms(50);
		victim_check(hits > before);
		stop = true;
		pthread_join(t, NULL);
	}
	stack_t now;
	victim_check(!sigaltstack(NULL, &now));
	victim_check(now.ss_sp == stack && now.ss_size == STACK && now.ss_flags == 0);
	victim_pass();
}
