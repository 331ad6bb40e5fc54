/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Which memory there is and which of it goes into the image: mappings as the program sees them, although
 * our protection has split them; the pages to store; the pages that must not be protected.
 */
#include "capture/session.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Runs of stored pages that are closer than this become one. */
#define JOIN_GAP (16 * PAGE_LEN)
/* How far around sp a thread's stack is left alone when it is part of a big mapping. */
#define STACK_BELOW (1u << 20)
#define STACK_ABOVE (256u << 10)
#define STACK_MAX (8u << 20)
#define ROBUST_MAX 2048

static bool same_object(const struct vma *a, const struct vma *b)
{
	return a->shared == b->shared && a->ino == b->ino && a->dev_major == b->dev_major &&
	       a->dev_minor == b->dev_minor && !a->path == !b->path && (!a->path || !strcmp(a->path, b->path));
}

/* Is there a mapping of the old list that has a boundary at addr? */
static bool was_boundary(const struct proc *old, uint64_t addr)
{
	const struct vma *v = proc_vma(old, addr);
	return !v || v->start == addr;
}

static bool joins(const struct capture *c, const struct vma *a, const struct vma *b)
{
	if (a->end != b->start || a->prot != b->prot || !same_object(a, b) || a->kind != b->kind)
		return false;
	if (a->ino && a->off + (a->end - a->start) != b->off)
		return false;
	return c->proc && c->proc->nvmas && !was_boundary(c->proc, b->start);
}

/* Cuts [start, end) out of the mappings of p: our scratch mapping may have merged with a neighbour. */
static void hide_range(struct proc *p, uint64_t start, uint64_t end)
{
	size_t n = 0;
	for (size_t i = 0; i < p->nvmas; i++) {
		struct vma *v = &p->vmas[i];
		if (v->start >= start && v->end <= end) {
			vma_deinit(v);
			continue;
		}
		if (v->start < start && v->end > start)
			v->end = start;
		else if (v->start < end && v->end > end)
			v->start = end;
		p->vmas[n++] = *v;
	}
	p->nvmas = n;
}

static struct vma vma_copy(const struct vma *v)
{
	struct vma to = *v;
	to.path = xstrdup(v->path);
	to.vmflags = xstrdup(v->vmflags);
	to.build_id = xstrdup(v->build_id);
	return to;
}

/* The nearest place behind v->start where v must be cut: an edge of armed memory, or of a mapping that was known before. Taking
 * the write permission makes the kernel merge with read-only neighbours (.data with RELRO). v->end: none. */
static uint64_t next_edge(const struct capture *c, const struct vma *v)
{
	uint64_t edge = v->end;
	const size_t i = ranges_find(&c->armed, v->start);
	if (i < c->armed.n) {
		const struct range r = c->armed.r[i];
		edge = MIN(edge, r.start > v->start ? r.start : r.end);
	}
	const struct vma *was = c->proc ? proc_vma(c->proc, v->start) : NULL;
	if (was && was->end < edge && ranges_touches(&c->armed, v->start, v->end))
		edge = was->end;
	return edge;
}

static void split_maps(const struct capture *c, struct proc *p)
{
	struct vma *vmas = NULL;
	size_t n = 0;
	for (size_t i = 0; i < p->nvmas; i++) {
		struct vma *v = &p->vmas[i];
		for (uint64_t edge; (edge = next_edge(c, v)) < v->end;) {
			struct vma *part = array_push(&vmas, &n);
			*part = vma_copy(v);
			part->end = edge;
			if (v->ino)
				v->off += edge - v->start;
			v->start = edge;
		}
		*array_push(&vmas, &n) = *v;
	}
	free(p->vmas);
	p->vmas = vmas;
	p->nvmas = n;
}

