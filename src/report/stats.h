/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the events of one checkpoint add up to. Pure: fed with records, asked for figures.
 */
#ifndef CKPT_REPORT_STATS_H
#define CKPT_REPORT_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/ranges.h"
#include "report/event.h"

/* Log histogram of durations: bucket i holds [2^(i/4)] steps, four to an octave, from 1 us up. */
#define HIST_BUCKETS 100
struct hist {
	uint64_t count[HIST_BUCKETS];
	uint64_t n, sum_ns, min_ns, max_ns;
};
void hist_add(struct hist *h, uint64_t ns);
/* The value below which the share q (0..1) of all samples lies, as the upper edge of its bucket,
 * never above max_ns; 0 when empty. */
uint64_t hist_quantile(const struct hist *h, double q);
/* Lower edge of bucket i in ns. */
uint64_t hist_edge(int i);

/* Who was held when, in a fixed number of time slots: when time runs past the last slot, slots are
 * folded in pairs and get twice as long. A hold is noted in every slot it touches. */
#define TIMELINE_SLOTS 512
struct timeline {
	uint64_t base_ns, step_ns;
	uint64_t stop_ns[TIMELINE_SLOTS];  /* longest stop of all threads that touches the slot */
	uint64_t stall_ns[TIMELINE_SLOTS]; /* longest stall of one thread likewise */
	int nslots;                        /* used so far */
};
void timeline_init(struct timeline *t, uint64_t base_ns);
/* Notes that somebody was held from start_ns to end_ns. all: the whole process. */
void timeline_add(struct timeline *t, bool all, uint64_t start_ns, uint64_t end_ns);
/* Makes the line reach until now_ns although nobody was held. */
void timeline_reach(struct timeline *t, uint64_t now_ns);

struct mapping_progress {
	uint64_t start, len, want; /* want: bytes to be saved */
	uint64_t done, armed;      /* bytes so far */
	uint32_t prot;
	uint8_t kind; /* enum vma_kind */
	char name[17];
};

/* A figure the tracer gives a name to (EV_RESULT). */
struct stats_figure {
	char name[17];
	uint64_t value;
};

struct stats {
	char engine[17];
	int32_t pid;
	uint64_t begin_ns, end_ns, stop_begin_ns, stop_end_ns, window_ns;
	uint64_t stop_ns;
	uint64_t want, done; /* bytes */
	uint64_t by[4];      /* bytes, by enum copy_how */
	uint64_t npieces[4];
	struct hist stalls, attach_stalls; /* attach: while the tracer came in, before the window */
	struct timeline line;
	struct stats_figure figures[32];
	size_t nfigures;
	uint64_t last_ns; /* time of the newest record */
	int threads;      /* that were stopped */
	uint64_t dropped, image_len;
	int exit_code;                 /* of EV_END; -1 while running */
	struct mapping_progress *maps; /* sorted by start */
	size_t nmaps;
	struct ranges early;    /* copied before the mappings were told */
	char *error, *warnings; /* NULL or text; warnings one a line */
	struct event_text text;
};
void stats_init(struct stats *s);
void stats_deinit(struct stats *s);
void stats_add(struct stats *s, const struct event *ev);
/* Time has come to now_ns without a record: the time line goes on, and so does a stop that has
 * begun. */
void stats_reach(struct stats *s, uint64_t now_ns);
/* How long the stop has lasted: so far, or in all. */
uint64_t stats_stopped_for(const struct stats *s, uint64_t now_ns);
/* Stop plus all stalls, in ns. */
uint64_t stats_disturbance(const struct stats *s);
/* What a plain stop would have cost: the bytes saved at the copy speed seen, plus the stop. 0 when
 * not known yet. */
uint64_t stats_plain_stop(const struct stats *s);
/* The figure of that name, or dflt when it was not told. */
uint64_t stats_figure(const struct stats *s, const char *name, uint64_t dflt);

#endif
