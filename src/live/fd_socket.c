/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Sockets: addresses and options, asked of a duplicate; and what only sock_diag(7) tells of unix
 * sockets, the peer and a listener's backlog, asked in the process's own network namespace.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "live/fds.h"

/* ---- unix sockets by netlink ---- */

struct diag_open {
	int netns; /* -1: ours */
	int fd;
};

/* A thread of its own, because setns(2) changes the calling thread for good. */
static void *diag_open_there(void *arg)
{
	struct diag_open *const o = arg;

	if (o->netns < 0 || setns(o->netns, CLONE_NEWNET) == 0)
		o->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	return NULL;
}

static void diag_open(struct fd_ctx *c)
{
	struct stat ours, theirs;
	struct diag_open o = {-1, -1};
	pthread_t thread;

	c->diag_tried = true;
	cleanup_fd int ns = openat(c->l->dirfd, "ns/net", O_RDONLY | O_CLOEXEC);

	if (ns < 0 || fstat(ns, &theirs) < 0 || stat("/proc/self/ns/net", &ours) < 0 ||
		theirs.st_ino == ours.st_ino) {
		diag_open_there(&o);
	} else {
		o.netns = ns;
		if (pthread_create(&thread, NULL, diag_open_there, &o) == 0)
			pthread_join(thread, NULL);
	}
	c->diag = o.fd;
}

static void diag_attributes(const struct nlmsghdr *nl, uint64_t *peer_ino, int32_t *backlog)
{
	const size_t fixed = NLMSG_LENGTH(sizeof(struct unix_diag_msg));

	if (nl->nlmsg_len < fixed)
		return;
	struct cursor c = cursor_of((const char *)nl + fixed, nl->nlmsg_len - fixed);

	while (cursor_left(&c) >= sizeof(struct nlattr)) {
		const uint16_t len = cursor_u16(&c), type = cursor_u16(&c);
		const uint8_t *const value =
			len >= NLA_HDRLEN ? cursor_bytes(&c, len - NLA_HDRLEN) : NULL;
		uint32_t words[2];

		if (!value)
			return;
		if (type == UNIX_DIAG_PEER && len >= NLA_HDRLEN + 4) {
			memcpy(words, value, 4);
			*peer_ino = words[0];
		} else if (type == UNIX_DIAG_RQLEN && len >= NLA_HDRLEN + 8) {
			memcpy(words, value, 8);
			*backlog = (int32_t)words[1];
		}
		cursor_align(&c, NLA_ALIGNTO);
	}
}

bool diag_unix(struct fd_ctx *c, uint64_t ino, uint64_t *peer_ino, int32_t *backlog)
{
	struct {
		struct nlmsghdr nl;
		struct unix_diag_req req;
	} ask = {
		.nl = {.nlmsg_len = sizeof(ask),
			.nlmsg_type = SOCK_DIAG_BY_FAMILY,
			.nlmsg_flags = NLM_F_REQUEST},
		.req = {.sdiag_family = AF_UNIX,
			.udiag_states = ~0u,
			.udiag_ino = (uint32_t)ino,
			.udiag_show = UDIAG_SHOW_PEER | UDIAG_SHOW_RQLEN,
			.udiag_cookie = {~0u, ~0u}},
	};
	union {
		struct nlmsghdr nl;
		uint8_t bytes[4096];
	} answer;

	*peer_ino = 0;
	*backlog = 0;
	if (!c->diag_tried)
		diag_open(c);
	if (c->diag < 0 || send(c->diag, &ask, sizeof(ask), 0) < 0)
		return false;
	const ssize_t n = recv(c->diag, &answer, sizeof(answer), 0);

	if (n < (ssize_t)sizeof(struct nlmsghdr) || answer.nl.nlmsg_len > (size_t)n ||
		answer.nl.nlmsg_type != SOCK_DIAG_BY_FAMILY)
		return false;
	diag_attributes(&answer.nl, peer_ino, backlog);
	return true;
}

/* ---- any socket ---- */

static int32_t option(int fd, int level, int name)
{
	int v = 0;
	socklen_t len = sizeof(v);

	return getsockopt(fd, level, name, &v, &len) == 0 ? v : 0;
}

static void read_addresses(int fd, struct fdesc *f, bool *connected)
{
	struct sockaddr_storage a;
	socklen_t len = sizeof(a);

	if (getsockname(fd, (struct sockaddr *)&a, &len) == 0)
		blob_set(&f->sock_local, &a, MIN((size_t)len, sizeof(a)));
	len = sizeof(a);
	*connected = getpeername(fd, (struct sockaddr *)&a, &len) == 0;
	if (*connected)
		blob_set(&f->sock_remote, &a, MIN((size_t)len, sizeof(a)));
}

