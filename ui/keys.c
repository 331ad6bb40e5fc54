/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The one table of keys: what they mean, the bar at the bottom and the help come from it. */
#define NCURSES_WIDECHAR 1
#include <ncurses.h>
#include <string.h>

#include "ui/app.h"

#define CTRL_KEY(c) ((c)&0x1f)
#define CTX_LISTS \
	(CTX_PROCESS | CTX_IMAGE | CTX_CHOOSE | CTX_TEXT | CTX_RUNNING | CTX_DONE | CTX_REPLAY)
#define CTX_PANES (CTX_PROCESS | CTX_IMAGE | CTX_RUNNING | CTX_DONE | CTX_REPLAY)

struct key_def {
	int chars[2]; /* 0: none */
	int keys[2];  /* KEY_*, 0: none */
	enum request req;
	unsigned ctx;
	const char *name; /* of the keys */
	const char *bar;  /* NULL: not in the bar */
	const char *help;
};

/* In the order of the bar. */
static const struct key_def defs[] = {
	{{'c', 0}, {0}, REQ_CHECKPOINT, CTX_PROCESS, "c", "Checkpoint",
		"take a checkpoint (or look at the one that runs)"},
	{{'x', 27}, {0}, REQ_CANCEL, CTX_RUNNING, "x Esc", "Cancel",
		"cancel the checkpoint; the process runs on unharmed"},
	{{'\r', '\n'}, {KEY_ENTER, 0}, REQ_OPEN, CTX_CHOOSE, "Enter", "Open", "open the process"},
	{{'\r', '\n'}, {KEY_ENTER, 0}, REQ_OPEN, CTX_PROCESS | CTX_IMAGE, "Enter", NULL,
		"open what is selected"},
	{{' ', 0}, {0}, REQ_PAUSE, CTX_REPLAY, "Space", "Pause", "stop and go on"},
	{{'+', '='}, {0}, REQ_FASTER, CTX_REPLAY, "+", "Faster", "twice as fast"},
	{{'-', 0}, {0}, REQ_SLOWER, CTX_REPLAY, "-", "Slower", "half as fast"},
	{{'\r', '\n'}, {KEY_ENTER, 0}, REQ_FINISH, CTX_REPLAY, "Enter", "To the end",
		"show the end at once"},
	{{'r', 0}, {0}, REQ_RESTART, CTX_REPLAY, "r", "Again", "start again"},
	{{'\t', 0}, {0}, REQ_NEXT_PANE, CTX_PANES, "Tab", "Pane", "next pane"},
	{{0}, {KEY_BTAB, 0}, REQ_PREV_PANE, CTX_PANES, "S-Tab", NULL, "previous pane"},
	{{'1', 0}, {0}, REQ_PANE_1, CTX_PANES, "1", NULL, "first pane"},
	{{'2', 0}, {0}, REQ_PANE_2, CTX_PANES, "2", NULL, "second pane"},
	{{'3', 0}, {0}, REQ_PANE_3, CTX_PANES, "3", NULL, "third pane"},
	{{'4', 0}, {0}, REQ_PANE_4, CTX_PANES, "4", NULL, "fourth pane"},
	{{'5', 0}, {0}, REQ_PANE_5, CTX_PROCESS | CTX_IMAGE, "5", NULL, "fifth pane"},
	{{'s', 0}, {0}, REQ_SORT, CTX_CHOOSE, "s", "Sort", "sort by memory, pid or name"},
	{{'/', 0}, {0}, REQ_SEARCH, CTX_LISTS, "/", "Search", "search in the list"},
	{{'n', 0}, {0}, REQ_SEARCH_NEXT, CTX_LISTS, "n", NULL, "next hit"},
	{{'N', 0}, {0}, REQ_SEARCH_PREV, CTX_LISTS, "N", NULL, "previous hit"},
	{{'w', 0}, {0}, REQ_WRITE, CTX_ALL, "w", "Write", "write the view as text to a file"},
	{{'?', 'h'}, {KEY_F(1), 0}, REQ_HELP, CTX_ALL & ~CTX_TEXT, "?", "Help",
		"this help (also F1)"},
	{{'q', 0}, {0}, REQ_CLOSE, CTX_ALL, "q", "Back",
		"close the view; the last one ends ckptview"},
	{{27, 0}, {0}, REQ_CLOSE, CTX_TEXT, "Esc", NULL, "close the view"},
	{{'Q', CTRL_KEY('c')}, {KEY_F(10), 0}, REQ_QUIT, CTX_ALL, "Q", "Quit",
		"end ckptview (also F10, C-c); a running checkpoint is cancelled"},
	{{'j', 0}, {KEY_DOWN, 0}, REQ_DOWN, CTX_LISTS, "j Down", NULL, "down"},
	{{'k', 0}, {KEY_UP, 0}, REQ_UP, CTX_LISTS, "k Up", NULL, "up"},
	{{CTRL_KEY('f'), 0}, {KEY_NPAGE, 0}, REQ_PAGE_DOWN, CTX_LISTS, "C-f PgDn", NULL,
		"a page down"},
	{{CTRL_KEY('b'), 0}, {KEY_PPAGE, 0}, REQ_PAGE_UP, CTX_LISTS, "C-b PgUp", NULL, "a page up"},
	{{CTRL_KEY('d'), 0}, {0}, REQ_HALF_DOWN, CTX_LISTS, "C-d", NULL, "half a page down"},
	{{CTRL_KEY('u'), 0}, {0}, REQ_HALF_UP, CTX_LISTS, "C-u", NULL, "half a page up"},
	{{'g', 0}, {KEY_HOME, 0}, REQ_FIRST, CTX_LISTS, "g Home", NULL, "to the first row"},
	{{'G', 0}, {KEY_END, 0}, REQ_LAST, CTX_LISTS, "G End", NULL, "to the last row"},
	{{0}, {KEY_LEFT, 0}, REQ_LEFT, CTX_LISTS, "Left", NULL, "scroll left"},
	{{0}, {KEY_RIGHT, 0}, REQ_RIGHT, CTX_LISTS, "Right", NULL, "scroll right"},
	{{CTRL_KEY('l'), 0}, {0}, REQ_REDRAW, CTX_ALL | CTX_DIALOG, "C-l", NULL,
		"draw the screen anew"},
	{{CTRL_KEY('z'), 0}, {0}, REQ_SUSPEND, CTX_ALL | CTX_DIALOG, "C-z", NULL,
		"suspend ckptview; fg goes on"},
};

