/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The main loop: waits for keys, events and the next second, lets the views act, and draws at most
 * twenty times a second and only when something changed.
 */
#define NCURSES_WIDECHAR 1
#include <errno.h>
#include <fcntl.h>
#include <ncurses.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#include "base/clock.h"
#include "base/text.h"
#include "ui/feed.h"

#define MIN_ROWS 10
#define MIN_COLS 40
#define FRAME_NS (50 * NS_PER_MS)
#define TICK_NS NS_PER_S
#define MESSAGE_NS (6 * NS_PER_S)

/* ---- what the views call ---- */

void app_message(struct app *app, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(app->message, sizeof(app->message), fmt, ap);
	va_end(ap);
	app->message_until_ns = app->now_ns + MESSAGE_NS;
	app->dirty = true;
}

void app_push(struct app *app, struct view *v)
{
	if (app->nviews == MAX_VIEWS) {
		v->ops->close(v);
		app_message(app, "too many views are open; q closes one");
		return;
	}
	app->views[app->nviews++] = v;
	app->dirty = true;
}

void app_prompt(struct app *app, const char *label, const char *text,
	void (*done)(struct app *app, const char *text))
{
	app->prompt = (struct prompt){.label = label, .done = done};
	edit_set(&app->prompt.edit, text);
}

struct shot *app_shot(struct app *app)
{
	struct shot *const s = xcalloc(1, sizeof(*s));

	stats_init(&s->stats);
	s->exit_code = -1;
	*array_push(&app->shots, &app->nshots) = s;
	return s;
}

void shot_free(struct shot *s)
{
	stats_deinit(&s->stats);
	free(s->path);
	free(s->engine);
	free(s);
}

static struct view *top_view(const struct app *app)
{
	return app->views[app->nviews - 1];
}

static struct list *list_of(struct view *v)
{
	return v->ops->list ? v->ops->list(v) : NULL;
}

static void close_top(struct app *app)
{
	struct view *const v = top_view(app);

	app->nviews--;
	v->ops->close(v);
}

/* ---- requests every view has ---- */

static void search(struct app *app, bool forward)
{
	struct list *const l = list_of(top_view(app));

	if (!l || !app->search[0])
		app_message(app,
			app->search[0] ? "nothing to search in here" : "/ first: search for what?");
	else if (!list_search(l, app->search, forward))
		app_message(app, "not found: %s", text_safe(app->search));
}

static void search_for(struct app *app, const char *text)
{
	if (*text)
		snprintf(app->search, sizeof(app->search), "%s", text);
	search(app, true);
}

static void view_text(struct view *v, struct buf *out)
{
	struct list *const l = list_of(v);

	if (v->ops->text)
		v->ops->text(v, out);
	else if (l)
		list_text(l, out);
}

static void write_to(struct app *app, const char *path)
{
	cleanup_buf struct buf out = {0};
	cleanup_fd int fd = -1;

	if (!*path)
		return;
	view_text(top_view(app), &out);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0 || write_all(fd, out.data, out.len) < 0)
		app_message(app, "write %s: %s", text_safe(path), strerror(errno));
	else
		app_message(app, "written: %s", text_safe(path));
}

static void show_help(struct app *app)
{
	struct view *const v = top_view(app);
	struct buf b = {0};

	buf_printf(&b, M_BOLD "Keys of this screen" M_NORMAL "\n");
	keys_help(v->ops->ctx(v), &b);
	buf_printf(&b,
		"\n" M_BOLD "Words" M_NORMAL "\n"
		"  stop         all threads halted, to note registers and kernel state\n"
		"  stall        one thread held for one fault or system call\n"
		"  disturbance  the stop plus all stalls\n"
		"  window       from the first page protected to the last one released\n"
		"  engine stop  copies everything while the process stands\n"
		"  engine segv  protects pages while it runs, copies them beside it\n"
		"  engine uffd  the same from outside, by userfaultfd: shorter still\n"
		"In the graph S and full height mark a stop of all, . a stall of one thread.\n");
	app_push(app, view_text_new("help", buf_steal_str(&b)));
}

