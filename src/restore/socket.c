// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Steps for sockets: listening and bound ones stand at their address again, pairs inside the
 * process are made anew. A connection to somebody else cannot come back: its socket reads as closed
 * by the other side.
 */
#include "restore/fdkind.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

static const struct fdesc *peer_inside(const struct plan *p, const struct fdesc *f)
{
	for (size_t i = 0; f->sock_family == AF_UNIX && f->sock_peer_ino && i < p->proc->nfds;
		i++) {
		const struct fdesc *g = &p->proc->fds[i];

		if (g->kind == FD_SOCKET && g->ino == f->sock_peer_ino && g->ofd != f->ofd)
			return g;
	}
	return NULL;
}

static void set_option(struct fd_maker *m, int at, int level, int name, int32_t value)
{
	const uint64_t d = step_data(m->s, &value, sizeof(value));

	call_quiet(CALL(m->s, SYS_setsockopt, N(at), N(level), N(name), D(d), N(sizeof(value))));
}

/* The kernel doubles buffer sizes that it is given. */
static void set_options(struct fd_maker *m, const struct fdesc *f, int at)
{
	if (f->sock_sndbuf)
		set_option(m, at, SOL_SOCKET, SO_SNDBUF, f->sock_sndbuf / 2);
	if (f->sock_rcvbuf)
		set_option(m, at, SOL_SOCKET, SO_RCVBUF, f->sock_rcvbuf / 2);
	if (f->sock_keepalive)
		set_option(m, at, SOL_SOCKET, SO_KEEPALIVE, 1);
	if (f->sock_nodelay)
		set_option(m, at, IPPROTO_TCP, TCP_NODELAY, 1);
}

static int make_pair(struct fd_maker *m, const struct fdesc *f, const struct fdesc *g)
{
	int ends[2] = {0};
	const uint64_t d = step_data(m->s, ends, sizeof(ends));

	fd_pair(m, CALL(m->s, SYS_socketpair, N(AF_UNIX), N(f->sock_type), N(f->sock_proto), D(d)),
		ends);
	set_options(m, f, ends[0]);
	set_options(m, g, ends[1]);
	/* What waits to be read at one end was written into the other. */
	fd_refill(m, f, ends[1]);
	fd_refill(m, g, ends[0]);
	fd_set_flags(m, f, ends[0]);
	fd_set_flags(m, g, ends[1]);
	fd_place(m, f, ends[0]);
	fd_place(m, g, ends[1]);
	fd_pair_done(m);
	return -1;
}

static int make_closed(struct fd_maker *m, const struct fdesc *f)
{
	int ends[2] = {0};
	const int type = f->sock_type == SOCK_DGRAM || f->sock_type == SOCK_SEQPACKET ? f->sock_type
										      : SOCK_STREAM;

	plan_warn(m->p, "descriptor %d: connection %s led outside: it is closed", f->fd,
		f->path ? f->path : "");
	const uint64_t d = step_data(m->s, ends, sizeof(ends));

	fd_pair(m, CALL(m->s, SYS_socketpair, N(AF_UNIX), N(type), N(0), D(d)), ends);
	fd_set_flags(m, f, ends[0]);
	fd_place(m, f, ends[0]);
	fd_pair_done(m);
	return -1;
}

static bool has_address(const struct fdesc *f)
{
	struct sockaddr_in in;

	if (f->sock_local.len <= sizeof(sa_family_t))
		return false;
	if (f->sock_family != AF_INET && f->sock_family != AF_INET6)
		return true;
	if (f->sock_local.len < 8)
		return false;
	memcpy(&in, f->sock_local.data, 8); /* the port stands at the same place in both */
	return in.sin_port != 0;
}

static void bind_address(struct fd_maker *m, const struct fdesc *f, int at)
{
	const uint64_t d = step_data(m->s, f->sock_local.data, f->sock_local.len);

	/* A socket file of the dead process is in the way; the check has seen that nobody listens
	 * on it. */
	if (f->sock_family == AF_UNIX && f->sock_local.data[2]) {
		char path[sizeof(struct sockaddr_un)] = {0};

		memcpy(path, f->sock_local.data + 2, MIN(f->sock_local.len - 2, sizeof(path) - 1));
		const uint64_t name = step_str(m->s, path);

		call_quiet(CALL(m->s, SYS_unlink, D(name)));
	}
	set_option(m, at, SOL_SOCKET, SO_REUSEADDR, 1);
	if (f->sock_reuseport)
		set_option(m, at, SOL_SOCKET, SO_REUSEPORT, 1);
	if (f->sock_family == AF_INET6)
		set_option(m, at, IPPROTO_IPV6, IPV6_V6ONLY, f->sock_v6only);
	CALL(m->s, SYS_bind, N(at), D(d), N(f->sock_local.len));
	if (!f->sock_reuseaddr && f->sock_family != AF_UNIX)
		set_option(m, at, SOL_SOCKET, SO_REUSEADDR, 0);
}

static bool is_connected(const struct fdesc *f)
{
	return f->sock_state != TCP_LISTEN &&
	       (f->sock_remote.len || f->sock_state == TCP_ESTABLISHED ||
		       (f->sock_family == AF_UNIX && f->sock_peer_ino));
}

/* Datagrams know no connection but the address: it is simply set again. */
static bool is_addressed(const struct fdesc *f)
{
	return f->sock_type == SOCK_DGRAM && f->sock_remote.len > sizeof(sa_family_t);
}

int make_socket(struct fd_maker *m, const struct fdesc *f)
{
	const struct fdesc *peer = peer_inside(m->p, f);

	if (f->sock_family < 0) {
		plan_warn(m->p,
			"descriptor %d: its socket is of an unknown kind: /dev/null takes its "
			"place",
			f->fd);
		return make_placeholder(m, f);
	}
	if (peer)
		return make_pair(m, f, peer);
	if (is_connected(f) && !is_addressed(f))
		return make_closed(m, f);
	const int at = fd_expect(
		m, CALL(m->s, SYS_socket, N(f->sock_family), N(f->sock_type), N(f->sock_proto)));

	set_options(m, f, at);
	if (has_address(f))
		bind_address(m, f, at);
	if (is_addressed(f)) {
		const uint64_t d = step_data(m->s, f->sock_remote.data, f->sock_remote.len);

		call_may_fail(CALL(m->s, SYS_connect, N(at), D(d), N(f->sock_remote.len)),
			"nobody is at its address");
	}
	if (f->sock_state == TCP_LISTEN)
		CALL(m->s, SYS_listen, N(at), N(f->sock_backlog));
	fd_set_flags(m, f, at);
	return at;
}
