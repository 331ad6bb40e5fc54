/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Inside live_fds: one reader per kind of descriptor, each in the file of its group, found by the
 * table in fds.c.
 */
#ifndef CKPT_LIVE_FDS_H
#define CKPT_LIVE_FDS_H

#include "live/internal.h"

struct fd_ctx {
	struct live *l;
	struct proc *p; /* for warnings; p->fds is still the last reading */
	bool content;
	const char *fdinfo; /* of the descriptor at hand, NUL-terminated */
	int dup;            /* a duplicate of it, -1: not taken (see ctx_dup) */
	/* the descriptors read so far */
	struct fdesc *fds;
	size_t nfds;
	int diag; /* unix sock_diag socket in the process's network namespace, -1: none */
	bool diag_tried;
	char *mountinfo; /* read once, when inotify needs it */
	int pipe[2];     /* ours, for looking into pipes; -1: not made */
};
/* The duplicate of f's descriptor, taken at the first call; -1 with errno. */
int ctx_dup(struct fd_ctx *c, const struct fdesc *f);

void fd_read_eventfd(struct fd_ctx *c, struct fdesc *f);
void fd_read_timerfd(struct fd_ctx *c, struct fdesc *f);
void fd_read_signalfd(struct fd_ctx *c, struct fdesc *f);
void fd_read_epoll(struct fd_ctx *c, struct fdesc *f);
void fd_read_pidfd(struct fd_ctx *c, struct fdesc *f);
void fd_read_inotify(struct fd_ctx *c, struct fdesc *f);
void fd_read_pipe(struct fd_ctx *c, struct fdesc *f);
void fd_read_socket(struct fd_ctx *c, struct fdesc *f);
void fd_read_file(struct fd_ctx *c, struct fdesc *f);
void fd_read_memfd(struct fd_ctx *c, struct fdesc *f);
void fd_read_tty(struct fd_ctx *c, struct fdesc *f);
void fd_read_unknown(struct fd_ctx *c, struct fdesc *f);

/* After all are read: which ends of pipes are not here; which share an open file description. */
void fds_pair_pipes(struct fdesc *fds, size_t n);
void fds_share(struct fd_ctx *c, struct fdesc *fds, size_t n);

/* What unix sock_diag tells of the socket with inode ino. False: not found. */
bool diag_unix(struct fd_ctx *c, uint64_t ino, uint64_t *peer_ino, int32_t *backlog);

#endif
