/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What only ptrace, or only the process itself by a batch of calls, can tell. */
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include "base/buf.h"
#include "trace/internal.h"

/* ---- by ptrace ---- */

static void get_regset(struct task *k, int set, struct blob *out)
{
	enum { CAP = 16384 };
	uint8_t *b = xmalloc(CAP);
	struct iovec iov = {b, CAP};
	if (ptrace(PTRACE_GETREGSET, k->tid, set, &iov) == 0)
		blob_set(out, b, iov.iov_len);
	free(b);
}

static void add_pending(struct siginfo_raw **list, size_t *n, const siginfo_t *info)
{
	memcpy(array_push(list, n), info, sizeof(struct siginfo_raw));
}

static void peek_pending(struct task *k, uint32_t flags, struct siginfo_raw **list, size_t *n)
{
	enum { STEP = 32 };
	siginfo_t infos[STEP];
	struct __ptrace_peeksiginfo_args a = {.flags = flags, .nr = STEP};
	for (;;) {
		const long got = ptrace(PTRACE_PEEKSIGINFO, k->tid, &a, infos);
		for (long i = 0; i < got; i++)
			add_pending(list, n, &infos[i]);
		if (got <= 0)
			return;
		a.off += (uint64_t)got;
	}
}

int task_collect(struct task *k, struct thread *th, struct proc *p, bool with_shared, struct err *e)
{
	if (!task_regs(k) || task_get_mask(k, &th->sigmask))
		return err_set(e, 0, "thread %d has ended", k->tid);
	blob_set(&th->regs, &k->regs_cache, sizeof(k->regs_cache));
	get_regset(k, NT_PRFPREG, &th->fpregs);
	get_regset(k, NT_X86_XSTATE, &th->xstate);
	th->fs_base = k->regs_cache.fs_base;
	th->gs_base = k->regs_cache.gs_base;
	free(th->pending);
	th->pending = NULL;
	th->npending = 0;
	th->exit_signal_pending = 0;
	if (k->stop.kind == STOP_SIGNAL && k->stop.sig) {
		th->exit_signal_pending = k->stop.sig;
		add_pending(&th->pending, &th->npending, &k->stop.info);
	}
	for (const struct held_signal *h = k->held; h; h = h->next)
		add_pending(&th->pending, &th->npending, &h->info);
	peek_pending(k, 0, &th->pending, &th->npending);
	if (with_shared) {
		free(p->pending);
		p->pending = NULL;
		p->npending = 0;
		peek_pending(k, PTRACE_PEEKSIGINFO_SHARED, &p->pending, &p->npending);
	}
	struct __ptrace_rseq_configuration c = {0};
	if (ptrace(PTRACE_GET_RSEQ_CONFIGURATION, k->tid, sizeof(c), &c) == sizeof(c)) {
		th->rseq.addr = c.rseq_abi_pointer;
		th->rseq.len = c.rseq_abi_size;
		th->rseq.sig = c.signature;
		th->rseq.flags = c.flags;
	}
	return 0;
}

/* ---- by the process ---- */

/* Where the results lie in the work area. */
struct results {
	struct sigact acts[NSIGNALS];
	struct itimerval itimers[3];
	struct rlimit64 limits[NLIMITS];
	int subreaper;
};
/* As many timers as the work area and a batch hold at once. */
enum { TIMER_STEP = 64 };

static int call(
	struct tracee *t, struct task *k, struct remote_call *calls, size_t n, struct err *e)
{
	return k ? remote_batch(t, k, calls, n, e) : agent_batch(t, calls, n, e);
}