enum request keys_find(int key, bool is_char, unsigned ctx)
{
	for (size_t i = 0; i < ARRAY_LEN(defs); i++) {
		const int *const have = is_char ? defs[i].chars : defs[i].keys;

		if ((defs[i].ctx & ctx) && key && (have[0] == key || have[1] == key))
			return defs[i].req;
	}
	return REQ_NONE;
}

/* Help, Back and Quit stay when the bar is too narrow for all. */
static bool always_shown(const struct key_def *d)
{
	return d->req == REQ_HELP || d->req == REQ_CLOSE || d->req == REQ_QUIT;
}

static int bar_columns(const struct key_def *d)
{
	return text_columns(d->name) + text_columns(d->bar) + 3;
}

void keys_bar(unsigned ctx, int width, struct buf *out)
{
	int left = width;

	for (size_t i = 0; i < ARRAY_LEN(defs); i++)
		if (defs[i].bar && (defs[i].ctx & ctx) && always_shown(&defs[i]))
			left -= bar_columns(&defs[i]);
	for (size_t i = 0; i < ARRAY_LEN(defs); i++) {
		const struct key_def *const d = &defs[i];

		if (!d->bar || !(d->ctx & ctx))
			continue;
		if (!always_shown(d)) {
			if (bar_columns(d) > left)
				continue;
			left -= bar_columns(d);
		}
		buf_printf(out, M_KEY "%s" M_NORMAL " %s  ", d->name, d->bar);
	}
}

void keys_help(unsigned ctx, struct buf *out)
{
	for (size_t i = 0; i < ARRAY_LEN(defs); i++) {
		if (!(defs[i].ctx & ctx))
			continue;
		buf_add_str(out, M_KEY "  ");
		text_cell(out, 12, defs[i].name);
		buf_printf(out, M_NORMAL "%s\n", defs[i].help);
	}
}
