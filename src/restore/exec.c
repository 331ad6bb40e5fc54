// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * From steps to batches: calls are gathered while they are of one thread, have room, and need no
 * earlier call's result. A call that fails and may not ends the restore; the error names its step.
 */
#include "restore/exec.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"

static bool is_error(int64_t ret)
{
	return ret < 0 && ret > -4096;
}

static void name_call(int64_t nr, char out[32])
{
	const char *name = arch->syscall_name(nr);

	if (name)
		snprintf(out, 32, "%s", name);
	else
		snprintf(out, 32, "system call %lld", (long long)nr);
}

/* What came of one call; -1 when the restore cannot go on. */
static int judge(struct runner *r, const struct step *s, const struct step_call *c, int64_t ret,
	struct err *e)
{
	const bool wrong = !is_error(ret) && c->expect != -1 && ret != c->expect;
	char name[32], why[128];

	if ((!is_error(ret) && !wrong) || c->quiet)
		return 0;
	name_call(c->nr, name);
	if (is_error(ret))
		snprintf(why, sizeof(why), "%s", strerror((int)-ret));
	else
		snprintf(why, sizeof(why), "got %#llx instead of %#llx", (unsigned long long)ret,
			(unsigned long long)c->expect);
	if (c->may_fail) {
		run_warn(r, "%s: %s: %s", s->what, c->warning ? c->warning : name, why);
		return 0;
	}
	r->failed = s;
	return err_set(e, EXIT_RESTORE, "%s: %s: %s", text_safe(s->what), name, why);
}

int exec_flush(struct runner *r, struct err *e)
{
	const size_t n = r->ncalls;

	r->ncalls = 0;
	r->data_used = 0;
	if (!n)
		return 0;
	if (remote_batch(&r->t, r->who, r->calls, n, e) < 0)
		return err_in(e, "%s", text_safe(r->refs[0].step->what));
	for (size_t i = 0; i < n; i++) {
		const struct call_ref *ref = &r->refs[i];

		if (ref->step == r->step)
			r->results[ref->idx] = r->calls[i].ret;
		if (judge(r, ref->step, &ref->step->calls[ref->idx], r->calls[i].ret, e) < 0)
			return -1;
	}
	return 0;
}

/* Lays the step's data into the scratch mapping; it stays there until the step is done. */
static int place_data(struct runner *r, const struct step *s, struct err *e)
{
	cleanup_buf struct buf copy = {0};

	if (!s->data.len)
		return 0;
	if (r->data_used + s->data.len > scratch_data_len(&r->t) && exec_flush(r, e) < 0)
		return -1;
	if (s->data.len > scratch_data_len(&r->t))
		return err_set(e, EXIT_RESTORE, "%s: too much data", text_safe(s->what));
	r->data_at = scratch_data(&r->t) + r->data_used;
	buf_add(&copy, s->data.data, s->data.len);
	for (size_t i = 0; i < s->nrelocs; i++) {
		uint64_t v;

		memcpy(&v, copy.data + s->relocs[i], sizeof(v));
		v += r->data_at;
		memcpy(copy.data + s->relocs[i], &v, sizeof(v));
	}
	if (tracee_write(&r->t, r->data_at, copy.data, copy.len) != copy.len)
		return err_set(
			e, EXIT_RESTORE, "%s: its data cannot be written", text_safe(s->what));
	r->data_used += (copy.len + 15) & ~15ull;
	return 0;
}

/* A result is needed: what is gathered goes first. Data of the step at hand stays where it is. */
static int settle(struct runner *r, struct err *e)
{
	const uint64_t used = r->data_used;

	if (exec_flush(r, e) < 0)
		return -1;
	r->data_used = used;
	return 0;
}

static uint64_t arg_value(const struct runner *r, const struct call_arg *a)
{
	switch (a->kind) {
	case ARG_DATA:
		return r->data_at + a->num;
	case ARG_TID:
		return (uint64_t)run_tid(r, (int32_t)a->num);
	}
	return a->num;
}

static int gather(struct runner *r, size_t idx, struct err *e)
{
	const struct step *s = r->step;
	const struct step_call *c = &s->calls[idx];

	if (r->ncalls == REMOTE_MAX && settle(r, e) < 0)
		return -1;
	if (c->when != CALL_ALWAYS) {
		if (settle(r, e) < 0)
			return -1;
		if (is_error(r->results[idx - c->back]) != (c->when == CALL_IF_FAILED))
			return 0; /* not made counts as gone well */
	}
	struct remote_call *to = &r->calls[r->ncalls];

	*to = (struct remote_call){.nr = c->nr};
	for (size_t i = 0; i < ARRAY_LEN(c->args); i++)
		to->args[i] = arg_value(r, &c->args[i]);
	r->refs[r->ncalls++] = (struct call_ref){s, idx};
	return 0;
}

int exec_step(struct runner *r, const struct step *s, struct err *e)
{
	struct task *who = run_task(r, s->tid);

	r->failed = NULL;
	if (!who)
		return err_set(
			e, EXIT_RESTORE, "%s: thread %d is gone", text_safe(s->what), s->tid);
	if (who != r->who && exec_flush(r, e) < 0)
		return -1;
	r->who = who;
	if (place_data(r, s, e) < 0)
		return -1;
	free(r->results);
	r->results = xcalloc(s->ncalls + 1, sizeof(*r->results));
	r->step = s;
	for (size_t i = 0; i < s->ncalls; i++)
		if (gather(r, i, e) < 0)
			return -1;
	return 0;
}

int64_t exec_one(struct runner *r, int64_t nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3,
	uint64_t a4)
{
	return remote_syscall(&r->t, r->who, nr, a0, a1, a2, a3, a4, 0);
}
