/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Batches: threads are sent into the stub with a slot each, and put back when they have told that
 * they are done.
 *
 * The order makes every instant safe to die at: the slot with the way home first, then the
 * registers, then the mask that keeps signals away from the stub, then go; at the end the mask
 * first, then the registers. In between a thread whose tracer is gone finds its own way home. When
 * it is back it stands in the delivery stop of the stub's signal, which lies in the same place in
 * the kernel as the stop it was in, so that what was to be restarted is.
 */
#include <assert.h>
#include <errno.h>
#include <linux/rseq.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include "base/buf.h"
#include "trace/internal.h"

struct flight {
	struct task *k;
	struct remote_call *calls;
	size_t n;
	size_t off; /* of its slot in the arena */
	struct found found;
	bool done, dead;
};
struct round {
	struct flight *f;
	size_t n;
	struct buf image; /* of the arena's used part */
	/* Set for the batch that clones the agent. */
	bool clone;
	uint64_t clone_flags, clone_stack;
};

static int go_to_exit(struct tracee *t, struct task *k)
{
	const struct found f = task_found(k, 0);
	do {
		task_mark_running(k);
		ptrace(PTRACE_SYSCALL, k->tid, NULL, 0);
		if (wait_for(t, k) || k->stop.kind == STOP_EXITING)
			return -1;
	} while (k->stop.kind != STOP_EXIT_SYSCALL);
	k->stop = f.stop;
	k->stopped_ns = f.stopped_ns;
	k->trace_syscalls = f.trace_syscalls;
	k->in_syscall = false;
	k->moved = true;
	return 0;
}

int task_settle(struct tracee *t, struct task *k, struct err *e)
{
	if (k->moved || k->in_signal)
		return 0;
	const bool trace = k->trace_syscalls;
	arch_regs r;
	switch (k->stop.kind) {
	case STOP_ENTRY:
		/* Skipped, and made anew by the program itself: set in one step, so that our death
		 * does not lose it. */
		if (!task_regs(k))
			return err_set(e, 0, "thread %d has ended", k->tid);
		r = k->regs_cache;
		arch->rewind(&r);
		if (task_put_regs(k, &r) || go_to_exit(t, k))
			return err_set(e, 0, "thread %d has ended", k->tid);
		break;
	case STOP_CLONE:
	case STOP_FORK:
	case STOP_EXEC:
	case STOP_VFORK_DONE:
		task_flush(k);
		if (go_to_exit(t, k))
			return err_set(e, 0, "thread %d has ended", k->tid);
		k->owes_exit = trace;
		break;
	case STOP_EXIT_SYSCALL:
		break;
	case STOP_VFORK:
		return err_set(e, 0, "thread %d waits for its vfork child", k->tid);
	default:
		return err_set(e, 0, "thread %d is exiting", k->tid);
	}
	return 0;
}

void rseq_abort(struct tracee *t, struct task *k, arch_regs *r)
{
	struct rseq_cs cs;
	uint64_t at = 0;
	if (arch->syscall_nr(r) >= 0)
		return; /* only user code can stand in one */
	if (!k->rseq_known) {
		struct __ptrace_rseq_configuration c = {0};
		if (ptrace(PTRACE_GET_RSEQ_CONFIGURATION, k->tid, sizeof(c), &c) == sizeof(c))
			k->rseq_addr = c.rseq_abi_pointer;
		k->rseq_known = true;
	}
	if (!k->rseq_addr ||
		tracee_read(t, k->rseq_addr + offsetof(struct rseq, rseq_cs), &at, 8) != 8 || !at)
		return;
	if (tracee_read(t, at, &cs, sizeof(cs)) != sizeof(cs))
		return;
	if (arch->pc(r) - cs.start_ip < cs.post_commit_offset &&
		!(cs.flags & RSEQ_CS_FLAG_NO_RESTART_ON_SIGNAL))
		arch->set_pc(r, cs.abort_ip);
}

/* Makes the slot of one flight in the image of the arena. */
static int load(struct tracee *t, struct round *rd, struct flight *f, struct err *e)
{
	struct task *k = f->k;
	if (!k->stopped)
		return err_set(e, 0, "thread %d is not stopped", k->tid);
	if (task_settle(t, k, e))
		return -1;
	uint64_t mask;
	if (!task_regs(k) || task_get_mask(k, &mask))
		return err_set(e, 0, "thread %d has ended", k->tid);
	f->found = task_found(k, mask);
	rseq_abort(t, k, &f->found.regs);
	f->off = rd->image.len;
	struct inject_slot s = {
		.count = rd->clone ? 0 : f->n,
		.pid = (uint64_t)t->ns_pid,
		.tid = (uint64_t)task_ns_tid(t, k),
		.sig = (uint64_t)t->scratch->sig,
		.mask = mask,
		.busy = 1,
		.dead = t->scratch->dead,
	};
	inj->make_home(&s, t->scratch->arena + f->off, &f->found.regs);
	buf_add(&rd->image, &s, sizeof(s));
	buf_add(&rd->image, f->calls, f->n * sizeof(*f->calls));
	return 0;
}

