/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Engine `fork`: at the stop the process makes a child (trace/remote.h, remote_fork), which never runs: the kernel keeps its memory
 * as it was, and the image is copied from there. The stop is as long as the fork takes; then nothing is traced, served or
 * protected, and whatever the process does to its memory, or to itself, is nothing to us.
 *
 * What a child does not inherit is copied at the stop: shared mappings, MADV_DONTFORK, MADV_WIPEONFORK, and huge pages of a pool,
 * which the kernel takes away from a child when the pool is empty.
 */
#include "capture/session.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/clock.h"

#define REAP_TRIES 100

struct frozen_copy {
	int pid;
	struct live live;
	struct ranges apart;    /* mappings that it has not, or not as of T */
};

static bool cancelled(const struct capture *c)
{
	return c->o->cancel && *c->o->cancel;
}

static bool inherited(const struct vma *v)
{
	return v->store != STORE_SHARED && !v->shared && v->kind != VMA_HUGETLB && v->kind != VMA_VDSO &&
	       !vma_has_flag(v, "dc") && !vma_has_flag(v, "wf");
}

static struct task *any_stopped(struct capture *c)
{
	for (size_t i = 0; i < c->t.ntasks; i++) {
		struct task *k = c->t.tasks[i];
		if (k->stopped && !k->child && k->stop.kind != STOP_EXITING)
			return k;
	}
	return NULL;
}

static int undo_copy(void *ctx, struct err *e)
{
	struct capture *c = ctx;
	struct frozen_copy *f = c->copy;
	int ret = -1;
	remote_fork_kill(&c->t);
	/* A thread may be killed over it: then another does it. */
	for (int tries = 0; ret < 0 && tries < REAP_TRIES; tries++) {
		if (capture_halt(c, e) < 0 && !c->t.gone)
			break;
		ret = remote_fork_reap(&c->t, c->t.gone ? NULL : any_stopped(c), e);
	}
	c->from = &c->live;
	live_close(&f->live);
	ranges_deinit(&f->apart);
	free(f);
	c->copy = NULL;
	return ret;
}

/* Now, with everything stopped, straight into the image. */
static int copy_apart(struct capture *c, struct err *e)
{
	struct ranges *apart = &c->copy->apart;
	for (size_t i = 0; i < c->proc->nvmas; i++) {
		struct vma *v = &c->proc->vmas[i];
		if (inherited(v))
			continue;
		ranges_add(apart, v->start, v->end);
		if (layout_present(c, v, v->start, v->end, &c->stored, e) < 0)
			return -1;
	}
	if (layout_reserve(c, e) < 0)
		return -1;
	for (size_t i = 0; i < c->stored.n; i++)
		if (copy_through(c, c->w, c->stored.r[i].start, c->stored.r[i].end, e) < 0)
			return -1;
	return 0;
}

/* Flags were read before the stop: advice given since may have kept memory from the child. */
static int check_inherited(struct capture *c, struct err *e)
{
	struct proc *child = proc_new();
	int ret = live_maps(&c->copy->live, child, true, e);
	for (size_t i = 0; i < c->proc->nvmas && ret == 0; i++) {
		const struct vma *v = &c->proc->vmas[i];
		for (uint64_t at = v->start; inherited(v) && v->store == STORE_PRIVATE && at < v->end && ret == 0;) {
			const struct vma *has = proc_vma(child, at);
			if (!has || vma_has_flag(has, "wf"))
				ret = err_set(e, EXIT_CAPTURE, "the process has changed how memory at 0x%llx is inherited: "
					"try again, or use another engine", (unsigned long long)at);
			else
				at = has->end;
		}
	}
	proc_free(child);
	return ret;
}

/* What the copy holds joins what is stored, and is to be copied. */
static int survey(struct capture *c, struct err *e)
{
	struct frozen_copy *f = c->copy;
	struct ranges todo = {0};
	if (live_open(&f->live, f->pid, e) < 0 || check_inherited(c, e) < 0)
		return -1;
	c->from = &f->live;
	if (layout_scan(c, &f->apart, e) < 0)
		return -1;
	ranges_copy(&todo, &c->stored);
	ranges_cut_all(&todo, &f->apart);
	copier_set(c, &todo);
	ranges_deinit(&todo);
	return 0;
}

static int fork_at_stop(struct capture *c, struct err *e)
{
	uint64_t at = now_ns();
	struct frozen_copy *f = c->copy = xcalloc(1, sizeof(*f));
	f->live = (struct live){.pid = -1, .dirfd = -1, .memfd = -1, .pagemapfd = -1, .pidfd = -1};
	if (undo_push(&c->undo, "end the copy", undo_copy, c, e) < 0 || copy_apart(c, e) < 0)
		return -1;
	capture_took(c, "freeze.copy", &at);
	struct task *k = any_stopped(c);
	if (!k)
		return err_set(e, EXIT_CAPTURE, "the process is ending");
	if (remote_fork(&c->t, k, &f->pid, e) < 0)
		return -1;
	capture_took(c, "freeze.fork", &at);
	/* Whoever compares with memory as it is now must know it all now. */
	return c->o->oracle ? survey(c, e) : 0;
}

/* The process may end, or become another program: its copy stays. */
static int serve_for_a_while(struct capture *c, struct err *e)
{
	const struct timespec ms = {.tv_nsec = NS_PER_MS};
	struct task *k;
	int got = 0;
	for (int timeout_ms = 1; !c->t.gone && (got = tracee_wait(&c->t, timeout_ms, &k, e)) == 1; timeout_ms = 0)
		if (k->stopped)
			task_run(&c->t, k, RUN_CONT, k->stop.kind == STOP_SIGNAL ? k->stop.sig : 0);
	if (c->t.gone)
		nanosleep(&ms, NULL);
	return got < 0 && !c->t.gone ? -1 : 0;
}

static int fork_window(struct capture *c, struct err *e)
{
	/* Nobody waits for us from here on. */
	capture_priority(false);
	if (c->from == &c->live && survey(c, e) < 0)
		return -1;
	tell_mappings(c);
	if (layout_reserve(c, e) < 0)
		return -1;
	copier_go(c);
	const uint64_t polite_until = copier_patience(c);
	bool hurried = false;
	for (bool done = false; !done;) {
		struct ranges copied = {0};
		if (!hurried && now_ns() > polite_until) {
			copier_hurry(c);
			hurried = true;
		}
		if (cancelled(c))
			return err_set(e, EXIT_CAPTURE, "interrupted");
		if (image_error(c->w, e) < 0 || serve_for_a_while(c, e) < 0)
			return -1;
		done = copier_poll(c, &copied);
		for (size_t i = 0; i < copied.n; i++)
			capture_event(c, EV_COPY, 0, copied.r[i].start, copied.r[i].end - copied.r[i].start, COPY_BACKGROUND, 0);
		ranges_deinit(&copied);
	}
	return 0;
}

const struct engine engine_fork = {
	.name = "fork",
	.at_stop = fork_at_stop,
	.window = fork_window,
};
