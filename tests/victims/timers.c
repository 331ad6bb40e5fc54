/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Timers of every kind go on ticking with their interval, their signal and their value: setitimer, POSIX timers that signal the
 * process, one thread or nobody, and none of them is lost or armed anew. */
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include "victim.h"

static volatile uint64_t alarms, queued, direct;
static timer_t by_process, by_thread, silent;
static int main_tid;

static void on_signal(int sig, siginfo_t *si, void *ctx)
{
	(void)ctx;
	if (sig == SIGALRM) {
		alarms++;
		return;
	}
	if (si->si_code != SI_TIMER)
		victim_fail("signal %d with si_code %d", sig, si->si_code);
	if (sig == SIGRTMIN) {
		if (si->si_value.sival_int != 4711)
			victim_fail("the process's timer carries %d", si->si_value.sival_int);
		queued++;
	} else {
		if (syscall(SYS_gettid) != main_tid || si->si_value.sival_int != 4712)
			victim_fail("the thread's timer came to %ld with %d", syscall(SYS_gettid), si->si_value.sival_int);
		direct++;
	}
}

static void *idle(void *arg)
{
	victim_wait();
	return arg;
}

static void arm(timer_t *t, int how, int sig, int value, long first_s, long interval_ms)
{
	struct sigevent ev = {.sigev_notify = how, .sigev_signo = sig, .sigev_value.sival_int = value};
	struct itimerspec its = {{0, interval_ms * 1000000}, {first_s, first_s ? 0 : interval_ms * 1000000}};
#ifdef sigev_notify_thread_id
	ev.sigev_notify_thread_id = main_tid;
#else
	ev._sigev_un._tid = main_tid;
#endif
	victim_check(!timer_create(CLOCK_MONOTONIC, &ev, t) && !timer_settime(*t, 0, &its, NULL));
}

int main(int argc, char **argv)
{
	struct sigaction sa = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
	struct itimerval tick = {{0, 10000}, {0, 10000}}, far = {{7, 0}, {7000, 0}}, now;
	struct itimerspec left;
	pthread_t t;
	victim_init(argc, argv);
	main_tid = (int)syscall(SYS_gettid);
	sigaction(SIGALRM, &sa, NULL);
	sigaction(SIGRTMIN, &sa, NULL);
	sigaction(SIGRTMIN + 1, &sa, NULL);
	victim_check(!pthread_create(&t, NULL, idle, NULL));
	timer_t gone;   /* a hole in the numbers of timers */
	arm(&gone, SIGEV_NONE, 0, 0, 1000, 10);
	arm(&by_process, SIGEV_SIGNAL, SIGRTMIN, 4711, 0, 15);
	timer_delete(gone);
	arm(&by_thread, SIGEV_THREAD_ID, SIGRTMIN + 1, 4712, 0, 20);
	arm(&silent, SIGEV_NONE, 0, 0, 5000, 500);
	setitimer(ITIMER_REAL, &tick, NULL);
	setitimer(ITIMER_VIRTUAL, &far, NULL);
	setitimer(ITIMER_PROF, &far, NULL);
	victim_ready();
	victim_wait();
	uint64_t a = alarms, q = queued, d = direct, begin = victim_clock_ns();
	while (victim_clock_ns() - begin < 300000000)
		victim_sleep_ms(5);
	if (alarms - a < 15 || alarms - a > 60)
		victim_fail("the interval timer fired %lu times in 300 ms, 30 are right", alarms - a);
	if (queued - q < 10 || queued - q > 40)
		victim_fail("the process's timer fired %lu times in 300 ms, 20 are right", queued - q);
	if (direct - d < 7 || direct - d > 30)
		victim_fail("the thread's timer fired %lu times in 300 ms, 15 are right", direct - d);
	victim_check(!getitimer(ITIMER_REAL, &now) && now.it_interval.tv_usec == 10000);
	victim_check(!getitimer(ITIMER_VIRTUAL, &now) && now.it_interval.tv_sec == 7);
	victim_check(now.it_value.tv_sec > 6900 && now.it_value.tv_sec <= 7000);
	victim_check(!getitimer(ITIMER_PROF, &now) && now.it_interval.tv_sec == 7 && now.it_value.tv_sec > 6900);
	victim_check(!timer_gettime(silent, &left) && left.it_interval.tv_nsec == 500000000);
	victim_check(left.it_value.tv_sec > 4800 && left.it_value.tv_sec <= 5000);
	victim_pass();
}
