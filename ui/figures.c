/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Wording of a checkpoint's figures. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/text.h"
#include "model/proc.h"
#include "ui/figures.h"

#define NARROW 60 /* columns below which lines are worded shorter */

/* Compound literals, so that one line can hold several times and sizes. */
struct words {
	char text[32];
};
#define TIME(ns) text_time((struct words){""}.text, sizeof(struct words), (ns))
#define SIZE(n) text_size((struct words){""}.text, sizeof(struct words), (n))

double figures_share(const struct shot *s)
{
	if (s->exit_code == EXIT_DONE)
		return 1;
	return s->stats.want ? MIN((double)s->stats.done / (double)s->stats.want, 1.0) : 0;
}

static bool is_done(const struct shot *s)
{
	return !s->running && s->exit_code == EXIT_DONE;
}

const char *figures_state(const struct shot *s)
{
	if (s->running)
		return s->cancelled ? "cancelling" : "running";
	if (is_done(s))
		return "done";
	return s->cancelled ? "cancelled" : s->exit_code < 0 ? "recording ends" : "failed";
}

/* ---- while it runs ---- */

static void add_total(const struct shot *s, int width, enum glyphs g, struct buf *out)
{
	char tail[96];
	const struct stats *const st = &s->stats;

	if (width < NARROW)
		snprintf(tail, sizeof(tail), " %3.0f %% of %s  %s", 100 * figures_share(s),
			SIZE(st->want), TIME(s->elapsed_ns));
	else
		snprintf(tail, sizeof(tail), " %3.0f %%  %s of %s  %s", 100 * figures_share(s),
			SIZE(st->done), SIZE(st->want), TIME(s->elapsed_ns));
	graph_bar(out, MAX(width - (int)strlen(tail) - 2, 8), figures_share(s), g);
	buf_printf(out, "%s\n", tail);
}

static void add_sources(const struct stats *st, int width, struct buf *out)
{
	if (width < NARROW) {
		buf_printf(out, "bg %s  faults %s (%llu)\n", SIZE(st->by[COPY_BACKGROUND]),
			SIZE(st->by[COPY_FAULT] + st->by[COPY_SYSCALL]),
			(unsigned long long)(st->npieces[COPY_FAULT] + st->npieces[COPY_SYSCALL]));
		return;
	}
	buf_printf(out, "background %s  faults %s (%llu)  calls %s  stopped %s\n",
		SIZE(st->by[COPY_BACKGROUND]), SIZE(st->by[COPY_FAULT]),
		(unsigned long long)st->npieces[COPY_FAULT], SIZE(st->by[COPY_SYSCALL]),
		SIZE(st->by[COPY_STOPPED]));
}

static void add_stop(const struct shot *s, int width, struct buf *out)
{
	const struct stats *const st = &s->stats;
	const uint64_t so_far = stats_stopped_for(st, st->begin_ns + s->elapsed_ns);

	buf_add_str(out, "stop: ");
	if (st->stop_ns && width < NARROW)
		buf_printf(out, M_STOP "%s" M_NORMAL, TIME(st->stop_ns));
	else if (st->stop_ns)
		buf_printf(out, M_STOP "%s" M_NORMAL " (%d thread%s)", TIME(st->stop_ns),
			st->threads, st->threads == 1 ? "" : "s");
	else if (so_far)
		buf_printf(out, M_STOP "stopped for %s" M_NORMAL, TIME(so_far));
	else
		buf_add_str(out, "not yet");
	buf_printf(out, "  %s: %s\n", width < NARROW ? "in all" : "disturbance",
		TIME(stats_disturbance(st)));
}

static void add_stalls(const struct stats *st, int width, struct buf *out)
{
	if (!st->stalls.n)
		buf_add_str(out, "stalls: none\n");
	else if (width < NARROW)
		buf_printf(out, "stalls: " M_STALL "%llu" M_NORMAL "  p99 %s  max %s\n",
			(unsigned long long)st->stalls.n, TIME(hist_quantile(&st->stalls, 0.99)),
			TIME(st->stalls.max_ns));
	else
		buf_printf(out, "stalls: " M_STALL "%llu" M_NORMAL "  p50 %s  p99 %s  max %s\n",
			(unsigned long long)st->stalls.n, TIME(hist_quantile(&st->stalls, 0.5)),
			TIME(hist_quantile(&st->stalls, 0.99)), TIME(st->stalls.max_ns));
}

void figures_progress(const struct shot *s, int width, enum glyphs g, struct buf *out)
{
	add_total(s, width, g, out);
	add_sources(&s->stats, width, out);
	add_stop(s, width, out);
	add_stalls(&s->stats, width, out);
}

