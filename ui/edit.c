/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A line being typed: insertion, deletion, moving, by whole UTF-8 characters. */
#define NCURSES_WIDECHAR 1
#include <limits.h>
#include <ncurses.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "ui/app.h"

#define CTRL_KEY(c) ((c)&0x1f)

void edit_set(struct edit *ed, const char *text)
{
	ed->len = strnlen(text, sizeof(ed->text) - 1);
	memcpy(ed->text, text, ed->len);
	ed->text[ed->len] = 0;
	ed->pos = ed->len;
}

static bool is_tail(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

static size_t before(const struct edit *ed)
{
	size_t at = ed->pos;

	while (at > 0 && is_tail(ed->text[--at]))
		;
	return at;
}

static size_t after(const struct edit *ed)
{
	size_t at = ed->pos;

	while (at < ed->len && is_tail(ed->text[++at]))
		;
	return at;
}

static void cut(struct edit *ed, size_t from, size_t to)
{
	memmove(ed->text + from, ed->text + to, ed->len - to + 1);
	ed->len -= to - from;
	ed->pos = from;
}

static void insert(struct edit *ed, int key)
{
	char bytes[MB_LEN_MAX];
	const int n = wctomb(bytes, (wchar_t)key);

	if (n <= 0 || ed->len + (size_t)n >= sizeof(ed->text))
		return;
	memmove(ed->text + ed->pos + n, ed->text + ed->pos, ed->len - ed->pos + 1);
	memcpy(ed->text + ed->pos, bytes, (size_t)n);
	ed->len += (size_t)n;
	ed->pos += (size_t)n;
}

static bool edit_char(struct edit *ed, int key)
{
	switch (key) {
	case CTRL_KEY('h'):
	case 0x7f:
		cut(ed, before(ed), ed->pos);
		return true;
	case CTRL_KEY('u'):
		cut(ed, 0, ed->pos);
		return true;
	case CTRL_KEY('a'):
		ed->pos = 0;
		return true;
	case CTRL_KEY('e'):
		ed->pos = ed->len;
		return true;
	default:
		if (key < 0x20)
			return false;
		insert(ed, key);
		return true;
	}
}

bool edit_key(struct edit *ed, int key, bool is_char)
{
	if (is_char)
		return edit_char(ed, key);
	switch (key) {
	case KEY_BACKSPACE:
		cut(ed, before(ed), ed->pos);
		return true;
	case KEY_DC:
		cut(ed, ed->pos, after(ed));
		return true;
	case KEY_LEFT:
		ed->pos = before(ed);
		return true;
	case KEY_RIGHT:
		ed->pos = after(ed);
		return true;
	case KEY_HOME:
		ed->pos = 0;
		return true;
	case KEY_END:
		ed->pos = ed->len;
		return true;
	default:
		return false;
	}
}
