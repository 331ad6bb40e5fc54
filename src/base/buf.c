/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Blobs, growing buffers, cursors over foreign bytes and the allocation calls that cannot fail.
 */
#include "base/buf.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- allocation ---- */

void out_of_memory(void)
{
	static const char line[] = "ckptview: out of memory\n";

	if (write(2, line, sizeof(line) - 1) < 0)
		_exit(4);
	_exit(4);
}

void *xmalloc(size_t len)
{
	void *p = malloc(len ? len : 1);

	if (!p)
		out_of_memory();
	return p;
}

void *xcalloc(size_t n, size_t len)
{
	void *p = calloc(n ? n : 1, len ? len : 1);

	if (!p)
		out_of_memory();
	return p;
}

void *xrealloc(void *p, size_t len)
{
	void *q = realloc(p, len ? len : 1);

	if (!q)
		out_of_memory();
	return q;
}

char *xstrdup(const char *s)
{
	if (!s)
		return NULL;
	const size_t len = strlen(s) + 1;

	return memcpy(xmalloc(len), s, len);
}

char *xasprintf(const char *fmt, ...)
{
	va_list ap;
	char *s;

	va_start(ap, fmt);
	const int n = vasprintf(&s, fmt, ap);
	va_end(ap);
	if (n < 0)
		out_of_memory();
	return s;
}

void *array_grow(void **pp, size_t *n, size_t size)
{
	/* The allocator knows how much room there is, so arrays made by xcalloc() can be pushed to.
	 */
	const size_t cap = *pp ? malloc_usable_size(*pp) / size : 0;

	if (*n >= cap) {
		const size_t want = *n < 4 ? 8 : *n * 2;

		if (want > SIZE_MAX / size)
			out_of_memory();
		*pp = xrealloc(*pp, want * size);
	}
	void *const at = (char *)*pp + *n * size;

	memset(at, 0, size);
	(*n)++;
	return at;
}

void cleanup_free_fn(void *pp)
{
	free(*(void **)pp);
}

void cleanup_fd_fn(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

/* ---- blob ---- */

void blob_deinit(struct blob *b)
{
	if (!b)
		return;
	free(b->data);
	*b = (struct blob){0};
}

void blob_set(struct blob *b, const void *data, size_t len)
{
	uint8_t *const copy = len ? memcpy(xmalloc(len), data, len) : NULL;

	free(b->data);
	b->data = copy;
	b->len = len;
}

/* ---- buf ---- */

void buf_deinit(struct buf *b)
{
	if (!b)
		return;
	free(b->data);
	*b = (struct buf){0};
}

static void buf_room(struct buf *b, size_t len)
{
	if (len > SIZE_MAX / 2 - b->len)
		out_of_memory();
	if (b->len + len <= b->cap)
		return;
	size_t cap = b->cap ? b->cap : 64;

	while (cap < b->len + len)
		cap *= 2;
	b->data = xrealloc(b->data, cap);
	b->cap = cap;
}

void buf_add(struct buf *b, const void *data, size_t len)
{
	if (!len)
		return;
	buf_room(b, len);
	memcpy(b->data + b->len, data, len);
	b->len += len;
}

void buf_add_str(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	const int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n <= 0)
		return;
	buf_room(b, (size_t)n + 1);
	va_start(ap, fmt);
	vsnprintf((char *)b->data + b->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
}

void buf_zero(struct buf *b, size_t len)
{
	if (!len)
		return;
	buf_room(b, len);
	memset(b->data + b->len, 0, len);
	b->len += len;
}

void buf_align(struct buf *b, size_t align)
{
	const size_t over = b->len % align;

	if (over)
		buf_zero(b, align - over);
}

char *buf_steal_str(struct buf *b)
{
	buf_add(b, "", 1);
	char *const s = (char *)b->data;

	*b = (struct buf){0};
	return s;
}

/* ---- cursor ---- */

struct cursor cursor_of(const void *data, size_t len)
{
	return (struct cursor){.data = data, .len = len};
}

bool cursor_ok(const struct cursor *c)
{
	return !c->failed;
}

size_t cursor_left(const struct cursor *c)
{
	return c->failed ? 0 : c->len - c->pos;
}

const void *cursor_bytes(struct cursor *c, size_t len)
{
	if (c->failed || len > c->len - c->pos) {
		c->failed = true;
		return NULL;
	}
	const uint8_t *const at = c->data ? c->data + c->pos : (const uint8_t *)"";

	c->pos += len;
	return at;
}

static void cursor_copy(struct cursor *c, void *out, size_t len)
{
	const void *const at = cursor_bytes(c, len);

	if (at)
		memcpy(out, at, len);
	else
		memset(out, 0, len);
}

uint8_t cursor_u8(struct cursor *c)
{
	uint8_t v;

	cursor_copy(c, &v, sizeof(v));
	return v;
}

uint16_t cursor_u16(struct cursor *c)
{
	uint16_t v;

	cursor_copy(c, &v, sizeof(v));
	return v;
}

uint32_t cursor_u32(struct cursor *c)
{
	uint32_t v;

	cursor_copy(c, &v, sizeof(v));
	return v;
}

uint64_t cursor_u64(struct cursor *c)
{
	uint64_t v;

	cursor_copy(c, &v, sizeof(v));
	return v;
}

void cursor_seek(struct cursor *c, size_t pos)
{
	if (pos > c->len)
		c->failed = true;
	else
		c->pos = pos;
}

void cursor_align(struct cursor *c, size_t align)
{
	const size_t over = c->pos % align;

	if (over)
		cursor_bytes(c, align - over);
}