static int collect_timers(struct tracee *t, struct task *k, struct proc *p, struct err *e)
{
	for (size_t i = 0; i < p->ntimers; i += TIMER_STEP) {
		const size_t n = MIN(p->ntimers - i, (size_t)TIMER_STEP);
		struct remote_call c[2 * TIMER_STEP] = {0};
		struct itimerspec its[TIMER_STEP];
		const uint64_t at = t->scratch->work;
		for (size_t j = 0; j < n; j++) {
			const uint64_t id = (uint64_t)p->timers[i + j].id;
			c[2 * j] = (struct remote_call){
				SYS_timer_gettime, {id, at + j * sizeof(its[0])}, 0};
			c[2 * j + 1] = (struct remote_call){SYS_timer_getoverrun, {id}, 0};
		}
		if (call(t, k, c, 2 * n, e) ||
			tracee_read(t, at, its, n * sizeof(its[0])) != n * sizeof(its[0]))
			return -1;
		for (size_t j = 0; j < n; j++) {
			struct ptimer *pt = &p->timers[i + j];
			if (c[2 * j].ret)
				continue;
			pt->value_ns = (uint64_t)its[j].it_value.tv_sec * 1000000000ull +
				       (uint64_t)its[j].it_value.tv_nsec;
			pt->interval_ns = (uint64_t)its[j].it_interval.tv_sec * 1000000000ull +
					  (uint64_t)its[j].it_interval.tv_nsec;
			pt->overrun = c[2 * j + 1].ret < 0 ? 0 : (int32_t)c[2 * j + 1].ret;
		}
	}
	return 0;
}

static uint64_t usec(const struct timeval *tv)
{
	return (uint64_t)tv->tv_sec * 1000000ull + (uint64_t)tv->tv_usec;
}

static void take_results(struct tracee *t, struct proc *p, const struct results *r)
{
	memcpy(p->acts, r->acts, sizeof(p->acts));
	if (t->scratch->armed)
		p->acts[SIGSEGV - 1] = t->scratch->saved;
	p->acts_known = true;
	for (int i = 0; i < 3; i++) {
		p->itimers[i].value_us = usec(&r->itimers[i].it_value);
		p->itimers[i].interval_us = usec(&r->itimers[i].it_interval);
	}
	for (int i = 0; i < NLIMITS; i++)
		p->limits[i] = (struct limit){r->limits[i].rlim_cur, r->limits[i].rlim_max};
	p->child_subreaper = (uint32_t)r->subreaper;
}

int remote_collect_process(struct tracee *t, struct task *k, struct proc *p, struct err *e)
{
	if (!t->scratch)
		return err_set(e, 0, "process %d: no scratch memory", t->pid);
	const uint64_t at = t->scratch->work;
	struct results r = {0};
	struct remote_call c[NSIGNALS + 3 + NLIMITS + 4];
	size_t n = 0;
	_Static_assert(sizeof(struct results) <= 8192, "fits the work area");
	if (tracee_write(t, at, &r, sizeof(r)) != sizeof(r))
		return err_set(
			e, EXIT_CAPTURE, "write into the scratch mapping of process %d", t->pid);
	for (uint64_t i = 0; i < NSIGNALS; i++)
		c[n++] = (struct remote_call){SYS_rt_sigaction,
			{i + 1, 0, at + offsetof(struct results, acts) + i * sizeof(r.acts[0]), 8},
			0};
	for (uint64_t i = 0; i < 3; i++)
		c[n++] = (struct remote_call){SYS_getitimer,
			{i, at + offsetof(struct results, itimers) + i * sizeof(r.itimers[0])}, 0};
	for (uint64_t i = 0; i < NLIMITS; i++)
		c[n++] = (struct remote_call){SYS_prlimit64,
			{0, i, 0, at + offsetof(struct results, limits) + i * sizeof(r.limits[0])},
			0};
	const size_t prctls = n;
	c[n++] = (struct remote_call){SYS_prctl, {PR_GET_DUMPABLE}, 0};
	c[n++] = (struct remote_call){SYS_prctl, {PR_GET_THP_DISABLE}, 0};
	c[n++] = (struct remote_call){
		SYS_prctl, {PR_GET_CHILD_SUBREAPER, at + offsetof(struct results, subreaper)}, 0};
	/* Nothing below the heap's start is ever set: it answers where the heap ends. */
	c[n++] = (struct remote_call){SYS_brk, {0}, 0};
	if (call(t, k, c, n, e) || tracee_read(t, at, &r, sizeof(r)) != sizeof(r))
		return err_in(e, "collect signal actions, timers and limits");
	take_results(t, p, &r);
	p->dumpable = c[prctls].ret < 0 ? 1 : (uint32_t)c[prctls].ret;
	if (c[n - 1].ret > 0)
		p->mm.brk = (uint64_t)c[n - 1].ret;
	p->thp_disable = c[prctls + 1].ret < 0 ? 0 : (uint32_t)c[prctls + 1].ret;
	return collect_timers(t, k, p, e);
}

