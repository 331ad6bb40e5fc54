/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Every byte of an image against its checksums. What opening checks (headers, notes) is not
 * repeated; here come the table of page checksums, the bulk area, and the pages: in large reads,
 * holes skipped.
 */
#include "image/reader.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/buf.h"

#define READ_LEN (4ull << 20)

struct verify {
	struct image *im;
	uint8_t *buf;           /* READ_LEN */
	uint64_t *sums;
	uint64_t npages;
};

/* A part that may be long, through the buffer. */
static int verify_part(struct verify *v, const struct image_part *part, const char *what,
	struct err *e)
{
	XXH3_state_t *hash = XXH3_createState();
	int rc = 0;

	XXH3_64bits_reset(hash);
	for (uint64_t done = 0; done < part->len && rc == 0;) {
		const uint64_t n = MIN(READ_LEN, part->len - done);
		rc = image_pread(v->im, v->buf, n, part->off + done, e);
		XXH3_64bits_update(hash, v->buf, rc == 0 ? n : 0);
		done += n;
	}
	if (rc == 0 && XXH3_64bits_digest(hash) != part->xxh)
		rc = err_set(e, EXIT_IMAGE, "%s: %s: checksum differs", v->im->path, what);
	XXH3_freeState(hash);
	return rc;
}

static int verify_contents(struct verify *v, struct err *e)
{
	const struct proc *p = v->im->proc;

	for (size_t i = 0; i < p->nfds; i++) {
		const struct bulk *b = &p->fds[i].content;
		const struct image_part part = {b->off, b->len, b->xxh64};
		char what[48];
		snprintf(what, sizeof(what), "content of descriptor %d", p->fds[i].fd);
		if (b->len && verify_part(v, &part, what, e) < 0)
			return -1;
	}
	return verify_part(v, &v->im->in.bulk, "bulk area", e);
}

static int page_bad(const struct verify *v, const struct segment *s, uint64_t off, struct err *e)
{
	return err_set(e, EXIT_IMAGE, "%s: page 0x%lx: checksum differs (at 0x%lx of the file)",
		v->im->path, s->addr + (off - s->off), off);
}

static const uint64_t *sum_at(const struct verify *v, const struct segment *s, uint64_t off)
{
	return v->sums + s->first_page + (off - s->off) / PAGE_LEN;
}

/* [off, end) of the file is a hole: its pages must have been zero. */
static int verify_hole(struct verify *v, const struct segment *s, uint64_t off, uint64_t end,
	struct err *e)
{
	for (; off < end; off += PAGE_LEN, v->npages++)
		if (*sum_at(v, s, off) != 0)
			return page_bad(v, s, off, e);
	return 0;
}

static int verify_data(struct verify *v, const struct segment *s, uint64_t off, uint64_t end,
	struct err *e)
{
	while (off < end) {
		const uint64_t n = MIN(READ_LEN, end - off);
		if (image_pread(v->im, v->buf, n, off, e) < 0)
			return -1;
		for (uint64_t at = 0; at < n; at += PAGE_LEN, v->npages++)
			if (image_page_hash(v->buf + at) != *sum_at(v, s, off + at))
				return page_bad(v, s, off + at, e);
		off += n;
	}
	return 0;
}

/* The first data at or behind off as the file system sees it, down to a whole page, at most end. */
static uint64_t data_after(const struct verify *v, uint64_t off, uint64_t end, int whence)
{
	const off_t at = lseek(v->im->fd, (off_t)off, whence);

	if (at < 0)
		return errno == ENXIO && whence == SEEK_DATA ? end : off;
	const uint64_t page = whence == SEEK_DATA ? (uint64_t)at & ~(PAGE_LEN - 1)
		: page_up((uint64_t)at);
	return MAX(off, MIN(page, end));
}

static int verify_segment(struct verify *v, const struct segment *s, struct err *e)
{
	const uint64_t end = s->off + s->filesz;
	uint64_t off = s->off;

	while (off < end) {
		const uint64_t data = data_after(v, off, end, SEEK_DATA);
		if (verify_hole(v, s, off, data, e) < 0)
			return -1;
		uint64_t hole = data < end ? data_after(v, data, end, SEEK_HOLE) : end;
		if (hole == data)       /* the file system cannot tell */
			hole = end;
		if (verify_data(v, s, data, hole, e) < 0)
			return -1;
		off = hole;
	}
	return 0;
}

static int verify_all(struct verify *v, struct err *e)
{
	struct image *im = v->im;

	v->sums = malloc(im->in.sums.len + 1);
	if (!v->sums)
		return err_set(e, EXIT_IMAGE, "%s: no memory for %lu page checksums", im->path,
			im->in.npages);
	if (image_pread(im, v->sums, im->in.sums.len, im->in.sums.off, e) < 0)
		return -1;
	if (XXH3_64bits(v->sums, im->in.sums.len) != im->in.sums.xxh)
		return err_set(e, EXIT_IMAGE, "%s: page checksums: checksum differs", im->path);
	if (verify_contents(v, e) < 0)
		return -1;
	for (size_t i = 0; i < im->nsegs; i++)
		if (verify_segment(v, &im->segs[i], e) < 0)
			return -1;
	return 0;
}

int image_verify(struct image *im, uint64_t *npages, struct err *e)
{
	struct verify v = {.im = im};

	*npages = 0;
	if (!im->ours)
		return err_set(e, EXIT_IMAGE,
			"%s: a core that is not ckptview's has no checksums to verify", im->path);
	v.buf = xmalloc(READ_LEN);
	const int rc = verify_all(&v, e);
	*npages = v.npages;
	free(v.sums);
	free(v.buf);
	return rc;
}
