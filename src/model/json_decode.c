/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * JSON to struct proc. The text may come from anybody: types, ranges, lengths and counts are
 * checked here; what the rest of the program relies on (order, no overlaps) in json_check.c.
 */
#include "model/json_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/text.h"

static int bad(struct err *e, const char *why)
{
	return err_set(e, EXIT_IMAGE, "%s", why);
}

/* ---- parts ---- */

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Hex text into out[len]. */
static bool unhex(const char *s, uint8_t *out, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		const int hi = hex_digit(s[i * 2]), lo = hi < 0 ? -1 : hex_digit(s[i * 2 + 1]);

		if (lo < 0)
			return false;
		out[i] = (uint8_t)(hi << 4 | lo);
	}
	return true;
}

/* A hex string as heap bytes with a NUL behind them. */
static int get_hex(const json_t *j, uint8_t **data, size_t *len, struct err *e)
{
	const size_t n = json_is_string(j) ? json_string_length(j) : 1;

	if (n % 2)
		return bad(e, "not hex digits");
	uint8_t *const p = xmalloc(n / 2 + 1);

	if (!unhex(json_string_value(j), p, n / 2)) {
		free(p);
		return bad(e, "not hex digits");
	}
	p[n / 2] = 0;
	*data = p;
	*len = n / 2;
	return 0;
}

/* Text or {"hex": ...} as heap bytes with a NUL behind them; none inside. */
static int get_text(const json_t *j, char **s, size_t *len, struct err *e)
{
	if (json_is_string(j)) {
		*len = json_string_length(j);
		*s = xmalloc(*len + 1);
		memcpy(*s, json_string_value(j), *len + 1);
	} else if (!json_is_object(j)) {
		return bad(e, "not a text");
	} else if (get_hex(json_object_get(j, "hex"), (uint8_t **)s, len, e) < 0) {
		return -1;
	}
	if (memchr(*s, 0, *len)) {
		free(*s);
		*s = NULL;
		return bad(e, "a text with a NUL inside");
	}
	return 0;
}

static int get_int(const json_t *j, int64_t min, int64_t max, int64_t *v, struct err *e)
{
	if (!json_is_integer(j))
		return bad(e, "not a number");
	*v = json_integer_value(j);
	return *v < min || *v > max ? bad(e, "number out of range") : 0;
}

/* A number, or text in the base that its first characters say, as strtoull takes it. */
static int get_u64(const json_t *j, uint64_t *v, struct err *e)
{
	int64_t i;

	if (json_is_string(j)) {
		const char *const s = json_string_value(j);
		char *end;

		errno = 0;
		*v = strtoull(s, &end, 0);
		if (s[0] < '0' || s[0] > '9' || *end || errno || json_string_length(j) != strlen(s))
			return bad(e, "not a number");
		return 0;
	}
	if (get_int(j, 0, INT64_MAX, &i, e) < 0)
		return -1;
	*v = (uint64_t)i;
	return 0;
}

/* ---- one per type ---- */

static int decode_bool(const struct field *f, void *at, const json_t *j, struct err *e)
{
	(void)f;
	if (!json_is_boolean(j))
		return bad(e, "not true or false");
	*(bool *)at = json_is_true(j);
	return 0;
}

static int decode_u8(const struct field *f, void *at, const json_t *j, struct err *e)
{
	int64_t v = 0;

	(void)f;
	if (get_int(j, 0, UINT8_MAX, &v, e) < 0)
		return -1;
	*(uint8_t *)at = (uint8_t)v;
	return 0;
}

static int decode_i32(const struct field *f, void *at, const json_t *j, struct err *e)
{
	int64_t v = 0;

	(void)f;
	if (get_int(j, INT32_MIN, INT32_MAX, &v, e) < 0)
		return -1;
	*(int32_t *)at = (int32_t)v;
	return 0;
}

static int decode_u32(const struct field *f, void *at, const json_t *j, struct err *e)
{
	uint64_t v = 0;

	(void)f;
	if (get_u64(j, &v, e) < 0)
		return -1;
	if (v > UINT32_MAX)
		return bad(e, "number out of range");
	*(uint32_t *)at = (uint32_t)v;
	return 0;
}

static int decode_i64(const struct field *f, void *at, const json_t *j, struct err *e)
{
	(void)f;
	return get_int(j, INT64_MIN, INT64_MAX, at, e);
}

static int decode_u64(const struct field *f, void *at, const json_t *j, struct err *e)
{
	(void)f;
	return get_u64(j, at, e);
}

static int decode_limit(const struct field *f, void *at, const json_t *j, struct err *e)
{
	(void)f;
	if (json_is_string(j) && strcmp(json_string_value(j), "unlimited") == 0) {
		*(uint64_t *)at = RLIM_INFINITY;
		return 0;
	}
	return get_u64(j, at, e);
}

static int decode_char(const struct field *f, void *at, const json_t *j, struct err *e)
{
	(void)f;
	if (!json_is_string(j) || json_string_length(j) > 1)
		return bad(e, "not one character");
	*(char *)at = json_string_value(j)[0];
	return 0;
}

