/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Pictures made of characters, as marked-up lines: pure, so that tests can look at them. */
#ifndef CKPT_UI_GRAPH_H
#define CKPT_UI_GRAPH_H

#include "report/stats.h"
#include "ui/term.h"

enum glyphs { GLYPHS_ASCII, GLYPHS_BLOCKS, GLYPHS_BRAILLE };
enum glyphs graph_glyphs(const struct tty *t);

/* Appends a bar of width columns, share (0..1) of it filled. */
void graph_bar(struct buf *out, int width, double share, enum glyphs g);
/* The stopped time from the line's base to end_ns as rows[0..height-1], the last an axis that
 * carries S where all threads stood and . where one was held. Height: duration, from 1 us to
 * the longest, logarithmic. */
void graph_stopped(const struct timeline *t, uint64_t end_ns, int width, int height, enum glyphs g,
	struct buf *rows);
/* The histogram as rows[0..height-1], the last the scale. */
void graph_hist(const struct hist *h, int width, int height, enum glyphs g, struct buf *rows);

#endif
