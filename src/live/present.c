/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Which pages of a mapping an image must store. Permissions say nothing about it (RELRO pages are
 * read-only and written), only the page tables do: PAGEMAP_SCAN since kernel 6.7 gives whole
 * ranges, before it /proc/PID/pagemap gives one word per page.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/types.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "live/internal.h"

/* linux/fs.h of kernel 6.7; Debian 12's headers are older. */
struct scan_region {
	__u64 start, end, categories;
};
struct scan_arg {
	__u64 size, flags, start, end, walk_end, vec, vec_len, max_pages, category_inverted,
		category_mask, category_anyof_mask, return_mask;
};
#define SCAN_IOCTL _IOWR('f', 16, struct scan_arg)
#define SCAN_FILE (1u << 2)
#define SCAN_PRESENT (1u << 3)
#define SCAN_SWAPPED (1u << 4)
#define SCAN_ZERO (1u << 5)
#define SCAN_GUARD (1u << 8) /* kernel 6.15: MADV_GUARD_INSTALL */

#define PM_PRESENT (1ull << 63)
#define PM_SWAP (1ull << 62)
#define PM_FILE (1ull << 61)
#define PM_GUARD (1ull << 58)

/* Pages in any of the categories "anyof" and in none of "without" are added. */
static int scan(struct live *l, uint64_t start, uint64_t end, uint64_t anyof, uint64_t without,
	struct ranges *out)
{
	struct scan_region regions[512];
	struct scan_arg arg = {
		.size = sizeof(arg),
		.start = start,
		.end = end,
		.vec = (uintptr_t)regions,
		.vec_len = ARRAY_LEN(regions),
		.category_inverted = without,
		.category_mask = without,
		.category_anyof_mask = anyof,
		.return_mask = SCAN_PRESENT,
	};

	while (arg.start < end) {
		const int n = ioctl(l->pagemapfd, SCAN_IOCTL, &arg);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		for (int i = 0; i < n; i++)
			ranges_add(out, regions[i].start, regions[i].end);
		if (arg.walk_end <= arg.start)
			break;
		arg.start = arg.walk_end;
	}
	return 0;
}

bool vma_has_guards(struct live *l, const struct vma *v)
{
	struct scan_region one;
	struct scan_arg arg = {
		.size = sizeof(arg),
		.start = v->start,
		.end = v->end,
		.vec = (uintptr_t)&one,
		.vec_len = 1,
		.max_pages = 1,
		.category_mask = SCAN_GUARD,
		.return_mask = SCAN_GUARD,
	};

	return l->pagemapfd >= 0 && ioctl(l->pagemapfd, SCAN_IOCTL, &arg) > 0;
}

static int walk_pagemap(
	struct live *l, uint64_t start, uint64_t end, bool with_file, struct ranges *out)
{
	uint64_t words[2048];

	for (uint64_t at = start; at < end;) {
		const size_t want = MIN((end - at) / PAGE_LEN, ARRAY_LEN(words)) * sizeof(words[0]);
		const ssize_t got =
			pread(l->pagemapfd, words, want, (off_t)(at / PAGE_LEN * sizeof(words[0])));

		if (got < (ssize_t)sizeof(words[0]))
			return got < 0 ? -1 : 0;
		for (size_t i = 0; i < (size_t)got / sizeof(words[0]); i++, at += PAGE_LEN) {
			if ((words[i] & (PM_PRESENT | PM_SWAP)) && !(words[i] & PM_GUARD) &&
				(with_file || !(words[i] & PM_FILE)))
				ranges_add(out, at, at + PAGE_LEN);
		}
	}
	return 0;
}

/* From the page tables: populated pages, with or without those that are the file's own. */
static int present_by_tables(
	struct live *l, const struct vma *v, bool with_file, struct ranges *out, struct err *e)
{
	const uint64_t without = SCAN_ZERO | (with_file ? 0 : SCAN_FILE);

	if (l->pagemapfd < 0)
		return err_set(e, EXIT_UNTRACEABLE,
			"/proc/%d/pagemap cannot be opened: not permitted", l->pid);
	if (scan(l, v->start, v->end, SCAN_PRESENT | SCAN_SWAPPED, without | SCAN_GUARD, out) == 0)
		return 0;
	/* EINVAL: a kernel that does not know guard pages; ENOTTY: none of it. */
	if (errno == EINVAL &&
		scan(l, v->start, v->end, SCAN_PRESENT | SCAN_SWAPPED, without, out) == 0)
		return 0;
	if (walk_pagemap(l, v->start, v->end, with_file, out) == 0)
		return 0;
	return err_sys(e, 0, "read /proc/%d/pagemap at %llx", l->pid, (unsigned long long)v->start);
}

/* The part of the mapping that lies inside its file, to the page. */
static uint64_t end_in_file(const struct vma *v, uint64_t file_size)
{
	const uint64_t size = (file_size + PAGE_LEN - 1) / PAGE_LEN * PAGE_LEN;

	return size <= v->off ? v->start : MIN(v->end, v->start + (size - v->off));
}

/* Shared objects are populated by anybody, so the object is asked and not the page tables. False:
 * it cannot be asked. */
static bool present_in_object(struct live *l, const struct vma *v, struct ranges *out)
{
	char link[64];

	snprintf(link, sizeof(link), "map_files/%llx-%llx", (unsigned long long)v->start,
		(unsigned long long)v->end);
	cleanup_fd int fd = openat(l->dirfd, link, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return false;
	const uint64_t stop = v->off + (end_in_file(v, (uint64_t)st.st_size) - v->start);
	uint64_t at = v->off;

	while (at < stop) {
		const off_t data = lseek(fd, (off_t)at, SEEK_DATA);

		if (data < 0)
			return errno == ENXIO;
		const off_t hole = lseek(fd, data, SEEK_HOLE);

		if (hole < 0)
			return false;
		const uint64_t first = (uint64_t)data / PAGE_LEN * PAGE_LEN;
		const uint64_t last = ((uint64_t)hole + PAGE_LEN - 1) / PAGE_LEN * PAGE_LEN;

		if (first < stop)
			ranges_add(out, v->start + (MAX(first, v->off) - v->off),
				v->start + (MIN(last, stop) - v->off));
		at = (uint64_t)hole;
	}
	return true;
}

int live_present(struct live *l, const struct vma *v, bool full, struct ranges *out, struct err *e)
{
	/* Nobody could read a deleted file's own pages again. */
	full = full || (v->kind == VMA_FILE && v->deleted);
	switch (v->store) {
	case STORE_PRIVATE:
		if (full && v->kind == VMA_FILE && v->file_size) {
			ranges_add(out, v->start, end_in_file(v, v->file_size));
			return 0;
		}
		return present_by_tables(l, v, full, out, e);
	case STORE_SHARED:
		/* hugetlbfs has no SEEK_DATA, and touching its holes would use up huge pages. */
		if (v->kind == VMA_HUGETLB)
			return present_by_tables(l, v, true, out, e);
		if (!present_in_object(l, v, out))
			ranges_add(out, v->start,
				v->file_size ? end_in_file(v, v->file_size) : v->end);
		return 0;
	case STORE_FILE:
		if (full)
			ranges_add(out, v->start,
				v->file_size ? end_in_file(v, v->file_size) : v->start);
		return 0;
	default:
		return 0;
	}
}
