/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Reading and writing files whole: retries what signals interrupt, finishes what came back short.
 */
#include "base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int file_read(int dirfd, const char *path, struct buf *b)
{
	const int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return -1;
	for (;;) {
		/* Growing by doubling keeps big /proc files at few reads, each of them whole lines.
		 */
		const size_t want = MAX((size_t)4096, b->cap - b->len);
		const size_t had = b->len;

		buf_zero(b, want);
		const ssize_t n = read(fd, b->data + had, want);

		b->len = had + (n > 0 ? (size_t)n : 0);
		if (n == 0)
			break;
		if (n < 0 && errno != EINTR) {
			const int sys = errno;

			close(fd);
			errno = sys;
			return -1;
		}
	}
	close(fd);
	return 0;
}

int write_all(int fd, const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len) {
		const ssize_t n = write(fd, p, len);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -1;
		}
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int pwrite_all(int fd, const void *data, size_t len, off_t off)
{
	const uint8_t *p = data;

	while (len) {
		const ssize_t n = pwrite(fd, p, len, off);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -1;
		}
		p += n;
		off += n;
		len -= (size_t)n;
	}
	return 0;
}

ssize_t pread_all(int fd, void *data, size_t len, off_t off)
{
	uint8_t *const p = data;
	size_t done = 0;

	while (done < len) {
		const ssize_t n = pread(fd, p + done, len - done, off + (off_t)done);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -1;
		}
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}
