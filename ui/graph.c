/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Bars, the stopped-time graph and the histogram, drawn with braille dots, blocks or ASCII. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "ui/graph.h"

#define LABEL_COLUMNS 8
#define MAX_COLUMNS 512

enum glyphs graph_glyphs(const struct tty *t)
{
	return t->ascii ? GLYPHS_ASCII : t->braille ? GLYPHS_BRAILLE : GLYPHS_BLOCKS;
}

static void add_char(struct buf *out, unsigned code)
{
	char utf8[4] = {(char)(0xe0 | code >> 12), (char)(0x80 | (code >> 6 & 0x3f)),
		(char)(0x80 | (code & 0x3f)), 0};

	buf_add_str(out, utf8);
}

/* A column filled from below to eighths of one cell, 0..8. */
static void add_eighths(struct buf *out, int eighths, enum glyphs g)
{
	static const char ascii[] = " ...::||#";

	if (g == GLYPHS_ASCII)
		buf_add(out, &ascii[eighths], 1);
	else if (!eighths)
		buf_add_str(out, " ");
	else
		add_char(out, 0x2580 + (unsigned)eighths);
}

void graph_bar(struct buf *out, int width, double share, enum glyphs g)
{
	const int eighths = (int)(MIN(MAX(share, 0.0), 1.0) * width * 8 + 0.5);

	buf_add_str(out, M_BAR);
	for (int i = 0; i < width; i++) {
		const int part = MIN(MAX(eighths - 8 * i, 0), 8);

		if (g == GLYPHS_ASCII)
			buf_add_str(out, part >= 4 ? "#" : ".");
		else if (!part)
			buf_add_str(out, M_DIM "\xc2\xb7" M_BAR);
		else
			add_char(
				out, 0x2590 - (unsigned)part); /* left blocks, one eighth to full */
	}
	buf_add_str(out, M_NORMAL);
}

/* ---- stopped time ---- */

struct sample {
	uint64_t stop, stall;
};

/* 16 steps to an octave above 1 us; 1 up to that; 0 for nothing. */
static unsigned log_steps(uint64_t ns)
{
	if (!ns)
		return 0;
	const uint64_t us16 = ns * 16 / 1000;

	if (us16 <= 16 || ns > UINT64_MAX / 16)
		return ns > 1000 ? 40 * 16 : 1;
	const int top = 63 - __builtin_clzll(us16);

	return 1 + (unsigned)(top - 4) * 16 + (unsigned)((us16 >> (top - 4)) & 15);
}

static uint64_t top_of(const struct timeline *t)
{
	uint64_t max = 0;

	for (int i = 0; i < t->nslots; i++)
		max = MAX(max, MAX(t->stop_ns[i], t->stall_ns[i]));
	uint64_t top = 10000;

	while (top < max && top < UINT64_MAX / 10)
		top *= 10;
	return top;
}

/* n samples over the slots up to end_ns; a slot narrower than a sample counts in every one it
 * touches. */
static void take_samples(const struct timeline *t, uint64_t end_ns, struct sample *out, int n)
{
	const uint64_t span = end_ns > t->base_ns ? end_ns - t->base_ns : 1;
	const int used = (int)MIN(span / t->step_ns + 1, (uint64_t)TIMELINE_SLOTS);

	for (int i = 0; i < n; i++) {
		const int from = (int)((long)i * used / n);
		const int to = (int)MAX((long)from + 1, (long)(i + 1) * used / n);

		out[i] = (struct sample){0};
		for (int s = from; s < to && s < TIMELINE_SLOTS; s++) {
			out[i].stop = MAX(out[i].stop, t->stop_ns[s]);
			out[i].stall = MAX(out[i].stall, t->stall_ns[s]);
		}
	}
}

static int level_of(const struct sample *s, unsigned top, int levels)
{
	const unsigned steps = log_steps(MAX(s->stop, s->stall));

	return steps ? MAX((int)(steps * (unsigned)levels / top), 1) : 0;
}

static void add_braille(struct buf *out, int left, int right)
{
	static const unsigned char dots[2][4] = {
		{0x40, 0x04, 0x02, 0x01}, {0x80, 0x20, 0x10, 0x08}};
	unsigned code = 0x2800;

	for (int i = 0; i < 4; i++) {
		code |= left > i ? dots[0][i] : 0;
		code |= right > i ? dots[1][i] : 0;
	}
	if (code == 0x2800)
		buf_add_str(out, " ");
	else
		add_char(out, code);
}

static void add_label(struct buf *out, int row, int height, uint64_t top)
{
	char text[32] = "";

	if (row == 0)
		text_time(text, sizeof(text), top);
	else if (row == height - 1)
		text_time(text, sizeof(text), 1000);
	buf_add_str(out, M_DIM);
	text_cell_right(out, LABEL_COLUMNS - 1, text);
	buf_add_str(out, " ");
}