static void lost(struct flight *f)
{
	f->dead = f->done = true;
	f->k->in_flight = false;
	for (size_t i = 0; i < f->n; i++)
		f->calls[i].ret = -ESRCH;
}

static void launch(struct tracee *t, struct round *rd, struct flight *f)
{
	struct task *k = f->k;
	const uint64_t slot = t->scratch->arena + f->off;
	arch_regs r = f->found.regs;
	if (rd->clone)
		inj->enter_clone(&r, t->scratch->addr + (uint64_t)(inj->at_clone - inj->stub), slot,
			rd->clone_flags, rd->clone_stack, t->scratch->agent_slot);
	else
		inj->enter(&r, t->scratch->addr + (uint64_t)(inj->at_batch - inj->stub), slot);
	ledger_flight(t, k->tid, slot);
	k->in_flight = true;
	task_put_regs(k, &r); /* should it have died, its end is waited for */
	task_set_mask(k, ~SIG_BIT(t->scratch->sig));
	task_mark_running(k);
	ptrace(PTRACE_CONT, k->tid, NULL, 0);
}

struct found task_found(const struct task *k, uint64_t mask)
{
	return (struct found){
		.regs = k->regs_cache,
		.mask = mask,
		.stopped_ns = k->stopped_ns,
		.stop = k->stop,
		.group_stopped = k->group_stopped,
		.owes_exit = k->owes_exit,
		.trace_syscalls = k->trace_syscalls,
	};
}

void task_land(struct tracee *t, struct task *k, const struct found *f)
{
	task_set_mask(k, f->mask);
	task_put_regs(k, &f->regs);
	ledger_home(t, k->tid);
	k->stop = f->stop;
	k->stopped_ns = f->stopped_ns;
	k->group_stopped = f->group_stopped;
	k->owes_exit = f->owes_exit;
	k->trace_syscalls = f->trace_syscalls;
	k->in_syscall = false;
	k->moved = k->delivers = k->in_signal = true;
}

static void go_on(struct task *k)
{
	task_mark_running(k);
	ptrace(PTRACE_CONT, k->tid, NULL, 0);
}

static void flight_event(struct tracee *t, struct round *rd, struct flight *f)
{
	struct task *k = f->k;
	const arch_regs *r;
	switch (k->stop.kind) {
	case STOP_SIGNAL:
		r = task_regs(k);
		if (r && k->stop.sig == t->scratch->sig &&
			arch->pc(r) == t->scratch->addr + (uint64_t)(inj->at_told - inj->stub)) {
			task_land(t, k, &f->found);
			k->in_flight = false;
			f->done = true;
			return;
		}
		held_add(k, &k->stop.info);
		go_on(k);
		return;
	case STOP_EXITING: /* killed: it will not land, and a leader's end waits for the other threads', which wait for us */
	case STOP_GONE:
		lost(f);
		queue_event(t, k);
		return;
	case STOP_CLONE:
		if (rd->clone && t->frozen.making) {
			t->frozen.pid = (int)k->stop.msg;
		} else if (rd->clone && !t->scratch->agent_tid) {
			t->scratch->agent_tid = (int)k->stop.msg;
			if (t->ledger)
				t->ledger->agent = (int)k->stop.msg;
		}
		go_on(k);
		return;
	default:
		go_on(k);
		return;
	}
}

static struct flight *flight_of(struct round *rd, const struct task *k)
{
	for (size_t i = 0; i < rd->n; i++)
		if (rd->f[i].k == k)
			return &rd->f[i];
	return NULL;
}

static void see_event(struct tracee *t, struct round *rd, struct task *k)
{
	struct flight *f = k->in_flight ? flight_of(rd, k) : NULL;
	if (f)
		flight_event(t, rd, f);
	else
		queue_event(t, k);
}

/* Looks at each flight once; how many had news. */
static size_t sweep(struct tracee *t, struct round *rd, size_t *left)
{
	size_t news = 0;
	*left = 0;
	for (size_t i = 0; i < rd->n; i++) {
		struct flight *f = &rd->f[i];
		struct task *got = NULL;
		if (f->done)
			continue;
		news += poll_task(t, f->k, &got) == 1;
		if (got)
			see_event(t, rd, got);
		*left += !f->done;
	}
	return news;
}

