/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Text for people. Escaping is by code point: what a terminal could obey, what would reorder a
 * line, and what is not UTF-8 is spelled out; all else passes.
 */
#include "base/text.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Code points that draw nothing but change how their neighbours are drawn. Sorted. */
static const struct {
	uint32_t first, last;
} unsafe_points[] = {
	{0x00, 0x1f},
	{0x7f, 0x9f},
	{0xad, 0xad},
	{0x34f, 0x34f},
	{0x600, 0x605},
	{0x61c, 0x61c},
	{0x6dd, 0x6dd},
	{0x70f, 0x70f},
	{0x115f, 0x1160},
	{0x17b4, 0x17b5},
	{0x180b, 0x180f},
	{0x200b, 0x200f},
	{0x2028, 0x202e},
	{0x2060, 0x206f},
	{0x3164, 0x3164},
	{0xfdd0, 0xfdef},
	{0xfe00, 0xfe0f},
	{0xfeff, 0xfeff},
	{0xffa0, 0xffa0},
	{0xfff0, 0xfffb},
	{0xfffe, 0xffff},
	{0x1d173, 0x1d17a},
	{0xe0000, 0xe0fff},
};

static bool point_unsafe(uint32_t cp)
{
	for (size_t i = 0; i < sizeof(unsafe_points) / sizeof(unsafe_points[0]); i++) {
		if (cp < unsafe_points[i].first)
			return false;
		if (cp <= unsafe_points[i].last)
			return true;
	}
	return false;
}

/* Decodes one code point of s[len]; its length in bytes, or 0 when it is not valid UTF-8. */
static size_t utf8_decode(const uint8_t *s, size_t len, uint32_t *cp)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	const size_t n = s[0] < 0x80             ? 1
			 : (s[0] & 0xe0) == 0xc0 ? 2
			 : (s[0] & 0xf0) == 0xe0 ? 3
			 : (s[0] & 0xf8) == 0xf0 ? 4
						 : 0;

	if (n == 0 || n > len)
		return 0;
	uint32_t v = n == 1 ? s[0] : s[0] & (0x7fu >> n);

	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		v = v << 6 | (s[i] & 0x3fu);
	}
	if (v < least[n] || v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff))
		return 0;
	*cp = v;
	return n;
}

char *text_escape(char *out, size_t cap, const char *s, size_t len)
{
	const uint8_t *p = (const uint8_t *)s;
	size_t used = 0;

	if (cap == 0)
		return out;
	while (len) {
		char piece[16];
		uint32_t cp = 0;
		const size_t n = utf8_decode(p, len, &cp);

		if (n == 0)
			snprintf(piece, sizeof(piece), "\\x%02x", *p);
		else if (cp == '\\')
			strcpy(piece, "\\\\");
		else if (point_unsafe(cp))
			snprintf(piece, sizeof(piece), cp < 0x80 ? "\\x%02x" : "\\u{%x}", cp);
		else
			snprintf(piece, sizeof(piece), "%.*s", (int)n, (const char *)p);
		const size_t m = strlen(piece);

		if (used + m >= cap)
			break;
		memcpy(out + used, piece, m);
		used += m;
		p += n ? n : 1;
		len -= n ? n : 1;
	}
	out[used] = 0;
	return out;
}

const char *text_safe(const char *s)
{
	static char ring[8][1024];
	static unsigned int next;

	if (!s)
		return "";
	char *const out = ring[next++ % 8];

	return text_escape(out, sizeof(ring[0]), s, strlen(s));
}

bool text_is_utf8(const char *s, size_t len)
{
	const uint8_t *p = (const uint8_t *)s;

	while (len) {
		uint32_t cp = 0;
		const size_t n = utf8_decode(p, len, &cp);

		if (n == 0 || cp == 0)
			return false;
		p += n;
		len -= n;
	}
	return true;
}

/* Three significant digits, no zeros behind the point. */
static char *text_scaled(char *out, size_t cap, double v, const char *unit)
{
	char num[32];

	snprintf(num, sizeof(num), v >= 99.95 ? "%.0f" : v >= 9.995 ? "%.1f" : "%.2f", v);
	if (strchr(num, '.')) {
		char *end = num + strlen(num);

		while (end[-1] == '0')
			*--end = 0;
		if (end[-1] == '.')
			*--end = 0;
	}
	snprintf(out, cap, "%s %s", num, unit);
	return out;
}

char *text_size(char *out, size_t cap, uint64_t bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	size_t i = 0;
	double v = (double)bytes;

	for (; v >= 1023.5 && i + 1 < sizeof(units) / sizeof(units[0]); i++)
		v /= 1024;
	return text_scaled(out, cap, v, units[i]);
}

char *text_time(char *out, size_t cap, uint64_t ns)
{
	if (ns < 1000) {
		snprintf(out, cap, "%" PRIu64 " ns", ns);
		return out;
	}
	if (ns < 999500)
		return text_scaled(out, cap, (double)ns / 1e3, "us");
	if (ns < 999500000)
		return text_scaled(out, cap, (double)ns / 1e6, "ms");
	if (ns < 600000000000ull)
		return text_scaled(out, cap, (double)ns / 1e9, "s");
	const uint64_t s = ns / 1000000000;

	snprintf(out, cap, "%" PRIu64 ":%02u:%02u", s / 3600, (unsigned int)(s / 60 % 60),
		(unsigned int)(s % 60));
	return out;
}

/* A number at s; *end behind it. Strict: no sign, no space, no octal. */
static bool parse_number(const char *s, uint64_t *v, const char **end)
{
	const bool hex = s[0] == '0' && (s[1] == 'x' || s[1] == 'X');
	const char first = hex ? s[2] : s[0];
	char *stop;

	if (!((first >= '0' && first <= '9') ||
		    (hex && ((first >= 'a' && first <= 'f') || (first >= 'A' && first <= 'F')))))
		return false;
	errno = 0;
	*v = strtoull(s, &stop, hex ? 16 : 10);
	*end = stop;
	return errno == 0;
}

bool text_parse_u64(const char *s, uint64_t *v)
{
	uint64_t x;
	const char *end;

	if (!s || !parse_number(s, &x, &end) || *end)
		return false;
	*v = x;
	return true;
}

bool text_parse_int(const char *s, int *v)
{
	uint64_t x;

	if (!s)
		return false;
	const bool minus = *s == '-';

	if (!text_parse_u64(s + minus, &x) || x > (uint64_t)INT_MAX + minus)
		return false;
	*v = (int)(minus ? -(int64_t)x : (int64_t)x);
	return true;
}

bool text_parse_size(const char *s, uint64_t *bytes)
{
	static const char units[] = "KMGTP";
	uint64_t x;
	const char *end;

	if (!s || !parse_number(s, &x, &end))
		return false;
	unsigned int shift = 0;

	if (*end && *end != 'B' && *end != 'b') {
		const char up = (char)(*end >= 'a' && *end <= 'z' ? *end - 32 : *end);
		const char *const unit = strchr(units, up);

		if (!unit)
			return false;
		shift = 10 * (unsigned int)(unit - units + 1);
		end++;
		if (*end == 'i')
			end++;
	}
	if (*end == 'B' || *end == 'b')
		end++;
	if (*end || (shift && x >> (64 - shift)))
		return false;
	*bytes = x << shift;
	return true;
}
