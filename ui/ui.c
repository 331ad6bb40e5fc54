/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Opening a screen: the terminal is taken only when there is something to show, and given back
 * before anything is said.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "ui/feed.h"
#include "ui/figures.h"

static int say(const struct err *e, int dflt)
{
	fprintf(stderr, "ckptview: %s\n", e->text);
	return e->code ? e->code : dflt;
}

/* What does the same without a screen. */
static int refuse(struct err *e, const char *plain)
{
	fprintf(stderr, "ckptview: %s; without one: %s\n", e->text, plain);
	return EXIT_USAGE;
}

static void app_init(struct app *app, const struct ui_host *h, const struct ui_opts *o)
{
	*app = (struct app){.host = h, .opts = o, .now_ns = now_ns()};
}

/* Runs app on the terminal, which was checked and taken. */
static int run(struct app *app)
{
	const int code = app_run(app);
	const int sig = term_signalled();

	term_close(&app->tty);
	if (app->last_words[0])
		fprintf(stderr, "ckptview: %s\n", app->last_words);
	if (sig)
		term_reraise(sig);
	return code;
}

static int open_source(
	const struct ui_host *h, const struct ui_opts *o, const char *name, const char *plain)
{
	struct app app;
	struct err e = {0};

	if (term_check(&e) < 0)
		return refuse(&e, plain);
	struct source *const src = h->open(name, &e);

	if (!src)
		return say(&e, EXIT_USAGE);
	app_init(&app, h, o);
	if (term_open(&app.tty, o, &e) < 0) {
		source_close(src);
		return refuse(&e, plain);
	}
	app_push(&app, view_process_new(&app, src));
	return run(&app);
}

int ui_process(const struct ui_host *h, const struct ui_opts *o, int pid)
{
	cleanup_free char *name = xasprintf("pid:%d", pid);
	cleanup_free char *plain = xasprintf("ckptview save -p %d", pid);

	return open_source(h, o, name, plain);
}

int ui_source(const struct ui_host *h, const struct ui_opts *o, const char *name)
{
	cleanup_free char *plain = xasprintf("ckptview show %s", text_safe(name));

	return open_source(h, o, name, plain);
}

int ui_choose(const struct ui_host *h, const struct ui_opts *o)
{
	struct app app;
	struct err e = {0};

	app_init(&app, h, o);
	if (term_check(&e) < 0 || term_open(&app.tty, o, &e) < 0)
		return refuse(&e, "ckptview save -p PID, ckptview show SOURCE");
	app_push(&app, view_choose_new(&app));
	return run(&app);
}

/* ---- replay ---- */

static int replay_text(struct app *app)
{
	cleanup_buf struct buf out = {0};

	feed_request(app, REQ_FINISH);
	figures_text(app->feed->shot, &out);
	const size_t put = fwrite(out.data, 1, out.len, stdout);

	feed_close(app);
	shot_free(app->shots[0]);
	free(app->shots);
	return put == out.len ? EXIT_DONE : EXIT_USAGE;
}

int ui_replay(const struct ui_host *h, const struct ui_opts *o, const char *events_path)
{
	struct app app;
	struct err e = {0};

	app_init(&app, h, o);
	if (feed_open(&app, events_path, o->speed, &e) < 0)
		return say(&e, EXIT_IMAGE);
	if (o->plain || !isatty(STDOUT_FILENO))
		return replay_text(&app);
	if (term_check(&e) < 0 || term_open(&app.tty, o, &e) < 0) {
		feed_close(&app);
		shot_free(app.shots[0]);
		free(app.shots);
		cleanup_free char *plain =
			xasprintf("ckptview replay --plain %s", text_safe(events_path));

		return refuse(&e, plain);
	}
	app_push(&app, view_shot_new(&app, app.shots[0]));
	return run(&app);
}
