/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Is a descriptor still as it was read? For those that the process has not touched since. */
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "live/internal.h"

static bool same_file(int fd, const struct fdesc *f)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_ino == f->ino && (uint64_t)st.st_size == f->size &&
	       (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec == f->mtime_ns &&
	       lseek(fd, 0, SEEK_CUR) == f->pos;
}

static bool empty_pipe(int fd, const struct fdesc *f)
{
	int queued;

	return f->content.len == 0 && ioctl(fd, FIONREAD, &queued) == 0 && queued == 0;
}

bool live_fd_same(struct live *l, const struct fdesc *f)
{
	if (f->kind == FD_CHARDEV || f->kind == FD_DIR || f->kind == FD_TTY || f->kind == FD_USERFAULTFD)
		return true;
	if ((f->kind != FD_FILE && f->kind != FD_PIPE) || f->deleted)
		return false;
	cleanup_fd int fd = (int)syscall(SYS_pidfd_getfd, l->pidfd, f->fd, 0);

	return fd >= 0 && (f->kind == FD_FILE ? same_file(fd, f) : empty_pipe(fd, f));
}
