/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Engine `uffd`: memory is write-protected from outside, through a userfaultfd of the process that only we hold, before the
 * stop and while the process runs. A write to it waits in the kernel until the pager (pager.h) lets it pass; so do the
 * kernel's own writes for a system call. When we die the kernel drops all protection with our descriptor.
 *
 * What the stop must still look at is what was written since it was protected, what cannot be protected (mappings of
 * files), and memory that came since. System calls are traced from the first stop to the end of the window, as only their
 * entry tells that memory is about to vanish.
 */
#include "capture/uffd.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include "base/clock.h"

/* Holes smaller than this are protected with what is around them; bigger ones are looked at again in the stop. */
#define DENSE (2ull << 20)
/* What the stop finds unprotected is copied there and then when it is no more: 0.4 us a page, a fault costs 20. */
#define COPY_MAX (512ull << 10)
/* Memory that was opened while the rest was armed is armed again before the stop, at most so often, when it is more than: */
#define ARM_ROUNDS 3
#define EXIT_TRIES 100
#define OPENED_MAX (64 * PAGE_LEN)

static bool cancelled(const struct capture *c)
{
	return c->o->cancel && *c->o->cancel;
}

/* Write protection of private anonymous memory only; of the rest the stop takes a copy. */
static bool armable(const struct vma *v)
{
	return v->store == STORE_PRIVATE && !v->shared && !v->ino && (v->prot & PROT_WRITE) && v->kind != VMA_HUGETLB &&
	       v->kind != VMA_VDSO;
}

static bool readonly(const struct vma *v)
{
	return v->store == STORE_PRIVATE && !v->shared && !(v->prot & PROT_WRITE);
}

/* ---- undo ---- */
static int undo_uffd(void *ctx, struct err *e)
{
	struct capture *c = ctx;
	struct uffd *u = c->uffd;
	(void)e;
	if (!u)
		return 0;
	pager_stop(&u->pager);
	ranges_deinit(&u->armed);
	ranges_deinit(&u->scanned);
	ranges_deinit(&u->gone);
	ranges_deinit(&u->never);
	free(u);
	c->uffd = NULL;
	return 0;
}

/* ---- before the stop ---- */
static int uffd_at_attach(struct capture *c, struct err *e)
{
	int fd;
	c->uffd = xcalloc(1, sizeof(*c->uffd));
	c->uffd->pager.fd = c->uffd->pager.wake = -1;
	if (undo_push(&c->undo, "close userfaultfd", undo_uffd, c, e) < 0)
		return -1;
	if (remote_userfaultfd(&c->t, &fd, e) < 0) {
		if (e->sys == EPERM)
			err_set(e, EXIT_CAPTURE, "process %d may not have a userfaultfd that serves the kernel, too (it has no "
				"CAP_SYS_PTRACE and vm.unprivileged_userfaultfd is 0): use --engine segv", c->o->pid);
		c->uffd_refused = true;
		return -1;
	}
	return pager_start(&c->uffd->pager, c, fd, e);
}

/* Events of the traced threads are served while we are busy. */
static int serve_pending(struct capture *c, int timeout_ms, struct err *e)
{
	struct task *k;
	int got = 0;
	while ((got = tracee_wait(&c->t, timeout_ms, &k, e)) == 1) {
		if (c->engine->resume(c, k, e) < 0)
			return -1;
		timeout_ms = 0;
	}
	if (got == 0 && c->t.gone)
		return err_set(e, EXIT_CAPTURE, "the process has ended");
	return got < 0 ? -1 : 0;
}

static int scan(struct capture *c, struct vma *v, uint64_t start, uint64_t end, struct err *e)
{
	if (ranges_touches(&c->uffd->gone, start, end))
		return 0;
	if (layout_present(c, v, start, end, &c->stored, e) < 0)
		return -1;
	ranges_add(&c->uffd->scanned, MAX(v->start, start), MIN(v->end, end));
	return 0;
}

/* Where v is populated, holes below DENSE included, in whole DENSE pieces. */
static void dense_parts(const struct capture *c, const struct vma *v, struct ranges *out)
{
	struct ranges in = {0};
	ranges_clip(&c->hint, v->start, v->end, &in);
	for (size_t i = 0; i < in.n; i++)
		ranges_add(out, MAX(v->start, in.r[i].start & ~(DENSE - 1)),
			MIN(v->end, (in.r[i].end + DENSE - 1) & ~(DENSE - 1)));
	ranges_deinit(&in);
}

/* Protects first, then looks: what is there is there as of now, and a later write tells of itself. Before kernel 6.4 only what is
 * there can be protected: looks first, and again at the stop for what has come since. */
