/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One checkpoint: while it runs its progress, the stopped time and the stalls; afterwards what it
 * cost. The same view shows a live one, one of those taken before, and a recording.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "ui/feed.h"
#include "ui/figures.h"

/* Panel 0 shows all that fits; the others fill the screen. */
enum panel { PANEL_ALL, PANEL_MAPS, PANEL_GRAPH, PANEL_HIST, PANELS };

/* Where the parts go: height 0 is not shown. */
struct places {
	int maps_y, maps_rows, graph_y, graph_rows, graph_cols, hist_y, hist_x, hist_rows,
		hist_cols;
};

struct shot_view {
	struct view v;
	const struct shot *shot;
	struct list list;            /* mappings that have something to save, the biggest first */
	size_t *order, norder, seen; /* indices into stats.maps; how many maps there were then */
	enum panel panel;
	enum glyphs glyphs;
	int lines; /* of figures that are shown */
	struct places at;
};

static void row(const void *ctx, size_t i, int width, struct buf *out)
{
	const struct shot_view *const sv = ctx;

	figures_mapping(&sv->shot->stats.maps[sv->order[i]], width, sv->glyphs, out);
}

static int by_want(const void *a, const void *b, void *ctx)
{
	const struct mapping_progress *const maps = ctx;
	const size_t x = *(const size_t *)a, y = *(const size_t *)b;

	if (maps[x].want != maps[y].want)
		return maps[x].want < maps[y].want ? 1 : -1;
	return (x > y) - (x < y);
}

static void put_in_order(struct shot_view *sv)
{
	const struct stats *const st = &sv->shot->stats;

	if (sv->seen == st->nmaps)
		return;
	sv->seen = st->nmaps;
	sv->norder = 0;
	sv->order = xrealloc(sv->order, (st->nmaps + 1) * sizeof(*sv->order));
	for (size_t i = 0; i < st->nmaps; i++)
		if (st->maps[i].want)
			sv->order[sv->norder++] = i;
	qsort_r(sv->order, sv->norder, sizeof(*sv->order), by_want, st->maps);
}

static void figures(const struct shot_view *sv, int cols, struct buf *out)
{
	if (sv->shot->running)
		figures_progress(sv->shot, cols, sv->glyphs, out);
	else
		figures_result(sv->shot, cols, out);
}

static int count_lines(const struct buf *b)
{
	int n = 0;

	for (size_t i = 0; i < b->len; i++)
		n += b->data[i] == '\n';
	return n;
}

/* Side by side when wide, one above the other when high enough, else the list alone. The pictures
 * get what the list does not need. */
static struct places place_all(const struct shot_view *sv, int y, int rows, int cols)
{
	const int left = rows - y;
	const int need = 2 + (int)MIN(sv->norder, 200);
	const int each = (left - need) / (cols >= 100 ? 1 : 2);
	const int graph = MIN(MAX(each, left >= 20 ? 7 : 5), 14);

	if (left < 12)
		return (struct places){.maps_y = y, .maps_rows = left};
	if (cols >= 100)
		return (struct places){
			.graph_y = y,
			.graph_rows = graph + 1,
			.graph_cols = cols * 3 / 5,
			.hist_y = y,
			.hist_rows = graph + 1,
			.hist_x = cols * 3 / 5 + 1,
			.hist_cols = cols - cols * 3 / 5 - 1,
			.maps_y = y + graph + 1,
			.maps_rows = left - graph - 1,
		};
	const int hist = left >= 17 ? graph : 0;

	return (struct places){
		.graph_y = y,
		.graph_rows = graph,
		.graph_cols = cols,
		.hist_y = y + graph,
		.hist_rows = hist,
		.hist_cols = cols,
		.maps_y = y + graph + hist,
		.maps_rows = left - graph - hist,
	};
}

static struct places place(const struct shot_view *sv, int y, int rows, int cols)
{
	const int left = rows - y;

	switch (sv->panel) {
	case PANEL_MAPS:
		return (struct places){.maps_y = y, .maps_rows = left};
	case PANEL_GRAPH:
		return (struct places){.graph_y = y, .graph_rows = left, .graph_cols = cols};
	case PANEL_HIST:
		return (struct places){.hist_y = y, .hist_rows = left, .hist_cols = cols};
	default:
		return place_all(sv, y, rows, cols);
	}
}

static void layout(struct app *app, struct view *v, int rows, int cols)
{
	struct shot_view *const sv = (struct shot_view *)v;
	cleanup_buf struct buf text = {0};

	sv->glyphs = graph_glyphs(&app->tty);
	put_in_order(sv);
	figures(sv, cols, &text);
	/* A chosen panel on a small screen leaves room for the first two lines only. */
	sv->lines = sv->panel != PANEL_ALL && rows < 16 ? 2 : MIN(count_lines(&text), rows - 4);
	sv->at = place(sv, 1 + sv->lines + (rows >= 16), rows, cols);
	list_layout(&sv->list, sv->norder, sv->at.maps_y + 1, sv->at.maps_rows - 1);
}

/* ---- drawing ---- */

