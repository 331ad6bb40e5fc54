/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Text in columns: cells are collected first, so that each column is as wide as it must be. */
#ifndef CKPT_MODEL_GRID_H
#define CKPT_MODEL_GRID_H

#include <stdio.h>
#include "base/buf.h"

/* Zeroed is empty. Cells go left to right, row by row. */
struct grid {
	char **cells;
	size_t n, ncols;
};
/* titles: one word per column, blank-separated; with '>' in front its column is set to the right.
 */
void grid_begin(struct grid *g, const char *titles);
void grid_cell(struct grid *g, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Prints and empties it. title_row: with the line of titles. */
void grid_print(struct grid *g, FILE *out, bool title_row);

#endif
