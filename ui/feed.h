/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Where the events of the checkpoint on the screen come from: a tracer at work, or a recording
 * that is paced as it was recorded.
 */
#ifndef CKPT_UI_FEED_H
#define CKPT_UI_FEED_H

#include "ui/app.h"

struct feed {
	struct shot *shot;  /* not owned */
	struct event_in in; /* in.fd is the feed's in a replay, the job's otherwise */
	void *job;          /* NULL in a replay */
	/* replay */
	struct event next; /* read, not due yet */
	bool have_next, paused, at_end;
	double speed;
	uint64_t first_ns; /* time of the first record */
	uint64_t played_ns, last_now_ns;
};

/* Starts a checkpoint of pid; its shot is the newest of app->shots. -1: the message says why. */
int feed_start(struct app *app, int pid, const char *engine, const char *path);
/* Opens a recording; checks its header. */
int feed_open(struct app *app, const char *path, double speed, struct err *e);
/* How long the loop may sleep, -1: for ever. */
int feed_timeout_ms(const struct feed *f);
/* Takes what has come, or is due. Ends and frees app->feed when a job's events end. */
void feed_run(struct app *app);
/* Asks a running checkpoint to end. */
void feed_cancel(struct app *app);
/* Waits for a running checkpoint that was cancelled; frees the feed. */
void feed_close(struct app *app);
/* Keys of a replay: true when it was one. */
bool feed_request(struct app *app, enum request req);
bool feed_running(const struct app *app); /* a checkpoint, not a replay */

#endif
