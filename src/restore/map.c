// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Steps that make mappings and fill them. All mappings are made at their final addresses
 * (MAP_FIXED_NOREPLACE: what is in the way is an error, never overwritten); those that get pages
 * are writable until they have them.
 *
 * Files are opened as the lowest free number, which is known beforehand (plan.free_fd): a whole
 * program's mappings are one batch.
 */
#include "restore/steps.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define MFD_ALLOW_SEALING_ 2u
#define FILL_PIECE \
	(16ull << 20) /* one pread: long enough to cost nothing, short enough to be interrupted */
#define FILL_JOIN 4   /* holes of up to this many pages are read along */

/* VmFlags that madvise(2) or mlock gives back. */
static const struct {
	char flag[3];
	int advice;
} advices[] = {
	{"hg", MADV_HUGEPAGE},
	{"nh", MADV_NOHUGEPAGE},
	{"dc", MADV_DONTFORK},
	{"wf", MADV_WIPEONFORK},
	{"dd", MADV_DONTDUMP},
	{"mg", MADV_MERGEABLE},
	{"sr", MADV_SEQUENTIAL},
	{"rr", MADV_RANDOM},
};

static void vma_where(const struct vma *v, char out[64])
{
	char prot[5];

	snprintf(out, 64, "0x%llx-0x%llx %s", (unsigned long long)v->start,
		(unsigned long long)v->end, vma_prot_text(v, prot));
}

/* Does the image have bytes that this restore puts into v? */
static bool vma_is_filled(const struct plan *p, const struct vma *v)
{
	if (!p->im || v->store == STORE_FILE || v->store == STORE_NONE || vma_is_kernels(v))
		return false;
	if (v->store == STORE_SHARED) {
		const int fd = plan_backing_fd(p, v);

		if (fd >= 0 && proc_fd(p->proc, fd)->content.len)
			return false; /* comes with the descriptor */
	}
	return ranges_touches(image_stored(p->im), v->start + (v->header ? PAGE_LEN : 0), v->end);
}

static uint64_t first_prot(const struct plan *p, const struct vma *v)
{
	return vma_is_filled(p, v) ? v->prot | PROT_READ | PROT_WRITE : v->prot;
}

static void add_advice(struct step *s, const struct vma *v)
{
	for (size_t i = 0; i < ARRAY_LEN(advices); i++)
		if (vma_has_flag(v, advices[i].flag))
			call_may_fail(CALL(s, SYS_madvise, N(v->start), N(v->end - v->start),
					      N(advices[i].advice)),
				NULL);
	if (v->path && !strncmp(v->path, "[anon:", 6)) {
		char name[128];
		const size_t len = strlen(v->path) - 6;

		snprintf(name, sizeof(name), "%.*s", (int)(len ? len - 1 : 0), v->path + 6);
		const uint64_t at = step_str(s, name);

		call_quiet(CALL(s, SYS_prctl, N(PR_SET_VMA), N(PR_SET_VMA_ANON_NAME), N(v->start),
			N(v->end - v->start), D(at)));
	}
}

static void add_mmap(
	struct step *s, const struct vma *v, uint64_t prot, uint64_t flags, int fd, uint64_t off)
{
	flags |= MAP_FIXED_NOREPLACE;
	if (vma_has_flag(v, "nr"))
		flags |= MAP_NORESERVE;
	call_expect(CALL(s, SYS_mmap, N(v->start), N(v->end - v->start), N(prot), N(flags),
			    N((int64_t)fd), N(off)),
		(int64_t)v->start);
}

static struct step *map_step(struct plan *p, const struct vma *v, const char *why)
{
	char where[64];

	vma_where(v, where);
	return plan_step(p, STEP_MAP, p->proc->pid, (int)(v - p->proc->vmas), why, "map %s %s",
		where, vma_name(v));
}

static void map_anon(struct plan *p, const struct vma *v)
{
	struct step *s = map_step(p, v,
		v->path && v->path[0] == '/' ? "the file is gone: its pages become anonymous memory"
					     : "anonymous memory of the program");
	uint64_t flags = MAP_PRIVATE | MAP_ANONYMOUS;

	if (v->growsdown || vma_has_flag(v, "gd"))
		flags |= MAP_GROWSDOWN;
	if (v->kind == VMA_HUGETLB)
		flags |= MAP_HUGETLB;
	add_mmap(s, v, first_prot(p, v), flags, -1, 0);
	add_advice(s, v);
}

