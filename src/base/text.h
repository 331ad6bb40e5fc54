/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Text for people: hostile bytes made harmless, sizes and times in words, numbers parsed strictly.
 */
#ifndef CKPT_BASE_TEXT_H
#define CKPT_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Copies s[len] so that no terminal obeys it: control characters (C0, DEL, C1), bidi and other
 * formatting code points, and bytes that are not valid UTF-8 become \xNN (\u{NNNN} for code
 * points); a backslash becomes \\ . Always NUL-terminated, cut between characters; returns out. */
char *text_escape(char *out, size_t cap, const char *s, size_t len);
/* The same for a NUL-terminated string, in a ring of static buffers: for printf arguments.
 * NULL gives "". Valid for the next eight calls. One thread only. */
const char *text_safe(const char *s);
/* Is s[len] wholly valid UTF-8 without NUL? */
bool text_is_utf8(const char *s, size_t len);
/* "1.5 GiB", "12 KiB", "0 B" into out; returns out. */
char *text_size(char *out, size_t cap, uint64_t bytes);
/* "83 us", "1.25 ms", "2.1 s" into out; returns out. */
char *text_time(char *out, size_t cap, uint64_t ns);
/* "64", "64K", "64M", "64MiB", "1G": bytes. False when it is not that, or overflows. */
bool text_parse_size(const char *s, uint64_t *bytes);
/* A whole decimal or 0x number and nothing else. */
bool text_parse_u64(const char *s, uint64_t *v);
bool text_parse_int(const char *s, int *v);

#endif