static bool app_request(struct app *app, enum request req)
{
	switch (req) {
	case REQ_HELP:
		show_help(app);
		return true;
	case REQ_CLOSE:
		close_top(app);
		return true;
	case REQ_QUIT:
		app->quit = true;
		return true;
	case REQ_REDRAW:
		clearok(curscr, TRUE);
		return true;
	case REQ_SUSPEND:
		term_suspend();
		return true;
	case REQ_SEARCH:
		app_prompt(app, "search: ", "", search_for);
		return true;
	case REQ_SEARCH_NEXT:
	case REQ_SEARCH_PREV:
		search(app, req == REQ_SEARCH_NEXT);
		return true;
	case REQ_WRITE:
		app_prompt(app, "write view to file: ", "", write_to);
		return true;
	default:
		return false;
	}
}

/* ---- keys ---- */

static void prompt_key(struct app *app, int key, bool is_char)
{
	struct prompt *const p = &app->prompt;

	if (is_char && (key == 27 || key == 3)) {
		p->label = NULL;
	} else if ((is_char && (key == '\r' || key == '\n')) || (!is_char && key == KEY_ENTER)) {
		p->label = NULL;
		p->done(app, p->edit.text);
	} else {
		edit_key(&p->edit, key, is_char);
	}
}

static void mouse_key(struct app *app)
{
	struct list *const l = list_of(top_view(app));
	MEVENT ev;

	if (getmouse(&ev) != OK || !l)
		return;
	if (ev.bstate & BUTTON4_PRESSED)
		for (int i = 0; i < 3; i++)
			list_request(l, REQ_UP);
	else if (ev.bstate & BUTTON5_PRESSED)
		for (int i = 0; i < 3; i++)
			list_request(l, REQ_DOWN);
	else if (l->on_row >= 0 && ev.y >= l->on_row && ev.y < l->on_row + l->height)
		l->sel = MIN(l->top + (size_t)(ev.y - l->on_row), l->n ? l->n - 1 : 0);
}

/* Lists are fitted to what there is now: a sample may have made them shorter since. */
static void layout_view(struct app *app, struct view *v)
{
	if (v->ops->layout)
		v->ops->layout(app, v, app->tty.rows - 1, app->tty.cols);
}

static void handle_key(struct app *app, int key, bool is_char)
{
	struct view *const v = top_view(app);

	app->dirty = true;
	layout_view(app, v);
	if (!is_char && key == KEY_RESIZE) {
		term_size(&app->tty);
		clearok(curscr, TRUE);
		return;
	}
	if (app->prompt.label) {
		prompt_key(app, key, is_char);
		return;
	}
	app->message[0] = 0;
	if (!is_char && key == KEY_MOUSE) {
		mouse_key(app);
		return;
	}
	if (v->ops->key && v->ops->key(app, v, key, is_char))
		return;
	const enum request req = keys_find(key, is_char, v->ops->ctx(v));
	struct list *const l = list_of(v);

	if (req == REQ_NONE || (v->ops->request && v->ops->request(app, v, req)))
		return;
	if (!app_request(app, req) && l)
		list_request(l, req);
}

static void read_keys(struct app *app)
{
	wint_t key;
	int kind;

	while (app->nviews && !app->quit && (kind = get_wch(&key)) != ERR)
		handle_key(app, (int)key, kind == OK);
}

/* ---- drawing ---- */

