/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Descriptors in words: how they are open, and what each kind holds. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/text.h"
#include "model/fields.h"
#include "model/print.h"

static char *put(char *out, size_t cap, const struct buf *b)
{
	snprintf(out, cap, "%.*s", (int)b->len, b->len ? (const char *)b->data : "");
	return out;
}

char *sigmask_text(uint64_t mask, char *out, size_t cap)
{
	/* KILL and STOP cannot be blocked: everything else is all. */
	const uint64_t all = ~(1ull << 8 | 1ull << 18);
	const bool invert = __builtin_popcountll(mask & all) > 32;
	const uint64_t show = invert ? ~mask & all : mask;
	cleanup_buf struct buf b = {0};

	if (show == 0)
		buf_add_str(&b, invert ? "all" : "none");
	else if (invert)
		buf_add_str(&b, "all but");
	for (int s = 1; s <= NSIGNALS; s++) {
		if (show >> (s - 1) & 1)
			buf_printf(&b, "%s%s", b.len ? " " : "", signal_name(s));
	}
	return put(out, cap, &b);
}

const char *sched_policy_name(int policy)
{
	static const char *const names[] = {
		"other", "fifo", "rr", "batch", "iso", "idle", "deadline", "ext"};

	return policy >= 0 && policy < (int)ARRAY_LEN(names) ? names[policy] : "?";
}

char *sockaddr_text(const struct blob *addr, char *out, size_t cap)
{
	struct sockaddr_storage s = {0};
	char ip[INET6_ADDRSTRLEN] = "", name[4 * sizeof(((struct sockaddr_un *)0)->sun_path) + 1];

	if (addr->len)
		memcpy(&s, addr->data, MIN(addr->len, sizeof(s)));
	const struct sockaddr_in *const in = (const struct sockaddr_in *)&s;
	const struct sockaddr_in6 *const in6 = (const struct sockaddr_in6 *)&s;
	const struct sockaddr_un *const un = (const struct sockaddr_un *)&s;
	const size_t fixed = offsetof(struct sockaddr_un, sun_path);

	if (s.ss_family == AF_INET) {
		inet_ntop(AF_INET, &in->sin_addr, ip, sizeof(ip));
		snprintf(out, cap, "%s:%u", ip, ntohs(in->sin_port));
	} else if (s.ss_family == AF_INET6) {
		inet_ntop(AF_INET6, &in6->sin6_addr, ip, sizeof(ip));
		snprintf(out, cap, "[%s]:%u", ip, ntohs(in6->sin6_port));
	} else if (s.ss_family == AF_UNIX && addr->len > fixed) {
		const bool abstract = un->sun_path[0] == 0;
		const size_t len = MIN(addr->len - fixed, sizeof(un->sun_path));

		text_escape(name, sizeof(name), un->sun_path + abstract,
			abstract ? len - 1 : strnlen(un->sun_path, len));
		snprintf(out, cap, "%s%s", abstract ? "@" : "", name);
	} else {
		snprintf(out, cap, "%s", "-");
	}
	return out;
}

char *fd_flags_text(const struct fdesc *f, char *out, size_t cap)
{
	static const struct {
		uint32_t bit;
		const char *name;
	} bits[] = {
		{O_APPEND, "append"},
		{O_NONBLOCK, "nonblock"},
		{O_DIRECT, "direct"},
		{O_DSYNC, "dsync"},
		{O_ASYNC, "async"},
		{O_NOATIME, "noatime"},
		{O_PATH, "path"},
	};
	static const char *const access_names[] = {"r", "w", "rw", "?"};
	cleanup_buf struct buf b = {0};

	buf_add_str(&b, access_names[f->flags & O_ACCMODE]);
	for (size_t i = 0; i < ARRAY_LEN(bits); i++) {
		if (f->flags & bits[i].bit)
			buf_printf(&b, " %s", bits[i].name);
	}
	if (f->cloexec)
		buf_add_str(&b, " cloexec");
	return put(out, cap, &b);
}

