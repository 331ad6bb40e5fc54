/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The scratch mapping: where it goes, how it is laid out, made and removed. See remote.h.
 *
 *	addr             code (one page: the stub)
 *	dead             struct inject_dead (one page)
 *	table[0], [1]    the dead-man's table, twice: one is in force while the other is written
 *	agent_slot       the agent's slot, REMOTE_MAX calls, its stack
 *	work             our own arguments: siginfo, results of collecting
 *	arena            slots of the batches under way
 *	data             the caller's
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/buf.h"
#include "trace/internal.h"

enum {
	TABLE_SLACK = 1024, /* for ranges that are split */
	AGENT_STACK = 16384,
	WORK_LEN = 8192,
	WORK_PER_TASK = 64,
	ARENA_PER_TASK = 1024,
	ARENA_TASKS_MAX = 512,
};

static uint64_t page_up(uint64_t v)
{
	return (v + PAGE_LEN - 1) & ~(PAGE_LEN - 1);
}

static uint64_t carve(uint64_t *next, uint64_t len)
{
	const uint64_t at = *next;
	*next += page_up(len);
	return at;
}

void scratch_layout(
	struct scratch *s, uint64_t addr, size_t ntasks, size_t max_ranges, size_t data_len)
{
	uint64_t next = addr;
	s->addr = addr;
	s->max_ranges = max_ranges + TABLE_SLACK;
	carve(&next, PAGE_LEN);
	s->dead = carve(&next, PAGE_LEN);
	for (int i = 0; i < 2; i++)
		s->table[i] = carve(&next, (s->max_ranges + 1) * sizeof(struct deadman_range));
	s->agent_slot = carve(&next,
		sizeof(struct inject_slot) + REMOTE_MAX * sizeof(struct remote_call) + AGENT_STACK);
	s->work_len = page_up(MAX((uint64_t)WORK_LEN, (uint64_t)(ntasks + 64) * WORK_PER_TASK));
	s->work = carve(&next, s->work_len);
	s->arena_len =
		page_up(sizeof(struct inject_slot) + REMOTE_MAX * sizeof(struct remote_call) +
			MIN(ntasks + 8, (size_t)ARENA_TASKS_MAX) * ARENA_PER_TASK);
	s->arena = carve(&next, s->arena_len);
	s->data_len = page_up(data_len);
	s->data = carve(&next, data_len);
	s->len = next - addr;
}

/* A signal that does nothing in this process and that no handler awaits. */
int pick_signal(int pid)
{
	static const int harmless[] = {SIGURG, SIGWINCH, SIGCHLD};
	uint64_t caught = 0, ignored = 0;
	status_field(pid, pid, "SigCgt:", true, &caught);
	status_field(pid, pid, "SigIgn:", true, &ignored);
	for (size_t i = 0; i < ARRAY_LEN(harmless); i++)
		if (!(caught & SIG_BIT(harmless[i])))
			return harmless[i];
	for (int n = 1; n <= NSIGNALS; n++)
		if ((ignored & SIG_BIT(n)) && n != SIGCONT && n != SIGSEGV && n != SIGTRAP &&
			n != 32 && n != 33)
			return n;
	return SIGURG;
}

/* An address range of len with room on both sides, so that no neighbour merges with it: the highest
 * one. That is above the mmap area and so stays clear of the program's own mappings, of its heap,
 * and of its stack. */
static uint64_t find_gap(int pid, uint64_t len)
{
	enum { MARGIN = 16 };
	char path[64];
	cleanup_buf struct buf b = {0};
	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	if (file_read(AT_FDCWD, path, &b))
		return 0;
	buf_add(&b, "", 1);
	uint64_t prev_end = 0, best = 0;
	for (char *line = (char *)b.data; line && *line;
		line = strchr(line, '\n'), line += line ? 1 : 0) {
		char *end;
		const uint64_t start = strtoull(line, &end, 16);
		const uint64_t stop = *end == '-' ? strtoull(end + 1, NULL, 16) : 0;
		if (!stop || start >> 47)
			break;
		/* Below the stack it keeps as far away as it can. */
		if (prev_end && start > prev_end && start - prev_end >= len + 4 * MARGIN * PAGE_LEN)
			best = prev_end + MARGIN * PAGE_LEN;
		prev_end = stop;
	}
	return best;
}

static int fill(struct tracee *t, struct scratch *s, struct err *e)
{
	const size_t stub_len = (size_t)(inj->stub_end - inj->stub);
	const struct inject_dead dead = {0};
	if (tracee_write(t, s->addr, inj->stub, stub_len) != stub_len ||
		tracee_write(t, s->dead, &dead, sizeof(dead)) != sizeof(dead))
		return err_set(
			e, EXIT_CAPTURE, "write into the scratch mapping of process %d", t->pid);
	return 0;
}

