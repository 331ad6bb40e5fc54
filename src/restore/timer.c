// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Steps for timers: POSIX timers under their old numbers (kernel 6.15 lets a process choose them;
 * before that the runner makes timers until the number comes), and the three interval timers. They
 * go on with the time that was left.
 */
#include "restore/steps.h"

#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#define PR_TIMER_CREATE_RESTORE_IDS_ 77

static struct timespec ts_of(uint64_t ns)
{
	return (struct timespec){(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
}

static struct timeval tv_of(uint64_t us)
{
	return (struct timeval){(time_t)(us / 1000000u), (suseconds_t)(us % 1000000u)};
}

/* The runner knows: the first call tells whether numbers can be chosen, the second makes the timer.
 */
static void plan_ptimer(struct plan *p, const struct ptimer *t, int idx)
{
	struct step *s = plan_step(p, STEP_TIMER, p->proc->pid, idx,
		"a POSIX timer under its old number", "make timer %d", t->id);
	const uint64_t id = step_data(s, &t->id, sizeof(t->id));
	/* The kernel's struct sigevent: value, signo, notify, tid. */
	struct {
		uint64_t value;
		int32_t signo, notify, tid, pad[11];
	} ev = {
		.value = t->sigev_value,
		.signo = t->signo,
		.notify = t->notify,
		.tid = t->tid,
	};
	const uint64_t d = step_data(s, &ev, sizeof(ev));
	call_quiet(CALL(s, SYS_prctl, N(PR_TIMER_CREATE_RESTORE_IDS_), N(1), N(0), N(0), N(0)));
	call_when(CALL(s, SYS_timer_create, N(t->clockid), D(d), D(id)), CALL_IF_OK, 1);
	call_when(call_quiet(CALL(
			  s, SYS_prctl, N(PR_TIMER_CREATE_RESTORE_IDS_), N(0), N(0), N(0), N(0))),
		CALL_IF_OK, 2);
	if (!t->value_ns)
		return;
	s = plan_step(p, STEP_TIMER, p->proc->pid, -1, "with the time that was left",
		"start timer %d", t->id);
	const struct itimerspec its = {
		.it_value = ts_of(t->value_ns), .it_interval = ts_of(t->interval_ns)};
	const uint64_t when = step_data(s, &its, sizeof(its));

	CALL(s, SYS_timer_settime, N(t->id), N(0), D(when), N(0));
}

/* The one with the lowest number above `above`. */
static const struct ptimer *next_timer(const struct proc *proc, int64_t above)
{
	const struct ptimer *best = NULL;

	for (size_t i = 0; i < proc->ntimers; i++) {
		const struct ptimer *t = &proc->timers[i];

		if (t->id > above && (!best || t->id < best->id))
			best = t;
	}
	return best;
}

void plan_timers(struct plan *p)
{
	const struct proc *proc = p->proc;
	struct step *s = NULL;

	/* By rising number: old kernels only count upwards. */
	for (int64_t done = -1;;) {
		const struct ptimer *next = next_timer(proc, done);

		if (!next)
			break;
		plan_ptimer(p, next, (int)(next - proc->timers));
		done = next->id;
	}
	for (int which = 0; which < 3; which++) {
		const struct itimer *it = &proc->itimers[which];
		/* One whose signal waits to be taken shows no time left: its next round has begun.
		 */
		const uint64_t left = it->value_us ? it->value_us : it->interval_us;
		const struct itimerval v = {
			.it_value = tv_of(left), .it_interval = tv_of(it->interval_us)};

		if (!left)
			continue;
		if (!s)
			s = plan_step(p, STEP_TIMER, proc->pid, -1, "with the time that was left",
				"set interval timers");
		const uint64_t d = step_data(s, &v, sizeof(v));

		CALL(s, SYS_setitimer, N(which), D(d), N(0));
	}
}
