// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Running a plan: a loop over its steps. Most are calls that the child makes (exec.c); those few
 * that are ours stand in a table by kind. Whatever fails, the child is killed and reaped, and
 * nothing is left.
 */
#include "restore/exec.h"

#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "restore/regs.h"

#define STOP_TIMEOUT_MS 10000
#define TID_WAIT_MS 5000

void run_warn(struct runner *r, const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	*array_push(&r->out->warnings, &r->out->nwarnings) = xstrdup(line);
}

int32_t run_tid(const struct runner *r, int32_t tid)
{
	for (size_t i = 0; i < r->ntids; i++)
		if (r->tids[i].image == tid)
			return r->tids[i].real;
	return tid;
}

struct task *run_task(struct runner *r, int32_t tid)
{
	return tracee_task(&r->t, run_tid(r, tid));
}

/* ---- steps that are not only calls ---- */

/* A thread is born into a ptrace stop: it is seen, and stays there. Its number may be some
 * short-lived stranger's just now. */
static int thread_run(struct runner *r, const struct step *s, struct err *e)
{
	const uint64_t deadline = now_ns() + TID_WAIT_MS * NS_PER_MS;
	const struct thread *th = &r->plan->proc->threads[s->idx];

	while (exec_step(r, s, e) < 0 || exec_flush(r, e) < 0) {
		if (!r->results || r->results[0] != -EEXIST)
			return -1;
		if (now_ns() >= deadline)
			return err_set(e, EXIT_RESTORE,
				"thread number %d is in use by another process: restore later, or "
				"with --new-pid",
				th->tid);
		usleep(5000);
	}
	r->tids[s->idx].real = (int32_t)r->results[0];
	if (tracee_stop_all(&r->t, STOP_TIMEOUT_MS, NULL, NULL, e) < 0)
		return err_class(e, EXIT_RESTORE);
	return 0;
}

/* With a number of its own choosing the C library must be told: the kernel clears the number at
 * clear_child_tid when the thread ends, and so knows where it is. */
static void tell_new_tid(struct runner *r, const struct thread *th)
{
	const int32_t real = run_tid(r, th->tid);
	int32_t there;

	if (real == th->tid || !th->clear_child_tid)
		return;
	if (tracee_read(&r->t, th->clear_child_tid, &there, sizeof(there)) == sizeof(there) &&
		there == th->tid)
		tracee_write(&r->t, th->clear_child_tid, &real, sizeof(real));
}

static int thread_state_run(struct runner *r, const struct step *s, struct err *e)
{
	tell_new_tid(r, &r->plan->proc->threads[s->idx]);
	return exec_step(r, s, e);
}

static int creds_run(struct runner *r, const struct step *s, struct err *e)
{
	return creds_are(r->plan->proc, &r->plan->proc->threads[s->idx]) ? 0 : exec_step(r, s, e);
}

/* Before kernel 6.15 timers get the next number: made and deleted until it comes. */
static int timer_by_trying(struct runner *r, const struct step *s, struct err *e)
{
	const struct step_call *c = &s->calls[1];
	const int32_t want = r->plan->proc->timers[s->idx].id;
	int32_t id = -1;

	for (;;) {
		const int64_t ret = exec_one(r, c->nr, c->args[0].num, r->data_at + c->args[1].num,
			r->data_at + c->args[2].num, 0, 0);

		if (ret < 0)
			return err_set(
				e, EXIT_RESTORE, "%s: %s", text_safe(s->what), strerror((int)-ret));
		tracee_read(&r->t, r->data_at + c->args[2].num, &id, sizeof(id));
		if (id == want)
			return 0;
		exec_one(r, SYS_timer_delete, (uint64_t)id, 0, 0, 0, 0);
		if (id > want)
			return err_set(e, EXIT_RESTORE, "%s: the kernel gives number %d",
				text_safe(s->what), id);
	}
}

static int timer_run(struct runner *r, const struct step *s, struct err *e)
{
	if (s->idx < 0)
		return exec_step(r, s, e);
	if (exec_step(r, s, e) < 0 || exec_flush(r, e) < 0)
		return -1;
	return r->results[0] < 0 ? timer_by_trying(r, s, e) : 0;
}

/* The scratch mapping goes with the first STEP_REGS; then only ptrace is used. With no stack to
 * speak of the injected munmap cannot touch the program's. */
static int close_scratch(struct runner *r, struct err *e)
{
	struct task *k = tracee_task(&r->t, r->pid);
	const arch_regs *now = k ? task_regs(k) : NULL;

	if (!r->t.scratch)
		return 0;
	if (!now)
		return err_set(e, EXIT_RESTORE, "the new process has ended");
	arch_regs regs = *now;

	arch->set_sp(&regs, 0);
	task_set_regs(k, &regs);
	return scratch_close(&r->t, k, e) < 0 ? err_class(e, EXIT_RESTORE) : 0;
}

