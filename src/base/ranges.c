/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Sorted disjoint ranges in one array. Adding at the end, the common case while scanning, is
 * constant time; everything else is a binary search and one memmove.
 */
#include "base/ranges.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

void ranges_deinit(struct ranges *s)
{
	if (!s)
		return;
	free(s->r);
	*s = (struct ranges){0};
}

void ranges_clear(struct ranges *s)
{
	s->n = 0;
}

size_t ranges_find(const struct ranges *s, uint64_t addr)
{
	size_t lo = 0, hi = s->n;

	while (lo < hi) {
		const size_t mid = lo + (hi - lo) / 2;

		if (s->r[mid].end > addr)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

/* Replaces the n ranges from idx on by the m given ones. */
static void ranges_splice(
	struct ranges *s, size_t idx, size_t n, const struct range *with, size_t m)
{
	const size_t total = s->n - n + m;

	if (total > s->cap) {
		s->cap = MAX(total, s->cap ? s->cap * 2 : 16);
		s->r = xrealloc(s->r, s->cap * sizeof(*s->r));
	}
	if (n != m && s->n > idx + n)
		memmove(s->r + idx + m, s->r + idx + n, (s->n - idx - n) * sizeof(*s->r));
	if (m)
		memcpy(s->r + idx, with, m * sizeof(*with));
	s->n = total;
}

void ranges_add(struct ranges *s, uint64_t start, uint64_t end)
{
	if (start >= end)
		return;
	if (s->n && s->r[s->n - 1].start <= start && s->r[s->n - 1].end >= start) {
		if (s->r[s->n - 1].end < end)
			s->r[s->n - 1].end = end;
		return;
	}
	/* From the first that touches start to the last that touches end, all become one. */
	const size_t first = start ? ranges_find(s, start - 1) : 0;
	size_t last = first;
	struct range one = {start, end};

	while (last < s->n && s->r[last].start <= end) {
		one.start = MIN(one.start, s->r[last].start);
		one.end = MAX(one.end, s->r[last].end);
		last++;
	}
	ranges_splice(s, first, last - first, &one, 1);
}

void ranges_cut(struct ranges *s, uint64_t start, uint64_t end)
{
	if (start >= end)
		return;
	const size_t first = ranges_find(s, start);
	size_t last = first, m = 0;
	struct range rest[2];

	while (last < s->n && s->r[last].start < end)
		last++;
	if (first == last)
		return;
	if (s->r[first].start < start)
		rest[m++] = (struct range){s->r[first].start, start};
	if (s->r[last - 1].end > end)
		rest[m++] = (struct range){end, s->r[last - 1].end};
	ranges_splice(s, first, last - first, rest, m);
}

void ranges_add_all(struct ranges *s, const struct ranges *from)
{
	for (size_t i = 0; i < from->n; i++)
		ranges_add(s, from->r[i].start, from->r[i].end);
}

void ranges_cut_all(struct ranges *s, const struct ranges *what)
{
	struct ranges kept = {0};
	size_t j = 0;

	/* One merge pass: cutting one by one would be quadratic in the number of holes. */
	for (size_t i = 0; i < s->n; i++) {
		uint64_t at = s->r[i].start;
		const uint64_t end = s->r[i].end;

		while (j < what->n && what->r[j].end <= at)
			j++;
		for (size_t k = j; k < what->n && what->r[k].start < end; k++) {
			ranges_add(&kept, at, what->r[k].start);
			at = MAX(at, what->r[k].end);
		}
		ranges_add(&kept, at, end);
	}
	ranges_deinit(s);
	*s = kept;
}

void ranges_copy(struct ranges *to, const struct ranges *from)
{
	if (to == from)
		return;
	ranges_splice(to, 0, to->n, from->r, from->n);
}

bool ranges_has(const struct ranges *s, uint64_t addr)
{
	const size_t i = ranges_find(s, addr);

	return i < s->n && s->r[i].start <= addr;
}

bool ranges_touches(const struct ranges *s, uint64_t start, uint64_t end)
{
	const size_t i = ranges_find(s, start);

	return start < end && i < s->n && s->r[i].start < end;
}

bool ranges_covers(const struct ranges *s, uint64_t start, uint64_t end)
{
	const size_t i = ranges_find(s, start);

	return start >= end || (i < s->n && s->r[i].start <= start && s->r[i].end >= end);
}

void ranges_clip(const struct ranges *s, uint64_t start, uint64_t end, struct ranges *out)
{
	for (size_t i = ranges_find(s, start); i < s->n && s->r[i].start < end; i++)
		ranges_add(out, MAX(start, s->r[i].start), MIN(end, s->r[i].end));
}

void ranges_join(struct ranges *s, uint64_t gap)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++) {
		if (n && s->r[i].start - s->r[n - 1].end <= gap)
			s->r[n - 1].end = s->r[i].end;
		else
			s->r[n++] = s->r[i];
	}
	s->n = n;
}

uint64_t ranges_total(const struct ranges *s)
{
	uint64_t total = 0;

	for (size_t i = 0; i < s->n; i++)
		total += s->r[i].end - s->r[i].start;
	return total;
}
