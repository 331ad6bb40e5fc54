/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A source is a process to look at: a live pid or an image. Same struct proc, same read call.
 */
#ifndef CKPT_MODEL_SOURCE_H
#define CKPT_MODEL_SOURCE_H

#include "base/err.h"
#include "model/proc.h"

struct source;
struct source_ops {
	const char *kind;       /* "live", "image", "core" */
	/* Reads up to len bytes at addr; returns how many from addr on could be read, 0 when none is
	 * there (not mapped, not stored). Never fails otherwise. */
	size_t (*read)(struct source *s, uint64_t addr, void *out, size_t len);
	/* Fills s->proc anew (live: what is now true). NULL: it never changes. 0 or -1. */
	int (*refresh)(struct source *s, struct err *e);
	/* Frees s->priv; s->proc and s itself are freed by source_close. */
	void (*close)(struct source *s);
};
struct source {
	const struct source_ops *ops;
	struct proc *proc;
	void *priv;
	char *name;             /* as the user gave it */
};
size_t source_read(struct source *s, uint64_t addr, void *out, size_t len);
void source_close(struct source *s);    /* NULL is fine */

#endif
