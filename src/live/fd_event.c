/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Descriptors whose whole state stands in their fdinfo (proc(5)): eventfd, timerfd, signalfd,
 * epoll, pidfd.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/text.h"
#include "live/fds.h"

void fd_read_eventfd(struct fd_ctx *c, struct fdesc *f)
{
	f->event_count = text_field_u64(c->fdinfo, "eventfd-count", 16);
	if (text_field(c->fdinfo, "eventfd-semaphore"))
		f->event_flags =
			text_field_u64(c->fdinfo, "eventfd-semaphore", 10) ? EFD_SEMAPHORE : 0;
	else
		proc_warn(c->p,
			"descriptor %d: this kernel does not tell whether an eventfd is a "
			"semaphore",
			f->fd);
}

/* "(seconds, nanoseconds)" */
static uint64_t parse_timespec(const char *at)
{
	uint64_t s = 0, ns = 0;

	if (!at || sscanf(at, "(%" SCNu64 ", %" SCNu64 ")", &s, &ns) != 2)
		return 0;
	return s * 1000000000 + ns;
}

void fd_read_timerfd(struct fd_ctx *c, struct fdesc *f)
{
	f->timer_clockid = (int32_t)text_field_u64(c->fdinfo, "clockid", 10);
	f->timer_ticks = text_field_u64(c->fdinfo, "ticks", 10);
	f->timer_flags = (uint32_t)text_field_u64(c->fdinfo, "settime flags", 8);
	f->timer_value_ns = parse_timespec(text_field(c->fdinfo, "it_value"));
	f->timer_interval_ns = parse_timespec(text_field(c->fdinfo, "it_interval"));
}

void fd_read_signalfd(struct fd_ctx *c, struct fdesc *f)
{
	f->signal_mask = text_field_u64(c->fdinfo, "sigmask", 16);
}

/* "tfd:        5 events:       19 data: 5  pos:0 ino:1a sdev:d": the last three say which file was
 * meant. */
void fd_read_epoll(struct fd_ctx *c, struct fdesc *f)
{
	for (const char *at = strstr(c->fdinfo, "tfd:"); at; at = strstr(at + 4, "tfd:")) {
		struct epoll_entry en = {0};

		if (sscanf(at, "tfd: %" SCNd32 " events: %" SCNx32 " data: %" SCNx64, &en.fd,
			    &en.events, &en.data) == 3)
			*array_push(&f->epoll, &f->nepoll) = en;
	}
}

void fd_read_pidfd(struct fd_ctx *c, struct fdesc *f)
{
	const char *const pid = text_field(c->fdinfo, "Pid");

	f->pidfd_pid = pid ? (int32_t)strtol(pid, NULL, 10) : -1;
}