static void read_unix(struct fd_ctx *c, struct fdesc *f)
{
	int32_t backlog;

	if (!diag_unix(c, f->ino, &f->sock_peer_ino, &backlog)) {
		proc_warn(c->p, "descriptor %d: peer and backlog of its unix socket are not known",
			f->fd);
		backlog = SOMAXCONN;
	}
	if (f->sock_state == TCP_LISTEN)
		f->sock_backlog = backlog;
}

static void read_inet(int fd, struct fdesc *f)
{
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);

	if (f->sock_family == AF_INET6)
		f->sock_v6only = option(fd, IPPROTO_IPV6, IPV6_V6ONLY);
	if (f->sock_type != SOCK_STREAM || f->sock_proto != IPPROTO_TCP)
		return;
	f->sock_nodelay = option(fd, IPPROTO_TCP, TCP_NODELAY);
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		return;
	f->sock_state = info.tcpi_state;
	/* For a listener tcp_get_info() puts sk_max_ack_backlog there. */
	if (f->sock_state == TCP_LISTEN)
		f->sock_backlog = (int32_t)info.tcpi_sacked;
}

/* Addresses of a socket that still listens or is still connected do not change, and its options
 * hardly ever: what the last reading found is taken over. */
static bool socket_as_before(struct fd_ctx *c, struct fdesc *f, int fd)
{
	const struct fdesc *const old = proc_fd(c->p, f->fd);
	struct sockaddr_storage a;
	socklen_t len = sizeof(a);

	if (!old || old->kind != FD_SOCKET || old->ino != f->ino || old->dev != f->dev ||
		old->sock_type != SOCK_STREAM ||
		(old->sock_family != AF_UNIX && old->sock_family != AF_INET &&
			old->sock_family != AF_INET6))
		return false;
	const bool listens = option(fd, SOL_SOCKET, SO_ACCEPTCONN);
	const bool connected = !listens && getpeername(fd, (struct sockaddr *)&a, &len) == 0;

	if (!(listens && old->sock_state == TCP_LISTEN) &&
		!(connected && old->sock_state == TCP_ESTABLISHED))
		return false;
	f->sock_family = old->sock_family;
	f->sock_type = old->sock_type;
	f->sock_proto = old->sock_proto;
	f->sock_state = old->sock_state;
	blob_set(&f->sock_local, old->sock_local.data, old->sock_local.len);
	blob_set(&f->sock_remote, old->sock_remote.data, old->sock_remote.len);
	f->sock_backlog = old->sock_backlog;
	f->sock_reuseaddr = old->sock_reuseaddr;
	f->sock_reuseport = old->sock_reuseport;
	f->sock_keepalive = old->sock_keepalive;
	f->sock_nodelay = old->sock_nodelay;
	f->sock_v6only = old->sock_v6only;
	f->sock_sndbuf = old->sock_sndbuf;
	f->sock_rcvbuf = old->sock_rcvbuf;
	f->sock_peer_ino = old->sock_peer_ino;
	return true;
}

void fd_read_socket(struct fd_ctx *c, struct fdesc *f)
{
	const int fd = f->flags & O_PATH ? -1 : ctx_dup(c, f);
	bool connected = false;

	f->sock_family = -1;
	if (fd < 0) {
		fd_read_unknown(c, f);
		return;
	}
	if (socket_as_before(c, f, fd))
		return;
	f->sock_family = option(fd, SOL_SOCKET, SO_DOMAIN);
	f->sock_type = option(fd, SOL_SOCKET, SO_TYPE);
	f->sock_proto = option(fd, SOL_SOCKET, SO_PROTOCOL);
	f->sock_reuseaddr = option(fd, SOL_SOCKET, SO_REUSEADDR);
	f->sock_reuseport = option(fd, SOL_SOCKET, SO_REUSEPORT);
	f->sock_keepalive = option(fd, SOL_SOCKET, SO_KEEPALIVE);
	f->sock_sndbuf = option(fd, SOL_SOCKET, SO_SNDBUF);
	f->sock_rcvbuf = option(fd, SOL_SOCKET, SO_RCVBUF);
	read_addresses(fd, f, &connected);
	f->sock_state = option(fd, SOL_SOCKET, SO_ACCEPTCONN) ? TCP_LISTEN
			: connected                           ? TCP_ESTABLISHED
							      : TCP_CLOSE;
	if (f->sock_family == AF_UNIX)
		read_unix(c, f);
	else if (f->sock_family == AF_INET || f->sock_family == AF_INET6)
		read_inet(fd, f);
	else
		fd_read_unknown(c, f);
}