/* Gives mappings back the write permission that arming took, and joins what it split. */
static void heal_maps(struct capture *c, struct proc *p)
{
	size_t n = 0;
	for (size_t i = 0; i < p->nvmas; i++) {
		struct vma *v = &p->vmas[i];
		if (!v->shared && ranges_has(&c->armed, v->start))
			v->prot |= PROT_WRITE;
		struct vma *before = n ? &p->vmas[n - 1] : NULL;
		if (before && joins(c, before, v)) {
			before->end = v->end;
			before->rss += v->rss;
			before->priv += v->priv;
			before->swap += v->swap;
			vma_deinit(v);
			continue;
		}
		p->vmas[n++] = *v;
	}
	p->nvmas = n;
}

/* Flags and sizes come from before the stop where the mapping is still the same one. */
static bool take_flags(const struct proc *old, struct proc *p)
{
	bool all = true;
	for (size_t i = 0; i < p->nvmas; i++) {
		struct vma *v = &p->vmas[i];
		const struct vma *was = proc_vma(old, v->growsdown || !strcmp(vma_name(v), "[stack]") ?
			v->end - 1 : v->start);
		if (was && same_object(was, v) && was->vmflags) {
			if (!v->vmflags)
				v->vmflags = xstrdup(was->vmflags);
			v->growsdown = was->growsdown;
			v->kind = was->kind;
			v->header = was->header && was->start == v->start;
			v->store = was->store;
			v->rss = was->rss;
			v->priv = was->priv;
			v->swap = was->swap;
		} else if (!v->vmflags) {
			all = false;
		}
	}
	return all;
}

int layout_maps(struct capture *c, struct proc *p, bool smaps, struct err *e)
{
	if (live_maps(&c->live, p, smaps, e) < 0)
		return -1;
	if (c->t.scratch)
		hide_range(p, scratch_addr(&c->t), scratch_addr(&c->t) + scratch_len(&c->t));
	if (c->armed.n) {
		split_maps(c, p);
		heal_maps(c, p);
	}
	/* A mapping that came after the first reading has no flags yet: read them now, however long it takes. */
	if (!smaps && c->proc && !take_flags(c->proc, p))
		return layout_maps(c, p, true, e);
	return 0;
}

int layout_present(struct capture *c, struct vma *v, uint64_t start, uint64_t end, struct ranges *out,
	struct err *e)
{
	struct vma part = *v;
	part.start = MAX(start, v->start);
	part.end = MIN(end, v->end);
	part.off = v->off + (part.start - v->start);
	if (part.start >= part.end)
		return 0;
	/* The kernel's own cores have it, too: its name in the list of loaded objects stands in it. */
	if (v->kind == VMA_VDSO) {
		ranges_add(out, part.start, part.end);
		return 0;
	}
	if (v->store == STORE_NONE || (v->store == STORE_FILE && !c->o->full))
		return 0;
	if (live_present(c->from, &part, c->o->full, out, e) < 0)
		return -1;
	/* As the kernel does it (core(5), coredump_filter bit 4): core readers find build-id and names by a file's ELF header. */
	if (v->kind == VMA_FILE && v->store == STORE_PRIVATE && part.off == 0 && (v->prot & PROT_READ)) {
		v->header = !ranges_has(out, part.start);
		ranges_add(out, part.start, part.start + PAGE_LEN);
	}
	return 0;
}

int layout_scan(struct capture *c, const struct ranges *known, struct err *e)
{
	for (size_t i = 0; i < c->proc->nvmas; i++) {
		struct vma *v = &c->proc->vmas[i];
		struct ranges parts = {0};
		int ret = 0;
		ranges_add(&parts, v->start, v->end);
		if (known)
			ranges_cut_all(&parts, known);
		for (size_t k = 0; k < parts.n && ret == 0; k++)
			ret = layout_present(c, v, parts.r[k].start, parts.r[k].end, &c->stored, e);
		ranges_deinit(&parts);
		if (ret < 0)
			return -1;
	}
	return 0;
}

int layout_hint(struct capture *c, struct err *e)
{
	for (size_t i = 0; i < c->proc->nvmas; i++) {
		struct vma *v = &c->proc->vmas[i];
		if (v->store == STORE_PRIVATE && layout_present(c, v, v->start, v->end, &c->hint, e) < 0)
			return -1;
	}
	return 0;
}

