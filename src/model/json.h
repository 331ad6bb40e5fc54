/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * struct proc as JSON (jansson) and back. One table of fields (fields.c) drives encoding, decoding
 * and printing. Registers, FPU and xstate are not in it: they stand in the core's own notes.
 * Text that is not UTF-8 is {"hex": "..."}; 64-bit masks and addresses are "0x..." strings; blobs
 * are hex strings; enums are their names.
 */
#ifndef CKPT_MODEL_JSON_H
#define CKPT_MODEL_JSON_H

#include <jansson.h>
#include "base/err.h"
#include "model/proc.h"

/* A new reference, never NULL. */
json_t *proc_to_json(const struct proc *p);
/* One section: "summary", "threads", "maps", "fds", "signals", "timers", "limits", "creds", "stats", ... or
 * NULL when there is none of that name. */
json_t *proc_section_json(const struct proc *p, const char *section);
/* Fills a new proc from JSON made by proc_to_json, of this or an older format version. Every length,
 * count and type is checked: the text is hostile. NULL with *e (EXIT_IMAGE) on any error. */
struct proc *proc_from_json(const json_t *j, struct err *e);

#endif