static void draw_bottom(const struct app *app)
{
	cleanup_buf struct buf b = {0};
	const struct view *const v = top_view(app);
	const struct prompt *const p = &app->prompt;
	const int y = app->tty.rows - 1;

	curs_set(0);
	if (p->label)
		buf_printf(&b, M_BOLD "%s" M_NORMAL "%s", p->label, text_safe(p->edit.text));
	else if (app->message[0])
		buf_printf(&b, M_BOLD "%s", text_safe(app->message));
	else
		keys_bar(v->ops->ctx(v), app->tty.cols, &b);
	buf_add(&b, "", 1);
	const int over = p->label ? MAX(text_columns((char *)b.data) - app->tty.cols + 1, 0) : 0;

	term_line(&app->tty, y, 0, app->tty.cols, (char *)b.data, false, over);
}

static void place_cursor(const struct app *app)
{
	char head[sizeof(app->prompt.edit.text)];
	const struct edit *const ed = &app->prompt.edit;

	if (!app->prompt.label)
		return;
	memcpy(head, ed->text, ed->pos);
	head[ed->pos] = 0;
	const int x = text_columns(app->prompt.label) + text_columns(text_safe(head));

	curs_set(1);
	move(app->tty.rows - 1, MIN(x, app->tty.cols - 1));
}

static void draw_too_small(const struct tty *t)
{
	char line[80];

	snprintf(line, sizeof(line), "needs %dx%d, is %dx%d (q)", MIN_COLS, MIN_ROWS, t->cols,
		t->rows);
	erase();
	term_line(t, 0, 0, t->cols, line, false, 0);
}

static void draw(struct app *app)
{
	const struct tty *const t = &app->tty;
	int first = app->nviews - 1;

	app->dirty = false;
	app->drawn_ns = app->now_ns;
	if (t->rows < MIN_ROWS || t->cols < MIN_COLS) {
		draw_too_small(t);
		refresh();
		return;
	}
	erase();
	while (first > 0 && app->views[first]->ops->overlay)
		first--;
	for (int i = first; i < app->nviews; i++) {
		struct view *const v = app->views[i];

		layout_view(app, v);
		v->ops->draw(app, v, t->rows - 1, t->cols);
	}
	draw_bottom(app);
	place_cursor(app);
	refresh();
}

/* ---- the loop ---- */

static void tick(struct app *app)
{
	app->ticked_ns = app->now_ns;
	for (int i = 0; i < app->nviews; i++)
		if (app->views[i]->ops->tick && app->views[i]->ops->tick(app, app->views[i]))
			app->dirty = true;
	if (app->message[0] && app->now_ns >= app->message_until_ns) {
		app->message[0] = 0;
		app->dirty = true;
	}
}

static int wait_ms(const struct app *app)
{
	int ms = ms_until(app->ticked_ns + TICK_NS);
	const int feed_ms = feed_timeout_ms(app->feed);

	if (feed_ms >= 0)
		ms = MIN(ms, feed_ms);
	if (app->dirty)
		ms = MIN(ms, ms_until(app->drawn_ns + FRAME_NS));
	return ms;
}

/* Waits for a key or a deadline, then takes what came. A terminal that is gone ends us. */
static void wait_for_work(struct app *app)
{
	struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};

	poll(&p, 1, wait_ms(app));
	app->now_ns = now_ns();
	if (p.revents & (POLLHUP | POLLERR | POLLNVAL))
		app->quit = true;
	feed_run(app);
	read_keys(app);
}

int app_run(struct app *app)
{
	app->now_ns = now_ns();
	app->dirty = true;
	while (app->nviews && !app->quit && !term_signalled()) {
		if (app->now_ns - app->ticked_ns >= TICK_NS)
			tick(app);
		if (app->dirty && app->now_ns - app->drawn_ns >= FRAME_NS)
			draw(app);
		wait_for_work(app);
	}
	if (feed_running(app)) {
		feed_cancel(app);
		snprintf(app->last_words, sizeof(app->last_words),
			"the checkpoint of %d was cancelled; the process runs on",
			app->feed->shot->pid);
	}
	feed_close(app);
	while (app->nviews)
		close_top(app);
	for (size_t i = 0; i < app->nshots; i++)
		shot_free(app->shots[i]);
	free(app->shots);
	return app->exit_code;
}