static int arm_range(struct capture *c, struct vma *v, struct range r, struct err *e)
{
	struct uffd *u = c->uffd;
	struct ranges there = {0};
	int ret = 0;
	if (u->pager.holes)
		ranges_add(&there, r.start, r.end);
	else
		ret = layout_present(c, v, r.start, r.end, &there, e);
	if (ret == 0 && pager_protect(&u->pager, r.start, r.end)) {
		ranges_add_all(&u->armed, &there);
		capture_event(c, EV_ARM, 0, r.start, r.end - r.start, 0, 0);
		if (u->pager.holes)
			ret = scan(c, v, r.start, r.end, e);
	}
	ranges_deinit(&there);
	return ret;
}

static int arm_piece(struct capture *c, struct vma *v, uint64_t start, uint64_t end, struct err *e)
{
	struct uffd *u = c->uffd;
	struct ranges parts = {0};
	int ret = 0;
	ranges_add(&parts, start, end);
	ranges_cut_all(&parts, &u->gone);
	ranges_cut_all(&parts, &u->never);
	for (size_t i = 0; i < parts.n && ret == 0; i++)
		ret = arm_range(c, v, parts.r[i], e);
	ranges_deinit(&parts);
	return ret < 0 ? -1 : serve_pending(c, 0, e);
}

static int arm_vma(struct capture *c, struct vma *v, struct err *e)
{
	struct uffd *u = c->uffd;
	struct ranges parts = {0};
	int ret = 0;
	/* What is there now where the program has changed something may be about to be moved, which it can be as a whole only: a
	 * call served is not made yet. */
	ranges_add(&parts, v->start, v->end);
	ranges_cut_all(&parts, &u->gone);
	for (size_t i = 0; i < parts.n; i++)
		pager_register(&u->pager, parts.r[i].start, parts.r[i].end);
	ranges_clear(&parts);
	dense_parts(c, v, &parts);
	for (size_t i = 0; i < parts.n; i++)
		for (uint64_t at = parts.r[i].start; at < parts.r[i].end && ret == 0 && !cancelled(c); at += DENSE)
			ret = arm_piece(c, v, at, MIN(parts.r[i].end, at + DENSE), e);
	ranges_deinit(&parts);
	return ret;
}

static bool protect_all(struct capture *c, const struct ranges *what)
{
	bool all = true;
	for (size_t i = 0; i < what->n; i++)
		all = pager_protect(&c->uffd->pager, what->r[i].start, what->r[i].end) && all;
	return all;
}

/* Memory that malloc has given us costs a page fault each, the first time: not in the stop. */
static void warm_up(void)
{
	enum { ROOM = 4 << 20 };
	mallopt(M_MMAP_THRESHOLD, 2 * ROOM);
	mallopt(M_TRIM_THRESHOLD, 4 * ROOM);
	void *p = xmalloc(ROOM);
	memset(p, 1, ROOM);
	free(p);
}

/* What was written while the rest was armed is protected anew, so that little is left for the stop. */
static int arm_again(struct capture *c, struct err *e)
{
	struct uffd *u = c->uffd;
	struct ranges opened = {0};
	for (int i = 0; i < ARM_ROUNDS && !c->finish_now; i++) {
		ranges_clear(&opened);
		pager_take_opened(&u->pager, false, &opened);
		ranges_cut_all(&opened, &u->never);
		const bool few = ranges_total(&opened) <= OPENED_MAX;
		/* They are there now, whatever they were before. */
		ranges_add_all(&c->stored, &opened);
		protect_all(c, &opened);
		if (serve_pending(c, 0, e) < 0 || few)
			break;
	}
	ranges_deinit(&opened);
	return 0;
}

static bool any_exiting(const struct capture *c)
{
	for (size_t i = 0; i < c->t.ntasks; i++)
		if (c->t.tasks[i]->exiting)
			return true;
	return false;
}

static int arm_all(struct capture *c, struct err *e)
{
	for (size_t i = 0; i < c->proc->nvmas && !c->finish_now && !cancelled(c); i++) {
		struct vma *v = &c->proc->vmas[i];
		if (readonly(v) ? scan(c, v, v->start, v->end, e) < 0 : armable(v) && arm_vma(c, v, e) < 0)
			return -1;
		if (serve_pending(c, 0, e) < 0)
			return -1;
	}
	return 0;
}