uint64_t scratch_room(const struct tracee *t, size_t max_ranges, size_t data_len)
{
	struct scratch s = {0};
	scratch_layout(&s, 0, t->ntasks, max_ranges, data_len);
	return s.len;
}

/* Everything of a scratch mapping at `at` but the mapping itself. */
static struct scratch *plan_scratch(
	struct tracee *t, uint64_t at, size_t max_ranges, size_t data_len, struct err *e)
{
	struct scratch *s = xcalloc(1, sizeof(*s));
	scratch_layout(s, at, t->ntasks, max_ranges, data_len);
	s->sig = pick_signal(t->pid);
	const uint64_t len = s->len;
	if (at && guard_start(t, e) == 0) {
		t->ledger->plan = *s;
		return s;
	}
	free(s);
	if (!at)
		err_set(e, EXIT_CAPTURE, "process %d: no room for %llu bytes of address space",
			t->pid, (unsigned long long)len);
	return NULL;
}

/* Makes the mapping that t->scratch plans; on failure the plan is gone. */
static int map_scratch(struct tracee *t, struct task *k, struct err *e)
{
	struct scratch *s = t->scratch;
	const uint64_t at = s->addr;
	const uint64_t args[6] = {
		at,
		s->len,
		PROT_READ | PROT_WRITE | PROT_EXEC,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE,
		(uint64_t)-1,
		0,
	};
	const int64_t r = remote_bare(t, k, SYS_mmap, args);
	if (r != (int64_t)at) {
		scratch_forget(t);
		return r == -ESRCH ? err_set(e, 0, "thread %d has ended", k->tid)
				   : err_set(e, EXIT_CAPTURE, "process %d: map scratch memory: %s",
					     t->pid, strerror((int)-r));
	}
	if (fill(t, s, e)) {
		scratch_close(t, k, &(struct err){0});
		return -1;
	}
	return 0;
}

int scratch_prepare(struct tracee *t, size_t max_ranges, size_t data_len, struct err *e)
{
	gadgets_find(t);
	const uint64_t at = find_gap(t->pid, scratch_room(t, max_ranges, data_len));
	t->prepared = plan_scratch(t, at, max_ranges, data_len, e);
	return t->prepared ? 0 : -1;
}

int scratch_open(
	struct tracee *t, struct task *k, size_t max_ranges, size_t data_len, struct err *e)
{
	if (t->prepared) {
		t->scratch = t->prepared;
		t->prepared = NULL;
		if (map_scratch(t, k, e) == 0)
			return 0;
		/* Its place was taken meanwhile, perhaps: look again. */
	}
	const uint64_t at = find_gap(t->pid, scratch_room(t, max_ranges, data_len));
	return scratch_open_at(t, k, at, max_ranges, data_len, e);
}

int scratch_open_at(struct tracee *t, struct task *k, uint64_t at, size_t max_ranges,
	size_t data_len, struct err *e)
{
	t->scratch = plan_scratch(t, at, max_ranges, data_len, e);
	return t->scratch ? map_scratch(t, k, e) : -1;
}

int scratch_close(struct tracee *t, struct task *k, struct err *e)
{
	if (!t->scratch)
		return 0;
	/* The process is ending, and takes it along. */
	if (!k) {
		scratch_forget(t);
		return 0;
	}
	const uint64_t args[6] = {t->scratch->addr, t->scratch->len};
	const int64_t r = remote_bare(t, k, SYS_munmap, args);
	if (r == -ESRCH) {
		/* Killed, it has left the stop we know of, and comes to its last one. */
		if (k->stop.kind != STOP_EXITING)
			k->stopped = false;
		return err_set(e, 0, "thread %d has ended", k->tid);
	}
	scratch_forget(t);
	return r ? err_set(e, EXIT_CAPTURE, "unmap scratch memory: %s", strerror((int)-r)) : 0;
}

void scratch_forget(struct tracee *t)
{
	struct scratch *s = t->scratch ? t->scratch : t->prepared;
	if (!s)
		return;
	if (t->ledger)
		t->ledger->plan.addr = 0;
	free(s->ranges);
	free(s);
	t->scratch = t->prepared = NULL;
}

uint64_t scratch_addr(const struct tracee *t)
{
	return t->scratch ? t->scratch->addr : 0;
}

uint64_t scratch_len(const struct tracee *t)
{
	return t->scratch ? t->scratch->len : 0;
}

uint64_t scratch_data(const struct tracee *t)
{
	return t->scratch ? t->scratch->data : 0;
}

uint64_t scratch_data_len(const struct tracee *t)
{
	return t->scratch ? t->scratch->data_len : 0;
}
