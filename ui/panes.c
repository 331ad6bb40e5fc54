/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The panes of the process view, one row of a table each. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/arch.h"
#include "base/text.h"
#include "ui/figures.h"
#include "ui/process.h"

#define SIZE(n) text_size((char[32]){0}, 32, (n))

/* ---- threads ---- */

static size_t count_threads(const struct process_view *pv)
{
	return pv->src->proc->nthreads;
}

static void head_threads(const struct process_view *pv, struct buf *out)
{
	if (pv->live)
		buf_printf(
			out, "%7s S %5s %9s %-15s %s", "TID", "CPU%", "TIME", "NAME", "WAITS IN");
	else
		buf_printf(out, "%7s S %-15s %-14s %s", "TID", "NAME", "PC", "SP");
}

static void add_live_thread(const struct process_view *pv, const struct thread *t, struct buf *out)
{
	const struct cpu_sample *const c = sample_find(&pv->sample, t->tid);
	const uint64_t cs = c ? c->used_ns / 10000000 : 0;
	const unsigned permille = c ? c->permille : 0;

	buf_printf(out, "%s%3u.%u " M_NORMAL "%3llu:%02llu.%02llu ", permille >= 500 ? M_BOLD : "",
		permille / 10, permille % 10, (unsigned long long)(cs / 6000),
		(unsigned long long)(cs / 100 % 60), (unsigned long long)(cs % 100));
	text_cell(out, 15, text_safe(t->comm));
	buf_printf(out, " %s", t->wchan && strcmp(t->wchan, "0") != 0 ? text_safe(t->wchan) : "");
}

static void add_stopped_thread(const struct thread *t, struct buf *out)
{
	const arch_regs *const r =
		t->regs.len == sizeof(*r) ? (const arch_regs *)t->regs.data : NULL;

	text_cell(out, 15, text_safe(t->comm));
	if (r)
		buf_printf(out, " %-14llx %llx", (unsigned long long)arch->pc(r),
			(unsigned long long)arch->sp(r));
}

static void row_thread(const void *ctx, size_t i, int width, struct buf *out)
{
	const struct process_view *const pv = ctx;
	const struct thread *const t = &pv->src->proc->threads[i];

	(void)width;
	buf_printf(out, "%7d %s%c" M_NORMAL " ", t->tid,
		t->state == 'R'   ? M_GOOD
		: t->state == 'D' ? M_BAD
				  : "",
		t->state > ' ' && t->state < 127 ? t->state : '?');
	if (pv->live)
		add_live_thread(pv, t, out);
	else
		add_stopped_thread(t, out);
}

/* ---- mappings ---- */

static size_t count_maps(const struct process_view *pv)
{
	return pv->src->proc->nvmas;
}

static void head_maps(const struct process_view *pv, struct buf *out)
{
	buf_printf(out, "%-12s %-4s %-8s %9s %9s %s", "START", "PROT", "KIND", "SIZE",
		pv->live ? "RESIDENT" : "STORED", "NAME");
}

static void row_map(const void *ctx, size_t i, int width, struct buf *out)
{
	const struct process_view *const pv = ctx;
	const struct vma *const v = &pv->src->proc->vmas[i];
	char prot[5];

	(void)width;
	buf_printf(out, "%012llx %s %-8.8s %9s %9s %s%s", (unsigned long long)v->start,
		vma_prot_text(v, prot), vma_kind_name(v->kind), SIZE(v->end - v->start),
		SIZE(pv->live ? v->rss : v->stored), v->path ? text_safe(v->path) : "",
		v->deleted ? " (deleted)" : "");
}

/* ---- descriptors ---- */

static size_t count_fds(const struct process_view *pv)
{
	return pv->src->proc->nfds;
}

static void head_fds(const struct process_view *pv, struct buf *out)
{
	(void)pv;
	buf_printf(out, "%4s %-10s %-3s %10s %s", "FD", "KIND", "ACC", "POSITION", "WHAT");
}

static void row_fd(const void *ctx, size_t i, int width, struct buf *out)
{
	const struct process_view *const pv = ctx;
	const struct fdesc *const f = &pv->src->proc->fds[i];
	static const char *const access_names[] = {"r", "w", "rw", "-"};

	(void)width;
	buf_printf(out, "%4d %-10s %-3s %10lld %s%s", f->fd, fd_kind_name(f->kind),
		access_names[f->flags & 3], (long long)f->pos, f->path ? text_safe(f->path) : "",
		f->deleted ? " (deleted)" : "");
}

/* ---- signals ---- */

static size_t count_signals(const struct process_view *pv)
{
	return pv->nsignals;
}