static bool same_file(const struct vma *a, const struct vma *b)
{
	return a->shared == b->shared && a->ino == b->ino && a->dev_major == b->dev_major &&
	       a->dev_minor == b->dev_minor && !strcmp(a->path, b->path) &&
	       vma_has_flag(a, "mw") == vma_has_flag(b, "mw");
}

/* Neighbouring mappings of one file share one open. */
static void map_file(struct plan *p, const struct vma *v)
{
	const struct vma *const prev = v > p->proc->vmas ? v - 1 : NULL;
	const struct vma *const next = v + 1 < p->proc->vmas + p->proc->nvmas ? v + 1 : NULL;
	struct step *s = map_step(
		p, v, v->shared ? "a shared file: it has the bytes" : "a file of the program");

	if (!prev || !vma_is_file(prev) || !same_file(prev, v)) {
		const bool writes = v->shared && vma_has_flag(v, "mw");
		const uint64_t path = step_str(s, v->path);

		call_expect(CALL(s, SYS_openat, N(AT_FDCWD), D(path),
				    N((writes ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOCTTY)),
			p->free_fd);
	}
	add_mmap(s, v, first_prot(p, v), v->shared ? MAP_SHARED : MAP_PRIVATE, p->free_fd, v->off);
	if (!next || !vma_is_file(next) || !same_file(next, v))
		CALL(s, SYS_close, N(p->free_fd));
	add_advice(s, v);
}

/* ---- objects that live only in the process ---- */

static bool same_object(const struct vma *a, const struct vma *b)
{
	if (!a->shared || !b->shared || vma_is_file(a) || vma_is_file(b))
		return false;
	if (a->shm_id >= 0 || b->shm_id >= 0)
		return a->shm_id == b->shm_id;
	return a->ino && a->ino == b->ino && a->dev_major == b->dev_major &&
	       a->dev_minor == b->dev_minor;
}

static bool is_object(const struct vma *v)
{
	return v->shared && !vma_is_file(v) && !vma_is_kernels(v);
}

/* All its mappings in one piece: then it can be plain shared anonymous memory, as it was. */
static bool object_in_one_piece(const struct plan *p, const struct vma *first)
{
	const struct vma *const end = p->proc->vmas + p->proc->nvmas;
	const struct vma *last = first;

	for (const struct vma *v = first + 1; v < end; v++) {
		if (!same_object(first, v))
			continue;
		if (v != last + 1 || v->start != last->end ||
			v->off != last->off + (last->end - last->start))
			return false;
		last = v;
	}
	return first->path && !strcmp(first->path, "/dev/zero") && first->kind != VMA_HUGETLB;
}

static uint64_t object_size(const struct plan *p, const struct vma *first)
{
	uint64_t size = first->file_size;

	for (const struct vma *v = first; v < p->proc->vmas + p->proc->nvmas; v++)
		if (v == first || same_object(first, v))
			size = MAX(size, v->off + (v->end - v->start));
	return (size + PAGE_LEN - 1) / PAGE_LEN * PAGE_LEN;
}

static void map_object_piece(struct plan *p, const struct vma *first)
{
	struct vma whole = *first;

	for (const struct vma *v = first; v < p->proc->vmas + p->proc->nvmas; v++)
		if (v == first || same_object(first, v))
			whole.end = v->end;
	for (const struct vma *v = first; v < p->proc->vmas + p->proc->nvmas && v->end <= whole.end;
		v++) {
		struct step *s = map_step(p, v, "shared anonymous memory");

		if (v == first)
			add_mmap(s, &whole, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
				0);
		if (!vma_is_filled(p, v))
			CALL(s, SYS_mprotect, N(v->start), N(v->end - v->start), N(v->prot));
		add_advice(s, v);
	}
}

/* An object of its own for those who map it in several places: a memfd. */
static void object_create(struct plan *p, struct step *s, const struct vma *v)
{
	const char *name = v->path ? v->path : "shared";

	if (!strncmp(name, "/memfd:", 7))
		name += 7;
	else
		plan_warn(p, "shared memory %s becomes a memfd", name);
	const uint64_t at = step_str(s, name);

	call_expect(CALL(s, SYS_memfd_create, D(at), N(MFD_ALLOW_SEALING_)), p->free_fd);
	CALL(s, SYS_ftruncate, N(p->free_fd), N(object_size(p, v)));
}

static void map_object(struct plan *p, const struct vma *first)
{
	const int backing = plan_backing_fd(p, first);
	const struct vma *const end = p->proc->vmas + p->proc->nvmas;
	struct step *s = NULL;

	for (const struct vma *v = first; v < end; v++) {
		if (v != first && !same_object(first, v))
			continue;
		s = map_step(p, v,
			backing >= 0 ? "the object behind an open descriptor" : "shared memory");
		if (v == first && backing >= 0) {
			char path[32];

			/* Opened anew: the descriptor itself may be read-only. */
			snprintf(path, sizeof(path), "/proc/self/fd/%d", backing);
			const uint64_t at = step_str(s, path);
			const bool writes = vma_has_flag(v, "mw") || vma_is_filled(p, v);

			call_expect(CALL(s, SYS_openat, N(AT_FDCWD), D(at),
					    N((writes ? O_RDWR : O_RDONLY) | O_CLOEXEC)),
				p->free_fd);
		} else if (v == first) {
			object_create(p, s, v);
		}
		add_mmap(s, v, first_prot(p, v), MAP_SHARED, p->free_fd, v->off);
		add_advice(s, v);
	}
	CALL(s, SYS_close, N(p->free_fd));
}

static bool object_done(const struct plan *p, const struct vma *v)
{
	for (const struct vma *before = p->proc->vmas; before < v; before++)
		if (is_object(before) && same_object(before, v))
			return true;
	return false;
}

void plan_maps(struct plan *p)
{
	for (size_t i = 0; i < p->proc->nvmas; i++) {
		const struct vma *v = &p->proc->vmas[i];

		if (v->kind == VMA_SPECIAL)
			plan_warn(p,
				"mapping %s is of a kind this version does not know: not restored",
				vma_name(v));
		if (vma_is_kernels(v))
			continue;
		if (vma_is_file(v)) {
			map_file(p, v);
		} else if (!v->shared) {
			if (v->path && v->path[0] == '/' && v->kind != VMA_HUGETLB)
				plan_warn(p,
					"mapped file %s was deleted: its pages become anonymous "
					"memory",
					v->path);
			map_anon(p, v);
		} else if (!object_done(p, v)) {
			if (object_in_one_piece(p, v))
				map_object_piece(p, v);
			else
				map_object(p, v);
		}
	}
}

/* ---- content ---- */

struct filler {
	const struct plan *p;
	struct step *s;
	uint64_t start, end; /* collected and not added yet */
};

static void filler_flush(struct filler *f)
{
	while (f->start < f->end) {
		uint64_t off;
		const uint64_t room = image_locate(f->p->im, f->start, &off);
		const uint64_t len = MIN(MIN(f->end - f->start, FILL_PIECE), room);

		if (!len)
			break;
		call_expect(CALL(f->s, SYS_pread64, N(f->p->high_fd + HIGH_IMAGE), N(f->start),
				    N(len), N(off)),
			(int64_t)len);
		f->start += len;
	}
}

/* [start, end) is stored. Over anonymous memory zero pages are there already; over a file they must
 * be written. */
static void filler_add(struct filler *f, uint64_t start, uint64_t end, bool skip_zero)
{
	for (uint64_t addr = start; addr < end; addr += PAGE_LEN) {
		uint64_t sum;

		if (skip_zero && image_page_sum(f->p->im, addr, &sum) && !sum)
			continue;
		if (addr - f->end > FILL_JOIN * PAGE_LEN) {
			filler_flush(f);
			f->start = addr;
		}
		f->end = addr + PAGE_LEN;
	}
}

static void fill_vma(struct plan *p, const struct vma *v)
{
	const bool over_file = !v->shared && vma_is_file(v);
	struct ranges stored = {0};
	char where[64], size[32];

	ranges_clip(image_stored(p->im), v->start, v->end, &stored);
	if (v->header)
		ranges_cut(&stored, v->start, v->start + PAGE_LEN);
	vma_where(v, where);
	snprintf(size, sizeof(size), "%llu KiB", (unsigned long long)(ranges_total(&stored) >> 10));
	struct filler f = {.p = p};

	f.s = plan_step(p, STEP_FILL, p->proc->pid, (int)(v - p->proc->vmas),
		"the pages as they were", "fill %s %s with %s", where, vma_name(v), size);
	for (size_t i = 0; i < stored.n; i++) {
		f.start = f.end = stored.r[i].start;
		filler_add(&f, stored.r[i].start, stored.r[i].end, !over_file);
		filler_flush(&f);
	}
	if (v->prot != first_prot(p, v))
		CALL(f.s, SYS_mprotect, N(v->start), N(v->end - v->start), N(v->prot));
	ranges_deinit(&stored);
}

void plan_fills(struct plan *p)
{
	for (size_t i = 0; i < p->proc->nvmas; i++)
		if (vma_is_filled(p, &p->proc->vmas[i]))
			fill_vma(p, &p->proc->vmas[i]);
}
