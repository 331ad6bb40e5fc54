/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The driver: the order in which a checkpoint happens. It owns the undo list; every way out walks it.
 *
 *	check, open the image, seize
 *	collect what is slow            process running
 *	[attach stop: scratch, agent; prepare: arm]     engines that trace
 *	stop: collect, freeze or copy   all threads halted: the instant T
 *	window: copy the rest           process running
 *	undo: release, detach           process as it was
 *	write notes and headers
 */
#include "capture/session.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/clock.h"

#define ATTACH_TIMEOUT_MS 5000
#define SHARED_TRIES 30
#define CLOSE_TRIES 100
#define SHARED_WAIT_MS 7
#define SCRATCH_RANGES 65536
#define SCRATCH_DATA (256u << 10)

static bool cancelled(const struct capture *c)
{
	return c->o->cancel && *c->o->cancel;
}

/* ---- effects and their undos ---- */
static int undo_seize(void *ctx, struct err *e)
{
	struct capture *c = ctx;
	(void)e;
	if (c->seized)
		tracee_detach(&c->t);
	c->seized = false;
	return 0;
}

int capture_halt(struct capture *c, struct err *e)
{
	if (c->t.gone)
		return 0;
	const int timeout_ms = c->o->stop_timeout_ms > 0 ? c->o->stop_timeout_ms : ATTACH_TIMEOUT_MS;
	return tracee_stop_all(&c->t, timeout_ms, NULL, NULL, e);
}

/* What `auto` has chosen cannot do it after all. */
static void change_engine(struct capture *c, const struct engine *engine)
{
	c->engine = engine;
	tell_engine(c);
}

static struct task *any_stopped(struct capture *c)
{
	for (size_t i = 0; i < c->t.ntasks; i++) {
		struct task *k = c->t.tasks[i];
		if (k->stopped && !k->is_agent && !k->child && k->stop.kind != STOP_EXITING)
			return k;
	}
	return NULL;
}

static int undo_scratch(void *ctx, struct err *e)
{
	struct capture *c = ctx;
	int ret = 0;
	/* A thread may be killed over it: then another does it. */
	for (int tries = 0; c->t.scratch && !c->t.gone && tries < CLOSE_TRIES; tries++) {
		if (capture_halt(c, e) < 0)
			return c->t.gone ? 0 : -1;
		ret = scratch_close(&c->t, any_stopped(c), e);
	}
	return ret;
}

static int undo_agent(void *ctx, struct err *e)
{
	struct capture *c = ctx;
	return c->t.agent ? agent_close(&c->t, e) : 0;
}

static int seize(struct capture *c, struct err *e)
{
	if (undo_push(&c->undo, "detach", undo_seize, c, e) < 0 || tracee_seize(&c->t, c->o->pid, e) < 0)
		return -1;
	c->seized = true;
	return 0;
}

static size_t ranges_room(const struct engine *engine)
{
	return engine->traces ? SCRATCH_RANGES : 1;
}

static int open_scratch(struct capture *c, struct err *e)
{
	if (undo_push(&c->undo, "unmap scratch", undo_scratch, c, e) < 0)
		return -1;
	struct task *k = any_stopped(c);
	if (!k)
		return err_set(e, EXIT_CAPTURE, "the process is ending");
	return scratch_open(&c->t, k, ranges_room(c->engine), SCRATCH_DATA, e);
}

static int open_agent(struct capture *c, struct err *e)
{
	if (undo_push(&c->undo, "end agent", undo_agent, c, e) < 0)
		return -1;
	struct task *k = any_stopped(c);
	if (!k)
		return err_set(e, EXIT_CAPTURE, "the process is ending");
	return agent_open(&c->t, k, e);
}

/* ---- the stop ---- */
static int resume_task(struct capture *c, struct task *k, struct err *e)
{
	if (c->engine->resume)
		return c->engine->resume(c, k, e);
	task_run(&c->t, k, RUN_CONT, k->stop.kind == STOP_SIGNAL ? k->stop.sig : 0);
	return 0;
}

static int resume_all(struct capture *c, enum stall_why why, struct err *e)
{
	int ret = 0;
	/* Indexes, not pointers: a task may vanish while another is served. */
	for (size_t i = 0; i < c->t.ntasks && ret == 0; i++) {
		struct task *k = c->t.tasks[i];
		if (k->is_agent || !k->stopped)
			continue;
		const int tid = k->tid;
		const uint64_t since = k->stopped_ns;
		ret = resume_task(c, k, e);
		if (why == STALL_ATTACH)
			capture_event(c, EV_STALL, tid, 0, 0, now_ns() - since, why);
	}
	c->is_stopped = false;
	return ret;
}

/* Lets the process run on for a while. */
static int run_for(struct capture *c, int ms, struct err *e)
{
	const uint64_t deadline = now_ns() + (uint64_t)ms * NS_PER_MS;
	if (resume_all(c, STALL_ATTACH, e) < 0)
		return -1;
	for (int left; (left = ms_until(deadline)) > 0;) {
		struct task *k;
		const int got = tracee_wait(&c->t, left, &k, e);
		if (got < 0 || (got == 1 && resume_task(c, k, e) < 0))
			return -1;
	}
	return 0;
}

