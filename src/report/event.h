/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What happens during a checkpoint, as fixed-size records in one stream. The tracer writes them to
 * a pipe that never blocks it; the screen, the progress bar, --events FILE and the tests read them.
 * A recorded stream is the 64-byte header record (EV_HEADER) followed by records, little endian.
 */
#ifndef CKPT_REPORT_EVENT_H
#define CKPT_REPORT_EVENT_H

#include <stdbool.h>
#include <stdint.h>

enum event_type {
	EV_HEADER = 1, /* text "ckptview events"; a: version (1) */
	EV_BEGIN,      /* a: pid; text: engine; b: bytes of memory mapped */
	EV_MAPPING, /* addr, len; a: bytes to be saved, a guess before the stop; b: enum vma_kind <<
		       8 | prot; text: tail of its name */
	EV_ARM, /* addr, len now protected (before the stop unless between STOP_BEGIN and STOP_END)
		 */
	EV_STOP_BEGIN, /* all threads are being halted; t_ns: when the first interrupt was sent */
	EV_STOP_END,   /* a: the stop in ns, first thread halted to last resumed; b: threads */
	EV_COPY,       /* addr, len copied; a: enum copy_how */
	EV_STALL,      /* tid held; addr of the cause; a: ns; b: enum stall_why */
	EV_RELEASE,    /* addr, len writable again */
	EV_WINDOW_END, /* a: ns since the first page was armed (or the stop began) */
	EV_IMAGE,      /* a: bytes in the image file so far; b: bytes written including holes */
	EV_WARN,       /* text pieces, see event_text_* */
	EV_ERROR,      /* text pieces; the last one has a: exit code */
	EV_END,        /* a: exit code (0: done); b: ns from EV_BEGIN; len: image size in bytes */
	EV_DROPPED,    /* a: how many records were lost because the pipe was full */
	EV_RESULT, /* text: name of a figure; a: its value (ns, bytes or count); after EV_STOP_END..
		      before EV_END */
	EV_TYPES,
};
enum copy_how { COPY_STOPPED, COPY_BACKGROUND, COPY_FAULT, COPY_SYSCALL, COPY_HOWS };
enum stall_why { STALL_FAULT, STALL_SYSCALL, STALL_SIGNAL, STALL_ATTACH, STALL_FORK, STALL_WHYS };
#define EVENT_MAGIC "ckptview events"
#define EVENT_VERSION 1

struct event {
	uint64_t t_ns; /* CLOCK_MONOTONIC */
	uint32_t type; /* enum event_type */
	int32_t tid;
	uint64_t addr, len;
	uint64_t a, b;
	char text[16]; /* NUL-padded, not NUL-terminated when full */
};
_Static_assert(sizeof(struct event) == 64, "a record is 64 bytes");

/* The writing end. Zeroed with fd = -1 it swallows everything. */
struct event_out {
	int fd;           /* O_NONBLOCK pipe or a file; owned by the caller */
	uint64_t dropped; /* records lost since the last EV_DROPPED got through */
	uint64_t dropped_all;
};
/* Sends one record, stamping t_ns with the clock when it is 0. Never blocks, never fails: a full
 * pipe counts as dropped. EV_STOP_END, EV_END, EV_ERROR and EV_RESULT are retried up to 200 ms. */
void event_put(struct event_out *out, struct event ev);
/* The first record of a recorded stream. */
void event_put_header(struct event_out *out);
/* A line of any length (EV_WARN, EV_ERROR) as as many records as it needs; b: 1 on the last one. */
void event_put_text(struct event_out *out, enum event_type type, uint64_t a, const char *text);

/* Puts pieces together again: returns the whole line when ev was the last piece, else NULL.
 * The line is valid until the next call. Zero to start. */
struct event_text {
	char line[1024];
	unsigned len;
};
const char *event_text_add(struct event_text *t, const struct event *ev);

/* Reads the next whole record from a blocking or non-blocking descriptor: 1 got one, 0 end of
 * stream, -1 nothing yet (EAGAIN) or an error (errno). Zero to start with fd set. */
struct event_in {
	int fd;
	uint8_t part[4096];
	unsigned have, pos;
};
int event_get(struct event_in *in, struct event *ev);
/* Is this record sane (known type, lengths that do not wrap)? Streams are hostile input too. */
bool event_valid(const struct event *ev);
/* "fault", "syscall", ... */
const char *event_stall_name(unsigned why);

#endif
