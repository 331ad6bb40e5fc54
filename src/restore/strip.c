// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * STRIP: the child is our copy; nothing of ours may stay. Its rseq area goes first (the kernel
 * would kill it for an unmapped one), the scratch mapping is made where neither it nor the image
 * has anything, all else is unmapped except what the kernel made, and that is moved to where the
 * image had it.
 */
#include "restore/exec.h"

#include <fcntl.h>
#include <linux/rseq.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include "base/text.h"

#define SCRATCH_DATA (4u * PLAN_DATA_MAX)
#define LOWEST (1ull << 32) /* where we look for room: above what programs link to */
#define HIGHEST 0x7ffffffff000ull
#define GAP (64 * PAGE_LEN)

struct special {
	uint64_t start, end;
	char name[32];
};
struct child_map {
	struct ranges all;        /* everything mapped, vsyscall left out */
	struct special *specials; /* vdso and its kin */
	size_t nspecials;
};

static void child_map_deinit(struct child_map *m)
{
	ranges_deinit(&m->all);
	free(m->specials);
}

static bool is_special(const char *name)
{
	return name[0] == '[' && strcmp(name, "[heap]") && strncmp(name, "[stack", 6) &&
	       strncmp(name, "[anon", 5);
}

static int child_map_read(struct child_map *m, int pid, struct err *e)
{
	char path[32];
	cleanup_buf struct buf b = {0};

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	if (file_read(AT_FDCWD, path, &b) < 0)
		return err_sys(e, EXIT_RESTORE, "read %s", path);
	buf_add(&b, "", 1);
	for (char *line = (char *)b.data, *next; line && *line; line = next) {
		unsigned long long start, end;
		char name[32] = "";

		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		if (sscanf(line, "%llx-%llx %*s %*s %*s %*s %31s", &start, &end, name) < 2 ||
			start >= HIGHEST)
			continue;
		ranges_add(&m->all, start, end);
		if (!is_special(name))
			continue;
		struct special *sp = array_push(&m->specials, &m->nspecials);

		sp->start = start;
		sp->end = end;
		snprintf(sp->name, sizeof(sp->name), "%s", name);
	}
	return 0;
}

/* Room of len bytes where neither the child nor the image has anything; 0: none. */
static uint64_t find_room(const struct runner *r, const struct child_map *m, uint64_t len)
{
	struct ranges taken = {0};
	uint64_t at = LOWEST, found = 0;

	ranges_add_all(&taken, &m->all);
	for (size_t i = 0; i < r->plan->proc->nvmas; i++)
		ranges_add(&taken, r->plan->proc->vmas[i].start, r->plan->proc->vmas[i].end);
	for (size_t i = 0; i <= taken.n && !found; i++) {
		const uint64_t end = i < taken.n ? taken.r[i].start : HIGHEST;

		if (end > at && end - at >= len + 2 * GAP)
			found = at + GAP;
		if (i < taken.n)
			at = MAX(at, taken.r[i].end);
	}
	ranges_deinit(&taken);
	return found;
}

/* ---- unmapping ---- */

/* The extended registers go back as one block: it must be the block of this CPU. */
static int check_cpu(const struct runner *r, const struct thread *own, struct err *e)
{
	for (size_t i = 0; i < r->plan->proc->nthreads; i++) {
		const size_t len = r->plan->proc->threads[i].xstate.len;

		if (len && len != own->xstate.len)
			return err_set(e, EXIT_RESTORE,
				"it was saved on another kind of CPU: %zu bytes of extended state, "
				"here %zu",
				len, own->xstate.len);
	}
	return 0;
}

static int drop_own_state(struct runner *r, struct err *e)
{
	struct proc *p = proc_new();
	struct thread th = {.tid = r->pid};
	int rc = task_collect(r->who, &th, p, false, e);

	if (rc == 0)
		rc = check_cpu(r, &th, e);
	if (rc == 0 && th.rseq.addr) {
		const int64_t ret = exec_one(r, SYS_rseq, th.rseq.addr, th.rseq.len,
			RSEQ_FLAG_UNREGISTER, th.rseq.sig, 0);

		if (ret < 0)
			rc = err_set(e, EXIT_RESTORE, "take away its rseq area: %s",
				strerror((int)-ret));
	}
	/* Looked at when the thread ends: an empty head that is not there does no harm. */
	exec_one(r, SYS_set_robust_list, 0, 24, 0, 0, 0);
	thread_deinit(&th);
	proc_free(p);
	return rc;
}