static void add_page(struct ranges *set, uint64_t addr, uint64_t len)
{
	if (addr && len && addr + len > addr)
		ranges_add(set, addr & ~(PAGE_LEN - 1), (addr + len + PAGE_LEN - 1) & ~(PAGE_LEN - 1));
}

static void hot_stack(struct capture *c, uint64_t sp)
{
	const struct vma *v = proc_vma(c->proc, sp);
	if (!v)
		return;
	const uint64_t below = sp - v->start <= STACK_MAX ? v->start : sp - STACK_BELOW;
	const uint64_t above = v->end - v->start <= 2 * STACK_MAX ? v->end : MIN(v->end, sp + STACK_ABOVE);
	add_page(&c->hot, below, above - below);
}

/* The futex words of the robust mutexes a thread holds are written when it dies (exit_robust_list). */
static void robust_words(struct capture *c, uint64_t list, struct ranges *out)
{
	struct { uint64_t next; int64_t futex_offset; uint64_t pending; } head;
	if (!list || live_read(&c->live, list, &head, sizeof(head)) != sizeof(head))
		return;
	uint64_t entry = head.next;
	for (int i = 0; i < ROBUST_MAX && (entry & ~1ull) != list && entry; i++) {
		add_page(out, (entry & ~1ull) + (uint64_t)head.futex_offset, 4);
		if (live_read(&c->live, entry & ~1ull, &entry, 8) != 8)
			break;
	}
	if (head.pending)
		add_page(out, (head.pending & ~1ull) + (uint64_t)head.futex_offset, 4);
}

void layout_thread_exit(struct capture *c, int tid, struct ranges *out)
{
	uint64_t list = 0, len = 0;
	const struct thread *th = proc_thread(c->proc, tid);
	if (th)
		add_page(out, th->clear_child_tid, 4);
	if (syscall(SYS_get_robust_list, tid, &list, &len) == 0)
		robust_words(c, list, out);
}

uint64_t layout_heap_end(const struct capture *c, uint64_t start)
{
	uint64_t end = start;
	for (size_t i = 0; i < c->proc->nvmas; i++)
		if (c->proc->vmas[i].kind == VMA_HEAP)
			end = MAX(end, c->proc->vmas[i].end);
	return end;
}

void layout_hot(struct capture *c)
{
	ranges_clear(&c->hot);
	for (size_t i = 0; i < c->proc->nthreads; i++) {
		const struct thread *th = &c->proc->threads[i];
		if (th->regs.len >= sizeof(arch_regs))
			hot_stack(c, arch->sp((const arch_regs *)(const void *)th->regs.data));
		add_page(&c->hot, th->rseq.addr, MAX(th->rseq.len, 32u));
		add_page(&c->hot, th->clear_child_tid, 4);
		add_page(&c->hot, th->altstack.sp, th->altstack.size);
		add_page(&c->hot, th->robust.head, sizeof(uint64_t[3]));
		robust_words(c, th->robust.head, &c->hot);
	}
	for (size_t i = 0; i < c->proc->nvmas; i++) {
		const struct vma *v = &c->proc->vmas[i];
		if (v->kind == VMA_STACK || v->growsdown || v->kind == VMA_HUGETLB || v->shared)
			add_page(&c->hot, v->start, v->end - v->start);
	}
}

int layout_reserve(struct capture *c, struct err *e)
{
	for (size_t i = 0; i < c->proc->nvmas; i++) {
		const struct vma *v = &c->proc->vmas[i];
		struct ranges runs = {0};
		ranges_clip(&c->stored, v->start, v->end, &runs);
		/* A gap in anonymous memory holds zeros: as a hole it costs nothing. */
		if (v->kind == VMA_ANON || v->kind == VMA_HEAP || v->kind == VMA_STACK)
			ranges_join(&runs, JOIN_GAP);
		int ret = 0;
		for (size_t k = 0; k < runs.n && ret == 0; k++)
			ret = image_reserve(c->w, runs.r[k].start, runs.r[k].end, e);
		ranges_deinit(&runs);
		if (ret < 0)
			return -1;
	}
	return 0;
}
