/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Many threads (the variant says how many) with thread-local state; at the end all must join: TLS, tids, clear_child_tid,
 * the clock of the vdso, mutexes and conditions go on working. */
#include <pthread.h>
#include "victim.h"

struct self {
	pthread_t thread;
	uint64_t steps;
	int tid;
};
static __thread uint64_t my_steps;
static __thread uint64_t my_seed = 0x5eed;
static volatile bool stop;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static uint64_t turns, waiters;

static void look(struct self *me)
{
	struct timespec ts;
	if (syscall(SYS_gettid) != me->tid)
		victim_fail("tid %ld was %d", syscall(SYS_gettid), me->tid);
	if (!pthread_equal(pthread_self(), me->thread))
		victim_fail("pthread_self changed in thread %d", me->tid);
	if (my_steps != me->steps || my_seed != 0x5eed)
		victim_fail("thread-local count %lu, shared copy %lu", my_steps, me->steps);
	if (clock_gettime(CLOCK_MONOTONIC, &ts) || clock_gettime(CLOCK_REALTIME, &ts))
		victim_fail("clock_gettime: %d", errno);
}

static void *run(void *arg)
{
	struct self *me = arg;
	me->thread = pthread_self();
	me->tid = (int)syscall(SYS_gettid);
	pthread_mutex_lock(&lock);
	waiters++;
	pthread_mutex_unlock(&lock);
	while (!stop) {
		pthread_mutex_lock(&lock);
		uint64_t turn = turns;
		while (turns == turn && !stop)
			pthread_cond_wait(&changed, &lock);
		pthread_mutex_unlock(&lock);
		for (int i = 0; i < 1000; i++) {
			my_steps++;
			me->steps++;
		}
		look(me);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	victim_init(argc, argv);
	int n = atoi(victim_variant);
	if (n < 1)
		n = 16;
	struct self *all = calloc((size_t)n, sizeof(*all));
	pthread_t *t = calloc((size_t)n, sizeof(*t));
	for (int i = 0; i < n; i++)
		victim_check(!pthread_create(&t[i], NULL, run, &all[i]));
	while (__atomic_load_n(&waiters, __ATOMIC_SEQ_CST) != (uint64_t)n)
		victim_sleep_ms(1);
	victim_ready();
	while (!stop) {
		victim_sleep_ms(2);
		stop = victim_told();
		pthread_mutex_lock(&lock);
		turns++;
		pthread_cond_broadcast(&changed);
		pthread_mutex_unlock(&lock);
	}
	for (int i = 0; i < n; i++)
		victim_check(!pthread_join(t[i], NULL));
	victim_pass();
}