static int unmap_range(struct runner *r, uint64_t start, uint64_t end, struct err *e)
{
	const int64_t ret = start < end ? exec_one(r, SYS_munmap, start, end - start, 0, 0, 0) : 0;

	return ret < 0 ? err_set(e, EXIT_RESTORE, "unmap 0x%llx-0x%llx of ours: %s",
				 (unsigned long long)start, (unsigned long long)end,
				 strerror((int)-ret))
		       : 0;
}

static int unmap_own(struct runner *r, const struct child_map *m, struct err *e)
{
	struct ranges go = {0};
	int rc = 0;

	ranges_add_all(&go, &m->all);
	for (size_t i = 0; i < m->nspecials; i++)
		ranges_cut(&go, m->specials[i].start, m->specials[i].end);
	ranges_cut(&go, scratch_addr(&r->t), scratch_addr(&r->t) + scratch_len(&r->t));
	for (size_t i = 0; i < go.n && rc == 0; i++)
		rc = unmap_range(r, go.r[i].start, go.r[i].end, e);
	ranges_deinit(&go);
	return rc;
}

/* ---- the vdso ---- */

static const struct vma *wanted_place(const struct runner *r, const struct special *sp)
{
	const struct proc *p = r->plan->proc;

	for (size_t i = 0; i < p->nvmas; i++)
		if (vma_is_kernels(&p->vmas[i]) && !strcmp(vma_name(&p->vmas[i]), sp->name))
			return &p->vmas[i];
	return NULL;
}

static int move(struct runner *r, struct special *sp, uint64_t to)
{
	const uint64_t len = sp->end - sp->start;

	if (sp->start == to)
		return 0;
	const int64_t ret =
		exec_one(r, SYS_mremap, sp->start, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, to);

	if (ret != (int64_t)to) {
		run_warn(r, "%s stays where it is: %s", sp->name, strerror((int)-ret));
		return -1;
	}
	sp->start = to;
	sp->end = to + len;
	return 0;
}

static void warn_other_vdso(struct runner *r, const struct child_map *m)
{
	struct utsname u;

	for (size_t i = 0; i < m->nspecials; i++) {
		const struct vma *v = wanted_place(r, &m->specials[i]);

		if (!v)
			run_warn(r, "the image has no %s: ours stays", m->specials[i].name);
		else if (v->end - v->start != m->specials[i].end - m->specials[i].start)
			run_warn(r, "%s has another size than in the image: it stays where it is",
				m->specials[i].name);
	}
	if (r->plan->proc->kernel && uname(&u) == 0 && strcmp(u.release, r->plan->proc->kernel))
		run_warn(r, "the image is of kernel %s: calls into the vdso may fail",
			text_safe(r->plan->proc->kernel));
}

/* All of them aside first, so that none is in another's way; aside: room for all. */
static void move_specials(struct runner *r, struct child_map *m, uint64_t aside)
{
	bool at_home = true;

	warn_other_vdso(r, m);
	for (size_t i = 0; i < m->nspecials; i++) {
		const struct vma *v = wanted_place(r, &m->specials[i]);

		at_home = at_home && (!v || v->start == m->specials[i].start);
	}
	for (size_t i = 0; i < m->nspecials && !at_home; i++) {
		const uint64_t len = m->specials[i].end - m->specials[i].start;

		move(r, &m->specials[i], aside);
		aside += len;
	}
	for (size_t i = 0; i < m->nspecials; i++) {
		const struct vma *v = wanted_place(r, &m->specials[i]);

		if (v && v->end - v->start == m->specials[i].end - m->specials[i].start)
			move(r, &m->specials[i], v->start);
	}
}

int strip_run(struct runner *r, const struct step *s, struct err *e)
{
	struct child_map m = {0};
	uint64_t specials = 0;
	int rc = -1;

	(void)s;
	if (child_map_read(&m, r->pid, e) < 0)
		goto out;
	for (size_t i = 0; i < m.nspecials; i++)
		specials += m.specials[i].end - m.specials[i].start;
	/* The kernel's own mappings are set aside right in front of the scratch mapping. */
	const uint64_t room = specials + GAP, need = room + scratch_room(&r->t, 0, SCRATCH_DATA);
	const uint64_t at = find_room(r, &m, need);

	if (!at) {
		err_set(e, EXIT_RESTORE, "no room for %llu bytes of address space",
			(unsigned long long)need);
		goto out;
	}
	if (scratch_open_at(&r->t, r->who, at + room, 0, SCRATCH_DATA, e) < 0)
		goto out;
	if (drop_own_state(r, e) < 0 || unmap_own(r, &m, e) < 0)
		goto out;
	move_specials(r, &m, at);
	rc = 0;
out:
	child_map_deinit(&m);
	return rc;
}
