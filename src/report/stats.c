/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Adding up the events of one checkpoint: bytes copied in all and per mapping, the stop, the stalls
 * as a histogram and along time. Streams may come from a file somebody else made, so nothing here
 * trusts order, sums or sizes.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "report/stats.h"

#define MAX_MAPS 131072
#define MAX_WARNINGS_LEN 65536
#define TIMELINE_STEP_NS 20000ull

/* ---- histogram ---- */

uint64_t hist_edge(int i)
{
	static const uint64_t quarter[4] = {1000, 1189, 1414, 1682};

	return quarter[i & 3] << (i >> 2);
}

static int hist_bucket(uint64_t ns)
{
	int lo = 0, hi = HIST_BUCKETS - 1;

	while (lo < hi) {
		const int mid = (lo + hi + 1) / 2;

		if (hist_edge(mid) <= ns)
			lo = mid;
		else
			hi = mid - 1;
	}
	return lo;
}

void hist_add(struct hist *h, uint64_t ns)
{
	h->count[hist_bucket(ns)]++;
	h->sum_ns += ns;
	if (!h->n || ns < h->min_ns)
		h->min_ns = ns;
	if (ns > h->max_ns)
		h->max_ns = ns;
	h->n++;
}

uint64_t hist_quantile(const struct hist *h, double q)
{
	if (!h->n)
		return 0;
	const double wanted = q * (double)h->n;
	uint64_t seen = 0;

	for (int i = 0; i < HIST_BUCKETS - 1; i++) {
		seen += h->count[i];
		if (seen && (double)seen >= wanted)
			return MIN(hist_edge(i + 1), h->max_ns);
	}
	return h->max_ns;
}

/* ---- time line ---- */

void timeline_init(struct timeline *t, uint64_t base_ns)
{
	*t = (struct timeline){.base_ns = base_ns, .step_ns = TIMELINE_STEP_NS};
}

static void timeline_fold(struct timeline *t)
{
	for (int i = 0; i < TIMELINE_SLOTS; i++) {
		const bool in = 2 * i + 1 < TIMELINE_SLOTS;

		t->stop_ns[i] = in ? MAX(t->stop_ns[2 * i], t->stop_ns[2 * i + 1]) : 0;
		t->stall_ns[i] = in ? MAX(t->stall_ns[2 * i], t->stall_ns[2 * i + 1]) : 0;
	}
	t->nslots = (t->nslots + 1) / 2;
	t->step_ns *= 2;
}

/* The slot of that instant, folding until there is one. A time before the base is slot 0. */
static int timeline_slot(struct timeline *t, uint64_t ns)
{
	const uint64_t since = ns > t->base_ns ? ns - t->base_ns : 0;

	while (since / t->step_ns >= TIMELINE_SLOTS)
		timeline_fold(t);
	const int slot = (int)(since / t->step_ns);

	t->nslots = MAX(t->nslots, slot + 1);
	return slot;
}

void timeline_reach(struct timeline *t, uint64_t now_ns)
{
	timeline_slot(t, now_ns);
}

void timeline_add(struct timeline *t, bool all, uint64_t start_ns, uint64_t end_ns)
{
	if (end_ns < start_ns)
		return;
	const int last = timeline_slot(t, end_ns);
	const int first = timeline_slot(t, start_ns);
	uint64_t *const slots = all ? t->stop_ns : t->stall_ns;

	for (int i = first; i <= last; i++)
		slots[i] = MAX(slots[i], end_ns - start_ns);
}

/* ---- mappings ---- */

/* What of [start, start + len) was copied before the mapping was known. */
static uint64_t copied_early(const struct stats *s, uint64_t start, uint64_t len)
{
	struct ranges part = {0};

	if (s->early.n)
		ranges_clip(&s->early, start, start + len, &part);
	const uint64_t total = ranges_total(&part);

	ranges_deinit(&part);
	return total;
}

