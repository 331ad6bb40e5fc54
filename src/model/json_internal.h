/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Shared by the two directions of the JSON form. */
#ifndef CKPT_MODEL_JSON_INTERNAL_H
#define CKPT_MODEL_JSON_INTERNAL_H

#include "model/fields.h"
#include "model/json.h"

#define JSON_FORMAT 1 /* the "format" member; a reader takes this and older ones */

/* NULL for a text that is not known. New references. */
json_t *field_json(const struct field *f, const void *base);
json_t *record_json(const struct record *r, const void *base);
bool field_is_zero(const struct field *f, const void *base);
/* Order, whole pages, no overlaps, lengths. 0 or -1. */
int proc_check(const struct proc *p, struct err *e);

#endif
