/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The undo list of a checkpoint. */
#include "capture/undo.h"

#include <assert.h>
#include <stdlib.h>
#include "base/buf.h"
#include "base/text.h"

void undo_init(struct undo *u)
{
	*u = (struct undo){0};
	const char *s = getenv("CKPTVIEW_FAIL");
	uint64_t n;
	if (s && text_parse_u64(s, &n))
		u->fail_at = (unsigned)n;
}

int undo_push(struct undo *u, const char *what, int (*fn)(void *, struct err *), void *ctx, struct err *e)
{
	assert(u->n < ARRAY_LEN(u->steps));
	u->steps[u->n++] = (struct undo_step){what, fn, ctx};
	if (++u->pushes == u->fail_at)
		return err_set(e, EXIT_CAPTURE, "before %s: failure wanted by CKPTVIEW_FAIL", what);
	return 0;
}

int undo_all(struct undo *u, struct err *e)
{
	int ret = 0;
	while (u->n) {
		struct undo_step s = u->steps[--u->n];
		struct err mine = {0};
		if (s.fn(s.ctx, &mine) == 0)
			continue;
		err_in(&mine, "undo: %s", s.what);
		if (ret == 0)
			*e = mine;
		ret = -1;
	}
	return ret;
}