/* Index of the first mapping that ends above addr. */
static size_t map_find(const struct stats *s, uint64_t addr)
{
	size_t lo = 0, hi = s->nmaps;

	while (lo < hi) {
		const size_t mid = lo + (hi - lo) / 2;

		if (s->maps[mid].start + s->maps[mid].len > addr)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

/* Takes out the mappings that overlap [start, end): they were told before the stop and have changed
 * since. Returns what was copied of them. */
static uint64_t drop_mappings(struct stats *s, size_t at, uint64_t end)
{
	uint64_t done = 0;
	size_t n = 0;

	for (; at + n < s->nmaps && s->maps[at + n].start < end; n++) {
		done += s->maps[at + n].done;
		s->want -= s->maps[at + n].want;
	}
	if (n)
		memmove(s->maps + at, s->maps + at + n, (s->nmaps - at - n) * sizeof(*s->maps));
	s->nmaps -= n;
	return done;
}

/* A mapping is told before the stop with a guess of what it will need, afterwards with the truth.
 */
static void add_mapping(struct stats *s, const struct event *ev)
{
	const size_t at = map_find(s, ev->addr);

	if (at < s->nmaps && s->maps[at].start == ev->addr && s->maps[at].len == ev->len) {
		s->want += ev->a - s->maps[at].want;
		s->maps[at].want = ev->a;
		return;
	}
	const uint64_t done = drop_mappings(s, at, ev->addr + ev->len);

	if (s->nmaps >= MAX_MAPS)
		return;
	array_push(&s->maps, &s->nmaps);
	memmove(s->maps + at + 1, s->maps + at, (s->nmaps - 1 - at) * sizeof(*s->maps));
	struct mapping_progress *const m = &s->maps[at];

	*m = (struct mapping_progress){
		.start = ev->addr,
		.len = ev->len,
		.want = ev->a,
		.prot = ev->b & 0xff,
		.kind = (uint8_t)(ev->b >> 8),
	};
	m->done = MIN(done + copied_early(s, ev->addr, ev->len), ev->len);
	memcpy(m->name, ev->text, sizeof(ev->text));
	s->want += ev->a;
}

enum map_change { MAP_COPIED, MAP_ARMED, MAP_RELEASED };

/* Gives each mapping its share of [addr, addr + len). */
static void spread(struct stats *s, const struct event *ev, enum map_change what)
{
	const uint64_t end = ev->addr + ev->len;

	for (size_t i = map_find(s, ev->addr); i < s->nmaps && s->maps[i].start < end; i++) {
		struct mapping_progress *const m = &s->maps[i];
		const uint64_t part = MIN(end, m->start + m->len) - MAX(ev->addr, m->start);

		if (what == MAP_COPIED)
			m->done = MIN(m->done + part, m->len);
		else if (what == MAP_ARMED)
			m->armed = MIN(m->armed + part, m->len);
		else
			m->armed -= MIN(part, m->armed);
	}
}

/* ---- the records ---- */

static void add_begin(struct stats *s, const struct event *ev)
{
	stats_deinit(s);
	stats_init(s);
	s->pid = (int32_t)ev->a;
	s->begin_ns = s->last_ns = ev->t_ns;
	memcpy(s->engine, ev->text, sizeof(ev->text));
	timeline_init(&s->line, ev->t_ns);
}

static void add_stop_end(struct stats *s, const struct event *ev)
{
	s->stop_end_ns = ev->t_ns;
	s->stop_ns = ev->a;
	s->threads = (int)MIN(ev->b, 1000000);
	timeline_add(&s->line, true, ev->t_ns - MIN(ev->a, ev->t_ns), ev->t_ns);
}

static void add_stall(struct stats *s, const struct event *ev)
{
	hist_add(ev->b == STALL_ATTACH ? &s->attach_stalls : &s->stalls, ev->a);
	timeline_add(&s->line, false, ev->t_ns - MIN(ev->a, ev->t_ns), ev->t_ns);
}

static void add_text(struct stats *s, const struct event *ev)
{
	const char *line = event_text_add(&s->text, ev);

	if (!line)
		return;
	if (ev->type == EV_ERROR) {
		free(s->error);
		s->error = xstrdup(line);
		return;
	}
	const size_t have = s->warnings ? strlen(s->warnings) : 0;

	if (have > MAX_WARNINGS_LEN)
		return;
	s->warnings = xrealloc(s->warnings, have + strlen(line) + 2);
	strcpy(s->warnings + have, line);
	strcat(s->warnings, "\n");
}

static void add_figure(struct stats *s, const struct event *ev)
{
	if (s->nfigures == ARRAY_LEN(s->figures))
		return;
	struct stats_figure *const f = &s->figures[s->nfigures++];

	memcpy(f->name, ev->text, sizeof(ev->text));
	f->value = ev->a;
}

void stats_init(struct stats *s)
{
	*s = (struct stats){.exit_code = -1};
	timeline_init(&s->line, 0);
}

void stats_deinit(struct stats *s)
{
	free(s->maps);
	ranges_deinit(&s->early);
	free(s->error);
	free(s->warnings);
	*s = (struct stats){.exit_code = -1};
}

static void add_counted(struct stats *s, const struct event *ev)
{
	switch (ev->type) {
	case EV_COPY:
		s->done += ev->len;
		s->by[ev->a] += ev->len;
		s->npieces[ev->a]++;
		if (!s->nmaps && s->early.n < MAX_MAPS)
			ranges_add(&s->early, ev->addr, ev->addr + ev->len);
		spread(s, ev, MAP_COPIED);
		break;
	case EV_ARM:
		spread(s, ev, MAP_ARMED);
		break;
	case EV_RELEASE:
		spread(s, ev, MAP_RELEASED);
		break;
	case EV_IMAGE:
		s->image_len = ev->a;
		break;
	case EV_DROPPED:
		s->dropped += ev->a;
		break;
	default:
		break;
	}
}

void stats_add(struct stats *s, const struct event *ev)
{
	if (!event_valid(ev) || ev->type == EV_HEADER)
		return;
	if (ev->type == EV_BEGIN) {
		add_begin(s, ev);
		return;
	}
	if (!s->begin_ns) {
		s->begin_ns = ev->t_ns;
		timeline_init(&s->line, ev->t_ns);
	}
	s->last_ns = MAX(s->last_ns, ev->t_ns);
	switch (ev->type) {
	case EV_MAPPING:
		add_mapping(s, ev);
		break;
	case EV_STOP_BEGIN:
		s->stop_begin_ns = ev->t_ns;
		break;
	case EV_STOP_END:
		add_stop_end(s, ev);
		break;
	case EV_STALL:
		add_stall(s, ev);
		break;
	case EV_WINDOW_END:
		s->window_ns = ev->a;
		break;
	case EV_WARN:
	case EV_ERROR:
		add_text(s, ev);
		break;
	case EV_RESULT:
		add_figure(s, ev);
		break;
	case EV_END:
		s->exit_code = (int)ev->a;
		s->end_ns = ev->t_ns;
		if (ev->len)
			s->image_len = ev->len;
		break;
	default:
		add_counted(s, ev);
	}
}

/* ---- figures ---- */

uint64_t stats_stopped_for(const struct stats *s, uint64_t now_ns)
{
	if (s->stop_ns || !s->stop_begin_ns || s->exit_code >= 0)
		return s->stop_ns;
	return now_ns - MIN(now_ns, s->stop_begin_ns);
}

void stats_reach(struct stats *s, uint64_t now_ns)
{
	timeline_reach(&s->line, now_ns);
	if (s->stop_begin_ns && !s->stop_ns && s->exit_code < 0)
		timeline_add(&s->line, true, s->stop_begin_ns, now_ns);
}

uint64_t stats_figure(const struct stats *s, const char *name, uint64_t dflt)
{
	for (size_t i = 0; i < s->nfigures; i++)
		if (!strcmp(s->figures[i].name, name))
			return s->figures[i].value;
	return dflt;
}

uint64_t stats_disturbance(const struct stats *s)
{
	return s->stop_ns + s->stalls.sum_ns + s->attach_stalls.sum_ns;
}

/* With nothing copied beside the running process the stop was a plain one. Otherwise the copying
 * time is the tracer's own figure (copy_ns) or, without it, the time from the stop to the window's
 * end. */
uint64_t stats_plain_stop(const struct stats *s)
{
	if (!s->stop_ns)
		return 0;
	const uint64_t beside = s->done - MIN(s->done, s->by[COPY_STOPPED]);

	if (!beside)
		return s->stop_ns;
	const uint64_t since = s->last_ns - MIN(s->last_ns, s->stop_end_ns);
	const uint64_t rest = s->window_ns ? s->window_ns - MIN(s->window_ns, s->stop_ns) : since;

	return s->stop_ns + stats_figure(s, "copy_ns", rest);
}
