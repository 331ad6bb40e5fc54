/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The kinds of descriptors: how each is opened again. */
#ifndef CKPT_RESTORE_FDKIND_H
#define CKPT_RESTORE_FDKIND_H

#include "restore/steps.h"

/* Adds the calls that open f; the number it stands at, or -1 when it is placed already. */
int fd_make(struct fd_maker *m, const struct fdesc *f);
const char *fd_why(int kind);

#endif