/* ---- when it is over ---- */

static void add_plain(const struct stats *st, struct buf *out)
{
	const uint64_t plain = stats_plain_stop(st);

	if (!plain)
		return;
	if (plain <= st->stop_ns + st->stop_ns / 10)
		buf_add_str(out, "plain stop   this was one: everything copied while it stood\n");
	else
		buf_printf(out,
			"plain stop   about " M_BOLD "%s" M_NORMAL
			" it would have cost, %.0f times this stop\n",
			TIME(plain), (double)plain / (double)st->stop_ns);
}

/* The first lines: how it ended. */
static void add_outcome(const struct shot *s, struct buf *out)
{
	const struct stats *const st = &s->stats;

	if (is_done(s))
		buf_printf(out, M_GOOD "done" M_NORMAL " in %s  image %s  engine %s  %s saved\n",
			TIME(s->elapsed_ns), SIZE(st->image_len), text_safe(st->engine),
			SIZE(st->done));
	else if (s->cancelled)
		buf_printf(out,
			M_WARN "cancelled" M_NORMAL " after %s; the process runs on, no image\n",
			TIME(s->elapsed_ns));
	else if (s->exit_code < 0)
		buf_printf(out,
			M_WARN "the recording ends here" M_NORMAL ", before the checkpoint did\n");
	else
		buf_printf(out, M_BAD "failed: %s" M_NORMAL "\n",
			text_safe(st->error ? st->error : "no word why"));
}

static void add_lost(const struct stats *st, struct buf *out)
{
	if (st->dropped)
		buf_printf(out, M_WARN "! %llu records lost: sums are too small\n",
			(unsigned long long)st->dropped);
}

/* The same figures for a screen of forty columns. */
static void add_narrow(const struct shot *s, struct buf *out)
{
	const struct stats *const st = &s->stats;
	const uint64_t plain = stats_plain_stop(st);

	if (is_done(s))
		buf_printf(out, M_GOOD "done" M_NORMAL " in %s, image %s\n", TIME(s->elapsed_ns),
			SIZE(st->image_len));
	else
		add_outcome(s, out);
	buf_printf(out, "stop " M_STOP "%s" M_NORMAL "  window %s\n", TIME(st->stop_ns),
		TIME(st->window_ns));
	buf_printf(out, "stalls " M_STALL "%llu" M_NORMAL "  p50 %s  p99 %s\n",
		(unsigned long long)st->stalls.n, TIME(hist_quantile(&st->stalls, 0.5)),
		TIME(hist_quantile(&st->stalls, 0.99)));
	buf_printf(out, "max %s  disturbance %s\n", TIME(st->stalls.max_ns),
		TIME(stats_disturbance(st)));
	if (plain > st->stop_ns)
		buf_printf(out, "plain stop about %s, %.0f times\n", TIME(plain),
			(double)plain / (double)st->stop_ns);
	add_lost(st, out);
}

void figures_result(const struct shot *s, int width, struct buf *out)
{
	const struct stats *const st = &s->stats;

	if (width < NARROW) {
		add_narrow(s, out);
		return;
	}
	add_outcome(s, out);
	if (!st->stop_ns)
		return; /* it never came to a stop: nothing was held */
	buf_printf(out, "stop         " M_STOP "%s" M_NORMAL "  %d thread%s\n", TIME(st->stop_ns),
		st->threads, st->threads == 1 ? "" : "s");
	buf_add_str(out, "stalls       ");
	if (st->stalls.n)
		buf_printf(out, M_STALL "%llu" M_NORMAL "  p50 %s  p99 %s  max %s\n",
			(unsigned long long)st->stalls.n, TIME(hist_quantile(&st->stalls, 0.5)),
			TIME(hist_quantile(&st->stalls, 0.99)), TIME(st->stalls.max_ns));
	else
		buf_add_str(out, "none\n");
	buf_printf(out, "disturbance  %s  stop and stalls in all\n", TIME(stats_disturbance(st)));
	buf_printf(out, "window       %s  pages by faults %s, background %s\n", TIME(st->window_ns),
		SIZE(st->by[COPY_FAULT] + st->by[COPY_SYSCALL]), SIZE(st->by[COPY_BACKGROUND]));
	add_plain(st, out);
	add_lost(st, out);
}

/* ---- rows ---- */

static const char *prot_text(uint32_t prot, char out[4])
{
	out[0] = prot & PROT_READ ? 'r' : '-';
	out[1] = prot & PROT_WRITE ? 'w' : '-';
	out[2] = prot & PROT_EXEC ? 'x' : '-';
	out[3] = 0;
	return out;
}

