/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The agent: a thread of ours in the tracee. When idle it stands in the delivery stop of the
 * telling signal; it is sent off with calls in its slot and comes back there. Resumed without calls
 * it takes us for dead (stub.S).
 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "trace/internal.h"

enum { FLAGS = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM };

static uint64_t calls_at(const struct scratch *s)
{
	return s->agent_slot + sizeof(struct inject_slot);
}

/* Job control must not hold the agent, and SIGSTOP, which nobody can block, must reach the process.
 */
static void wave_on(struct task *k)
{
	const int sig = k->stop.kind == STOP_SIGNAL && k->stop.sig == SIGSTOP ? SIGSTOP : 0;
	task_mark_running(k);
	ptrace(PTRACE_CONT, k->tid, NULL, (long)sig);
}

static void fetch(struct tracee *t, struct scratch *s)
{
	struct remote_call *back = xmalloc(s->agent_n * sizeof(*back));
	const size_t len = s->agent_n * sizeof(*back);
	if (tracee_read(t, calls_at(s), back, len) == len)
		for (size_t i = 0; i < s->agent_n; i++)
			s->agent_calls[i].ret = back[i].ret;
	free(back);
}

bool agent_event(struct tracee *t, struct task *k)
{
	struct scratch *s = t->scratch;
	if (k->stop.kind == STOP_GONE) {
		if (s) {
			s->agent_tid = 0;
			if (t->ledger)
				t->ledger->agent = 0;
			s->agent_busy = s->agent_idle = false;
		}
		task_discard(t, k);
		return false;
	}
	const arch_regs *r =
		s && k->stop.kind == STOP_SIGNAL && k->stop.sig == s->sig ? task_regs(k) : NULL;
	if (!r || arch->pc(r) != s->addr + (uint64_t)(inj->at_agent_told - inj->stub)) {
		wave_on(k);
		return false;
	}
	ledger_unhold(t, k->tid);
	s->agent_idle = true;
	if (!s->agent_busy)
		return false;
	fetch(t, s);
	s->agent_busy = false;
	k->stop.kind = STOP_BATCH;
	return true;
}

/* Until the agent has become what is asked for, or is no more. */
static int wait_agent(struct tracee *t, bool (*reached)(const struct scratch *s))
{
	while (t->scratch && t->scratch->agent_tid && !reached(t->scratch)) {
		struct task *got;
		if (wait_one(t, FOREVER, &got) < 0)
			return -1;
		if (got && !got->is_agent)
			queue_event(t, got);
	}
	return t->scratch && reached(t->scratch) ? 0 : -1;
}

static bool is_idle(const struct scratch *s)
{
	return s->agent_idle;
}

static bool is_gone(const struct scratch *s)
{
	return !s->agent_tid;
}

/* Its first stop may have been seen before its parent told whose it is. */
static void recognise(struct tracee *t)
{
	struct task *k = tracee_task(t, t->scratch->agent_tid);
	if (!k)
		k = task_add(t, t->scratch->agent_tid);
	k->is_agent = true;
	k->queued = false;
	t->agent = k;
	if (k->stopped)
		agent_event(t, k);
}

int agent_open(struct tracee *t, struct task *k, struct err *e)
{
	struct scratch *s = t->scratch;
	if (!s)
		return err_set(e, 0, "process %d: no scratch memory", t->pid);
	const struct inject_slot slot = {
		.pid = (uint64_t)t->ns_pid, .sig = (uint64_t)s->sig, .dead = s->dead};
	if (tracee_write(t, s->agent_slot, &slot, sizeof(slot)) != sizeof(slot))
		return err_set(
			e, EXIT_CAPTURE, "write into the scratch mapping of process %d", t->pid);
	int64_t ret;
	if (batch_clone(t, k, FLAGS, s->work - 64, &ret))
		return err_set(e, 0, "thread %d has ended", k->tid);
	if (ret < 0)
		return err_set(e, EXIT_CAPTURE, "make a helper thread in process %d: %s", t->pid,
			strerror((int)-ret));
	recognise(t);
	if (wait_agent(t, is_idle))
		return err_set(
			e, EXIT_CAPTURE, "the helper thread in process %d has ended", t->pid);
	return 0;
}

bool agent_busy(const struct tracee *t)
{
	return t->scratch && t->scratch->agent_busy;
}

int agent_submit(struct tracee *t, struct remote_call *calls, size_t n, struct err *e)
{
	struct scratch *s = t->scratch;
	if (s && s->agent_busy) {
		struct task *k = t->agent;
		if (wait_agent(t, is_idle))
			return err_set(e, 0, "the helper thread in process %d has ended", t->pid);
		queue_event(t, k);
	}
	if (!s || !t->agent)
		return err_set(e, 0, "no helper thread in process %d", t->pid);
	const uint64_t count = n;
	const size_t len = n * sizeof(*calls);
	if (n > REMOTE_MAX || tracee_write(t, calls_at(s), calls, len) != len ||
		tracee_write(t, s->agent_slot, &count, sizeof(count)) != sizeof(count))
		return err_set(e, 0, "write into the scratch mapping of process %d", t->pid);
	s->agent_calls = calls;
	s->agent_n = n;
	s->agent_busy = true;
	s->agent_idle = false;
	const bool queued = t->agent->queued;
	task_mark_running(t->agent);
	t->agent->queued = queued;
	ptrace(PTRACE_CONT, t->agent->tid, NULL, 0);
	return 0;
}

int agent_batch(struct tracee *t, struct remote_call *calls, size_t n, struct err *e)
{
	for (size_t i = 0; i < n; i++)
		calls[i].ret = -ESRCH;
	while (n) {
		const size_t part = MIN(n, (size_t)REMOTE_MAX);
		if (agent_submit(t, calls, part, e))
			return -1;
		if (wait_agent(t, is_idle))
			return err_set(e, 0, "the helper thread in process %d has ended", t->pid);
		calls += part;
		n -= part;
	}
	return 0;
}

int agent_close(struct tracee *t, struct err *e)
{
	struct scratch *s = t->scratch;
	if (!s || !t->agent)
		return 0;
	if (wait_agent(t, is_idle))
		return 0;
	const uint64_t quit[2] = {0, 1};
	if (tracee_write(t, s->agent_slot, quit, sizeof(quit)) != sizeof(quit))
		return err_set(
			e, EXIT_CAPTURE, "write into the scratch mapping of process %d", t->pid);
	s->agent_idle = false;
	wave_on(t->agent);
	wait_agent(t, is_gone);
	return 0;
}
