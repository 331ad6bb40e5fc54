/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Engine `uffd`, serving: what each stop of a traced thread obliges us to. Writes are the pager's; here are the calls that
 * take memory away, and threads that die. A thread about to do what takes all memory away, or past us, is held, and the
 * window is brought to its end at once.
 */
#include "capture/uffd.h"

#include <sys/syscall.h>
#include "base/clock.h"

/* mremap(2) wants its mapping in one piece, and one that came beside it would have become one with it but for us. */
static struct range whole_mapping(const struct capture *c, uint64_t start, uint64_t end)
{
	const struct vma *before = proc_vma(c->proc, start - PAGE_LEN), *behind = proc_vma(c->proc, end);
	return (struct range){before ? before->start : start, behind ? behind->end : end};
}

/* The program is about to change what is mapped there. */
static int give_up(struct capture *c, int64_t nr, uint64_t start, uint64_t end, struct err *e)
{
	struct uffd *u = c->uffd;
	struct ranges rest = {0};
	int ret = 0;
	start &= ~(PAGE_LEN - 1);
	end = (end + PAGE_LEN - 1) & ~(PAGE_LEN - 1);
	if (nr == SYS_mremap) {
		const struct range whole = whole_mapping(c, start, end);
		start = whole.start;
		end = whole.end;
	}
	ranges_add(&rest, start, end);
	/* Protection against writing stays what it is when only the permissions change. */
	if (nr == SYS_mprotect || nr == SYS_pkey_mprotect)
		ranges_cut_all(&rest, &u->armed);
	for (size_t i = 0; i < rest.n && ret == 0; i++) {
		if (c->after_stop) {
			ret = copy_now(c, rest.r[i].start, rest.r[i].end, COPY_SYSCALL, e);
		} else {
			ranges_add(&u->gone, rest.r[i].start, rest.r[i].end);
			ranges_cut(&u->scanned, rest.r[i].start, rest.r[i].end);
			ranges_cut(&u->armed, rest.r[i].start, rest.r[i].end);
			if (nr != SYS_mremap)
				pager_forget(&u->pager, rest.r[i].start, rest.r[i].end);
		}
	}
	ranges_deinit(&rest);
	if (ret == 0 && nr == SYS_mremap)
		pager_drop(&u->pager, start, end);
	return ret;
}

static size_t read_tracee(void *ctx, uint64_t addr, void *out, size_t len)
{
	return tracee_read(ctx, addr, out, len);
}

static int serve_mappings(struct capture *c, int64_t nr, const struct ranges *mm, struct err *e)
{
	/* No range: pages of mapped files may go (truncate, hole punching), private copies of them included. */
	for (size_t i = 0; mm->n == 0 && c->after_stop && i < c->proc->nvmas; i++) {
		const struct vma *v = &c->proc->vmas[i];
		if (v->kind == VMA_FILE && copy_now(c, v->start, v->end, COPY_SYSCALL, e) < 0)
			return -1;
	}
	for (size_t i = 0; i < mm->n; i++) {
		uint64_t end = mm->r[i].end;
		if (end > UINT64_MAX - 2 * PAGE_LEN)
			end = layout_heap_end(c, mm->r[i].start);
		if (end > mm->r[i].start && give_up(c, nr, mm->r[i].start, end, e) < 0)
			return -1;
	}
	return 0;
}

/* A thread names where the kernel is to write when it ends: that page stays open from now on. */
static int never_protect(struct capture *c, const struct ranges *writes, struct err *e)
{
	struct uffd *u = c->uffd;
	for (size_t i = 0; i < writes->n; i++) {
		const uint64_t start = writes->r[i].start & ~(PAGE_LEN - 1);
		const uint64_t end = (writes->r[i].end + PAGE_LEN - 1) & ~(PAGE_LEN - 1);
		if (pager_open(&u->pager, start, end, e) < 0)
			return -1;
		ranges_add(&u->never, start, end);
		if (!c->after_stop) {
			ranges_cut(&u->armed, start, end);
			ranges_cut(&u->scanned, start, end);
		}
	}
	return 0;
}

/* Held until the window is over: what it is about to do takes memory away as a whole, or past us. */
static bool ends_window(const struct capture *c, unsigned what)
{
	return c->after_stop && (what & (SYS_SHARE | SYS_EXEC | SYS_EXIT | SYS_CLOSE_WINDOW | SYS_UNKNOWN | SYS_ASYNC));
}

static int serve_entry(struct capture *c, struct task *k, struct err *e)
{
	const arch_regs *r = task_regs(k);
	if (!r)
		return 0;
	uint64_t args[6];
	struct ranges writes = {0}, mm = {0};
	const int64_t nr = arch->syscall_nr(r);
	arch->syscall_args(r, args);
	const unsigned what = arch->syscall_effect(nr, args, read_tracee, &c->t, &writes, &mm);
	const bool hold = ends_window(c, what) && (nr != SYS_exit || tracee_last_thread(&c->t, k));
	int ret = 0;
	if ((what & SYS_THREAD) || nr == SYS_set_tid_address)
		ret = never_protect(c, &writes, e);
	ranges_deinit(&writes);
	if (ret == 0 && !hold && (what & SYS_MM))
		ret = serve_mappings(c, nr, &mm, e);
	ranges_deinit(&mm);
	if (!c->after_stop && (what & (SYS_UNKNOWN | SYS_CLOSE_WINDOW)))
		c->uffd->unknown = true;
	if (ret < 0)
		return -1;
	if (hold) {
		c->finish_now = true;
		return 0;
	}
	if (c->after_stop)
		capture_event(c, EV_STALL, k->tid, 0, 0, now_ns() - k->stopped_ns, STALL_SYSCALL);
	task_run(&c->t, k, RUN_SYSCALL, 0);
	return 0;
}

/* A dying thread's writes (clear_child_tid, robust futexes) do not wait for a pager, they fail: the pages are opened
 * before. The last thread to die takes the memory with it: it waits. */
static int serve_exit(struct capture *c, struct task *k, struct err *e)
{
	struct ranges last_words = {0};
	if (c->after_stop && tracee_last_thread(&c->t, k)) {
		c->finish_now = true;
		return 0;
	}
	layout_thread_exit(c, k->tid, &last_words);
	const int ret = never_protect(c, &last_words, e);
	ranges_deinit(&last_words);
	if (ret == 0)
		task_run(&c->t, k, RUN_SYSCALL, 0);
	return ret;
}

int uffd_serve(struct capture *c, struct task *k, struct err *e)
{
	if (!k->stopped)
		return 0;
	collect_note(c, k);
	if (c->uffd && k->stop.kind == STOP_ENTRY)
		return serve_entry(c, k, e);
	if (c->uffd && k->stop.kind == STOP_EXITING && !k->child)
		return serve_exit(c, k, e);
	if (k->stop.kind != STOP_GONE && k->stop.kind != STOP_BATCH)
		task_run(&c->t, k, RUN_SYSCALL, k->stop.kind == STOP_SIGNAL ? k->stop.sig : 0);
	return 0;
}
