/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Inotify watches. The kernel tells each watch's inode and a file handle but no path, so the handle
 * is opened on a mount of the same device and its link read.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/text.h"
#include "live/fds.h"

#define HANDLE_MAX 128

struct handle {
	struct file_handle head;
	unsigned char bytes[HANDLE_MAX];
};

/* "fhandle-bytes:8 fhandle-type:1 f_handle:4d2c..." */
static bool parse_handle(const char *at, struct handle *h)
{
	unsigned int len, type;
	int skip = 0;

	at = strstr(at, "fhandle-bytes:");
	if (!at ||
		sscanf(at, "fhandle-bytes:%x fhandle-type:%x f_handle:%n", &len, &type, &skip) !=
			2 ||
		!skip || len > HANDLE_MAX)
		return false;
	at += skip;
	for (unsigned int i = 0; i < len; i++) {
		if (sscanf(at + i * 2, "%2hhx", &h->bytes[i]) != 1)
			return false;
	}
	h->head.handle_bytes = len;
	h->head.handle_type = (int)type;
	return true;
}

/* \040 and the like, as mountinfo has them. */
static void octal_unescape(char *s)
{
	char *to = s;

	while (*s) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
			s[3] >= '0' && s[3] <= '7') {
			*to++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
			s += 4;
		} else {
			*to++ = *s++;
		}
	}
	*to = 0;
}

/* Opens the handle through this mount point; the path it has there, or NULL. */
static char *open_on(struct live *l, const char *mount, struct handle *h)
{
	cleanup_fd int mfd = live_open_path(l, mount);
	char link[64];

	if (mfd < 0)
		return NULL;
	cleanup_fd int fd = open_by_handle_at(mfd, &h->head, O_PATH | O_CLOEXEC);

	if (fd < 0)
		return NULL;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	return link_read(AT_FDCWD, link);
}

/* sdev is the kernel's own dev_t: 12 bits of major above 20 of minor. */
static char *resolve(struct fd_ctx *c, uint32_t sdev, struct handle *h)
{
	cleanup_buf struct buf b = {0};

	if (!c->mountinfo && live_text_try(c->l, "mountinfo", &b))
		c->mountinfo = buf_steal_str(&b);
	for (const char *at = c->mountinfo; at && *at;
		at = strchrnul(at, '\n'), at += *at == '\n') {
		unsigned int maj, min;
		char root[4096], mount[4096];

		if (sscanf(at, "%*d %*d %u:%u %4095s %4095s", &maj, &min, root, mount) != 4 ||
			maj != sdev >> 20 || min != (sdev & 0xfffff))
			continue;
		octal_unescape(mount);
		char *const path = open_on(c->l, mount, h);

		if (path)
			return path;
	}
	/* The root of a chroot is no mount point, and stands in no list. */
	struct stat st;

	if (fstatat(c->l->dirfd, "root/", &st, 0) == 0 && major(st.st_dev) == sdev >> 20 &&
		minor(st.st_dev) == (sdev & 0xfffff))
		return open_on(c->l, "/", h);
	return NULL;
}

/* The path found at the last reading: before the stop there is time to look, in it there is none.
 */
static char *known_path(struct fd_ctx *c, int fd, const struct inotify_watch *w)
{
	const struct fdesc *const old = proc_fd(c->p, fd);

	for (size_t i = 0; old && i < old->ninotify; i++) {
		if (old->inotify[i].wd == w->wd && old->inotify[i].ino == w->ino &&
			old->inotify[i].dev == w->dev)
			return xstrdup(old->inotify[i].path);
	}
	return NULL;
}

/* "inotify wd:1 ino:3c sdev:fe00002 mask:fce ignored_mask:0 fhandle-bytes:8 ...", all of it hex. */
void fd_read_inotify(struct fd_ctx *c, struct fdesc *f)
{
	for (const char *at = strstr(c->fdinfo, "inotify wd:"); at;
		at = strstr(at + 8, "inotify wd:")) {
		struct inotify_watch w = {0};
		struct handle h;
		uint32_t wd;

		if (sscanf(at,
			    "inotify wd:%" SCNx32 " ino:%" SCNx64 " sdev:%" SCNx32 " mask:%" SCNx32,
			    &wd, &w.ino, &w.dev, &w.mask) != 4)
			continue;
		w.wd = (int32_t)wd;
		w.path = known_path(c, f->fd, &w);
		if (!w.path && parse_handle(at, &h))
			w.path = resolve(c, w.dev, &h);
		if (!w.path)
			proc_warn(c->p, "descriptor %d: the path of inotify watch %d is not known",
				f->fd, w.wd);
		*array_push(&f->inotify, &f->ninotify) = w;
	}
}
