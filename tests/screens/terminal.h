/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A program in a terminal of ours: a pty, and libvterm that understands what it writes there. */
#ifndef TESTS_SCREENS_TERMINAL_H
#define TESTS_SCREENS_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <termios.h>
#include <vterm.h>

struct terminal {
	int fd;
	pid_t pid;
	VTerm *vt;
	VTermScreen *screen;
	int rows, cols;
	struct termios before; /* modes when the program started */
	bool ended;
	int status; /* as waitpid(2), when ended */
};
/* Starts argv with the environment plus env ("NAME=VALUE", NULL-ended; "NAME" takes it away). */
void terminal_start(
	struct terminal *t, int rows, int cols, char *const argv[], const char *const env[]);
/* Reads what the program writes, until it has been quiet for quiet_ms or ended. */
void terminal_settle(struct terminal *t, int quiet_ms);
/* Waits until text is on the screen (shown) or is not; false after ten seconds. */
bool terminal_wait(struct terminal *t, const char *text, bool shown);
/* The row that holds text, -1: none. */
int terminal_find(const struct terminal *t, const char *text);
/* One row as UTF-8 without trailing blanks. */
const char *terminal_row(const struct terminal *t, int row, char *out, size_t cap);
/* All rows, for the message of a failing check. Static. */
const char *terminal_dump(const struct terminal *t);
VTermScreenCell terminal_cell(const struct terminal *t, int row, int col);
void terminal_type(struct terminal *t, const char *keys);
void terminal_resize(struct terminal *t, int rows, int cols);
/* Waits for its end; true: it ended within ten seconds. */
bool terminal_end(struct terminal *t);
/* Are the modes what they were before the program started? */
bool terminal_restored(const struct terminal *t);
void terminal_close(struct terminal *t);

#endif
