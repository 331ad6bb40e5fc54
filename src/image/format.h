/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What writer and reader of images share: the layout of NOTE_INTEGRITY (ckptview-image(5)), limits,
 * and small helpers on pages. Private to src/image.
 */
#ifndef CKPT_IMAGE_FORMAT_H
#define CKPT_IMAGE_FORMAT_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "model/proc.h"

/* A part of the file and the XXH3-64 of its bytes. */
struct image_part {
	uint64_t off, len, xxh;
};

/* The descriptor of NOTE_INTEGRITY, little-endian. It is the last note of its segment, so that one
 * checksum covers the segment up to itself, and through the other checksums all of the file. */
struct image_integrity {
	uint32_t format;                /* IMAGE_FORMAT */
	uint32_t page_len;              /* PAGE_LEN */
	uint64_t file_len;
	uint64_t npages;                /* in all PT_LOADs, and entries of sums */
	uint64_t head_xxh;              /* of the first page: ELF header and zeros */
	struct image_part headers;      /* program headers, and section header 0 */
	struct image_part notes;        /* the first PT_NOTE */
	struct image_part sums;         /* table of page checksums */
	struct image_part bulk;         /* pipe contents, deleted files */
	uint64_t own_xxh;               /* of the second PT_NOTE up to here */
};
_Static_assert(sizeof(struct image_integrity) == 136, "part of the format");

/* More than any sane core has; keeps a hostile header from costing gigabytes of memory. */
#define IMAGE_MAX_HEADERS (16u << 20)
#define IMAGE_MAX_NOTES (1ull << 30)

bool page_is_zero(const void *page);

static inline uint64_t page_up(uint64_t v)
{
	return (v + PAGE_LEN - 1) & ~(PAGE_LEN - 1);
}

#endif