static int decode_enum(const struct field *f, void *at, const json_t *j, struct err *e)
{
	if (!json_is_string(j))
		return bad(e, "not a name");
	for (size_t i = 0; i < f->n; i++) {
		if (strcmp(f->name_of((int)i), json_string_value(j)) == 0) {
			*(uint8_t *)at = (uint8_t)i;
			return 0;
		}
	}
	return err_set(e, EXIT_IMAGE, "unknown name %.40s", text_safe(json_string_value(j)));
}

static int decode_text(const struct field *f, void *at, const json_t *j, struct err *e)
{
	char *s = NULL;
	size_t len;

	(void)f;
	if (json_is_null(j))
		return 0;
	if (get_text(j, &s, &len, e) < 0)
		return -1;
	free(*(char **)at);
	*(char **)at = s;
	return 0;
}

static int decode_chars(const struct field *f, void *at, const json_t *j, struct err *e)
{
	cleanup_free char *s = NULL;
	size_t len;

	if (get_text(j, &s, &len, e) < 0)
		return -1;
	if (len >= f->n)
		return bad(e, "text too long");
	memcpy(at, s, len + 1);
	return 0;
}

static int decode_blob(const struct field *f, void *at, const json_t *j, struct err *e)
{
	struct blob b;

	(void)f;
	if (get_hex(j, &b.data, &b.len, e) < 0)
		return -1;
	blob_deinit(at);
	*(struct blob *)at = b;
	return 0;
}

static int decode_strings(const struct field *f, void *at, const json_t *j, struct err *e)
{
	cleanup_buf struct buf b = {0};

	if (json_is_string(j))
		return decode_blob(f, at, j, e);
	if (!json_is_array(j))
		return bad(e, "not an array of texts");
	for (size_t i = 0; i < json_array_size(j); i++) {
		cleanup_free char *s = NULL;
		size_t len;

		if (get_text(json_array_get(j, i), &s, &len, e) < 0)
			return -1;
		buf_add(&b, s, len + 1);
	}
	blob_set(at, b.data, b.len);
	return 0;
}

static int decode_auxv(const struct field *f, void *at, const json_t *j, struct err *e)
{
	cleanup_buf struct buf b = {0};

	if (json_is_string(j))
		return decode_blob(f, at, j, e);
	if (!json_is_array(j))
		return bad(e, "not an array");
	for (size_t i = 0; i < json_array_size(j); i++) {
		const json_t *const o = json_array_get(j, i);
		uint64_t pair[2];

		if (get_u64(json_object_get(o, "type"), &pair[0], e) < 0 ||
			get_u64(json_object_get(o, "value"), &pair[1], e) < 0)
			return -1;
		buf_add(&b, pair, sizeof(pair));
	}
	blob_set(at, b.data, b.len);
	return 0;
}

static int decode_bytes(const struct field *f, void *at, const json_t *j, struct err *e)
{
	if (!json_is_string(j) || json_string_length(j) != f->n * 2 ||
		!unhex(json_string_value(j), at, f->n))
		return bad(e, "not as many hex digits as it must be");
	return 0;
}

static int decode_bulk(const struct field *f, void *at, const json_t *j, struct err *e)
{
	struct bulk *const b = at;

	(void)f;
	if (get_u64(json_object_get(j, "off"), &b->off, e) < 0 ||
		get_u64(json_object_get(j, "len"), &b->len, e) < 0 ||
		get_u64(json_object_get(j, "xxh64"), &b->xxh64, e) < 0)
		return -1;
	return b->len > INT64_MAX || b->off > INT64_MAX - b->len ? bad(e, "number out of range")
								 : 0;
}

static int decode_json(const struct field *f, void *at, const json_t *j, struct err *e)
{
	if (!json_is_object(j) || json_object_get(j, "hex"))
		return decode_text(f, at, j, e);
	char *const s = json_dumps(j, JSON_COMPACT);

	if (!s)
		return bad(e, "cannot be taken over");
	free(*(char **)at);
	*(char **)at = s;
	return 0;
}

static int decode_u32s(const struct field *f, void *at, const json_t *j, struct err *e)
{
	if (!json_is_array(j) || json_array_size(j) != f->n)
		return bad(e, "not as many numbers as it must be");
	for (size_t i = 0; i < f->n; i++) {
		if (decode_u32(f, (uint32_t *)at + i, json_array_get(j, i), e) < 0)
			return -1;
	}
	return 0;
}

static int record_decode(const struct record *r, void *base, const json_t *j, struct err *e);

static int decode_record(const struct field *f, void *at, const json_t *j, struct err *e)
{
	return record_decode(f->rec, at, j, e);
}

static int decode_sparse(const struct field *f, void *at, const json_t *j, struct err *e)
{
	if (!json_is_object(j))
		return bad(e, "not an object");
	for (size_t i = 0; i < f->n; i++) {
		const json_t *const one = json_object_get(j, f->name_of((int)i));

		if (one && record_decode(f->rec, (char *)at + i * f->rec->size, one, e) < 0)
			return err_in(e, "%s", f->name_of((int)i));
	}
	return 0;
}

