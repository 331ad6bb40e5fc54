// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Steps for signals: what is done about each (early, so that nothing of ours is left), and, at the
 * end, those that were pending. A thread may queue any siginfo to itself, so it does that by its
 * own call.
 */
#include "restore/steps.h"

#include <signal.h>
#include <string.h>
#include <sys/syscall.h>

#define KERNEL_SIGSET_LEN 8

void plan_signals(struct plan *p)
{
	const struct proc *proc = p->proc;
	struct step *s = plan_step(
		p, STEP_SIGNAL, proc->pid, -1, "what a signal does", "set signal actions");

	if (!proc->acts_known)
		plan_warn(
			p, "the image does not tell the signal actions: they are the default ones");
	for (int sig = 1; sig <= NSIGNALS; sig++) {
		const struct sigact *a = &proc->acts[sig - 1];

		if (sig == SIGKILL || sig == SIGSTOP)
			continue;
		if (!proc->acts_known || (!a->handler && !a->flags && !a->mask && !a->restorer))
			continue; /* the child starts with default ones */
		const uint64_t at = step_data(s, a, sizeof(*a));

		CALL(s, SYS_rt_sigaction, N(sig), D(at), N(0), N(KERNEL_SIGSET_LEN));
	}
}

static void add_pending(struct plan *p, struct step *s, const struct siginfo_raw *info, int tid)
{
	int signo;

	memcpy(&signo, info->bytes, sizeof(signo));
	if (signo < 1 || signo > NSIGNALS || signo == SIGKILL)
		return;
	const uint64_t at = step_data(s, info->bytes, sizeof(info->bytes));
	struct step_call *c;

	if (tid)
		c = CALL(s, SYS_rt_tgsigqueueinfo, T(p->proc->pid), T(tid), N(signo), D(at));
	else
		c = CALL(s, SYS_rt_sigqueueinfo, T(p->proc->pid), N(signo), D(at));
	call_may_fail(c, "a pending signal is lost");
}

static void plan_pending_of(
	struct plan *p, const struct siginfo_raw *list, size_t n, int tid, int idx)
{
	const size_t room = PLAN_DATA_MAX / sizeof(*list) / 2;

	for (size_t i = 0; i < n;) {
		/* Only a thread itself may queue what looks like tgkill to it:
		 * rt_tgsigqueueinfo(2). */
		struct step *s = plan_step(p, STEP_PENDING, tid ? tid : p->proc->pid, idx,
			"they were waiting to be handled", "give %zu pending signals to %s %d",
			MIN(n - i, room), tid ? "thread" : "process", tid ? tid : p->proc->pid);

		for (const size_t end = MIN(n, i + room); i < end; i++)
			add_pending(p, s, &list[i], tid);
	}
}

void plan_pending(struct plan *p)
{
	const struct proc *proc = p->proc;

	plan_pending_of(p, proc->pending, proc->npending, 0, -1);
	for (size_t i = 0; i < proc->nthreads; i++)
		plan_pending_of(p, proc->threads[i].pending, proc->threads[i].npending,
			proc->threads[i].tid, (int)i);
}
