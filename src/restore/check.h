/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a STEP_CHECK is about: one byte, its data. */
#ifndef CKPT_RESTORE_CHECK_H
#define CKPT_RESTORE_CHECK_H

#include <stdbool.h>
#include "model/proc.h"

enum check_kind {
	CHECK_MAPPED, /* idx: of the mapping */
	CHECK_OPEN,   /* idx: of the descriptor */
	CHECK_SOCKET, /* idx: likewise, a listening unix socket */
};
/* A file about the process itself: it is there when the process is, or a part of it. */
bool is_own_proc(const struct proc *proc, const char *path);

#endif
