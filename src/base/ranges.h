/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A set of addresses as sorted, disjoint, non-touching ranges [start, end). Adding merges, cutting
 * splits. Lookups are binary searches.
 */
#ifndef CKPT_BASE_RANGES_H
#define CKPT_BASE_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct range {
	uint64_t start, end;
};
struct ranges {
	struct range *r;
	size_t n, cap;
};
void ranges_deinit(struct ranges *s);
void ranges_clear(struct ranges *s);                /* keeps the memory */
void ranges_add(struct ranges *s, uint64_t start, uint64_t end);
void ranges_cut(struct ranges *s, uint64_t start, uint64_t end);
void ranges_add_all(struct ranges *s, const struct ranges *from);
void ranges_cut_all(struct ranges *s, const struct ranges *what);
void ranges_copy(struct ranges *to, const struct ranges *from);
bool ranges_has(const struct ranges *s, uint64_t addr);
bool ranges_touches(const struct ranges *s, uint64_t start, uint64_t end); /* any overlap */
bool ranges_covers(const struct ranges *s, uint64_t start, uint64_t end);  /* all inside */
/* Index of the first range whose end is above addr; s->n if none. */
size_t ranges_find(const struct ranges *s, uint64_t addr);
/* The parts of s inside [start, end) are added to out. */
void ranges_clip(const struct ranges *s, uint64_t start, uint64_t end, struct ranges *out);
/* Joins neighbours that are at most gap bytes apart. */
void ranges_join(struct ranges *s, uint64_t gap);
uint64_t ranges_total(const struct ranges *s);      /* bytes */

#endif
