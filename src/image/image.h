/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The image: an ELF core file that can go on living (ckptview-image(5)). Writing, reading,
 * verifying. Knows nothing of live processes.
 *
 *	0        ELF header, written last; rest of the page zero
 *	4096     page data: runs in any order, each page aligned; zero pages are holes
 *	...      bulk area: pipe contents, deleted files, each page aligned
 *	...      page checksums (8 bytes a page, 0: a hole)
 *	...      PT_NOTE of a Linux core, PT_NOTE of owner CKPTVIEW (JSON, hashes)
 *	...      program headers (and one section header when there are 65,535 or more: PN_XNUM)
 */
#ifndef CKPT_IMAGE_IMAGE_H
#define CKPT_IMAGE_IMAGE_H

#include "base/err.h"
#include "base/ranges.h"
#include "model/proc.h"
#include "model/source.h"

#define IMAGE_FORMAT 1
#define IMAGE_NOTE_OWNER "CKPTVIEW"
enum image_note {
	NOTE_STATE = 0x434b0001,        /* the JSON document */
	NOTE_INTEGRITY = 0x434b0002,    /* format, places and checksums of all parts */
};

/* ---- writing ---- */
struct image_writer;
/* Opens a new file beside path (same directory, other name), mode 0600. path is replaced only by
 * image_finish. *out is the caller's until finish or abandon. e: EXIT_CAPTURE. */
int image_create(struct image_writer **out, const char *path, struct err *e);
/* Assigns file room to [start, end) (page aligned). May be called many times; a part that has room
 * already keeps it. Not thread-safe against image_put of the same range; safe for others' . */
int image_reserve(struct image_writer *w, uint64_t start, uint64_t end, struct err *e);
/* Takes the room back: the range will have no PT_LOAD. */
void image_unreserve(struct image_writer *w, uint64_t start, uint64_t end);
/* Stores npages pages at addr (all reserved): zero pages become holes, every page's XXH3 is noted.
 * Thread-safe for different pages. Errors are sticky and come back from image_finish too. */
int image_put(struct image_writer *w, uint64_t addr, const void *data, size_t npages);
/* 0, or -1 with *e when something has failed to be written already. Thread-safe. */
int image_error(struct image_writer *w, struct err *e);
/* Bytes written to disk so far (without holes) and bytes put. */
void image_progress(const struct image_writer *w, uint64_t *written, uint64_t *put);
/* Writes notes, headers, fsyncs and renames into place. bulk.mem of p's descriptors goes to the
 * bulk area; vma.stored is filled. *len: file size. Frees w whatever happens; on failure no file
 * is left. */
int image_finish(struct image_writer *w, struct proc *p, uint64_t *len, struct err *e);
void image_abandon(struct image_writer *w);     /* unlinks; NULL is fine */

/* ---- reading: any ELF core ---- */
struct image;
/* Opens an image or any x86-64 core. Reads headers and notes only, checks every offset and
 * length. */
struct image *image_open(const char *path, struct err *e);
void image_close(struct image *im);
struct proc *image_proc(struct image *im);              /* owned by im */
/* The stored pages, in address order, as ranges. */
const struct ranges *image_stored(struct image *im);
/* Where addr lies in the file: bytes from there to the end of its run, 0: not stored. */
uint64_t image_locate(struct image *im, uint64_t addr, uint64_t *off);
size_t image_read(struct image *im, uint64_t addr, void *out, size_t len);
int image_fd(struct image *im);
/* Reads bulk bytes (checked against xxh64). out has b->len bytes. */
int image_bulk(struct image *im, const struct bulk *b, void *out, struct err *e);
/* The checksum of the page at addr as written, 0 for a hole; false: no checksums in this core. */
bool image_page_sum(struct image *im, uint64_t addr, uint64_t *sum);
/* XXH3-64 of a page, 0 for an all-zero page (and 1 should the hash itself be 0). */
uint64_t image_page_hash(const void *page);
/* Checks everything: structure, notes, bulk, every page. *npages: how many were read. */
int image_verify(struct image *im, uint64_t *npages, struct err *e);
/* The image as a source. Takes path, not im. */
struct source *source_open_image(const char *path, struct err *e);

#endif
