// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * The order of a restore. Each part adds its steps; this list of parts is the order, and the
 * reasons for it: files before mappings (memory can be mapped from descriptors), mappings before
 * what points into them, threads while numbers may still be chosen, credentials after all that
 * needs privilege, signals and registers at the very end.
 */
#include "restore/steps.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"

static const char *const kind_names[STEP_KINDS] = {
	[STEP_CHECK] = "check",
	[STEP_SPAWN] = "spawn",
	[STEP_STRIP] = "strip",
	[STEP_MAP] = "map",
	[STEP_FILL] = "fill",
	[STEP_FD] = "fd",
	[STEP_FS] = "fs",
	[STEP_LIMIT] = "limit",
	[STEP_SIGNAL] = "signal",
	[STEP_TIMER] = "timer",
	[STEP_MM] = "mm",
	[STEP_CREDS] = "creds",
	[STEP_SCHED] = "sched",
	[STEP_THREAD] = "thread",
	[STEP_THREAD_STATE] = "thread-state",
	[STEP_PENDING] = "pending",
	[STEP_REGS] = "regs",
	[STEP_RELEASE] = "release",
};

const char *step_kind_name(int kind)
{
	return kind >= 0 && kind < STEP_KINDS ? kind_names[kind] : "unknown";
}

static int highest_fd(const struct proc *proc)
{
	return proc->nfds ? proc->fds[proc->nfds - 1].fd : -1;
}

static void plan_begin(struct plan *p)
{
	plan_step(p, STEP_SPAWN, 0, -1, "a child of ours becomes the process",
		"make a process with pid %d", p->proc->pid);
	plan_step(p, STEP_STRIP, 0, -1, "nothing of ours may stay in it",
		"unmap all of ours and move the vdso to its place");
}

static void plan_end(struct plan *p)
{
	plan_step(p, STEP_RELEASE, 0, -1, "it goes on", "%s process %d",
		p->opts.stopped ? "leave stopped" : "let go of", p->proc->pid);
}

int plan_build_proc(struct plan *p, struct proc *proc, struct image *im, const struct plan_opts *o,
	struct err *e)
{
	*p = (struct plan){.im = im, .proc = proc, .opts = *o};
	if (plan_check_proc(proc, e) < 0)
		return -1;
	if (o->lazy)
		return err_set(e, EXIT_USAGE, "--lazy is not there yet: restore copies memory");
	/* One number is left between: what a file is opened as while it is mapped. */
	p->high_fd = highest_fd(proc) + 2;
	plan_checks(p);
	plan_begin(p);
	plan_fs_early(p);
	if (plan_fds(p, e) < 0)
		return -1;
	plan_maps(p);
	plan_fills(p);
	plan_mm(p);
	plan_fds_late(p);
	plan_signals(p);
	plan_threads(p);
	plan_fs_late(p);
	plan_limits(p);
	plan_timers(p);
	plan_thread_states(p);
	plan_pending(p);
	plan_regs(p);
	plan_end(p);
	return 0;
}

int plan_build(struct plan *p, struct image *im, const struct plan_opts *o, struct err *e)
{
	return plan_build_proc(p, image_proc(im), im, o, e);
}

void plan_deinit(struct plan *p)
{
	for (size_t i = 0; i < p->nsteps; i++) {
		free(p->steps[i].what);
		free(p->steps[i].calls);
		free(p->steps[i].relocs);
		buf_deinit(&p->steps[i].data);
	}
	for (size_t i = 0; i < p->nwarnings; i++)
		free(p->warnings[i]);
	free(p->steps);
	free(p->warnings);
	*p = (struct plan){0};
}

/* ---- as JSON ---- */

static json_t *text_json(const char *text)
{
	json_t *j = json_string(text);
	char safe[2048];

	return j ? j : json_string(text_escape(safe, sizeof(safe), text, strlen(text)));
}

static json_t *arg_json(const struct call_arg *a)
{
	switch (a->kind) {
	case ARG_DATA:
		return json_pack("{s:I}", "data", (json_int_t)a->num);
	case ARG_TID:
		return json_pack("{s:I}", "tid", (json_int_t)a->num);
	}
	return json_integer((json_int_t)a->num);
}

static json_t *call_json(const struct step_call *c)
{
	const char *name = arch->syscall_name(c->nr);
	json_t *args = json_array(), *j = json_object();

	for (unsigned i = 0; i < ARRAY_LEN(c->args); i++)
		json_array_append_new(args, arg_json(&c->args[i]));
	json_object_set_new(j, "call", name ? json_string(name) : json_integer(c->nr));
	json_object_set_new(j, "args", args);
	if (c->may_fail)
		json_object_set_new(j, "may_fail", json_true());
	if (c->when != CALL_ALWAYS)
		json_object_set_new(
			j, c->when == CALL_IF_OK ? "if_ok" : "if_failed", json_integer(c->back));
	return j;
}

static json_t *step_json(const struct step *s)
{
	json_t *j = json_object(), *calls = json_array();

	json_object_set_new(j, "kind", json_string(step_kind_name((int)s->kind)));
	json_object_set_new(j, "tid", json_integer(s->tid));
	json_object_set_new(j, "what", text_json(s->what));
	json_object_set_new(j, "why", json_string(s->why));
	for (size_t i = 0; i < s->ncalls; i++)
		json_array_append_new(calls, call_json(&s->calls[i]));
	json_object_set_new(j, "calls", calls);
	return j;
}

json_t *plan_to_json(const struct plan *p)
{
	json_t *j = json_object(), *steps = json_array(), *warnings = json_array();

	for (size_t i = 0; i < p->nsteps; i++)
		json_array_append_new(steps, step_json(&p->steps[i]));
	for (size_t i = 0; i < p->nwarnings; i++)
		json_array_append_new(warnings, text_json(p->warnings[i]));
	json_object_set_new(j, "pid", json_integer(p->proc->pid));
	json_object_set_new(j, "steps", steps);
	json_object_set_new(j, "warnings", warnings);
	return j;
}
