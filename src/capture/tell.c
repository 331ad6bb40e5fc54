/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a checkpoint tells of itself: events, and how it went for the image. */
#include "capture/session.h"

#include <stdlib.h>
#include <string.h>
#include <jansson.h>
#include "base/clock.h"

/* As much of a name as a record has room for. */
static void event_name(struct event *ev, const char *name)
{
	memcpy(ev->text, name, MIN(strlen(name), sizeof(ev->text)));
}

void capture_took(struct capture *c, const char *what, uint64_t *since)
{
	const uint64_t now = now_ns();
	struct event ev = {.t_ns = now, .type = EV_RESULT, .a = now - *since};
	event_name(&ev, what);
	event_put(c->ev, ev);
	*since = now;
}

static void put(struct capture *c, const struct event *ev)
{
	pthread_mutex_lock(&c->event_lock);
	event_put(c->ev, *ev);
	stats_add(&c->stats, ev);
	pthread_mutex_unlock(&c->event_lock);
}

void capture_event(struct capture *c, enum event_type type, int tid, uint64_t addr, uint64_t len, uint64_t a,
	uint64_t b)
{
	const struct event ev = {.t_ns = now_ns(), .type = type, .tid = tid, .addr = addr, .len = len, .a = a, .b = b};
	put(c, &ev);
}

/* What an image will need of a mapping as far as /proc tells: for progress, until the stop shows the truth. */
static uint64_t store_guess(const struct vma *v)
{
	if (v->store == STORE_PRIVATE)
		return MIN(v->priv + v->swap, v->end - v->start);
	return v->store == STORE_SHARED ? MIN(v->rss + v->swap, v->end - v->start) : 0;
}

void tell_mappings(struct capture *c)
{
	for (size_t i = 0; i < c->proc->nvmas; i++) {
		const struct vma *v = &c->proc->vmas[i];
		struct ranges in = {0};
		ranges_clip(&c->stored, v->start, v->end, &in);
		struct event ev = {.t_ns = now_ns(), .type = EV_MAPPING, .addr = v->start, .len = v->end - v->start,
			.a = c->after_stop ? ranges_total(&in) : store_guess(v), .b = (uint64_t)v->kind << 8 | v->prot};
		const char *name = vma_name(v), *slash = strrchr(name, '/');
		event_name(&ev, slash ? slash + 1 : name);
		put(c, &ev);
		ranges_deinit(&in);
	}
}

void tell_engine(struct capture *c)
{
	struct event begin = {.t_ns = now_ns(), .type = EV_BEGIN, .a = (uint64_t)c->o->pid};
	event_name(&begin, c->engine->name);
	put(c, &begin);
	tell_mappings(c);
}

char *tell_how(const struct capture *c)
{
	const struct stats *s = &c->stats;
	json_t *hist = json_array();
	for (int i = 0; i < HIST_BUCKETS; i++)
		if (s->stalls.count[i])
			json_array_append_new(hist, json_pack("{s:I, s:I}", "from_ns", (json_int_t)hist_edge(i), "count",
				(json_int_t)s->stalls.count[i]));
	json_t *j = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}",
		"engine", c->engine->name,
		"stop_ns", (json_int_t)(c->stop_end_ns - c->stop_begin_ns),
		"window_ns", (json_int_t)s->window_ns,
		"stalls", (json_int_t)s->stalls.n, "stalls_ns", (json_int_t)s->stalls.sum_ns,
		"stall_p50_ns", (json_int_t)hist_quantile(&s->stalls, 0.5),
		"stall_p99_ns", (json_int_t)hist_quantile(&s->stalls, 0.99),
		"stall_max_ns", (json_int_t)s->stalls.max_ns,
		"bytes_stopped", (json_int_t)s->by[COPY_STOPPED],
		"bytes_background", (json_int_t)s->by[COPY_BACKGROUND],
		"bytes_fault", (json_int_t)s->by[COPY_FAULT],
		"bytes_syscall", (json_int_t)s->by[COPY_SYSCALL], "stall_histogram", hist);
	char *text = json_dumps(j, JSON_COMPACT);
	json_decref(j);
	return text;
}

void tell_warnings(struct capture *c)
{
	for (size_t i = 0; i < c->proc->nwarnings; i++)
		event_put_text(c->ev, EV_WARN, 0, c->proc->warnings[i]);
}
