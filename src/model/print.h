/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The sections of struct proc as text for people: columns, escaped names, sizes in words. */
#ifndef CKPT_MODEL_PRINT_H
#define CKPT_MODEL_PRINT_H

#include <stdio.h>
#include "model/proc.h"

/* "summary", "threads", "maps", ...: those of fields.h, NULL-ended. */
extern const char *const proc_sections[];
/* Prints one of them; an unknown name prints nothing. */
void proc_print_section(FILE *out, const struct proc *p, const char *section);

/* What a descriptor is, beyond its path: "rw append, at 120", "count 5"; into out, returns it. */
char *fd_flags_text(const struct fdesc *f, char *out, size_t cap);
char *fd_detail_text(const struct fdesc *f, char *out, size_t cap);
/* "SIGINT SIGTERM", "none", "all but SIGKILL"; into out, returns it. */
char *sigmask_text(uint64_t mask, char *out, size_t cap);
/* "127.0.0.1:80", "[::1]:80", "@name", "/run/x.sock"; into out, returns it. Escaped. */
char *sockaddr_text(const struct blob *addr, char *out, size_t cap);
const char *sched_policy_name(int policy);

#endif
