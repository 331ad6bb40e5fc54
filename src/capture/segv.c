/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Engine `segv`, the paper's mechanism: memory is write-protected by mprotect that the agent calls inside the
 * process, before the stop and while it runs; the write that comes meanwhile is a SIGSEGV the tracer sees
 * first (serve.c). Works without privilege on every kernel.
 *
 * Before T a fault only opens the page again; at T what was opened is protected anew. After T the old
 * contents are copied, then the granule is released.
 */
#include "capture/segv.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include "base/clock.h"

/* Memory that was opened while the rest was armed is armed again before the stop, at most so often, when it is more than: */
#define ARM_ROUNDS 4
#define OPENED_FEW (16 * EARLY_GRANULE)
/* So many events in a row, then copied memory is released again. */
#define SERVE_MAX 64

/* ---- before the stop ---- */
static int tell_deadman(struct capture *c, struct err *e)
{
	struct deadman_range *table = NULL;
	size_t n = 0;
	for (size_t i = 0; i < c->segv->want.n; i++) {
		const struct range r = c->segv->want.r[i];
		for (uint64_t at = r.start; at < r.end;) {
			const struct vma *v = proc_vma(c->proc, at);
			if (!v)
				break;
			const uint64_t len = MIN(v->end, r.end) - at;
			*array_push(&table, &n) = (struct deadman_range){.addr = at, .len = len, .prot = v->prot};
			at += len;
		}
	}
	const int ret = deadman_set(&c->t, table, n, e);
	free(table);
	return ret;
}

static int undo_handler(void *ctx, struct err *e)
{
	struct capture *c = ctx;
	if (!c->segv->handler || !c->t.agent || c->t.gone)
		return 0;
	c->segv->handler = false;
	return deadman_disarm(&c->t, e);
}

static int undo_arm(void *ctx, struct err *e)
{
	struct capture *c = ctx;
	if (c->t.gone || !c->t.agent)
		return 0;
	struct ranges all = {0};
	ranges_copy(&all, &c->armed);
	int ret = segv_protect(c, &all, false, e);
	ranges_deinit(&all);
	if (capture_halt(c, e) < 0)
		return -1;
	return segv_squash(c, false, e) < 0 ? -1 : ret;
}

static void undo_free(struct capture *c)
{
	struct segv *s = c->segv;
	for (size_t i = 0; i < c->t.ntasks; i++)
		segv_forget_task(c->t.tasks[i]);
	ranges_deinit(&s->want);
	ranges_deinit(&s->ours);
	ranges_deinit(&s->reopened);
	ranges_deinit(&s->scanned);
	ranges_deinit(&s->unreleased);
	free(s);
	c->segv = NULL;
}

static int undo_segv(void *ctx, struct err *e)
{
	(void)e;
	undo_free(ctx);
	return 0;
}

/* Takes what came up meanwhile, without waiting. */
static int serve_pending(struct capture *c, int timeout_ms, struct err *e)
{
	struct task *k;
	int got = 0;
	for (int n = 0; n < SERVE_MAX && (got = tracee_wait(&c->t, timeout_ms, &k, e)) == 1; n++) {
		if (segv_serve(c, k, e) < 0)
			return -1;
		timeout_ms = 0;
	}
	if (got == 0 && c->t.gone)
		return err_set(e, EXIT_CAPTURE, "the process has ended");
	return got < 0 ? -1 : 0;
}

/* What is left to arm at or behind at: the program may have changed mappings since we began. */
static struct range next_wanted(const struct capture *c, uint64_t at)
{
	const struct ranges *want = &c->segv->want;
	const size_t i = ranges_find(want, at);
	if (i == want->n)
		return (struct range){at, at};
	return (struct range){MAX(at, want->r[i].start), want->r[i].end};
}

/* Narrows [*at, *end) to its first part that no call under way may write: the kernel would say EFAULT instead of faulting. What
 * is left out stays open until the stop. */
static void cut_in_flight(const struct capture *c, uint64_t *at, uint64_t *end)
{
	const uint64_t limit = *at + MIN(*end - *at, segv_piece(c, *at, ARM_BATCH * ARM_PIECE));
	struct ranges part = {0};
	ranges_add(&part, *at, limit);
	for (size_t i = 0; i < c->t.ntasks; i++) {
		const struct segv_task *st = c->t.tasks[i]->is_agent ? NULL : c->t.tasks[i]->user;
		for (size_t k = 0; st && k < st->in_flight.n; k++)
			ranges_cut(&part, st->in_flight.r[k].start & ~(PAGE_LEN - 1),
				(st->in_flight.r[k].end + PAGE_LEN - 1) & ~(PAGE_LEN - 1));
	}
	if (part.n) {
		*at = part.r[0].start;
		*end = part.r[0].end;
	} else {
		*at = *end = limit;
	}
	ranges_deinit(&part);
}

