/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The curses UI: what main.c needs of it. */
#ifndef CKPT_UI_UI_H
#define CKPT_UI_UI_H

#include <stdbool.h>
#include <stddef.h>
#include "base/err.h"
#include "model/source.h"

/* What the screens need of layers they do not see: given by main.c. */
struct ui_host {
	/* Starts a checkpoint of pid in a process of its own; *fd gives its events (non-blocking),
	 * *job is for the others. */
	int (*start)(
		int pid, const char *engine, const char *path, void **job, int *fd, struct err *e);
	void (*cancel)(void *job);
	int (*finish)(void *job); /* after the end of events: reaps, frees; exit code */
	struct source *(*open)(const char *name, struct err *e);
	const char *const *engines; /* NULL-ended */
};
struct ui_opts {
	bool ascii, no_mouse, plain;
	int color;    /* -1 auto, 0 never, 1 always */
	double speed; /* of replay: 1 as recorded */
};
/* Each returns an exit code; they print their own last words on stderr after the terminal is
 * restored. */
int ui_process(const struct ui_host *h, const struct ui_opts *o, int pid);
int ui_source(const struct ui_host *h, const struct ui_opts *o, const char *name);
int ui_replay(const struct ui_host *h, const struct ui_opts *o, const char *events_path);
int ui_choose(const struct ui_host *h, const struct ui_opts *o);

#endif
