/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The reader's inside: headers (reader.c), notes (readnotes.c), checks (verify.c). */
#ifndef CKPT_IMAGE_READER_H
#define CKPT_IMAGE_READER_H

#include <pthread.h>

#include "image/format.h"
#include "image/image.h"

/* One PT_LOAD. Memory [addr, addr + memsz), of which the first filesz bytes stand in the file. */
struct segment {
	uint64_t addr, filesz, memsz, off;
	uint64_t first_page;    /* ours: index of its first page in the table of checksums */
	uint32_t flags;
};

struct image {
	int fd;
	char *path;
	uint64_t len;           /* of the file */
	int64_t mtime_ns;
	struct segment *segs;   /* by address, disjoint */
	size_t nsegs;
	struct ranges stored;
	struct proc *proc;
	bool ours;              /* has our notes; `in` was checked against the file */
	struct image_integrity in;
	pthread_mutex_t lock;   /* for sums */
	uint64_t *sums;         /* the table, read when first asked for */
};

/* Are [off, off + len) bytes of the file? */
static inline bool image_holds(const struct image *im, uint64_t off, uint64_t len)
{
	return off <= im->len && len <= im->len - off;
}
/* Reads exactly len bytes at off or fails with "read PATH: ..." */
int image_pread(struct image *im, void *out, size_t len, uint64_t off, struct err *e);
/* Fills im->proc, im->ours and im->in from the note segments, whose places are known to be in the
 * file. Everything that `in` says about the file outside bulk, pages and their checksums is
 * checked. */
int image_read_notes(struct image *im, const struct image_part *notes, size_t nnotes,
	struct err *e);

/* ---- the standard notes, decoded ---- */
struct core_file {
	uint64_t start, end, off;
	const char *name;       /* in the note, NUL-terminated */
};
struct core_notes {
	struct thread *threads;         /* tid, regs, fpregs, xstate, sigmask */
	size_t nthreads;
	int cursig;                     /* of the first thread */
	int32_t ppid, pgrp, sid;
	const void *psinfo;             /* struct elf_prpsinfo, NULL: none */
	const void *auxv;
	size_t auxv_len;
	struct core_file *files;
	size_t nfiles;
	const void *state;              /* NOTE_STATE */
	size_t state_len;
	const void *integrity;          /* NOTE_INTEGRITY, whole; NULL: none */
	uint64_t integrity_xxh;         /* of its segment up to own_xxh */
};
/* Decodes one segment of notes into n, which then points into data. */
int core_notes_parse(struct core_notes *n, const void *data, size_t len, struct err *e);
void core_notes_deinit(struct core_notes *n);

/* What a core without our note tells: im->proc from the standard notes and the segments. */
void foreign_proc(struct image *im, struct core_notes *n);

#endif
