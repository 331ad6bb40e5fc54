/* SPDX-License-Identifier: GPL-3.0-or-later */
/* POSIX timers as /proc/PID/timers lists them: all but how long they still run. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "live/internal.h"

/* "signal/pid.12", "thread/tid.12", "none/pid.12": how it tells, and whom. */
static void parse_notify(const char *at, struct ptimer *t)
{
	const char *const dot = strchr(at, '.');

	if (strncmp(at, "none", 4) == 0)
		t->notify = SIGEV_NONE;
	else if (strncmp(at, "thread", 6) == 0)
		t->notify = SIGEV_THREAD;
	else
		t->notify = SIGEV_SIGNAL;
	if (strstr(at, "/tid."))
		t->notify |= SIGEV_THREAD_ID;
	t->tid = dot && (t->notify & SIGEV_THREAD_ID) ? (int32_t)strtol(dot + 1, NULL, 10) : 0;
}

int live_timers(struct live *l, struct proc *p, struct err *e)
{
	cleanup_buf struct buf b = {0};
	struct ptimer *t = NULL;

	if (!live_text_try(l, "timers", &b)) {
		if (errno == ESRCH)
			return err_sys(e, 0, "process %d is gone", l->pid);
		proc_warn(p, "POSIX timers are not known: /proc/%d/timers: %s", l->pid,
			strerror(errno));
		return 0;
	}
	struct ptimer *old = p->timers;
	const size_t nold = p->ntimers;
	char *at = (char *)b.data, *line;

	p->timers = NULL;
	p->ntimers = 0;
	while ((line = line_next(&at)) != NULL) {
		if (strncmp(line, "ID: ", 4) == 0) {
			t = array_push(&p->timers, &p->ntimers);
			t->id = (int32_t)strtol(line + 4, NULL, 10);
			/* Values come by injection; those that did are kept. */
			for (size_t i = 0; i < nold; i++) {
				if (old[i].id == t->id)
					*t = old[i];
			}
		} else if (t && strncmp(line, "signal: ", 8) == 0) {
			sscanf(line + 8, "%" SCNd32 "/%" SCNx64, &t->signo, &t->sigev_value);
		} else if (t && strncmp(line, "notify: ", 8) == 0) {
			parse_notify(line + 8, t);
		} else if (t && strncmp(line, "ClockID: ", 9) == 0) {
			t->clockid = (int32_t)strtol(line + 9, NULL, 10);
		}
	}
	free(old);
	return 0;
}
