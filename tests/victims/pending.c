/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Signals that wait behind a mask: of the process and of one thread, realtime ones in order with their values, standard ones
 * with who sent them. */
#include <pthread.h>
#include <signal.h>
#include "victim.h"

enum { COUNT = 40 };
static sigset_t set;

static void expect(int sig, int code, int value)
{
	siginfo_t si;
	struct timespec none = {0, 0};
	sigset_t one;
	sigemptyset(&one);
	sigaddset(&one, sig);
	int got = sigtimedwait(&one, &si, &none);
	if (got != sig)
		victim_fail("signal %d (value %d) is not pending: %d, errno %d", sig, value, got, errno);
	if (si.si_code != code)
		victim_fail("signal %d has si_code %d, not %d", sig, si.si_code, code);
	if (si.si_pid != getpid() || si.si_uid != getuid())
		victim_fail("signal %d comes from pid %d uid %u", sig, si.si_pid, si.si_uid);
	if (value && si.si_value.sival_int != value)
		victim_fail("signal %d carries %d, not %d", sig, si.si_value.sival_int, value);
}

static void *other(void *arg)
{
	for (int i = 0; i < COUNT; i++)
		pthread_sigqueue(pthread_self(), SIGRTMIN + 4, (union sigval){.sival_int = 5000 + i});
	pthread_kill(pthread_self(), SIGUSR2);
	*(volatile bool *)arg = true;
	victim_wait();
	for (int i = 0; i < COUNT; i++)
		expect(SIGRTMIN + 4, SI_QUEUE, 5000 + i);
	expect(SIGUSR2, SI_USER, 0);    /* glibc hides SI_TKILL */
	return NULL;
}

int main(int argc, char **argv)
{
	volatile bool queued = false;
	pthread_t t;
	victim_init(argc, argv);
	sigfillset(&set);
	sigdelset(&set, SIGSEGV);
	victim_check(!sigprocmask(SIG_SETMASK, &set, NULL));
	victim_check(!pthread_create(&t, NULL, other, (void *)&queued));
	for (int i = 0; i < COUNT; i++)
		victim_check(!sigqueue(getpid(), SIGRTMIN + 2, (union sigval){.sival_int = 100 + i}));
	victim_check(!sigqueue(getpid(), SIGRTMIN + 9, (union sigval){.sival_int = 99}));
	victim_check(!kill(getpid(), SIGUSR1));
	victim_check(!kill(getpid(), SIGTERM));
	while (!queued)
		victim_sleep_ms(1);
	victim_ready();
	victim_wait();
	pthread_join(t, NULL);
	for (int i = 0; i < COUNT; i++)
		expect(SIGRTMIN + 2, SI_QUEUE, 100 + i);
	expect(SIGRTMIN + 9, SI_QUEUE, 99);
	expect(SIGUSR1, SI_USER, 0);
	expect(SIGTERM, SI_USER, 0);
	sigset_t rest;
	victim_check(!sigpending(&rest));
	for (int sig = 1; sig < 65; sig++)
		if (sigismember(&rest, sig) == 1 && sig != SIGCHLD && sig != SIGCONT)
			victim_fail("signal %d is pending and was not before", sig);
	sigset_t mask;
	victim_check(!sigprocmask(SIG_BLOCK, NULL, &mask));
	for (int sig = 1; sig < 65; sig++)
		if (sig != SIGKILL && sig != SIGSTOP && sigismember(&set, sig) != sigismember(&mask, sig))
			victim_fail("the mask of signal %d changed", sig);
	victim_pass();
}
