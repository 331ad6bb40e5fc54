// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Steps for threads: their births (by the leader, under their old numbers, while it may still
 * choose numbers), and what each says to the kernel about itself.
 */
#include "restore/steps.h"

#include <linux/prctl.h>
#include <linux/rseq.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define THREAD_FLAGS \
	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM)
#define DEFAULT_SLACK_NS 50000u
#define POLICY_DEADLINE 6

/* It never runs on from its birth: the tracer has it, and gives it its own registers at the end. */
void plan_threads(struct plan *p)
{
	const struct proc *proc = p->proc;

	if (proc->nchildren)
		plan_warn(p, "it had %zu child processes: they are not restored", proc->nchildren);
	for (size_t i = 1; i < proc->nthreads; i++) {
		const int tid = proc->threads[i].tid;
		struct step *s = plan_step(p, STEP_THREAD, proc->pid, (int)i,
			"under its old number", "make thread %d %s", tid,
			proc->threads[i].comm ? proc->threads[i].comm : "");
		struct clone_args args = {.flags = THREAD_FLAGS};

		if (p->opts.new_pid) {
			const uint64_t d = step_data(s, &args, sizeof(args));

			CALL(s, SYS_clone3, D(d), N(sizeof(args)));
			continue;
		}
		args.set_tid = step_data(s, &tid, sizeof(tid));
		args.set_tid_size = 1;
		const uint64_t d = step_data(s, &args, sizeof(args));

		step_reloc(s, d + offsetof(struct clone_args, set_tid));
		call_expect(CALL(s, SYS_clone3, D(d), N(sizeof(args))), tid);
	}
}

static void add_altstack(struct step *s, const struct thread *th)
{
	const stack_t ss = {.ss_sp = (void *)(uintptr_t)th->altstack.sp,
		.ss_size = th->altstack.size,
		/* SS_ONSTACK is what the kernel tells, not what it takes; SS_AUTODISARM stays. */
		.ss_flags = (int)(th->altstack.flags & ~(uint32_t)SS_ONSTACK)};
	const uint64_t d = step_data(s, &ss, sizeof(ss));

	call_may_fail(CALL(s, SYS_sigaltstack, D(d), N(0)), "alternate signal stack");
}

/* A thread that stood in its exit could not be asked where its end is to be noted. C libraries have
 * that place in the thread's own block: as far from its base as another thread's, and the number
 * stands there. */
static uint64_t guess_clear_tid(const struct plan *p, const struct thread *th)
{
	for (size_t i = 0; i < p->proc->nthreads; i++) {
		const struct thread *o = &p->proc->threads[i];
		const uint64_t at = th->fs_base + (o->clear_child_tid - o->fs_base);
		int32_t there;

		if (o->clear_child_tid && p->im &&
			image_read(p->im, at, &there, sizeof(there)) == sizeof(there) &&
			there == th->tid)
			return at;
	}
	return 0;
}

static void plan_state(struct plan *p, const struct thread *th, int idx)
{
	struct step *s = plan_step(p, STEP_THREAD_STATE, th->tid, idx,
		"what it told the kernel about itself",
		"set robust list, rseq, name of thread %d %s", th->tid, th->comm ? th->comm : "");

	if (th->robust.len)
		CALL(s, SYS_set_robust_list, N(th->robust.head), N(th->robust.len));
	CALL(s, SYS_set_tid_address,
		N(th->injected_known ? th->clear_child_tid : guess_clear_tid(p, th)));
	if (th->rseq.addr)
		call_may_fail(CALL(s, SYS_rseq, N(th->rseq.addr), N(th->rseq.len),
				      N(th->rseq.flags & ~RSEQ_FLAG_UNREGISTER), N(th->rseq.sig)),
			"rseq area");
	if (th->altstack.sp && !(th->altstack.flags & SS_DISABLE))
		add_altstack(s, th);
	if (th->comm) {
		const uint64_t d = step_str(s, th->comm);

		CALL(s, SYS_prctl, N(PR_SET_NAME), D(d), N(0), N(0), N(0));
	}
	if (th->timerslack_ns && th->timerslack_ns != DEFAULT_SLACK_NS)
		CALL(s, SYS_prctl, N(PR_SET_TIMERSLACK), N(th->timerslack_ns), N(0), N(0), N(0));
	if (th->no_new_privs)
		CALL(s, SYS_prctl, N(PR_SET_NO_NEW_PRIVS), N(1), N(0), N(0), N(0));
	if (th->seccomp)
		plan_warn(p, "thread %d had a seccomp filter: it is not restored", th->tid);
}

/* struct sched_attr, sched_setattr(2); glibc 2.36 has none. */
struct sched_attr_v0 {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

static void plan_sched(struct plan *p, const struct thread *th, int idx)
{
	struct step *s = plan_step(p, STEP_SCHED, th->tid, idx, "when and where it runs",
		"schedule thread %d as it was", th->tid);
	struct sched_attr_v0 attr = {
		.size = sizeof(attr),
		.policy = (uint32_t)th->sched_policy,
		.flags = th->sched_flags,
		.nice = th->nice,
		.priority = (uint32_t)th->sched_priority,
	};

	/* Since kernel 6.12 a plain thread shows its slice there, and setting it would pin it. */
	if (th->sched_policy == POLICY_DEADLINE) {
		attr.runtime = th->sched_runtime;
		attr.deadline = th->sched_deadline;
		attr.period = th->sched_period;
	}
	const uint64_t d = step_data(s, &attr, sizeof(attr));

	call_may_fail(
		CALL(s, SYS_sched_setattr, N(0), D(d), N(0)), "not permitted to run as it did");
	if (th->affinity.len) {
		const uint64_t cpus =
			step_data(s, th->affinity.data, MIN(th->affinity.len, (size_t)4096));

		call_may_fail(CALL(s, SYS_sched_setaffinity, N(0),
				      N(MIN(th->affinity.len, (size_t)4096)), D(cpus)),
			"its CPUs are not here");
	}
}

/* The credentials last: after them the thread may not be permitted the rest. A change of ids clears
 * the parent-death signal and the dumpable flag, which so come behind. */
void plan_thread_states(struct plan *p)
{
	const struct proc *proc = p->proc;

	for (size_t i = 0; i < proc->nthreads; i++) {
		plan_state(p, &proc->threads[i], (int)i);
		plan_sched(p, &proc->threads[i], (int)i);
	}
	for (size_t i = 0; i < proc->nthreads; i++) {
		const struct thread *th = &proc->threads[i];

		plan_creds(p, th, (int)i);
		struct step *s = plan_step(p, STEP_THREAD_STATE, th->tid, (int)i,
			"after the credentials, which reset it",
			"set parent-death signal of thread %d", th->tid);

		CALL(s, SYS_prctl, N(PR_SET_PDEATHSIG), N(th->pdeathsig), N(0), N(0), N(0));
	}
	if (proc->dumpable < 2) {
		struct step *s = plan_step(p, STEP_FS, proc->pid, -1,
			"after the credentials, which reset it", "set dumpable %u", proc->dumpable);

		CALL(s, SYS_prctl, N(PR_SET_DUMPABLE), N(proc->dumpable), N(0), N(0), N(0));
	}
}