static void add_axis(
	struct buf *out, const struct sample *s, int cells, int per_cell, enum glyphs g)
{
	buf_printf(out, M_DIM "%*s", LABEL_COLUMNS, "");
	for (int c = 0; c < cells; c++) {
		const struct sample *const a = &s[c * per_cell], *const b = &a[per_cell - 1];

		if (a->stop || b->stop)
			buf_add_str(out, M_STOP "S" M_DIM);
		else if (a->stall || b->stall)
			buf_add_str(out, M_STALL "." M_DIM);
		else
			buf_add_str(out, g == GLYPHS_ASCII ? "-" : "\xe2\x94\x80");
	}
}

void graph_stopped(const struct timeline *t, uint64_t end_ns, int width, int height, enum glyphs g,
	struct buf *rows)
{
	const int cells = MIN(MAX(width - LABEL_COLUMNS, 4), MAX_COLUMNS);
	const int per_cell = g == GLYPHS_BRAILLE ? 2 : 1;
	const int fine = g == GLYPHS_BRAILLE ? 4 : 8;
	const uint64_t top = top_of(t);
	const unsigned top_steps = log_steps(top);
	struct sample s[2 * MAX_COLUMNS];

	take_samples(t, end_ns, s, cells * per_cell);
	for (int row = 0; row < height - 1; row++) {
		const int base = (height - 2 - row) * fine;

		add_label(&rows[row], row, height - 1, top);
		for (int c = 0; c < cells; c++) {
			const struct sample *const a = &s[c * per_cell], *const b =
										 &a[per_cell - 1];
			const int l = level_of(a, top_steps, (height - 1) * fine) - base;
			const int r = level_of(b, top_steps, (height - 1) * fine) - base;

			buf_add_str(&rows[row], a->stop || b->stop ? M_STOP : M_STALL);
			if (g == GLYPHS_BRAILLE)
				add_braille(&rows[row], l, r);
			else
				add_eighths(&rows[row], MIN(MAX(l, 0), fine), g);
		}
	}
	add_axis(&rows[height - 1], s, cells, per_cell, g);
}

/* ---- histogram ---- */

/* First and last bucket to show: whole octaves around what was counted, two at least. */
static void hist_span(const struct hist *h, int *from, int *to)
{
	int lo = HIST_BUCKETS, hi = -1;

	for (int i = 0; i < HIST_BUCKETS; i++) {
		if (h->count[i]) {
			lo = MIN(lo, i);
			hi = i;
		}
	}
	*from = lo > hi ? 0 : lo / 4 * 4;
	*to = MIN(MAX(hi / 4 * 4 + 4, *from + 16), HIST_BUCKETS);
}

static void add_scale(struct buf *out, int from, int columns, int merge, int wide)
{
	int at = 0;

	buf_printf(out, M_DIM "%*s", LABEL_COLUMNS, "");
	for (int c = 0; c < columns; c++) {
		char text[32];

		if (at > c * wide || (c * merge) % 4)
			continue;
		text_time(text, sizeof(text), hist_edge(from + c * merge));
		buf_printf(out, "%*s%s ", c * wide - at, "", text);
		at = c * wide + (int)strlen(text) + 1;
	}
}

void graph_hist(const struct hist *h, int width, int height, enum glyphs g, struct buf *rows)
{
	int from, to, merge = 1;
	uint64_t max = 1;
	uint64_t count[HIST_BUCKETS] = {0};
	char label[32];

	hist_span(h, &from, &to);
	while ((to - from) / merge > MAX(width - LABEL_COLUMNS, 8))
		merge *= 2;
	const int columns = (to - from + merge - 1) / merge;
	const int wide = MIN(MAX((width - LABEL_COLUMNS) / columns, 1), 4);

	for (int i = from; i < to; i++) {
		count[(i - from) / merge] += h->count[i];
		max = MAX(max, count[(i - from) / merge]);
	}
	for (int row = 0; row < height - 1; row++) {
		const int base = (height - 2 - row) * 8;

		snprintf(label, sizeof(label), row ? "" : "%llu", (unsigned long long)max);
		buf_add_str(&rows[row], M_DIM);
		text_cell_right(&rows[row], LABEL_COLUMNS - 1, label);
		buf_add_str(&rows[row], " " M_STALL);
		for (int c = 0; c < columns; c++) {
			const double part = (double)count[c] / (double)max * (height - 1) * 8;
			const int eighths = count[c] ? MAX((int)part, 1) : 0;

			for (int i = 0; i < wide; i++)
				add_eighths(&rows[row], MIN(MAX(eighths - base, 0), 8), g);
		}
	}
	add_scale(&rows[height - 1], from, columns, merge, wide);
}
