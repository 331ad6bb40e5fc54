/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The terminal: taken, given back whatever happens, and written to as lines of marked-up text.
 * A line is UTF-8 with single control bytes (the M_ strings) that switch the role of what follows;
 * foreign text is escaped before it gets into a line, so it cannot hold such bytes.
 */
#ifndef CKPT_UI_TERM_H
#define CKPT_UI_TERM_H

#include <signal.h>
#include <stdbool.h>
#include "base/buf.h"
#include "base/err.h"
#include "ui/ui.h"

#define M_NORMAL "\001"
#define M_DIM "\002"
#define M_BOLD "\003"
#define M_GOOD "\004"
#define M_WARN "\005"
#define M_BAD "\006"
#define M_HEAD "\007"  /* column titles */
#define M_KEY "\010"   /* a key's name */
#define M_STOP "\013"  /* the whole process stands */
#define M_STALL "\014" /* one thread stands */
#define M_BAR "\016"   /* done part of a bar */
#define M_TITLE "\017" /* title line */
#define M_ROLES 16

struct tty {
	bool ascii;   /* ASCII characters only */
	bool braille; /* dots may be used */
	bool mouse;
	int rows, cols;
	void *screen; /* curses' own */
	unsigned long attr[M_ROLES];
};

/* Can the screen be used here? e: EXIT_USAGE, says why not; nothing was changed. */
int term_check(struct err *e);
/* Takes the terminal (after term_check). e: EXIT_USAGE, names why not; nothing was changed then. */
int term_open(struct tty *t, const struct ui_opts *o, struct err *e);
void term_close(struct tty *t);
/* Reads the size anew. */
void term_size(struct tty *t);
/* Stops us as C-z does, and redraws when we go on. */
void term_suspend(void);
/* The signal that asks us to end, 0: none. */
int term_signalled(void);
/* Gives sig its default action back and raises it. */
void term_reraise(int sig);

/* Writes text at (y, x), cut or padded to width columns. selected: in reverse. skip: columns of the
 * text to leave out on the left. */
void term_line(
	const struct tty *t, int y, int x, int width, const char *text, bool selected, int skip);
/* Columns the text takes, marks not counted. */
int text_columns(const char *text);
/* Appends text cut or padded to width columns (right: padded on the left). */
void text_cell(struct buf *b, int width, const char *text);
void text_cell_right(struct buf *b, int width, const char *text);
/* Appends text without its marks. */
void text_unmark(struct buf *b, const char *text);

#endif
