/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Engine `segv`, taking and giving back the permission to write: which memory may be protected, the mprotect calls that
 * do it (made by the agent), and the release of a granule.
 */
#include "capture/segv.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>

static bool armable(const struct vma *v)
{
	return v->store == STORE_PRIVATE && !v->shared && (v->prot & PROT_WRITE) && !v->growsdown &&
	       v->kind != VMA_STACK && v->kind != VMA_HUGETLB;
}

void segv_find_wanted(struct capture *c)
{
	struct segv *s = c->segv;
	ranges_clear(&s->want);
	for (size_t i = 0; i < c->proc->nvmas; i++)
		if (armable(&c->proc->vmas[i]))
			ranges_add(&s->want, c->proc->vmas[i].start, c->proc->vmas[i].end);
	ranges_cut_all(&s->want, &c->hot);
	s->granule = MIN_GRANULE;
	while (ranges_total(&c->hint) / s->granule > MAX_GRANULES)
		s->granule *= 2;
}

uint64_t segv_piece(const struct capture *c, uint64_t at, uint64_t piece)
{
	const size_t i = ranges_find(&c->hint, at);
	const uint64_t next = i < c->hint.n ? c->hint.r[i].start : UINT64_MAX;
	return next > at ? MAX(piece, (next - at) & ~(PAGE_LEN - 1)) : piece;
}

size_t segv_calls(struct capture *c, uint64_t *at, uint64_t end, bool arm, uint64_t piece,
	struct remote_call *calls, size_t max)
{
	size_t n = 0;
	while (*at < end && n < max) {
		const struct vma *v = proc_vma(c->proc, *at);
		if (!v) {
			/* Gone since the list was read: nothing to protect there. */
			*at += PAGE_LEN;
			continue;
		}
		const uint64_t len = MIN(MIN(v->end, end) - *at, segv_piece(c, *at, piece));
		calls[n++] = (struct remote_call){.nr = SYS_mprotect,
			.args = {*at, len, arm ? v->prot & ~(uint32_t)PROT_WRITE : v->prot}};
		*at += len;
	}
	return n;
}

void segv_note_call(struct capture *c, const struct remote_call *call, bool arm)
{
	const uint64_t start = call->args[0], end = start + call->args[1];
	c->segv->changes++;
	if (arm) {
		ranges_add(&c->armed, start, end);
		ranges_add(&c->segv->ours, start, end);
	} else if (call->ret == 0) {
		ranges_cut(&c->armed, start, end);
	}
	capture_event(c, arm ? EV_ARM : EV_RELEASE, 0, start, call->args[1], 0, 0);
}

int segv_protect(struct capture *c, const struct ranges *what, bool arm, struct err *e)
{
	struct remote_call calls[REMOTE_MAX];
	for (size_t i = 0; i < what->n; i++) {
		uint64_t at = what->r[i].start;
		while (at < what->r[i].end) {
			const size_t n = segv_calls(c, &at, what->r[i].end, arm, RELEASE_PIECE, calls,
				arm ? ARRAY_LEN(calls) : ARM_BATCH);
			if (n == 0)
				break;
			if (agent_batch(&c->t, calls, n, e) < 0)
				return -1;
			for (size_t k = 0; k < n; k++) {
				segv_note_call(c, &calls[k], arm);
				if (calls[k].ret == 0 || !arm)
					continue;
				errno = (int)-calls[k].ret;
				return err_sys(e, EXIT_CAPTURE, "mprotect 0x%llx+0x%llx",
					(unsigned long long)calls[k].args[0], (unsigned long long)calls[k].args[1]);
			}
		}
	}
	return 0;
}

/* A mapping that may not be split once more (vm.max_map_count) is released as far as it was armed in one piece. */
static int release_whole(struct capture *c, uint64_t start, uint64_t end, enum copy_how how, struct err *e)
{
	struct ranges whole = {0};
	for (size_t i = ranges_find(&c->armed, start); i < c->armed.n && c->armed.r[i].start < end; i++)
		ranges_add(&whole, c->armed.r[i].start, c->armed.r[i].end);
	int ret = 0;
	for (size_t i = 0; i < whole.n && ret == 0; i++) {
		if (c->after_stop)
			ret = copy_now(c, whole.r[i].start, whole.r[i].end, how, e);
		else
			ranges_add(&c->segv->reopened, whole.r[i].start, whole.r[i].end);
	}
	if (ret == 0)
		ret = segv_protect(c, &whole, false, e);
	ranges_deinit(&whole);
	return ret;
}

int segv_release(struct capture *c, uint64_t start, uint64_t end, enum copy_how how, struct err *e)
{
	if (!ranges_touches(&c->armed, start, end))
		return 0;
	const uint64_t mask = (c->after_stop ? c->segv->granule : EARLY_GRANULE) - 1;
	struct ranges parts = {0};
	ranges_clip(&c->armed, start & ~mask, (end + mask) & ~mask, &parts);
	int ret = 0;
	for (size_t i = 0; i < parts.n && ret == 0; i++) {
		if (c->after_stop)
			ret = copy_now(c, parts.r[i].start, parts.r[i].end, how, e);
		else
			ranges_add(&c->segv->reopened, parts.r[i].start, parts.r[i].end);
	}
	if (ret == 0 && segv_protect(c, &parts, false, e) < 0)
		ret = release_whole(c, start, end, how, e);
	ranges_deinit(&parts);
	return ret;
}
