/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The event stream: sending records without ever blocking, reading them back, and cutting lines
 * of text into records and together again. See event.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "model/proc.h"
#include "report/event.h"

#define RETRY_NS (200 * NS_PER_MS)

/* Losing one of these would leave the reader without the outcome: worth a short wait. */
static bool must_arrive(uint32_t type)
{
	return type == EV_STOP_END || type == EV_END || type == EV_ERROR || type == EV_RESULT ||
	       type == EV_DROPPED;
}

/* A pipe takes 64 bytes wholly or not at all (PIPE_BUF); a file or socket may take a part, and
 * then the rest has to follow or every later record is out of step. */
static bool send_record(int fd, const struct event *ev, uint64_t deadline_ns)
{
	const uint8_t *at = (const uint8_t *)ev;
	size_t left = sizeof(*ev);

	while (left) {
		const ssize_t n = write(fd, at, left);

		if (n > 0) {
			at += n;
			left -= (size_t)n;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			return false;
		if (left == sizeof(*ev) && now_ns() >= deadline_ns)
			return false;
		struct pollfd p = {.fd = fd, .events = POLLOUT};
		const int wait_ms = left < sizeof(*ev) ? 100 : ms_until(deadline_ns);

		if (poll(&p, 1, wait_ms) > 0 && (p.revents & (POLLERR | POLLNVAL)))
			return false;
	}
	return true;
}

/* Two threads (tracer and pager) may share one event_out, hence the atomics. */
static void count_lost(struct event_out *out)
{
	__atomic_add_fetch(&out->dropped, 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&out->dropped_all, 1, __ATOMIC_RELAXED);
}

static void tell_lost(struct event_out *out, uint64_t deadline_ns)
{
	const uint64_t lost = __atomic_exchange_n(&out->dropped, 0, __ATOMIC_RELAXED);

	if (!lost)
		return;
	const struct event ev = {.t_ns = now_ns(), .type = EV_DROPPED, .a = lost};

	if (!send_record(out->fd, &ev, deadline_ns))
		__atomic_add_fetch(&out->dropped, lost, __ATOMIC_RELAXED);
}

void event_put(struct event_out *out, struct event ev)
{
	if (out->fd < 0)
		return;
	const int saved_errno = errno;
	const uint64_t now = now_ns();
	const uint64_t deadline_ns = must_arrive(ev.type) ? now + RETRY_NS : now;

	if (!ev.t_ns)
		ev.t_ns = now;
	tell_lost(out, deadline_ns);
	if (!send_record(out->fd, &ev, deadline_ns))
		count_lost(out);
	errno = saved_errno;
}

void event_put_header(struct event_out *out)
{
	struct event ev = {.type = EV_HEADER, .a = EVENT_VERSION};

	memcpy(ev.text, EVENT_MAGIC, sizeof(EVENT_MAGIC) - 1);
	event_put(out, ev);
}

void event_put_text(struct event_out *out, enum event_type type, uint64_t a, const char *text)
{
	size_t left = strlen(text);

	do {
		const size_t n = left < sizeof(((struct event *)0)->text) ? left : 16;
		struct event ev = {.type = type};

		memcpy(ev.text, text, n);
		text += n;
		left -= n;
		if (!left) {
			ev.a = a;
			ev.b = 1;
		}
		event_put(out, ev);
	} while (left);
}

const char *event_text_add(struct event_text *t, const struct event *ev)
{
	const size_t n = strnlen(ev->text, sizeof(ev->text));
	const size_t room = sizeof(t->line) - 1 - t->len;
	const size_t take = n < room ? n : room;

	memcpy(t->line + t->len, ev->text, take);
	t->len += (unsigned)take;
	t->line[t->len] = 0;
	if (ev->b != 1)
		return NULL;
	t->len = 0;
	return t->line;
}

int event_get(struct event_in *in, struct event *ev)
{
	while (in->have - in->pos < sizeof(*ev)) {
		memmove(in->part, in->part + in->pos, in->have - in->pos);
		in->have -= in->pos;
		in->pos = 0;
		const ssize_t n = read(in->fd, in->part + in->have, sizeof(in->part) - in->have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			return 0;
		in->have += (unsigned)n;
	}
	memcpy(ev, in->part + in->pos, sizeof(*ev));
	in->pos += (unsigned)sizeof(*ev);
	return 1;
}

bool event_valid(const struct event *ev)
{
	if (ev->type < EV_HEADER || ev->type >= EV_TYPES || ev->tid < 0)
		return false;
	if (ev->addr + ev->len < ev->addr)
		return false;
	switch (ev->type) {
	case EV_HEADER:
		return ev->a == EVENT_VERSION && !strncmp(ev->text, EVENT_MAGIC, sizeof(ev->text));
	case EV_BEGIN:
		return ev->a > 0 && ev->a <= INT32_MAX;
	case EV_MAPPING:
		return ev->len > 0 && ev->a <= ev->len && (ev->b >> 8) < VMA_KINDS;
	case EV_COPY:
		return ev->a < COPY_HOWS;
	case EV_STALL:
		return ev->b < STALL_WHYS;
	case EV_ERROR:
	case EV_END:
		return ev->a <= 255;
	default:
		return true;
	}
}

const char *event_stall_name(unsigned why)
{
	static const char *const names[STALL_WHYS] = {
		[STALL_FAULT] = "fault",
		[STALL_SYSCALL] = "syscall",
		[STALL_SIGNAL] = "signal",
		[STALL_ATTACH] = "attach",
		[STALL_FORK] = "fork",
	};

	return why < STALL_WHYS ? names[why] : "?";
}
