/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The dead-man's table: what our death must undo. It exists twice in the scratch mapping; the
 * header points at the one in force, so that at every instant a whole table is.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include "base/buf.h"
#include "trace/internal.h"

enum { SA_RESTORER_BIT = 0x04000000 };

static int broken(struct tracee *t, struct err *e)
{
	return err_set(e, EXIT_CAPTURE, "write into the scratch mapping of process %d", t->pid);
}

/* Writes the table that is not in force and makes it the one that is. */
static int publish(struct tracee *t, struct err *e)
{
	struct scratch *s = t->scratch;
	const int next = !s->table_now;
	const struct deadman_range head = {.addr = s->nranges};
	const size_t len = s->nranges * sizeof(*s->ranges);
	if (tracee_write(t, s->table[next] + sizeof(head), s->ranges, len) != len ||
		tracee_write(t, s->table[next], &head, sizeof(head)) != sizeof(head) ||
		tracee_write(
			t, s->dead + offsetof(struct inject_dead, table), &s->table[next], 8) != 8)
		return broken(t, e);
	s->table_now = next;
	return 0;
}

int deadman_set(struct tracee *t, const struct deadman_range *r, size_t n, struct err *e)
{
	struct scratch *s = t->scratch;
	if (!s || n > s->max_ranges)
		return err_set(
			e, EXIT_CAPTURE, "process %d: too many protected ranges (%zu)", t->pid, n);
	s->ranges = xrealloc(s->ranges, (s->max_ranges + 1) * sizeof(*r));
	memcpy(s->ranges, r, n * sizeof(*r));
	s->nranges = n;
	return publish(t, e);
}

/* Changes one entry in place: shrinking is safe at every instant (the length first where the start
 * moves would not be). */
static int rewrite(struct tracee *t, size_t i, struct err *e)
{
	const struct scratch *s = t->scratch;
	const uint64_t at = s->table[s->table_now] + (i + 1) * sizeof(*s->ranges);
	return tracee_write(t, at, &s->ranges[i], 16) == 16 ? 0 : broken(t, e);
}

static int split(struct tracee *t, size_t i, uint64_t start, uint64_t end, struct err *e)
{
	struct scratch *s = t->scratch;
	struct deadman_range *r = &s->ranges[i];
	if (s->nranges >= s->max_ranges)
		return err_set(e, EXIT_CAPTURE, "process %d: too many protected ranges", t->pid);
	memmove(r + 1, r, (s->nranges - i) * sizeof(*r));
	s->nranges++;
	const uint64_t stop = r->addr + r->len;
	r[0].len = start - r->addr;
	r[1].addr = end;
	r[1].len = stop - end;
	return publish(t, e);
}

static int cut_one(struct tracee *t, size_t i, uint64_t start, uint64_t end, struct err *e)
{
	struct deadman_range *r = &t->scratch->ranges[i];
	const uint64_t stop = r->addr + r->len;
	if (!r->len || start >= stop || end <= r->addr)
		return 0;
	if (start > r->addr && end < stop)
		return split(t, i, start, end, e);
	if (start <= r->addr && end >= stop) {
		r->len = 0;
	} else if (start <= r->addr) {
		r->addr = end;
		r->len = stop - end;
	} else {
		r->len = start - r->addr;
	}
	return rewrite(t, i, e);
}

int deadman_cut(struct tracee *t, uint64_t start, uint64_t end, struct err *e)
{
	struct scratch *s = t->scratch;
	if (!s)
		return 0;
	/* The first entry that can reach beyond start: they are sorted, empty ones keep their
	 * place. */
	size_t lo = 0, hi = s->nranges;
	while (lo < hi) {
		const size_t mid = (lo + hi) / 2;
		if (s->ranges[mid].addr + s->ranges[mid].len <= start)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (size_t i = lo; i < s->nranges && s->ranges[i].addr < end; i++)
		if (cut_one(t, i, start, end, e))
			return -1;
	return 0;
}

static int sigaction_call(
	struct tracee *t, const struct sigact *set, struct sigact *old, struct err *e)
{
	const uint64_t at = t->scratch->work;
	struct remote_call c = {
		SYS_rt_sigaction,
		{SIGSEGV, set ? at : 0, old ? at + sizeof(*set) : 0, 8},
		-ESRCH,
	};
	if (set && tracee_write(t, at, set, sizeof(*set)) != sizeof(*set))
		return broken(t, e);
	if (agent_batch(t, &c, 1, e))
		return -1;
	if (c.ret)
		return err_set(e, EXIT_CAPTURE, "set the SIGSEGV action of process %d: %s", t->pid,
			strerror((int)-c.ret));
	if (old && tracee_read(t, at + sizeof(*set), old, sizeof(*old)) != sizeof(*old))
		return err_set(e, EXIT_CAPTURE, "read the SIGSEGV action of process %d", t->pid);
	return 0;
}

static struct sigact our_action(const struct tracee *t)
{
	return (struct sigact){
		.handler = t->scratch->addr + (uint64_t)(inj->at_handler - inj->stub),
		.restorer = t->scratch->addr + (uint64_t)(inj->at_restorer - inj->stub),
		.flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTART | SA_RESTORER_BIT,
	};
}

int deadman_arm(struct tracee *t, struct err *e)
{
	struct scratch *s = t->scratch;
	if (!s || s->armed)
		return s ? 0 : err_set(e, 0, "process %d: no scratch memory", t->pid);
	if (sigaction_call(t, NULL, &s->saved, e))
		return -1;
	const uint64_t dead[7] = {
		1, 0, 0, s->saved.handler, s->saved.flags, s->saved.restorer, s->saved.mask};
	if (tracee_write(t, s->dead + offsetof(struct inject_dead, armed), dead, sizeof(dead)) !=
		sizeof(dead))
		return broken(t, e);
	s->armed = true;
	return deadman_rearm(t, e);
}

int deadman_rearm(struct tracee *t, struct err *e)
{
	if (!t->scratch || !t->scratch->armed)
		return 0;
	const struct sigact ours = our_action(t);
	return sigaction_call(t, &ours, NULL, e);
}

int deadman_disarm(struct tracee *t, struct err *e)
{
	struct scratch *s = t->scratch;
	if (!s || !s->armed)
		return 0;
	if (sigaction_call(t, &s->saved, NULL, e))
		return -1;
	const uint64_t armed = 0;
	if (tracee_write(t, s->dead + offsetof(struct inject_dead, armed), &armed, 8) != 8)
		return broken(t, e);
	s->armed = false;
	return 0;
}

struct sigact deadman_saved(const struct tracee *t)
{
	return t->scratch ? t->scratch->saved : (struct sigact){0};
}
