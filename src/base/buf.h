/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Bytes: a blob somebody owns, a buffer that grows, a cursor that never reads past its end,
 * and the cleanup attributes for local resources.
 */
#ifndef CKPT_BASE_BUF_H
#define CKPT_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Heap bytes with their length. {NULL, 0} is empty. */
struct blob {
	uint8_t *data;
	size_t len;
};
void blob_deinit(struct blob *b);
/* Replaces *b by a copy of data. */
void blob_set(struct blob *b, const void *data, size_t len);

/* A growing buffer. Running out of memory ends the program: see xrealloc. */
struct buf {
	uint8_t *data;
	size_t len, cap;
};
void buf_deinit(struct buf *b);
void buf_add(struct buf *b, const void *data, size_t len);
void buf_add_str(struct buf *b, const char *s);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_zero(struct buf *b, size_t len);           /* appends len zero bytes */
void buf_align(struct buf *b, size_t align);        /* pads with zeros */
/* Gives the bytes away as a NUL-terminated string (the caller frees) and empties b. */
char *buf_steal_str(struct buf *b);

/* A bounds-checked reader over foreign bytes. After the first read past the end it is failed:
 * every later read gives zeros and cursor_ok() is false. */
struct cursor {
	const uint8_t *data;
	size_t len, pos;
	bool failed;
};
struct cursor cursor_of(const void *data, size_t len);
bool cursor_ok(const struct cursor *c);
size_t cursor_left(const struct cursor *c);
uint8_t cursor_u8(struct cursor *c);
uint16_t cursor_u16(struct cursor *c);
uint32_t cursor_u32(struct cursor *c);
uint64_t cursor_u64(struct cursor *c);
/* Points at len bytes in place, or NULL (and failed). */
const void *cursor_bytes(struct cursor *c, size_t len);
void cursor_seek(struct cursor *c, size_t pos);
void cursor_align(struct cursor *c, size_t align);

/* Memory that cannot be had ends the program with one line: what we ask for is small and bounded,
 * and the tracee survives our death at any instant by design. */
_Noreturn void out_of_memory(void);       /* what they do then */
void *xmalloc(size_t len);
void *xcalloc(size_t n, size_t len);
void *xrealloc(void *p, size_t len);
char *xstrdup(const char *s);                       /* NULL gives NULL */
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Makes room for one more element in a counted array (pointer p, count n, doubling) and returns the
 * new, zeroed element's address: struct vma *v = array_push(&proc->vmas, &proc->nvmas). */
#define array_push(pp, np) ((__typeof__(*(pp)))array_grow((void **)(pp), (np), sizeof(**(pp))))
void *array_grow(void **pp, size_t *n, size_t size);

void cleanup_free_fn(void *pp);
void cleanup_fd_fn(int *fd);
#define cleanup_free __attribute__((cleanup(cleanup_free_fn)))
#define cleanup_fd __attribute__((cleanup(cleanup_fd_fn)))
#define cleanup_buf __attribute__((cleanup(buf_deinit)))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* Whole file (a /proc file may claim size 0) into b. 0 or -1 with errno. dirfd as openat(2). */
int file_read(int dirfd, const char *path, struct buf *b);
/* Writes all or fails with errno; retries EINTR and short writes. */
int write_all(int fd, const void *data, size_t len);
int pwrite_all(int fd, const void *data, size_t len, off_t off);
/* Reads len bytes at off unless the file ends; returns bytes read, -1 with errno. */
ssize_t pread_all(int fd, void *data, size_t len, off_t off);

#endif