/* Arms a chunk of [*at, end) and notes which of its pages are there; from then on none can be written unseen. */
static int arm_chunk(struct capture *c, uint64_t *at, uint64_t end, struct err *e)
{
	struct remote_call calls[ARM_BATCH];
	cut_in_flight(c, at, &end);
	const size_t n = segv_calls(c, at, end, true, ARM_PIECE, calls, ARM_BATCH);
	if (n == 0)
		return 0;
	if (agent_batch(&c->t, calls, n, e) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		const uint64_t start = calls[i].args[0], stop = start + calls[i].args[1];
		segv_note_call(c, &calls[i], true);
		/* The mapping changed since the list was read: leave it to the stop, which reads the list anew. */
		if (calls[i].ret != 0) {
			ranges_add(&c->segv->reopened, start, stop);
			continue;
		}
		if (layout_present(c, proc_vma(c->proc, start), start, stop, &c->stored, e) < 0)
			return -1;
		ranges_add(&c->segv->scanned, start, stop);
	}
	return 0;
}

/* Private memory that cannot be written now: only a call that we see can change that. */
static int scan_readonly(struct capture *c, struct err *e)
{
	for (size_t i = 0; i < c->proc->nvmas; i++) {
		struct vma *v = &c->proc->vmas[i];
		if (v->store != STORE_PRIVATE || v->shared || (v->prot & PROT_WRITE))
			continue;
		if (layout_present(c, v, v->start, v->end, &c->stored, e) < 0)
			return -1;
		ranges_add(&c->segv->scanned, v->start, v->end);
		if (serve_pending(c, 0, e) < 0)
			return -1;
	}
	return 0;
}

/* What was opened while the rest was armed is armed anew, so that little of it is left for the stop. */
static int arm_again(struct capture *c, struct err *e)
{
	struct segv *s = c->segv;
	int ret = 0;
	for (int round = 0; round < ARM_ROUNDS && ranges_total(&s->reopened) > OPENED_FEW && ret == 0; round++) {
		struct ranges again = {0}, opened = s->reopened;
		s->reopened = (struct ranges){0};
		/* Which of these pages are there now is asked when they are armed, or else at the stop. */
		ranges_cut_all(&s->scanned, &opened);
		for (size_t i = 0; i < s->want.n; i++)
			ranges_clip(&opened, s->want.r[i].start, s->want.r[i].end, &again);
		for (size_t i = 0; i < again.n && ret == 0; i++)
			for (uint64_t at = again.r[i].start; at < again.r[i].end && ret == 0 && !c->finish_now;)
				ret = arm_chunk(c, &at, again.r[i].end, e) < 0 ? -1 : serve_pending(c, 0, e);
		ranges_deinit(&again);
		ranges_deinit(&opened);
	}
	return ret;
}

static int segv_prepare(struct capture *c, struct err *e)
{
	c->segv = xcalloc(1, sizeof(*c->segv));
	struct segv *s = c->segv;
	layout_hot(c);
	segv_find_wanted(c);
	if (undo_push(&c->undo, "forget", undo_segv, c, e) < 0 || tell_deadman(c, e) < 0 ||
		undo_push(&c->undo, "SIGSEGV action", undo_handler, c, e) < 0)
		return -1;
	s->handler = true;
	if (deadman_arm(&c->t, e) < 0 || undo_push(&c->undo, "unprotect", undo_arm, c, e) < 0)
		return -1;
	if (scan_readonly(c, e) < 0)
		return -1;
	for (uint64_t at = 0; !c->finish_now && !(c->o->cancel && *c->o->cancel);) {
		const struct range r = next_wanted(c, at);
		if (r.start == r.end)
			break;
		at = r.start;
		if (arm_chunk(c, &at, r.end, e) < 0 || serve_pending(c, 0, e) < 0)
			return -1;
	}
	return arm_again(c, e);
}

/* ---- the stop ---- */
/* The SIGSEGV that is ours, and the action that is ours, are none of the program's state. */
static void hide_handler(struct capture *c)
{
	struct proc *p = c->proc;
	p->acts[SIGSEGV - 1] = deadman_saved(&c->t);
	for (size_t i = 0; i < p->nthreads; i++) {
		struct thread *th = &p->threads[i];
		size_t n = 0;
		for (size_t k = 0; k < th->npending; k++) {
			siginfo_t info;
			memcpy(&info, th->pending[k].bytes, sizeof(info));
			if (!segv_owns(c, &info))
				th->pending[n++] = th->pending[k];
		}
		th->npending = n;
	}
}

/* Hot pages were found hot only now, or never armed: their bytes are taken while nothing can write them. */
static int copy_hot(struct capture *c, struct err *e)
{
	struct ranges rest = {0};
	ranges_copy(&rest, &c->stored);
	ranges_cut_all(&rest, &c->armed);
	for (size_t i = 0; i < c->proc->nvmas; i++) {
		const struct vma *v = &c->proc->vmas[i];
		if (!v->shared && !(v->prot & PROT_WRITE))
			ranges_cut(&rest, v->start, v->end);
	}
	int ret = 0;
	/* More than may be buffered goes through to the file right away. */
	if (ranges_total(&rest) > c->o->max_buffer / 2) {
		ret = layout_reserve(c, e);
		if (ret == 0)
			copier_go(c);
	}
	for (size_t i = 0; i < rest.n && ret == 0; i++)
		ret = copy_now(c, rest.r[i].start, rest.r[i].end, COPY_STOPPED, e);
	ranges_deinit(&rest);
	return ret;
}

