/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A view of lines of text: the help, and the details of a thread, a mapping, a descriptor. */
#include <stdlib.h>
#include <string.h>

#include "ui/app.h"

struct text_view {
	struct view v;
	char *title, *text;
	char **lines; /* into text */
	size_t nlines;
	struct list list;
};

static void row(const void *ctx, size_t i, int width, struct buf *out)
{
	const struct text_view *const tv = ctx;

	(void)width;
	buf_add_str(out, tv->lines[i]);
}

static void layout(struct app *app, struct view *v, int rows, int cols)
{
	struct text_view *const tv = (struct text_view *)v;

	(void)app;
	(void)cols;
	list_layout(&tv->list, tv->nlines, 1, rows - 1);
}

static void draw(const struct app *app, const struct view *v, int rows, int cols)
{
	const struct text_view *const tv = (const struct text_view *)v;
	cleanup_free char *title = xasprintf(M_TITLE " ckptview: %s", tv->title);

	(void)rows;
	term_line(&app->tty, 0, 0, cols, title, false, 0);
	list_draw(app, &tv->list, 1, 0, cols, tv->list.n > (size_t)tv->list.height);
}

static struct list *list(struct view *v)
{
	return &((struct text_view *)v)->list;
}

static unsigned ctx(const struct view *v)
{
	(void)v;
	return CTX_TEXT;
}

static void close_view(struct view *v)
{
	struct text_view *const tv = (struct text_view *)v;

	free(tv->title);
	free(tv->text);
	free(tv->lines);
	free(tv);
}

static const struct view_ops ops = {
	.name = "text",
	.ctx = ctx,
	.layout = layout,
	.draw = draw,
	.list = list,
	.close = close_view,
};

struct view *view_text_new(const char *title, char *text)
{
	struct text_view *const tv = xcalloc(1, sizeof(*tv));

	tv->v.ops = &ops;
	tv->title = xstrdup(title);
	tv->text = text;
	for (char *at = text, *next; at && *at; at = next) {
		next = strchr(at, '\n');
		if (next)
			*next++ = 0;
		*array_push(&tv->lines, &tv->nlines) = at;
	}
	tv->list = (struct list){.row = row, .ctx = tv};
	return &tv->v;
}