static int regs_run(struct runner *r, const struct step *s, struct err *e)
{
	const struct thread *th = &r->plan->proc->threads[s->idx];
	struct task *k = run_task(r, s->tid);
	struct regs_data d;

	if (close_scratch(r, e) < 0)
		return -1;
	if (!k)
		return err_set(e, EXIT_RESTORE, "thread %d is gone", s->tid);
	memcpy(&d, s->data.data, sizeof(d));
	const struct blob *ext = th->xstate.len ? &th->xstate : &th->fpregs;

	if (ext->len && task_set_regset(k, ext == &th->xstate ? NT_X86_XSTATE : NT_PRFPREG,
				ext->data, ext->len, e) < 0)
		return err_class(e, EXIT_RESTORE);
	task_set_regs(k, &d.regs);
	if (task_set_mask(k, d.mask) < 0)
		return err_sys(e, EXIT_RESTORE, "signal mask of thread %d", s->tid);
	return 0;
}

static int strip_and_verify(struct runner *r, const struct step *s, struct err *e)
{
	if (strip_run(r, s, e) < 0)
		return -1;
	fill_open(r);
	verify_start(r); /* no more forks of ours from here on */
	return 0;
}

static int verify_and_release(struct runner *r, const struct step *s, struct err *e)
{
	return verify_end(r, e) < 0 ? -1 : release_run(r, s, e);
}

/* What a kind does; NULL: it makes its calls. apart: what is gathered goes first, and its own calls
 * at once. */
static const struct {
	int (*run)(struct runner *r, const struct step *s, struct err *e);
	bool apart;
} kinds[STEP_KINDS] = {
	[STEP_CHECK] = {check_run, true},
	[STEP_SPAWN] = {spawn_run, true},
	[STEP_STRIP] = {strip_and_verify, true},
	[STEP_FILL] = {fill_run, false},
	[STEP_THREAD] = {thread_run, true},
	[STEP_THREAD_STATE] = {thread_state_run, false},
	[STEP_CREDS] = {creds_run, false},
	[STEP_TIMER] = {timer_run, true},
	[STEP_REGS] = {regs_run, true},
	[STEP_RELEASE] = {verify_and_release, true},
};

static int run_step(struct runner *r, const struct step *s, struct err *e)
{
	if (!kinds[s->kind].run)
		return exec_step(r, s, e);
	if (kinds[s->kind].apart && exec_flush(r, e) < 0)
		return -1;
	return kinds[s->kind].run(r, s, e);
}

/* ---- the whole ---- */

/* So long nothing is heard of the killed process, then it is looked at again. */
enum { GIVE_UP_MS = 100 };

static void give_up(struct runner *r)
{
	if (r->foreground)
		tcsetpgrp(STDIN_FILENO, getpgrp());
	if (r->verifier.running)
		pthread_join(r->verifier.thread, NULL);
	if (r->pid)
		kill(r->pid, SIGKILL);
	if (r->attached) {
		struct task *k;
		struct err ignored = {0};

		/* Each stops once more on its way out; some may stand there already. */
		do {
			for (size_t i = 0; i < r->t.ntasks; i++)
				task_run(&r->t, r->t.tasks[i], RUN_CONT, 0);
		} while (!r->t.gone && tracee_wait(&r->t, GIVE_UP_MS, &k, &ignored) >= 0);
		tracee_detach(&r->t);
	}
	if (r->pid)
		waitpid(r->pid, NULL, 0); /* the tracer may have done it */
}

int plan_run(struct plan *p, struct restored *out, struct err *e)
{
	struct runner *r = xcalloc(1, sizeof(*r));
	int rc = 0;

	*out = (struct restored){0};
	r->plan = p;
	r->out = out;
	r->uffd = -1;
	r->ntids = p->proc->nthreads;
	r->tids = xcalloc(r->ntids, sizeof(*r->tids));
	for (size_t i = 0; i < r->ntids; i++)
		r->tids[i] = (struct tid_pair){p->proc->threads[i].tid, p->proc->threads[i].tid};
	for (size_t i = 0; i < p->nwarnings; i++)
		run_warn(r, "%s", p->warnings[i]);
	for (size_t i = 0; i < p->nsteps && rc == 0; i++) {
		rc = run_step(r, &p->steps[i], e);
		if (rc < 0) {
			const struct step *s = r->failed ? r->failed : &p->steps[i];

			err_class(e, EXIT_RESTORE);
			if (e->code != EXIT_IMAGE)
				err_in(e, "step %s", step_kind_name((int)s->kind));
		}
	}
	if (rc < 0)
		give_up(r);
	else
		out->pid = r->pid;
	fill_close(r);
	free(r->results);
	free(r->tids);
	free(r);
	return rc;
}

void restored_deinit(struct restored *out)
{
	for (size_t i = 0; i < out->nwarnings; i++)
		free(out->warnings[i]);
	free(out->warnings);
	*out = (struct restored){0};
}