/* One thread's results in the work area, and its calls. */
struct thread_results {
	struct {
		uint64_t sp;
		int flags;
		uint64_t size;
	} altstack;
	uint64_t clear_child_tid;
	int pdeathsig;
	uint64_t pad[3];
};
_Static_assert(sizeof(struct thread_results) == 64, "scratch.c: WORK_PER_TASK");
enum { THREAD_CALLS = 4 };

static void thread_calls(struct remote_call *c, uint64_t at)
{
	const uint64_t tid_at = at + offsetof(struct thread_results, clear_child_tid);
	const uint64_t sig_at = at + offsetof(struct thread_results, pdeathsig);
	c[0] = (struct remote_call){SYS_sigaltstack, {0, at}, 0};
	c[1] = (struct remote_call){SYS_prctl, {PR_GET_TID_ADDRESS, tid_at}, 0};
	c[2] = (struct remote_call){SYS_prctl, {PR_GET_PDEATHSIG, sig_at}, 0};
	c[3] = (struct remote_call){SYS_prctl, {PR_GET_SECUREBITS}, 0};
}

static void take_thread(
	struct thread *th, const struct thread_results *r, const struct remote_call *c)
{
	if (c[0].ret == -ESRCH)
		return;
	th->altstack.sp = r->altstack.sp;
	th->altstack.size = r->altstack.size;
	th->altstack.flags = (uint32_t)r->altstack.flags;
	th->clear_child_tid = r->clear_child_tid;
	th->pdeathsig = r->pdeathsig;
	th->securebits = c[3].ret < 0 ? 0 : (uint32_t)c[3].ret;
	th->injected_known = true;
}

static bool can_call(const struct task *k, const struct proc *p)
{
	return k->stopped && !k->is_agent && !k->child && k->stop.kind != STOP_EXITING &&
	       k->stop.kind != STOP_VFORK && proc_thread(p, k->tid);
}

int remote_collect_threads(struct tracee *t, struct proc *p, struct err *e)
{
	if (!t->scratch)
		return err_set(e, 0, "process %d: no scratch memory", t->pid);
	const struct scratch *s = t->scratch;
	const size_t room = (size_t)(s->work_len / sizeof(struct thread_results));
	struct remote_job *jobs = xcalloc(t->ntasks + 1, sizeof(*jobs));
	size_t n = 0;
	for (size_t i = 0; i < t->ntasks; i++)
		if (can_call(t->tasks[i], p))
			jobs[n++].k = t->tasks[i];
	struct remote_call *calls = xcalloc(n * THREAD_CALLS + 1, sizeof(*calls));
	struct thread_results *r = xcalloc(room, sizeof(*r));
	int rc = 0;
	for (size_t from = 0; from < n && rc == 0; from += room) {
		const size_t part = MIN(n - from, room);
		for (size_t i = 0; i < part; i++) {
			struct remote_call *c = calls + (from + i) * THREAD_CALLS;
			thread_calls(c, s->work + i * sizeof(*r));
			jobs[from + i].calls = c;
			jobs[from + i].n = THREAD_CALLS;
		}
		memset(r, 0, part * sizeof(*r));
		tracee_write(t, s->work, r, part * sizeof(*r));
		/* A thread that dies meanwhile is no failure: it is not known then. */
		if (remote_batches(t, jobs + from, part, e) && (t->gone || !t->scratch))
			rc = -1;
		if (rc == 0 && tracee_read(t, s->work, r, part * sizeof(*r)) != part * sizeof(*r))
			rc = err_set(
				e, EXIT_CAPTURE, "read the scratch mapping of process %d", t->pid);
		for (size_t i = 0; i < part && rc == 0; i++)
			take_thread(
				proc_thread(p, jobs[from + i].k->tid), &r[i], jobs[from + i].calls);
	}
	free(r);
	free(calls);
	free(jobs);
	return rc;
}