/* ---- arrays ---- */

static size_t element_size(const struct field *f)
{
	return f->type == FIELD_ARRAY   ? f->rec->size
	       : f->type == FIELD_TEXTS ? sizeof(char *)
					: sizeof(uint32_t);
}

static int decode_element(const struct field *f, void *at, const json_t *j, struct err *e)
{
	int64_t v = 0;

	if (f->type == FIELD_ARRAY)
		return record_decode(f->rec, at, j, e);
	if (f->type == FIELD_TEXTS) {
		size_t len;

		return get_text(j, at, &len, e);
	}
	if (get_int(j, 0, UINT32_MAX, &v, e) < 0)
		return -1;
	*(uint32_t *)at = (uint32_t)v;
	return 0;
}

static int decode_array(const struct field *f, char *base, const json_t *j, struct err *e)
{
	size_t *const count = (size_t *)(base + f->count_off);
	void **const first = (void **)(base + f->off);
	const size_t size = element_size(f);

	if (!json_is_array(j))
		return bad(e, "not an array");
	const size_t n = json_array_size(j);

	if (n > f->n)
		return bad(e, "too many elements");
	if (*count)
		return bad(e, "given twice");
	for (size_t i = 0; i < n; i++) {
		/* Counted before it is filled, so that what a failure leaves is freed with the
		 * rest. */
		void *const at = array_grow(first, count, size);

		if (decode_element(f, at, json_array_get(j, i), e) < 0) {
			*count -= f->type != FIELD_ARRAY;
			return err_in(e, "%zu", i);
		}
	}
	return 0;
}

static int (*const decoders[FIELD_TYPES])(
	const struct field *f, void *at, const json_t *j, struct err *e) = {
	[FIELD_BOOL] = decode_bool,
	[FIELD_U8] = decode_u8,
	[FIELD_I32] = decode_i32,
	[FIELD_U32] = decode_u32,
	[FIELD_I64] = decode_i64,
	[FIELD_U64] = decode_u64,
	[FIELD_HEX] = decode_u64,
	[FIELD_OCT] = decode_u32,
	[FIELD_LIMIT] = decode_limit,
	[FIELD_CHAR] = decode_char,
	[FIELD_ENUM] = decode_enum,
	[FIELD_TEXT] = decode_text,
	[FIELD_CHARS] = decode_chars,
	[FIELD_BLOB] = decode_blob,
	[FIELD_STRINGS] = decode_strings,
	[FIELD_AUXV] = decode_auxv,
	[FIELD_BYTES] = decode_bytes,
	[FIELD_BULK] = decode_bulk,
	[FIELD_JSON] = decode_json,
	[FIELD_U32S] = decode_u32s,
	[FIELD_RECORD] = decode_record,
	[FIELD_SPARSE] = decode_sparse,
};

static int field_decode(const struct field *f, void *base, const json_t *j, struct err *e)
{
	const int rc = decoders[f->type] ? decoders[f->type](f, (char *)base + f->off, j, e)
					 : decode_array(f, base, j, e);

	return rc < 0 ? err_in(e, "%s", f->name) : 0;
}

static int record_decode(const struct record *r, void *base, const json_t *j, struct err *e)
{
	if (!json_is_object(j))
		return bad(e, "not an object");
	for (size_t i = 0; i < r->nfields; i++) {
		const struct field *const f = &r->fields[i];
		const json_t *const v = json_object_get(j, f->name);

		if (!v && f->req)
			return err_set(e, EXIT_IMAGE, "%s: missing", f->name);
		if (v && field_decode(f, base, v, e) < 0)
			return -1;
	}
	return 0;
}

static int decode_all(struct proc *p, const json_t *j, struct err *e)
{
	int64_t format = 0;

	if (!json_is_object(j))
		return bad(e, "not a JSON object");
	if (get_int(json_object_get(j, "format"), 1, INT32_MAX, &format, e) < 0)
		return err_in(e, "format");
	if (format > JSON_FORMAT)
		return err_set(e, EXIT_IMAGE,
			"made by a newer ckptview (format %d, this one reads up to %d)",
			(int)format, JSON_FORMAT);
	for (size_t i = 0; i < proc_nsections; i++) {
		const struct section *const s = &proc_section_table[i];
		const json_t *const part = json_object_get(j, s->name);

		if (!part || json_is_null(part))
			continue;
		if (s->whole ? field_decode(&s->rec.fields[0], p, part, e) < 0
			     : record_decode(&s->rec, p, part, e) < 0)
			return s->whole ? -1 : err_in(e, "%s", s->name);
	}
	return proc_check(p, e);
}

struct proc *proc_from_json(const json_t *j, struct err *e)
{
	struct proc *const p = proc_new();

	if (decode_all(p, j, e) < 0) {
		err_in(e, "process state");
		proc_free(p);
		return NULL;
	}
	return p;
}
