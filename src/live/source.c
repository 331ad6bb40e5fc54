/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A live process as a source: struct proc filled from /proc, memory read as it is now. */
#include "model/source.h"

#include <stdlib.h>

#include "base/clock.h"
#include "live/live.h"

struct live_source {
	struct live live;
	uint64_t smaps_at_ns, smaps_took_ns;
};

/* smaps walks all page tables under the process's mmap lock: it may have a fiftieth of the time. */
static int refresh_maps(struct live_source *ls, struct proc *p, struct err *e)
{
	const uint64_t start = now_ns();

	if (ls->smaps_at_ns && start - ls->smaps_at_ns < 50 * ls->smaps_took_ns)
		return live_maps(&ls->live, p, false, e);
	const int rc = live_maps(&ls->live, p, true, e);

	ls->smaps_at_ns = now_ns();
	ls->smaps_took_ns = ls->smaps_at_ns - start;
	return rc;
}

static int source_refresh(struct source *s, struct err *e)
{
	struct live_source *const ls = s->priv;
	struct live *const l = &ls->live;
	struct proc *const p = s->proc;

	/* What was worth a warning last time may be gone. */
	for (size_t i = 0; i < p->nwarnings; i++)
		free(p->warnings[i]);
	p->nwarnings = 0;
	if (live_identity(l, p, e) < 0 || live_threads(l, p, e) < 0 || refresh_maps(ls, p, e) < 0 ||
		live_fds(l, p, false, e) < 0 || live_timers(l, p, e) < 0)
		return err_class(e, EXIT_UNTRACEABLE);
	return 0;
}

static size_t source_live_read(struct source *s, uint64_t addr, void *out, size_t len)
{
	return live_read(&((struct live_source *)s->priv)->live, addr, out, len);
}

static void source_live_close(struct source *s)
{
	struct live_source *const ls = s->priv;

	if (ls)
		live_close(&ls->live);
	free(ls);
}

static const struct source_ops live_ops = {
	.kind = "live",
	.read = source_live_read,
	.refresh = source_refresh,
	.close = source_live_close,
};

struct source *source_open_live(int pid, struct err *e)
{
	struct live_source *const ls = xcalloc(1, sizeof(*ls));

	if (live_open(&ls->live, pid, e) < 0) {
		free(ls);
		return NULL;
	}
	struct source *const s = xcalloc(1, sizeof(*s));

	s->ops = &live_ops;
	s->proc = proc_new();
	s->priv = ls;
	s->name = xasprintf("pid:%d", pid);
	if (source_refresh(s, e) < 0) {
		source_close(s);
		return NULL;
	}
	return s;
}
