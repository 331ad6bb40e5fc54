/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The writer's inside, shared by writer.c (pages) and finish.c (everything behind them). */
#ifndef CKPT_IMAGE_WRITER_H
#define CKPT_IMAGE_WRITER_H

#include <pthread.h>
#include <stdatomic.h>

#include "image/format.h"
#include "image/image.h"

/* Memory [addr, end) has its room in the file at off. */
struct extent {
	uint64_t addr, end, off;
};

/* Page checksums by place in the file, in chunks that never move, so that a thread may fill one
 * while another reserves more room. */
#define SUMS_PER_CHUNK (1u << 15)
#define CHUNK_LEN (SUMS_PER_CHUNK * sizeof(uint64_t))

struct image_writer {
	int fd, dirfd;
	char *path;             /* as the caller gave it: for messages */
	char *name;             /* its last component, in dirfd */
	char *tmp;              /* name in dirfd while there is one, else NULL (O_TMPFILE) */
	pthread_mutex_t lock;   /* for ext, chunks, end, err */
	struct extent *ext;     /* by address, disjoint */
	size_t next, ext_cap;
	uint64_t **chunks;
	size_t nchunks;
	uint64_t end;           /* first file offset not given to anybody */
	atomic_bool failed;     /* sticky: err says why */
	struct err err;
	atomic_uint_least64_t written, put, flushed;
};

/* Writes and notes a failure as the sticky error. 0 or -1. */
int writer_write(struct image_writer *w, const void *data, size_t len, uint64_t off);
/* Makes errno the sticky error: "WHAT FILE: words". Returns -1. */
int writer_fail(struct image_writer *w, const char *what);
/* The checksum slot of the page at file offset off. */
uint64_t *writer_sum(struct image_writer *w, uint64_t off);
/* Gives the file its name. After it image_abandon would only close. */
int writer_publish(struct image_writer *w);

/* The first PT_NOTE: what a Linux core holds about p. */
void core_notes_build(const struct proc *p, struct buf *out);
/* Appends one note, padded as cores are. */
void note_add(struct buf *out, const char *owner, uint32_t type, const void *desc, size_t len);

#endif
