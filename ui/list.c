/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Lists: moving, searching, drawing, and printing their rows. */
#include <stdlib.h>
#include <string.h>

#include "ui/app.h"

void list_layout(struct list *l, size_t n, int on_row, int height)
{
	l->n = n;
	l->on_row = on_row;
	l->height = MAX(height, 1);
	if (l->sel >= n)
		l->sel = n ? n - 1 : 0;
	const size_t h = (size_t)l->height;

	if (l->sel < l->top)
		l->top = l->sel;
	if (l->sel >= l->top + h)
		l->top = l->sel - h + 1;
	if (l->top + h > n)
		l->top = n > h ? n - h : 0;
}

void list_draw(const struct app *app, const struct list *l, int y, int x, int width, bool focus)
{
	for (int i = 0; i < l->height; i++) {
		const size_t at = l->top + (size_t)i;
		const bool selected = focus && at == l->sel;
		cleanup_buf struct buf b = {0};

		if (at < l->n) {
			buf_add_str(&b, selected ? ">" : " ");
			l->row(l->ctx, at, width - 1 + l->skip, &b);
		}
		buf_add(&b, "", 1);
		term_line(&app->tty, y + i, x, width, (const char *)b.data, selected, l->skip);
	}
}

static void list_move(struct list *l, long by)
{
	const long to = (long)l->sel + by;

	if (!l->n)
		return;
	l->sel = to < 0 ? 0 : MIN((size_t)to, l->n - 1);
}

bool list_request(struct list *l, enum request req)
{
	const long page = MAX(l->height - 1, 1);

	switch (req) {
	case REQ_DOWN:
		list_move(l, 1);
		return true;
	case REQ_UP:
		list_move(l, -1);
		return true;
	case REQ_PAGE_DOWN:
		list_move(l, page);
		return true;
	case REQ_PAGE_UP:
		list_move(l, -page);
		return true;
	case REQ_HALF_DOWN:
		list_move(l, MAX(page / 2, 1));
		return true;
	case REQ_HALF_UP:
		list_move(l, -MAX(page / 2, 1));
		return true;
	case REQ_FIRST:
		l->sel = 0;
		return true;
	case REQ_LAST:
		l->sel = l->n ? l->n - 1 : 0;
		return true;
	case REQ_LEFT:
		l->skip = MAX(l->skip - 8, 0);
		return true;
	case REQ_RIGHT:
		l->skip = MIN(l->skip + 8, 400);
		return true;
	default:
		return false;
	}
}

/* The row without marks, as a string the caller frees. */
static char *row_text(const struct list *l, size_t i)
{
	cleanup_buf struct buf marked = {0};
	struct buf plain = {0};

	l->row(l->ctx, i, 500, &marked);
	buf_add(&marked, "", 1);
	text_unmark(&plain, (const char *)marked.data);
	while (plain.len && plain.data[plain.len - 1] == ' ')
		plain.len--;
	return buf_steal_str(&plain);
}

bool list_search(struct list *l, const char *text, bool forward)
{
	for (size_t step = 1; step <= l->n; step++) {
		const size_t i = (l->sel + (forward ? step : l->n - step)) % l->n;
		cleanup_free char *row = row_text(l, i);

		if (strcasestr(row, text)) {
			l->sel = i;
			return true;
		}
	}
	return false;
}

void list_text(const struct list *l, struct buf *out)
{
	for (size_t i = 0; i < l->n; i++) {
		cleanup_free char *row = row_text(l, i);

		buf_printf(out, "%s\n", row);
	}
}
