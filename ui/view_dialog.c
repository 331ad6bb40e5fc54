/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The small dialog before a checkpoint: which engine, which file. */
#define NCURSES_WIDECHAR 1
#include <ncurses.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "ui/feed.h"

#define DIALOG_ROWS 8

struct dialog {
	struct view v;
	int pid;
	int engine; /* index into host->engines */
	struct edit file;
	char *replace; /* the existing file that was warned about */
};

static const char *engine_words(const char *name)
{
	static const char *const words[][2] = {
		{"auto", "the best that works here"},
		{"stop", "copies everything while the process stands"},
		{"segv", "stops shortly, copies beside the running process"},
		{"uffd", "stops shortest; by userfaultfd, where it is allowed"},
		{"fork", "copies a child that never runs; nothing is held up"},
	};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (!strcmp(words[i][0], name))
			return words[i][1];
	return "";
}

static void add_engines(const struct app *app, const struct dialog *d, struct buf *b)
{
	const char *const *const names = app->host->engines;

	buf_add_str(b, " Engine  ");
	for (int i = 0; names[i]; i++)
		buf_printf(b, i == d->engine ? M_KEY "[%s]" M_NORMAL " " : " %s  ", names[i]);
}

/* One line of the box; the first and the last are its edges. */
static void draw_row(const struct app *app, int y, int x, int width, int i, const char *text)
{
	static const char *const glyphs[2][6] = {
		{"\xe2\x94\x8c", "\xe2\x94\x90", "\xe2\x94\x94", "\xe2\x94\x98", "\xe2\x94\x80",
			"\xe2\x94\x82"},
		{"+", "+", "+", "+", "-", "|"},
	};
	const char *const *const g = glyphs[app->tty.ascii];
	const bool edge = i == 0 || i == DIALOG_ROWS - 1;
	cleanup_buf struct buf b = {0};

	buf_add_str(&b, edge ? g[i ? 2 : 0] : g[5]);
	if (edge) {
		buf_add_str(&b, text);
		for (int at = text_columns(text); at < width - 2; at++)
			buf_add_str(&b, g[4]);
	} else {
		text_cell(&b, width - 2, text);
	}
	buf_printf(&b, M_NORMAL "%s", edge ? g[i ? 3 : 1] : g[5]);
	buf_add(&b, "", 1);
	term_line(&app->tty, y + i, x, width, (char *)b.data, false, 0);
}

/* The typed name as shown: its end when it is longer than the room. */
static void add_file(const struct dialog *d, int room, struct buf *b)
{
	const char *shown = text_safe(d->file.text);
	char head[sizeof(d->file.text)];

	memcpy(head, d->file.text, d->file.pos);
	head[d->file.pos] = 0;
	buf_add_str(b, " File    ");
	const char *before = text_safe(head);
	const int hide = MAX(text_columns(before) - room + 2, 0);

	for (int i = 0; i < hide && *shown; i++)
		shown++;
	while ((*shown & 0xc0) == 0x80)
		shown++;
	const size_t at = MIN(strlen(before) - MIN(strlen(before), (size_t)hide), strlen(shown));

	size_t next = shown[at] ? at + 1 : at;

	while ((shown[next] & 0xc0) == 0x80)
		next++;
	buf_add(b, shown, at);
	buf_printf(b, M_TITLE "%.*s" M_NORMAL "%s", (int)MAX(next - at, 1),
		shown[at] ? shown + at : " ", shown + next);
}

static void draw(const struct app *app, const struct view *v, int rows, int cols)
{
	const struct dialog *const d = (const struct dialog *)v;
	const int width = MIN(cols - 2, 72);
	const int y = MAX((rows - DIALOG_ROWS) / 2, 0), x = (cols - width) / 2;
	struct buf line[DIALOG_ROWS] = {0};

	buf_printf(&line[0], " Checkpoint of %d ", d->pid);
	add_engines(app, d, &line[2]);
	buf_printf(&line[3], "         " M_DIM "%s", engine_words(app->host->engines[d->engine]));
	add_file(d, width - 12, &line[4]);
	if (d->replace)
		buf_printf(&line[5], "         " M_WARN "! exists; Enter again replaces it");
	buf_printf(&line[6], " " M_KEY "Enter" M_NORMAL " start  " M_KEY "Up Down" M_NORMAL
			     " engine  " M_KEY "Esc" M_NORMAL " back");
	for (int i = 0; i < DIALOG_ROWS; i++) {
		buf_add(&line[i], "", 1);
		draw_row(app, y, x, width, i, (char *)line[i].data);
		buf_deinit(&line[i]);
	}
}

static void start(struct app *app, struct dialog *d)
{
	const char *const path = d->file.text;

	if (!*path) {
		app_message(app, "a file name is needed");
		return;
	}
	if (access(path, F_OK) == 0 && (!d->replace || strcmp(d->replace, path) != 0)) {
		free(d->replace);
		d->replace = xstrdup(path);
		return;
	}
	if (feed_running(app)) {
		app_message(app, "a checkpoint is running already");
		return;
	}
	if (feed_start(app, d->pid, app->host->engines[d->engine], path) < 0)
		return;
	app->nviews--;
	free(d->replace);
	free(d);
	app_push(app, view_shot_new(app, app->feed->shot));
}

static void change_engine(const struct app *app, struct dialog *d, int by)
{
	int n = 0;

	while (app->host->engines[n])
		n++;
	d->engine = (d->engine + by + n) % n;
}

static void close_view(struct view *v)
{
	free(((struct dialog *)v)->replace);
	free(v);
}

static bool key(struct app *app, struct view *v, int key, bool is_char)
{
	struct dialog *const d = (struct dialog *)v;

	if (is_char && (key == 27 || key == 3)) {
		app->nviews--;
		close_view(v);
	} else if (is_char ? key == '\r' || key == '\n' : key == KEY_ENTER) {
		start(app, d);
	} else if (!is_char && (key == KEY_UP || key == KEY_BTAB)) {
		change_engine(app, d, -1);
	} else if (is_char ? key == '\t' : key == KEY_DOWN) {
		change_engine(app, d, 1);
	} else if (is_char && (key == ('l' & 0x1f) || key == ('z' & 0x1f))) {
		return false;
	} else {
		return edit_key(&d->file, key, is_char);
	}
	return true;
}

static unsigned ctx(const struct view *v)
{
	(void)v;
	return CTX_DIALOG;
}

static const struct view_ops ops = {
	.name = "checkpoint",
	.overlay = true,
	.ctx = ctx,
	.draw = draw,
	.key = key,
	.close = close_view,
};

/* The name of a process as part of a file name: nothing a shell would mind. */
static void set_default_file(struct dialog *d, const char *comm)
{
	char name[256], stamp[32];
	const time_t now = time(NULL);
	struct tm tm;
	size_t len = 0;

	for (const char *c = comm && *comm ? comm : "process"; *c && len < 64; c++)
		name[len++] =
			strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-",
				*c)
				? *c
				: '_';
	strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", localtime_r(&now, &tm));
	snprintf(name + len, sizeof(name) - len, "-%d-%s.ckpt", d->pid, stamp);
	edit_set(&d->file, name);
}

struct view *view_dialog_new(struct app *app, int pid, const char *comm)
{
	struct dialog *const d = xcalloc(1, sizeof(*d));

	(void)app;
	d->v.ops = &ops;
	d->pid = pid;
	set_default_file(d, comm);
	return &d->v;
}