/* What is known of stored pages from before the stop stays true only where memory is armed still, or could not be
 * written at all. */
static int scan_rest(struct capture *c, struct err *e)
{
	struct segv *s = c->segv;
	ranges_cut_all(&s->scanned, &s->reopened);
	if (c->mm_changes) {
		struct ranges still = {0};
		for (size_t i = 0; i < c->armed.n; i++)
			ranges_clip(&s->scanned, c->armed.r[i].start, c->armed.r[i].end, &still);
		ranges_deinit(&s->scanned);
		s->scanned = still;
	}
	struct ranges known = {0};
	for (size_t i = 0; i < s->scanned.n; i++)
		ranges_clip(&c->stored, s->scanned.r[i].start, s->scanned.r[i].end, &known);
	ranges_deinit(&c->stored);
	c->stored = known;
	return layout_scan(c, &s->scanned, e);
}

static int segv_at_stop(struct capture *c, struct err *e)
{
	struct segv *s = c->segv;
	uint64_t at = now_ns();
	hide_handler(c);
	layout_hot(c);
	segv_find_wanted(c);
	if (scan_rest(c, e) < 0)
		return -1;
	capture_took(c, "freeze.scan", &at);
	if (tell_deadman(c, e) < 0)
		return -1;
	capture_took(c, "freeze.deadman", &at);

	struct ranges again = {0}, off = {0};
	ranges_copy(&again, &s->want);
	ranges_cut_all(&again, &c->armed);
	for (size_t i = 0; i < c->hot.n; i++)
		ranges_clip(&c->armed, c->hot.r[i].start, c->hot.r[i].end, &off);
	int ret = segv_protect(c, &off, false, e);
	if (ret == 0 && ranges_total(&again) > OPEN_MAX)
		ret = segv_protect(c, &again, true, e);
	ranges_deinit(&again);
	ranges_deinit(&off);
	ranges_clear(&s->reopened);
	if (ret < 0)
		return -1;
	capture_took(c, "freeze.arm", &at);
	copier_set(c, &c->stored);
	ret = copy_hot(c, e);
	capture_took(c, "freeze.hot", &at);
	return ret;
}

/* ---- the window ---- */
/* Releases what the copier has copied, a little at a time: each mprotect is one hold of the mmap lock. */
static int release_copied(struct capture *c, bool all, struct err *e)
{
	struct segv *s = c->segv;
	for (int i = 0; i < ARM_BATCH && s->unreleased.n; i++) {
		const struct range last = s->unreleased.r[s->unreleased.n - 1];
		if (!all && ranges_total(&s->unreleased) < RELEASE_PIECE)
			return 0;
		const uint64_t start = last.end - last.start > RELEASE_PIECE ? last.end - RELEASE_PIECE : last.start;
		struct ranges parts = {0};
		ranges_clip(&c->armed, start, last.end, &parts);
		const int ret = segv_protect(c, &parts, false, e);
		ranges_deinit(&parts);
		ranges_cut(&s->unreleased, start, last.end);
		if (ret < 0)
			return -1;
	}
	return 0;
}

static void take_copied(struct capture *c, bool *done)
{
	struct ranges copied = {0};
	*done = copier_poll(c, &copied);
	for (size_t i = 0; i < copied.n; i++)
		capture_event(c, EV_COPY, 0, copied.r[i].start, copied.r[i].end - copied.r[i].start, COPY_BACKGROUND, 0);
	ranges_add_all(&c->segv->unreleased, &copied);
	ranges_deinit(&copied);
}

static int segv_window(struct capture *c, struct err *e)
{
	if (layout_reserve(c, e) < 0)
		return -1;
	copier_go(c);
	const uint64_t polite_until = copier_patience(c);
	bool hurried = false;
	for (bool done = false; !done;) {
		if (!hurried && (c->finish_now || now_ns() > polite_until)) {
			copier_hurry(c);
			hurried = true;
		}
		if (c->o->cancel && *c->o->cancel)
			return err_set(e, EXIT_CAPTURE, "interrupted");
		if (image_error(c->w, e) < 0)
			return -1;
		if (c->finish_now && copy_some(c, e) < 0)
			return -1;
		if (serve_pending(c, c->finish_now ? 0 : 1, e) < 0)
			return -1;
		take_copied(c, &done);
		if (release_copied(c, done, e) < 0)
			return -1;
	}
	return 0;
}

static int segv_before_collect(struct capture *c, struct err *e)
{
	return segv_squash(c, true, e);
}

const struct engine engine_segv = {
	.name = "segv",
	.traces = true,
	.notes_touched = true,
	.prepare = segv_prepare,
	.before_collect = segv_before_collect,
	.at_stop = segv_at_stop,
	.resume = segv_serve,
	.window = segv_window,
};