/* Halts when nobody else has the memory. Children that share it live briefly, as a rule: looks again for a while. With `auto` the
 * engine becomes `stop` when that is in vain. */
static int halt_unshared(struct capture *c, struct err *e)
{
	int sharer = 0;
	for (int tries = 0; tries < SHARED_TRIES; tries++) {
		if (capture_halt(c, e) < 0)
			return -1;
		sharer = engine_memory_sharer(c);
		if (!sharer)
			return 0;
		if (run_for(c, SHARED_WAIT_MS, e) < 0)
			return -1;
	}
	if (strcmp(c->o->engine, "auto"))
		return err_set(e, EXIT_CAPTURE, "process %d shares its memory: engine %s cannot serve it, use --engine stop",
			sharer, c->engine->name);
	change_engine(c, &engine_stop);
	return 0;
}

/* What the engine needs, or with `auto` the next best engine when the process may not have it. */
static int take_means(struct capture *c, struct err *e)
{
	if (c->engine->at_attach(c, e) == 0)
		return 0;
	if (strcmp(c->o->engine, "auto") || !c->uffd_refused)
		return -1;
	change_engine(c, &engine_segv);
	return 0;
}

/* A first short stop in which the means of the window are put into the process. */
static int attach_stop(struct capture *c, struct err *e)
{
	uint64_t at = now_ns();
	if (halt_unshared(c, e) < 0)
		return -1;
	capture_took(c, "attach.halt", &at);
	if (!c->engine->traces)
		return resume_all(c, STALL_ATTACH, e);
	if (open_scratch(c, e) < 0)
		return -1;
	capture_took(c, "attach.scratch", &at);
	if (open_agent(c, e) < 0)
		return -1;
	capture_took(c, "attach.agent", &at);
	if (c->engine->at_attach && take_means(c, e) < 0)
		return -1;
	/* Until here the program could change its mappings unseen; what is armed gets back what this list says. */
	if (collect_maps(c, e) < 0)
		return -1;
	struct err ignored;
	if (collect_newborn(c, e) < 0)
		return -1;
	for (size_t i = 0; i < c->t.ntasks; i++) {
		struct thread *th = proc_thread(c->proc, c->t.tasks[i]->tid);
		if (th && !c->t.tasks[i]->is_agent && task_collect(c->t.tasks[i], th, c->proc, false, e) < 0)
			return -1;
	}
	if (remote_collect_threads(&c->t, c->proc, &ignored) < 0)
		*e = ignored;
	c->touched = c->engine->notes_touched ? 0 : TOUCH_ALL;
	int ret = resume_all(c, STALL_ATTACH, e);
	capture_took(c, "attach.collect", &at);
	if (ret == 0 && c->engine->notes_touched)
		ret = collect_running(c, e);
	return ret;
}

static int take_oracle(struct capture *c, struct err *e)
{
	cleanup_free char *path = xasprintf("%s.oracle", c->o->path);
	if (image_create(&c->oracle, path, e) < 0)
		return -1;
	for (size_t i = 0; i < c->stored.n; i++) {
		const struct range r = c->stored.r[i];
		if (image_reserve(c->oracle, r.start, r.end, e) < 0 || copy_through(c, c->oracle, r.start, r.end, e) < 0)
			return -1;
	}
	return 0;
}

static int stop_and_freeze(struct capture *c, struct err *e)
{
	c->stop_begin_ns = now_ns();
	capture_event(c, EV_STOP_BEGIN, 0, 0, 0, 0, 0);
	if (capture_halt(c, e) < 0)
		return -1;
	uint64_t at = c->stop_begin_ns;
	capture_took(c, "stop.halt", &at);
	c->is_stopped = true;
	if (c->t.gone)
		return err_set(e, EXIT_CAPTURE, "the process has ended");
	if (!c->t.scratch && open_scratch(c, e) < 0)
		return -1;
	if ((c->engine->before_collect && c->engine->before_collect(c, e) < 0) || collect_at_stop(c, e) < 0)
		return -1;
	capture_took(c, "stop.collect", &at);
	if (c->engine->at_stop(c, e) < 0)
		return -1;
	capture_took(c, "stop.freeze", &at);
	c->after_stop = true;
	if (c->o->oracle && take_oracle(c, e) < 0)
		return -1;
	return 0;
}

static int go_on(struct capture *c, struct err *e)
{
	const size_t n = c->proc->nthreads;
	const int ret = resume_all(c, STALL_FAULT, e);
	c->stop_end_ns = now_ns();
	capture_event(c, EV_STOP_END, 0, 0, 0, c->stop_end_ns - c->stop_begin_ns, n);
	return ret;
}

/* ---- afterwards ---- */
static int end_process(struct capture *c, struct err *e)
{
	if (c->o->after == AFTER_KILL) {
		if (kill(c->o->pid, SIGKILL) < 0)
			return err_sys(e, EXIT_CAPTURE, "kill");
		c->t.gone = true;       /* there is nothing to undo in it */
	}
	if (c->o->after == AFTER_STOP && kill(c->o->pid, SIGSTOP) < 0)
		return err_sys(e, EXIT_CAPTURE, "stop");
	return 0;
}

