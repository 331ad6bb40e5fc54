/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Columns of text. The titles are the first row; a title's '>' says how its column is set. */
#include "model/grid.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* Characters, not bytes. */
static size_t text_width(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += (*s & 0xc0) != 0x80;
	return n;
}

void grid_begin(struct grid *g, const char *titles)
{
	*g = (struct grid){0};
	while (*titles) {
		const size_t len = strcspn(titles, " ");

		*array_push(&g->cells, &g->n) = xasprintf("%.*s", (int)len, titles);
		g->ncols++;
		titles += len;
		titles += *titles == ' ';
	}
}

void grid_cell(struct grid *g, const char *fmt, ...)
{
	va_list ap;
	char *s;

	va_start(ap, fmt);
	if (vasprintf(&s, fmt, ap) < 0)
		s = xstrdup("");
	va_end(ap);
	*array_push(&g->cells, &g->n) = s;
}

void grid_print(struct grid *g, FILE *out, bool title_row)
{
	cleanup_free size_t *width = xcalloc(g->ncols, sizeof(*width));
	cleanup_free bool *right = xcalloc(g->ncols, sizeof(*right));
	cleanup_buf struct buf line = {0};

	for (size_t c = 0; c < g->ncols; c++) {
		right[c] = g->cells[c][0] == '>';
		if (right[c])
			memmove(g->cells[c], g->cells[c] + 1, strlen(g->cells[c]));
	}
	for (size_t i = title_row ? 0 : g->ncols; i < g->n; i++) {
		const size_t w = text_width(g->cells[i]);

		width[i % g->ncols] = MAX(width[i % g->ncols], w);
	}
	for (size_t i = title_row ? 0 : g->ncols; i < g->n; i++) {
		const size_t c = i % g->ncols;
		const int pad = (int)(width[c] - text_width(g->cells[i]));

		buf_printf(&line, "%*s%s%*s", right[c] ? pad : 0, "", g->cells[i],
			right[c] ? 0 : pad, "");
		if (c + 1 < g->ncols) {
			buf_add_str(&line, "  ");
			continue;
		}
		while (line.len && line.data[line.len - 1] == ' ')
			line.len--;
		fprintf(out, "%.*s\n", (int)line.len, line.len ? (const char *)line.data : "");
		line.len = 0;
	}
	for (size_t i = 0; i < g->n; i++)
		free(g->cells[i]);
	free(g->cells);
	*g = (struct grid){0};
}
