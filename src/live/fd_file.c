/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Regular files and memfds. A file that still has its name needs no more than that; one that is
 * deleted, and every memfd, lives only in the process, so its bytes are taken along.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "live/fds.h"

/* The bytes wait in memory until the image takes them, so there must be an end to it. */
#define CONTENT_MAX (512ull << 20)

/* Descriptors of one inode have one content: the first to be read carries it. */
static bool content_taken(struct fd_ctx *c, const struct fdesc *f)
{
	for (size_t i = 0; i < c->nfds; i++) {
		if (c->fds[i].ino == f->ino && c->fds[i].dev == f->dev && c->fds[i].content.len)
			return true;
	}
	return false;
}

static void read_content(struct fd_ctx *c, struct fdesc *f)
{
	char link[48];

	if (f->size == 0 || content_taken(c, f))
		return;
	if (f->size > CONTENT_MAX) {
		char size[32];

		proc_warn(c->p, "descriptor %d: the %s of deleted file %s are too much to store",
			f->fd, text_size(size, sizeof(size), f->size), text_safe(f->path));
		return;
	}
	/* Opened anew, because theirs may be for writing only; a new description has its own
	 * position. */
	snprintf(link, sizeof(link), "fd/%d", f->fd);
	cleanup_fd int fd = openat(c->l->dirfd, link, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	const int from = fd >= 0 ? fd : ctx_dup(c, f);
	uint8_t *const data = xmalloc(f->size);
	const ssize_t n = from < 0 ? -1 : pread_all(from, data, f->size, 0);

	if (n < 0) {
		proc_warn(c->p, "descriptor %d: the content of deleted file %s is not stored: %s",
			f->fd, text_safe(f->path), strerror(errno));
		free(data);
		return;
	}
	f->content.mem = (struct blob){data, (size_t)n};
	f->content.len = (uint64_t)n;
}

void fd_read_file(struct fd_ctx *c, struct fdesc *f)
{
	/* secretmem has no kind of its own name and cannot be read by anybody else. */
	if (f->deleted && strcmp(f->path, "/secretmem") == 0) {
		f->kind = FD_OTHER;
		fd_read_unknown(c, f);
		return;
	}
	if (f->deleted && c->content && !(f->flags & O_PATH))
		read_content(c, f);
}

void fd_read_memfd(struct fd_ctx *c, struct fdesc *f)
{
	const int fd = f->flags & O_PATH ? -1 : ctx_dup(c, f);
	const int seals = fd < 0 ? -1 : fcntl(fd, F_GET_SEALS);

	if (seals >= 0)
		f->seals = (uint32_t)seals;
	if (c->content)
		read_content(c, f);
}