static int uffd_prepare(struct capture *c, struct err *e)
{
	/* Threads that were on their way out when we came write for the last time now; where, we could not ask them. */
	for (int tries = 0; any_exiting(c) && tries < EXIT_TRIES; tries++)
		if (serve_pending(c, 1, e) < 0)
			return -1;
	/* Arming takes 30 ms a GiB: a processor is not taken from anybody for so long. The pager keeps its priority. */
	capture_priority(false);
	const int ret = arm_all(c, e);
	warm_up();
	capture_priority(true);
	return ret < 0 ? -1 : arm_again(c, e);
}

/* ---- the stop ---- */
/* Memory that came, or was opened, or cannot be protected. Little of it is copied now, much of it is protected now. */
static int freeze_rest(struct capture *c, struct ranges *open, struct err *e)
{
	struct uffd *u = c->uffd;
	int ret = 0;
	if (ranges_total(open) > COPY_MAX) {
		for (size_t i = 0; i < c->proc->nvmas; i++) {
			const struct vma *v = &c->proc->vmas[i];
			struct ranges parts = {0};
			if (!armable(v))
				continue;
			ranges_clip(open, v->start, v->end, &parts);
			ranges_cut_all(&parts, &u->never);
			if (parts.n && pager_register(&u->pager, v->start, v->end) && protect_all(c, &parts)) {
				ranges_add_all(&u->armed, &parts);
				ranges_cut_all(open, &parts);
			}
			ranges_deinit(&parts);
		}
	}
	/* More than may be buffered goes through to the file right away. */
	if (ranges_total(open) > c->o->max_buffer / 2) {
		ret = layout_reserve(c, e);
		if (ret == 0)
			copier_go(c);
	}
	for (size_t i = 0; i < open->n && ret == 0; i++)
		ret = copy_now(c, open->r[i].start, open->r[i].end, COPY_STOPPED, e);
	return ret;
}

static int uffd_at_stop(struct capture *c, struct err *e)
{
	struct uffd *u = c->uffd;
	struct ranges opened = {0}, open = {0}, known = {0};
	uint64_t at = now_ns();
	/* Everything is halted, nobody waits for the pager any more: what it has noted is all. */
	pager_take_opened(&u->pager, true, &opened);
	if (u->unknown) {
		ranges_clear(&u->scanned);
		ranges_clear(&u->armed);
	}
	ranges_cut_all(&u->armed, &opened);
	ranges_add_all(&c->stored, &opened);
	for (size_t i = 0; i < u->scanned.n; i++)
		ranges_clip(&c->stored, u->scanned.r[i].start, u->scanned.r[i].end, &known);
	ranges_deinit(&c->stored);
	c->stored = known;
	if (layout_scan(c, &u->scanned, e) < 0)
		return -1;
	capture_took(c, "freeze.scan", &at);

	ranges_copy(&open, &c->stored);
	ranges_cut_all(&open, &u->armed);
	for (size_t i = 0; i < c->proc->nvmas; i++)
		if (readonly(&c->proc->vmas[i]))
			ranges_cut(&open, c->proc->vmas[i].start, c->proc->vmas[i].end);
	copier_set(c, &c->stored);
	const int ret = freeze_rest(c, &open, e);
	ranges_deinit(&opened);
	ranges_deinit(&open);
	capture_took(c, "freeze.copy", &at);
	return ret;
}

/* ---- the window ---- */
static int uffd_window(struct capture *c, struct err *e)
{
	if (layout_reserve(c, e) < 0)
		return -1;
	copier_go(c);
	const uint64_t polite_until = copier_patience(c);
	bool hurried = false;
	for (bool done = false; !done || !pager_done(&c->uffd->pager);) {
		struct ranges copied = {0};
		if (!hurried && (c->finish_now || now_ns() > polite_until)) {
			copier_hurry(c);
			hurried = true;
		}
		if (cancelled(c))
			return err_set(e, EXIT_CAPTURE, "interrupted");
		if (image_error(c->w, e) < 0 || (c->finish_now && copy_some(c, e) < 0) ||
			serve_pending(c, c->finish_now ? 0 : 1, e) < 0)
			return -1;
		done = copier_poll(c, &copied);
		for (size_t i = 0; i < copied.n; i++)
			capture_event(c, EV_COPY, 0, copied.r[i].start, copied.r[i].end - copied.r[i].start,
				COPY_BACKGROUND, 0);
		if (copied.n || done)
			pager_wake(&c->uffd->pager);
		ranges_deinit(&copied);
	}
	return 0;
}

const struct engine engine_uffd = {
	.name = "uffd",
	.traces = true,
	.notes_touched = true,
	.at_attach = uffd_at_attach,
	.prepare = uffd_prepare,
	.at_stop = uffd_at_stop,
	.resume = uffd_serve,
	.window = uffd_window,
};
