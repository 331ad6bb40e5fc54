/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Runs a plan. */
#ifndef CKPT_RESTORE_RUN_H
#define CKPT_RESTORE_RUN_H

#include "restore/plan.h"

struct restored {
	int pid; /* in our pid namespace; our child */
	char **warnings;
	size_t nwarnings;
};
/* Runs all steps; on failure the half-built process is killed and reaped, *e (EXIT_RESTORE, or
 * EXIT_IMAGE for a broken image) names the step, and nothing is left. On success the process runs
 * (or is stopped with opts.stopped) and is our child; SIGHUP, SIGINT, SIGQUIT and SIGTERM are
 * blocked then, so that what would end us does not look like a failure. */
int plan_run(struct plan *p, struct restored *out, struct err *e);
void restored_deinit(struct restored *out);

#endif