static void draw_title(const struct app *app, const struct shot_view *sv, int cols)
{
	const struct shot *const s = sv->shot;
	cleanup_buf struct buf b = {0};

	buf_printf(&b, M_TITLE " %s%d",
		cols < 60   ? ""
		: s->replay ? "ckptview: replay of a checkpoint of "
			    : "ckptview: checkpoint of ",
		s->stats.pid ? s->stats.pid : s->pid);
	if (s->engine || s->stats.engine[0])
		buf_printf(&b, "  %s", text_safe(s->stats.engine[0] ? s->stats.engine : s->engine));
	buf_printf(&b, "  %s", figures_state(s));
	if (s->running && app->feed && app->feed->shot == s && app->feed->paused)
		buf_add_str(&b, " (paused)");
	if (s->path)
		buf_printf(&b, "  %s", text_safe(s->path));
	buf_add(&b, "", 1);
	term_line(&app->tty, 0, 0, cols, (char *)b.data, false, 0);
}

static void draw_figures(const struct app *app, const struct shot_view *sv, int cols)
{
	cleanup_buf struct buf b = {0};
	int y = 1;

	figures(sv, cols, &b);
	buf_add(&b, "", 1);
	for (char *at = (char *)b.data, *next; (next = strchr(at, '\n')) && y <= sv->lines;
		at = next + 1) {
		*next = 0;
		term_line(&app->tty, y++, 1, cols - 1, at, false, 0);
	}
}

static void draw_rows(const struct app *app, int y, int x, int width, int height, struct buf *line)
{
	for (int i = 0; i < height; i++) {
		buf_add(&line[i], "", 1);
		term_line(&app->tty, y + i, x, width, (char *)line[i].data, false, 0);
		buf_deinit(&line[i]);
	}
}

static void draw_graph(const struct app *app, const struct shot_view *sv)
{
	const struct places *const at = &sv->at;
	const int height = MIN(at->graph_rows - 1, 24);
	struct buf line[24] = {0};
	char title[128], span[32];

	if (height < 2)
		return;
	snprintf(title, sizeof(title),
		M_HEAD "STOPPED TIME" M_NORMAL " over %s  " M_STOP "S all threads  " M_STALL
		       ". one thread",
		text_time(span, sizeof(span), sv->shot->elapsed_ns));
	term_line(&app->tty, at->graph_y, 1, at->graph_cols - 1, title, false, 0);
	const struct timeline *const t = &sv->shot->stats.line;

	graph_stopped(
		t, t->base_ns + sv->shot->elapsed_ns, at->graph_cols - 1, height, sv->glyphs, line);
	draw_rows(app, at->graph_y + 1, 0, at->graph_cols, height, line);
}

static void draw_hist(const struct app *app, const struct shot_view *sv)
{
	const struct places *const at = &sv->at;
	const int height = MIN(at->hist_rows - 1, 24);
	struct buf line[24] = {0};

	if (height < 2)
		return;
	const struct hist *const h = &sv->shot->stats.stalls;

	term_line(&app->tty, at->hist_y, at->hist_x + 1, at->hist_cols - 1,
		h->n ? M_HEAD "STALLS" M_NORMAL " by length (log)"
		     : M_HEAD "STALLS" M_NORMAL " none",
		false, 0);
	if (!h->n)
		return;
	graph_hist(h, at->hist_cols - 1, height, sv->glyphs, line);
	draw_rows(app, at->hist_y + 1, at->hist_x, at->hist_cols, height, line);
}

static void draw(const struct app *app, const struct view *v, int rows, int cols)
{
	const struct shot_view *const sv = (const struct shot_view *)v;
	cleanup_buf struct buf head = {0};

	(void)rows;
	draw_title(app, sv, cols);
	draw_figures(app, sv, cols);
	draw_graph(app, sv);
	draw_hist(app, sv);
	if (sv->at.maps_rows < 2)
		return;
	figures_mapping_head(cols, &head);
	buf_add(&head, "", 1);
	term_line(&app->tty, sv->at.maps_y, 1, cols - 1, (char *)head.data, false, 0);
	list_draw(app, &sv->list, sv->at.maps_y + 1, 0, cols, true);
}

/* ---- the rest ---- */

static unsigned ctx(const struct view *v)
{
	const struct shot *const s = ((const struct shot_view *)v)->shot;

	return s->replay ? CTX_REPLAY : s->running ? CTX_RUNNING : CTX_DONE;
}

static bool request(struct app *app, struct view *v, enum request req)
{
	struct shot_view *const sv = (struct shot_view *)v;

	switch (req) {
	case REQ_CANCEL:
		feed_cancel(app);
		return true;
	case REQ_NEXT_PANE:
		sv->panel = (sv->panel + 1) % PANELS;
		return true;
	case REQ_PREV_PANE:
		sv->panel = (sv->panel + PANELS - 1) % PANELS;
		return true;
	case REQ_PANE_1:
	case REQ_PANE_2:
	case REQ_PANE_3:
	case REQ_PANE_4:
		sv->panel = (enum panel)(req - REQ_PANE_1);
		return true;
	default:
		return sv->shot->replay && feed_request(app, req);
	}
}

static struct list *list(struct view *v)
{
	return &((struct shot_view *)v)->list;
}

static void text(const struct view *v, struct buf *out)
{
	figures_text(((const struct shot_view *)v)->shot, out);
}

static void close_view(struct view *v)
{
	free(((struct shot_view *)v)->order);
	free(v);
}

static const struct view_ops ops = {
	.name = "checkpoint",
	.ctx = ctx,
	.layout = layout,
	.draw = draw,
	.request = request,
	.list = list,
	.text = text,
	.close = close_view,
};

struct view *view_shot_new(struct app *app, struct shot *shot)
{
	struct shot_view *const sv = xcalloc(1, sizeof(*sv));

	(void)app;
	sv->v.ops = &ops;
	sv->shot = shot;
	sv->list = (struct list){.row = row, .ctx = sv};
	return &sv->v;
}
