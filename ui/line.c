/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Lines of marked-up text: their width, cutting and padding them, writing them on the screen. */
#define NCURSES_WIDECHAR 1
#include <ncurses.h>
#include <string.h>
#include <wchar.h>

#include "ui/term.h"

/* The next code point of *s; what is no UTF-8 gives '?'. Steps over it. */
static wchar_t next_char(const char **s)
{
	const unsigned char *p = (const unsigned char *)*s;
	const int len = *p < 0x80 ? 1 : *p >= 0xf0 ? 4 : *p >= 0xe0 ? 3 : *p >= 0xc2 ? 2 : 0;
	static const unsigned char mask[5] = {0, 0x7f, 0x1f, 0x0f, 0x07};

	if (!len) {
		++*s;
		return L'?';
	}
	wchar_t c = *p & mask[len];

	for (int i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80) {
			*s += i;
			return L'?';
		}
		c = (wchar_t)((unsigned)c << 6 | (p[i] & 0x3fu));
	}
	*s += len;
	return c;
}

static bool is_mark(wchar_t c)
{
	return c > 0 && c < M_ROLES && c != '\t' && c != '\n';
}

static int char_columns(wchar_t c)
{
	if (c < 0x20)
		return 0;
	if (c < 0x7f)
		return 1;
	const int w = wcwidth(c);

	return w < 0 ? 1 : w; /* shown as '?' */
}

int text_columns(const char *text)
{
	int columns = 0;

	while (*text)
		columns += char_columns(next_char(&text));
	return columns;
}

/* Appends at most width columns of text; returns the columns used. */
static int add_cut(struct buf *b, int width, const char *text)
{
	int used = 0;

	while (*text) {
		const char *from = text;
		const int w = char_columns(next_char(&text));

		if (used + w > width)
			break;
		used += w;
		buf_add(b, from, (size_t)(text - from));
	}
	return used;
}

void text_cell(struct buf *b, int width, const char *text)
{
	for (int used = add_cut(b, width, text); used < width; used++)
		buf_add(b, " ", 1);
}

void text_cell_right(struct buf *b, int width, const char *text)
{
	for (int i = text_columns(text); i < width; i++)
		buf_add(b, " ", 1);
	add_cut(b, width, text);
}

void text_unmark(struct buf *b, const char *text)
{
	while (*text) {
		const char *from = text;

		if (!is_mark(next_char(&text)))
			buf_add(b, from, (size_t)(text - from));
	}
}

/* In a locale other than UTF-8, and for what has no width, a question mark stands in. */
static wchar_t shown_char(const struct tty *t, wchar_t c)
{
	if (c >= 0x80 && (t->ascii || wcwidth(c) < 0))
		return L'?';
	return c;
}

void term_line(
	const struct tty *t, int y, int x, int width, const char *text, bool selected, int skip)
{
	const attr_t extra = selected ? A_REVERSE : 0;
	int used = -skip;

	if (y < 0 || y >= t->rows || x >= t->cols || width <= 0)
		return;
	width = MIN(width, t->cols - x);
	move(y, x);
	attrset((int)(t->attr[(int)M_NORMAL[0]] | extra));
	while (*text) {
		const wchar_t c = next_char(&text);

		if (is_mark(c)) {
			attrset((int)(t->attr[c] | extra));
			continue;
		}
		const wchar_t shown[2] = {shown_char(t, c), 0};
		const int w = shown[0] == L'?' ? 1 : char_columns(c);

		if (c < 0x20 || (used < 0 && w == 0))
			continue;
		if (used + w > width)
			break;
		if (used >= 0)
			addnwstr(shown, 1);
		used += w;
	}
	for (used = MAX(used, 0); used < width; used++)
		addch(' ');
	attrset(A_NORMAL);
}
