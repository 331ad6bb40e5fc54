/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The commands: one file each, a table in main.c. They parse options, call, print, and return an exit code. */
#ifndef CKPT_CMD_CMD_H
#define CKPT_CMD_CMD_H

#include <stdbool.h>
#include <stdio.h>
#include "base/err.h"
#include "model/source.h"

struct command {
	const char *name;
	const char *args;       /* "-p PID [-o FILE] ..." for --help */
	const char *what;       /* one line */
	int (*run)(int argc, char **argv);      /* argv[0] is the command's name; returns an exit code */
};
int cmd_save(int argc, char **argv);
int cmd_restore(int argc, char **argv);
int cmd_show(int argc, char **argv);
int cmd_verify(int argc, char **argv);

/* "pid:N" or a file. */
struct source *source_open(const char *name, struct err *e);
/* Prints "ckptview: text" on stderr (escaped) and returns the exit code: e->code, or dflt when it has none. */
int cmd_fail(const struct err *e, int dflt);
/* The same for wrong usage; returns EXIT_USAGE. */
int cmd_usage(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* A checkpoint in a process of its own (ptrace works only from the thread that attached, a terminal can block): the
 * screen and `save` read its events. */
struct capture_opts;
struct job {
	int pid;        /* of the tracer process */
	int fd;         /* its events; read until end, then job_wait */
};
int job_start(struct job *j, const struct capture_opts *o, struct err *e);
void job_cancel(struct job *j);         /* SIGINT to it: it releases everything and ends */
int job_wait(struct job *j);            /* reaps; its exit code (the words came as EV_ERROR) */

#endif
