/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Feeding events into a shot: from a tracer's pipe, or from a recording at its own pace. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "ui/feed.h"

#define AT_ONCE 20000 /* records between two looks at the keyboard */
#define CLOSE_TIMEOUT_MS 10000

bool feed_running(const struct app *app)
{
	return app->feed && app->feed->job;
}

/* ---- a tracer's events ---- */

int feed_start(struct app *app, int pid, const char *engine, const char *path)
{
	struct err e = {0};
	void *job;
	int fd;

	if (app->host->start(pid, engine, path, &job, &fd, &e) < 0) {
		app_message(app, "%s", e.text);
		return -1;
	}
	struct shot *const s = app_shot(app);

	s->pid = pid;
	s->engine = xstrdup(engine);
	s->path = xstrdup(path);
	s->running = true;
	s->started_ns = app->now_ns;
	app->feed = xcalloc(1, sizeof(*app->feed));
	*app->feed = (struct feed){.shot = s, .in = {.fd = fd}, .job = job};
	return 0;
}

static void end_job(struct app *app)
{
	struct feed *const f = app->feed;
	struct shot *const s = f->shot;

	s->exit_code = app->host->finish(f->job);
	s->running = false;
	if (s->stats.end_ns)
		s->elapsed_ns = s->stats.end_ns - MIN(s->stats.begin_ns, s->stats.end_ns);
	free(f);
	app->feed = NULL;
	app->dirty = true;
	if (s->exit_code == EXIT_DONE)
		app_message(app, "checkpoint taken: %s", text_safe(s->path));
	else if (s->cancelled)
		app_message(app, "checkpoint cancelled; the process runs on");
	else
		app_message(app, "checkpoint failed: %s", text_safe(s->stats.error));
}

static void run_job(struct app *app)
{
	struct feed *const f = app->feed;
	struct event ev;

	const struct stats *const st = &f->shot->stats;

	f->shot->elapsed_ns =
		app->now_ns - MIN(st->begin_ns ? st->begin_ns : f->shot->started_ns, app->now_ns);
	stats_reach(&f->shot->stats, app->now_ns);
	app->dirty = true;
	for (int i = 0; i < AT_ONCE; i++) {
		const int got = event_get(&f->in, &ev);

		if (got > 0) {
			stats_add(&f->shot->stats, &ev);
			continue;
		}
		if (got == 0 || errno != EAGAIN)
			end_job(app);
		return;
	}
}

void feed_cancel(struct app *app)
{
	if (!feed_running(app))
		return;
	app->feed->shot->cancelled = true;
	app->host->cancel(app->feed->job);
	app_message(app, "cancelling: everything is released first");
}

void feed_close(struct app *app)
{
	const uint64_t deadline_ns = now_ns() + CLOSE_TIMEOUT_MS * NS_PER_MS;

	while (feed_running(app) && now_ns() < deadline_ns) {
		struct pollfd p = {.fd = app->feed->in.fd, .events = POLLIN};

		poll(&p, 1, ms_until(deadline_ns));
		run_job(app);
	}
	if (feed_running(app))
		end_job(app);
	if (!app->feed)
		return;
	close(app->feed->in.fd);
	free(app->feed);
	app->feed = NULL;
}

/* ---- a recording ---- */

/* Makes f->next the next sane record. False at the end. */
static bool load_next(struct feed *f)
{
	while (!f->have_next && event_get(&f->in, &f->next) > 0)
		f->have_next = event_valid(&f->next) && f->next.type != EV_HEADER;
	return f->have_next;
}

static void rewind_recording(struct feed *f)
{
	lseek(f->in.fd, 0, SEEK_SET);
	f->in = (struct event_in){.fd = f->in.fd};
	f->have_next = f->at_end = f->paused = false;
	f->played_ns = 0;
	f->last_now_ns = 0;
	f->first_ns = load_next(f) ? f->next.t_ns : 0;
	stats_deinit(&f->shot->stats);
	stats_init(&f->shot->stats);
	f->shot->elapsed_ns = 0;
	f->shot->exit_code = -1;
	f->shot->running = true;
}

int feed_open(struct app *app, const char *path, double speed, struct err *e)
{
	struct event_in in = {.fd = open(path, O_RDONLY | O_CLOEXEC)};
	struct event ev;

	if (in.fd < 0)
		return err_sys(e, EXIT_USAGE, "replay %s", text_safe(path));
	if (event_get(&in, &ev) <= 0 || ev.type != EV_HEADER || !event_valid(&ev) ||
		lseek(in.fd, 0, SEEK_SET) < 0) {
		close(in.fd);
		return err_set(
			e, EXIT_IMAGE, "replay %s: not a file of recorded events", text_safe(path));
	}
	struct shot *const s = app_shot(app);

	s->replay = true;
	s->path = xstrdup(path);
	app->feed = xcalloc(1, sizeof(*app->feed));
	*app->feed = (struct feed){.shot = s, .in = in, .speed = speed};
	rewind_recording(app->feed);
	return 0;
}

static uint64_t next_at(const struct feed *f)
{
	return f->next.t_ns - MIN(f->first_ns, f->next.t_ns);
}

static void at_end(struct feed *f)
{
	f->at_end = true;
	f->shot->running = false;
	f->shot->exit_code = f->shot->stats.exit_code;
}

/* Plays at most AT_ONCE records that are due. */
static void play(struct feed *f, bool all)
{
	struct stats *const st = &f->shot->stats;

	for (int i = 0; (i < AT_ONCE || all) && load_next(f); i++) {
		if (!all && next_at(f) > f->played_ns)
			break;
		stats_add(st, &f->next);
		f->have_next = false;
	}
	if (!load_next(f))
		at_end(f);
	f->shot->elapsed_ns =
		f->at_end ? st->last_ns - MIN(st->begin_ns, st->last_ns) : f->played_ns;
	stats_reach(st, st->begin_ns + f->shot->elapsed_ns);
}

static void run_replay(struct app *app)
{
	struct feed *const f = app->feed;
	const uint64_t passed = f->last_now_ns ? app->now_ns - f->last_now_ns : 0;

	f->last_now_ns = app->now_ns;
	if (f->at_end || f->paused)
		return;
	f->played_ns += (uint64_t)((double)passed * f->speed);
	play(f, false);
	app->dirty = true;
}

bool feed_request(struct app *app, enum request req)
{
	struct feed *const f = app->feed;

	if (!f || f->job)
		return false;
	switch (req) {
	case REQ_PAUSE:
		f->paused = !f->paused;
		app_message(app, f->paused ? "paused" : "going on");
		return true;
	case REQ_FASTER:
	case REQ_SLOWER:
		f->speed = MIN(MAX(f->speed * (req == REQ_FASTER ? 2 : 0.5), 1.0 / 4096), 4096.0);
		app_message(app, "speed %g", f->speed);
		return true;
	case REQ_FINISH:
		f->paused = false;
		if (!f->at_end)
			play(f, true);
		return true;
	case REQ_RESTART:
		rewind_recording(f);
		return true;
	default:
		return false;
	}
}

/* ---- both ---- */

int feed_timeout_ms(const struct feed *f)
{
	if (!f || f->at_end || f->paused)
		return -1;
	/* Looking again after 5 ms, instead of waking up for every record, leaves the CPU to the
	 * tracer and to the process that is watched. */
	return f->job ? 5 : 50;
}

void feed_run(struct app *app)
{
	if (feed_running(app))
		run_job(app);
	else if (app->feed)
		run_replay(app);
}