static int write_image(struct capture *c, struct err *e)
{
	free(c->proc->how);
	c->proc->how = tell_how(c);
	uint64_t len = 0;
	if (c->oracle) {
		struct image_writer *w = c->oracle;
		c->oracle = NULL;
		if (image_finish(w, c->proc, &len, e) < 0)
			return -1;
	}
	struct image_writer *w = c->w;
	c->w = NULL;
	if (image_finish(w, c->proc, &c->res->image_len, e) < 0)
		return -1;
	c->res->stored = ranges_total(&c->stored);
	return 0;
}

/* From seizing to the end of the window. */
static int checkpoint(struct capture *c, struct err *e)
{
	if (seize(c, e) < 0 || collect_before(c, e) < 0 || live_fds(&c->live, c->proc, false, e) < 0)
		return -1;
	c->engine = engine_choose(c, c->o->engine, e);
	if (!c->engine || copier_start(c, e) < 0)
		return -1;
	tell_engine(c);
	capture_priority(true);
	if (scratch_prepare(&c->t, ranges_room(c->engine), SCRATCH_DATA, e) < 0)
		return -1;
	if (c->engine->traces && layout_hint(c, e) < 0)
		return -1;
	if (c->engine->traces && attach_stop(c, e) < 0)
		return -1;
	c->arm_ns = now_ns();
	if ((c->engine->prepare && c->engine->prepare(c, e) < 0) || cancelled(c) || stop_and_freeze(c, e) < 0)
		return cancelled(c) ? err_set(e, EXIT_CAPTURE, "interrupted") : -1;
	/* When the process is not to run on, the image is written before anything is let go. */
	if (c->o->after != AFTER_RUN) {
		capture_event(c, EV_STOP_END, 0, 0, 0, now_ns() - c->stop_begin_ns, c->proc->nthreads);
		c->stop_end_ns = now_ns();
		tell_mappings(c);
		return write_image(c, e) < 0 || end_process(c, e) < 0 ? -1 : 0;
	}
	if (go_on(c, e) < 0)
		return -1;
	tell_mappings(c);
	return c->engine->window ? c->engine->window(c, e) : 0;
}

static void session_deinit(struct capture *c)
{
	copier_stop(c);
	image_abandon(c->w);
	image_abandon(c->oracle);
	ranges_deinit(&c->stored);
	ranges_deinit(&c->armed);
	ranges_deinit(&c->hot);
	ranges_deinit(&c->hint);
	stats_deinit(&c->stats);
	pthread_mutex_destroy(&c->event_lock);
	proc_free(c->proc);
	live_close(&c->live);
}

static int run(struct capture *c, struct err *e)
{
	if (live_open(&c->live, c->o->pid, e) < 0 || live_check(&c->live, e) < 0)
		return err_class(e, EXIT_UNTRACEABLE);
	if (image_create(&c->w, c->o->path, e) < 0)
		return -1;
	int ret = checkpoint(c, e);
	struct err second = {0};
	uint64_t at = now_ns();
	if (undo_all(&c->undo, &second) < 0 && ret == 0) {
		*e = second;
		ret = -1;
	}
	capture_took(c, "undo", &at);
	capture_priority(false);
	if (c->engine)
		capture_event(c, EV_WINDOW_END, 0, 0, 0, now_ns() - c->arm_ns, 0);
	copier_stop(c);
	if (ret == 0 && cancelled(c))
		ret = err_set(e, EXIT_CAPTURE, "interrupted");
	if (ret == 0 && c->w)
		ret = write_image(c, e);
	return ret;
}

int capture_run(const struct capture_opts *o, struct event_out *events, struct capture_result *res, struct err *e)
{
	struct capture c = {.o = o, .touched = TOUCH_ALL, .ev = events, .res = res, .begin_ns = now_ns(), .proc = proc_new()};
	*res = (struct capture_result){0};
	stats_init(&c.stats);
	mutex_init_inherit(&c.event_lock);
	undo_init(&c.undo);
	c.live.pid = -1;
	c.from = &c.live;
	c.live.dirfd = c.live.memfd = c.live.pagemapfd = c.live.pidfd = -1;
	int ret = run(&c, e);
	if (ret < 0) {
		err_class(e, EXIT_CAPTURE);
		err_in(e, "save %d", o->pid);
		event_put_text(events, EV_ERROR, (uint64_t)e->code, e->text);
	} else {
		tell_warnings(&c);
	}
	res->stop_ns = c.stop_end_ns - c.stop_begin_ns;
	res->window_ns = c.stats.window_ns;
	res->nstalls = c.stats.stalls.n;
	res->stalls_ns = c.stats.stalls.sum_ns;
	res->total_ns = now_ns() - c.begin_ns;
	if (c.engine)
		strncpy(res->engine, c.engine->name, sizeof(res->engine) - 1);
	event_put(events, (struct event){.type = EV_END, .a = ret < 0 ? (uint64_t)e->code : 0, .b = res->total_ns,
		.len = res->image_len});
	session_deinit(&c);
	return ret;
}
