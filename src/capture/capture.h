/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One checkpoint of one process: attach, collect, arm, stop, copy, release, undo. The driver owns the
 * order and the undo list; an engine (engine.h) only knows how memory as of T is got.
 */
#ifndef CKPT_CAPTURE_CAPTURE_H
#define CKPT_CAPTURE_CAPTURE_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "report/event.h"

enum after { AFTER_RUN, AFTER_KILL, AFTER_STOP };

#define CAPTURE_MAX_BUFFER (64ull << 20)
#define CAPTURE_STOP_TIMEOUT_MS 2000

struct capture_opts {
	int pid;
	const char *engine;     /* "auto", "stop", "segv" */
	const char *path;       /* where the image goes */
	bool full;
	enum after after;       /* what becomes of the process when the image is whole */
	uint64_t max_buffer;    /* bytes of pages held in our memory */
	int stop_timeout_ms;    /* how long a thread may take to stop */
	volatile sig_atomic_t *cancel;  /* set by a signal: release everything, no image */
	bool oracle;            /* tests: also copy all memory the slow way while stopped into path.oracle */
};
struct capture_result {
	uint64_t stop_ns, window_ns, total_ns;
	uint64_t image_len, stored, nstalls, stalls_ns;
	char engine[16];
};
/* Takes the checkpoint. On any failure the process runs on unharmed, no file is left, and *e says why (EXIT_UNTRACEABLE or
 * EXIT_CAPTURE). events: where the records go, never NULL. */
int capture_run(const struct capture_opts *o, struct event_out *events, struct capture_result *res, struct err *e);
/* Names of the engines, NULL-ended, for options and help. */
extern const char *const capture_engines[];

#endif
