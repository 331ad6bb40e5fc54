/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Terminals: the modes a program has set (raw, no echo), as the kernel keeps them. */
#include <asm/termbits.h>
#include <fcntl.h>
#include <sys/ioctl.h>

#include "live/fds.h"

void fd_read_tty(struct fd_ctx *c, struct fdesc *f)
{
	struct termios2 t;

	if (!c->content || (f->flags & O_PATH))
		return;
	const int fd = ctx_dup(c, f);

	if (fd >= 0 && ioctl(fd, TCGETS2, &t) == 0)
		blob_set(&f->termios, &t, sizeof(t));
}
