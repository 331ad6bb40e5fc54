/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The undo list: every effect on the tracee pushes how to take it back before it happens. A checkpoint
 * ends, well or badly, by walking the list backwards; there is no other way out.
 */
#ifndef CKPT_CAPTURE_UNDO_H
#define CKPT_CAPTURE_UNDO_H

#include <stddef.h>
#include "base/err.h"

struct undo_step {
	const char *what;                       /* "detach", "unprotect", ... for the message */
	int (*fn)(void *ctx, struct err *e);    /* must cope with the effect having happened not at all or in part */
	void *ctx;
};
struct undo {
	struct undo_step steps[16];
	size_t n;
	unsigned pushes, fail_at;               /* CKPTVIEW_FAIL=n: the n-th effect fails instead of happening; 0: none */
};
/* Reads CKPTVIEW_FAIL. */
void undo_init(struct undo *u);
/* Notes how to undo what comes next. -1 with *e when that effect is to fail (tests): it must then not be done; the
 * step stays on the list, as it would when the effect failed halfway. */
int undo_push(struct undo *u, const char *what, int (*fn)(void *, struct err *), void *ctx, struct err *e);
/* Undoes everything, last first. Goes on after a failure; *e has the first one. 0 or -1. */
int undo_all(struct undo *u, struct err *e);

#endif