static void head_signals(const struct process_view *pv, struct buf *out)
{
	buf_printf(out, "%3s %-8s %-18s %7s %7s", "NR", "NAME",
		pv->src->proc->acts_known ? "ACTION" : "ACTION (images)", "BLOCKED", "PENDING");
}

static size_t blocked_by(const struct proc *p, int nr)
{
	size_t n = 0;

	for (size_t i = 0; i < p->nthreads; i++)
		n += p->threads[i].sigmask >> (nr - 1) & 1;
	return n;
}

/* si_signo is the first field of a siginfo, 32 bits. */
static size_t pending_of(const struct siginfo_raw *s, size_t n, int nr)
{
	size_t hits = 0;

	for (size_t i = 0; i < n; i++) {
		int32_t signo;

		memcpy(&signo, s[i].bytes, sizeof(signo));
		hits += signo == nr;
	}
	return hits;
}

static size_t pending_all(const struct proc *p, int nr)
{
	size_t n = pending_of(p->pending, p->npending, nr);

	for (size_t i = 0; i < p->nthreads; i++)
		n += pending_of(p->threads[i].pending, p->threads[i].npending, nr);
	return n;
}

static void row_signal(const void *ctx, size_t i, int width, struct buf *out)
{
	const struct process_view *const pv = ctx;
	const struct proc *const p = pv->src->proc;
	const int nr = pv->signals[i];
	const uint64_t handler = p->acts[nr - 1].handler;
	char action[32], name[16];

	(void)width;
	if (!p->acts_known)
		snprintf(action, sizeof(action), "not known");
	else if (handler <= 1)
		snprintf(action, sizeof(action), handler ? "ignored" : "default");
	else
		snprintf(action, sizeof(action), "%llx", (unsigned long long)handler);
	if (nr >= 32)
		snprintf(name, sizeof(name), "RT%d", nr);
	else
		snprintf(name, sizeof(name), "%s", sigabbrev_np(nr) ? sigabbrev_np(nr) : "?");
	buf_printf(out, "%3d %-8s %-18s %7zu %7zu", nr, name, action, blocked_by(p, nr),
		pending_all(p, nr));
}

static void choose_signals(struct process_view *pv)
{
	const struct proc *const p = pv->src->proc;

	pv->nsignals = 0;
	for (int nr = 1; nr <= NSIGNALS; nr++)
		if ((p->acts_known && p->acts[nr - 1].handler) || blocked_by(p, nr) ||
			pending_all(p, nr))
			pv->signals[pv->nsignals++] = nr;
}

/* ---- checkpoints taken, or how this image was made ---- */

static size_t count_shots(const struct process_view *pv)
{
	return pv->app->nshots;
}

static void head_shots(const struct process_view *pv, struct buf *out)
{
	(void)pv;
	figures_shot_head(out);
}

static void row_shot(const void *ctx, size_t i, int width, struct buf *out)
{
	(void)width;
	figures_shot_row(((const struct process_view *)ctx)->app->shots[i], out);
}

static size_t count_how(const struct process_view *pv)
{
	return pv->nhow;
}

static void head_how(const struct process_view *pv, struct buf *out)
{
	(void)pv;
	buf_add_str(out, "HOW IT WENT");
}

static void row_how(const void *ctx, size_t i, int width, struct buf *out)
{
	(void)width;
	buf_add_str(out, ((const struct process_view *)ctx)->how[i]);
}

static void put_how(struct process_view *pv)
{
	struct buf b = {0};

	how_lines(pv->src->proc, &b);
	char *const text = buf_steal_str(&b);

	for (char *at = text, *next; *at; at = next) {
		next = strchr(at, '\n');
		*next++ = 0;
		*array_push(&pv->how, &pv->nhow) = xstrdup(at);
	}
	free(text);
}

/* ---- the table ---- */

static const struct pane panes[NPANES] = {
	[PANE_THREADS] = {"Threads", count_threads, head_threads, row_thread, detail_thread},
	[PANE_MAPS] = {"Mappings", count_maps, head_maps, row_map, detail_vma},
	[PANE_FDS] = {"Files", count_fds, head_fds, row_fd, detail_fd},
	[PANE_SIGNALS] = {"Signals", count_signals, head_signals, row_signal, NULL},
	[PANE_HOW] = {"How", count_how, head_how, row_how, NULL},
};
static const struct pane shots_pane = {"Taken", count_shots, head_shots, row_shot, NULL};

const struct pane *pane_of(const struct process_view *pv, int i)
{
	return pv->live && i == PANE_HOW ? &shots_pane : &panes[i];
}

void panes_update(struct process_view *pv)
{
	choose_signals(pv);
	if (!pv->live && !pv->how)
		put_how(pv);
}

void panes_deinit(struct process_view *pv)
{
	for (size_t i = 0; i < pv->nhow; i++)
		free(pv->how[i]);
	free(pv->how);
}