void figures_mapping_head(int width, struct buf *out)
{
	if (width < NARROW) {
		buf_printf(
			out, M_HEAD "%-12s %9s %5s %s", "MAPPING", "TO SAVE", "DONE", "PROGRESS");
		return;
	}
	buf_printf(out, M_HEAD "%-12s %-3s %9s %5s %s", "START", "PRT", "TO SAVE", "DONE",
		"PROGRESS (: protected)");
}

void figures_mapping(const struct mapping_progress *m, int width, enum glyphs g, struct buf *out)
{
	char prot[4];
	const double share = m->want ? MIN((double)m->done / (double)m->want, 1.0) : 1;
	const int room = MAX(MIN((width - 34) / 2, 40), 6);

	if (width < NARROW) {
		text_cell(out, 12, m->name[0] ? text_safe(m->name) : vma_kind_name(m->kind));
		buf_printf(out, " %9s %4.0f%% ", SIZE(m->want), 100 * share);
		graph_bar(out, MAX(width - 30, 4), share, g);
		buf_add_str(out, m->armed ? M_WARN ":" : "");
		return;
	}
	buf_printf(out, "%012llx %s %9s %4.0f%% ", (unsigned long long)m->start,
		prot_text(m->prot, prot), SIZE(m->want), 100 * share);
	graph_bar(out, room, share, g);
	buf_printf(out, "%s %s %s", m->armed ? M_WARN ":" M_NORMAL : " ", vma_kind_name(m->kind),
		m->name[0] ? text_safe(m->name) : "");
}

void figures_shot_head(struct buf *out)
{
	buf_printf(out, M_HEAD "%-10s %-6s %9s %7s %9s %9s %9s  %s", "STATE", "ENGINE", "STOP",
		"STALLS", "DISTURB", "WINDOW", "SIZE", "FILE");
}

void figures_shot_row(const struct shot *s, struct buf *out)
{
	const struct stats *const st = &s->stats;

	buf_printf(out, "%s%-10s" M_NORMAL " %-6.6s %9s %7llu %9s %9s %9s  %s",
		is_done(s)   ? M_GOOD
		: s->running ? M_BOLD
			     : M_BAD,
		figures_state(s),
		st->engine[0] ? text_safe(st->engine)
		: s->engine   ? s->engine
			      : "",
		st->stop_ns ? TIME(st->stop_ns) : "-", (unsigned long long)st->stalls.n,
		TIME(stats_disturbance(st)), st->window_ns ? TIME(st->window_ns) : "-",
		SIZE(st->image_len), s->path ? text_safe(s->path) : "");
}

/* ---- plain text ---- */

static void add_hist_text(const struct hist *h, struct buf *out)
{
	if (!h->n)
		return;
	buf_add_str(out, "\nstalls by length\n");
	for (int i = 0; i < HIST_BUCKETS; i += 4) {
		uint64_t n = 0;

		for (int k = i; k < i + 4; k++)
			n += h->count[k];
		if (n)
			buf_printf(out, "  from %9s  %llu\n", TIME(hist_edge(i)),
				(unsigned long long)n);
	}
}

void figures_text(const struct shot *s, struct buf *out)
{
	cleanup_buf struct buf marked = {0};
	const struct stats *const st = &s->stats;

	const int pid = st->pid ? st->pid : s->pid;

	buf_add_str(&marked, "checkpoint");
	if (pid)
		buf_printf(&marked, " of %d", pid);
	if (s->path)
		buf_printf(
			&marked, "%s %s", s->replay ? ", recorded in" : " to", text_safe(s->path));
	buf_add_str(&marked, "\n");
	figures_result(s, 80, &marked);
	add_hist_text(&st->stalls, &marked);
	if (st->nmaps) {
		buf_add_str(&marked, "\n");
		figures_mapping_head(80, &marked);
		buf_add_str(&marked, "\n");
	}
	for (size_t i = 0; i < st->nmaps; i++) {
		figures_mapping(&st->maps[i], 66, GLYPHS_ASCII, &marked);
		buf_add_str(&marked, "\n");
	}
	if (st->warnings)
		buf_printf(&marked, "\nwarnings\n");
	for (const char *w = st->warnings, *next; w && *w; w = next) {
		next = strchr(w, '\n');
		char line[1024];

		text_escape(line, sizeof(line), w, next ? (size_t)(next - w) : strlen(w));
		buf_printf(&marked, "  %s\n", line);
		next = next ? next + 1 : NULL;
	}
	buf_add(&marked, "", 1);
	text_unmark(out, (char *)marked.data);
}
