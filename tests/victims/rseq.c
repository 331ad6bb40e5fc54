/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Restartable sequences stay registered: the kernel goes on writing the processor number into each thread's area, and threads
 * that ask for it all the time are never killed (they are when the area is read-only at a preemption). */
#include <pthread.h>
#include <sched.h>
#include <sys/rseq.h>
#include "victim.h"

static volatile bool stop;

static struct rseq *area(void)
{
	return (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
}

static void follow(int cpu, const cpu_set_t *old)
{
	cpu_set_t one;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (sched_setaffinity(0, sizeof(one), &one))
		victim_fail("sched_setaffinity to %d: %d", cpu, errno);
	if (sched_getcpu() != cpu)
		victim_fail("on processor %d, sched_getcpu says %d", cpu, sched_getcpu());
	if ((int)*(volatile uint32_t *)&area()->cpu_id != cpu)
		victim_fail("on processor %d, the rseq area says %d", cpu, (int)area()->cpu_id);
	sched_setaffinity(0, sizeof(*old), old);
}

static void *run(void *arg)
{
	cpu_set_t set;
	sched_getaffinity(0, sizeof(set), &set);
	while (!stop) {
		for (int i = 0; i < 10000; i++) {
			int cpu = sched_getcpu();
			if (cpu < 0 || !CPU_ISSET(cpu, &set))
				victim_fail("sched_getcpu says %d", cpu);
		}
		sched_yield();
	}
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &set))
			follow(cpu, &set);
	return arg;
}

int main(int argc, char **argv)
{
	pthread_t t[4];
	victim_init(argc, argv);
	if (!__rseq_size)
		victim_fail("this libc registered no rseq area");
	for (int i = 0; i < 4; i++)
		victim_check(!pthread_create(&t[i], NULL, run, NULL));
	victim_ready();
	victim_wait();
	stop = true;
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	run(NULL);
	victim_pass();
}