static void await(struct tracee *t, struct round *rd)
{
	for (size_t left = 1; left;) {
		struct task *got;
		if (sweep(t, rd, &left) || !left)
			continue;
		const int news = wait_one(t, now_ns() + LOOK_NS, &got);
		if (news < 0)
			break;
		if (got)
			see_event(t, rd, got);
		for (size_t i = 0; news == 0 && i < rd->n; i++)
			if (!rd->f[i].done && died_unseen(t, rd->f[i].k))
				lost(&rd->f[i]);
	}
	for (size_t i = 0; i < rd->n; i++)
		if (!rd->f[i].done)
			lost(&rd->f[i]);
}

static void fetch(struct tracee *t, struct round *rd)
{
	if (!t->scratch ||
		tracee_read(t, t->scratch->arena, rd->image.data, rd->image.len) != rd->image.len)
		return;
	for (size_t i = 0; i < rd->n; i++) {
		const struct flight *f = &rd->f[i];
		const struct remote_call *back =
			(const void *)(rd->image.data + f->off + sizeof(struct inject_slot));
		for (size_t j = 0; j < f->n && !f->dead; j++)
			f->calls[j].ret = back[j].ret;
	}
}

/* Flies rd->f[0..n): all loaded, launched, landed. */
static int fly(struct tracee *t, struct round *rd)
{
	for (size_t i = 0; i < rd->n; i++)
		for (size_t j = 0; j < rd->f[i].n; j++)
			rd->f[i].calls[j].ret = -ESRCH;
	if (tracee_write(t, t->scratch->arena, rd->image.data, rd->image.len) != rd->image.len)
		return -1;
	for (size_t i = 0; i < rd->n; i++)
		if (!rd->f[i].done)
			launch(t, rd, &rd->f[i]);
	await(t, rd);
	fetch(t, rd);
	int dead = 0;
	for (size_t i = 0; i < rd->n; i++)
		dead |= rd->f[i].dead;
	return dead ? -1 : 0;
}

/* As many jobs as the arena holds, from jobs[*next]. */
static int one_round(
	struct tracee *t, struct remote_job *jobs, size_t njobs, size_t *next, struct err *e)
{
	struct round rd = {0};
	rd.f = xcalloc(njobs - *next, sizeof(*rd.f));
	int r = 0;
	for (; *next < njobs; ++*next) {
		struct flight *f = &rd.f[rd.n];
		const struct remote_job *j = &jobs[*next];
		if (rd.image.len + sizeof(struct inject_slot) + j->n * sizeof(*j->calls) >
			t->scratch->arena_len)
			break;
		*f = (struct flight){.k = j->k, .calls = j->calls, .n = j->n};
		if (load(t, &rd, f, e))
			r = -1; /* the others all the same */
		else
			rd.n++;
	}
	if (rd.n && fly(t, &rd))
		r = e->text[0] ? -1 : err_set(e, 0, "a thread of process %d has ended", t->pid);
	free(rd.f);
	buf_deinit(&rd.image);
	return r;
}

int remote_batches(struct tracee *t, struct remote_job *jobs, size_t njobs, struct err *e)
{
	int r = 0;
	e->text[0] = '\0';
	for (size_t next = 0; next < njobs;) {
		if (!t->scratch)
			return err_set(e, 0, "process %d: no scratch memory", t->pid);
		assert(jobs[next].n <= REMOTE_MAX);
		if (one_round(t, jobs, njobs, &next, e))
			r = -1;
	}
	return r;
}

int remote_batch(
	struct tracee *t, struct task *k, struct remote_call *calls, size_t n, struct err *e)
{
	while (n) {
		const size_t part = MIN(n, (size_t)REMOTE_MAX);
		struct remote_job job = {k, calls, part};
		if (remote_batches(t, &job, 1, e))
			return -1;
		calls += part;
		n -= part;
	}
	return 0;
}

int64_t remote_syscall(struct tracee *t, struct task *k, int64_t nr, uint64_t a0, uint64_t a1,
	uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5)
{
	struct remote_call c = {nr, {a0, a1, a2, a3, a4, a5}, -ESRCH};
	struct err e;
	return remote_batch(t, k, &c, 1, &e) ? -ESRCH : c.ret;
}

int batch_clone(struct tracee *t, struct task *k, uint64_t flags, uint64_t stack, int64_t *ret)
{
	struct remote_call c = {.ret = -ESRCH};
	struct flight f = {.k = k, .calls = &c, .n = 1};
	struct round rd = {
		.f = &f, .n = 1, .clone = true, .clone_flags = flags, .clone_stack = stack};
	struct err e;
	const int r = load(t, &rd, &f, &e) || fly(t, &rd) ? -1 : 0;
	buf_deinit(&rd.image);
	*ret = c.ret;
	return r;
}
