/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * An error is one line of text built from the inside out, and the exit code it ends in.
 * Who knows why fills it (err_set, err_sys); each caller adds what it was doing (err_in).
 * All of them return -1, so that a failing function is one line: return err_sys(e, ...).
 */
#ifndef CKPT_BASE_ERR_H
#define CKPT_BASE_ERR_H

/* Exit codes of ckptview (ckptview(1)), and so the classes of errors. */
enum exit_code {
	EXIT_DONE = 0,
	EXIT_DIFFERS = 1,    /* diff only */
	EXIT_USAGE = 2,      /* bad arguments, unusable terminal */
	EXIT_UNTRACEABLE = 3,/* the process cannot be traced; nothing was changed */
	EXIT_CAPTURE = 4,    /* checkpoint failed; the process runs on unharmed */
	EXIT_IMAGE = 5,      /* bad image */
	EXIT_RESTORE = 6,    /* restore failed; nothing half-restored is left */
};

struct err {
	int code;       /* enum exit_code; 0: not yet classed, the command decides */
	int sys;        /* errno of the cause, 0 if none */
	char text[512]; /* one line, no full stop, no newline; escaped for a terminal */
};

#define ERR_PRINTF(a, b) __attribute__((format(printf, a, b)))

/* Fills *e with a new line of text; code may be 0. Returns -1. e may not be NULL. */
int err_set(struct err *e, int code, const char *fmt, ...) ERR_PRINTF(3, 4);
/* Like err_set, with ": " and the words of errno at the end; keeps errno in e->sys. */
int err_sys(struct err *e, int code, const char *fmt, ...) ERR_PRINTF(3, 4);
/* Puts "fmt: " before the text that is there: what the caller was doing. Returns -1. */
int err_in(struct err *e, const char *fmt, ...) ERR_PRINTF(2, 3);
/* Sets the class if none is set yet. Returns -1. */
int err_class(struct err *e, int code);

#endif
