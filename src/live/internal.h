/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the files of src/live share: reading /proc texts, following its links, the file cache. */
#ifndef CKPT_LIVE_INTERNAL_H
#define CKPT_LIVE_INTERNAL_H

#include <sys/stat.h>

#include "live/live.h"

/* Reads /proc/PID/path into b (emptied first) and puts a NUL behind its bytes. 0, or -1 with *e. */
int live_text(struct live *l, const char *path, struct buf *b, struct err *e);
/* The same without a message: false when it cannot be read. */
bool live_text_try(struct live *l, const char *path, struct buf *b);
/* Cuts the next line off *at (NUL instead of newline); NULL at the end. */
char *line_next(char **at);
/* The value behind "key:" at the start of a line of text, blanks skipped; NULL when absent. */
const char *text_field(const char *text, const char *key);
uint64_t text_field_u64(const char *text, const char *key, int base);
/* Fields of a stat line from number 3 (state) on, as out[3 .. max - 1]; how many there are. comm
 * gets the name between the parentheses when not NULL (heap). *state gets field 3. */
size_t stat_fields(const char *text, uint64_t *out, size_t max, char *state, char **comm);

/* readlinkat into a heap string of any length; NULL with errno. */
char *link_read(int dirfd, const char *name);
/* Takes " (deleted)" off when the kernel put it there, which is when no file of that very name is
 * the inode ino. root: "/proc/PID/root". True when it was taken off. */
bool path_undelete(struct live *l, char *path, uint64_t ino);
/* stat(2) of an absolute path as the process sees it. 0 or -1 with errno. */
int live_stat(struct live *l, const char *path, struct stat *st);
int live_open_path(struct live *l, const char *path);
/* A duplicate of the tracee's descriptor, sharing its open file description; -1 with errno. */
int live_getfd(struct live *l, int rfd);

/* What is known of a mapped file. Owned by the cache, stays where it is until live_close(). */
struct file_facts {
	uint32_t dev_major, dev_minor; /* as maps has them */
	uint64_t ino;
	char *raw;           /* the path as the kernel gives it */
	char *path;          /* without " (deleted)" */
	bool deleted, found; /* found: the rest is known */
	uint32_t mode;
	uint64_t size;
	int64_t mtime_ns;
	char *build_id; /* hex; NULL: none, or not asked */
	bool fresh, build_id_asked;
};
/* Facts of the file that v (with its raw path) maps; asked of the file when not known yet. */
const struct file_facts *cache_facts(struct live *l, const struct vma *v);
void cache_ask_build_id(struct live *l, const struct vma *v, const struct file_facts *facts);
/* From now on files are asked anew. */
void cache_expire(struct live *l);
/* Keeps which file was mapped where (facts[i] NULL: none) ... */
void cache_remember(
	struct live *l, const struct vma *v, const struct file_facts *const *facts, size_t n);
/* ... and gives the raw path of v when it is (a part of) one of them, else NULL. */
const char *cache_known_path(struct live *l, const struct vma *v);
/* Whether the mappings have been read as text, and [vsyscall] as it was there, if it was. */
void cache_saw_text(struct live *l, const struct vma *v, size_t n);
bool cache_has_text(struct live *l);
void cache_add_gate(struct live *l, struct vma **all, size_t *n);
void cache_free(void *cache);

/* All mappings with raw paths, by PROCMAP_QUERY (kernel 6.11). False: not available, or nothing is
 * known from a text yet. */
bool maps_query(struct live *l, struct vma **all, size_t *n);
/* Kind and store of a mapping; facts: of its file, NULL: it has none. */
void vma_classify(struct proc *p, struct vma *v, const struct file_facts *facts);

/* Whether MADV_GUARD_INSTALL (kernel 6.13) made some of it unreachable. */
bool vma_has_guards(struct live *l, const struct vma *v);

/* /proc/PID/task as a sorted array of tids, the leader first. Heap; NULL with *e. */
int32_t *live_tids(struct live *l, size_t *n, struct err *e);

#endif
