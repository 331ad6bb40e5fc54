/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The process view's struct and its panes: view_process.c draws, panes.c and details.c word the
 * rows. */
#ifndef CKPT_UI_PROCESS_H
#define CKPT_UI_PROCESS_H

#include "ui/app.h"
#include "ui/sample.h"

enum { PANE_THREADS, PANE_MAPS, PANE_FDS, PANE_SIGNALS, PANE_HOW, NPANES };

struct process_view {
	struct view v;
	const struct app *app;
	struct source *src; /* owned */
	struct sample sample;
	bool live;
	uint64_t refresh_at_ns; /* not before */
	char *ended;            /* why the last refresh failed; NULL: it lives */
	int focus;              /* the pane keys go to */
	int beside;             /* wide or high: the pane next to the threads */
	bool two;               /* threads and another pane are shown together */
	int split_x, split_y;   /* where the second one begins; one of them is 0 */
	struct list lists[NPANES];
	int signals[64]; /* those the signals pane shows */
	size_t nsignals;
	char **how; /* lines */
	size_t nhow;
};

/* A pane is a row of this table. */
struct pane {
	const char *name;
	size_t (*count)(const struct process_view *pv);
	void (*head)(const struct process_view *pv, struct buf *out);
	void (*row)(const void *pv, size_t i, int width, struct buf *out);
	/* What Enter shows, as text the caller owns; NULL: nothing. */
	char *(*detail)(const struct process_view *pv, size_t i);
};
const struct pane *pane_of(const struct process_view *pv, int i);
/* Chooses the signals worth a row and puts the lines of "how" together; after each refresh. */
void panes_update(struct process_view *pv);
void panes_deinit(struct process_view *pv);

char *detail_thread(const struct process_view *pv, size_t i);
char *detail_vma(const struct process_view *pv, size_t i);
char *detail_fd(const struct process_view *pv, size_t i);
/* The lines of proc.how (JSON) and the warnings, appended. */
void how_lines(const struct proc *p, struct buf *out);

#endif