static void socket_text(const struct fdesc *f, struct buf *b)
{
	static const char *const states[] = {
		[TCP_ESTABLISHED] = "connected",
		[TCP_LISTEN] = "listening",
		[TCP_CLOSE] = "unconnected",
	};
	const char *const family = f->sock_family == AF_UNIX      ? "unix"
				   : f->sock_family == AF_INET    ? "inet"
				   : f->sock_family == AF_INET6   ? "inet6"
				   : f->sock_family == AF_NETLINK ? "netlink"
								  : "family";
	const char *const type = f->sock_type == SOCK_STREAM      ? "stream"
				 : f->sock_type == SOCK_DGRAM     ? "dgram"
				 : f->sock_type == SOCK_SEQPACKET ? "seqpacket"
								  : "raw";
	char local[512], remote[512];

	buf_printf(b, "%s %s", family, type);
	if (f->sock_state > 0 && f->sock_state < (int)ARRAY_LEN(states) && states[f->sock_state])
		buf_printf(b, " %s", states[f->sock_state]);
	else
		buf_printf(b, " state %d", f->sock_state);
	buf_printf(b, " %s", sockaddr_text(&f->sock_local, local, sizeof(local)));
	if (f->sock_remote.len)
		buf_printf(b, " to %s", sockaddr_text(&f->sock_remote, remote, sizeof(remote)));
	if (f->sock_backlog)
		buf_printf(b, ", backlog %d", f->sock_backlog);
	if (f->sock_peer_ino)
		buf_printf(b, ", peer socket:[%" PRIu64 "]", f->sock_peer_ino);
}

static void kind_text(const struct fdesc *f, struct buf *b)
{
	char one[512], two[32];

	switch (f->kind) {
	case FD_FILE:
	case FD_MEMFD:
		buf_printf(b, "at %" PRId64 " of %" PRIu64, f->pos, f->size);
		break;
	case FD_PIPE:
	case FD_FIFO:
		buf_printf(b, "capacity %s", text_size(one, sizeof(one), f->pipe_cap));
		if (f->other_end_outside)
			buf_add_str(b, ", other end outside");
		if (f->other_end_closed)
			buf_add_str(b, ", other end closed");
		break;
	case FD_EVENTFD:
		buf_printf(b, "count %" PRIu64 "%s", f->event_count,
			f->event_flags & EFD_SEMAPHORE ? ", semaphore" : "");
		break;
	case FD_TIMERFD:
		buf_printf(b, "clock %d, %s left, every %s, ticks %" PRIu64, f->timer_clockid,
			text_time(one, sizeof(one), f->timer_value_ns),
			text_time(two, sizeof(two), f->timer_interval_ns), f->timer_ticks);
		break;
	case FD_SIGNALFD:
		buf_add_str(b, sigmask_text(f->signal_mask, one, sizeof(one)));
		break;
	case FD_EPOLL:
		buf_add_str(b, f->nepoll ? "watches" : "watches nothing");
		for (size_t i = 0; i < f->nepoll; i++)
			buf_printf(b, " %d", f->epoll[i].fd);
		break;
	case FD_INOTIFY:
		buf_add_str(b, f->ninotify ? "watches" : "watches nothing");
		for (size_t i = 0; i < f->ninotify; i++)
			buf_printf(
				b, " %s", f->inotify[i].path ? text_safe(f->inotify[i].path) : "?");
		break;
	case FD_PIDFD:
		buf_printf(b, "process %d", f->pidfd_pid);
		break;
	case FD_SOCKET:
		socket_text(f, b);
		break;
	default:
		break;
	}
}

char *fd_detail_text(const struct fdesc *f, char *out, size_t cap)
{
	cleanup_buf struct buf b = {0};
	char size[32];

	kind_text(f, &b);
	if (f->deleted && f->kind != FD_MEMFD)
		buf_printf(&b, "%sdeleted", b.len ? ", " : "");
	if (f->content.len)
		buf_printf(&b, "%s%s stored", b.len ? ", " : "",
			text_size(size, sizeof(size), f->content.len));
	if (f->locks)
		buf_printf(&b, "%slocked", b.len ? ", " : "");
	if (f->ofd != f->fd)
		buf_printf(&b, "%ssame as %d", b.len ? ", " : "", f->ofd);
	return put(out, cap, &b);
}
