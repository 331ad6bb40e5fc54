/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A checkpoint's figures as lines of text: for its view, for replay without a screen, for the list
 * of those taken. */
#ifndef CKPT_UI_FIGURES_H
#define CKPT_UI_FIGURES_H

#include "ui/app.h"
#include "ui/graph.h"

/* While it runs: four lines. */
void figures_progress(const struct shot *s, int width, enum glyphs g, struct buf *out);
/* When it is over: up to eight lines; marked up. */
void figures_result(const struct shot *s, int width, struct buf *out);
/* One mapping's row. */
void figures_mapping(const struct mapping_progress *m, int width, enum glyphs g, struct buf *out);
void figures_mapping_head(int width, struct buf *out);
/* One row of the list of checkpoints taken, and its head. */
void figures_shot_row(const struct shot *s, struct buf *out);
void figures_shot_head(struct buf *out);
/* Share of the work done, 0..1. */
double figures_share(const struct shot *s);
/* "running 45 %", "done", "failed", "cancelled", "replay ended" */
const char *figures_state(const struct shot *s);
/* The whole of it as plain text. */
void figures_text(const struct shot *s, struct buf *out);

#endif
