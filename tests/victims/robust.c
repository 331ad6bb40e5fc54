/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A thread holds a robust mutex and dies with it after the checkpoint: the kernel must still know its robust list. */
#include <pthread.h>
#include "victim.h"

static pthread_mutex_t robust;
static volatile bool holding;

static void *hold(void *arg)
{
	victim_check(!pthread_mutex_lock(&robust));
	holding = true;
	victim_wait();
	return arg;     /* without unlocking */
}

int main(int argc, char **argv)
{
	pthread_mutexattr_t attr;
	pthread_t t;
	victim_init(argc, argv);
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&robust, &attr);
	victim_check(!pthread_create(&t, NULL, hold, NULL));
	while (!holding)
		victim_sleep_ms(1);
	victim_ready();
	victim_wait();
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 5;
	int r = pthread_mutex_timedlock(&robust, &until);
	if (r != EOWNERDEAD)
		victim_fail("locking a dead thread's robust mutex gave %d", r);
	victim_check(!pthread_mutex_consistent(&robust));
	victim_check(!pthread_mutex_unlock(&robust));
	pthread_join(t, NULL);
	victim_pass();
}
