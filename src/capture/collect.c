/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Collecting the state: before the stop what is slow to read and hardly changes, at the stop all that
 * must be of the instant T. Our own traces (agent, scratch, forced faults) are left out.
 */
#include "capture/session.h"

#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"

#define ALTSTACK_AUTODISARM (1u << 31) /* SS_AUTODISARM, kernel 4.7 */

int collect_before(struct capture *c, struct err *e)
{
	if (live_identity(&c->live, c->proc, e) < 0 || live_threads(&c->live, c->proc, e) < 0 ||
		layout_maps(c, c->proc, true, e) < 0)
		return err_class(e, EXIT_CAPTURE);
	return 0;
}

int collect_maps(struct capture *c, struct err *e)
{
	struct proc *fresh = proc_new();
	const int ret = layout_maps(c, fresh, false, e);
	if (ret == 0) {
		struct vma *const vmas = c->proc->vmas;
		const size_t n = c->proc->nvmas;
		c->proc->vmas = fresh->vmas;
		c->proc->nvmas = fresh->nvmas;
		fresh->vmas = vmas;
		fresh->nvmas = n;
	}
	proc_free(fresh);
	return ret;
}

static void forget_thread(struct proc *p, int tid)
{
	struct thread *th = proc_thread(p, tid);
	if (!th)
		return;
	thread_deinit(th);
	const size_t i = (size_t)(th - p->threads);
	memmove(th, th + 1, (p->nthreads - i - 1) * sizeof(*th));
	p->nthreads--;
}

/* A thread held at the entry of a system call has not made it: its state is that before the instruction. */
static void rewind_entry(struct thread *th)
{
	arch_regs r;
	memcpy(&r, th->regs.data, sizeof(r));
	arch->rewind(&r);
	memcpy(th->regs.data, &r, sizeof(r));
}

static int collect_threads(struct capture *c, struct err *e)
{
	struct proc *p = c->proc;
	bool first = true;
	for (size_t i = 0; i < c->t.ntasks; i++) {
		struct task *k = c->t.tasks[i];
		struct thread *th = proc_thread(p, k->tid);
		if (k->is_agent || k->child || !th || !k->stopped)
			continue;
		if (task_collect(k, th, p, first, e) < 0)
			return err_in(e, "thread %d", k->tid);
		/* /proc has called it traced since we seized it; what matters is that its shell had stopped it. */
		if (k->group_stopped || k->stop.kind == STOP_GROUP)
			th->state = 'T';
		if (k->stop.kind == STOP_ENTRY && th->regs.len >= sizeof(arch_regs))
			rewind_entry(th);
		first = false;
	}
	return 0;
}

static struct task *collecting_task(struct capture *c)
{
	if (c->t.agent)
		return NULL;
	for (size_t i = 0; i < c->t.ntasks; i++)
		if (!c->t.tasks[i]->child && c->t.tasks[i]->stopped && c->t.tasks[i]->stop.kind != STOP_EXITING)
			return c->t.tasks[i];
	return NULL;
}

static void note_where(struct proc *p)
{
	struct utsname u;
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	p->taken_ns = (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
	p->taken_mono_ns = now_ns();
	if (!p->kernel && uname(&u) == 0) {
		p->kernel = xstrdup(u.release);
		p->hostname = xstrdup(u.nodename);
	}
	strncpy(p->arch, arch->name, sizeof(p->arch) - 1);
}

static int read_threads(struct capture *c, struct err *e)
{
	if (live_threads(&c->live, c->proc, e) < 0)
		return -1;
	if (c->t.agent)
		forget_thread(c->proc, c->t.agent->tid);
	return 0;
}

int collect_newborn(struct capture *c, struct err *e)
{
	for (size_t i = 0; i < c->t.ntasks; i++) {
		const struct task *k = c->t.tasks[i];
		if (!k->is_agent && !k->child && !proc_thread(c->proc, k->tid))
			return read_threads(c, e);
	}
	return 0;
}

int collect_running(struct capture *c, struct err *e)
{
	if (read_threads(c, e) < 0 || live_identity(&c->live, c->proc, e) < 0 || live_fds(&c->live, c->proc, true, e) < 0 ||
		live_timers(&c->live, c->proc, e) < 0)
		return -1;
	return remote_collect_process(&c->t, NULL, c->proc, e);
}

void collect_note(struct capture *c, struct task *k)
{
	const arch_regs *r;
	switch (k->stop.kind) {
	case STOP_ENTRY:
		r = task_regs(k);
		c->touched |= r ? arch->syscall_touches(arch->syscall_nr(r)) : TOUCH_ALL;
		break;
	case STOP_SIGNAL:       /* a handler may be good for one signal only (SA_RESETHAND) */
		c->touched |= TOUCH_SIGNALS;
		break;
	case STOP_CLONE:
	case STOP_EXITING:
		c->touched |= TOUCH_ALL;
		break;
	default:
		break;
	}
}

/* A stack grows by itself: no call tells of it. */
static bool stack_moved(struct capture *c)
{
	for (size_t i = 0; i < c->proc->nvmas; i++)
		if (c->proc->vmas[i].growsdown && !live_starts(&c->live, &c->proc->vmas[i]))
			return true;
	return false;
}

/* Others, and time, change some state without a call of the process. */
static unsigned moves_by_itself(struct capture *c)
{
	const struct proc *p = c->proc;
	unsigned touched = stack_moved(c) ? TOUCH_MAPS : 0;
	for (size_t i = 0; i < p->nfds && !(touched & TOUCH_FDS); i++)
		touched |= live_fd_same(&c->live, &p->fds[i]) ? 0 : TOUCH_FDS;
	/* The kernel takes such a stack away when a handler begins. */
	for (size_t i = 0; i < p->nthreads; i++)
		touched |= p->threads[i].altstack.flags & ALTSTACK_AUTODISARM ? TOUCH_SIGNALS : 0;
	for (size_t i = 0; i < ARRAY_LEN(p->itimers); i++)
		touched |= p->itimers[i].value_us ? TOUCH_SIGNALS : 0;
	return p->ntimers ? touched | TOUCH_SIGNALS : touched;
}

int collect_at_stop(struct capture *c, struct err *e)
{
	struct proc *p = c->proc;
	note_where(p);
	uint64_t at = p->taken_mono_ns;
	const unsigned again = c->touched | moves_by_itself(c);
	if ((again & TOUCH_MAPS) && collect_maps(c, e) < 0)
		return -1;
	capture_took(c, "collect.maps", &at);
	if (((again & TOUCH_NAMES) && read_threads(c, e) < 0) || collect_threads(c, e) < 0)
		return -1;
	capture_took(c, "collect.regs", &at);
	if ((again & TOUCH_NAMES) && live_identity(&c->live, p, e) < 0)
		return -1;
	capture_took(c, "collect.names", &at);
	if ((again & TOUCH_FDS) && live_fds(&c->live, p, true, e) < 0)
		return -1;
	capture_took(c, "collect.fds", &at);
	if (again & TOUCH_SIGNALS)
		return live_timers(&c->live, p, e) < 0 || remote_collect_process(&c->t, collecting_task(c), p, e) < 0 ||
			remote_collect_threads(&c->t, p, e) < 0 ? -1 : 0;
	return 0;
}
