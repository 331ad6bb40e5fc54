/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Engine `stop`: copies everything while the process is stopped. The baseline and the last resort. */
#include "capture/session.h"

static int stop_at_stop(struct capture *c, struct err *e)
{
	if (layout_scan(c, NULL, e) < 0 || layout_reserve(c, e) < 0)
		return -1;
	for (size_t i = 0; i < c->stored.n; i++)
		if (copy_through(c, c->w, c->stored.r[i].start, c->stored.r[i].end, e) < 0)
			return -1;
	return 0;
}

const struct engine engine_stop = {
	.name = "stop",
	.keeps_stopped = true,
	.at_stop = stop_at_stop,
};
